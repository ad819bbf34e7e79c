//! The manual pages and completions that are shipped are those that the program prints.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::path::Path;
use std::process::Command;

#[test]
fn shipped_pages_and_completions_are_what_the_program_prints() {
    let mut stale = Vec::new();
    for (arguments, file) in [
        (["man", "hookd"], "man/hookd.1"),
        (["man", "hookd.toml"], "man/hookd.toml.5"),
        (["man", "hookd-deploy"], "man/hookd-deploy.7"),
        (["completions", "bash"], "completions/hookd.bash"),
        (["completions", "zsh"], "completions/_hookd"),
        (["completions", "fish"], "completions/hookd.fish"),
    ] {
        let printed = Command::new(env!("CARGO_BIN_EXE_hookd"))
            .args(arguments)
            .output()
            .unwrap();
        assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
        let path = format!("packaging/{file}");
        let shipped = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(&path)).unwrap();
        if shipped != printed.stdout {
            stale.push(format!("cargo run -- {} > {path}", arguments.join(" ")));
        }
    }
    assert!(stale.is_empty(), "out of date:\n{}", stale.join("\n"));
}
