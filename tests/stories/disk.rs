//! Disks that are full, read-only, or not as hookd left them. Some of it happens in a mount namespace that only the daemon sees.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::remote::at;
use crate::support::daemon::text_of;
use crate::support::git_server::{GitServer, mode};
use crate::support::http::request;
use crate::support::tap::Tap;
use crate::support::world::{World, names, wait_until};

/// The usual repo, without a least free space.
const SMALL: &str = r#"
[limits]
free_space = "0B"
$SITE
poll = "off"
[repo.site.deploy.live]
branch = "main"
path = "$DIR/live"
"#;

/// Writes a file until nothing more fits in there.
fn fill(directory: &Path) {
    let chunk = vec![b'x'; 4096];
    let mut file = fs::File::create(directory.join("filler")).unwrap();
    while std::io::Write::write_all(&mut file, &chunk).is_ok() {}
    let mut last = fs::File::create(directory.join("filler2")).unwrap();
    while std::io::Write::write_all(&mut last, b"x").is_ok() {}
}

fn empty(directory: &Path) {
    for name in ["filler", "filler2"] {
        fs::remove_file(directory.join(name)).unwrap();
    }
}

#[test]
fn with_a_full_store_a_delivery_is_refused_for_now_and_the_site_stays() {
    let mut world = World::still(SMALL);
    world.before_start("mkdir -p $DIR/state; mount -t tmpfs -o size=3m,mode=711 hookd-test $DIR/state");
    world.start();
    world.deploy("one");
    let state = world.seen("state");
    fill(&state);

    world.site.publish("two");
    // What was stored before may leave a little room in the write-ahead log.
    let delivery = world.pushed();
    let mut refused = None;
    wait_until("a delivery is refused", || {
        let answer = world.send(&world.pushed().header("X-Filler", &"x".repeat(1000)));
        refused = (answer.status != 202 && answer.status != 200).then_some(answer);
        refused.is_some()
    });
    let refused = refused.unwrap();
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.header("retry-after").is_some());
    wait_until("the accept path is known to be broken", || {
        let health = world.address().send(&request("GET", "/healthz", &[], b"")).unwrap();
        health.status == 503 && health.header("retry-after").is_some()
    });
    assert_eq!(world.served().len(), 3, "the site is whole");
    // What is live can still be asked for.
    assert_eq!(world.target("site/live")["target"], "site/live");

    empty(&state);
    wait_until("the accept path works again", || world.send(&delivery).status < 300);
    world.settled();
    assert_eq!(world.served(), "two");
    // It is asked for once a second at most.
    wait_until("the daemon is well again", || {
        let health = world.address().send(&request("GET", "/healthz", &[], b"")).unwrap();
        health.status == 200
    });
}

#[test]
fn with_a_full_target_the_old_page_stays_and_nothing_half_made_is_left() {
    let mut world = World::still(SMALL);
    world.before_start("mkdir -p $DIR/live; mount -t tmpfs -o size=2m hookd-test $DIR/live");
    world.start();
    world.deploy("one");
    let large = "large ".repeat(500_000);
    world.site.commit(&[("index.html", "two"), ("film", &large)]);
    world.site.push();
    world.send(&world.pushed()).expect(202);
    wait_until("it has failed", || {
        world.outcomes().last().is_some_and(|outcome| outcome == "failed")
    });
    let reason = world.last()["reason"].to_string();
    assert!(reason.contains("No space left on device"), "{reason}");
    assert_eq!(world.served(), "one");
    assert_eq!(world.releases().len(), 1, "{:?}", world.releases());

    fs::remove_file(world.site.work.join("film")).unwrap();
    world.push("three");
    wait_until("the next push is live", || world.served() == "three");
}

#[test]
fn with_less_than_the_least_free_space_nothing_is_begun() {
    let world = World::new(&SMALL.replace("0B", "1TiB"));
    world.push("one");
    wait_until("it has failed", || world.outcomes() == ["failed"]);
    let reason = world.last()["reason"].to_string();
    assert!(reason.contains("are free") && reason.contains("free_space"), "{reason}");
    assert!(!world.path("state/mirrors/site.git").exists());
    let target = world.target("site/live");
    assert!(
        target["next_try"].as_i64().is_some(),
        "hookd retries it by itself: {target}"
    );
}

#[test]
fn a_fetch_stops_before_the_disk_is_full_and_leaves_nothing() {
    let mut world = World::still("");
    let server = GitServer::http(world.dir());
    let tap = Tap::new(server.port());
    let url = server.url_at_port("site.git", tap.port());
    world.configure(&at(&url, "free_space = \"16MiB\"", ""));
    world.before_start("mkdir -p $DIR/state; mount -t tmpfs -o size=32m,mode=711 hookd-test $DIR/state");
    world.start();
    world.deploy("one");
    tap.stall_a_push(&world, "two");
    // Others use the disk meanwhile: a quarter of it stays free, which is half of what a deployment begins with.
    let others = world.seen("state").join("others");
    fs::write(&others, vec![b'x'; 20 << 20]).unwrap();
    assert_eq!(
        world.target("site/live")["running"]["phase"],
        "fetch",
        "it may use half"
    );
    fs::write(&others, vec![b'x'; 26 << 20]).unwrap();
    wait_until("it has failed", || {
        world.outcomes().last().is_some_and(|outcome| outcome == "failed")
    });
    let reason = world.last()["reason"].to_string();
    assert!(
        reason.contains("stopped before the disk is full") && reason.contains("at least 8 MiB"),
        "{reason}"
    );
    let pack = world.seen("state/mirrors/site.git/objects/pack");
    let halves: Vec<_> = names(&pack)
        .into_iter()
        .filter(|name| name.starts_with("pack_"))
        .collect();
    assert!(halves.is_empty(), "{halves:?}");
    assert_eq!(world.served(), "one");
    assert!(
        world.target("site/live")["next_try"].is_i64(),
        "hookd retries it by itself"
    );

    fs::remove_file(&others).unwrap();
    tap.heal();
    world.hookd(&["deploy", "site"]).expect(0);
    assert_eq!(world.served(), "two");
}

#[test]
fn a_strict_umask_of_the_daemon_keeps_nobody_from_reading_a_release() {
    let mut world = World::still_site("shared = [\"uploads\"]\nbuild = \"mkdir made; echo made > made/page\"");
    world.before_start("umask 077");
    world.start();
    world.site.commit(&[("index.html", "one"), ("below/page", "two")]);
    world.site.push();
    world.send(&world.pushed()).expect(202);
    wait_until("it is live", || world.served() == "one");
    let current = fs::canonicalize(world.path("live/current")).unwrap();
    for (name, bits) in [
        ("live", 0o755),
        ("live/releases", 0o755),
        ("live/shared/uploads", 0o755),
    ] {
        assert_eq!(mode(&world.path(name)) & bits, bits, "{name}");
    }
    for (name, bits) in [
        ("", 0o755),
        ("index.html", 0o644),
        ("below", 0o755),
        ("below/page", 0o644),
        ("made", 0o755),
        ("made/page", 0o644),
    ] {
        assert_eq!(mode(&current.join(name)) & 0o777, bits, "{name}");
    }
    assert_eq!(
        mode(&world.path("state/hookd.db")) & 0o077,
        0,
        "the store is nobody else's"
    );
}

#[test]
fn a_read_only_target_says_what_to_do() {
    let mut world = World::still(SMALL);
    world.before_start("mkdir -p $DIR/live; mount -t tmpfs -o ro hookd-test $DIR/live");
    world.start();
    world.deploy("one");
    let last = world.last();
    assert_eq!(last["outcome"], "failed");
    let reason = last["reason"].as_str().unwrap();
    assert!(
        reason.contains("read-only") && reason.contains("ReadWritePaths="),
        "{reason}"
    );
}

#[test]
fn a_path_below_a_file_says_what_to_do() {
    let world = World::site("");
    fs::write(world.path("live"), "a file").unwrap();
    world.deploy("one");
    let reason = world.last()["reason"].to_string();
    assert!(
        reason.contains("is a file") && reason.contains("move it away"),
        "{reason}"
    );
    assert_eq!(text_of(&world.path("live")), "a file");
}

#[test]
fn a_path_that_may_not_be_written_says_whose_it_is() {
    use std::os::unix::fs::PermissionsExt;
    let mut world = World::still(&SMALL.replace("$DIR/live", "$DIR/closed/live"));
    fs::create_dir(world.path("closed")).unwrap();
    fs::set_permissions(world.path("closed"), fs::Permissions::from_mode(0o555)).unwrap();
    world.without_power();
    world.start();
    world.deploy("one");
    let reason = world.last()["reason"].to_string();
    assert!(
        reason.contains("may not write in") && reason.contains("mode 0555") && reason.contains("sudo chown"),
        "{reason}"
    );
}

#[test]
fn a_current_that_is_a_directory_is_somebody_s_own() {
    let world = World::site("");
    fs::create_dir_all(world.path("live/current")).unwrap();
    fs::write(world.path("live/current/index.html"), "mine").unwrap();
    world.deploy("one");
    let last = world.last();
    assert_eq!(last["outcome"], "failed");
    assert!(
        last["reason"]
            .as_str()
            .unwrap()
            .contains("is a directory, and hookd needs to put a link there"),
        "{last}"
    );
    assert_eq!(world.served(), "mine");
    fs::rename(world.path("live/current"), world.path("live/current.before")).unwrap();
    world.hookd(&["retry", "site"]).expect(0);
    assert_eq!(world.served(), "one");
}

#[test]
fn a_current_that_points_elsewhere_is_not_moved() {
    let world = World::site("");
    fs::create_dir_all(world.path("live")).unwrap();
    fs::create_dir(world.path("elsewhere")).unwrap();
    symlink(world.path("elsewhere"), world.path("live/current")).unwrap();
    world.deploy("one");
    let reason = world.last()["reason"].to_string();
    assert!(
        reason.contains("is not hookd's") && reason.contains("move it away"),
        "{reason}"
    );
    assert_eq!(
        fs::read_link(world.path("live/current")).unwrap(),
        world.path("elsewhere")
    );
}

#[test]
fn a_release_that_somebody_changed_is_replaced_by_the_next_and_can_be_made_anew() {
    let world = World::site("");
    world.deploy("one");
    fs::write(world.path("live/current/index.html"), "changed by hand").unwrap();
    fs::create_dir(world.path("live/current/extra")).unwrap();
    // The same commit again is nothing to do, unless a person insists.
    world.hookd(&["deploy", "site"]).expect(0);
    assert_eq!(world.served(), "changed by hand");
    world.hookd(&["retry", "site"]).expect(0);
    assert_eq!(world.served(), "one");
    assert!(!world.path("live/current/extra").exists());
    fs::write(world.path("live/current/index.html"), "changed again").unwrap();
    world.deploy("two");
    assert_eq!(world.served(), "two");
}

#[test]
fn a_live_release_that_is_gone_is_made_again() {
    let world = World::site("");
    world.deploy("one");
    let release = world.release().unwrap();
    fs::remove_dir_all(world.path("live/releases").join(&release)).unwrap();
    assert_eq!(world.served(), "");
    world.hookd(&["deploy", "site"]).expect(0);
    assert_eq!(world.served(), "one");
    fs::remove_dir_all(world.path("live")).unwrap();
    world.hookd(&["deploy", "site"]).expect(0);
    assert_eq!(world.served(), "one");
}

#[test]
fn a_release_that_can_hardly_be_removed_does_not_stop_the_next() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::site(
        "keep = 1\nbuild = \"mkdir -p locked/deep; touch locked/deep/file; chmod 000 locked/deep; chmod 500 locked\"",
    );
    for page in ["one", "two", "three", "four"] {
        world.deploy(page);
        assert_eq!(world.served(), page);
    }
    assert!(world.releases().len() <= 2, "{:?}", world.releases());
    for release in world.releases() {
        let locked = world.path("live/releases").join(release).join("locked");
        fs::set_permissions(&locked, fs::Permissions::from_mode(0o700)).unwrap();
        fs::set_permissions(locked.join("deep"), fs::Permissions::from_mode(0o700)).unwrap();
    }
}

#[test]
fn a_control_socket_in_the_way_is_replaced_unless_somebody_listens() {
    let mut world = World::site("");
    world.kill();
    assert!(world.path("control.sock").exists(), "a kill leaves the socket behind");
    world.start();
    world.deploy("one");
    assert_eq!(world.served(), "one");
}

#[test]
fn a_failed_release_does_not_keep_the_repair_from_a_small_disk() {
    let config = SMALL.replace("\"0B\"", "\"4MiB\"");
    let mut world = World::still(&format!(
        "{config}build = \"test ! -e fill || head -c 64M /dev/zero > big\"\n"
    ));
    world.before_start("mkdir -p $DIR/live; mount -t tmpfs -o size=16m hookd-test $DIR/live");
    world.start();
    world.deploy("one");
    world.site.commit(&[("fill", "")]);
    world.site.push();
    world.send(&world.pushed()).expect(202);
    world.settled();
    assert_eq!(world.last()["outcome"], "failed");
    let failed = world.last()["release"].as_str().unwrap().to_owned();
    assert!(
        names(&world.seen("live/releases")).contains(&failed),
        "it stays to be looked at"
    );
    world.site.git(&["rm", "--quiet", "fill"]);
    world.deploy("repaired");
    assert_eq!(world.last()["outcome"], "live", "{}", world.last());
    assert_eq!(world.served(), "repaired");
    assert!(!names(&world.seen("live/releases")).contains(&failed));
}
