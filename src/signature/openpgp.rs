//! OpenPGP signatures: what `gpgv` is asked, and what its answer means.
//!
//! The status lines are those of GnuPG's `doc/DETAILS`. What counts is what counts for `git verify-commit`: one good
//! signature, by a key that has neither expired nor been revoked.

use std::path::{Path, PathBuf};

use super::{Refusal, Signer, Signers};

/// What is run.
const PROGRAM: &str = "gpgv";

/// How such a signature begins.
pub(super) const ARMOUR: &str = "-----BEGIN PGP SIGNATURE-----";

/// How those of old programs begin.
pub(super) const OLD_ARMOUR: &str = "-----BEGIN PGP MESSAGE-----";

/// What a status line begins with.
const STATUS: &str = "[GNUPG:] ";

/// A run of `gpgv` that checks one signature.
#[derive(Debug)]
pub struct OpenPgp {
    file: PathBuf,
    status: Vec<String>,
}

impl Signers {
    /// Lays out in an empty directory of one's own what `gpgv` needs to check this signature. Gives the program with its
    /// arguments, and who takes its answer. Refused if there are no OpenPGP keys that it could be by.
    pub fn ask_gpgv(
        &self,
        signature: &[u8],
        payload: &[u8],
        directory: &Path,
    ) -> Result<std::io::Result<(Vec<String>, OpenPgp)>, Refusal> {
        if self.openpgp.is_empty() {
            return Err(Refusal::UnknownKey {
                key: "it is an OpenPGP key, and the file has SSH keys only".to_owned(),
                file: self.file.clone(),
            });
        }
        Ok(self.lay_out(signature, payload, directory))
    }

    fn lay_out(&self, signature: &[u8], payload: &[u8], directory: &Path) -> std::io::Result<(Vec<String>, OpenPgp)> {
        let put = |name: &str, bytes: &[u8]| {
            let path = directory.join(name);
            std::fs::write(&path, bytes).map(|()| path.to_string_lossy().into_owned())
        };
        let (keyring, signature) = (put("keyring.gpg", &self.openpgp)?, put("signature.asc", signature)?);
        let payload = put("payload", payload)?;
        let home = directory.to_string_lossy().into_owned();
        let words = [PROGRAM, "--status-fd", "1", "--weak-digest", "SHA1", "--homedir"];
        let mut command: Vec<String> = words.map(str::to_owned).to_vec();
        command.extend([home, "--keyring".to_owned(), keyring, signature, payload]);
        let asked = OpenPgp {
            file: self.file.clone(),
            status: Vec::new(),
        };
        Ok((command, asked))
    }
}

/// Whether there is a `gpgv` to be asked.
pub(super) fn is_installed() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(PROGRAM).is_file())
}

impl OpenPgp {
    /// Takes a line of standard output.
    pub fn line(&mut self, text: &str) {
        if let Some(status) = text.strip_prefix(STATUS) {
            self.status.push(status.to_owned());
        }
    }

    /// What the run showed; `passed` if gpgv ended with 0.
    pub fn judge(&self, passed: bool) -> Result<Signer, Refusal> {
        let count = |word: &str| self.fields(word).count();
        if count("NEWSIG") > 1 || count("GOODSIG") > 1 {
            return Err(Refusal::Unsupported("there are several signatures in it".to_owned()));
        }
        // The id of a long key, the name, or nothing that helps.
        let whose = |word: &str| {
            self.fields(word)
                .next()
                .map(|rest| format!("OpenPGP key {}", rest.escape_debug()))
        };
        let not_valid = |word: &str, why: &str| {
            whose(word).map(|key| Refusal::NotValid {
                key,
                why: why.to_owned(),
            })
        };
        let bad = whose("BADSIG").map(|key| Refusal::Wrong { key });
        let unknown = self.fields("NO_PUBKEY").next().map(|id| Refusal::UnknownKey {
            key: format!("OpenPGP key {}", id.escape_debug()),
            file: self.file.clone(),
        });
        let refusal = bad
            .or(unknown)
            .or_else(|| not_valid("REVKEYSIG", "a key that was revoked"))
            .or_else(|| not_valid("EXPKEYSIG", "a key that has expired"))
            .or_else(|| not_valid("EXPSIG", "and the signature has expired"))
            .or_else(|| self.fields("ERRSIG").next().map(|_| unreadable()));
        if let Some(refusal) = refusal {
            return Err(refusal);
        }
        match (passed, self.fields("GOODSIG").next(), self.fields("VALIDSIG").next()) {
            (true, Some(good), Some(valid)) => {
                let name = good.split_once(' ').map_or(good, |(_, name)| name);
                let print = valid.split(' ').next().unwrap_or_default();
                Ok(Signer(format!("{} ({print})", name.escape_debug())))
            }
            _ => Err(unreadable()),
        }
    }

    /// What stands behind a word, for each line that begins with it.
    fn fields<'s>(&'s self, word: &str) -> impl Iterator<Item = &'s str> {
        self.status.iter().filter_map(move |line| match line.split_once(' ') {
            Some((first, rest)) => (first == word).then_some(rest),
            None => (line == word).then_some(""),
        })
    }
}

fn unreadable() -> Refusal {
    Refusal::Unsupported("gpgv can't make anything of it, or refuses its algorithm".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(lines: &[&str], passed: bool) -> Result<String, String> {
        let mut run = OpenPgp {
            file: "/k".into(),
            status: Vec::new(),
        };
        for line in lines {
            run.line(line);
        }
        run.judge(passed)
            .map(|signer| signer.to_string())
            .map_err(|e| e.to_string())
    }

    #[test]
    fn only_one_good_signature_counts() {
        let good = [
            "[GNUPG:] NEWSIG",
            "[GNUPG:] GOODSIG AB Alice <a@x>",
            "[GNUPG:] VALIDSIG ABCD 2026",
        ];
        assert_eq!(judged(&good, true).unwrap(), "Alice <a@x> (ABCD)");
        assert!(judged(&good, false).is_err());
        assert!(judged(&good[..2], true).is_err());
        assert!(judged(&[good, good].concat(), true).unwrap_err().contains("several"));
        assert!(judged(&[], true).is_err());
        assert!(judged(&["GOODSIG AB Alice", "VALIDSIG ABCD"], true).is_err());
        for (word, said) in [
            ("BADSIG AB Alice", "does not fit"),
            ("NO_PUBKEY AB", "not in /k: OpenPGP key AB"),
            ("REVKEYSIG AB Alice", "revoked"),
            ("EXPKEYSIG AB Alice", "key that has expired"),
            ("EXPSIG AB Alice", "signature has expired"),
            ("ERRSIG AB 1 2 00 1 4", "can't be checked"),
        ] {
            let line = format!("[GNUPG:] {word}");
            let mut lines = good.to_vec();
            lines.push(&line);
            assert!(judged(&lines, true).unwrap_err().contains(said), "{word}");
        }
    }
}
