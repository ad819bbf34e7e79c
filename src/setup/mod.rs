//! A new repo in one go, and away again: `hookd add` and `hookd remove`.
//!
//! | step | file |
//! |---|---|
//! | where things belong, and to whom | [`Place`] |
//! | the text of the drop-in, and what one says of itself | `fragment` |
//! | files with owner and mode, which can be taken back | `made` |
//! | a directory that no link leads astray | `directory` |
//! | a webhook secret, a deploy key | `keys` |
//! | the configuration of another program as one of hookd's | [`import`] |
//!
//! Nothing is overwritten that was not made here; what is there already stays and is used.

mod directory;
mod fragment;
pub mod import;
mod keys;
mod made;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

pub use directory::{Directory, read};
pub use fragment::{Fragment, Header};
pub use keys::{KeyError, deploy_key, fingerprint, public_key, webhook_secret};
pub use made::{Made, Owner, replace};

use crate::config;
use crate::machine::Machine;
use crate::model::{RepoName, words};

/// A text as TOML writes it. All of it can be seen: what would hide or reorder what stands beside it is written by its number.
fn toml_string(text: &str) -> String {
    let mut written = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => written.extend(['\\', c]),
            '\n' => written.push_str("\\n"),
            '\t' => written.push_str("\\t"),
            c if words::is_invisible(c) => {
                let (sign, digits) = if u32::from(c) > 0xffff { ('U', 8) } else { ('u', 4) };
                // Writing to a string can't fail.
                let _ = write!(written, "\\{sign}{:0digits$x}", u32::from(c));
            }
            c => written.push(c),
        }
    }
    written.push('"');
    written
}

/// Where the files of a repo belong, and to whom.
#[derive(Debug, Clone)]
pub struct Place {
    /// The configuration file.
    pub config: PathBuf,
    /// `hookd.d` beside it.
    pub drop_ins: PathBuf,
    /// `hookd` beside it, for secrets and keys.
    pub secrets: PathBuf,
    /// Whom the daemon's own files belong to.
    pub daemon: Owner,
    /// Whom the configuration belongs to: root, and the daemon's group reads it.
    pub admin: Owner,
}

impl Place {
    /// For a configuration file on this machine. Only root gives files to others.
    pub fn new(config: &Path, machine: &Machine) -> Option<Self> {
        let config_file = std::path::absolute(config).unwrap_or_else(|_| config.to_owned());
        let (daemon, admin) = if machine.root() {
            let account = machine.daemon.as_ref()?;
            let group = account.groups.first().copied();
            let owner = |uid| Owner {
                uid: Some(uid),
                gid: group,
            };
            (owner(account.uid), owner(0))
        } else {
            (Owner::default(), Owner::default())
        };
        Some(Self {
            drop_ins: config::drop_ins(&config_file),
            secrets: config_file.with_file_name("hookd"),
            config: config_file,
            daemon,
            admin,
        })
    }

    /// The drop-in of a repo.
    pub fn fragment(&self, repo: &RepoName) -> PathBuf {
        self.drop_ins.join(format!("{repo}.toml"))
    }

    /// The webhook secret of a repo.
    pub fn secret(&self, repo: &RepoName) -> PathBuf {
        self.secrets.join(format!("{repo}.secret"))
    }

    /// The secret that is about to take the other's place.
    pub fn next_secret(&self, repo: &RepoName) -> PathBuf {
        self.secrets.join(format!("{repo}.secret.next"))
    }

    /// The deploy key of a repo.
    pub fn key(&self, repo: &RepoName) -> PathBuf {
        self.secrets.join(format!("{repo}.key"))
    }

    /// Its public half.
    pub fn public_key(&self, repo: &RepoName) -> PathBuf {
        self.secrets.join(format!("{repo}.key.pub"))
    }

    /// The host keys of a repo's remote.
    pub fn known_hosts(&self, repo: &RepoName) -> PathBuf {
        self.secrets.join(format!("{repo}.known_hosts"))
    }
}
