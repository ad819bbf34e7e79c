//! `require_checks`, from the push through the events of CI, or the answers of the forge's API, to the page.

use serde_json::{Value, json};

use super::api::Api;
use crate::support::forge::{Delivery, SECRET};
use crate::support::http::Answer;
use crate::support::world::{World, wait_until};

const BUILD: &str = "require_checks = \"build\"\n";

/// A check run of GitHub that ended so, for a push to `main`.
fn check_run(commit: &str, name: &str, conclusion: Option<&str>) -> Value {
    let (action, status) = if conclusion.is_some() {
        ("completed", "completed")
    } else {
        ("created", "in_progress")
    };
    json!({
        "action": action,
        "check_run": {
            "id": 1, "name": name, "head_sha": commit, "status": status, "conclusion": conclusion,
            "check_suite": {"id": 2, "head_branch": "main", "head_sha": commit, "pull_requests": []},
            "pull_requests": [], "app": {"slug": "github-actions"},
        },
        "repository": {"id": 1, "full_name": "alice/site", "name": "site", "owner": {"login": "alice"}},
        "sender": {"login": "github-actions[bot]"},
    })
}

fn say(world: &World, event: &Value) -> Answer {
    let name = if event.get("check_run").is_some() {
        "check_run"
    } else {
        "status"
    };
    world.send(&Delivery::github(name, event.to_string()).signed(SECRET))
}

/// CI says how a check of a commit ended; gives what hookd answered.
fn ended(world: &World, commit: &str, name: &str, conclusion: &str) -> Answer {
    say(world, &check_run(commit, name, Some(conclusion)))
}

fn waits_for(world: &World) -> String {
    world.target("site/live")["waits_for"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// Publishes a page, delivers the push, and waits until its deployment waits for checks.
#[track_caller]
fn push_and_wait(world: &World, page: &str) -> String {
    let commit = world.push(page);
    let told = format!("waits for checks of {}", &commit[..7]);
    wait_until("it waits for its checks", || waits_for(world).starts_with(&told));
    commit
}

/// The outcomes of all deployments, oldest first.
fn outcomes(world: &World) -> Vec<String> {
    let outcome = |row: &Value| row["outcome"].as_str().unwrap_or("none").to_owned();
    world.history().iter().map(outcome).collect()
}

#[test]
fn a_push_waits_for_its_checks_and_goes_live_when_they_are_green() {
    let world = World::site("require_checks = [\"build\", \"lint\"]\n");
    let commit = push_and_wait(&world, "one");
    assert_eq!(
        waits_for(&world),
        format!("waits for checks of {}: build, lint pending", &commit[..7])
    );
    let target = world.target("site/live");
    assert_eq!(
        (&target["state"], &target["running"]),
        (&"waiting".into(), &Value::Null)
    );
    let said = world.hookd(&["status"]).expect(0);
    assert!(said.out.contains("queued: waits for checks of "), "{said:?}");
    assert_eq!(world.status()["running"], 0);

    say(&world, &check_run(&commit, "build", None)).expect(200);
    let answer = ended(&world, &commit, "build", "success").expect(200);
    let reason = format!(
        "site/live: build is green for {}, which is noted for `require_checks`",
        &commit[..7]
    );
    assert_eq!(answer.word("reason"), reason);
    wait_until("one is left", || waits_for(&world).ends_with(": lint pending"));
    assert_eq!(world.served(), "");
    // That a check has begun is no news once it has ended; events come in any order.
    say(&world, &check_run(&commit, "build", None)).expect(200);
    // Nor does another commit's check count, or another check.
    ended(&world, &"1".repeat(40), "lint", "success").expect(200);
    ended(&world, &commit, "docs", "failure").expect(200);
    ended(&world, &commit, "lint", "success").expect(200);
    world.settled();
    assert_eq!(world.served(), "one");
    // All of it was one deployment.
    assert_eq!(world.history().len(), 1);
    let log = world.hookd(&["logs", "site"]).expect(0).out;
    for (words, times) in [
        ("fetched ", 1),
        ("lint pending", 2),
        ("checks are green: build, lint", 1),
    ] {
        assert_eq!(log.matches(words).count(), times, "{words}: {log}");
    }
}

#[test]
fn checks_that_were_green_before_the_push_came_count() {
    let world = World::site(BUILD);
    let commit = world.site.publish("one");
    ended(&world, &commit, "build", "success").expect(200);
    world.send(&world.pushed()).expect(202);
    world.settled();
    assert_eq!(world.served(), "one");
}

#[test]
fn a_red_check_ends_it_at_once_and_a_green_rerun_takes_it_up() {
    let world = World::site(BUILD);
    let commit = push_and_wait(&world, "one");
    ended(&world, &commit, "build", "failure").expect(200);
    world.settled();
    let last = world.last();
    assert_eq!(
        (&last["outcome"], &last["commit"]),
        (&"failed".into(), &commit.as_str().into())
    );
    assert_eq!(last["reason"], format!("checks of {}: build red", &commit[..7]));
    // Somebody runs it again.
    let answer = ended(&world, &commit, "build", "success").expect(202);
    assert_eq!(answer.json()["jobs"][0]["target"], "site/live");
    world.settled();
    assert_eq!(world.served(), "one");
    assert_eq!(outcomes(&world), ["failed", "live"]);
    // What is live needs nothing more.
    ended(&world, &commit, "build", "success").expect(200);
    world.settled();
    assert_eq!(world.history().len(), 2);
}

#[test]
fn what_is_no_success_is_red() {
    let world = World::site(BUILD);
    for conclusion in ["cancelled", "skipped", "neutral", "timed_out"] {
        let commit = push_and_wait(&world, conclusion);
        ended(&world, &commit, "build", conclusion).expect(200);
        world.settled();
        assert_eq!(world.last()["outcome"], "failed", "{conclusion}");
    }
    assert_eq!(world.served(), "");
}

#[test]
fn forks_and_strangers_turn_nothing_green() {
    let world = World::site(BUILD);
    let commit = push_and_wait(&world, "one");
    let mut fork = check_run(&commit, "build", Some("success"));
    fork["check_run"]["check_suite"]["head_branch"] = Value::Null;
    say(&world, &fork).expect(200);
    let mut other = check_run(&commit, "build", Some("success"));
    other["repository"]["full_name"] = "mallory/site".into();
    say(&world, &other).expect(200);
    let unsigned = Delivery::github("check_run", check_run(&commit, "build", Some("success")).to_string());
    world.send(&unsigned).expect(401);
    // Had one of them counted, this would not be the first word on the check.
    ended(&world, &commit, "build", "failure").expect(200);
    world.settled();
    assert_eq!(
        (world.served(), outcomes(&world)),
        (String::new(), vec!["failed".to_owned()])
    );
}

#[test]
fn time_runs_out_and_the_poll_does_not_begin_anew() {
    let mut world = World::site(&format!("{BUILD}checks_timeout = \"1s\"\n"));
    let commit = world.push("one");
    world.settled();
    assert_eq!(world.last()["reason"], "checks not green after 1s: build pending");
    let before = world.history().len();
    world.stop();
    world.start();
    world.settled();
    assert_eq!(world.history().len(), before);
    // Late is better than never.
    ended(&world, &commit, "build", "success").expect(202);
    world.settled();
    assert_eq!(world.served(), "one");
}

#[test]
fn the_time_goes_on_and_the_deployment_too_over_a_restart() {
    let mut world = World::site(BUILD);
    let commit = push_and_wait(&world, "one");
    world.kill();
    world.start();
    wait_until("it still waits", || waits_for(&world).ends_with("build pending"));
    ended(&world, &commit, "build", "success").expect(200);
    world.settled();
    assert_eq!(world.served(), "one");
    assert_eq!(world.history().len(), 1);
}

#[test]
fn a_newer_push_takes_the_place_of_one_that_waits() {
    let world = World::site(BUILD);
    let first = push_and_wait(&world, "one");
    let second = push_and_wait(&world, "two");
    assert_eq!(outcomes(&world), ["superseded", "none"]);
    assert_eq!(world.history()[0]["commit"], first.as_str());
    ended(&world, &second, "build", "success").expect(200);
    world.settled();
    assert_eq!(world.served(), "two");
    assert_eq!(outcomes(&world), ["superseded", "live"]);
}

#[test]
fn the_newest_green_commit_goes_live_while_the_tip_waits() {
    let world = World::site(BUILD);
    let commits: Vec<String> = ["one", "two", "three"]
        .iter()
        .map(|page| push_and_wait(&world, page))
        .collect();
    ended(&world, &commits[0], "build", "success").expect(200);
    wait_until("the oldest is live", || world.served() == "one");
    wait_until("the tip waits on", || waits_for(&world).contains(&commits[2][..7]));
    // The delivery of the tip is still the one that its deployment stands for.
    assert_eq!(world.history().last().unwrap()["source"], "webhook");
    // One that went live again would be a step back.
    ended(&world, &commits[1], "build", "failure").expect(200);
    ended(&world, &commits[0], "build", "success").expect(200);
    wait_until("the tip waits on", || waits_for(&world).contains(&commits[2][..7]));
    assert_eq!(world.served(), "one");
    ended(&world, &commits[2], "build", "success").expect(200);
    world.settled();
    assert_eq!(world.served(), "three");
    assert_eq!(world.target("site/live")["commit"], commits[2].as_str());
    let live: Vec<_> = world
        .history()
        .iter()
        .filter(|row| row["outcome"] == "live")
        .map(|row| row["commit"].clone())
        .collect();
    assert_eq!(live, [commits[0].as_str(), commits[2].as_str()]);
}

#[test]
fn an_older_green_commit_goes_live_if_the_tip_is_red() {
    let world = World::site(BUILD);
    let first = push_and_wait(&world, "one");
    let second = push_and_wait(&world, "two");
    ended(&world, &second, "build", "failure").expect(200);
    world.settled();
    assert_eq!(world.served(), "");
    ended(&world, &first, "build", "success").expect(202);
    world.settled();
    assert_eq!(world.served(), "one");
    // The tip is done with: nothing tries it again and again.
    assert_eq!(outcomes(&world), ["superseded", "failed", "live"]);
    ended(&world, &second, "build", "success").expect(202);
    world.settled();
    assert_eq!(world.served(), "two");
}

#[test]
fn an_older_commit_that_fails_to_build_is_not_tried_for_ever() {
    let world = World::site(&format!("{BUILD}build = \"! grep -q broken index.html\"\n"));
    let broken = push_and_wait(&world, "broken");
    let tip = push_and_wait(&world, "two");
    ended(&world, &broken, "build", "success").expect(200);
    wait_until("it failed and the tip waits on", || {
        outcomes(&world).contains(&"failed".to_owned()) && waits_for(&world).contains(&tip[..7])
    });
    let failed = |world: &World| outcomes(world).iter().filter(|outcome| *outcome == "failed").count();
    assert_eq!(failed(&world), 1);
    ended(&world, &tip, "build", "success").expect(200);
    world.settled();
    assert_eq!((world.served().as_str(), failed(&world)), ("two", 1));
}

#[test]
fn in_a_queue_of_all_each_commit_waits_for_its_own() {
    let world = World::site(&format!("{BUILD}queue = \"all\"\n"));
    let first = push_and_wait(&world, "one");
    let second = world.push("two");
    let third = world.push("three");
    ended(&world, &third, "build", "success").expect(200);
    ended(&world, &second, "build", "failure").expect(200);
    assert_eq!(world.served(), "");
    ended(&world, &first, "build", "success").expect(200);
    world.settled();
    assert_eq!(outcomes(&world), ["live", "failed", "live"]);
    assert_eq!(world.served(), "three");
}

#[test]
fn a_waiting_deployment_is_cancelled_followed_and_not_in_the_way() {
    let world = World::new(&format!(
        r#"
$SITE
poll = "off"
$LIVE
{BUILD}
[repo.site.deploy.preview]
branch = "main"
path = "$DIR/preview"
"#
    ));
    push_and_wait(&world, "one");
    // The repo is free for its other target.
    wait_until("the other target is live", || {
        !world.target("site/preview")["commit"].is_null()
    });
    let said = world.hookd(&["cancel", "site/live"]).expect(0);
    assert!(said.out.contains("1 waiting cancelled"), "{said:?}");
    assert_eq!(world.target("site/live")["last"]["outcome"], "cancelled");
    // A person who asks for it waits as well, and sees it go on.
    let mut person = world
        .hookd_command(&["deploy", "site/live"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    wait_until("it waits again", || waits_for(&world).ends_with("build pending"));
    ended(&world, &world.site.head(), "build", "success").expect(200);
    assert!(person.wait().unwrap().success());
    let mut out = String::new();
    std::io::Read::read_to_string(person.stdout.as_mut().unwrap(), &mut out).unwrap();
    assert!(out.contains("build pending") && out.contains("live: deployed"), "{out}");
}

#[test]
fn a_poll_tells_the_waiting_job_of_a_newer_tip() {
    let world = World::new(
        r#"
$SITE
poll = "1s"
$LIVE
require_checks = "build"
"#,
    );
    push_and_wait(&world, "one");
    // Nobody delivers this one.
    let second = world.site.publish("two");
    wait_until("it waits for the new tip", || waits_for(&world).contains(&second[..7]));
    ended(&world, &second, "build", "success").expect(200);
    world.settled();
    assert_eq!(world.served(), "two");
}

#[test]
fn statuses_count_by_their_context() {
    let world = World::site("require_checks = \"ci/jenkins\"\n");
    let commit = push_and_wait(&world, "one");
    let status = |state: &str| {
        json!({
            "id": 1, "sha": commit, "name": "alice/site", "context": "ci/jenkins", "state": state,
            "branches": [{"name": "main", "commit": {"sha": commit}}],
            "repository": {"full_name": "alice/site"}, "sender": {"login": "jenkins"},
        })
    };
    say(&world, &status("pending")).expect(200);
    say(&world, &status("success")).expect(200);
    world.settled();
    assert_eq!(world.served(), "one");
}

#[test]
fn explain_says_what_an_event_of_ci_does() {
    let world = World::site(BUILD);
    let commit = world.site.publish("one");
    std::fs::write(
        world.path("run.json"),
        check_run(&commit, "build", Some("success")).to_string(),
    )
    .unwrap();
    std::fs::write(world.path("push.json"), world.pushed().body).unwrap();
    let explain = |file: &str, event: &str| {
        let (file, header) = (world.path(file), format!("X-GitHub-Event: {event}"));
        world
            .hookd(&["explain", &file.to_string_lossy(), "-H", &header])
            .expect(0)
            .out
    };
    assert!(explain("run.json", "check_run").contains("noted for `require_checks`"));
    assert!(explain("push.json", "push").contains("require_checks: the checks are looked at before the deployment"));
}

// ---- The forge's API ----

/// A world whose forge has an API that answers so.
fn asking(kind: &str, api: &Api, keys: &str) -> World {
    let world = World::still(&format!(
        r#"
[forge.{kind}]
url = "{}"
token = "file:$DIR/token"
[repo.site]
url = "$DIR/site.git"
full_name = "alice/site"
forge = "{kind}"
secret = "file:$DIR/secret"
poll = "off"
$LIVE
{keys}
"#,
        api.url("/base/")
    ));
    world.write_secret("token", "t0ken-of-the-api");
    world
}

#[test]
fn github_is_asked_for_check_runs_and_statuses() {
    let api = Api::new(|_| (404, "{}".to_owned()));
    let mut world = asking("github", &api, "require_checks = [\"build\", \"ci/other\"]\n");
    let commit = world.site.publish("one");
    let green = move |path: &str| {
        let runs = |state: &str, conclusion: &str| json!({"total_count": 1, "check_runs": [{"name": "build", "status": state, "conclusion": conclusion}]});
        let base = format!("/base/repos/alice/site/commits/{commit}");
        let answer = if path == format!("{base}/status?per_page=100") {
            json!({"state": "success", "statuses": [{"context": "ci/other", "state": "success"}]})
        } else if path == format!("{base}/check-runs?check_name=build&filter=latest&per_page=100") {
            runs("completed", "success")
        } else if path == format!("{base}/check-runs?check_name=ci%2Fother&filter=latest&per_page=100") {
            json!({"total_count": 0, "check_runs": []})
        } else {
            return (404, "{}".to_owned());
        };
        (200, answer.to_string())
    };
    world.start();
    world.send(&world.pushed()).expect(202);
    wait_until("it was asked, and did not know", || {
        waits_for(&world).contains("answered 404")
    });
    api.answer(green);
    world.settled();
    assert_eq!(world.served(), "one");
    let asked = api.asked();
    let header = |name: &str| {
        asked[0]
            .headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    };
    assert_eq!(header("authorization"), Some("Bearer t0ken-of-the-api"));
    assert!(!world.log().contains("t0ken"), "{}", world.log());
    assert!(!world.get("/api/v1/deployments?limit=10").to_string().contains("t0ken"));
}

#[test]
fn gitlab_is_asked_for_jobs_and_the_pipeline() {
    let api = Api::new(|path| {
        let answer = if path.starts_with("/base/projects/alice%2Fsite/pipelines?sha=") {
            json!([{"id": 2, "source": "merge_request_event", "status": "failed"}, {"id": 1, "source": "push", "status": "success"}])
        } else if path.starts_with("/base/projects/alice%2Fsite/repository/commits/") && path.contains("name=rspec") {
            json!([{"name": "rspec", "status": "success"}])
        } else {
            return (404, String::new());
        };
        (200, answer.to_string())
    });
    let mut world = asking("gitlab", &api, "require_checks = [\"pipeline\", \"rspec\"]\n");
    world.site.publish("one");
    world.start();
    world.hookd(&["deploy", "site"]).expect(0);
    assert_eq!(world.served(), "one");
    assert!(
        api.asked()[0]
            .headers
            .contains(&("private-token".to_owned(), "t0ken-of-the-api".to_owned()))
    );
}

#[test]
fn forgejo_is_asked_for_statuses_and_a_red_one_ends_it() {
    let api = Api::new(|path| {
        assert!(
            path.contains("/repos/alice/site/commits/") && path.contains("/status?page=1"),
            "{path}"
        );
        let statuses =
            json!([{"context": "CI / build (push)", "status": "failure"}, {"context": "lint", "status": "pending"}]);
        (200, json!({"state": "failure", "statuses": statuses}).to_string())
    });
    let mut world = asking("forgejo", &api, "require_checks = \"CI / build (push)\"\n");
    let commit = world.site.publish("one");
    world.start();
    let said = world.hookd(&["deploy", "site"]).expect(1);
    let reason = format!("checks of {}: CI / build (push) red", &commit[..7]);
    assert!(said.err.contains(&reason), "{said:?}");
    assert!(
        api.asked()[0]
            .headers
            .contains(&("authorization".to_owned(), "token t0ken-of-the-api".to_owned()))
    );
}

#[test]
fn an_api_that_is_asked_again_and_again_is_not_fetched_in_vain() {
    let api = Api::new(|_| {
        (
            200,
            json!({"statuses": [{"context": "build", "status": "pending"}]}).to_string(),
        )
    });
    let mut world = asking("gitea", &api, BUILD);
    world.site.publish("one");
    world.start();
    let hookd = world.hookd(&["deploy", "site", "--no-wait"]);
    hookd.expect(0);
    wait_until("it was asked twice", || api.asked().len() >= 2);
    assert_eq!(world.history().len(), 1);
    api.answer(|_| {
        (
            200,
            json!({"statuses": [{"context": "build", "status": "success"}]}).to_string(),
        )
    });
    world.settled();
    assert_eq!(world.served(), "one");
    assert_eq!(world.history().len(), 1);
}
