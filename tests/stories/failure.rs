//! What fails: before it is live the old page stays, after it the old page comes back, and nothing is tried again by itself.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use crate::support::daemon::text_of;
use crate::support::world::{World, wait_until};

const CHECK: &str = r#"
check = "! grep -q bad index.html"
check_timeout = "2s"
"#;

#[test]
fn a_bad_build_leaves_the_old_page() {
    let world = World::site(r#"build = "echo going wrong >&2; ! grep -q bad index.html""#);
    world.deploy("one");
    world.deploy("bad");
    assert_eq!(world.served(), "one");
    let last = world.last();
    assert_eq!((&last["outcome"], &last["phase"]), (&"failed".into(), &"build".into()));
    assert_eq!(last["reason"], "build exited with 1");
    assert_eq!(world.target("site/live")["commit"], world.history()[0]["commit"]);
    let logs = world.hookd(&["logs", "2"]).expect(0);
    assert!(logs.out.contains("! going wrong"), "{logs:?}");

    world.deploy("good");
    assert_eq!(world.served(), "good");
}

#[test]
fn a_reload_that_fails_rolls_back_and_reloads_again() {
    let world = World::site(
        r#"reload = "cat index.html >> $HOOKD_PATH/reloads; echo >> $HOOKD_PATH/reloads; ! grep -q bad index.html""#,
    );
    world.deploy("one");
    world.deploy("bad");
    assert_eq!(world.served(), "one");
    assert_eq!(world.outcomes(), ["live", "rolled-back"]);
    assert_eq!(world.last()["reason"], "reload exited with 1");
    assert_eq!(text_of(&world.path("live/reloads")), "one\nbad\none\n");
}

/// One repo with two targets; the second shows that a look at the remote was made and has been dealt with.
const POLLED: &str = r#"
$SITE
poll = "1s"
$LIVE
build = "echo $HOOKD_COMMIT >> $HOOKD_PATH/builds; [ ! -e $DIR/no-build ]"
check = "[ -e $DIR/mended ] || ! grep -q bad index.html"
check_timeout = "2s"
[repo.site.deploy.canary]
branch = "canary"
path = "$DIR/canary"
"#;

/// Waits until the remote was looked at since now, by the timer.
#[track_caller]
fn looked_at(world: &World, sign: &str) {
    world.site.commit(&[("sign", sign)]);
    world.site.push_to("refs/heads/canary");
    world.site.git(&["reset", "--quiet", "--hard", "HEAD^"]);
    wait_until("the canary is live", || {
        text_of(&world.path("canary/current/sign")) == sign
    });
    world.settled();
}

fn builds(world: &World) -> usize {
    text_of(&world.path("live/builds")).lines().count()
}

#[test]
fn a_failing_check_rolls_back_and_only_a_person_or_a_new_commit_tries_again() {
    let world = World::new(POLLED);
    world.deploy("one");
    world.push("bad");
    let delivery = world.pushed();
    world.settled();
    assert_eq!((world.served().as_str(), builds(&world)), ("one", 2));
    let rolled_back = world.last();
    assert_eq!(rolled_back["outcome"], "rolled-back");
    assert_eq!(rolled_back["reason"], "check exited with 1");

    // The timer finds a commit that is not live, and lets it be.
    looked_at(&world, "first");
    looked_at(&world, "second");
    assert_eq!((world.served().as_str(), builds(&world)), ("one", 2));

    // So does a redelivery, under a known id or a new one.
    world.send(&delivery).expect(202);
    world.settled();
    let again = world.send(&delivery).expect(200);
    assert_eq!(again.word("status"), "duplicate");
    world.settled();
    for _ in 0..2 {
        world.send(&world.pushed()).expect(202);
        world.settled();
        assert_eq!(world.history().last().unwrap()["outcome"], "unchanged");
    }
    assert_eq!((world.served().as_str(), builds(&world)), ("one", 2));

    // A person may try again: as it is, it fails again; mended, it goes live.
    let retry = world.hookd(&["retry", "site/live"]).expect(1);
    assert!(retry.err.contains("rolled-back: check exited with 1"), "{retry:?}");
    assert_eq!((world.served().as_str(), builds(&world)), ("one", 3));
    fs::write(world.path("mended"), "").unwrap();
    world.hookd(&["retry", "site/live"]).expect(0);
    assert_eq!((world.served().as_str(), builds(&world)), ("bad", 4));
}

#[test]
fn a_new_commit_after_a_rollback_is_deployed() {
    let world = World::site(CHECK);
    world.deploy("one");
    world.deploy("bad");
    assert_eq!(world.served(), "one");
    world.deploy("good");
    assert_eq!(world.served(), "good");
    assert_eq!(world.outcomes(), ["live", "rolled-back", "live"]);
    // The failed release did not become what the next rollback would go to.
    world.hookd(&["rollback", "site/live"]).expect(0);
    assert_eq!(world.served(), "one");
}

#[test]
fn what_a_person_cancelled_is_let_be_by_the_timer() {
    let world = World::new(&POLLED.replace("build = \"", "build = \"$DIR/gate build; "));
    world.deploy("one");
    let gate = world.gate("build");
    world.push("held");
    let running = gate.reached();
    // One more waits behind it.
    world.push("waits");
    world.hookd(&["cancel", "site/live"]).expect(0);
    running.killed();
    gate.open();
    world.settled();
    looked_at(&world, "first");
    looked_at(&world, "second");
    assert_eq!((world.served().as_str(), builds(&world)), ("one", 1));
    world.deploy("two");
    assert_eq!((world.served().as_str(), builds(&world)), ("two", 2));
}

#[test]
fn what_its_author_wants_skipped_is_not_brought_by_the_timer_either() {
    let world = World::new(POLLED);
    world.deploy("one");
    world.site.commit(&[("index.html", "two")]);
    world
        .site
        .git(&["commit", "--quiet", "--amend", "-m", "two\n\n[skip deploy]"]);
    world.site.push();
    looked_at(&world, "first");
    looked_at(&world, "second");
    assert_eq!((world.served().as_str(), builds(&world)), ("one", 1));
    // Who asks for it in person gets it.
    world.hookd(&["deploy", "site/live"]).expect(0);
    assert_eq!((world.served().as_str(), builds(&world)), ("two", 2));
}

#[test]
fn a_bad_build_is_not_tried_again_by_the_timer_but_by_a_redelivery() {
    let world = World::new(POLLED);
    world.deploy("one");
    fs::write(world.path("no-build"), "").unwrap();
    world.site.publish("two");
    let delivery = world.pushed();
    world.send(&delivery).expect(202);
    world.settled();
    assert_eq!((world.served().as_str(), builds(&world)), ("one", 2));
    looked_at(&world, "first");
    looked_at(&world, "second");
    assert_eq!(builds(&world), 2, "the timer tried again what had failed");

    fs::remove_file(world.path("no-build")).unwrap();
    world.send(&delivery).expect(202);
    world.settled();
    assert_eq!((world.served().as_str(), builds(&world)), ("two", 3));
    let again = world.send(&delivery).expect(200);
    assert_eq!(again.word("status"), "duplicate");
    assert_eq!(
        world.deliveries().len(),
        3,
        "a redelivery that runs again is the same delivery"
    );
}

#[test]
fn a_first_deployment_whose_check_fails_leaves_nothing_live() {
    let world = World::site(CHECK);
    world.deploy("bad");
    assert_eq!(world.release(), None);
    let last = world.last();
    assert_eq!(last["outcome"], "failed");
    assert!(
        last["reason"]
            .as_str()
            .unwrap()
            .starts_with("check exited with 1; there is no previous release"),
        "{last}"
    );
    assert_eq!(world.target("site/live")["commit"], serde_json::Value::Null);
    world.deploy("good");
    assert_eq!(world.served(), "good");
}

/// Answers every request with the status that it is told to.
fn application() -> (u16, Arc<AtomicU16>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let status = Arc::new(AtomicU16::new(200));
    let told = Arc::clone(&status);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let status = told.load(Ordering::SeqCst);
            let _ = write!(
                stream,
                "HTTP/1.1 {status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
        }
    });
    (port, status)
}

#[test]
fn a_url_that_does_not_answer_well_rolls_back() {
    let (port, status) = application();
    let world = World::site(&format!(
        "check = \"http://127.0.0.1:{port}/health\"\ncheck_timeout = \"300ms\""
    ));
    world.deploy("one");
    assert_eq!(world.served(), "one");
    status.store(503, Ordering::SeqCst);
    world.deploy("two");
    assert_eq!(world.served(), "one");
    let last = world.last();
    assert_eq!(last["outcome"], "rolled-back");
    assert!(last["reason"].as_str().unwrap().contains("503"), "{last}");
    status.store(204, Ordering::SeqCst);
    world.deploy("three");
    assert_eq!(world.served(), "three");
}

#[test]
fn in_place_a_bad_build_brings_the_files_back() {
    let world = World::site(
        r#"
strategy = "in-place"
build = "! grep -q bad index.html && cp index.html built.html"
check = "! grep -q unwell index.html"
check_timeout = "2s"
"#,
    );
    let file = |name: &str| text_of(&world.path("live").join(name));
    world.site.commit(&[("index.html", "one"), ("only-in-one", "x")]);
    world.site.push();
    world.send(&world.pushed()).expect(202);
    world.settled();
    fs::write(world.path("live/upload"), "kept").unwrap();

    for (page, outcome) in [("bad", "failed"), ("unwell", "rolled-back")] {
        fs::remove_file(world.site.work.join("only-in-one")).unwrap();
        world.site.commit(&[("index.html", page), ("new", page)]);
        world.site.push();
        world.send(&world.pushed()).expect(202);
        world.settled();
        assert_eq!(world.last()["outcome"], outcome);
        assert_eq!(
            (file("index.html").as_str(), file("built.html").as_str()),
            ("one", "one"),
            "{page}"
        );
        assert_eq!(
            (
                file("only-in-one").as_str(),
                file("new").as_str(),
                file("upload").as_str()
            ),
            ("x", "", "kept")
        );
        world.site.git(&["reset", "--quiet", "--hard", "HEAD^"]);
    }
    world.site.commit(&[("index.html", "two")]);
    world.site.push();
    world.send(&world.pushed()).expect(202);
    world.settled();
    assert_eq!(
        (file("index.html").as_str(), file("built.html").as_str()),
        ("two", "two")
    );
}
