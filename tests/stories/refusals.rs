//! Forges that refuse, as forges do: what passes is told again, what stays is given up and shown with what is missing. And a
//! channel that is taken out of the configuration.

use serde_json::Value;

use crate::support::receiver::{Received, Receiver, Reply, plain};
use crate::support::world::{World, wait_until};

/// A site that reports to this API.
fn reporting(api: &Receiver) -> World {
    let world = World::still(&format!(
        "[forge.github]\nurl = \"{}\"\ntoken = \"file:$DIR/token\"\n[repo.site]\nurl = \"$DIR/site.git\"\nfull_name = \
         \"alice/site\"\nforge = \"github\"\nsecret = \"file:$DIR/secret\"\npoll = \"off\"\n[repo.site.deploy.live]\nbranch = \
         \"main\"\npath = \"$DIR/live\"\n",
        api.url("/")
    ));
    world.write_secret("token", "ghp_the-first-token");
    world
}

/// Takes everything that comes with this token.
fn good(token: &'static str) -> impl FnMut(&Received) -> Reply {
    move |asked| {
        if asked.header("authorization") == format!("Bearer {token}") {
            plain(201, "{}")
        } else {
            plain(401, r#"{"message":"Bad credentials"}"#)
        }
    }
}

/// The statuses that a commit was to be given, in order.
fn tried(api: &Receiver, commit: &str) -> Vec<String> {
    let told = api.told().into_iter().filter(|asked| asked.path.ends_with(commit));
    told.map(|asked| asked.body["state"].as_str().unwrap_or_default().to_owned())
        .collect()
}

fn problem(world: &World) -> String {
    let target = world.target("site/live");
    let problems = target["problems"].as_array().unwrap();
    let found = problems.iter().find(|problem| problem["code"] == "report-failing");
    found.map_or_else(String::new, |found| found["text"].as_str().unwrap().to_owned())
}

#[test]
fn what_passes_is_told_again_until_the_forge_takes_it() {
    const SECONDARY: &str = r#"{"message":"You have exceeded a secondary rate limit. Please wait a few minutes before you try again.","documentation_url":"https://docs.github.com/rest/overview/rate-limits-for-the-rest-api"}"#;
    let pause = || vec![("Retry-After", "1".to_owned())];
    // As GitHub answers; the limit of the last one is over already.
    let recorded = [
        (500, Vec::new(), r#"{"message":"Server Error"}"#),
        (502, Vec::new(), "<html>Unicorn!</html>"),
        (503, pause(), "No server is currently available"),
        (429, pause(), r#"{"message":"API rate limit exceeded"}"#),
        (403, pause(), SECONDARY),
        (
            403,
            vec![
                ("X-RateLimit-Remaining", "0".to_owned()),
                ("X-RateLimit-Reset", "1700000000".to_owned()),
            ],
            r#"{"message":"API rate limit exceeded for user ID 1."}"#,
        ),
    ];
    let api = Receiver::new(good("ghp_the-first-token"));
    let mut world = reporting(&api);
    world.start();
    for (status, headers, body) in recorded {
        let (mut refused, mut takes) = (false, good("ghp_the-first-token"));
        let reply = (status, headers, body.to_owned());
        api.answer(move |asked| {
            if asked.method != "GET" && !std::mem::replace(&mut refused, true) {
                return reply.clone();
            }
            takes(asked)
        });
        let commit = world.deploy(&format!("{status} {body}"));
        wait_until(&format!("{status} is over"), || {
            let tried = tried(&api, &commit);
            tried.len() > 1 && tried.last().is_some_and(|state| state == "success")
        });
        assert_eq!(problem(&world), "", "{status} {body}");
    }
    assert!(!world.log().contains("ghp_the-first-token"));
}

#[test]
fn what_stays_is_given_up_and_shown_and_the_token_goes_nowhere_else() {
    const NO_COMMIT: &str = r#"{"message":"Validation Failed","errors":[{"resource":"Status","code":"custom","message":"No commit found for SHA"}]}"#;
    let elsewhere = Receiver::new(|_| plain(201, "{}"));
    let moved = vec![("Location", elsewhere.url("/repositories/1/statuses/x"))];
    let recorded = [
        (
            401,
            Vec::new(),
            r#"{"message":"Bad credentials"}"#,
            "Commit statuses: write",
        ),
        (
            403,
            Vec::new(),
            r#"{"message":"Resource not accessible by personal access token"}"#,
            "Commit statuses: write",
        ),
        (
            404,
            Vec::new(),
            r#"{"message":"Not Found"}"#,
            "the token may not see it",
        ),
        (422, Vec::new(), NO_COMMIT, "Validation Failed: No commit found for SHA"),
        (
            301,
            moved.clone(),
            r#"{"message":"Moved Permanently"}"#,
            "has the repository moved?",
        ),
        (307, moved, r#"{"message":"Moved"}"#, "`full_name`"),
    ];
    let api = Receiver::new(good("ghp_the-first-token"));
    let mut world = reporting(&api);
    world.start();
    for (status, headers, body, shown) in recorded {
        let reply = (status, headers, body.to_owned());
        api.answer(move |_| reply.clone());
        let commit = world.deploy(&format!("{status} {body}"));
        wait_until(&format!("{status} is a problem"), || problem(&world).contains(shown));
        wait_until("its end was tried", || {
            tried(&api, &commit).last().is_some_and(|state| state == "success")
        });
        let count = tried(&api, &commit).len();
        api.answer(good("ghp_the-first-token"));
        let next = world.deploy(&format!("after {status} {body}"));
        wait_until("the next one is told", || {
            tried(&api, &next).last().is_some_and(|state| state == "success")
        });
        wait_until("it is no problem any more", || problem(&world).is_empty());
        assert_eq!(tried(&api, &commit).len(), count, "{status} {body}");
    }
    assert_eq!(elsewhere.received().len(), 0);
    assert!(!format!("{}{}", world.log(), world.status()).contains("ghp_the-first-token"));
}

#[test]
fn a_token_that_expires_is_replaced_without_a_restart() {
    let api = Receiver::new(good("ghp_the-first-token"));
    let mut world = reporting(&api);
    world.start();
    let success = |commit: &str| tried(&api, commit).last().is_some_and(|state| state == "success");
    let one = world.deploy("one");
    wait_until("the first token is good", || success(&one));
    api.answer(good("ghp_the-second-token"));
    world.deploy("two");
    wait_until("it is a problem", || {
        problem(&world).contains("does not know the token")
    });
    world.write_secret("token", "ghp_the-second-token");
    world.daemon().reload();
    let three = world.deploy("three");
    wait_until("the second token is good", || success(&three));
    wait_until("it is no problem any more", || problem(&world).is_empty());
}

#[test]
fn a_channel_that_is_removed_takes_what_waits_for_it_along() {
    let receiver = Receiver::new(|_| plain(503, ""));
    let config = |channel: &str, notify: &str| {
        format!(
            "{channel}[repo.site]\nurl = \"$DIR/site.git\"\nfull_name = \"alice/site\"\nforge = \"github\"\nsecret = \
             \"file:$DIR/secret\"\npoll = \"off\"\n[repo.site.deploy.live]\nbranch = \"main\"\npath = \"$DIR/live\"\n{notify}"
        )
    };
    let channel = format!("[notify.ops]\nurl = \"{}\"\non = \"live\"\n", receiver.url("/ops"));
    let (with, without) = (config(&channel, "notify = [\"ops\"]\n"), config("", ""));
    let mut world = World::still(&with);
    world.start();
    world.deploy("never heard");
    wait_until("it waits and is a problem", || {
        world.target("site/live")["problems"]
            .to_string()
            .contains("notify-failing")
    });
    world.configure(&without);
    world.daemon().reload();
    let pending = || {
        let metrics = world.ask("GET", "/metrics", "").unwrap();
        let text = String::from_utf8_lossy(&metrics.body).into_owned();
        text.lines()
            .any(|line| line.starts_with("hookd_outbox_pending{channel=\"ops\"} ") && !line.ends_with(" 0"))
    };
    wait_until("nothing waits any more", || !pending());
    let before = receiver.received().len();
    receiver.answer(|_| plain(204, ""));
    world.configure(&with);
    world.daemon().reload();
    assert_eq!(world.target("site/live")["problems"], Value::Array(Vec::new()));
    let commit = world.deploy("heard");
    wait_until("the new one is heard", || receiver.received().len() > before);
    assert_eq!(receiver.received()[before].body["commit"], commit.as_str());
}
