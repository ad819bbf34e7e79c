//! Reads the secrets from their sources. No message holds a secret, or a part of one.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use zeroize::Zeroizing;

use super::Environment;
use super::channel::Channel;
use super::diagnostic::Diagnostic;
use super::fitting::{self, Use};
use super::types::{Config, Secrets};
use super::value::SecretSource;
use crate::model::Secret;

/// Largest secret: the longest keys in use are a few hundred bytes, and a disk image is not read.
const SECRET_MAX: u64 = 64 << 10;

/// Rights of "others" on the file of a secret that must not be: reading tells it, writing changes it.
const OPEN_TO_OTHERS: u32 = 0o006;

/// Where systemd has the credentials of the unit while it runs: for root, who checks or sends by hand.
const UNIT_CREDENTIALS: &str = "/run/credentials/hookd.service";

/// Why one secret can't be had, and what to do.
struct Unreadable(String, Option<String>);

impl Secrets {
    /// Reads all secrets; or says of each that can't be had why.
    pub fn read(config: &Config) -> Result<Self, Vec<Diagnostic>> {
        Self::read_in(config, &|name| std::env::var_os(name))
    }

    /// Like [`Self::read`], with the environment variables that `environment` gives.
    pub fn read_in(config: &Config, environment: Environment) -> Result<Self, Vec<Diagnostic>> {
        let mut secrets = Self::default();
        let mut diagnostics = Vec::new();
        let mut get = |key: &str, number: usize, source: &SecretSource, purpose| {
            let read = read_one(source, environment).and_then(|secret| fitting_one(source, secret, purpose));
            read.unwrap_or_else(|Unreadable(message, hint)| {
                diagnostics.push(config.error_at(key, number, format!("`{key}`: {message}"), hint));
                None
            })
        };
        for (name, repo) in &config.repos {
            let (key, purpose) = (format!("repo.{name}.secret"), Use::Webhook(repo.forge));
            let sources = repo.secret.iter().enumerate();
            let webhook = sources.filter_map(|(number, source)| get(&key, number, source, purpose));
            secrets.webhook.insert(name.clone(), webhook.collect());
            let key = format!("repo.{name}.token");
            let token = repo.token.as_ref().and_then(|source| get(&key, 0, source, Use::Token));
            secrets.token.extend(token.map(|token| (name.clone(), token)));
        }
        for (name, api) in &config.forges {
            let key = format!("forge.{name}.token");
            let purpose = if api.app_id.is_some() {
                Use::PrivateKey
            } else {
                Use::Token
            };
            let token = api.token.as_ref().and_then(|source| get(&key, 0, source, purpose));
            secrets.forge.extend(token.map(|token| (name.clone(), token)));
        }
        for (name, notify) in &config.notify {
            let (url, key) = sources(&notify.channel);
            let place = format!("notify.{name}.url");
            let url = url.and_then(|source| get(&place, 0, source, Use::Token));
            secrets.notify_url.extend(url.map(|url| (name.clone(), url)));
            let place = format!("notify.{name}");
            let key = key.and_then(|source| get(&place, 0, source, Use::Token));
            secrets.notify.extend(key.map(|key| (name.clone(), key)));
        }
        if diagnostics.is_empty() {
            Ok(secrets)
        } else {
            Err(diagnostics)
        }
    }
}

impl Config {
    /// The files that secrets, private keys and hashes of passwords are read from, as far as the configuration names them.
    pub fn secret_files(&self) -> Vec<PathBuf> {
        let file = |source: &SecretSource| match source {
            SecretSource::File(path) => Some(path.clone()),
            _ => None,
        };
        let mut all = Vec::new();
        for repo in self.repos.values() {
            all.extend(repo.secret.iter().chain(&repo.token).filter_map(file));
            all.extend(repo.ssh_key.clone());
            all.extend(repo.keys.iter().map(|(_, key)| key.clone()));
        }
        all.extend(self.forges.values().filter_map(|forge| file(forge.token.as_ref()?)));
        for notify in self.notify.values() {
            let (url, key) = sources(&notify.channel);
            all.extend(url.into_iter().chain(key).filter_map(file));
        }
        all.extend(self.http.tls.as_ref().map(|tls| tls.key.clone()));
        all.extend(self.http.login.as_ref().and_then(|login| login.users.clone()));
        all
    }
}

/// What a channel reads: its URL where that is a secret, and its secret, token or password.
fn sources(channel: &Channel) -> (Option<&SecretSource>, Option<&SecretSource>) {
    match channel {
        Channel::Post { url, key, .. } => (url.secret(), key.as_ref()),
        Channel::Email(mail) => (None, mail.password.as_ref()),
        Channel::Command(_) => (None, None),
    }
}

/// What stands for a secret in a text.
const MASK: &str = "***";

/// Shortest secret that is masked, bytes: shorter ones are no secrets, and stand in many words.
const MASKED_MIN: usize = 6;

/// Below so many bytes a webhook secret is worth a warning: 16 random bytes are what can't be guessed.
const SECRET_ADVISED: usize = 16;

impl Secrets {
    /// Webhook secrets that are taken, and shorter than they should be.
    pub fn warnings(&self, config: &Config) -> Vec<Diagnostic> {
        let is_short = |secrets: &[Secret]| secrets.iter().any(|secret| secret.expose().len() < SECRET_ADVISED);
        let short = self.webhook.iter().filter(|(_, secrets)| is_short(secrets));
        let hint = "make one, and give it to the forge, too: openssl rand -hex 32";
        short
            .map(|(repo, _)| {
                let message = format!("repo {repo}: a secret has fewer than {SECRET_ADVISED} bytes");
                config.warning_at(&format!("repo.{repo}.secret"), message, Some(hint.to_owned()))
            })
            .collect()
    }

    /// The text without any of the secrets: what a command printed may hold one.
    pub fn mask(&self, text: &str) -> String {
        let all = self.webhook.values().flatten();
        let all = all.chain(self.token.values()).chain(self.forge.values());
        let all = all.chain(self.notify_url.values()).chain(self.notify.values());
        let texts = all.filter_map(|secret| std::str::from_utf8(secret.expose()).ok());
        texts
            .filter(|secret| secret.len() >= MASKED_MIN)
            .fold(text.to_owned(), |text, secret| text.replace(secret, MASK))
    }
}

impl SecretSource {
    /// Reads the secret that stands there, for whatever it is used; none for `insecure-none`.
    pub fn read(&self, environment: Environment) -> Result<Option<Secret>, String> {
        read_one(self, environment).map_err(|Unreadable(message, _)| message)
    }
}

fn read_one(source: &SecretSource, environment: Environment) -> Result<Option<Secret>, Unreadable> {
    let (what, bytes) = match source {
        SecretSource::InsecureNone => return Ok(None),
        SecretSource::Env(variable) => {
            let value = environment(variable);
            let missing = || Unreadable(format!("the environment has no variable {variable}"), None);
            (
                variable.clone(),
                Zeroizing::new(value.ok_or_else(missing)?.into_encoded_bytes()),
            )
        }
        // systemd gives credentials to the unit's user alone, so the rights of the file are its business.
        SecretSource::Credential(name) => {
            let path = credential(name, environment)?;
            (path.display().to_string(), read_file(&path, 0)?)
        }
        SecretSource::File(path) => (path.display().to_string(), read_file(path, OPEN_TO_OTHERS)?),
    };
    let secret = without_line_end(&bytes);
    if secret.is_empty() {
        return Err(Unreadable(
            format!("{what} is empty"),
            Some("make one: openssl rand -hex 32".to_owned()),
        ));
    }
    Ok(Some(Secret::new(secret.to_vec())))
}

/// The secret, if it can be the one that the forge has.
fn fitting_one(source: &SecretSource, secret: Option<Secret>, purpose: Use) -> Result<Option<Secret>, Unreadable> {
    let unfit = secret
        .as_ref()
        .and_then(|secret| fitting::refuse(secret.expose(), purpose));
    let Some((message, hint)) = unfit else {
        return Ok(secret);
    };
    Err(Unreadable(
        format!("the secret of {source} {message}"),
        Some(hint.to_owned()),
    ))
}

fn credential(name: &str, environment: Environment) -> Result<PathBuf, Unreadable> {
    if let Some(directory) = environment("CREDENTIALS_DIRECTORY") {
        return Ok(Path::new(&directory).join(name));
    }
    let of_unit = Path::new(UNIT_CREDENTIALS).join(name);
    if of_unit.exists() {
        return Ok(of_unit);
    }
    let hint = format!(
        "the unit needs `LoadCredential={name}:PATH`, and while it runs, root can read it; outside systemd, use `file:PATH`"
    );
    Err(Unreadable("there is no $CREDENTIALS_DIRECTORY".to_owned(), Some(hint)))
}

fn read_file(path: &Path, refused: u32) -> Result<Zeroizing<Vec<u8>>, Unreadable> {
    let shown = path.display();
    let failed = |e: std::io::Error| {
        let hint = (e.kind() == std::io::ErrorKind::PermissionDenied)
            .then(|| format!("let the daemon's group read it: chown root:hookd {shown}; chmod 640 {shown}"));
        Unreadable(format!("{shown} cannot be read: {e}"), hint)
    };
    // Without blocking: a named pipe would hold up the start for ever.
    let mut options = OpenOptions::new();
    let file: File = options
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path)
        .map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(Unreadable(format!("{shown} is not a file"), None));
    }
    if metadata.permissions().mode() & refused != 0 {
        let message = format!("{shown} is open to every user of this machine");
        return Err(Unreadable(message, Some(format!("chmod 640 {shown}"))));
    }
    // Room for all of it, so that growing leaves no copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(
        usize::try_from(metadata.len().min(SECRET_MAX)).unwrap_or(0) + 2,
    ));
    file.take(SECRET_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > SECRET_MAX {
        return Err(Unreadable(
            format!("{shown} has more than {SECRET_MAX} bytes: not a secret"),
            None,
        ));
    }
    Ok(bytes)
}

/// Editors and `echo` end a file with a line end, which is not part of the secret.
fn without_line_end(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}
