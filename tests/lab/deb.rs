//! The package that is tested, a newer one of the same, and the archive for other systems.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::container::{Kind, Machine};

/// Where the packages of this run are made.
const DIRECTORY: &str = env!("CARGO_TARGET_TMPDIR");

#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// The package: `HOOKD_DEB`, which is the release in tests/run, else one with the program that was built with these tests.
pub fn package() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        if let Some(given) = std::env::var_os("HOOKD_DEB") {
            return given.into();
        }
        let path = Path::new(DIRECTORY).join("hookd.deb");
        let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/build-deb");
        run(Command::new(build)
            .args(["--binary", env!("CARGO_BIN_EXE_hookd"), "--output"])
            .arg(&path));
        path
    })
}

/// The same with a higher version: what an upgrade brings.
pub fn newer() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let tree = tempfile::tempdir_in(DIRECTORY).unwrap();
        run(Command::new("dpkg-deb").arg("-R").arg(package()).arg(tree.path()));
        let control = tree.path().join("DEBIAN/control");
        let old = fs::read_to_string(&control).unwrap();
        let version = old.lines().find(|line| line.starts_with("Version: ")).unwrap();
        fs::write(&control, old.replace(version, &format!("{version}.1"))).unwrap();
        let made = tempfile::NamedTempFile::new_in(DIRECTORY).unwrap().into_temp_path();
        run(Command::new("dpkg-deb")
            .arg("-Zgzip")
            .arg("-b")
            .arg(tree.path())
            .arg(&made));
        // Another run of these tests may be copying the one before.
        let path = Path::new(DIRECTORY).join("hookd-newer.deb");
        made.persist(&path).unwrap();
        path
    })
}

/// The archive: `HOOKD_TARBALL`, which is the release in tests/run, else one with the program that was built with these tests.
pub fn archive() -> PathBuf {
    if let Some(given) = std::env::var_os("HOOKD_TARBALL") {
        return given.into();
    }
    let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/build-tarball");
    let made = run(Command::new(build).args(["--binary", env!("CARGO_BIN_EXE_hookd"), "--output", DIRECTORY]));
    made.trim().into()
}

/// A machine with the package installed, and nothing configured.
pub fn installed(kind: Kind) -> Machine {
    let machine = Machine::boot(kind);
    machine.copy(package(), "/root/hookd.deb");
    machine.sh("dpkg -i /root/hookd.deb");
    machine
}
