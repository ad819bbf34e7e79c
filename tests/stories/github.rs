//! What GitHub really sends, and how it signs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha1::Sha1;

use crate::support::forge::{Delivery, SECRET};
use crate::support::world::World;

fn payloads() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/payloads")
}

/// Recorded bodies with the event that they were sent with.
fn recorded() -> Vec<(String, String, Vec<u8>)> {
    let manifest = fs::read_to_string(payloads().join("MANIFEST.tsv")).unwrap();
    let rows = manifest
        .lines()
        .skip(1)
        .map(|line| line.split('\t').collect::<Vec<_>>());
    let of_github = rows.filter(|row| row[1] == "github" && row[3] == "X-GitHub-Event");
    let read = |row: Vec<&str>| {
        (
            row[0].to_owned(),
            row[4].to_owned(),
            fs::read(payloads().join(row[0])).unwrap(),
        )
    };
    of_github.map(read).collect()
}

/// The full name, also in bodies of 2012, which have just owner and name.
fn full_name(body: &Value) -> Option<String> {
    let repository = &body["repository"];
    let whole = repository["full_name"].as_str().map(str::to_owned);
    whole.or_else(|| {
        Some(format!(
            "{}/{}",
            repository["owner"]["name"].as_str()?,
            repository["name"].as_str()?
        ))
    })
}

/// A repo for each full name; all of them fetch from the same place.
fn config(names: &BTreeMap<String, String>) -> String {
    let one = |(full_name, name): (&String, &String)| {
        format!(
            r#"
[repo.{name}]
url = "$DIR/site.git"
full_name = "{full_name}"
forge = "github"
secret = "file:$DIR/secret"
poll = "off"
[repo.{name}.deploy.branches]
branch = "**"
path = "$DIR/{name}/branches"
[repo.{name}.deploy.tags]
tag = "**"
path = "$DIR/{name}/tags"
"#
        )
    };
    names.iter().map(one).collect()
}

#[test]
fn every_recorded_delivery_is_understood_and_pushes_are_deployed() {
    let recorded = recorded();
    assert!(recorded.len() > 60, "{}", recorded.len());
    let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
    let all: Vec<String> = recorded
        .iter()
        .filter_map(|(_, _, body)| full_name(&json(body)))
        .collect();
    let mut names = BTreeMap::new();
    for full_name in all {
        let next = format!("r{}", names.len());
        names.entry(full_name.to_lowercase()).or_insert(next);
    }
    let mut world = World::still(&config(&names));
    world.site.commit(&[("index.html", "a page")]);
    let is_push = |event: &str, body: &Value| event == "push" && body["deleted"] != true;
    for (_, event, body) in &recorded {
        let body = json(body);
        if is_push(event, &body) {
            world.site.push_to(body["ref"].as_str().unwrap());
        }
    }
    world.start();
    for (path, event, bytes) in &recorded {
        let body = json(bytes);
        let delivery = Delivery::github(event, bytes.clone()).signed(SECRET);
        let Some(name) = full_name(&body) else {
            // Nothing tells whose it is: nothing to do for whoever it is sent to.
            assert_eq!(world.send(&delivery.clone().to("/hook")).status, 200, "{path}");
            assert_eq!(world.send(&delivery.to("/hook/r0")).status, 200, "{path}");
            continue;
        };
        let answer = world.send(&delivery.to("/hook"));
        let (status, said) = match event.as_str() {
            _ if is_push(event, &body) => (202, "accepted"),
            "ping" => (200, "pong"),
            _ => (200, "ignored"),
        };
        assert_eq!(
            (answer.status, answer.word("status").as_str()),
            (status, said),
            "{path}: {}",
            answer.text()
        );
        if status == 202 {
            let kind = if body["ref"].as_str().unwrap().starts_with("refs/tags/") {
                "tags"
            } else {
                "branches"
            };
            let target = format!("{}/{kind}", names[&name.to_lowercase()]);
            assert_eq!(answer.json()["jobs"][0]["target"], target, "{path}");
        }
    }
    world.settled();
    let bad: Vec<Value> = world
        .history()
        .into_iter()
        .filter(|row| row["outcome"] == "failed")
        .collect();
    assert!(bad.is_empty(), "{bad:?}");
    let live = world.outcomes().into_iter().filter(|outcome| outcome == "live").count();
    assert!(live >= 5, "{live}");
}

#[test]
fn the_vector_that_github_publishes_is_verified() {
    let mut world = World::still_site("");
    world.write_secret("secret", "It's a Secret to Everybody");
    world.start();
    let delivery = Delivery::github("push", "Hello, World!");
    let published = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    // It is believed, and only then found to be no JSON.
    let answer = world
        .send(&delivery.clone().header("X-Hub-Signature-256", published))
        .expect(400);
    assert!(answer.word("error").contains("JSON"), "{}", answer.text());
    let upper = published.to_uppercase().replace("SHA256", "sha256");
    world
        .send(&delivery.clone().header("X-Hub-Signature-256", &upper))
        .expect(400);
    let wrong = published.replace("757", "758");
    world.send(&delivery.header("X-Hub-Signature-256", &wrong)).expect(401);
}

#[test]
fn sha1_counts_only_where_it_is_allowed() {
    let config = |allow: &str| {
        format!(
            r#"
$SITE
poll = "off"
{allow}
$LIVE
"#
        )
    };
    let world = World::new(&config(""));
    let commit = world.site.publish("one");
    let delivery = Delivery::push("alice/site", "refs/heads/main", &commit);
    let mut mac = Hmac::<Sha1>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(&delivery.body);
    let signature = format!("sha1={}", hex::encode(mac.finalize().into_bytes()));
    let old = delivery.header("X-Hub-Signature", &signature);
    world.send(&old).expect(401);
    world.configure(&config("allow_sha1 = true"));
    world.daemon().reload();
    // A wrong SHA-256 is never made good by a right SHA-1.
    world
        .send(
            &old.clone()
                .header("X-Hub-Signature-256", &format!("sha256={}", "0".repeat(64))),
        )
        .expect(401);
    world.send(&old).expect(202);
    world.settled();
    assert_eq!(world.served(), "one");
}

#[test]
fn while_a_secret_is_replaced_both_count() {
    let with = |secrets: &str| {
        format!(
            r#"
[repo.site]
url = "$DIR/site.git"
full_name = "alice/site"
forge = "github"
secret = {secrets}
poll = "off"
$LIVE
"#
        )
    };
    let mut world = World::still(&with(r#"["file:$DIR/secret", "file:$DIR/new-secret"]"#));
    world.write_secret("new-secret", "the new one");
    world.start();
    let commit = world.site.publish("one");
    let push = || Delivery::push("alice/site", "refs/heads/main", &commit);
    world.send(&push().signed(SECRET)).expect(202);
    world.send(&push().signed("the new one"));
    world.send(&push().signed("a third one")).expect(401);
    world.configure(&with(r#""file:$DIR/new-secret""#));
    world.daemon().reload();
    world.send(&push().signed(SECRET)).expect(401);
    assert!(world.send(&push().signed("the new one")).status < 300);
    world.settled();
    assert_eq!(world.served(), "one");
}

#[test]
fn one_hook_for_all_repos_finds_each_by_its_name_and_its_secret() {
    let repo = |name: &str, full_name: &str, secret: &str| {
        format!(
            r#"
[repo.{name}]
url = "$DIR/site.git"
full_name = "{full_name}"
forge = "github"
secret = "file:$DIR/{secret}"
poll = "off"
[repo.{name}.deploy.live]
branch = "main"
path = "$DIR/{name}"
"#
        )
    };
    let config = [
        repo("a", "alice/a", "secret"),
        repo("b", "Alice/B", "secret-b"),
        repo("b-again", "alice/b", "secret-c"),
    ]
    .concat();
    let mut world = World::still(&config);
    world.write_secret("secret-b", "the-secret-of-b-1");
    world.write_secret("secret-c", "the-secret-of-c-1");
    world.start();
    let commit = world.site.publish("one");
    let target_of = |full_name: &str, secret: &str| {
        let delivery = Delivery::push(full_name, "refs/heads/main", &commit)
            .signed(secret)
            .to("/hook");
        let answer = world.send(&delivery);
        assert!([200, 202, 401].contains(&answer.status), "{}", answer.text());
        answer.json()["jobs"][0]["target"]
            .as_str()
            .unwrap_or("nobody")
            .to_owned()
    };
    assert_eq!(target_of("alice/a", SECRET), "a/live");
    // Names are compared as GitHub does; of two repos with one name the secret decides.
    assert_eq!(target_of("alice/b", "the-secret-of-b-1"), "b/live");
    assert_eq!(target_of("alice/B", "the-secret-of-c-1"), "b-again/live");
    assert_eq!(target_of("alice/a", "the-secret-of-b-1"), "nobody");
    assert_eq!(target_of("alice/c", SECRET), "nobody");
    world.settled();
}
