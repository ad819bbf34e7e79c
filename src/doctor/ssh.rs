//! Keys for remotes over ssh, and whether the remotes' own keys are known.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use ssh_key::{Algorithm, PrivateKey};

use super::Scene;
use super::finding::{Area, Findings};
use super::settings::{readable, word};
use crate::config::{Repo, Transport};
use crate::deploy::access;
use crate::exec::quoted;
use crate::git;
use crate::machine::rights;

const AREA: Area = Area::Ssh;

/// Looks at all repos whose remote is asked over ssh.
pub fn look(scene: &Scene<'_>, found: &mut Findings) {
    for repo in scene
        .config
        .repos
        .values()
        .filter(|repo| repo.remote.transport == Transport::Ssh)
    {
        match &repo.ssh_key {
            Some(key) => self::key(scene, repo, key, found),
            None => no_key(scene, repo, found),
        }
        host(scene, repo, found);
    }
}

fn no_key(scene: &Scene<'_>, repo: &Repo, found: &mut Findings) {
    let path = scene
        .config
        .file
        .with_file_name("hookd")
        .join(format!("{}.key", repo.name));
    let owner = scene
        .machine
        .daemon
        .as_ref()
        .map_or("hookd".to_owned(), crate::machine::Account::owner);
    found
        .error(
            AREA,
            format!(
                "repo {}: {} takes an ssh key, and there is no `ssh_key`",
                repo.name, repo.remote.url
            ),
        )
        .fix(format!(
            "ssh-keygen -q -t ed25519 -N '' -C hookd-{} -f {}",
            repo.name,
            word(&path)
        ))
        .fix(format!("chown {owner} {}", word(&path)))
        .hint(format!(
            "then write `ssh_key = \"{0}\"` into [repo.{1}], and add {0}.pub at the forge as a deploy key",
            path.display(),
            repo.name
        ));
}

fn key(scene: &Scene<'_>, repo: &Repo, path: &Path, found: &mut Findings) {
    let what = format!("repo {}: ssh key", repo.name);
    let shown = path.display();
    let Ok(about) = fs::metadata(path) else {
        // Missing, or not to be seen: both are said there.
        readable(scene, AREA, path, &what, found);
        return;
    };
    let owner = scene
        .machine
        .daemon
        .as_ref()
        .map_or("hookd", |account| account.name.as_str());
    let own = scene
        .machine
        .daemon
        .as_ref()
        .is_some_and(|account| account.uid == about.uid());
    // As OpenSSH has it for one's own key; a key that root lends through a group is all right.
    if about.mode() & if own { 0o077 } else { 0o007 } != 0 {
        let text = format!("{what} {shown} can be read by others ({})", rights(&about));
        found
            .error(AREA, text)
            .fix(format!("chown {owner} {}", word(path)))
            .fix(format!("chmod 400 {}", word(path)));
        return;
    }
    if !readable(scene, AREA, path, &what, found) {
        return;
    }
    let Ok(text) = fs::read_to_string(path) else {
        found
            .skipped(AREA, format!("{what} {shown}: you may not read it"))
            .hint("sudo hookd doctor");
        return;
    };
    if let Some((why, hint)) = git::key_problem(&text) {
        let error = found.error(AREA, format!("{what} {shown} {why}"));
        error.hint(hint.replace("KEY", &shown.to_string()));
        return;
    }
    // Older formats have no other types than RSA and ECDSA, which all forges take.
    let algorithm = PrivateKey::from_openssh(&text).map(|key| key.algorithm());
    match algorithm {
        Ok(Algorithm::Dsa) => {
            found.error(
                AREA,
                format!("{what} {shown} is a DSA key, which servers no longer accept"),
            );
        }
        Ok(Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256) => {
            let text = format!("{what} {shown} needs a security key to be touched, and nobody is there to do it");
            found.error(AREA, text);
        }
        Ok(algorithm) => found.ok(AREA, format!("{what} {shown} is the daemon's alone ({algorithm})")),
        Err(_) => found.ok(AREA, format!("{what} {shown} is the daemon's alone")),
    }
}

fn host(scene: &Scene<'_>, repo: &Repo, found: &mut Findings) {
    let access = access(scene.config, &scene.secrets, repo);
    let Some((host, port)) = git::ssh_place(&repo.remote.url) else {
        return;
    };
    for file in access.known_hosts.iter().filter(|file| file.exists()) {
        readable(scene, AREA, file, "known hosts", found);
    }
    let name = if port == 22 {
        host.clone()
    } else {
        format!("[{host}]:{port}")
    };
    let files: Vec<String> = access
        .known_hosts
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    match git::is_known(&access) {
        Ok(true) => found.ok(AREA, format!("repo {}: the key of {name} is known", repo.name)),
        Ok(false) => {
            let text = format!(
                "repo {}: the key of {name} is in none of {}",
                repo.name,
                files.join(", ")
            );
            let port = if port == 22 {
                String::new()
            } else {
                format!("-p {port} ")
            };
            let file = quoted(&files[0]);
            let error = found.error(AREA, text);
            error.fix(format!(
                "ssh-keyscan -t ed25519,ecdsa,rsa {port}{} | tee -a {file} | ssh-keygen -lf -",
                quoted(&host)
            ));
            let published = git::published_fingerprints(&host);
            if published.is_empty() {
                error.hint("compare the fingerprints that it prints with those that the host's owner publishes");
            } else {
                error.hint(format!(
                    "one of the fingerprints that it prints must be: {}",
                    published.join(", ")
                ));
            }
        }
        Err(error) => {
            let told = found.error(AREA, format!("repo {}: {}", repo.name, error.message));
            told.hint.clone_from(&error.hint);
        }
    }
}
