//! Workflows at GitHub are started when a target went live, and GitHub Apps make their own tokens.

use serde_json::{Value, json};

use crate::support::receiver::{Received, Receiver, Reply, plain};
use crate::support::world::{World, wait_until};

/// A site that starts workflows of alice/other, with these keys of `[forge.github]` besides.
fn dispatching(api: &Receiver, forge: &str, target: &str) -> World {
    let world = World::still(&format!(
        r#"
[forge.github]
url = "{}"
token = "file:$DIR/token"
{forge}
$SITE
poll = "off"
report = "off"
dispatch = {{ repo = "alice/other", event = "deployed" }}
$LIVE
url = "https://site.example.org/"
{target}
"#,
        api.url("/")
    ));
    world.write_secret("token", "t0ken-of-the-api");
    world
}

/// What GitHub takes as an event, and nothing else.
fn github(asked: &Received) -> Reply {
    if asked.header("authorization") != "Bearer t0ken-of-the-api" {
        return plain(401, r#"{"message":"Bad credentials"}"#);
    }
    if (asked.method.as_str(), asked.path.as_str()) != ("POST", "/repos/alice/other/dispatches") {
        return plain(404, r#"{"message":"Not Found"}"#);
    }
    let payload = asked.body["client_payload"].as_object();
    let known = asked.body.as_object().is_some_and(|body| body.len() == 2);
    if known && asked.body["event_type"] == "deployed" && payload.is_some_and(|payload| payload.len() <= 10) {
        plain(204, "")
    } else {
        plain(422, r#"{"message":"Invalid request."}"#)
    }
}

fn problem(world: &World) -> Value {
    let status = world.target("site/live");
    let problems = status["problems"].as_array().unwrap();
    let found = problems.iter().find(|problem| problem["code"] == "report-failing");
    found.cloned().unwrap_or_default()
}

#[test]
fn workflows_start_when_a_target_went_live_and_at_no_other_time() {
    let api = Receiver::new(github);
    let mut world = dispatching(&api, "", "build = \"test ! -e bad\"");
    world.start();
    let first = world.deploy("one");
    wait_until("the event was sent", || api.told().len() == 1);
    world.site.commit(&[("bad", "x")]);
    world.deploy("two");
    world.site.git(&["rm", "-q", "bad"]);
    // GitHub is down when the next one goes live, and the daemon ends before it is back.
    api.answer(|_| plain(502, ""));
    let third = world.deploy("three");
    wait_until("it was tried", || api.told().len() > 1);
    world.kill();
    api.answer(github);
    let tried = api.told().len();
    world.start();
    wait_until("the next daemon sends it", || api.told().len() > tried);
    let received = api.told();
    let payload = |asked: &Received| asked.body["client_payload"].clone();
    let commits: Vec<Value> = received.iter().map(|asked| payload(asked)["commit"].clone()).collect();
    assert_eq!(commits[0], first.as_str());
    assert!(
        commits[1..].iter().all(|commit| *commit == third.as_str()),
        "{commits:?}"
    );
    let last = payload(received.last().unwrap());
    assert_eq!(
        (&last["target"], &last["ref"]),
        (&json!("site/live"), &json!("refs/heads/main"))
    );
    assert_eq!(
        (&last["repository"], &last["previous_commit"]),
        (&json!("alice/site"), &json!(first))
    );
    assert_eq!(last["site"], "https://site.example.org/");
    assert_eq!(problem(&world), Value::Null);
}

#[test]
fn an_event_that_is_refused_is_given_up_and_names_the_missing_permission() {
    let api = Receiver::new(|_| plain(403, r#"{"message":"Resource not accessible by personal access token"}"#));
    let mut world = dispatching(&api, "", "");
    world.start();
    world.deploy("one");
    wait_until("it is a problem", || problem(&world)["text"].is_string());
    let text = problem(&world)["text"].as_str().unwrap().to_owned();
    assert!(
        text.contains("alice/other") && text.contains("Contents: write"),
        "{text}"
    );
    assert!(!format!("{}{}", world.log(), world.status()).contains("t0ken-of-the-api"));
    assert_eq!(api.told().len(), 1);
    api.answer(github);
    world.deploy("two");
    wait_until("it is well again", || problem(&world) == Value::Null);
    assert_eq!(api.told().len(), 2);
}
