//! The same delivery again: it runs again if it never came to a good end, and is a duplicate if it did.

use std::fs;

use crate::support::forge::{Delivery, SECRET};
use crate::support::world::World;

#[test]
fn what_is_live_is_a_duplicate() {
    let world = World::site("");
    let commit = world.site.publish("one");
    let delivery = world.pushed();
    let first = world.send(&delivery).expect(202);
    assert_eq!(first.word("status"), "accepted");
    assert_eq!(first.word("delivery"), delivery.its_id());
    assert_eq!(first.json()["jobs"][0]["target"], "site/live");
    world.settled();
    let second = world.send(&delivery).expect(200);
    assert_eq!(
        (second.word("status"), second.word("delivery")),
        ("duplicate".to_owned(), delivery.its_id())
    );
    assert_eq!(world.outcomes(), ["live"]);

    // A captured delivery under a fresh id: the signature does not cover the id, the body tells.
    let captured = Delivery {
        body: delivery.body.clone(),
        ..delivery.clone()
    }
    .id("00000000-0000-4000-8000-000000000000");
    assert_eq!(world.send(&captured).expect(200).word("status"), "duplicate");
    assert_eq!(world.outcomes(), ["live"]);
    assert_eq!(world.target("site/live")["commit"], commit);
    let results: Vec<_> = world
        .deliveries()
        .iter()
        .map(|d| d["result"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(results, ["accepted", "duplicate", "duplicate"]);
}

#[test]
fn what_still_waits_or_runs_is_a_duplicate() {
    let world = World::still_site(r#"build = "$DIR/gate build""#);
    let gate = world.gate("build");
    let mut world = world;
    world.start();
    world.site.publish("one");
    let delivery = world.pushed();
    world.send(&delivery).expect(202);
    let build = gate.reached();
    assert_eq!(world.send(&delivery).expect(200).word("status"), "duplicate");
    build.open();
    world.settled();
    assert_eq!(world.outcomes(), ["live"]);
}

#[test]
fn an_old_delivery_never_brings_an_old_commit_back() {
    let world = World::site("");
    world.site.publish("one");
    let old = world.pushed();
    world.send(&old).expect(202);
    world.settled();
    let two = world.deploy("two");

    // Replayed from outside, under its own id and under a fresh one, and by a person.
    for delivery in [old.clone(), old.clone().id("a-fresh-one")] {
        world.send(&delivery);
        world.settled();
        assert_eq!(world.served(), "two");
    }
    world.hookd(&["replay", &old.its_id()]).expect(0);
    assert_eq!(world.served(), "two");
    assert_eq!(world.target("site/live")["commit"], two);
}

#[test]
fn a_cancelled_run_can_be_redelivered() {
    let world = World::site(r#"build = "$DIR/gate build""#);
    let gate = world.gate("build");
    world.site.publish("one");
    let delivery = world.pushed();
    world.send(&delivery).expect(202);
    let build = gate.reached();
    world.hookd(&["cancel", "site"]).expect(0);
    build.killed();
    world.settled();
    assert_eq!(world.outcomes(), ["cancelled"]);
    gate.open();
    world.send(&delivery).expect(202);
    world.settled();
    assert_eq!(world.served(), "one");
}

#[test]
fn with_two_targets_the_one_that_failed_runs_again() {
    let world = World::new(
        r#"
$SITE
poll = "off"
[repo.site.deploy.first]
branch = "main"
path = "$DIR/first"
build = "[ ! -e $DIR/broken ]"
[repo.site.deploy.second]
branch = "main"
path = "$DIR/second"
"#,
    );
    fs::write(world.path("broken"), "").unwrap();
    world.site.publish("one");
    let delivery = world.pushed();
    assert_eq!(
        world.send(&delivery).expect(202).json()["jobs"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    world.settled();
    assert!(!world.path("first/current").exists() && world.path("second/current").exists());

    // The same body under a fresh id: it runs for the one that failed, and what got a 202 is found under its id.
    let fresh = delivery.clone().id("00000000-0000-4000-8000-000000000000");
    let answer = world.send(&fresh).expect(202);
    assert_eq!(answer.json()["jobs"].as_array().unwrap().len(), 1);
    assert_eq!(answer.json()["jobs"][0]["target"], "site/first");
    world.settled();
    let newest = world.deliveries().pop().unwrap();
    assert_eq!(
        (&newest["delivery"], &newest["result"]),
        (&fresh.its_id().into(), &"accepted".into())
    );
    let said = world.hookd(&["explain", &fresh.its_id()]).expect(0);
    assert!(said.out.contains("site/first"), "{said:?}");

    fs::remove_file(world.path("broken")).unwrap();
    world.send(&delivery).expect(202);
    world.settled();
    assert!(
        world.path("first/current").exists(),
        "the failed target was not tried again"
    );
    let of_second = world
        .history()
        .into_iter()
        .filter(|row| row["target"] == "site/second" && row["outcome"] == "live");
    assert_eq!(of_second.count(), 1, "the good target was deployed again");
    assert_eq!(world.send(&delivery).expect(200).word("status"), "duplicate");
}

#[test]
fn what_was_ignored_is_a_duplicate_and_so_is_a_ping() {
    let world = World::site("");
    // There is no branch to deploy that a look at the remote could find.
    world.site.commit(&[("index.html", "one")]);
    world.site.push_to("refs/heads/other");
    let other = Delivery::push("alice/site", "refs/heads/other", &world.site.head()).signed(SECRET);
    assert_eq!(world.send(&other).expect(200).word("status"), "ignored");
    assert_eq!(world.send(&other).expect(200).word("status"), "duplicate");
    let ping = Delivery::github(
        "ping",
        r#"{"zen":"Keep it logically awesome.","hook_id":1,"repository":{"full_name":"alice/site"}}"#,
    )
    .signed(SECRET);
    assert_eq!(world.send(&ping).expect(200).word("status"), "pong");
    world.send(&ping).expect(200);
    world.settled();
    assert!(world.history().is_empty());
}
