//! The examples are true: each configuration holds, and the files beside it speak of the same things.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::fs;
use std::path::{Path, PathBuf};

use hookd::config::{self, Check, Command};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

fn configurations() -> Vec<PathBuf> {
    let below = |directory: &Path| {
        let entries = fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect::<Vec<_>>()
    };
    let mut found: Vec<PathBuf> = below(&examples());
    found.extend(
        found
            .clone()
            .iter()
            .filter(|path| path.is_dir())
            .flat_map(|path| below(path)),
    );
    found.retain(|path| path.extension().is_some_and(|e| e == "toml"));
    found
}

#[test]
fn each_configuration_holds_without_a_warning() {
    let found = configurations();
    assert!(found.len() >= 3, "{found:?}");
    for file in found {
        let loaded = config::load_in(&file, &|_| None).unwrap_or_else(|report| panic!("{report}"));
        assert_eq!(loaded.warnings, [], "{}", file.display());
        assert!(loaded.config.repos.values().all(|repo| !repo.targets.is_empty()));
    }
}

#[test]
fn nginx_serves_what_hookd_deploys_and_passes_on_what_the_forge_sends() {
    let directory = examples().join("static-site");
    let loaded = config::load_in(&directory.join("hookd.toml"), &|_| None).unwrap();
    let nginx = fs::read_to_string(directory.join("nginx.conf")).unwrap();
    let repo = loaded.config.repos.values().next().unwrap();
    let target = repo.targets.values().next().unwrap();
    assert!(nginx.contains(&format!("root {}/current", target.path.display())));
    let config::Listen::Tcp(listen) = &loaded.config.listen[0] else {
        panic!()
    };
    assert!(nginx.contains(&format!("proxy_pass http://{listen};")));
    assert!(nginx.contains(&format!("/hook/{}", repo.name)));
    assert!(nginx.contains(&format!("client_max_body_size {}m;", loaded.config.limits.body >> 20)));
    let Some(Check::Url(url)) = &target.check else { panic!() };
    assert!(nginx.contains(&format!("listen {}:{};", url.host_str().unwrap(), url.port().unwrap())));
}

#[test]
fn the_service_runs_what_hookd_deploys_and_hookd_may_restart_it() {
    let directory = examples().join("systemd-app");
    let loaded = config::load_in(&directory.join("hookd.toml"), &|_| None).unwrap();
    let read = |name: &str| fs::read_to_string(directory.join(name)).unwrap();
    let (unit, rule) = (read("guestbook.service"), read("50-hookd-guestbook.rules"));
    let target = loaded
        .config
        .repos
        .values()
        .next()
        .unwrap()
        .targets
        .values()
        .next()
        .unwrap()
        .clone();
    let path = target.path.display();
    assert!(unit.contains(&format!("WorkingDirectory={path}/current\n")));
    assert!(unit.contains(&format!("EnvironmentFile={path}/shared/{}\n", target.shared[0])));
    let Some(Command::Argv(reload)) = &target.reload else {
        panic!()
    };
    let [program, verb, service] = reload.as_slice() else {
        panic!()
    };
    assert_eq!(program, "systemctl");
    assert!(directory.join(service).exists());
    assert!(rule.contains(&format!("== \"{service}\"")) && rule.contains(&format!("== \"{verb}\"")));
}
