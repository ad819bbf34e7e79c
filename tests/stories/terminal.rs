//! What people see on real terminals: a status that is watched, and what is said to who stops following.

use crate::support::terminal::Terminal;
use crate::support::world::World;

#[test]
fn a_watched_status_goes_with_what_happens() {
    let world = World::site("");
    world.deploy("one");
    let terminal = Terminal::run(&world, 80, "status --watch");
    terminal.shows("The target is well.");
    world.hookd(&["pause", "site"]).expect(0);
    terminal.shows("1 of 1 target needs you.");
    assert!(!terminal.text().contains("The target is well."), "{}", terminal.text());
    terminal.press("C-c");
    terminal.ended();
}

#[test]
fn who_stops_following_is_told_that_the_deployment_goes_on() {
    let world = World::site("build = \"echo begun; $DIR/gate build\"");
    let gate = world.gate("build");
    world.site.publish("one");
    let terminal = Terminal::run(&world, 80, "deploy site");
    let waiting = gate.reached();
    terminal.shows("begun");
    terminal.press("C-c");
    let (text, code) = terminal.ended();
    assert_eq!(code, 130, "{text}");
    for said in [
        "the deployment goes on",
        "hookd logs -f site/live",
        "hookd cancel site/live",
    ] {
        assert!(text.contains(said), "{text}");
    }
    waiting.open();
    world.settled();
    assert_eq!(world.served(), "one");
}
