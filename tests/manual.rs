//! The manual pages and completions that are shipped are those that the program prints.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::path::Path;
use std::process::Command;

use hookd::config::ForgeKind;

fn page(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/man").join(file);
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn shipped_pages_and_completions_are_what_the_program_prints() {
    let mut stale = Vec::new();
    for (arguments, file) in [
        (["man", "hookd"], "man/hookd.1"),
        (["man", "hookd.toml"], "man/hookd.toml.5"),
        (["man", "hookd-deploy"], "man/hookd-deploy.7"),
        (["man", "hookd-forges"], "man/hookd-forges.7"),
        (["man", "hookd-api"], "man/hookd-api.7"),
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

/// The forges' sections: heading and text, as a reader sees the lines between `.nf` and `.fi`.
fn forges() -> Vec<(String, String)> {
    let page = page("hookd-forges.7").replace("\\-", "-").replace("\\e", "\\");
    let of_forge = |section: &&str| section.contains(".SS hookd.toml");
    let sections = page.split("\n.SH ").filter(of_forge);
    sections
        .map(|section| {
            let (heading, text) = section.split_once('\n').unwrap();
            (heading.to_owned(), text.to_owned())
        })
        .collect()
}

/// What stands between `.nf` and `.fi` after these words.
fn block<'t>(text: &'t str, after: &str) -> &'t str {
    let rest = text.split_once(after).unwrap().1;
    rest.split_once(".nf\n").unwrap().1.split_once("\n.fi").unwrap().0
}

#[test]
fn every_forge_has_its_lines_for_the_web_page_and_for_the_configuration() {
    let forges = forges();
    assert_eq!(forges.len(), ForgeKind::ALL.len(), "{forges:?}");
    for (heading, text) in &forges {
        // SourceHut has no page to type into, just its API.
        if heading != "SOURCEHUT" {
            let lines = block(text, ".SS \"").lines().count();
            assert_eq!(lines, 3, "{heading}");
        }
        assert!(text.contains("https://blog.example.org/hook/blog"), "{heading}");
        assert!(text.contains(".SS \"Mind\""), "{heading}");
    }
}

#[test]
fn the_lines_for_the_configuration_are_accepted() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("hookd.toml");
    for (heading, text) in forges() {
        let lines = block(&text, ".SS hookd.toml");
        let mut config = vec![format!("state_dir = \"{}\"", directory.path().display())];
        if !lines.starts_with("[repo.") {
            config.push("[repo.blog]".to_owned());
        }
        // In the repo's own table, before what may follow it.
        let (own, others) = lines.split_once("\n[repo.blog.").unwrap_or((lines, ""));
        config.push(own.to_owned());
        if !own.contains("url ") {
            config.push("url = \"https://git.example.org/alice/blog.git\"".to_owned());
        }
        if heading != "SOURCEHUT" {
            config.push("secret = \"env:SECRET\"".to_owned());
        }
        if !others.is_empty() {
            config.push(format!("[repo.blog.{others}"));
        }
        let name = own
            .strip_prefix("[repo.")
            .map_or("blog", |rest| rest.split(']').next().unwrap());
        config.push(format!(
            "[repo.{name}.deploy.live]\nbranch = \"main\"\npath = \"/srv/blog\"\n"
        ));
        let config = config.join("\n");
        std::fs::write(&file, &config).unwrap();
        let checked = Command::new(env!("CARGO_BIN_EXE_hookd"))
            .arg("check")
            .arg("--config")
            .arg(&file)
            .env("SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwXtkKCQTN3Lw=")
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&checked.stdout).into_owned() + &String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success(), "{heading}: {told}\n{config}");
    }
}
