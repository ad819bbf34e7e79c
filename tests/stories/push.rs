//! A push becomes a page.

use crate::support::world::World;

#[test]
fn a_push_is_served_and_the_next_one_too() {
    let world = World::site("");
    assert_eq!(world.served(), "");
    let first = world.deploy("one");
    assert_eq!(world.served(), "one");
    let second = world.deploy("two");
    assert_eq!(world.served(), "two");
    assert_eq!(world.outcomes(), ["live", "live"]);

    let last = world.last();
    assert_eq!(last["commit"], second.as_str());
    assert_eq!(last["previous_commit"], first.as_str());
    assert_eq!(last["source"], "webhook");
    assert_eq!(last["subject"], "two");
    assert_eq!(world.release().as_deref(), last["release"].as_str());
    assert_eq!(world.releases().len(), 2, "{:?}", world.releases());
    let target = world.target("site/live");
    assert_eq!(
        (&target["state"], &target["commit"]),
        (&"live".into(), &second.as_str().into())
    );
}
