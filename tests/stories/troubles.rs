//! What is wrong around a target, and is no fault of its deployments: the webhook, the channels, the disk, old releases.

use std::fs;

use serde_json::Value;

use crate::support::forge::{Delivery, SECRET};
use crate::support::receiver::{Receiver, plain};
use crate::support::world::{World, wait_until};

/// The problem of that code of `site/live`, when it comes, as every face has it.
#[track_caller]
fn shown(world: &World, code: &str) -> Value {
    let of = |status: &Value| -> Option<Value> {
        let problems = status["targets"][0]["problems"].as_array().unwrap();
        problems.iter().find(|problem| problem["code"] == code).cloned()
    };
    let mut found = None;
    wait_until(code, || {
        found = of(&world.hookd(&["status", "--json"]).expect(0).json());
        found.is_some()
    });
    let problem = found.unwrap();
    let (text, hint) = (problem["text"].as_str().unwrap(), problem["hint"].as_str().unwrap());
    // Free space changes from one look to the next.
    let text = text.trim_start_matches(|c: char| c.is_ascii_digit());
    assert!(!text.is_empty() && !hint.is_empty(), "{problem}");
    world.hookd(&["status", "--check"]).expect(1);
    let status = world.hookd(&["status"]).expect(0).out;
    assert!(status.contains(text), "{text}: {status}");
    let metrics = world.ask("GET", "/metrics", "").unwrap().text();
    let sample = format!("hookd_target_problem{{target=\"site/live\",code=\"{code}\"}} 1");
    assert_eq!(metrics.lines().filter(|line| **line == *sample).count(), 1, "{metrics}");
    let page = world.ask("GET", "/", "").unwrap().text();
    assert!(
        page.contains(&text[..text.find(['"', '<', '&']).unwrap_or(text.len())]),
        "{text}: {page}"
    );
    problem
}

/// `site/live` has no problem any more.
#[track_caller]
fn is_well(world: &World) {
    wait_until("the target is well", || {
        world.hookd(&["status", "--check"]).code == 0
            && world.target("site/live")["problems"] == Value::Array(Vec::new())
    });
}

/// The level and the hint of what doctor finds with these words.
#[track_caller]
fn diagnosed(world: &World, words: &str) -> (String, String) {
    let doctor = world.hookd(&["doctor", "--json"]).json();
    let findings = doctor["findings"].as_array().unwrap();
    let found = findings
        .iter()
        .find(|one| one["text"].as_str().unwrap().contains(words));
    let found = found.unwrap_or_else(|| panic!("{words}: {doctor}"));
    (found["level"].as_str().unwrap().to_owned(), found["hint"].to_string())
}

#[test]
fn a_webhook_of_another_name_is_told_until_a_matching_one_comes() {
    let world = World::site("");
    world.deploy("one");
    let renamed = Delivery::push("alice/renamed", "refs/heads/main", &world.site.head()).signed(SECRET);
    world.send(&renamed).expect(200);
    let problem = shown(&world, "webhook-mismatch");
    assert!(
        problem["hint"]
            .as_str()
            .unwrap()
            .contains("full_name = \"alice/renamed\""),
        "{problem}"
    );
    let (level, hint) = diagnosed(&world, "alice/renamed");
    assert_eq!(level, "error");
    assert!(hint.contains("full_name = "), "{hint}");
    let doctor = world.hookd(&["doctor"]).expect(1).out;
    assert!(!doctor.contains("the last webhook came"), "{doctor}");
    world.send(&world.pushed().id("another"));
    is_well(&world);
}

#[test]
fn a_wrong_signature_is_told_until_a_right_one_comes() {
    let world = World::site("");
    world.deploy("one");
    world.send(&world.pushed().signed("the old secret")).expect(401);
    shown(&world, "webhook-refused");
    world.send(&world.pushed().id("another"));
    is_well(&world);
}

#[test]
fn a_channel_that_answers_404_is_told_by_the_targets_that_use_it() {
    let receiver = Receiver::new(|_| plain(404, "no_service"));
    let channel = |name: &str| format!("[notify.{name}]\nurl = \"{}\"\non = \"live\"\n", receiver.url("/gone"));
    let world = World::site(&format!(
        "notify = [\"ops\", \"dev\"]\n{}{}",
        channel("ops"),
        channel("dev")
    ));
    world.deploy("one");
    let problem = shown(&world, "notify-failing");
    assert!(problem["text"].as_str().unwrap().contains("404"), "{problem}");
    wait_until("both are told", || {
        world.target("site/live")["problems"].as_array().unwrap().len() == 2
    });
    shown(&world, "notify-failing");
    assert_eq!(world.status()["problems"], Value::Array(Vec::new()));
    receiver.answer(|_| plain(204, ""));
    for name in ["ops", "dev"] {
        world.hookd(&["notify", "test", name]).expect(0);
    }
    world.deploy("two");
    is_well(&world);
}

#[test]
fn a_channel_that_no_target_uses_is_told_at_the_top() {
    let receiver = Receiver::new(|_| plain(404, "no_service"));
    let channel = format!("[notify.ops]\nurl = \"{}\"\non = \"live\"\n", receiver.url("/gone"));
    let world = World::site(&format!("notify = [\"ops\"]\n{channel}"));
    world.deploy("one");
    shown(&world, "notify-failing");
    world.configure_site(&channel);
    world.daemon().reload();
    is_well(&world);
    let status = world.status();
    assert_eq!(status["problems"][0]["code"], "notify-failing", "{status}");
    let text = world.hookd(&["status"]).expect(0).out;
    assert!(text.contains("notifications to ops"), "{text}");
    let page = world.ask("GET", "/", "").unwrap().text();
    assert!(page.contains("notifications to ops"), "{page}");
}

#[test]
fn what_can_not_be_removed_is_told() {
    let world = World::site("");
    world.deploy("one");
    let left = world.path("live/releases/.gone-20200101T000000Z-abcdef0-0123456789abcdef");
    fs::create_dir(&left).unwrap();
    let problem = shown(&world, "leftover");
    assert!(
        problem["hint"]
            .as_str()
            .unwrap()
            .ends_with(&format!("rm -rf {}", left.display())),
        "{problem}"
    );
    fs::remove_dir(&left).unwrap();
    is_well(&world);
}

#[test]
fn a_disk_that_is_nearly_full_is_told() {
    let mut world = World::still_site("");
    world.configure_site("[limits]\nfree_space = \"1KiB\"\n");
    world.start();
    world.deploy("one");
    world.configure_site("[limits]\nfree_space = \"1024GiB\"\n");
    world.daemon().reload();
    shown(&world, "disk-low");
    assert_eq!(world.status()["problems"][0]["code"], "disk-low");
}
