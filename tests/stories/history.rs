//! `history`: what a build can ask git.

use std::fs;

use crate::support::forge::{Delivery, SECRET};
use crate::support::world::World;

/// What is in a file of the live release, in lines.
fn told(world: &World, file: &str) -> Vec<String> {
    let text = fs::read_to_string(world.path("live/current").join(file)).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// No git directory is left in `releases`.
#[track_caller]
fn is_clean(world: &World) {
    let names = fs::read_dir(world.path("live/releases")).unwrap();
    let left: Vec<_> = names
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name.to_string_lossy().starts_with(".git"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_build_reads_the_history() {
    let build = r#"
history = true
reload = "test -z \"${GIT_DIR+set}${GIT_WORK_TREE+set}\""
build = '''
git log --format=%s -- index.html > log
git rev-parse HEAD > head
git branch --show-current > branch
git rev-parse --show-toplevel > top
git status --porcelain --untracked-files=no > status
cd sub && git log -1 --format=%H -- page > ../nested
'''
"#;
    let world = World::site(build);
    let first = world.site.commit(&[("index.html", "one"), ("sub/page", "a page")]);
    world.site.push();
    world.send(&world.pushed()).expect(202);
    world.settled();
    assert_eq!(told(&world, "nested"), [first.as_str()]);
    let commit = world.deploy("two");
    assert_eq!(world.served(), "two");
    assert_eq!(told(&world, "head"), [commit.as_str()]);
    assert_eq!(told(&world, "nested"), [first.as_str()]);
    assert_eq!(told(&world, "log").len(), 2);
    assert_eq!(told(&world, "branch"), ["main"]);
    assert_eq!(told(&world, "status"), [""; 0]);
    let release = fs::canonicalize(world.path("live/current")).unwrap();
    assert_eq!(told(&world, "top"), [release.to_str().unwrap()]);
    is_clean(&world);
}

#[test]
fn a_tag_is_described() {
    let world = World::new(
        r#"
$SITE
poll = "off"
[repo.site.deploy.live]
tag = "v*"
path = "$DIR/live"
history = true
build = "git describe > described; git describe --dirty >> described"
"#,
    );
    let commit = world.site.publish("one");
    world.site.git(&["tag", "-a", "-m", "the first", "v1.0.0"]);
    world.site.git(&["push", "--quiet", "origin", "v1.0.0"]);
    world
        .send(&Delivery::push("alice/site", "refs/tags/v1.0.0", &commit).signed(SECRET))
        .expect(202);
    world.settled();
    assert_eq!(told(&world, "described"), ["v1.0.0", "v1.0.0"]);
    is_clean(&world);
}

#[test]
fn nothing_is_left_of_it_when_a_build_fails_or_is_killed() {
    let mut world = World::site("history = true\nbuild = \"$DIR/gate build && grep -q good index.html\"\n");
    let gate = world.gate("build");
    world.push("bad");
    gate.reached().pass();
    world.settled();
    is_clean(&world);
    world.push("good");
    world.kill_at(&gate);
    gate.open();
    world.start();
    world.settled();
    assert_eq!(world.served(), "good");
    is_clean(&world);
}

#[test]
fn check_knows_what_goes_with_it() {
    let world = World::still_site("strategy = \"in-place\"\nhistory = true\n");
    let said = world.hookd(&["check"]).expect(78);
    assert!(said.err.contains("`history` has no meaning"), "{said:?}");
}
