//! The examples are true: each configuration holds, and the files beside it speak of the same things.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process;

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

/// What `packaging/install-rust` finds on a machine without Rust.
const BASICS: &[&str] = &["cat", "chmod", "dirname", "head", "id", "mkdir", "sed", "sh", "sort"];

/// A curl that fetches an installer which works.
const CURL: &str = r#"#!/bin/sh
cat <<'END'
mkdir -p "$CARGO_HOME/bin"
printf '#!/bin/sh\necho cargo 1.999.0\n' >"$CARGO_HOME/bin/cargo"
chmod 755 "$CARGO_HOME/bin/cargo"
END
"#;

/// A cargo that is too old.
const OLD: &str = "#!/bin/sh\necho cargo 1.63.0\n";

/// Runs `packaging/install-rust` without a terminal on a machine with these programs besides [`BASICS`]: exit code, stdout and stderr.
fn install_rust(arguments: &[&str], machine: &Path, programs: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let bin = machine.join("bin");
    fs::create_dir(&bin).unwrap();
    for program in BASICS {
        let places = ["/usr/bin", "/bin"].map(|place| Path::new(place).join(program));
        let found = places.into_iter().find(|path| path.exists()).unwrap();
        symlink(found, bin.join(program)).unwrap();
    }
    for (name, text) in programs {
        fs::write(bin.join(name), text).unwrap();
        fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/install-rust");
    let output = process::Command::new(script)
        .args(arguments)
        .env_clear()
        .env("PATH", &bin)
        .env("HOME", machine)
        .env("CARGO_HOME", machine.join("cargo"))
        .stdin(process::Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn rust_is_installed_where_it_is_missing_or_old_and_somebody_agrees() {
    for programs in [&[("curl", CURL)] as &[_], &[("curl", CURL), ("cargo", OLD)]] {
        let machine = tempfile::tempdir().unwrap();
        let (code, path, told) = install_rust(&[], machine.path(), programs);
        assert_eq!((code, path.as_str()), (Some(1), ""));
        assert!(told.contains("--yes") && told.contains("https://rustup.rs"), "{told}");
        assert!(!machine.path().join("cargo").exists());

        let machine = tempfile::tempdir().unwrap();
        let (code, path, told) = install_rust(&["--yes"], machine.path(), programs);
        assert_eq!(code, Some(0), "{told}");
        let first = path
            .trim_end()
            .split(':')
            .find(|place| Path::new(place).join("cargo").exists());
        assert_eq!(first, machine.path().join("cargo/bin").to_str(), "{path}");
    }
}
