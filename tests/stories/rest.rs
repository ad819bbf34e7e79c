//! What fails before a commit is known is not tried again at each look at the remote.

use std::fs;

use crate::support::world::{World, wait_until};

const TWO: &str = r#"
$SITE
poll = "off"
[repo.site.deploy.bad]
branch = "main"
path = "$DIR/bad"
[repo.site.deploy.good]
branch = "main"
path = "$DIR/good"
"#;

fn runs(world: &World, target: &str) -> usize {
    world.history().iter().filter(|row| row["target"] == target).count()
}

#[test]
fn what_is_in_the_way_is_met_once_for_each_change() {
    let world = World::still(TWO);
    // Somebody's own directory where the link has to be.
    fs::create_dir_all(world.path("bad/current")).unwrap();
    let mut world = world;
    world.start();
    world.site.publish("one");
    world.send(&world.pushed()).expect(202);
    world.settled();
    // Each end of a deployment is followed by a look at the remote, which finds what no delivery said.
    for (page, before) in [("two", 1), ("three", 2)] {
        assert_eq!(runs(&world, "site/bad"), before);
        world.site.publish(page);
        world.hookd(&["deploy", "site/good"]).expect(0);
        wait_until("the new commit was met", || runs(&world, "site/bad") > before);
        world.settled();
    }
    assert_eq!(runs(&world, "site/bad"), 3);
    let status = world.target("site/bad");
    assert_eq!(status["behind"], true);
    let problem = &status["problems"][0];
    assert_eq!(problem["code"], "failed");
    let says = |field: &str, what: &str| assert!(problem[field].as_str().unwrap().contains(what), "{problem}");
    says("text", "bad/current is a directory");
    says("hint", "hookd retry site/bad");

    fs::remove_dir(world.path("bad/current")).unwrap();
    world.hookd(&["retry", "site/bad"]).expect(0);
    assert_eq!(
        fs::read_to_string(world.path("bad/current/index.html")).unwrap(),
        "three"
    );
}
