//! The manual pages and completions that are shipped are those that the program and the sources give; and the English of the tree.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hookd::config::ForgeKind;

/// The files of that extension below a directory of the repository: names from there, and texts.
fn files(directory: &str, extension: &str) -> Vec<(String, String)> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut directories, mut found) = (vec![top.join(directory)], Vec::new());
    while let Some(directory) = directories.pop() {
        for path in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    let named = |path: PathBuf| {
        let name = path.strip_prefix(top).unwrap().to_str().unwrap().to_owned();
        (name, fs::read_to_string(path).unwrap())
    };
    found.into_iter().map(named).collect()
}

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

/// Fewest words that are a phrase: what is as long as this by chance is rare.
const PHRASE: usize = 12;

#[test]
fn the_manual_says_nothing_twice() {
    let mut seen: BTreeMap<Vec<String>, String> = BTreeMap::new();
    let mut twice = Vec::new();
    for (name, page) in files("packaging/man", "md") {
        let mut is_code = false;
        let prose = page.lines().map(|line| {
            let fence = line.trim_start().starts_with("```");
            is_code ^= fence;
            let ends = ["#", "- ", ":   "];
            if fence || is_code || line.is_empty() || ends.iter().any(|end| line.starts_with(end)) {
                format!("\u{b6}{}", if is_code || fence { "" } else { line })
            } else {
                line.to_owned()
            }
        });
        let plain = prose.collect::<Vec<_>>().join("\n").replace(['`', '*'], "");
        let plain = plain.replace('|', "\u{b6}");
        for paragraph in plain.split('\u{b6}') {
            let words: Vec<String> = paragraph.split_whitespace().map(str::to_lowercase).collect();
            for phrase in words.windows(PHRASE) {
                if let Some(first) = seen.insert(phrase.to_vec(), name.clone()) {
                    twice.push(format!("{first}, {name}: {}", phrase.join(" ")));
                }
            }
        }
    }
    assert!(seen.len() > 2000, "only {} phrases were found", seen.len());
    assert!(
        twice.is_empty(),
        "said twice; say it once and refer to it:\n{}",
        twice.join("\n")
    );
}

/// Phrases that are never plain English, and what to write instead. See CONTRIBUTING.md, "Style".
const PHRASES: &[(&str, &str)] = &[
    ("at the begin ", "at the start"),
    ("asked for by", "requested by, started by"),
    ("belongs into", "belongs in"),
    ("belong into", "belong in"),
    ("come about", "happened"),
    ("takes units of", "requires `isolation`"),
    ("would not hold", "is invalid"),
];

#[test]
fn the_text_is_plain_english() {
    let mut texts = Vec::new();
    for (directory, extension) in [("src", "rs"), ("packaging/man", "md"), ("examples", "md")] {
        texts.extend(files(directory, extension));
    }
    for name in ["README.md", "SECURITY.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] {
        // The table of CONTRIBUTING.md shows what not to write.
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
        let plain = text
            .lines()
            .filter(|line| !line.starts_with('|'))
            .collect::<Vec<_>>()
            .join("\n");
        texts.push((name.to_owned(), plain));
    }
    let mut wrong = Vec::new();
    for (name, text) in &texts {
        for (at, line) in text.lines().enumerate() {
            let found = PHRASES.iter().filter(|(phrase, _)| line.contains(phrase));
            wrong.extend(found.map(|(phrase, better)| format!("{name}:{}: `{phrase}`: {better}", at + 1)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
