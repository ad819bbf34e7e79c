//! The daemon goes and comes back: by SIGKILL, by SIGTERM, by SIGHUP, or a second one comes too early.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::daemon::text_of;
use crate::support::forge::{Delivery, SECRET};
use crate::support::world::{World, wait_until};

/// The usual repo, but with another poll.
fn polled(poll: &str) -> String {
    format!(
        r#"
$SITE
poll = "{poll}"
$LIVE
"#
    )
}

#[test]
fn a_push_while_it_was_down_is_found_at_the_start() {
    let mut world = World::new(&polled("1h"));
    world.deploy("one");
    world.stop();
    world.site.publish("two");
    world.start();
    wait_until("the push is found", || world.served() == "two");
    world.settled();
    assert_eq!(world.last()["source"], "poll");
}

#[test]
fn a_push_whose_webhook_never_came_is_found_by_the_timer() {
    let world = World::new(&polled("1s"));
    world.site.publish("one");
    wait_until("the first push is found", || world.served() == "one");
    world.site.publish("two");
    wait_until("the second push is found", || world.served() == "two");
    world.settled();
    assert_eq!(world.outcomes(), ["live", "live"]);
    assert!(world.deliveries().is_empty());
}

#[test]
fn a_push_during_a_deployment_is_found_after_it_without_any_timer() {
    let mut world = World::still_site(r#"build = "$DIR/gate build""#);
    let gate = world.gate("build");
    world.start();
    world.push("one");
    let build = gate.reached();
    world.site.publish("two");
    build.open();
    wait_until("the push is found", || world.served() == "two");
    world.settled();
    assert_eq!(world.last()["source"], "poll");
}

#[test]
fn jobs_that_waited_run_after_a_kill() {
    let mut world =
        World::still_site("build = \"$DIR/gate build && echo $HOOKD_COMMIT >> $HOOKD_PATH/builds\"\nqueue = \"all\"");
    let gate = world.gate("build");
    world.start();
    let mut commits = vec![world.push("one")];
    let build = gate.reached();
    commits.push(world.push("two"));
    commits.push(world.push("three"));
    world.kill();
    build.killed();
    world.resume(&gate);
    let builds: Vec<String> = text_of(&world.path("live/builds")).lines().map(str::to_owned).collect();
    assert_eq!(builds, commits);
    assert_eq!(world.served(), "three");
}

#[test]
fn every_accepted_delivery_is_there_after_a_kill() {
    let mut world = World::site("");
    world.site.publish("one");
    let head = world.site.head();
    let accepted = Mutex::new(BTreeSet::new());
    for round in 1..=6_u64 {
        let address = world.address();
        let over = AtomicBool::new(false);
        let before = accepted.lock().unwrap().len();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !over.load(Ordering::SeqCst) {
                        let delivery = Delivery::push("alice/site", "refs/heads/main", &head).signed(SECRET);
                        // A connection that breaks is a delivery that was not accepted, or that the forge sends again.
                        if let Ok(answer) = address.send(&delivery.bytes())
                            && (200..300).contains(&answer.status)
                        {
                            accepted.lock().unwrap().insert(delivery.its_id());
                        }
                    }
                });
            }
            wait_until("some are accepted", || accepted.lock().unwrap().len() >= before + 5);
            std::thread::sleep(Duration::from_millis(7 * round));
            over.store(true, Ordering::SeqCst);
            world.kill();
            // Those that were sent while nobody listened wait in the socket, and are answered now.
            world.start();
        });
    }
    world.settled();
    let stored: BTreeSet<String> = (0..).map_while(|page| page_of(&world, page)).flatten().collect();
    let lost: Vec<_> = accepted.lock().unwrap().difference(&stored).cloned().collect();
    assert!(lost.is_empty(), "{} of {} are lost: {lost:?}", lost.len(), stored.len());
    assert_eq!(world.served(), "one");
}

/// The ids of all stored deliveries; there are fewer than one answer can hold.
fn page_of(world: &World, page: usize) -> Option<Vec<String>> {
    let rows = (page == 0).then(|| world.deliveries())?;
    assert!(rows.len() < 1000, "more than one page");
    Some(
        rows.iter()
            .map(|row| row["delivery"].as_str().unwrap().to_owned())
            .collect(),
    )
}

const GATED: &str = r#"build = "$DIR/gate build""#;

#[test]
fn terminated_it_lets_a_running_deployment_finish_and_keeps_what_waits() {
    let mut world = World::still_site(GATED);
    let gate = world.gate("build");
    world.start();
    let one = world.push("one");
    let build = gate.reached();
    world.push("two");
    world.daemon().signal(Signal::SIGTERM);
    wait_until("it stops", || world.log().contains("stopping"));
    build.pass();
    let status = world.daemon.take().unwrap().ended();
    assert!(status.success(), "{status}");
    assert_eq!(world.served(), "one", "{one}");

    world.resume(&gate);
    assert_eq!(world.served(), "two");
    assert_eq!(world.outcomes(), ["live", "live"]);
}

#[test]
fn terminated_it_stops_what_takes_longer_than_the_grace_time_and_runs_it_again() {
    let config = format!(
        "[limits]\nstop_grace = \"300ms\"\n{}{GATED}\nkill_grace = \"100ms\"\n",
        polled("off")
    );
    let mut world = World::still(&config);
    let gate = world.gate("build");
    world.start();
    world.push("one");
    world.stop_at(&gate);
    assert_eq!(world.release(), None);
    world.resume(&gate);
    assert_eq!(world.served(), "one");
    assert_eq!(world.outcomes(), ["interrupted", "live"]);
}

#[test]
fn terminated_in_a_check_it_goes_on_with_the_check() {
    let config = format!(
        "[limits]\nstop_grace = \"300ms\"\n{}check = \"$DIR/gate check\"\nkill_grace = \"100ms\"\n",
        polled("off")
    );
    let mut world = World::still(&config);
    let gate = world.gate("check");
    world.start();
    world.push("one");
    world.stop_at(&gate);
    assert_eq!(world.served(), "one");
    world.resume(&gate);
    assert_eq!(world.served(), "one");
    assert_eq!(world.outcomes(), ["live"]);
}

#[test]
fn a_reload_puts_a_good_file_in_force() {
    let world = World::site("");
    world.deploy("one");
    world.configure_site("build = \"echo built > built\"");
    world.daemon().reload();
    world.deploy("two");
    assert_eq!(text_of(&world.path("live/current/built")), "built\n");
    assert_eq!(world.status()["warnings"], serde_json::json!([]));
}

#[test]
fn a_reload_of_a_broken_file_keeps_the_old_one_and_says_so() {
    let world = World::site("");
    world.configure_site("biuld = \"true\"");
    world.daemon().reload();
    let warnings = world.status()["warnings"].to_string();
    assert!(
        warnings.contains("biuld") && warnings.contains("did you mean"),
        "{warnings}"
    );
    let told = world.hookd(&["status"]).expect(0);
    assert!(
        told.out.contains("WARNING: the configuration file is broken"),
        "{told:?}"
    );
    assert!(world.log().contains("the previous one stays in force"));
    world.deploy("one");
    assert_eq!(world.served(), "one");

    world.configure_site("build = \"true\"");
    world.daemon().reload();
    assert_eq!(world.status()["warnings"], serde_json::json!([]));
}

#[test]
fn a_reload_takes_a_rotated_secret_and_drops_a_removed_target() {
    let two = "[repo.site.deploy.second]\nbranch = \"main\"\npath = \"$DIR/second\"\nbuild = \"$DIR/gate build\"\n";
    let mut world = World::still(&format!("{}{GATED}\n{two}", polled("off")));
    let gate = world.gate("build");
    world.start();
    world.push("one");
    let build = gate.reached();
    world.write_secret("secret", "the-new-secret");
    world.configure_site(GATED);
    world.daemon().reload();
    build.open();
    world.settled();
    assert!(!world.path("second").exists(), "a removed target was deployed");
    world.site.publish("two");
    world.send(&world.pushed()).expect(401);
    let delivery = Delivery::push("alice/site", "refs/heads/main", &world.site.head()).signed("the-new-secret");
    world.send(&delivery).expect(202);
    world.settled();
    assert_eq!(world.served(), "two");
}

#[test]
fn two_daemons_do_not_share_a_state_directory() {
    let world = World::site("");
    let first = world.daemon().pid();
    let Err(status) = world.try_start() else {
        panic!("a second daemon started");
    };
    assert_eq!(status.code(), Some(1));
    let log = world.log();
    assert!(
        log.contains("hookd: error: another hookd uses the state directory") && log.contains("hint: stop it first"),
        "{log}"
    );
    assert_eq!(world.status()["pid"], first.as_raw());
    world.deploy("one");
    assert_eq!(world.served(), "one");
}

/// As another user could while the lock file of an older version was open to all.
#[test]
fn a_lock_that_another_user_holds_keeps_nobody_from_starting() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let mut world = World::site("");
    world.stop();
    let lock = world.path("state/lock");
    let rights = |mode| fs::set_permissions(&lock, fs::Permissions::from_mode(mode)).unwrap();
    rights(0o644);
    fs::set_permissions(world.dir(), fs::Permissions::from_mode(0o755)).unwrap();
    let held = "flock -n 9 && echo held && exec sleep 600";
    let mut stranger = Command::new("setpriv");
    stranger.args(["--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-euc"]);
    stranger.arg(format!("exec 9<{}; {held}", lock.display()));
    let mut stranger = stranger.stdout(Stdio::piped()).spawn().unwrap();
    let mut said = [0; 5];
    stranger.stdout.take().unwrap().read_exact(&mut said).unwrap();
    world.start();
    world.deploy("one");
    assert_eq!(fs::metadata(&lock).unwrap().permissions().mode() & 0o777, 0o600);
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    assert!(world.try_start().is_err(), "the new lock counts");
}

#[test]
fn a_store_of_a_newer_version_is_refused_and_left_alone() {
    let mut world = World::site("");
    world.deploy("one");
    world.stop();
    let open = || rusqlite::Connection::open(world.path("state/hookd.db")).unwrap();
    let known: i64 = open().query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    open().pragma_update(None, "user_version", 9999).unwrap();
    assert_eq!(world.try_start().err().and_then(|status| status.code()), Some(1));
    assert!(world.log().contains("the store has version 9999"));
    open().pragma_update(None, "user_version", known).unwrap();
    world.start();
    assert_eq!(world.outcomes(), ["live"]);
}

#[test]
fn stale_locks_and_half_made_releases_of_a_crash_are_removed() {
    let mut world = World::site("");
    world.deploy("one");
    world.kill();
    let mirror = world.path("state/mirrors/site.git");
    fs::create_dir_all(mirror.join("refs/hookd/tip")).unwrap();
    let leftovers = [
        world.path("live/releases/.tmp-99"),
        world.path("live/releases/.gone-20200101T000000Z-abcdef0-0123456789abcdef"),
        world.path("state/scratch/hookd-git-abcdef"),
    ];
    for leftover in &leftovers {
        fs::create_dir_all(leftover.join("deep/er")).unwrap();
        fs::write(leftover.join("deep/er/file"), "x").unwrap();
    }
    for lock in ["packed-refs.lock", "config.lock", "HEAD.lock"] {
        fs::write(mirror.join(lock), "").unwrap();
    }
    fs::write(mirror.join("objects/pack/pack_git2_0123456789abcdef"), "half a pack").unwrap();
    fs::write(world.path("state/payloads/99.json"), "{}").unwrap();
    world.start();
    world.deploy("two");
    assert_eq!(world.served(), "two");
    for gone in leftovers.iter().chain(&[
        mirror.join("objects/pack/pack_git2_0123456789abcdef"),
        world.path("state/payloads/99.json"),
    ]) {
        assert!(!gone.exists(), "{} is left", gone.display());
    }
}

#[test]
fn a_damaged_mirror_is_fetched_anew() {
    let mut world = World::site("");
    world.deploy("one");
    world.stop();
    let packs = world.path("state/mirrors/site.git/objects/pack");
    for pack in fs::read_dir(&packs).unwrap().flatten() {
        let path = pack.path();
        let _ = fs::remove_file(&path);
        fs::write(&path, "").unwrap();
    }
    world.start();
    world.push("two");
    wait_until("the second page is served", || world.served() == "two");
}

#[test]
fn a_systemd_that_does_not_read_holds_up_no_stop() {
    let mut world = World::site("");
    world.deploy("one");
    let socket = UnixDatagram::unbound().unwrap();
    socket.set_nonblocking(true).unwrap();
    wait_until("no more fits into the socket", || {
        socket.send_to(b"X_FULL=1", world.path("notify.sock")).is_err()
    });
    world.stop();
    world.start();
    assert_eq!(world.served(), "one");
}
