//! What waits, what runs, and in which order.

use crate::support::daemon::text_of;
use crate::support::forge::{Delivery, SECRET};
use crate::support::gate::Gate;
use crate::support::world::{World, another_repo, wait_until};

const GATED: &str = r#"build = "$DIR/gate build && echo $HOOKD_COMMIT >> $HOOKD_PATH/builds""#;

/// A running world whose first build will stop at the gate.
fn gated(keys: &str) -> (World, Gate) {
    let mut world = World::still_site(keys);
    let gate = world.gate("build");
    world.start();
    (world, gate)
}

fn builds(world: &World) -> Vec<String> {
    text_of(&world.path("live/builds")).lines().map(str::to_owned).collect()
}

#[test]
fn pushes_during_a_build_one_runs_the_newest_waits_the_others_are_superseded() {
    let (world, gate) = gated(GATED);
    let one = world.push("one");
    let build = gate.reached();
    let two = world.site.publish("two");
    let middle = world.send(&world.pushed()).expect(202);
    let three = world.push("three");
    let target = world.target("site/live");
    assert_eq!(
        (&target["state"], target["waiting"].as_array().unwrap().len()),
        (&"running".into(), 1)
    );

    // The one in the middle is told of, on its own and in the history.
    let job = middle.json()["jobs"][0]["id"].clone();
    let job = world.get(&format!("/api/v1/jobs/{job}"));
    assert_eq!((&job["state"], &job["outcome"]), (&"done".into(), &"superseded".into()));
    build.open();
    world.settled();
    assert_eq!(world.served(), "three");
    assert_eq!(builds(&world), [one, three]);
    let told = world.hookd(&["history", "--json"]).expect(0).json();
    let superseded: Vec<_> = told
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["outcome"] == "superseded")
        .collect();
    assert_eq!(superseded.len(), 1, "{told}");
    assert_eq!(superseded[0]["commit"], two.as_str());
    let log = world.hookd(&["logs", &superseded[0]["id"].to_string()]).expect(0);
    assert!(
        log.out.contains("superseded: a newer request took its place"),
        "{log:?}"
    );
    let newest = world.hookd(&["logs", "site"]).expect(0);
    assert!(newest.out.contains("live: deployed"), "{newest:?}");
    assert_eq!(world.target("site/live")["last"]["outcome"], "live");
}

#[test]
fn twenty_pushes_at_once_are_two_builds() {
    let (world, gate) = gated(GATED);
    world.push("page 0");
    let build = gate.reached();
    for number in 1..20 {
        world.push(&format!("page {number}"));
    }
    build.open();
    world.settled();
    assert_eq!(world.served(), "page 19");
    assert_eq!(builds(&world).len(), 2);
    assert_eq!(
        world
            .history()
            .iter()
            .filter(|row| row["outcome"] == "superseded")
            .count(),
        18
    );
    assert_eq!(world.deliveries().len(), 20);
}

#[test]
fn twenty_pushes_at_once_without_a_gate_end_with_the_last() {
    let world = World::site(r#"build = "echo $HOOKD_COMMIT >> $HOOKD_PATH/builds""#);
    let commits: Vec<String> = (0..20).map(|number| world.push(&format!("page {number}"))).collect();
    world.settled();
    assert_eq!(world.served(), "page 19");
    let builds = builds(&world);
    assert!(builds.len() < 20, "{builds:?}");
    assert_eq!(builds.last(), commits.last());
}

#[test]
fn queue_all_builds_each_commit_in_order() {
    let (world, gate) = gated(&format!("queue = \"all\"\n{GATED}"));
    let one = world.push("one");
    let build = gate.reached();
    let commits: Vec<String> = ["two", "three", "four"].iter().map(|page| world.push(page)).collect();
    assert_eq!(world.target("site/live")["waiting"].as_array().unwrap().len(), 3);
    build.open();
    world.settled();
    let expected: Vec<String> = std::iter::once(one).chain(commits).collect();
    assert_eq!(builds(&world), expected);
    assert_eq!(world.served(), "four");
    assert_eq!(world.outcomes(), ["live"; 4]);
}

#[test]
fn queue_all_refuses_a_commit_that_was_pushed_away() {
    let (world, gate) = gated(&format!("queue = \"all\"\n{GATED}"));
    world.push("one");
    let build = gate.reached();
    let lost = world.push("lost");
    world.site.git(&["reset", "--quiet", "--hard", "HEAD^"]);
    world.push("two");
    build.open();
    world.settled();
    assert_eq!(world.served(), "two");
    assert!(!builds(&world).contains(&lost));
    let row = world
        .history()
        .into_iter()
        .find(|row| row["outcome"] == "failed")
        .unwrap();
    assert!(
        row["reason"]
            .as_str()
            .unwrap()
            .contains("can no longer be reached from refs/heads/main"),
        "{row}"
    );
}

/// Repos `a` to `e`, one target each; every build notes its repo in `$DIR/order`.
fn five(head: &str, build: &str) -> String {
    let build = format!("build = \"{build}\"");
    let one = |name: &str| another_repo(name, name, &format!("live-{name}"), &build);
    ["a", "b", "c", "d", "e"].map(one).concat().replacen("", head, 1)
}

/// Pushes to a repo and delivers.
fn push(world: &World, repo: &crate::support::repo::Repo, name: &str, page: &str) {
    let commit = repo.publish(page);
    let delivery = Delivery::push(&format!("alice/{name}"), "refs/heads/main", &commit);
    world
        .send(&delivery.to(&format!("/hook/{name}")).signed(SECRET))
        .expect(202);
}

#[test]
fn with_one_place_five_repos_are_served_first_come_first_served() {
    let mut world = World::still(&five(
        "max_jobs = 1\n",
        "$DIR/gate build && echo $HOOKD_REPO >> $DIR/order",
    ));
    let repos = ["a", "b", "c", "d", "e"].map(|name| world.repo(name));
    let gate = world.gate("build");
    world.start();
    push(&world, &repos[0], "a", "one");
    let build = gate.reached();
    for (repo, name) in repos.iter().zip(["a", "b", "c", "d", "e"]).skip(1) {
        push(&world, repo, name, "one");
    }
    // The repo that runs is behind all others; a newer push keeps the place of the one that it replaces.
    push(&world, &repos[0], "a", "two");
    push(&world, &repos[2], "c", "two");
    assert_eq!(world.status()["running"], 1);
    assert_eq!(world.status()["waiting"], 5);
    build.open();
    world.settled();
    assert_eq!(text_of(&world.path("order")).replace('\n', ""), "abcdea");
    for name in ["a", "b", "c", "d", "e"] {
        assert!(!text_of(&world.path(&format!("live-{name}/current/index.html"))).is_empty());
    }
    assert_eq!(text_of(&world.path("live-c/current/index.html")), "two");
}

#[test]
fn with_two_places_two_repos_run_and_a_repo_never_twice() {
    let two_targets = r#"
[repo.a.deploy.second]
branch = "main"
path = "$DIR/second"
build = "$DIR/gate a"
"#;
    let config = five("max_jobs = 2\n", "$DIR/gate $HOOKD_REPO") + two_targets;
    let mut world = World::still(&config);
    let repos = ["a", "b", "c", "d", "e"].map(|name| world.repo(name));
    let (a, b, c) = (world.gate("a"), world.gate("b"), world.gate("c"));
    world.start();
    push(&world, &repos[0], "a", "one");
    push(&world, &repos[1], "b", "one");
    push(&world, &repos[2], "c", "one");
    let (at_a, at_b) = (a.reached(), b.reached());
    let status = world.status();
    // The second target of `a` waits for the first, and `c` for a place.
    assert_eq!((&status["running"], &status["waiting"]), (&2.into(), &2.into()));
    at_b.pass();
    let at_c = c.reached();
    assert_eq!(world.status()["running"], 2);
    at_c.pass();
    at_a.pass();
    a.reached().pass();
    world.settled();
    assert_eq!(world.outcomes(), ["live"; 4]);
}

#[test]
fn a_repo_that_hangs_holds_up_no_other() {
    let config = five("max_jobs = 2\n", "$DIR/gate $HOOKD_REPO");
    let mut world = World::still(&config);
    let repos = ["a", "b", "c", "d", "e"].map(|name| world.repo(name));
    let gate = world.gate("a");
    world.start();
    push(&world, &repos[0], "a", "one");
    let hangs = gate.reached();
    for (repo, name) in repos.iter().zip(["a", "b", "c", "d", "e"]).skip(1) {
        push(&world, repo, name, "one");
    }
    wait_until("the other four are live", || {
        world.outcomes().iter().filter(|o| *o == "live").count() == 4
    });
    // The mirror of the last one may still be tidied.
    wait_until("only the one that hangs runs", || world.status()["running"] == 1);
    hangs.pass();
    world.settled();
    assert_eq!(world.outcomes(), ["live"; 5]);
}
