//! What hookd asks GitHub for is what GitHub's own description has; and a forge that is as bad as forges are.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::support::forge::SECRET;
use crate::support::forge_api::ForgeApi;
use crate::support::git_server::{GitServer, Origin};
use crate::support::http::Address;
use crate::support::openapi::Description;
use crate::support::receiver::{Received, Receiver, Reply, plain};
use crate::support::world::{World, wait_until};

const APP_TOKEN: &str = "ghs_made-for-one-repository";

/// A site whose forge is GitHub, reached through an App.
fn with_app(api: &Receiver, token: &str, repo: &str, target: &str) -> World {
    World::still(&format!(
        r#"
[forge.github]
url = "{}"
{token}
$SITE
poll = "off"
{repo}
$LIVE
{target}
"#,
        api.url("/")
    ))
}

/// Answers as GitHub does what its description allows, and 422 what it does not; says so to the test.
fn github(wrong: &Arc<Mutex<Vec<String>>>, deliveries: Value) -> impl FnMut(&Received) -> Reply + Send + use<> {
    let (described, wrong) = (Description::github(), Arc::clone(wrong));
    move |asked| {
        if let Err(why) = described.judge(&asked.method, &asked.path, &asked.body) {
            wrong.lock().unwrap().push(why);
            return plain(422, r#"{"message":"Validation Failed"}"#);
        }
        let json = |status, value: Value| plain(status, &value.to_string());
        let path = asked.path.split('?').next().unwrap();
        match (asked.method.as_str(), path.rsplit('/').next().unwrap()) {
            (_, "installation") => json(200, json!({ "id": 77 })),
            (_, "access_tokens") => json(201, json!({ "token": APP_TOKEN, "expires_at": "2099-01-01T00:00:00Z" })),
            _ if asked.header("authorization") != format!("Bearer {APP_TOKEN}") => {
                plain(401, r#"{"message":"Bad credentials"}"#)
            }
            ("GET", "check-runs") => json(
                200,
                json!({ "total_count": 1, "check_runs": [{ "id": 1, "name": "test", "status": "completed", "conclusion": "success" }] }),
            ),
            ("GET", "status") => json(200, json!({ "state": "success", "statuses": [], "total_count": 0 })),
            ("GET", "hooks") => json(
                200,
                json!([
                    { "id": 7, "config": { "url": "https://blog.example.org/hook/site" } },
                    { "id": 8, "config": { "url": "https://elsewhere.example.org/" } }
                ]),
            ),
            ("GET", "deliveries") => json(200, deliveries.clone()),
            ("POST", "attempts") => json(202, json!({})),
            ("POST", "deployments") => json(201, json!({ "id": 4711 })),
            ("POST", "dispatches") => plain(204, ""),
            _ => json(201, json!({})),
        }
    }
}

/// A key as GitHub gives it for an App.
fn write_app_key(world: &World) {
    let made = Command::new("openssl")
        .args(["genrsa", "-traditional", "-out"])
        .arg(world.path("app.pem"))
        .arg("2048")
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
}

fn operations(api: &Receiver) -> BTreeSet<String> {
    let last = |path: &str| {
        path.split('?')
            .next()
            .unwrap()
            .rsplit('/')
            .find(|part| !part.bytes().all(|b| b.is_ascii_hexdigit()))
            .unwrap()
            .to_owned()
    };
    api.received()
        .iter()
        .map(|asked| format!("{} {}", asked.method, last(&asked.path)))
        .collect()
}

#[test]
fn everything_that_an_app_asks_for_is_in_githubs_own_description() {
    let wrong = Arc::default();
    let failed = json!([{ "id": 3, "guid": "a-1", "status_code": 502, "redelivery": false, "event": "push" }]);
    let api = Receiver::new(github(&wrong, failed));
    let mut world = with_app(
        &api,
        "token = \"file:$DIR/app.pem\"\napp_id = \"12345\"",
        "report = [\"status\", \"deployment\"]\ndispatch = { repo = \"alice/other\", event = \"deployed\" }",
        "require_checks = [\"test\"]\nurl = \"https://site.example.org/\"",
    );
    write_app_key(&world);
    world.start();
    world.deploy("one");
    let all = [
        "GET check-runs",
        "GET deliveries",
        "GET hooks",
        "GET installation",
        "POST access_tokens",
        "POST attempts",
        "POST deployments",
        "POST dispatches",
        "POST statuses",
    ];
    wait_until("everything was asked for", || {
        all.iter().all(|one| operations(&api).contains(*one))
    });
    assert_eq!(*wrong.lock().unwrap(), [""; 0]);
    // One token for each set of rights, and no more for the next deployment.
    let made = |api: &Receiver| {
        api.received()
            .iter()
            .filter(|asked| asked.path.ends_with("access_tokens"))
            .count()
    };
    let before = made(&api);
    let next = world.deploy("two");
    wait_until("it is told", || {
        api.received()
            .iter()
            .any(|asked| asked.path.ends_with(&next) && asked.body["state"] == "success")
    });
    assert_eq!(made(&api), before);
    // The request for a token is signed by the App's key: three parts, none of them the key.
    let asked = api
        .received()
        .into_iter()
        .find(|asked| asked.path.ends_with("access_tokens"))
        .unwrap();
    let jwt = asked.header("authorization").trim_start_matches("Bearer ").to_owned();
    assert_eq!(jwt.split('.').count(), 3, "{jwt}");
    assert_eq!(asked.body["repositories"], json!(["site"]));
    assert!(!world.log().contains(APP_TOKEN) && !world.log().contains("PRIVATE KEY"));
}

#[test]
fn a_token_of_an_app_that_was_revoked_is_made_anew_once() {
    let wrong = Arc::default();
    let mut good = github(&wrong, json!([]));
    let mut refused = false;
    let api = Receiver::new(move |asked| {
        if asked.path.contains("/statuses/") && !std::mem::replace(&mut refused, true) {
            return plain(401, r#"{"message":"Bad credentials"}"#);
        }
        good(asked)
    });
    let mut world = with_app(&api, "token = \"file:$DIR/app.pem\"\napp_id = \"12345\"", "", "");
    write_app_key(&world);
    world.start();
    let commit = world.deploy("one");
    let told = |asked: &Received| asked.path.ends_with(&commit) && asked.body["state"] == "success";
    wait_until("it is told", || api.received().iter().any(told));
    assert_eq!(*wrong.lock().unwrap(), [""; 0]);
}

#[test]
fn add_and_remove_ask_for_what_githubs_description_has() {
    let world = World::new("");
    Origin::new(&world.path("alice/site.git")).commit("main", "one", &[]);
    let server = GitServer::http(world.dir());
    let api = ForgeApi::new("github");
    world.write_secret("token", "t0ken");
    let (token, at) = (format!("file:{}", world.path("token").display()), api.url());
    let (url, live) = (server.url("alice/site.git"), world.path("live").display().to_string());
    let add = [
        "add",
        &url,
        "--path",
        &live,
        "--forge",
        "github",
        "--token",
        &token,
        "--api",
        &at,
        "--hook-url",
        "https://blog.example.org",
    ];
    world.hookd(&add).expect(0);
    world.hookd(&add).expect(0);
    wait_until("it is live", || world.target("site/production")["commit"].is_string());
    world.settled();
    world
        .hookd(&["remove", "site", "--token", &token, "--api", &at])
        .expect(0);
    let described = Description::github();
    for asked in api.asked() {
        assert_eq!(described.judge(&asked.method, &asked.path, &asked.body), Ok(()));
    }
}

// ---- Deliveries that failed while hookd was away ----

#[test]
fn what_the_forge_could_not_deliver_is_asked_for_once_and_only_if_it_never_came() {
    let wrong: Arc<Mutex<Vec<String>>> = Arc::default();
    let api = Receiver::new(|_| plain(500, ""));
    let mut world = with_app(&api, "token = \"file:$DIR/token\"", "report = \"off\"", "");
    world.write_secret("token", APP_TOKEN);
    world.site.publish("one");
    let lost = world.pushed();
    let entry = |id: u64, guid: &str, status: u64, redelivery: bool| json!({ "id": id, "guid": guid, "status_code": status, "redelivery": redelivery, "event": "push" });
    let deliveries = json!([
        entry(9, &lost.its_id(), 502, false),
        entry(8, "arrived", 202, false),
        entry(7, "repeated", 202, true),
        entry(6, "repeated", 502, false),
        entry(5, "repeated-in-vain", 502, true),
        entry(4, "repeated-in-vain", 0, false),
    ]);
    let (address, bytes) = (world.address(), lost.bytes());
    let mut good = github(&wrong, deliveries);
    api.answer(move |asked| {
        // As GitHub has it: 202 at once, and the same delivery again.
        if asked.path.ends_with("/attempts") {
            let Address::Tcp(to) = address else { panic!() };
            let bytes = bytes.clone();
            std::thread::spawn(move || Address::Tcp(to).send(&bytes).unwrap().expect(202));
        }
        good(asked)
    });
    world.start();
    wait_until("the lost push is live", || {
        world.target("site/live")["commit"] == world.site.head().as_str()
    });
    assert_eq!(world.served(), "one");
    world.stop();
    world.start();
    wait_until("the next daemon has asked", || {
        api.received()
            .iter()
            .filter(|asked| asked.path.contains("/deliveries?"))
            .count()
            == 2
    });
    world.hookd(&["deploy", "site"]).expect(0);
    let again: Vec<String> = api
        .received()
        .into_iter()
        .map(|asked| asked.path)
        .filter(|path| path.ends_with("/attempts"))
        .collect();
    assert_eq!(again, ["/repos/alice/site/hooks/7/deliveries/9/attempts"]);
    assert_eq!(*wrong.lock().unwrap(), [""; 0]);
    assert!(!world.log().contains(SECRET));
}

#[test]
fn gitlab_is_asked_for_its_events_and_a_token_without_rights_is_no_problem() {
    let api = Receiver::new(|asked| {
        let body = match asked.path.split('?').next().unwrap() {
            "/projects/alice%2Fsite/hooks" => json!([{ "id": 3, "url": "https://blog.example.org/hook/site" }]),
            "/projects/alice%2Fsite/hooks/3/events" => json!([
                { "id": 21, "trigger": "push_hooks", "request_headers": { "Idempotency-Key": "k-1" }, "response_status": "internal error" },
                { "id": 20, "trigger": "push_hooks", "request_headers": { "Idempotency-Key": "k-0" }, "response_status": "202" }
            ]),
            "/projects/alice%2Fsite/hooks/3/events/21/resend" => json!({ "response_status": 202 }),
            _ => return plain(404, r#"{"message":"404 Not Found"}"#),
        };
        plain(200, &body.to_string())
    });
    let world = World::still(&format!(
        "[forge.gitlab]\nurl = \"{}\"\ntoken = \"file:$DIR/token\"\n[repo.site]\nurl = \"$DIR/site.git\"\nfull_name = \"alice/site\"\nforge = \
         \"gitlab\"\nsecret = \"file:$DIR/secret\"\npoll = \"off\"\nreport = \"off\"\n[repo.site.deploy.live]\nbranch = \"main\"\npath = \
         \"$DIR/live\"\n",
        api.url("/")
    ));
    let mut world = world;
    world.write_secret("token", "glpat-of-the-api");
    world.start();
    let asked = |end: &str| api.received().iter().any(|asked| asked.path.ends_with(end));
    wait_until("the failed event is sent again", || asked("/events/21/resend"));
    assert!(!asked("/events/20/resend"));
    // A forge that does not let the token look: said in the log, and no more.
    api.answer(|_| plain(403, r#"{"message":"403 Forbidden"}"#));
    world.stop();
    world.start();
    wait_until("it is said", || {
        world.log().contains("is not asked for failed deliveries")
    });
    assert!(world.log().contains("the scope api"), "{}", world.log());
}
