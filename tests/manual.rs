//! The manual pages that are shipped are those that the program prints.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::path::Path;
use std::process::Command;

#[test]
fn shipped_pages_are_what_the_program_prints() {
    for (page, file) in [
        ("hookd", "hookd.1"),
        ("hookd.toml", "hookd.toml.5"),
        ("hookd-deploy", "hookd-deploy.7"),
    ] {
        let printed = Command::new(env!("CARGO_BIN_EXE_hookd"))
            .args(["man", page])
            .output()
            .unwrap();
        assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
        let path = format!("packaging/man/{file}");
        let shipped = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(&path)).unwrap();
        assert!(
            shipped == printed.stdout,
            "{path} is out of date: cargo run -- man {page} > {path}"
        );
    }
}
