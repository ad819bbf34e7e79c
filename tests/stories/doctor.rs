//! A person asks what is wrong, without systemd: each finding has its fix, and what can't be told is said, too.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::Value;

use crate::support::git_server::GitServer;
use crate::support::world::World;

/// What doctor finds.
fn findings(world: &World) -> Vec<Value> {
    let said = world.hookd(&["doctor", "--json"]);
    let report = said.json();
    assert_eq!(said.code == 0, report["ok"] == true, "{said:?}");
    report["findings"].as_array().unwrap().clone()
}

/// The finding of that level whose text has all these words.
#[track_caller]
fn find<'f>(findings: &'f [Value], level: &str, words: &[&str]) -> &'f Value {
    let fits = |finding: &&Value| {
        let text = finding["text"].as_str().unwrap();
        finding["level"] == level && words.iter().all(|word| text.contains(word))
    };
    findings
        .iter()
        .find(fits)
        .unwrap_or_else(|| panic!("{level} {words:?} is not in {findings:#?}"))
}

/// Types what mends a finding.
#[track_caller]
fn mend(world: &World, finding: &Value) {
    let lines = finding["fix"].as_array().unwrap();
    assert!(!lines.is_empty(), "{finding}");
    for line in lines {
        let path = std::env::var("PATH").unwrap();
        let program = std::path::Path::new(env!("CARGO_BIN_EXE_hookd")).parent().unwrap();
        let output = Command::new("sh")
            .args(["-euc", line.as_str().unwrap()])
            .env("PATH", format!("{}:{path}", program.display()))
            .env("HOOKD_CONFIG", world.path("hookd.toml"))
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{line}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

fn set_mode(world: &World, name: &str, mode: u32) {
    fs::set_permissions(world.path(name), fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_world_that_is_well_has_no_errors() {
    let world = World::site("");
    world.deploy("one");
    let said = world.hookd(&["doctor", "-v"]).expect(0);
    for text in [
        "control socket",
        "repo site: the last webhook came",
        "its last deployment was live",
        "no errors",
    ] {
        assert!(said.out.contains(text), "{text}: {said:?}");
    }
    let report = world.hookd(&["doctor", "--json"]).expect(0).json();
    assert_eq!(report["errors"], 0);
    for finding in report["findings"].as_array().unwrap() {
        assert!(
            finding["area"].is_string() && finding["text"].is_string() && finding["fix"].is_array(),
            "{finding}"
        );
        let level = finding["level"].as_str().unwrap();
        assert!(["ok", "warning", "error", "skipped"].contains(&level), "{finding}");
    }
}

#[test]
fn without_a_daemon_everything_else_is_looked_at() {
    let world = World::still_site("");
    world.site.publish("one");
    let found = findings(&world);
    find(&found, "warning", &["no daemon answers"]);
    find(&found, "skipped", &["systemd"]);
    find(&found, "skipped", &["not known without the daemon"]);
    find(&found, "ok", &["repo site:", "answers with 1 refs"]);
}

#[test]
fn a_broken_configuration_is_told_with_its_places() {
    let world = World::still_site("brnch = \"main\"");
    let found = findings(&world);
    let text = find(&found, "error", &["brnch"]);
    assert!(text["text"].as_str().unwrap().contains("hookd.toml:1"), "{text}");
    assert!(text["hint"].as_str().unwrap().contains("branch"), "{text}");
    find(&found, "skipped", &["need a configuration"]);
}

#[test]
fn secrets_are_mended_by_what_is_printed() {
    let world = World::still_site("");
    world.site.publish("one");
    fs::remove_file(world.path("secret")).unwrap();
    mend(
        &world,
        find(&findings(&world), "error", &["`repo.site.secret`", "is not there"]),
    );
    find(&findings(&world), "ok", &["`repo.site.secret`"]);
    set_mode(&world, "secret", 0o644);
    mend(
        &world,
        find(
            &findings(&world),
            "error",
            &["`repo.site.secret`", "open to every user"],
        ),
    );
    find(&findings(&world), "ok", &["`repo.site.secret`"]);
    world.write_secret("secret", "short");
    let found = findings(&world);
    let short = find(&found, "warning", &["only 5 bytes"]);
    assert!(!format!("{found:?}").contains("\"short\""), "{short}");
    mend(&world, short);
    find(&findings(&world), "ok", &["`repo.site.secret`"]);
    assert!(world.hookd(&["doctor"]).expect(0).out.contains("no errors"));
}

#[test]
fn ssh_keys_and_host_keys_are_mended_by_what_is_printed() {
    let world = World::still("");
    world.site.publish("one");
    let server = GitServer::ssh(world.dir());
    fs::copy(server.ssh_key(), world.path("key")).unwrap();
    set_mode(&world, "key", 0o644);
    fs::create_dir(world.path("state")).unwrap();
    world.configure(&format!(
        "[repo.site]\nurl = \"{}\"\nforge = \"github\"\nsecret = \"file:$DIR/secret\"\nssh_key = \"$DIR/key\"\n\
         [repo.site.deploy.live]\nbranch = \"main\"\npath = \"$DIR/live\"\n",
        server.url("site.git")
    ));
    let found = findings(&world);
    mend(&world, find(&found, "error", &["ssh key", "can be read by others"]));
    find(&found, "error", &["repo site:", "host key"]);
    let unknown = find(&found, "error", &["the key of [127.0.0.1]:", "is in none of"]);
    assert!(unknown["hint"].as_str().unwrap().contains("fingerprints"), "{unknown}");
    mend(&world, unknown);
    let found = findings(&world);
    find(&found, "ok", &["ssh key", "the daemon's alone (ssh-ed25519)"]);
    find(&found, "ok", &["the key of [127.0.0.1]:", "is known"]);
    find(&found, "ok", &["answers with 1 refs"]);
    // Keys that nobody can use while nobody is there.
    fs::rename(server.other_ssh_key("pass"), world.path("locked")).unwrap();
    fs::rename(world.path("locked"), world.path("key")).unwrap();
    find(&findings(&world), "error", &["has a passphrase"]);
}

#[test]
fn what_the_daemon_tells_is_told() {
    let world = World::site("build = \"! grep -q bad index.html\"");
    world.deploy("one");
    world.hookd(&["pause", "site"]).expect(0);
    let paused = findings(&world);
    mend(&world, find(&paused, "warning", &["site/live: paused"]));
    world.site.publish("bad");
    world.hookd(&["deploy", "site"]).expect(1);
    let failed = findings(&world);
    let failed = find(&failed, "error", &["its last deployment", "failed"]);
    assert_eq!(failed["fix"][0], "hookd retry site/live");
    world.site.publish("good");
    mend(&world, failed);
    find(&findings(&world), "ok", &["its last deployment was live"]);

    world.send(&world.pushed().signed("wrong")).expect(401);
    let found = findings(&world);
    let refused = find(&found, "warning", &["repo site: the last delivery", "was refused"]);
    let hint = refused["hint"].as_str().unwrap();
    assert!(hint.contains("/hook/site") && hint.contains("what is in"), "{refused}");
}

#[test]
fn remotes_that_do_not_answer_are_told() {
    let world = World::still_site("");
    world.site.publish("one");
    world
        .site
        .git(&["push", "--quiet", "origin", "HEAD:refs/heads/other", ":refs/heads/main"]);
    find(&findings(&world), "warning", &["site/live", "no ref"]);
    fs::rename(world.path("site.git"), world.path("moved.git")).unwrap();
    find(&findings(&world), "error", &["repo site:", "site.git"]);
}
