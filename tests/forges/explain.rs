//! What `hookd explain` says, in JSON and to people.

use hookd::config::{Config, ForgeKind, Repo, SecretSource, Secrets};
use hookd::explain::explain;
use hookd::forge::{Signing, sign};
use http::HeaderMap;
use serde_json::{Value, json};

use crate::support::{NOW, config, fixtures, headers, payload, repo, secret, target, with_target};

fn drone() -> Repo {
    let repo = repo("blog", "codertocat/hello-world");
    let branch = hookd::config::RefFilter::Branches(crate::support::patterns(&["master"]));
    with_target(
        repo,
        hookd::config::Target {
            refs: branch,
            ..target()
        },
    )
}

fn secrets(key: &str) -> Secrets {
    let mut secrets = Secrets::default();
    secrets.webhook.insert("blog".parse().unwrap(), vec![secret(key)]);
    secrets
}

fn signed(body: &[u8], key: Option<&str>) -> HeaderMap {
    let id = "72d3162e-cc78-11e3-81ab-4c9367dc0958".parse().unwrap();
    let with = Signing {
        id: &id,
        now: NOW,
        generic: None,
        auth_header: None,
    };
    headers(&sign(ForgeKind::GitHub, key.map(secret).as_ref(), body, &with).unwrap())
}

fn said(headers: &HeaderMap, body: &[u8], config: Option<(&Config, &Secrets)>) -> Value {
    serde_json::to_value(explain(headers, body, None, config, NOW)).unwrap()
}

#[test]
fn the_contract_of_the_json() {
    let body = payload("github/push.drone.json");
    let config = config(vec![drone()]);
    let answer = said(&signed(&body, Some("s")), &body, Some((&config, &secrets("s"))));
    assert_eq!(answer["forge"], "github");
    assert_eq!(answer["delivery"], "72d3162e-cc78-11e3-81ab-4c9367dc0958");
    assert_eq!(answer["signature"], "valid");
    assert_eq!(answer["error"], Value::Null);
    let event = json!({"kind": "branch", "name": "push", "action": "update", "repo": "Codertocat/Hello-World",
        "ref": "refs/heads/master", "before": "a10867b14bb761a232cd80139fbd4c0d33264240",
        "after": "199eddf46df50de8d02e99bf1c5fdb4101338224", "forced": false});
    assert_eq!(answer["events"], json!([event]));
    assert_eq!(answer["verdicts"][0]["target"], "blog/production");
    assert_eq!(answer["verdicts"][0]["verdict"], "deploy");
    assert_eq!(answer["verdicts"][0]["reason"], "branch master was pushed");
    assert!(
        answer["verdicts"][0]["conditions"]
            .as_array()
            .unwrap()
            .iter()
            .all(|c| c["passed"] == true)
    );
}

#[test]
fn the_words_for_the_signature() {
    let body = payload("github/push.drone.json");
    let config = config(vec![drone()]);
    let with =
        |headers: &HeaderMap, key: &str| said(headers, &body, Some((&config, &secrets(key))))["signature"].clone();
    assert_eq!(with(&signed(&body, Some("s")), "s"), "valid");
    assert_eq!(with(&signed(&body, Some("s")), "other"), "invalid");
    assert_eq!(with(&signed(&body, None), "s"), "missing");
    assert_eq!(said(&signed(&body, Some("s")), &body, None)["signature"], "not checked");
    assert_eq!(said(&signed(&body, Some("s")), &body, None)["verdicts"], json!([]));
    let open = crate::support::config(vec![Repo {
        secret: vec![SecretSource::InsecureNone],
        ..drone()
    }]);
    assert_eq!(
        said(&signed(&body, None), &body, Some((&open, &Secrets::default())))["signature"],
        "not checked"
    );
    let elsewhere = crate::support::config(vec![repo("blog", "some/where")]);
    let answer = said(&signed(&body, Some("s")), &body, Some((&elsewhere, &secrets("s"))));
    assert_eq!(
        (&answer["signature"], &answer["verdicts"]),
        (&json!("not checked"), &json!([]))
    );
    assert_eq!(
        answer["signature_reason"],
        "no repo of the configuration has the full name Codertocat/Hello-World"
    );
}

#[test]
fn every_fixture_is_explained() {
    for fixture in fixtures() {
        for headers in [&fixture.headers, &HeaderMap::new()] {
            let answer = explain(headers, &fixture.body, None, None, NOW);
            assert_eq!(answer.error, None, "{}", fixture.path);
            assert_eq!(
                (answer.events.len(), answer.signature.as_ref()),
                (1, "not checked"),
                "{}",
                fixture.path
            );
            let event = &answer.events[0];
            assert!(
                matches!(event.before.len(), 40 | 64) && matches!(event.after.len(), 40 | 64),
                "{}",
                fixture.path
            );
            assert!(answer.to_string().contains(&event.name), "{}", fixture.path);
        }
    }
}

#[test]
fn zeros_stand_for_no_commit() {
    let answer = said(&HeaderMap::new(), &payload("github/create.drone-branch.json"), None);
    let zeros = "0".repeat(40);
    let event = &answer["events"][0];
    assert_eq!(
        (&event["action"], &event["before"], &event["after"]),
        (&json!("create"), &json!(zeros), &json!(zeros))
    );
    let answer = said(
        &HeaderMap::new(),
        &payload("gitlab/push.drone-branch-delete.json"),
        None,
    );
    let event = &answer["events"][0];
    assert_eq!(
        (&event["action"], &event["after"], &event["forced"]),
        (&json!("delete"), &json!(zeros), &Value::Null)
    );
}

#[test]
fn what_is_not_understood_has_a_reason_and_no_events() {
    let answer = said(&headers(&[("X-GitHub-Event", "push")]), b"{nonsense", None);
    assert_eq!((&answer["events"], &answer["forge"]), (&json!([]), &json!("github")));
    assert_eq!(
        answer["error"],
        "the body is not valid JSON: an error at line 1, column 2"
    );
    let text = explain(&HeaderMap::new(), b"{}", None, None, NOW).to_string();
    assert!(
        text.starts_with("forge      unknown\nerror      cannot tell which forge sent the delivery"),
        "{text}"
    );
}

#[test]
fn the_configuration_knows_the_forge_of_a_payload_without_headers() {
    let body = payload("gitea/push.drone.json");
    let gogs = Repo {
        forge: Some(ForgeKind::Gogs),
        ..repo("blog", "gogits/hello-world")
    };
    let config = config(vec![gogs]);
    assert_eq!(
        said(&HeaderMap::new(), &body, Some((&config, &secrets("s"))))["forge"],
        "gogs"
    );
    let asked = explain(&HeaderMap::new(), &body, Some(ForgeKind::Forgejo), None, NOW);
    assert_eq!(asked.forge.as_deref(), Some("forgejo"));
}

#[test]
fn for_people() {
    let body = payload("github/push.drone-branch-create.json");
    let config = config(vec![with_target(repo("blog", "bradrydzewski/drone-test-go"), target())]);
    let text = explain(
        &signed(&body, Some("s")),
        &body,
        None,
        Some((&config, &secrets("s"))),
        NOW,
    )
    .to_string();
    for line in [
        "forge      github",
        "signature  valid",
        "event      push (branch create) refs/heads/feature-branch of bradrydzewski/drone-test-go, none → d2b75aa",
        "verdict    blog/production: ignore, branch feature-branch is not main",
        "           ✗ branch: branch feature-branch is not main",
        "           ✓ on: push is wanted",
    ] {
        assert!(text.lines().any(|found| found == line), "{line:?} is not in\n{text}");
    }
}
