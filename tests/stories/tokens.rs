//! Programs with a token: what each may, and when it gets its answer.

use std::sync::atomic::{AtomicU16, Ordering};

use crate::support::http::{self, Address, Answer};
use crate::support::world::World;

/// An address of loopback that is this process's alone, and a port that is the test's.
fn status_address() -> String {
    static PORT: AtomicU16 = AtomicU16::new(9100);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    format!("127.94.{high}.{low}:{}", PORT.fetch_add(1, Ordering::Relaxed))
}

/// A world with a status address.
fn world(keys: &str) -> (World, Address) {
    let status = status_address();
    let mut world = World::still(&format!(
        "[http]\nstatus = \"{status}\"\n[repo.site]\nurl = \"$DIR/site.git\"\nfull_name = \"alice/site\"\nforge = \"github\"\n\
         secret = \"file:$DIR/secret\"\npoll = \"off\"\n[repo.site.deploy.live]\nbranch = \"main\"\npath = \"$DIR/live\"\n\
         {keys}\n[repo.site.deploy.test]\nbranch = \"main\"\npath = \"$DIR/test\"\n"
    ));
    world.start();
    (world, Address::Tcp(status.parse().unwrap()))
}

fn ask(address: &Address, method: &str, path: &str, token: &str, body: &str) -> Answer {
    let token = ("Authorization".to_owned(), format!("Bearer {token}"));
    address
        .send(&http::request(method, path, &[token], body.as_bytes()))
        .unwrap()
}

/// Makes a token as a person does, and reads it where it stands alone.
fn token(world: &World, name: &str, may: &str) -> String {
    let said = world.hookd(&["token", "add", name, "--may", may]).expect(0);
    said.out.lines().last().unwrap().to_owned()
}

const DEPLOY: &str = "/api/v1/targets/site/live/deploy";

#[test]
fn a_token_deploys_its_target_and_hears_how_it_ended() {
    let (world, status) = world("build = \"! grep -q bad index.html\"");
    let ci = token(&world, "ci", "deploy:site/live");
    assert!(ci.starts_with("hookd_") && ci.len() > 40, "{ci}");
    world.site.publish("one");
    let answer = ask(&status, "POST", &format!("{DEPLOY}?wait=50s"), &ci, "").expect(200);
    assert_eq!(answer.word("outcome"), "live", "{}", answer.text());
    assert_eq!(world.served(), "one");
    let asked_by = |row: &serde_json::Value| row["outcome"] == "live" && row["asked_by"] == "token:ci";
    assert!(world.history().iter().any(asked_by), "{:?}", world.history());
    let acts = world.hookd(&["audit", "--json"]).expect(0).json();
    assert!(
        acts[0]["who"] == "token:ci" && acts[0]["object"] == "site/live",
        "{acts}"
    );
    assert!(acts[0]["address"].as_str().unwrap().starts_with("127."), "{acts}");
    assert!(acts[1]["act"] == "token add" && acts[1]["object"] == "ci", "{acts}");

    world.site.publish("bad");
    let answer = ask(&status, "POST", &format!("{DEPLOY}?wait=50s"), &ci, "{}").expect(200);
    assert_eq!(answer.word("outcome"), "failed");
    assert!(
        answer.word("reason").contains("build exited with 1"),
        "{}",
        answer.text()
    );
    // Its secret is nowhere: not in the store, not in the log, not in the list.
    let stored = String::from_utf8_lossy(&std::fs::read(world.path("state/hookd.db")).unwrap()).into_owned();
    let wal =
        String::from_utf8_lossy(&std::fs::read(world.path("state/hookd.db-wal")).unwrap_or_default()).into_owned();
    let listed = world.hookd(&["token", "list", "--json"]).expect(0).out;
    for text in [&stored, &wal, &world.log(), &listed] {
        assert!(!text.contains(&ci));
    }
}

#[test]
fn a_wait_that_is_over_says_which_job_to_look_at() {
    let (world, status) = world("build = \"$DIR/gate build\"");
    let ci = token(&world, "ci", "deploy:site/*");
    let gate = world.gate("build");
    world.site.publish("one");
    let answer = ask(&status, "POST", &format!("{DEPLOY}?wait=10ms"), &ci, "").expect(202);
    let json = answer.json();
    assert!(json["outcome"].is_null(), "{json}");
    let job = json["jobs"][0]["id"].as_i64().unwrap();
    let path = format!("/api/v1/jobs/{job}");
    let state = ask(&status, "GET", &path, &ci, "").expect(200).word("state");
    assert!(state == "waiting" || state == "running", "{state}");
    gate.open();
    world.settled();
    assert_eq!(ask(&status, "GET", &path, &ci, "").expect(200).word("outcome"), "live");
    for wait in ["x", "-1s", "1d"] {
        ask(&status, "POST", &format!("{DEPLOY}?wait={wait}"), &ci, "").expect(400);
    }
}

#[test]
fn a_token_may_what_it_says_and_nothing_else() {
    let (world, status) = world("");
    let (ci, eyes) = (token(&world, "ci", "deploy:site/live"), token(&world, "eyes", "view"));
    world.site.publish("one");
    for (method, path, token, body, expected) in [
        ("POST", "/api/v1/targets/site/test/deploy", &ci, "", 403),
        ("POST", "/api/v1/targets/none/live/deploy", &ci, "", 403),
        ("POST", "/api/v1/targets/site/live/rollback", &ci, "", 403),
        ("POST", "/api/v1/targets/site/live/pause", &ci, "", 403),
        (
            "POST",
            "/api/v1/tokens",
            &ci,
            "{\"name\":\"more\",\"may\":\"view\"}",
            403,
        ),
        // It chooses a target, and never what is fetched or run.
        ("POST", DEPLOY, &ci, "{\"ref\":\"refs/heads/main\"}", 403),
        ("POST", DEPLOY, &ci, "{\"url\":\"https://evil.example\"}", 400),
        ("GET", "/api/v1/status", &ci, "", 403),
        ("GET", "/api/v1/audit", &ci, "", 403),
        ("POST", DEPLOY, &eyes, "", 403),
        ("GET", "/api/v1/status", &eyes, "", 200),
        ("GET", "/metrics", &eyes, "", 200),
        ("POST", DEPLOY, &"hookd_wrong".to_owned(), "", 401),
    ] {
        let answer = ask(&status, method, path, token, body);
        assert_eq!(answer.status, expected, "{method} {path} {body}: {}", answer.text());
        assert_eq!(answer.header("www-authenticate").is_some(), expected == 401);
    }
    assert_eq!(world.served(), "");
    // Without one, the address shows and does not act, as ever.
    let bare = status.send(&http::request("POST", DEPLOY, &[], b"")).unwrap();
    assert_eq!(bare.status, 403);

    world.hookd(&["token", "add", "ci", "--may", "view"]).expect(1);
    world.hookd(&["token", "add", "x", "--may", "everything"]).expect(1);
    let said = world.hookd(&["token", "list"]).expect(0);
    assert!(
        said.out.contains("deploy:site/live") && said.out.contains("eyes"),
        "{said:?}"
    );
    world.hookd(&["token", "remove", "ci"]).expect(0);
    world.hookd(&["token", "remove", "ci"]).expect(3);
    ask(&status, "POST", DEPLOY, &ci, "").expect(401);
}

#[test]
fn a_picture_says_what_is_live() {
    let (world, status) = world("");
    let look = |path: &str| {
        let own = ("Host".to_owned(), "127.0.0.1".to_owned());
        let request = String::from_utf8(http::request("GET", path, &[own], b"")).unwrap();
        status
            .send(request.replace("Host: hookd.test\r\n", "").as_bytes())
            .unwrap()
    };
    assert!(look("/badge/site/live.svg").expect(200).text().contains("nothing live"));
    let commit = world.deploy("one");
    let badge = look("/badge/site/live.svg").expect(200);
    assert_eq!(badge.header("content-type"), Some("image/svg+xml; charset=utf-8"));
    assert!(
        badge.text().contains(&format!("live {}", &commit[..7])),
        "{}",
        badge.text()
    );
    look("/badge/site/none.svg").expect(404);
}
