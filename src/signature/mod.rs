//! Whether a commit or tag is rightly signed by somebody of the file of allowed signers. Reads that file; pure otherwise.
//!
//! SSH signatures are checked in this process with the `ssh-key` crate of RustCrypto: it knows the format of
//! `ssh-keygen -Y sign`, every key type that ssh-keygen makes today (DSA left out) and the keys on hardware tokens, and it
//! shares its arithmetic with what hookd has already. The file itself, OpenSSH's `allowed_signers`, is read here.
//!
//! OpenPGP signatures are checked by `gpgv`, which is made for just this. A library would be rPGP: it brings 145 crates,
//! nearly as many as all of hookd has otherwise, and leaves to its caller which keys still count (expiry, revocation, which
//! subkey may sign), where mistakes are easily made. `gpgv` needs no home, no agent and no trust database, and is in Debian
//! wherever gpg is. This room says what is to be run ([`OpenPgp`]) and reads the answer; it starts no process itself.
//!
//! As with `git verify-commit`, the key decides, not the name: whoever has a key in the file may sign as anybody.

mod allowed;
mod armour;
mod openpgp;
mod ssh;
mod timestamp;

use std::fmt;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::config::{Config, Target};

use allowed::AllowedKey;

pub use openpgp::OpenPgp;

/// Largest file of allowed signers, bytes: the keys of thousands of people.
const FILE_MAX: u64 = 4 << 20;

/// The file of allowed signers, read and understood.
#[derive(Debug, Clone)]
pub struct Signers {
    file: PathBuf,
    ssh: Vec<AllowedKey>,
    /// A keyring as `gpgv` reads it: the keys, binary, one behind the other.
    openpgp: Vec<u8>,
}

/// Why the file of allowed signers is of no use, with its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SignersError(String);

/// Who signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer(String);

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why something is not rightly signed: what follows on "commit 1a2b3c4 ".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It has no signature.
    #[error("is not signed")]
    NotSigned,
    /// By a key that is not in the file.
    #[error("is signed by a key that is not in {}: {key}", .file.display())]
    UnknownKey {
        /// The key, as people compare them.
        key: String,
        /// The file.
        file: PathBuf,
    },
    /// The signature is of something else.
    #[error("has a signature that does not fit it ({key})")]
    Wrong {
        /// The key that it claims.
        key: String,
    },
    /// The key is in the file, and does not count.
    #[error("is signed by {key}, {why}")]
    NotValid {
        /// The key.
        key: String,
        /// Why it does not count.
        why: String,
    },
    /// The signature is of no kind that is checked, or broken.
    #[error("has a signature that can't be checked: {0}")]
    Unsupported(String),
}

/// The kinds of signatures that are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Of `ssh-keygen -Y sign`.
    Ssh,
    /// Of `gpg`.
    OpenPgp,
}

impl Kind {
    /// The kind of an armoured signature.
    pub fn of(signature: &[u8]) -> Result<Self, Refusal> {
        let begins = |armour: &str| signature.starts_with(armour.as_bytes());
        if begins(ssh::ARMOUR) {
            Ok(Self::Ssh)
        } else if begins(openpgp::ARMOUR) || begins(openpgp::OLD_ARMOUR) {
            Ok(Self::OpenPgp)
        } else if begins("-----BEGIN SIGNED MESSAGE-----") {
            Err(Refusal::Unsupported("it is an X.509 signature".to_owned()))
        } else {
            Err(Refusal::Unsupported("its kind is unknown".to_owned()))
        }
    }
}

impl Signers {
    /// Reads the file. One that every user of the machine may write is refused: it would allow everybody.
    pub fn read(file: &Path) -> Result<Self, SignersError> {
        let shown = file.display();
        let failed = |e: std::io::Error| SignersError(format!("{shown} cannot be read: {e}"));
        let open = std::fs::File::open(file).map_err(failed)?;
        let metadata = open.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(SignersError(format!("{shown} is not a file")));
        }
        if metadata.permissions().mode() & 0o002 != 0 {
            return Err(SignersError(format!(
                "{shown} can be written by every user of this machine"
            )));
        }
        if metadata.len() > FILE_MAX {
            return Err(SignersError(format!("{shown} has more than {FILE_MAX} bytes")));
        }
        let mut text = String::new();
        open.take(FILE_MAX).read_to_string(&mut text).map_err(failed)?;
        Self::parse(file, &text)
    }

    /// Understands the text of the file: lines of `allowed_signers`, armoured OpenPGP keys, or both.
    pub fn parse(file: &Path, text: &str) -> Result<Self, SignersError> {
        let at = |line: usize, what: String| SignersError(format!("{}:{line}: {what}", file.display()));
        let (lines, openpgp) = armour::take_keys(text).map_err(|(line, what)| at(line, what))?;
        let mut ssh = Vec::new();
        for (number, line) in lines {
            ssh.extend(allowed::parse(line).map_err(|what| at(number, what))?);
        }
        if ssh.is_empty() && openpgp.is_empty() {
            return Err(SignersError(format!(
                "{} allows nobody: it has no keys",
                file.display()
            )));
        }
        Ok(Self {
            file: file.to_owned(),
            ssh,
            openpgp,
        })
    }
}

/// What keeps the `require_signed` of a configuration from ever being fulfilled, now.
pub fn problems(config: &Config) -> Vec<String> {
    let targets = config.repos.values().flat_map(|repo| repo.targets.values());
    let of = |target: &std::sync::Arc<Target>| {
        let told = |what: String| format!("target {}: `require_signed`: {what}", target.id);
        match Signers::read(target.require_signed.as_deref()?) {
            Err(error) => Some(told(error.to_string())),
            Ok(signers) if !signers.openpgp.is_empty() && !openpgp::is_installed() => {
                Some(told("OpenPGP keys need gpgv (apt install gpgv)".to_owned()))
            }
            Ok(_) => None,
        }
    };
    targets.filter_map(of).collect()
}
