//! One judgement of a target: what `hookd status`, its JSON, `--check`, the metrics and doctor say is the same, and true.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::Value;

use crate::support::forge::Delivery;
use crate::support::world::{World, wait_until};

/// The usual repo, with keys of its own and these targets.
fn site(keys: &str, targets: &str) -> String {
    format!(
        "[repo.site]\nurl = \"$DIR/site.git\"\nfull_name = \"alice/site\"\nforge = \"github\"\nsecret = \"file:$DIR/secret\"\n{keys}\n{targets}"
    )
}

fn codes(target: &Value) -> Vec<&str> {
    let problems = target["problems"].as_array().unwrap();
    for problem in problems {
        assert!(!problem["text"].as_str().unwrap().is_empty() && !problem["hint"].as_str().unwrap().is_empty());
    }
    problems
        .iter()
        .map(|problem| problem["code"].as_str().unwrap())
        .collect()
}

/// What every face says of `site/live`.
#[track_caller]
fn is(world: &World, state: &str, wanted: &[&str], behind: impl Into<Value>) {
    let behind = behind.into();
    let told = || world.hookd(&["status", "--json"]).expect(0).json()["targets"][0].clone();
    wait_until(&format!("{state} {wanted:?} {behind}"), || {
        let target = told();
        target["state"] == state && codes(&target) == wanted && target["behind"] == behind
    });
    world
        .hookd(&["status", "--check"])
        .expect(i32::from(!wanted.is_empty()));
    let text = world.hookd(&["status"]).expect(0).out;
    let sentence = if wanted.is_empty() {
        "The target is well."
    } else {
        "1 of 1 target needs you."
    };
    assert!(text.starts_with(sentence), "{text}");
    let metrics = world.ask("GET", "/metrics", "").unwrap().text();
    for code in wanted {
        let line = format!("hookd_target_problem{{target=\"site/live\",code=\"{code}\"}} 1");
        assert!(metrics.contains(&line), "{line}: {metrics}");
    }
    let number = u8::from(behind == true);
    assert!(
        behind.is_null() || metrics.contains(&format!("hookd_target_behind{{target=\"site/live\"}} {number}")),
        "{metrics}"
    );
}

#[test]
fn what_is_live_is_told_with_its_subject_and_author() {
    let world = World::site("");
    let commit = world.deploy("one");
    is(&world, "live", &[], false);
    let target = world.target("site/live");
    let live = &target["live"];
    assert_eq!(
        (live["commit"].as_str(), target["tip"]["commit"].as_str()),
        (Some(&*commit), Some(&*commit))
    );
    assert!(
        live["subject"].is_string() && live["author"].is_string() && live["since"].is_i64(),
        "{live}"
    );
    assert_eq!(live["release"].as_str(), world.release().as_deref());
    assert_eq!(target["tip"]["subject"], live["subject"]);
    assert_eq!(
        (&target["running"], &target["waiting"]),
        (&Value::Null, &Value::Array(Vec::new()))
    );
    assert_eq!(world.history()[0]["author"], live["author"]);
}

#[test]
fn a_failure_is_behind_until_it_is_mended() {
    let world = World::site("build = \"test $(cat index.html) != bad\"");
    world.deploy("one");
    world.push("bad");
    is(&world, "failed", &["failed"], true);
    let problem = &world.target("site/live")["problems"][0];
    assert!(
        problem["hint"].as_str().unwrap().contains("hookd retry site/live"),
        "{problem}"
    );
    assert!(problem["since"].is_i64());
    world.deploy("good");
    is(&world, "live", &[], false);
}

#[test]
fn a_rollback_is_behind_and_resume_deploys_the_tip() {
    let world = World::site("");
    world.deploy("one");
    world.deploy("two");
    world.hookd(&["rollback", "site"]).expect(0);
    assert_eq!(world.served(), "one");
    is(&world, "pinned", &["pinned"], true);
    let said = world.hookd(&["resume", "site"]).expect(0);
    assert!(said.out.contains("deploys the tip of its ref"), "{said:?}");
    world.settled();
    assert_eq!(world.served(), "two");
    is(&world, "live", &[], false);
    world.hookd(&["pause", "site"]).expect(0);
    is(&world, "paused", &["paused"], false);
}

#[test]
fn what_was_cancelled_is_behind() {
    let world = World::site("build = \"$DIR/gate build\"");
    world.deploy("one");
    let gate = world.gate("build");
    world.push("two");
    let build = gate.reached();
    world.hookd(&["cancel", "site"]).expect(0);
    build.killed();
    world.settled();
    gate.open();
    is(&world, "live", &["behind"], true);
    let problem = &world.target("site/live")["problems"][0];
    assert_eq!(problem["hint"], "hookd deploy site/live");
    world.hookd(&["deploy", "site"]).expect(0);
    is(&world, "live", &[], false);
}

#[test]
fn a_repo_that_anybody_may_deploy_says_so_as_long_as_it_does() {
    let keys = "secret = \"insecure-none\"";
    let mut world = World::still(
        &site("", "[repo.site.deploy.live]\nbranch = \"main\"\npath = \"$DIR/live\"\n")
            .replace("secret = \"file:$DIR/secret\"", keys),
    );
    world.start();
    world.site.publish("one");
    world.hookd(&["deploy", "site"]).expect(0);
    is(&world, "live", &["no-secret"], false);
}

#[test]
fn a_branch_that_is_deleted_leaves_the_site_and_is_told() {
    let world = World::site("");
    world.deploy("one");
    world.site.git(&["push", "--quiet", "origin", "main:other", ":main"]);
    world.hookd(&["resume", "site"]).expect(0);
    is(&world, "live", &["ref-missing"], Value::Null);
    assert_eq!(world.served(), "one");
}

#[test]
fn a_branch_that_is_gone_is_named_with_those_there_are() {
    let mut world = World::still(&site(
        "poll = \"1h\"",
        "[repo.site.deploy.live]\nbranch = \"mian\"\npath = \"$DIR/live\"\n",
    ));
    world.site.publish("one");
    world.start();
    is(&world, "nothing-live", &["nothing-live", "ref-missing"], Value::Null);
    let target = world.target("site/live");
    let missing = &target["problems"][1];
    assert_eq!(missing["text"], "the remote has no branch mian; it has: main");
    assert_eq!(missing["hint"], "did you mean `main`?");
    assert!(
        world.log().contains("the remote has no branch mian; it has: main"),
        "{}",
        world.log()
    );
}

#[test]
fn a_link_that_is_gone_or_somebody_elses_is_told() {
    let world = World::site("");
    world.deploy("one");
    let current = world.path("live/current");
    let target = fs::read_link(&current).unwrap();
    fs::remove_file(&current).unwrap();
    is(&world, "live", &["current-missing"], false);
    symlink("/elsewhere", &current).unwrap();
    is(&world, "live", &["current-foreign"], false);
    let doctor = world.hookd(&["doctor", "--json"]).json();
    let findings = doctor["findings"].as_array().unwrap();
    let told = findings
        .iter()
        .any(|finding| finding["level"] == "error" && finding["text"].as_str().unwrap().contains("hookd did not make"));
    assert!(told, "{doctor}");
    fs::remove_file(&current).unwrap();
    symlink(target, &current).unwrap();
    is(&world, "live", &[], false);
}

#[test]
fn a_remote_that_is_gone_is_told_and_keeps_what_was_known() {
    let world = World::site("");
    world.deploy("one");
    is(&world, "live", &[], false);
    let away = world.dir().join("away");
    let remote = world.path("site.git");
    fs::rename(&remote, &away).unwrap();
    world.hookd(&["pause", "site"]).expect(0);
    world.hookd(&["resume", "site"]).expect(0);
    is(&world, "live", &["remote-unreachable"], false);
    fs::rename(&away, &remote).unwrap();
    world.hookd(&["resume", "site"]).expect(0);
    is(&world, "live", &[], false);
}

#[test]
fn strangers_fill_no_list_and_make_no_error() {
    let world = World::site("");
    world.deploy("one");
    for number in 0..30 {
        let bad = Delivery::github("push", format!("{{\"n\":{number}}}")).signed("not the secret");
        assert_eq!(world.send(&bad).status, 401);
    }
    let rows = world.hookd(&["deliveries", "--json"]).expect(0).json();
    let rows = rows.as_array().unwrap();
    let refused: Vec<&Value> = rows.iter().filter(|row| row["result"] == "rejected").collect();
    assert_eq!((refused.len(), &refused[4]["count"]), (5, &26.into()), "{rows:?}");
    assert!(rows.iter().any(|row| row["result"] == "accepted"));
    let taken = world
        .hookd(&["deliveries", "--result", "accepted", "--json"])
        .expect(0)
        .json();
    assert!(taken.as_array().unwrap().iter().all(|row| row["result"] == "accepted"));
    let doctor = world.hookd(&["doctor", "--json"]).json();
    let findings = doctor["findings"].as_array().unwrap();
    let blamed = findings
        .iter()
        .any(|finding| finding["area"] == "webhooks" && finding["level"] == "error");
    assert!(!blamed, "{doctor}");
}

#[test]
fn a_forge_with_another_secret_is_told_until_a_delivery_is_taken() {
    let world = World::site("");
    world.deploy("one");
    assert_eq!(codes(&world.target("site/live")), [""; 0]);
    let mut world = World::still(&site(
        "poll = \"1h\"",
        "[repo.site.deploy.live]\nbranch = \"main\"\npath = \"$DIR/live\"\n",
    ));
    world.site.publish("one");
    world.start();
    world.settled();
    world.send(&world.pushed().signed("another secret")).expect(401);
    is(&world, "live", &["webhook-refused"], false);
    world.send(&world.pushed()).expect(202);
    world.settled();
    is(&world, "live", &[], false);
}

#[test]
fn a_repo_with_several_targets_has_one_history() {
    let copy = "[repo.site.deploy.copy]\nbranch = \"main\"\npath = \"$DIR/copy\"\n";
    let world = World::site(copy);
    world.push("one");
    world.settled();
    let rows = world.hookd(&["history", "site", "--json"]).expect(0).json();
    let of = |name: &str| rows.as_array().unwrap().iter().any(|row| row["target"] == name);
    assert!(of("site/live") && of("site/copy"), "{rows}");
    let said = world.hookd(&["history", "stie"]).expect(3);
    assert!(said.err.contains("hint: did you mean site?"), "{said:?}");
}

#[test]
fn a_typing_error_in_the_name_of_the_file_is_told_by_every_command() {
    let world = World::still_site("");
    let commands: &[&[&str]] = &[
        &["status"],
        &["history"],
        &["deploy", "site"],
        &["send", "site"],
        &["check"],
        &["logs"],
        &["serve"],
        &["remove", "site"],
    ];
    for arguments in commands {
        let mut all = arguments.to_vec();
        all.extend(["--config", "/nowhere/typo.toml"]);
        let said = world.hookd(&all).expect(78);
        assert!(said.err.contains("/nowhere/typo.toml"), "{said:?}");
    }
    // Doctor looks at the machine all the same.
    let said = world.hookd(&["doctor", "--config", "/nowhere/typo.toml"]).expect(1);
    assert!(said.out.contains("ERROR: /nowhere/typo.toml"), "{said:?}");
}

#[test]
fn what_a_deployment_fetched_is_the_tip_before_the_next_look() {
    let world = World::site("build = \"test ! -e bad || { mv $DIR/site.git $DIR/away.git; exit 1; }\"\n");
    world.deploy("one");
    let tip = world.site.commit(&[("bad", "")]);
    world.site.push();
    world.send(&world.pushed()).expect(202);
    world.settled();
    // Nobody can look any more; the deployment saw it.
    let target = world.target("site/live");
    assert_eq!(
        (&target["behind"], &target["state"]),
        (&true.into(), &"failed".into()),
        "{target}"
    );
    assert_eq!(target["tip"]["commit"], tip);
}
