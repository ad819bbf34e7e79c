//! The machine plays tricks: processes are killed, descriptors run out, paths are odd.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::symlink;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::daemon::text_of;
use crate::support::git_server::GitServer;
use crate::support::tap::Tap;
use crate::support::world::{World, wait_until};

/// The children of a process.
fn children(parent: Pid) -> Vec<Pid> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse() else {
            continue;
        };
        // Field 4, counted behind the name, which may hold anything.
        let stat = text_of(&entry.path().join("stat"));
        let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        if rest.split(' ').nth(1) == Some(&parent.to_string()) {
            found.push(Pid::from_raw(pid));
        }
    }
    found
}

/// Kills all children of the daemon.
#[track_caller]
fn kill_children(world: &World) {
    let children = children(world.daemon().pid());
    assert!(!children.is_empty(), "the daemon has no children");
    for child in children {
        kill(child, Signal::SIGKILL).unwrap();
    }
}

#[test]
fn a_build_whose_supervisor_is_killed_has_failed() {
    let world = World::site(r#"build = ["$DIR/gate", "build"]"#);
    world.deploy("one");
    let gate = world.gate("build");
    world.push("two");
    let build = gate.reached();
    kill_children(&world);
    build.killed();
    world.settled();
    let last = world.last();
    assert_eq!(last["outcome"], "failed");
    assert!(last["reason"].as_str().unwrap().contains("supervisor"), "{last}");
    assert_eq!(world.served(), "one");
    gate.open();
    world.hookd(&["retry", "site"]).expect(0);
    assert_eq!(world.served(), "two");
}

#[test]
fn a_check_whose_supervisor_is_killed_rolls_back() {
    let world = World::site(r#"check = ["$DIR/gate", "check"]"#);
    world.deploy("one");
    let gate = world.gate("check");
    world.push("two");
    let check = gate.reached();
    kill_children(&world);
    check.killed();
    gate.open();
    world.settled();
    assert_eq!(world.served(), "one");
    assert_eq!(world.outcomes(), ["live", "rolled-back"]);
}

#[test]
fn a_fetch_whose_process_is_killed_is_tried_again_later() {
    let mut world = World::still("");
    let server = GitServer::http(world.dir());
    let tap = Tap::new(server.port());
    world.configure(&format!(
        r#"
[repo.site]
url = "{}"
full_name = "alice/site"
forge = "github"
secret = "file:$DIR/secret"
poll = "off"
$LIVE
"#,
        server.url_at_port("site.git", tap.port())
    ));
    tap.stall_after(0);
    world.start();
    world.push("one");
    tap.has_stalled(1);
    kill_children(&world);
    wait_until("it has failed", || world.outcomes() == ["failed"]);
    assert!(world.target("site/live")["next_try"].is_i64(), "{}", world.last());
    tap.heal();
    world.hookd(&["deploy", "site"]).expect(0);
    assert_eq!(world.served(), "one");
}

#[test]
fn without_descriptors_it_goes_on_when_there_are_some_again() {
    let mut world = World::still_site("build = \"cp index.html built\"");
    world.before_start("ulimit -n 48");
    world.start();
    world.site.publish("one");
    let mut all = Vec::new();
    for number in 1..100 {
        // Of several addresses, so that none of them meets its own limit.
        let source = Ipv4Addr::new(127, 8, 0, number % 8 + 1);
        all.extend(world.address().connect_from(source).ok());
    }
    wait_until("it runs out of descriptors", || {
        world.daemon().descriptors() >= 46 || world.log().contains("could not accept")
    });
    drop(all);
    wait_until("they are free again", || world.daemon().descriptors() < 30);
    world.send(&world.pushed()).expect(202);
    world.settled();
    assert_eq!(world.served(), "one", "{}", world.last());
}

#[test]
fn odd_paths_are_paths_all_the_same() {
    let world = World::new(
        r#"
$SITE
poll = "off"
[repo.site.deploy.odd]
branch = "main"
path = "$DIR/a b'c\"d$(touch x);ü"
build = "cat index.html > \"$HOOKD_PATH/built\""
[repo.site.deploy.linked]
branch = "main"
path = "$DIR/link"
"#,
    );
    fs::create_dir(world.path("real")).unwrap();
    symlink("real", world.path("link")).unwrap();
    world.deploy("one");
    let odd = world.path("a b'c\"d$(touch x);ü");
    assert_eq!(text_of(&odd.join("current/index.html")), "one");
    assert_eq!(text_of(&odd.join("built")), "one");
    assert_eq!(text_of(&world.path("real/current/index.html")), "one");
    world.deploy("two");
    assert_eq!(text_of(&odd.join("current/index.html")), "two");
    assert_eq!(text_of(&world.path("link/current/index.html")), "two");
    assert_eq!(world.outcomes(), ["live"; 4]);
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let world = World::still("");
    for (repo, target) in [
        ("../x", "live"),
        ("a/b", "live"),
        ("site", "../../etc"),
        (".", "live"),
        ("-rf", "live"),
        ("", "live"),
    ] {
        world.configure(&format!(
            "[repo.\"{repo}\"]\nurl = \"$DIR/site.git\"\nsecret = \"file:$DIR/secret\"\n[repo.\"{repo}\".deploy.\"{target}\"]\nbranch = \"main\"\npath = \"$DIR/live\"\n"
        ));
        let said = world.hookd(&["check"]).expect(78);
        assert!(said.err.contains("name"), "{repo} {target}: {said:?}");
    }
    world.configure("[repo.site]\nurl = \"$DIR/site.git\"\nsecret = \"file:$DIR/secret\"\nshared = []\n[repo.site.deploy.live]\nbranch = \"main\"\npath = \"$DIR/live\"\nshared = [\"../../etc\"]\n");
    world.hookd(&["check"]).expect(78);
}

#[test]
fn a_store_that_is_no_store_is_refused() {
    let mut world = World::site("");
    world.deploy("one");
    world.stop();
    for name in ["hookd.db-wal", "hookd.db-shm"] {
        let _ = fs::remove_file(world.path("state").join(name));
    }
    fs::write(
        world.path("state/hookd.db"),
        "this is no database, but a text that is long enough to be read as one".repeat(100),
    )
    .unwrap();
    assert_eq!(world.try_start().err().and_then(|status| status.code()), Some(1));
    let log = world.log();
    assert!(log.contains("hookd: error: ") && log.contains("hookd.db: "), "{log}");
    assert_eq!(world.served(), "one");
}

#[test]
fn a_lost_store_costs_the_history_and_not_the_site() {
    let mut world = World::new(
        r#"
$SITE
poll = "1h"
$LIVE
"#,
    );
    world.deploy("one");
    world.deploy("two");
    let releases = world.releases();
    world.stop();
    fs::remove_dir_all(world.path("state")).unwrap();
    world.start();
    world.looked();
    world.settled();
    assert_eq!(world.served(), "two");
    assert!(
        releases.iter().all(|release| world.releases().contains(release)),
        "{releases:?} {:?}",
        world.releases()
    );
    world.deploy("three");
    assert_eq!(world.served(), "three");
}
