//! What only Pagure does: of some pushes it says no more than that a branch is new.

use serde_json::json;

use crate::support::forge::{Delivery, SECRET, hmac_sha256};
use crate::support::world::{World, wait_until};

const CONFIG: &str = r#"
[repo.site]
url = "$DIR/site.git"
full_name = "site"
forge = "pagure"
secret = "file:$DIR/secret"
poll = "off"
$LIVE
"#;

/// `git.branch.creation` as Pagure sends it.
fn creation(branch: &str, commit: &str, secret: &str) -> Delivery {
    let body = json!({
        "i": 1,
        "msg": {"agent": "alice", "branch": branch, "project_fullname": "site", "rev": commit},
        "msg_id": format!("2026-{branch}"),
        "timestamp": 1_795_315_198,
        "topic": "git.branch.creation",
    });
    let body = body.to_string().into_bytes();
    let headers = [
        ("Content-Type", "application/json"),
        ("X-Pagure", "https://pagure.example/"),
        ("X-Pagure-project", "site"),
        ("X-Pagure-Topic", "git.branch.creation"),
        ("X-Pagure-Signature-256", &hmac_sha256(secret, &body)),
    ];
    Delivery {
        path: "/hook/site".to_owned(),
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        body,
    }
}

#[test]
fn a_new_branch_without_new_commits_goes_live() {
    let world = World::new(CONFIG);
    let commit = world.site.publish("one");
    let answer = world.send(&creation("main", &commit, SECRET)).expect(200);
    assert_eq!(answer.json()["status"], "ignored");
    wait_until("the page is served", || world.served() == "one");
    world.settled();
    assert_eq!(world.outcomes(), ["live"]);
    assert_eq!(world.last()["source"], "poll");
}

#[test]
fn a_refused_delivery_is_listed_with_its_event() {
    let world = World::new(CONFIG);
    world.send(&creation("main", &"1".repeat(40), "wrong")).expect(401);
    let refused = world.deliveries().pop().unwrap();
    assert_eq!(refused["event"], "git.branch.creation");
    assert_eq!(refused["reason"], "signature-wrong");
}
