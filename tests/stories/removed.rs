//! What is live is removed by hand: it is noticed, and comes back by itself where it can.

use std::fs;

use crate::support::world::{World, wait_until};

fn codes(world: &World) -> Vec<String> {
    let status = world.target("site/live");
    let problems = status["problems"].as_array().unwrap().iter();
    problems
        .map(|problem| problem["code"].as_str().unwrap().to_owned())
        .collect()
}

fn restart(world: &mut World) {
    world.stop();
    world.start();
}

#[test]
fn a_removed_link_leads_to_the_kept_release_again_after_a_restart() {
    let mut world = World::site("");
    world.deploy("one");
    let release = world.release();
    fs::remove_file(world.path("live/current")).unwrap();
    assert_eq!(codes(&world), ["current-missing"]);
    restart(&mut world);
    wait_until("the page is back", || world.path("live/current/index.html").exists());
    world.settled();
    assert_eq!((world.served().as_str(), world.release()), ("one", release));
    assert_eq!(world.outcomes(), ["live", "live"]);
    assert!(codes(&world).is_empty());
}

#[test]
fn a_removed_release_is_made_again_whatever_its_rules_say_of_the_push() {
    let mut world = World::site(r#"paths = ["elsewhere/"]"#);
    world.deploy("one");
    fs::remove_dir_all(world.path("live/releases").join(world.release().unwrap())).unwrap();
    assert_eq!(codes(&world), ["current-missing"]);
    restart(&mut world);
    wait_until("the page is back", || world.path("live/current/index.html").exists());
    world.settled();
    assert_eq!((world.served().as_str(), codes(&world).len()), ("one", 0));
}

#[test]
fn a_pinned_release_comes_back_while_a_push_waits() {
    let mut world = World::site("");
    world.deploy("one");
    world.deploy("two");
    world.hookd(&["rollback", "site"]).expect(0);
    world.push("three");
    fs::remove_file(world.path("live/current")).unwrap();
    restart(&mut world);
    wait_until("the page is back", || world.path("live/current/index.html").exists());
    wait_until("nothing runs", || world.target("site/live")["running"].is_null());
    assert_eq!(world.served(), "one");
    assert_eq!(world.target("site/live")["state"], "pinned");
}

#[test]
fn a_removed_directory_that_is_changed_in_place_is_filled_again() {
    let mut world = World::site(r#"strategy = "in-place""#);
    world.deploy("one");
    fs::remove_dir_all(world.path("live")).unwrap();
    assert_eq!(codes(&world), ["current-missing"]);
    restart(&mut world);
    wait_until("the page is back", || world.path("live/index.html").exists());
    world.settled();
    assert!(codes(&world).is_empty());
}

#[test]
fn what_somebody_else_put_there_stays_and_is_told() {
    let mut world = World::site("");
    world.deploy("one");
    fs::remove_file(world.path("live/current")).unwrap();
    fs::create_dir(world.path("live/current")).unwrap();
    restart(&mut world);
    world.settled();
    assert_eq!(codes(&world), ["current-foreign"]);
    assert!(world.path("live/current").is_dir());
}
