//! SIGKILL in each phase: what is served stays whole, and the next start brings it to the end that the manual promises.

use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::daemon::text_of;
use crate::support::gate::Gate;
use crate::support::world::{World, wait_until};

/// The build leaves its mark as the last thing it does; a page without it would be half a release.
const KEYS: &str = r#"
build = "$DIR/gate build && cp index.html built.html"
reload = "$DIR/gate reload"
check = "$DIR/gate check && ! grep -q bad index.html"
check_timeout = "2s"
"#;

/// What is served is a whole release.
#[track_caller]
fn is_whole(world: &World) {
    let release = world.release().expect("something is live");
    assert!(world.seen("live/releases").join(&release).is_dir(), "{release} is gone");
    assert_eq!(
        world.served(),
        text_of(&world.seen("live/current/built.html")),
        "{release}"
    );
}

/// Nothing half-made is left in the target's directories or in the daemon's.
#[track_caller]
fn is_tidy(world: &World, releases: usize) {
    let found = world.releases();
    assert_eq!(found.len(), releases, "{found:?}");
    let hidden = |name: &String| name.starts_with('.');
    let left: Vec<String> = found.into_iter().filter(hidden).collect();
    assert!(left.is_empty(), "{left:?}");
    let payloads = fs::read_dir(world.path("state/payloads")).unwrap().count();
    assert_eq!(payloads, 0, "payload files are left");
}

/// A site where `one` is live and another page was just pushed, and the gate of a phase of that deployment.
fn pushed(phase: &str, page: &str) -> (World, Gate) {
    let world = World::site(KEYS);
    world.deploy("one");
    let gate = world.gate(phase);
    world.push(page);
    (world, gate)
}

/// The same, killed in that phase.
fn killed_in(phase: &str, page: &str) -> (World, Gate) {
    let (mut world, gate) = pushed(phase, page);
    world.kill_at(&gate);
    (world, gate)
}

#[test]
fn killed_in_build_it_builds_again() {
    let (mut world, gate) = killed_in("build", "two");
    assert_eq!(world.served(), "one");
    is_whole(&world);

    world.resume(&gate);
    assert_eq!(world.served(), "two");
    assert_eq!(world.outcomes(), ["live", "interrupted", "live"]);
    is_tidy(&world, 2);
}

#[test]
fn killed_in_the_first_build_nothing_is_live_before_the_second() {
    let mut world = World::still_site(KEYS);
    let gate = world.gate("build");
    world.start();
    world.push("one");
    world.kill_at(&gate);
    assert_eq!(world.release(), None);

    world.resume(&gate);
    assert_eq!(world.served(), "one");
    is_tidy(&world, 1);
}

#[test]
fn killed_in_reload_it_reloads_again() {
    let (mut world, gate) = killed_in("reload", "two");
    assert_eq!(world.served(), "two", "it was switched already");
    is_whole(&world);

    world.resume(&gate);
    assert_eq!(world.served(), "two");
    assert_eq!(
        world.outcomes(),
        ["live", "live"],
        "it is the same deployment that goes on"
    );
    is_tidy(&world, 2);
}

#[test]
fn killed_in_check_it_checks_again() {
    let (mut world, gate) = killed_in("check", "two");
    assert_eq!(world.served(), "two");

    world.resume(&gate);
    assert_eq!(world.served(), "two");
    assert_eq!(world.outcomes(), ["live", "live"]);
    is_tidy(&world, 2);
}

#[test]
fn killed_in_a_check_that_fails_it_rolls_back_after_the_start() {
    let (mut world, gate) = killed_in("check", "bad");

    world.resume(&gate);
    assert_eq!(world.served(), "one");
    assert_eq!(world.outcomes(), ["live", "rolled-back"]);
    is_whole(&world);
}

#[test]
fn killed_while_it_rolls_back_it_rolls_back_all_the_same() {
    let (mut world, gate) = pushed("reload", "bad");
    gate.reached().pass();
    // The check has failed; this is the reload of the way back.
    let reload = gate.reached();
    assert_eq!(world.served(), "one");
    world.kill();
    reload.killed();
    assert_eq!(world.served(), "one");

    world.resume(&gate);
    assert_eq!(world.served(), "one");
    assert_eq!(world.outcomes(), ["live", "rolled-back"]);
    assert_eq!(world.target("site/live")["commit"], world.history()[0]["commit"]);
    is_whole(&world);
}

#[test]
fn killed_twice_in_the_same_deployment() {
    let (mut world, gate) = pushed("build", "two");
    for _ in 0..2 {
        world.kill_at(&gate);
        world.start();
    }
    gate.reached().open();
    world.settled();
    assert_eq!(world.served(), "two");
    assert_eq!(world.outcomes(), ["live", "interrupted", "interrupted", "live"]);
    is_tidy(&world, 2);
}

/// Kills the daemon while a command stands at the gate, and starts it again.
fn killed_at(world: &mut World, gate: &Gate, times: u32) {
    for _ in 0..times {
        world.kill_at(gate);
        world.start();
    }
}

#[test]
fn killed_three_times_in_build_it_is_given_up_and_told() {
    let mut world = World::site(KEYS);
    world.deploy("one");
    let gate = world.gate("build");
    let two = world.push("two");
    killed_at(&mut world, &gate, 3);
    // The gate is still shut: nobody builds it again.
    world.settled();
    assert_eq!(world.outcomes(), ["live", "interrupted", "interrupted", "failed"]);
    let last = world.last();
    assert_eq!(last["commit"], *two);
    let reason = last["reason"].as_str().unwrap();
    assert!(reason.contains("killed 3 times while this was in build"), "{reason}");
    assert_eq!(world.served(), "one");
    is_whole(&world);

    // A restart and its look at the remote find nothing to do; the next push goes as ever.
    world.stop();
    world.start();
    world.settled();
    assert_eq!(world.outcomes().len(), 4);
    gate.open();
    world.deploy("three");
    assert_eq!(world.served(), "three");
}

#[test]
fn killed_twice_in_reload_it_goes_back_without_a_reload() {
    let (mut world, gate) = pushed("reload", "two");
    killed_at(&mut world, &gate, 2);
    // The gate is still shut: the reload that kills does not run for the way back, either.
    world.settled();
    assert_eq!(world.outcomes(), ["live", "rolled-back"]);
    let reason = world.last()["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("killed 2 times while this was in reload"), "{reason}");
    assert_eq!(world.served(), "one");
    is_whole(&world);
    gate.open();
    world.deploy("three");
    assert_eq!(world.served(), "three");
}

#[test]
fn killed_three_times_in_check_it_goes_back() {
    let (mut world, gate) = pushed("check", "two");
    killed_at(&mut world, &gate, 3);
    world.settled();
    assert_eq!(world.outcomes(), ["live", "rolled-back"]);
    assert_eq!(world.served(), "one");
    is_whole(&world);
}

#[test]
fn killed_twice_in_the_reload_of_the_way_back_it_goes_back_without() {
    let (mut world, gate) = pushed("reload", "bad");
    gate.reached().pass();
    killed_at(&mut world, &gate, 2);
    world.settled();
    assert_eq!(world.outcomes(), ["live", "rolled-back"]);
    let reason = world.last()["reason"].as_str().unwrap().to_owned();
    assert!(reason.starts_with("check"), "the first reason counts: {reason}");
    assert_eq!(world.served(), "one");
}

#[test]
fn an_orderly_stop_is_no_crash() {
    let mut world = World::site(&format!("{KEYS}\n[limits]\nstop_grace = \"10ms\"\n"));
    world.deploy("one");
    for phase in ["build", "reload", "check"] {
        let gate = world.gate(phase);
        world.push(phase);
        for _ in 0..4 {
            world.stop_at(&gate);
            world.start();
        }
        gate.reached().open();
        world.settled();
        assert_eq!(world.last()["outcome"], "live", "{phase}: {}", world.last());
        assert_eq!(world.served(), phase);
    }
    is_whole(&world);
}

/// What loses daemon and supervisor at the same moment is found by the next daemon.
#[test]
fn killed_with_its_supervisor_it_leaves_no_command_behind() {
    let mut world = World::site(
        r#"
build = "setsid sh -c 'echo $$ >$DIR/pid; exec $DIR/gate build' & wait $!"
"#,
    );
    world.deploy("one");
    let gate = world.gate("build");
    world.push("two");
    let build = gate.reached();
    let daemon = world.daemon().pid();
    let supervisor = supervisor(&world);
    // A daemon that stands still does not see its supervisor go.
    kill(daemon, Signal::SIGSTOP).unwrap();
    wait_until("the daemon stands still", || {
        text_of(Path::new(&format!("/proc/{daemon}/stat"))).contains(") T ")
    });
    kill(supervisor, Signal::SIGKILL).unwrap();
    world.kill();
    let left = text_of(&world.path("pid")).trim().to_owned();
    // Nobody may reap it.
    let lives = || fs::read_to_string(format!("/proc/{left}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
    assert!(lives(), "the command ended by itself");

    world.start();
    wait_until("what the killed daemon had started ends", || {
        let has_next = text_of(&world.path("pid")).trim() != left;
        let lives = lives();
        assert!(!(has_next && lives), "two builds at once");
        !lives
    });
    drop(build);
    gate.reached().open();
    world.settled();
    assert_eq!(world.outcomes(), ["live", "interrupted", "live"]);
}

/// The supervisor alone may be lost, too: to the kernel when there is no memory, say.
#[test]
fn a_supervisor_that_is_killed_leaves_no_command_behind() {
    let mut world = World::site("build = \"setsid sleep 1000 & echo $! >$DIR/pid; $DIR/gate build\"");
    let gate = world.gate("build");
    world.push("one");
    let build = gate.reached();
    let left = text_of(&world.path("pid")).trim().to_owned();
    kill(supervisor(&world), Signal::SIGKILL).unwrap();
    build.killed();
    world.settled();
    let lives = || fs::read_to_string(format!("/proc/{left}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
    assert!(!lives(), "it runs beside the next build");
    assert_eq!(world.last()["outcome"], "failed");
    gate.open();
    world.deploy("two");
    assert_eq!(world.served(), "two");
    world.stop();
}

/// The one supervisor that the daemon has.
#[track_caller]
fn supervisor(world: &World) -> Pid {
    let threads = fs::read_dir(format!("/proc/{}/task", world.daemon().pid())).unwrap();
    let children: String = threads
        .map(|thread| text_of(&thread.unwrap().path().join("children")))
        .collect();
    // Not the git worker that waits for the next call.
    let is_git = |pid: &&str| text_of(Path::new(&format!("/proc/{pid}/cmdline"))).contains("git-worker");
    let supervisors = children.split_whitespace().filter(|pid| !is_git(pid));
    let supervisors: Vec<i32> = supervisors.map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(supervisors.len(), 1, "{children}");
    Pid::from_raw(supervisors[0])
}

/// The phase has no command to stop at. What a crash leaves there is made from what one in `reload` leaves: the same rows
/// with the phase before it, and `current` as it was before the rename or after it.
#[test]
fn killed_in_activate_before_and_after_the_rename() {
    for renamed in [false, true] {
        let mut world = World::site(KEYS);
        world.deploy("one");
        let one = world.release().unwrap();
        let gate = world.gate("reload");
        world.push("two");
        world.kill_at(&gate);
        let store = rusqlite::Connection::open(world.path("state/hookd.db")).unwrap();
        let changed = store
            .execute("UPDATE deployments SET phase = 'activate' WHERE outcome IS NULL", [])
            .unwrap();
        assert_eq!(changed, 1);
        drop(store);
        if !renamed {
            point_at(&world.path("live"), &one);
            // The link that the rename would have moved.
            std::os::unix::fs::symlink("releases/x", world.path("live/.current-0123456789abcdef")).unwrap();
        }

        world.resume(&gate);
        assert_eq!(world.served(), "two", "renamed: {renamed}");
        assert_eq!(world.outcomes(), ["live", "live"]);
        assert!(!world.path("live/.current-0123456789abcdef").exists());
        is_tidy(&world, 2);
    }
}

fn point_at(target: &Path, release: &str) {
    let link = target.join("current");
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(format!("releases/{release}"), &link).unwrap();
}

/// Not every moment has a gate: some kills at moments that differ.
#[test]
fn killed_at_any_moment() {
    let mut world = World::site(
        r#"
build = "cp index.html built.html"
reload = "true"
check = "true"
"#,
    );
    world.deploy("page");
    for round in 0_u64..12 {
        let page = format!("page {round}");
        world.push(&page);
        // From right after the 202 to well beyond the end of the deployment.
        std::thread::sleep(Duration::from_millis(round * 17));
        world.kill();
        is_whole(&world);
        world.start();
        world.settled();
        assert_eq!(world.served(), page);
        is_whole(&world);
        assert!(world.releases().iter().all(|name| !name.starts_with('.')));
    }
    let ends = world.outcomes();
    assert!(
        ends.iter().all(|end| ["live", "interrupted"].contains(&end.as_str())),
        "{ends:?}"
    );
}

#[test]
fn killed_in_place_it_is_brought_to_the_commit_again() {
    let mut world = World::site(
        r#"
strategy = "in-place"
build = "$DIR/gate build && cp index.html built.html"
check = "$DIR/gate check"
"#,
    );
    let page = |world: &World| text_of(&world.path("live/index.html"));
    let mark = |world: &World| text_of(&world.path("live/built.html"));
    world.deploy("one");
    assert_eq!((page(&world).as_str(), mark(&world).as_str()), ("one", "one"));

    let gate = world.gate("build");
    world.push("two");
    world.kill_at(&gate);
    world.resume(&gate);
    assert_eq!((page(&world).as_str(), mark(&world).as_str()), ("two", "two"));

    let gate = world.gate("check");
    world.push("three");
    world.kill_at(&gate);
    world.resume(&gate);
    assert_eq!((page(&world).as_str(), mark(&world).as_str()), ("three", "three"));
    assert_eq!(world.outcomes(), ["live", "interrupted", "live", "live"]);
}
