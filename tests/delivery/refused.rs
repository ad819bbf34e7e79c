//! What is wrong with a delivery of each forge gets the answer that the manual names, tells no secret, and can be seen afterwards.

use serde_json::Value;

use super::hooks::{self, Hook};
use super::sender::{Answer, Delivery, body};
use crate::support::world::World;

/// Larger than all recorded pushes.
const LIMITS: &str = "[limits]\nbody = \"256KiB\"\n";

/// What was sent, and what is to be told of it.
struct Tried<'t> {
    world: &'t World,
    hook: &'t Hook,
    refused: usize,
}

impl Tried<'_> {
    /// The answer must have this status, and no secret in it; `hookd deliveries` must show the reason, and the source.
    #[track_caller]
    fn expect(&mut self, what: &str, delivery: &Delivery<'_>, status: u64, reason: &str) -> Answer {
        let answer = delivery.send(self.world);
        let what = format!("{}: {what}: {}", self.hook.name, answer.text);
        assert_eq!(answer.status, status, "{what}");
        assert!(!answer.text.contains(self.hook.secret), "{what}");
        let rows = self.world.get("/api/v1/deliveries?limit=1");
        let row = &rows[0];
        let is = |key: &str, text: &str| row[key].as_str().is_some_and(|found| found.contains(text));
        assert!(is("reason", reason), "{what}: {row}");
        assert!(is("remote_addr", "127.0.0.1") && is("repo", "site"), "{what}: {row}");
        assert!(
            is("result", if status == 200 { "ignored" } else { "rejected" }),
            "{what}: {row}"
        );
        self.refused += usize::from(status != 200);
        answer
    }
}

/// Everything that can be wrong, for one way of one forge.
fn each_wrong_delivery_is_refused(hook: &Hook) {
    let [event, payload, full_name, branch] = hook.push;
    let target = format!("branch = \"{branch}\"");
    let mut world = hook.set_up(&format!(
        "{LIMITS}{}",
        hook.repo("site", full_name, &[("live", &target)])
    ));
    world.start();
    let right = Delivery::new(hook, event, body(payload));
    let with = |bytes: Vec<u8>| Delivery::new(hook, event, bytes);
    let mut tried = Tried {
        world: &world,
        hook,
        refused: 0,
    };

    let malformed = with(br#"{"ref": refs/heads/main}"#.to_vec());
    let answer = tried.expect("malformed", &malformed, 400, "not valid JSON");
    assert!(answer.word("error").contains("not valid JSON"), "{}", answer.text);
    let whole = body(payload);
    let half = with(whole[..whole.len() / 2].to_vec());
    tried.expect("truncated before it was signed", &half, 400, "not valid JSON");
    // Who signs nothing can't know that something was lost.
    let (status, reason) = if hook.secret_header.is_some() || hook.order.get("basic").is_some() {
        (400, "not valid JSON")
    } else {
        (401, "signature-wrong")
    };
    tried.expect("truncated on its way", &right.clone().cut(), status, reason);
    if !hook.form {
        tried.expect("empty", &with(Vec::new()).unsigned(), 400, "empty body");
    }
    let large = [br#"{"filler":""#.to_vec(), vec![b'x'; 256 * 1024], br#""}"#.to_vec()].concat();
    tried.expect("oversized", &with(large), 413, "body too large");

    let unsigned = tried.expect("unsigned", &right.clone().unsigned(), 401, "signature-missing");
    let wrong = tried.expect(
        "wrong secret",
        &right.clone().secret(hook.wrong),
        401,
        "signature-wrong",
    );
    assert_eq!(unsigned.text, wrong.text, "{}", hook.name);
    if let Some(sign) = hook.order.get("sign") {
        let text = |key: &str| sign[key].as_str().unwrap();
        let empty = right.clone().unsigned().header(text("header"), text("prefix"));
        tried.expect("empty signature", &empty, 401, "signature-empty");
    }
    if let Some(header) = hook.event_headers.first() {
        let nameless = hook
            .event_headers
            .iter()
            .fold(right.clone(), |one, name| one.without(name));
        let answer = tried.expect("no event", &nameless, 400, header);
        assert!(answer.word("error").contains(header), "{}", answer.text);
    }

    // Another forge's body is signed like any other: nothing is wrong with it, it just means nothing.
    let other = if hook.forge == "bitbucket" {
        "gitlab/push.playground.json"
    } else {
        "bitbucket-cloud/repo-push.drone.json"
    };
    let answer = tried.expect("another forge's body", &with(body(other)), 200, "");
    assert!(answer.word("reason").contains("body"), "{}", answer.text);
    // Another forge's headers are not, even if they are made with the right secret.
    let (elsewhere, its_event) = if hook.forge == "gitlab" {
        (hooks::github(), "push")
    } else {
        (hooks::gitlab(), "Push Hook")
    };
    let foreign = Delivery::new(&elsewhere, its_event, body(payload)).secret(hook.secret);
    let answer = tried.expect("another forge's headers", &foreign, 401, "");
    assert_eq!(answer.text, wrong.text, "{}", hook.name);

    let refused = tried.refused;
    world.settled();
    assert!(world.history().is_empty(), "{}", hook.name);
    let log = world.log();
    let lines = log
        .lines()
        .filter(|line| line.contains("refused a delivery: ") && line.contains("from 127.0.0.1"));
    assert_eq!(lines.count(), refused, "{}: {log}", hook.name);
    let listed = world.hookd(&["deliveries", "-n", "100"]).expect(0).out;
    assert_eq!(listed.matches(" rejected ").count(), refused, "{}: {listed}", hook.name);
    let told = format!("{log}{listed}{}", Value::from(world.deliveries()));
    assert!(!told.contains(hook.secret), "{}: {told}", hook.name);
}

#[test]
fn of_github_and_its_family() {
    for hook in hooks::all() {
        if ["github", "gitea", "forgejo", "gogs"].contains(&hook.forge) {
            each_wrong_delivery_is_refused(&hook);
        }
    }
}

#[test]
fn of_forges_with_a_public_key_or_none() {
    for hook in hooks::all() {
        if ["gitlab", "sourcehut", "standard", "azure-devops"].contains(&hook.forge) {
            each_wrong_delivery_is_refused(&hook);
        }
    }
}

#[test]
fn of_the_others() {
    for hook in hooks::all() {
        if ["bitbucket", "bitbucket-server", "pagure", "generic"].contains(&hook.forge) {
            each_wrong_delivery_is_refused(&hook);
        }
    }
}

#[test]
fn the_hook_for_all_repos_refuses_alike_and_shows_the_name_that_was_claimed() {
    let hook = hooks::github();
    let mut world = hook.set_up(&hook.repo("site", "alice/site", &[("live", "branch = \"main\"")]));
    world.start();
    let [event, payload, full_name, _] = hook.push;
    let delivery = Delivery::new(&hook, event, body(payload)).to("/hook");
    assert_eq!(delivery.secret(hook.wrong).send(&world).status, 401);
    let row = world.deliveries().pop().unwrap();
    assert_eq!(
        (&row["repo"], &row["reason"]),
        (&full_name.into(), &"signature-wrong".into())
    );
    assert_eq!((&row["forge"], &row["event"]), (&"github".into(), &"push".into()));
    assert!(row["delivery"].as_str().unwrap().starts_with("72d3162e"), "{row}");
}

#[test]
fn the_connection_test_of_bitbucket_server_is_seen_though_nobody_signed_it() {
    let hook = hooks::bitbucket_server();
    let mut world = hook.set_up(&hook.repo("site", "PRJ/my-repo", &[("live", "branch = \"main\"")]));
    world.start();
    let test = Delivery::new(&hook, "diagnostics:ping", *br#"{"test": true}"#).unsigned();
    let answer = test.send(&world);
    assert_eq!((answer.status, answer.word("status")), (200, "pong"), "{}", answer.text);
    let row = world.deliveries().pop().unwrap();
    assert_eq!(
        (&row["repo"], &row["result"]),
        (&"site".into(), &"pong".into()),
        "{row}"
    );
    assert!(world.log().contains("connection test"), "{}", world.log());
    // Anything else that nobody signed is no test.
    let push = Delivery::new(&hook, "diagnostics:ping", body(hook.push[1])).unsigned();
    assert_eq!(push.send(&world).status, 401);
}
