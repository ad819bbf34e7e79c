//! What is shown to a remote: each credential once per connection, to the configured host alone.

use std::cell::Cell;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use git2::{Cred, CredentialType, Error, ErrorClass, ErrorCode};
use percent_encoding::percent_decode_str;

use super::address::Address;
use super::wire::RemoteSpec;
use super::{GitError, GitErrorKind};
use crate::config::Transport;

/// A private key is a few kilobytes.
const KEY_MAX: u64 = 256 * 1024;

/// User for ssh URLs that name none: what all forges use.
const SSH_USER: &str = "git";

/// Gives out the credentials of one ssh connection.
pub(super) struct Wallet<'a> {
    spec: &'a RemoteSpec,
    address: &'a Address,
    shown: Cell<bool>,
}

impl<'a> Wallet<'a> {
    /// For the server at `address`.
    pub(super) fn new(spec: &'a RemoteSpec, address: &'a Address) -> Self {
        Self {
            spec,
            address,
            shown: Cell::new(false),
        }
    }

    /// libgit2 asks for ever while the server says no, so the second time is a refusal.
    pub(super) fn give(&self, url: &str, user: Option<&str>, allowed: CredentialType) -> Result<Cred, GitError> {
        let host = self.address.display();
        if !Address::parse(url).is_some_and(|asking| asking.same_place(self.address)) {
            return Err(for_another(self.address));
        }
        let user = user.or(self.address.user.as_deref());
        if allowed.contains(CredentialType::USERNAME) {
            return Cred::username(user.unwrap_or(SSH_USER)).map_err(|e| other(&e));
        }
        if self.shown.replace(true) {
            return Err(rejected(self.spec, self.address));
        }
        if allowed.contains(CredentialType::SSH_KEY) {
            let key = self.spec.ssh_key.as_deref().ok_or_else(|| {
                refused(format!("{host} requires an ssh key, and none is configured"))
                    .hint("set `ssh_key` of the repo, or `keys` for a submodule, to a private key whose public half is a deploy key there")
            })?;
            check_key_file(key)?;
            return Cred::ssh_key(user.unwrap_or(SSH_USER), None, key, None).map_err(|e| other(&e));
        }
        Err(refused(format!("{host} takes no ssh key")))
    }
}

/// The server has seen what is configured, and wants something else.
pub(super) fn rejected(spec: &RemoteSpec, address: &Address) -> GitError {
    let host = address.display();
    match &spec.ssh_key {
        Some(key) if address.transport == Transport::Ssh => {
            refused(format!("{host} does not accept the ssh key {}", key.display()))
                .hint("add its public half as a deploy key of the repository there")
        }
        _ => refused(format!("{host} does not accept the token"))
            .hint("check that the token has not expired and may read the repository"),
    }
}

/// Somebody else than the server that is configured asks.
pub(super) fn for_another(address: &Address) -> GitError {
    let host = address.display();
    refused(format!(
        "credentials for {host} were asked for on behalf of another host"
    ))
}

/// Credentials for an http server: the token, or those in the URL.
pub(super) fn user_and_password(spec: &RemoteSpec, address: &Address) -> Result<(String, String), GitError> {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let user = address.user.as_deref().map(decoded);
    if let Some(token) = spec.token.as_deref() {
        let (user, password) = split_token(token, user.as_deref(), &address.host);
        return Ok((user.to_owned(), password.to_owned()));
    }
    let url = url::Url::parse(&spec.url).ok();
    match (user, url.as_ref().and_then(url::Url::password)) {
        (Some(user), Some(password)) => Ok((user, decoded(password))),
        _ => Err(refused(format!(
            "{} requires a user and password, and no token is configured",
            address.display()
        ))
        .hint("set `token` of the repo, or check `url`: forges also ask for a password where nothing exists")),
    }
}

/// `USER:TOKEN` names its user; for `TOKEN` alone the URL's user, or a word that the forge ignores or prescribes.
fn split_token<'a>(token: &'a str, user: Option<&'a str>, host: &str) -> (&'a str, &'a str) {
    match (token.split_once(':'), user) {
        (Some((user, password)), _) => (user, password),
        (None, Some(user)) => (user, token),
        (None, None) if host == "bitbucket.org" => ("x-token-auth", token),
        (None, None) => ("x-access-token", token),
    }
}

fn refused(message: String) -> GitError {
    GitError::new(GitErrorKind::Authentication, message)
}

fn other(error: &Error) -> GitError {
    GitError::from_git2(error, "making a credential")
}

/// What goes back through libgit2; the real error is kept aside.
pub(super) fn stop() -> Error {
    Error::new(ErrorCode::User, ErrorClass::Callback, "stopped")
}

/// Looks at a private key before libssh2 does, whose errors help nobody.
fn check_key_file(path: &Path) -> Result<(), GitError> {
    let shown = path.display();
    let unreadable = |e: std::io::Error| refused(format!("ssh key {shown} can't be read: {e}"));
    let about = std::fs::metadata(path).map_err(unreadable)?;
    if !about.is_file() || about.len() > KEY_MAX {
        return Err(refused(format!("ssh key {shown} is not a private key file")));
    }
    // As OpenSSH has it for one's own key; a key that root lends through a group is all right.
    let own = about.uid() == nix::unistd::geteuid().as_raw();
    if about.mode() & if own { 0o077 } else { 0o007 } != 0 {
        return Err(refused(format!(
            "ssh key {shown} can be read by others (mode {:04o})",
            about.mode() & 0o7777
        ))
        .hint(format!("chmod 600 {shown}")));
    }
    let text = std::fs::read(path).map_err(unreadable)?;
    match key_problem(&String::from_utf8_lossy(&text)) {
        None => Ok(()),
        Some((why, hint)) => {
            Err(refused(format!("ssh key {shown} {why}")).hint(hint.replace("KEY", &shown.to_string())))
        }
    }
}

/// The error in the text of a private key, with its remedy, where `KEY` stands for its file.
pub fn key_problem(text: &str) -> Option<(&'static str, &'static str)> {
    check_key(text).err()
}

fn check_key(text: &str) -> Result<(), (&'static str, &'static str)> {
    const MAGIC: &[u8] = b"openssh-key-v1\0";
    const PASSPHRASE: (&str, &str) = (
        "has a passphrase",
        "use a key of its own without one (ssh-keygen -t ed25519 -N '' -f NEW), or remove it (ssh-keygen -p -N '' -f KEY)",
    );
    const STRANGE: (&str, &str) = (
        "is not an OpenSSH or PEM private key",
        "name the private half, not the .pub file; convert PuTTY keys with: puttygen KEY -O private-openssh",
    );
    let text = text.trim_start();
    if !text.starts_with("-----BEGIN ") || !text.lines().next().is_some_and(|l| l.contains("PRIVATE KEY-----")) {
        return Err(STRANGE);
    }
    if text.contains("ENCRYPTED") {
        return Err(PASSPHRASE);
    }
    if text.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----") {
        let body: String = text
            .lines()
            .skip(1)
            .take_while(|l| !l.starts_with('-'))
            .map(str::trim)
            .collect();
        let bytes = STANDARD.decode(body).map_err(|_| STRANGE)?;
        // PROTOCOL.key of OpenSSH: magic, then the cipher's name as a string with a 32-bit length.
        let cipher = bytes
            .strip_prefix(MAGIC)
            .and_then(|rest| rest.get(4..8))
            .ok_or(STRANGE)?;
        if cipher != b"none" {
            return Err(PASSPHRASE);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn openssh(cipher: &str) -> String {
        let mut bytes = b"openssh-key-v1\0".to_vec();
        bytes.extend_from_slice(&u32::try_from(cipher.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(cipher.as_bytes());
        bytes.extend_from_slice(&[0; 16]);
        format!(
            "-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----\n",
            STANDARD.encode(bytes)
        )
    }

    #[test]
    fn keys_with_a_passphrase_are_named_so() {
        assert!(check_key(&openssh("none")).is_ok());
        assert_eq!(check_key(&openssh("aes256-ctr")).unwrap_err().0, "has a passphrase");
        let pem = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n";
        assert_eq!(check_key(pem).unwrap_err().0, "has a passphrase");
        assert!(check_key("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n").is_ok());
        for strange in [
            "",
            "ssh-ed25519 AAAA x",
            "PuTTY-User-Key-File-3: ssh-ed25519",
            "-----BEGIN CERTIFICATE-----",
        ] {
            assert!(check_key(strange).unwrap_err().0.contains("is not"), "{strange}");
        }
    }

    #[test]
    fn token_users() {
        assert_eq!(split_token("gldt:abc", None, "h"), ("gldt", "abc"));
        assert_eq!(split_token("abc", Some("alice"), "h"), ("alice", "abc"));
        assert_eq!(split_token("abc", None, "bitbucket.org"), ("x-token-auth", "abc"));
        assert_eq!(split_token("abc", None, "github.com").0, "x-access-token");
    }
}
