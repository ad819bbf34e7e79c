//! What a person does at the command line: cancel, pause, roll back, pin, resume, retry, replay.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::daemon::text_of;
use crate::support::world::World;

const BUILDS: &str = r#"
build = "echo built >> $HOOKD_PATH/builds"
reload = "cat index.html > $HOOKD_PATH/reloaded"
check = "! grep -q bad index.html"
check_timeout = "2s"
"#;

fn builds(world: &World) -> usize {
    text_of(&world.path("live/builds")).lines().count()
}

#[test]
fn cancel_stops_what_runs_and_drops_what_waits() {
    let mut world = World::still_site(r#"build = "$DIR/gate build""#);
    let gate = world.gate("build");
    world.start();
    world.push("one");
    let build = gate.reached();
    world.push("two");
    let said = world.hookd(&["cancel", "site/live"]).expect(0);
    assert!(said.out.contains("deployment 1 is being stopped"), "{said:?}");
    build.killed();
    world.settled();
    assert_eq!(world.release(), None);
    let mut outcomes = world.outcomes();
    outcomes.sort();
    assert_eq!(outcomes, ["cancelled", "cancelled"]);
    world.hookd(&["cancel", "site/live"]).expect(3);
    gate.open();
    world.deploy("three");
    assert_eq!(world.served(), "three");
}

#[test]
fn cancel_after_it_went_live_brings_the_old_page_back() {
    let mut world = World::still_site(r#"check = "$DIR/gate check""#);
    world.start();
    world.deploy("one");
    let gate = world.gate("check");
    world.push("two");
    let check = gate.reached();
    assert_eq!(world.served(), "two");
    world.hookd(&["cancel", "site"]).expect(0);
    check.killed();
    world.settled();
    assert_eq!(world.served(), "one");
    assert_eq!(world.outcomes(), ["live", "cancelled"]);
    gate.open();
    // It did not fail, so whoever asks again gets it.
    world.hookd(&["deploy", "site"]).expect(0);
    assert_eq!(world.served(), "two");
}

#[test]
fn paused_nothing_moves_and_resumed_the_newest_comes() {
    let world = World::site("");
    world.deploy("one");
    world.hookd(&["pause", "site"]).expect(0);
    let status = world.hookd(&["status"]).expect(0);
    assert!(
        status
            .out
            .contains("paused: nothing deploys\n    → hookd resume site/live"),
        "{status:?}"
    );
    world.push("two");
    world.push("three");
    let target = world.target("site/live");
    assert_eq!(
        (&target["state"], target["waiting"].as_array().unwrap().len()),
        (&"paused".into(), 1)
    );
    let refused = world.hookd(&["deploy", "site"]).expect(1);
    assert!(
        refused.err.contains("is paused") && refused.err.contains("hint: hookd resume site/live"),
        "{refused:?}"
    );
    assert_eq!(world.served(), "one");

    world.hookd(&["resume", "site"]).expect(0);
    world.settled();
    assert_eq!(world.served(), "three");
    assert_eq!(world.target("site/live")["state"], "live");
}

#[test]
fn a_pause_outlives_a_restart() {
    let mut world = World::site("");
    world.deploy("one");
    world.hookd(&["pause", "site"]).expect(0);
    world.push("two");
    world.kill();
    world.start();
    assert_eq!(world.target("site/live")["state"], "paused");
    assert_eq!(world.served(), "one");
    world.hookd(&["resume", "site"]).expect(0);
    world.settled();
    assert_eq!(world.served(), "two");
}

#[test]
fn rollback_goes_to_older_and_newer_releases_without_a_build_and_pins() {
    let world = World::site(BUILDS);
    world.deploy("one");
    let one = world.release().unwrap();
    world.deploy("two");
    world.deploy("three");
    let three = world.release().unwrap();
    assert_eq!(builds(&world), 3);

    // Without a name: the good release before the live one.
    let said = world.hookd(&["rollback", "site"]).expect(0);
    assert!(
        said.out.contains("site/live stays there until: hookd resume site/live"),
        "{said:?}"
    );
    assert_eq!(
        (world.served().as_str(), text_of(&world.path("live/reloaded")).as_str()),
        ("two", "two")
    );
    world.hookd(&["rollback", "site", &one]).expect(0);
    assert_eq!(
        (world.served().as_str(), text_of(&world.path("live/reloaded")).as_str()),
        ("one", "one")
    );
    // A newer one, too.
    world.hookd(&["rollback", "site", &three]).expect(0);
    assert_eq!(world.served(), "three");
    world.hookd(&["rollback", "site", &one]).expect(0);
    assert_eq!(builds(&world), 3, "a rollback builds nothing");

    // Pinned: loud, and no push moves it.
    let status = world.hookd(&["status"]).expect(0);
    assert!(
        status
            .out
            .contains(&format!("pinned to {one} by a rollback: nothing deploys")),
        "{status:?}"
    );
    world.push("four");
    assert_eq!(world.target("site/live")["state"], "pinned");
    world.hookd(&["deploy", "site"]).expect(1);
    assert_eq!(world.served(), "one");
    world.hookd(&["resume", "site"]).expect(0);
    world.settled();
    assert_eq!(world.served(), "four");
    assert_eq!(world.target("site/live")["pinned"], serde_json::Value::Null);
}

#[test]
fn a_rollback_to_what_is_not_there_says_so() {
    let world = World::site(BUILDS);
    world.hookd(&["rollback", "site"]).expect(3);
    world.deploy("one");
    world.hookd(&["rollback", "site"]).expect(3);
    let live = world.release().unwrap();
    world.hookd(&["rollback", "site", &live]).expect(1);
    world.deploy("bad");
    let failed = world.releases().into_iter().find(|name| *name != live).unwrap();
    let refused = world.hookd(&["rollback", "site", &failed]).expect(3);
    assert!(
        refused.err.contains(&format!("there is no good release {failed}")) && refused.err.contains(&live),
        "{refused:?}"
    );
    assert_eq!(world.served(), "one");
    assert_eq!(
        world.target("site/live")["pinned"],
        serde_json::Value::Null,
        "nothing was pinned by a refused rollback"
    );
}

#[test]
fn a_rollback_whose_check_fails_comes_back_and_pins_nothing() {
    let world = World::site("check = \"[ ! -e $DIR/sick ] || grep -q two index.html\"\ncheck_timeout = \"3s\"");
    world.deploy("one");
    let one = world.release().unwrap();
    world.deploy("two");
    fs::write(world.path("sick"), "").unwrap();
    let said = world.hookd(&["rollback", "site"]).expect(1);
    assert!(said.err.contains("rolled-back: check exited with 1"), "{said:?}");
    assert_eq!(world.served(), "two");
    assert_eq!(world.target("site/live")["pinned"], serde_json::Value::Null);
    // The release is as good as it was.
    fs::remove_file(world.path("sick")).unwrap();
    world.hookd(&["rollback", "site", &one]).expect(0);
    assert_eq!(world.served(), "one");
}

#[test]
fn a_release_that_is_gone_is_no_place_to_roll_back_to() {
    let world = World::site("");
    world.deploy("one");
    let one = world.release().unwrap();
    world.deploy("two");
    fs::remove_dir_all(world.path("live/releases").join(&one)).unwrap();
    let said = world.hookd(&["rollback", "site", &one]).expect(1);
    assert!(said.err.contains("is gone"), "{said:?}");
    assert_eq!(world.served(), "two");
    assert_eq!(world.target("site/live")["pinned"], serde_json::Value::Null);
}

#[test]
fn kept_releases_are_as_many_as_configured_and_failed_ones_push_out_none() {
    let world = World::site(&format!("keep = 2\n{BUILDS}"));
    for page in ["one", "two", "three", "bad", "bad again"] {
        world.deploy(page);
    }
    let told = world.hookd(&["releases", "site", "--json"]).expect(0).json();
    let good: Vec<_> = told["releases"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["state"] == "good")
        .collect();
    assert_eq!(good.len(), 2, "{told}");
    assert_eq!(told["current"].as_str(), world.release().as_deref());
    world.deploy("four");
    let there = world.releases();
    assert!(there.len() <= 3, "{there:?}");
    world.hookd(&["rollback", "site"]).expect(0);
    assert_eq!(world.served(), "three");
}

#[test]
fn replay_runs_a_stored_delivery_again() {
    let world = World::site(r#"build = "[ ! -e $DIR/broken ]""#);
    fs::write(world.path("broken"), "").unwrap();
    world.site.publish("one");
    let delivery = world.pushed();
    world.send(&delivery).expect(202);
    world.settled();
    fs::remove_file(world.path("broken")).unwrap();
    // By the forge's id; and by the number in the list.
    world.hookd(&["replay", &delivery.its_id()]).expect(0);
    assert_eq!(world.served(), "one");
    assert_eq!(world.last()["source"], "replay");
    assert_eq!(world.last()["delivery"], delivery.its_id());
    world.hookd(&["replay", "1"]).expect(0);
    world.hookd(&["replay", "no-such-delivery"]).expect(3);
}

#[test]
fn deploy_waits_for_the_end_and_shows_the_output() {
    let world = World::site(r#"build = "echo this is the build; ! grep -q bad index.html""#);
    world.site.publish("one");
    let said = world.hookd(&["deploy", "site"]).expect(0);
    assert!(
        said.out.contains("build    | this is the build") && said.out.contains("live: deployed"),
        "{said:?}"
    );
    assert_eq!(world.last()["source"], "deploy");
    let said = world.hookd(&["deploy", "site"]).expect(0);
    assert!(said.out.contains("unchanged"), "{said:?}");
    world.site.publish("bad");
    let said = world.hookd(&["deploy", "site"]).expect(1);
    for text in [
        "  build printed last:\n    this is the build\n",
        "hint: hookd retry site/live tries again; hookd logs ",
    ] {
        assert!(said.err.contains(text), "{text} is not in {said:?}");
    }
    let said = world.hookd(&["retry", "site", "--json"]).expect(1);
    assert_eq!(said.json()[0]["outcome"], "failed");
    let said = world.hookd(&["deploy", "site", "--no-wait", "--json"]).expect(0);
    assert_eq!(said.json()["status"], "accepted");
    world.settled();
}

#[test]
fn output_keeps_its_colours_on_a_terminal_alone() {
    let world = World::site(r#"build = "printf '10%%\\r\\033[31m99%%\\033[0m\\033[2J done\\n'""#);
    world.site.publish("one");
    let said = world.hookd(&["deploy", "site"]).expect(0);
    assert!(said.out.contains("build    | 99% done\n"), "{said:?}");
    assert!(said.out.starts_with("#1 site/live (deploy"), "{said:?}");
    assert!(!said.out.contains('\x1b'), "{said:?}");
    let said = world.hookd(&["logs", "1", "--color", "always"]).expect(0);
    assert!(said.out.contains("\x1b[31m99%\x1b[0m done\n"), "{said:?}");
    let said = world.hookd(&["logs", "1", "--color=never"]).expect(0);
    assert!(!said.out.contains('\x1b'), "{said:?}");
}

#[test]
fn ctrl_c_leaves_the_deployment_and_says_how_to_stop_it() {
    let mut world = World::still_site(r#"build = "$DIR/gate build""#);
    let gate = world.gate("build");
    world.start();
    world.site.publish("one");
    let mut following = world
        .hookd_command(&["deploy", "site"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("fetched")));
    let build = gate.reached();
    kill(Pid::from_raw(following.id().cast_signed()), Signal::SIGINT).unwrap();
    let said = following.wait_with_output().unwrap();
    let err = String::from_utf8_lossy(&said.stderr);
    assert_eq!(said.status.code(), Some(130), "{err}");
    assert!(
        err.contains("site/live: the deployment goes on") && err.contains("hookd cancel site/live"),
        "{err}"
    );
    world.hookd(&["cancel", "site"]).expect(0);
    build.killed();
    world.settled();
    assert_eq!(world.last()["outcome"], "cancelled");
}

#[test]
fn completions_know_what_there_is_and_are_silent_without_a_daemon() {
    let mut world = World::site("");
    world.deploy("one");
    let offered = |world: &World, words: &[&str]| {
        let mut command = world.hookd_command(&["--", "hookd"]);
        command.args(words).env("HOOKD_COMPLETE", "bash");
        command.env("_CLAP_COMPLETE_INDEX", words.len().to_string());
        command
            .env("_CLAP_COMPLETE_COMP_TYPE", "9")
            .env("_CLAP_COMPLETE_SPACE", "true");
        let output = command.output().unwrap();
        assert!(output.stderr.is_empty(), "{output:?}");
        let text = String::from_utf8_lossy(&output.stdout).replace('\x0b', "\n");
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(offered(&world, &["deploy", ""]).contains(&"site".to_owned()));
    assert!(offered(&world, &["logs", ""]).contains(&"1".to_owned()));
    assert!(offered(&world, &["replay", ""]).contains(&"1".to_owned()));
    let first = world.release().unwrap();
    world.deploy("two");
    assert!(offered(&world, &["rollback", "site", ""]).contains(&first));
    assert!(offered(&world, &["sta"]).contains(&"status".to_owned()));
    world.stop();
    assert!(!offered(&world, &["deploy", ""]).contains(&"site".to_owned()));
}

#[test]
fn somebody_who_moves_current_by_hand_is_respected_until_the_next_push() {
    let world = World::site("");
    world.deploy("one");
    let one = world.release().unwrap();
    world.deploy("two");
    fs::remove_file(world.path("live/current")).unwrap();
    std::os::unix::fs::symlink(format!("releases/{one}"), world.path("live/current")).unwrap();
    world.deploy("three");
    assert_eq!(world.served(), "three");
    assert_eq!(world.last()["previous_release"], one.as_str());
    assert!(world.log().contains("was pointed at"));
}
