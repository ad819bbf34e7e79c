//! The manual pages and completions that are shipped are those that the program prints.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

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

/// What a page says, as a terminal shows it: versions of pandoc differ in how they write it.
fn words(page: &str) -> String {
    let mut groff = Command::new("groff")
        .args(["-t", "-man", "-Tascii", "-rHY=0", "-rLL=200n"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = groff.stdin.take().unwrap();
    input.write_all(page.as_bytes()).unwrap();
    drop(input);
    let shown = groff.wait_with_output().unwrap();
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    let text = String::from_utf8(shown.stdout).unwrap();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn shipped_pages_are_what_their_sources_say() {
    for (source, printed) in [
        ("hookd.1.md", "hookd.1.in"),
        ("hookd.toml.5.md", "hookd.toml.5.in"),
        ("hookd-api.7.md", "hookd-api.7.in"),
        ("hookd-deploy.7.md", "hookd-deploy.7"),
        ("hookd-forges.7.md", "hookd-forges.7"),
    ] {
        let made = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/man/print"))
            .arg(source)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let made = String::from_utf8(made.stdout).unwrap();
        let printed_page = page(printed);
        // Where the program adds to the page is a comment, which no terminal shows.
        let marks = |page: &str| page.matches("\n.\\\" ").count();
        assert_eq!(marks(&made), marks(&printed_page), "{printed}");
        assert!(
            words(&made) == words(&printed_page),
            "packaging/man/{printed} is out of date: packaging/man/print"
        );
    }
}

/// The forges' sections: heading and text, as written.
fn forges() -> Vec<(String, String)> {
    let page = page("hookd-forges.7.md");
    let of_forge = |section: &&str| section.contains("## hookd.toml");
    let sections = page.split("\n# ").filter(of_forge);
    sections
        .map(|section| {
            let (heading, text) = section.split_once('\n').unwrap();
            (heading.to_owned(), text.to_owned())
        })
        .collect()
}

/// The first block of code after these words.
fn block<'t>(text: &'t str, after: &str) -> &'t str {
    let rest = text.split_once(after).unwrap().1;
    rest.split_once("```\n").unwrap().1.split_once("\n```").unwrap().0
}

#[test]
fn every_forge_has_its_lines_for_the_web_page_and_for_the_configuration() {
    let forges = forges();
    assert_eq!(forges.len(), ForgeKind::ALL.len(), "{forges:?}");
    for (heading, text) in &forges {
        // SourceHut has no page to type into, just its API.
        if heading != "SOURCEHUT" {
            let lines = block(text, "\n## ").lines().count();
            assert_eq!(lines, 3, "{heading}");
        }
        assert!(text.contains("https://blog.example.org/hook/blog"), "{heading}");
        assert!(text.contains("## Mind"), "{heading}");
    }
}

#[test]
fn the_lines_for_the_configuration_are_accepted() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("hookd.toml");
    for (heading, text) in forges() {
        let lines = block(&text, "## hookd.toml");
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
