//! The configuration, and every secret that it names: there, readable by the daemon, and by nobody else.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Scene;
use super::finding::{Area, Findings};
use crate::access::{Users, UsersError};
use crate::config::{self, Config, Diagnostic, SecretSource};
use crate::exec::quoted;
use crate::machine::drop_in;
use crate::machine::{Access, Account, READ, group_name, rights};
use crate::signature;

/// Rights of "others" on a secret that must not be.
const OPEN_TO_OTHERS: u32 = 0o006;

/// Shortest webhook secret that nobody complains of, bytes: 128 bits as hexadecimal digits are twice as many.
const SECRET_LEAST: usize = 16;

/// Reads the configuration; `None` if it is broken or may not be read, which is a finding.
pub fn read(file: &Path, found: &mut Findings) -> Option<Config> {
    let area = Area::Configuration;
    let closed = |file: &PathBuf| fs::File::open(file).is_err_and(|e| e.kind() == ErrorKind::PermissionDenied);
    if let Some(file) = of_configuration(file).into_iter().find(closed) {
        let text = format!("{} may not be read by you, and most looks begin there", file.display());
        let skipped = found.skipped(area, text);
        skipped.hint("sudo hookd doctor, or become a member of its group and log in again");
        if let Ok(about) = fs::metadata(&file)
            && about.mode() & 0o040 != 0
        {
            let me = Account::numbered(nix::unistd::geteuid());
            skipped.fix(format!("adduser {} {}", me.name, group_name(about.gid())));
        }
        return None;
    }
    let loaded = match config::load(file) {
        Ok(loaded) => loaded,
        Err(report) => {
            for diagnostic in &report.diagnostics {
                let error = found.error(area, in_one_line(diagnostic));
                error.hint.clone_from(&diagnostic.hint);
            }
            return None;
        }
    };
    for diagnostic in &loaded.warnings {
        let warning = found.warning(area, in_one_line(diagnostic));
        warning.hint.clone_from(&diagnostic.hint);
    }
    for problem in signature::problems(&loaded.config) {
        found.error(area, problem.clone());
    }
    let targets: usize = loaded.config.repos.values().map(|repo| repo.targets.len()).sum();
    let repos = loaded.config.repos.len();
    found.ok(area, format!("{}: repos {repos}, targets {targets}", file.display()));
    Some(loaded.config)
}

/// The main file, and the drop-ins beside it.
fn of_configuration(main: &Path) -> Vec<PathBuf> {
    let drop_ins = fs::read_dir(config::drop_ins(main)).into_iter().flatten().flatten();
    let drop_ins = drop_ins
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"));
    std::iter::once(main.to_owned()).chain(drop_ins).collect()
}

fn in_one_line(diagnostic: &Diagnostic) -> String {
    match (diagnostic.line, diagnostic.column) {
        (Some(line), Some(column)) => format!("{}:{line}:{column}: {}", diagnostic.file, diagnostic.message),
        _ => format!("{}: {}", diagnostic.file, diagnostic.message),
    }
}

/// The files of the configuration themselves: the daemon must be able to read them, also at its next reload.
pub fn files(scene: &Scene<'_>, found: &mut Findings) {
    for file in of_configuration(&scene.config.file) {
        readable(scene, Area::Configuration, &file, "the configuration", found);
        if let Ok(about) = fs::metadata(&file)
            && about.mode() & 0o002 != 0
        {
            let text = format!("{} can be written by everybody ({})", file.display(), rights(&about));
            found
                .error(Area::Configuration, text)
                .fix(format!("chmod o-w {}", word(&file)));
        }
    }
}

/// Looks at every secret.
pub fn secrets(scene: &Scene<'_>, found: &mut Findings) {
    let mut all: Vec<(String, String, &SecretSource, usize)> = Vec::new();
    for repo in scene.config.repos.values() {
        let name = &repo.name;
        let of_repo = repo.secret.iter();
        all.extend(of_repo.map(|source| {
            (
                format!("repo.{name}.secret"),
                format!("{name}.secret"),
                source,
                SECRET_LEAST,
            )
        }));
        all.extend(
            repo.token
                .iter()
                .map(|source| (format!("repo.{name}.token"), format!("{name}.token"), source, 1)),
        );
    }
    for (name, api) in &scene.config.forges {
        all.extend(
            api.token
                .iter()
                .map(|source| (format!("forge.{name}.token"), format!("{name}.token"), source, 1)),
        );
    }
    // Credentials come last: what mends one starts the daemon anew, which needs all the files.
    all.sort_by_key(|(_, _, source, _)| matches!(source, SecretSource::Credential(_)));
    for (key, name, source, least) in all {
        one(scene, &key, &name, source, least, found);
    }
    if let Some(users) = scene.config.http.login.as_ref().and_then(|login| login.users.as_ref()) {
        self::users(scene, users, found);
    }
    if let Some(tls) = &scene.config.http.tls {
        for (path, what) in [(&tls.cert, "the certificate"), (&tls.key, "the certificate's key")] {
            if !path.exists() {
                found.error(Area::Secrets, format!("{what} {} is not there", path.display()));
            } else if readable(scene, Area::Secrets, path, what, found) {
                found.ok(Area::Secrets, format!("{what} {} can be read", path.display()));
            }
        }
    }
}

/// The file of those who log in on the page.
fn users(scene: &Scene<'_>, path: &Path, found: &mut Findings) {
    match Users::read(path) {
        Ok(users) if !users.all().is_empty() => {
            if readable(scene, Area::Secrets, path, "the file of users", found) {
                found.ok(
                    Area::Secrets,
                    format!("{} users can log in on the page", users.all().len()),
                );
            }
        }
        Ok(_) | Err(UsersError::Missing(_)) => {
            let text = format!("nobody can log in on the page: {} has no users", path.display());
            found.warning(Area::Secrets, text).fix("hookd user add NAME --role act");
        }
        Err(UsersError::Io(_, error)) if error.kind() == ErrorKind::PermissionDenied => {
            readable(scene, Area::Secrets, path, "the file of users", found);
        }
        Err(error) => {
            let text = format!("nobody can log in on the page: {error}");
            let finding = found.error(Area::Secrets, text);
            if let UsersError::Open(_) = error {
                finding.fix(format!("chmod o-rwx {}", word(path)));
            } else {
                finding.hint = error.hint();
            }
        }
    }
}

fn one(scene: &Scene<'_>, key: &str, name: &str, source: &SecretSource, least: usize, found: &mut Findings) {
    match source {
        SecretSource::InsecureNone => {
            let text = format!("`{key}` is `insecure-none`: whoever reaches the listener can deploy");
            found.warning(Area::Secrets, text);
        }
        SecretSource::Env(variable) => {
            let text = format!("`{key}`: ${variable} is in the daemon's environment, which is not seen from here");
            found.skipped(Area::Secrets, text);
        }
        SecretSource::Credential(credential) => self::credential(scene, key, credential, name, found),
        SecretSource::File(path) => file(scene, key, path, source, least, found),
    }
}

/// How a secret that is not there comes into being: a new one, or a token that only the forge can make.
fn make(path: &Path, owner: &str, key: &str) -> String {
    let file = word(path);
    if key.ends_with(".secret") {
        format!("openssl rand -hex 32 | install -m 400 -o {owner} /dev/stdin {file}")
    } else {
        format!("install -m 400 -o {owner} /dev/stdin {file}    # then paste the token, and press Ctrl-D")
    }
}

fn credential(scene: &Scene<'_>, key: &str, credential: &str, name: &str, found: &mut Findings) {
    let Some(unit) = &scene.machine.unit else {
        let text = format!("`{key}`: credential {credential} is given by a unit, and none is about this configuration");
        found.skipped(Area::Secrets, text);
        return;
    };
    let keys = [
        "LoadCredential",
        "LoadCredentialEncrypted",
        "SetCredential",
        "SetCredentialEncrypted",
    ];
    let given = keys.iter().flat_map(|key| unit.text.each(key));
    let mut of_name = given.filter_map(|(word, setting)| match word.split_once(':') {
        Some((id, path)) if id == credential => Some((path.to_owned(), setting.key.clone())),
        None if word == credential => Some((word, setting.key.clone())),
        _ => None,
    });
    let Some((source, how)) = of_name.next_back() else {
        let path = Path::new("/etc/hookd").join(name);
        let text = format!("`{key}`: the unit has no LoadCredential={credential}:PATH");
        let lines = drop_in(
            &format!("credential-{credential}"),
            &[format!("LoadCredential={credential}:{}", path.display())],
        );
        let error = found.error(Area::Secrets, text);
        if !path.exists() {
            error.fix(make(&path, "root", key));
        }
        error.fix.extend(lines);
        return;
    };
    if how.starts_with("Load")
        && source.starts_with('/')
        && fs::metadata(&source).is_err_and(|e| e.kind() == ErrorKind::NotFound)
    {
        let text = format!("`{key}`: {source}, which the unit loads as {credential}, is not there");
        found
            .error(Area::Secrets, text)
            .fix(make(Path::new(&source), "root", key))
            .fix("systemctl try-restart hookd");
    } else {
        found.ok(
            Area::Secrets,
            format!("`{key}`: the unit gives credential {credential}"),
        );
    }
}

fn file(scene: &Scene<'_>, key: &str, path: &Path, source: &SecretSource, least: usize, found: &mut Findings) {
    let (shown, file) = (path.display(), word(path));
    let owner = scene
        .machine
        .daemon
        .as_ref()
        .map_or("hookd", |account| account.name.as_str());
    let about = match fs::metadata(path) {
        Ok(about) => about,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let error = found.error(Area::Secrets, format!("`{key}`: {shown} is not there"));
            error.fix(make(path, owner, key));
            if key.ends_with(".secret") {
                error.hint(format!(
                    "then type what is in {shown} at the forge, as the webhook's secret"
                ));
            }
            return;
        }
        Err(_) => {
            found
                .skipped(Area::Secrets, format!("`{key}`: you may not look at {shown}"))
                .hint("sudo hookd doctor");
            return;
        }
    };
    if about.mode() & OPEN_TO_OTHERS != 0 {
        let text = format!(
            "`{key}`: {shown} is open to every user of this machine ({})",
            rights(&about)
        );
        let error = found.error(Area::Secrets, text);
        // Whoever has it as one of the others only would be shut out.
        let daemon = scene.machine.daemon.as_ref();
        if daemon.is_some_and(|daemon| daemon.uid == about.uid() || daemon.groups.contains(&about.gid())) {
            error.fix(format!("chmod o-rwx {file}"));
        } else {
            error
                .fix(format!("chown {owner} {file}"))
                .fix(format!("chmod 400 {file}"));
        }
        return;
    }
    if !readable(scene, Area::Secrets, path, &format!("`{key}`:"), found) {
        return;
    }
    match source.read(&|_| None) {
        Ok(Some(secret)) if secret.expose().len() < least => {
            let text = format!(
                "`{key}`: the secret in {shown} has only {} bytes",
                secret.expose().len()
            );
            found
                .warning(Area::Secrets, text)
                .fix(make(path, owner, key))
                .hint("then type it at the forge, too");
        }
        Ok(_) => found.ok(Area::Secrets, format!("`{key}`: {shown} is the daemon's alone")),
        // Whoever asks may not read it; that the daemon may was seen above.
        Err(_) if scene.machine.daemon.as_ref() != Some(&scene.machine.me) && !scene.machine.root() => {
            found.ok(Area::Secrets, format!("`{key}`: {shown} is there, with the right mode"));
        }
        Err(message) => {
            found
                .error(Area::Secrets, format!("`{key}`: {message}"))
                .fix(make(path, owner, key));
        }
    }
}

/// Whether the daemon may read a file; if not, that is a finding.
pub fn readable(scene: &Scene<'_>, area: Area, path: &Path, what: &str, found: &mut Findings) -> bool {
    let Some(daemon) = &scene.machine.daemon else {
        found.skipped(
            area,
            format!("{what} {}: the daemon's user does not exist", path.display()),
        );
        return false;
    };
    match daemon.may(path, READ) {
        Access::Yes => return true,
        Access::Missing(part) => {
            found.error(area, format!("{what} {} is not there", part.display()));
        }
        Access::Unknown(part) => {
            let text = format!("{what} {}: you may not look at {}", path.display(), part.display());
            found.skipped(area, text).hint("sudo hookd doctor");
        }
        Access::No(part) => {
            let about = fs::metadata(&part).map(|about| rights(&about)).unwrap_or_default();
            let text = format!(
                "{what} {} can't be read by {}: {} is {about}",
                path.display(),
                daemon.name,
                part.display()
            );
            let error = found.error(area, text);
            let group = daemon.owner();
            let group = group.split(':').nth(1).unwrap_or("hookd");
            error.fix(format!("chgrp {group} {}", word(&part)));
            error.fix(format!(
                "chmod {} {}",
                if part == path { "g+r" } else { "g+x" },
                word(&part)
            ));
        }
    }
    false
}

/// A path as a word for the shell.
pub fn word(path: &Path) -> String {
    quoted(&path.display().to_string())
}
