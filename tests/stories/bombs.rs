//! Commits that are small to push and endless to write, hold or show: refused with a reason, and the next good one is live.

use std::fs;

use crate::support::forge::{Delivery, SECRET};
use crate::support::git_server::Origin;
use crate::support::world::{World, wait_until};

/// What the daemon may take at most, in KiB.
const DAEMON: u64 = 64 << 10;

/// A tree of ten times ten times … these entries.
fn nested(origin: &Origin, entries: &str, depth: u32) -> String {
    let mut tree = origin.git_input(&["mktree", "--missing"], entries.as_bytes());
    for _ in 0..depth {
        let lines: Vec<String> = (0..10).map(|n| format!("040000 tree {tree}\td{n}\n")).collect();
        tree = origin.git_input(&["mktree"], lines.concat().as_bytes());
    }
    tree
}

/// The most memory that the daemon ever had for itself, in KiB: without program and libraries, whose pages it gives back when it is
/// quiet.
fn peak(world: &World) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", world.daemon().pid())).unwrap();
    let value = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    value("VmHWM:") - value("VmExe:") - value("VmLib:")
}

#[test]
fn bombs_are_refused_and_the_next_good_commit_is_live() {
    let world = World::site("");
    world.deploy("one");
    let origin = Origin {
        path: world.site.bare.clone(),
    };
    let page = origin.blob(b"page");
    let zeros = origin.blob(&vec![0; 101 << 20]);
    let gitlink = "1".repeat(40);
    let gitlinks: Vec<String> = (0..10_000)
        .map(|n| format!("160000 commit {gitlink}\tm{n:04}\n"))
        .collect();
    let trees = [
        (
            "10^8 directories",
            nested(&origin, "", 8),
            "files, directories and submodules",
        ),
        (
            "10^9 files",
            nested(&origin, &format!("100644 blob {page}\tf\n"), 9),
            "files, directories and submodules",
        ),
        ("10^7 submodules", nested(&origin, &gitlinks.concat(), 3), "submodules"),
        (
            "one large file",
            nested(&origin, &format!("100644 blob {zeros}\tlarge\n"), 0),
            "`large` has 101 MiB",
        ),
    ];
    for (number, (name, tree, says)) in trees.iter().enumerate() {
        let commit = origin.commit_tree("main", tree);
        let delivery = Delivery::push("alice/site", "refs/heads/main", &commit).signed(SECRET);
        world.send(&delivery).expect(202);
        wait_until(name, || {
            world.outcomes().iter().filter(|word| *word == "failed").count() == number + 1
        });
        let reason = world.last()["reason"].to_string();
        assert!(reason.contains(says), "{name}: {reason}");
    }
    world.site.git(&["push", "--quiet", "--force", "origin", "HEAD:main"]);
    world.deploy("two");
    assert_eq!(world.served(), "two");
    assert_eq!(world.releases().len(), 2, "{:?}", world.releases());
    assert!(peak(&world) < DAEMON, "{} KiB", peak(&world));
}
