//! A configuration with mistakes: all of them are told at once, each with its place and what to do.

use crate::support::world::World;

const TEN: &str = r#"state_dir = "$DIR/state"
control = 5
max_jobs = 0

[repo.blog]
url = "https://alice:hunter2@example.org/alice/blog.git"
poll = "ten minutes"
forge = "githab"

[repo.blog.deploy.production]
branch = "main"
tag = "v*"
path = "$DIR/live"
biuld = "make"
keep = -1

[repo.shop]
url = "https://github.com/alice/shop.git"
secret = "hunter2"
[repo.shop.deploy.live]
path = "$DIR/shop"
"#;

/// The line of each mistake, and a word that its message must have.
const EXPECTED: [(usize, &str); 11] = [
    (2, "control"),
    (3, "max_jobs"),
    (5, "secret"),
    (6, "password"),
    (7, "poll"),
    (8, "githab"),
    (12, "tag"),
    (14, "biuld"),
    (15, "keep"),
    (19, "secret"),
    (20, "branch"),
];

#[test]
fn a_file_with_ten_mistakes_and_one_tells_all_of_them() {
    let world = World::still("");
    world.configure_whole(TEN);
    let said = world.hookd(&["check"]).expect(78);
    let file = world.path("hookd.toml");
    let places: Vec<&str> = said
        .err
        .lines()
        .filter(|line| line.starts_with(&*file.to_string_lossy()))
        .collect();
    for (line, word) in EXPECTED {
        let place = format!("{}:{line}:", file.display());
        let found = places
            .iter()
            .find(|text| text.starts_with(&place) && text.contains(word));
        assert!(found.is_some(), "nothing about `{word}` in line {line}:\n{}", said.err);
    }
    assert!(places.len() >= EXPECTED.len(), "{}", said.err);
    assert!(
        said.err.matches('^').count() >= EXPECTED.len(),
        "a caret under each:\n{}",
        said.err
    );
    assert!(
        said.err.contains("did you mean `build`") && said.err.contains("`github`"),
        "{}",
        said.err
    );
    assert!(!said.err.contains("hunter2"), "a password is told:\n{}", said.err);

    let json = world.hookd(&["check", "--json"]).expect(78).json();
    assert_eq!(json["ok"], false);
    assert!(json["errors"].as_array().unwrap().len() >= EXPECTED.len());
    assert_eq!(world.try_start().err().and_then(|status| status.code()), Some(78));
    assert!(world.log().contains("did you mean `build`"));
}

#[test]
fn a_secret_that_no_forge_can_have_is_told_at_its_place() {
    let world = World::still_site("");
    let place = format!("{}:9:10: ", world.path("hookd.toml").display());
    for (secret, words) in [
        ("pasted ", "begins or ends with a blank"),
        ("\u{feff}pasted", "byte order mark"),
        ("one\ntwo", "several lines"),
    ] {
        world.write_secret("secret", secret);
        let said = world.hookd(&["check"]).expect(78);
        assert!(said.err.contains(words) && said.err.contains(&place), "{said:?}");
        assert!(said.err.contains("hint: ") && !said.err.contains("pasted"), "{said:?}");
        assert_eq!(world.try_start().err().and_then(|status| status.code()), Some(78));
    }
}

#[test]
fn a_configuration_that_was_named_and_is_not_there_is_told_by_every_command() {
    let world = World::still_site("");
    for arguments in [
        &["check"][..],
        &["status"],
        &["history"],
        &["deliveries"],
        &["logs", "1"],
        &["deploy", "site"],
        &["explain", "1"],
        &["send", "site"],
        &["serve"],
    ] {
        let mut all = arguments.to_vec();
        all.extend(["--config", "/no/such/typo.toml"]);
        let said = world.hookd(&all).expect(78);
        assert!(said.err.contains("/no/such/typo.toml"), "{arguments:?}: {said:?}");
    }
}

#[test]
fn what_only_the_machine_can_tell_is_warned_of_at_its_place() {
    let world = World::still_site("run_as = \"nobody-like-this\"\n");
    let said = world.hookd(&["check"]).expect(0);
    let place = format!("{}:14:10: warning: `run_as`", world.path("hookd.toml").display());
    assert!(said.err.contains(&place) && said.err.contains("useradd"), "{said:?}");
}

#[test]
fn the_schema_is_printed_without_a_configuration() {
    let world = World::still("");
    let schema = world.hookd(&["schema"]).expect(0).json();
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-04/schema#");
    let example = world.hookd(&["schema", "--example"]).expect(0).out;
    world.configure_whole(&example.replace("file:/etc/hookd/blog.secret", "env:HOME"));
    let mut check = world.hookd_command(&["check"]);
    assert!(
        check
            .env("HOME", "/a/secret/of/enough/bytes")
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn what_is_wrong_with_a_secret_is_told_before_anything_listens() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::still_site("");
    let refused = |words: &str| {
        let said = world.hookd(&["check"]).expect(78);
        assert!(said.err.contains(words), "{said:?}");
        assert_eq!(
            world.try_start().err().and_then(|status| status.code()),
            Some(78),
            "{words}"
        );
    };
    std::fs::set_permissions(world.path("secret"), std::fs::Permissions::from_mode(0o644)).unwrap();
    refused("is open to every user of this machine");
    world.write_secret("secret", "");
    refused("is empty");
    std::fs::remove_file(world.path("secret")).unwrap();
    refused("cannot be read");
}

#[test]
fn the_file_and_the_secrets_that_it_names_are_judged_at_once() {
    let world = World::still_site("env = { A = \"$HOME/x\" }\nbiuld = \"make\"\n");
    world.write_secret("secret", "seven77");
    let said = world.hookd(&["check"]).expect(78);
    for words in ["`biuld`", "fewer than 8 bytes", "warning: `env`: `A` has a variable"] {
        assert!(said.err.contains(words), "{words}: {}", said.err);
    }
    let report = world.hookd(&["check", "--json"]).expect(78).json();
    let count = |kind: &str| report[kind].as_array().unwrap().len();
    assert_eq!((count("errors"), count("warnings")), (2, 1), "{report}");
}

#[test]
fn a_short_secret_is_warned_of_at_its_place() {
    let world = World::still_site("");
    world.write_secret("secret", "fifteen-bytes15");
    let report = world.hookd(&["check", "--json"]).expect(0).json();
    let warning = &report["warnings"][0]["diagnostic"];
    assert_eq!(warning["line"], 9, "{report}");
    assert!(
        warning["message"].as_str().unwrap().contains("fewer than 16 bytes"),
        "{report}"
    );
    world.write_secret("secret", "sixteen-bytes-16");
    let report = world.hookd(&["check", "--json"]).expect(0).json();
    assert_eq!(report["warnings"].as_array().unwrap().len(), 0, "{report}");
}
