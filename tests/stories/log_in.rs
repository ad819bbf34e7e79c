//! Users: who gets in, what strangers see, and whose requests do something.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use crate::support::http::{self, Address, Answer};
use crate::support::world::{Said, World};

const PASSWORD: &str = "correct horse battery";

/// The usual site, with a status address on a unix socket, and these keys of `[http]` and below.
fn config(http: &str) -> String {
    format!(
        "[http]\nstatus = \"unix:$DIR/status.sock\"\n{http}\n[repo.site]\nurl = \"$DIR/site.git\"\nfull_name = \"alice/site\"\n\
         forge = \"github\"\nsecret = \"file:$DIR/secret\"\npoll = \"off\"\n[repo.site.deploy.live]\nbranch = \"main\"\n\
         path = \"$DIR/live\"\n"
    )
}

const LOGIN: &str = "[http.login]\nusers = \"$DIR/users\"\n";

/// A command of hookd with a password in the pipe.
fn with_password(world: &World, arguments: &[&str], password: &str) -> Said {
    let mut command = world.hookd_command(arguments);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that needs no password may have ended by now.
    let _ = writeln!(child.stdin.take().unwrap(), "{password}");
    let output = child.wait_with_output().unwrap();
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A world with `alice`, who may act, and `bob`, who may look.
fn world(login: &str) -> World {
    let mut world = World::still(&config(&format!("{LOGIN}{login}")));
    with_password(&world, &["user", "add", "alice", "--role", "act"], PASSWORD).expect(0);
    with_password(&world, &["user", "add", "bob", "--role", "view"], PASSWORD).expect(0);
    world.start();
    world
}

/// Asks the status address.
fn ask(world: &World, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut all: Vec<(String, String)> = headers
        .iter()
        .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
        .collect();
    if method == "POST" && !path.starts_with("/api") {
        all.push((
            "Content-Type".to_owned(),
            "application/x-www-form-urlencoded".to_owned(),
        ));
    }
    let address = Address::Unix(world.path("status.sock"));
    address
        .send(&http::request(method, path, &all, body.as_bytes()))
        .unwrap()
}

fn try_log_in(world: &World, name: &str, password: &str) -> Answer {
    let body = format!("username={name}&password={}", password.replace(' ', "+"));
    ask(world, "POST", "/login", &[], &body)
}

/// Logs in; gives the cookie as browsers send it.
#[track_caller]
fn log_in(world: &World, name: &str) -> String {
    let answer = try_log_in(world, name, PASSWORD).expect(303);
    let cookie = answer.header("set-cookie").unwrap();
    cookie.split(';').next().unwrap().to_owned()
}

/// What the forms of a session carry.
#[track_caller]
fn form_token(world: &World, cookie: &str) -> String {
    let page = ask(world, "GET", "/", &[("Cookie", cookie)], "").expect(200).text();
    let after = page.split("name=\"token\" value=\"").nth(1).unwrap();
    after.split('"').next().unwrap().to_owned()
}

const DEPLOY: &str = "/api/v1/targets/site/live/deploy";

#[test]
fn strangers_see_what_is_public_and_nothing_else() {
    for (public, seen) in [
        ("", &["/login", "/style.css", "/healthz"][..]),
        ("public = [\"badge\"]", &["/login", "/badge/site/live.svg"][..]),
        ("public = [\"overview\"]", &["/login", "/"][..]),
    ] {
        let world = world(public);
        world.deploy("one");
        for path in [
            "/",
            "/targets/site/live",
            "/targets/site/live/deploy",
            "/deployments",
            "/deployments/1",
            "/deployments/1/log",
            "/deployments/1/rows",
            "/deliveries",
            "/nothing",
        ] {
            if !seen.contains(&path) {
                let answer = ask(&world, "GET", path, &[("Accept", "text/html")], "").expect(303);
                let next = format!("/login?next={}", path.replace('/', "%2F"));
                assert_eq!(answer.header("location"), Some(next.as_str()));
                assert!(answer.body.is_empty());
            }
        }
        for path in [
            "/api/v1/status",
            "/api/v1/deployments/1/log",
            "/api/v1/audit",
            "/api/v1/nothing",
            "/metrics",
            "/readyz",
            "/badge/site/live.svg",
        ] {
            if !seen.contains(&path) {
                let answer = ask(&world, "GET", path, &[], "").expect(401);
                assert_eq!(
                    answer.header("content-type"),
                    Some("application/problem+json"),
                    "{path}"
                );
            }
        }
        for path in seen {
            let page = ask(&world, "GET", path, &[], "").expect(200).text();
            assert!(
                !page.contains("hookd.toml") && !page.contains("/deliveries"),
                "{path}: {page}"
            );
        }
        ask(&world, "POST", DEPLOY, &[], "").expect(401);
        ask(&world, "POST", "/targets/site/live/pause", &[], "").expect(303);
        assert_eq!(world.target("site/live")["paused"], false);
        let bearer = ("Authorization", "Bearer hookd_guess");
        ask(&world, "GET", "/api/v1/status", &[bearer], "").expect(401);
    }
}

#[test]
fn a_session_lasts_over_a_restart_until_it_is_ended() {
    let mut world = world("");
    let answer = try_log_in(&world, "alice", PASSWORD).expect(303);
    let cookie = answer.header("set-cookie").unwrap();
    assert!(
        cookie.ends_with("; Path=/; Max-Age=604800; HttpOnly; SameSite=Strict"),
        "{cookie}"
    );
    let first = cookie.split(';').next().unwrap().to_owned();
    let secret = first.split('=').nth(1).unwrap().to_owned();
    let sees = |world: &World, cookie: &str| ask(world, "GET", "/api/v1/status", &[("Cookie", cookie)], "").status;
    assert_eq!(sees(&world, &first), 200);
    world.kill();
    world.start();
    assert_eq!(sees(&world, &first), 200);
    // The store has no cookie that somebody could use who reads it.
    for name in crate::support::world::names(&world.path("state")) {
        let bytes = std::fs::read(world.path("state").join(&name)).unwrap_or_default();
        let found = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
        assert!(!found, "{name}");
    }
    assert!(!world.log().contains(&secret) && !world.log().contains(PASSWORD));

    // Logging out ends this session and no other one.
    let second = log_in(&world, "alice");
    let form = format!("token={}", form_token(&world, &first));
    let answer = ask(&world, "POST", "/logout", &[("Cookie", &first)], &form).expect(303);
    assert!(answer.header("set-cookie").unwrap().contains("Max-Age=0"));
    assert_eq!((sees(&world, &first), sees(&world, &second)), (401, 200));

    // A new password ends the sessions of the old one, and a user who is gone has none.
    with_password(&world, &["user", "password", "alice"], "another good password").expect(0);
    assert_eq!(sees(&world, &second), 401);
    try_log_in(&world, "alice", PASSWORD).expect(401);
    try_log_in(&world, "alice", "another good password").expect(303);
    let bob = log_in(&world, "bob");
    world.hookd(&["user", "remove", "bob"]).expect(0);
    assert_eq!(sees(&world, &bob), 401);

    let rows = world.get("/api/v1/audit");
    let acts: Vec<String> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| format!("{} {}: {}", row["who"], row["act"], row["result"]).replace('"', ""))
        .collect();
    assert_eq!(
        acts,
        [
            "user:bob log-in: logged in",
            "user:alice log-in: logged in",
            "user:alice log-in: refused: the name or the password is wrong",
            "user:alice log-out: logged out",
            "user:alice log-in: logged in",
            "user:alice log-in: logged in",
        ]
    );
}

#[test]
fn a_file_of_users_that_others_can_read_lets_nobody_in() {
    let world = world("");
    let cookie = log_in(&world, "alice");
    let chmod = |mode| std::fs::set_permissions(world.path("users"), std::fs::Permissions::from_mode(mode)).unwrap();
    chmod(0o644);
    ask(&world, "GET", "/api/v1/status", &[("Cookie", &cookie)], "").expect(401);
    try_log_in(&world, "alice", PASSWORD).expect(401);
    let said = world.hookd(&["check"]).expect(78);
    assert!(
        said.err.contains("is open to every user") && said.err.contains("chmod 640"),
        "{said:?}"
    );
    let said = world.hookd(&["user", "list"]).expect(1);
    assert!(said.err.contains("chmod 640"), "{said:?}");
    chmod(0o640);
    ask(&world, "GET", "/api/v1/status", &[("Cookie", &cookie)], "").expect(200);
}

#[test]
fn unknown_users_and_wrong_passwords_are_told_the_same_and_few_times() {
    let world = world("");
    let (wrong, unknown) = (
        try_log_in(&world, "alice", "guess"),
        try_log_in(&world, "nobody", "guess"),
    );
    assert_eq!((wrong.status, unknown.status), (401, 401));
    let page = |answer: &Answer, name: &str| answer.text().replace(name, "NAME");
    assert_eq!(page(&wrong, "alice"), page(&unknown, "nobody"));
    for _ in 0..8 {
        try_log_in(&world, "alice", "guess").expect(401);
    }
    // Even the right one is not looked at any more.
    let answer = try_log_in(&world, "alice", PASSWORD).expect(429);
    let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=61).contains(&seconds), "{seconds}");
    let rows = world.get("/api/v1/audit?limit=100");
    let rows = rows.as_array().unwrap();
    assert!(
        rows.iter()
            .all(|row| row["who"] == "user:alice" || row["who"] == "unknown"),
        "{rows:?}"
    );
}

#[test]
fn no_other_page_acts_through_the_browser_of_a_user() {
    let world = world("");
    world.deploy("one");
    let cookie = log_in(&world, "alice");
    let token = format!("token={}", form_token(&world, &cookie));
    let other = form_token(&world, &log_in(&world, "alice"));
    let own: &[(&str, &str)] = &[("Cookie", &cookie), ("Origin", "http://hookd.test")];
    for (headers, body, status) in [
        (
            &[("Cookie", cookie.as_str()), ("Origin", "https://evil.example")][..],
            token.as_str(),
            403,
        ),
        (&[("Cookie", &cookie), ("Sec-Fetch-Site", "cross-site")], &token, 403),
        (&[("Cookie", &cookie), ("Sec-Fetch-Site", "same-site")], &token, 403),
        (&[("Cookie", &cookie), ("Origin", "null")], &token, 403),
        (own, "", 403),
        (own, &format!("token={other}"), 403),
        (own, &token, 303),
    ] {
        let answer = ask(&world, "POST", "/targets/site/live/pause", headers, body);
        assert_eq!(answer.status, status, "{headers:?} {body}: {}", answer.text());
        assert_eq!(world.target("site/live")["paused"], status == 303);
    }
    // The API takes a session, too, and no other page's requests.
    let resume = "/api/v1/targets/site/live/resume";
    for headers in [
        &[("Cookie", cookie.as_str()), ("Origin", "https://evil.example")],
        &[("Cookie", &cookie), ("Sec-Fetch-Site", "cross-site")],
    ] {
        ask(&world, "POST", resume, headers, "").expect(403);
    }
    assert_eq!(world.target("site/live")["paused"], true);
    ask(&world, "POST", resume, own, "").expect(200);
    assert_eq!(world.target("site/live")["paused"], false);
    // Nor does one log its victim in as somebody else.
    let body = format!("username=alice&password={}", PASSWORD.replace(' ', "+"));
    ask(&world, "POST", "/login", &[("Origin", "https://evil.example")], &body).expect(403);
    // Tokens are for those who have the machine.
    ask(
        &world,
        "POST",
        "/api/v1/tokens",
        own,
        "{\"name\":\"x\",\"may\":\"view\"}",
    )
    .expect(403);
}

#[test]
fn each_act_is_done_by_a_form_and_noted_with_the_user() {
    let world = world("");
    world.deploy("one");
    world.deploy("two");
    let cookie = log_in(&world, "alice");
    let token = form_token(&world, &cookie);
    let get = |path: &str| ask(&world, "GET", path, &[("Cookie", &cookie)], "").expect(200).text();
    let act = |word: &str, more: &str| {
        let path = format!("/targets/site/live/{word}");
        let page = get(&path);
        assert!(page.contains("<form class=\"card\" method=\"post\">"), "{page}");
        let answer = ask(
            &world,
            "POST",
            &path,
            &[("Cookie", &cookie)],
            &format!("token={token}{more}"),
        );
        let back = answer.expect(303).header("location").unwrap().to_owned();
        assert_eq!(back, format!("/targets/site/live?done={word}"));
        assert!(get(&back).contains("class=\"done\""));
        world.settled();
    };
    let live = |world: &World| world.target("site/live")["commit"].as_str().unwrap().to_owned();
    let (two, releases) = (live(&world), world.get("/api/v1/targets/site/live/releases"));
    let one = releases["releases"][1]["name"].as_str().unwrap();
    let plan = get(&format!("/targets/site/live/rollback?release={one}"));
    assert!(plan.contains(&two[..7]) && plan.contains("no build"), "{plan}");
    act("rollback", &format!("&release={one}"));
    assert_eq!(
        (world.served(), world.last()["asked_by"].as_str()),
        ("one".to_owned(), Some("user:alice"))
    );
    act("resume", "");
    assert_eq!(world.served(), "two");
    act("pause", "");
    assert_eq!(world.target("site/live")["paused"], true);
    act("resume", "");
    world.site.publish("three");
    act("deploy", "");
    assert_eq!(world.served(), "three");
    act("retry", "");
    // Nothing runs: that is told.
    let form = format!("token={token}");
    ask(
        &world,
        "POST",
        "/targets/site/live/cancel",
        &[("Cookie", &cookie)],
        &form,
    )
    .expect(404);
    let path = "/deliveries/1/replay";
    assert!(get(path).contains("Replay this delivery?"));
    ask(&world, "POST", path, &[("Cookie", &cookie)], &form).expect(303);
    world.settled();
    for row in world.get("/api/v1/audit").as_array().unwrap() {
        assert_eq!(row["who"], "user:alice", "{row}");
    }
}

#[test]
fn who_looks_does_not_act() {
    let world = world("");
    world.deploy("one");
    world.deploy("two");
    let cookie = log_in(&world, "bob");
    let form = format!("token={}", form_token(&world, &cookie));
    let page = ask(&world, "GET", "/targets/site/live", &[("Cookie", &cookie)], "")
        .expect(200)
        .text();
    assert!(
        !page.contains("Roll back") && !page.contains("class=\"acts\""),
        "{page}"
    );
    for word in ["deploy", "retry", "rollback", "cancel", "pause", "resume"] {
        let path = format!("/targets/site/live/{word}");
        ask(&world, "GET", &path, &[("Cookie", &cookie)], "").expect(403);
        ask(&world, "POST", &path, &[("Cookie", &cookie)], &form).expect(403);
        let answer = ask(&world, "POST", &format!("/api/v1{path}"), &[("Cookie", &cookie)], "").expect(403);
        assert!(answer.word("error").contains("role view"), "{}", answer.text());
    }
    ask(&world, "POST", "/deliveries/1/replay", &[("Cookie", &cookie)], &form).expect(403);
    ask(
        &world,
        "POST",
        "/api/v1/deliveries/1/replay",
        &[("Cookie", &cookie)],
        "",
    )
    .expect(403);
    assert_eq!(world.target("site/live")["paused"], false);
    assert_eq!(world.served(), "two");
}

#[test]
fn a_trusted_proxy_names_users_and_nobody_else_does() {
    let header = "[http.login]\nheader = \"X-Forwarded-User\"\nroles = { alice = \"act\", bob = \"view\" }\n";
    let world = World::new(&config(&format!("trusted_proxies = [\"127.0.0.1\"]\n{header}")));
    world.deploy("one");
    let here = ("Host", "localhost");
    let status = |user: &str, path: &str, method: &str| {
        let address = Address::Unix(world.path("status.sock"));
        let length = if method == "POST" { "Content-Length: 0\r\n" } else { "" };
        let head = format!(
            "{method} {path} HTTP/1.1\r\n{}: {}\r\nX-Forwarded-User: {user}\r\n{length}Connection: close\r\n\r\n",
            here.0, here.1
        );
        address.send(head.as_bytes()).unwrap().status
    };
    assert_eq!(status("alice", "/", "GET"), 200);
    assert_eq!(status("alice", "/api/v1/targets/site/live/pause", "POST"), 200);
    assert_eq!(status("bob", "/api/v1/targets/site/live/pause", "POST"), 403);
    assert_eq!(status("mallory", "/", "GET"), 403);
    assert_eq!(status("", "/", "GET"), 303);
    assert_eq!(status("alice\r\nX-Forwarded-User: bob", "/", "GET"), 303);
    // A page elsewhere whose name was made to lead here is of another origin.
    ask(&world, "GET", "/", &[("X-Forwarded-User", "alice")], "").expect(403);
    assert_eq!(world.get("/api/v1/audit")[0]["who"], "user:alice");
    // Without roles of its own it is the file that has them.
    let file = "[http.login]\nheader = \"X-Forwarded-User\"\nusers = \"$DIR/users\"\n";
    world.configure(&config(&format!("trusted_proxies = [\"127.0.0.1\"]\n{file}")));
    with_password(&world, &["user", "add", "bob", "--role", "act"], PASSWORD).expect(0);
    world.daemon().reload();
    assert_eq!(status("bob", "/api/v1/targets/site/live/resume", "POST"), 200);
    assert_eq!(status("alice", "/", "GET"), 403);
    drop(world);

    let elsewhere = World::new(&config(&format!("trusted_proxies = [\"192.0.2.1\"]\n{header}")));
    ask(
        &elsewhere,
        "GET",
        "/api/v1/status",
        &[("X-Forwarded-User", "alice")],
        "",
    )
    .expect(401);
}

#[test]
fn behind_tls_the_cookie_stays_there() {
    let users = format!("trusted_proxies = [\"127.0.0.1\"]\n{LOGIN}");
    let mut world = World::still(&config(&users));
    with_password(&world, &["user", "add", "alice", "--role", "act"], PASSWORD).expect(0);
    world.start();
    let body = format!(
        "username=alice&password={}&next=%2Fdeployments",
        PASSWORD.replace(' ', "+")
    );
    let tls = ("X-Forwarded-Proto", "https");
    let answer = ask(&world, "POST", "/login", &[tls], &body).expect(303);
    assert_eq!(answer.header("location"), Some("/deployments"));
    let cookie = answer.header("set-cookie").unwrap();
    assert!(
        cookie.starts_with("__Host-hookd=") && cookie.ends_with("; Secure"),
        "{cookie}"
    );
    let cookie = ("Cookie", cookie.split(';').next().unwrap());
    ask(&world, "GET", "/api/v1/status", &[tls, cookie], "").expect(200);
    // One that did not come by TLS is not it, whatever it is called.
    ask(&world, "GET", "/api/v1/status", &[cookie], "").expect(401);
}

#[test]
fn users_are_added_listed_and_removed() {
    let world = World::still(&config(LOGIN));
    let add = |name: &str, role: &str, password: &str| {
        with_password(&world, &["user", "add", name, "--role", role], password)
    };
    add("alice", "act", PASSWORD).expect(0);
    let mode = std::fs::metadata(world.path("users")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    add("alice", "act", PASSWORD).expect(1);
    add("bob", "root", PASSWORD).expect(2);
    add("b:b", "view", PASSWORD).expect(2);
    add("bob", "view", "").expect(1);
    assert!(add("bob", "view", "short").expect(0).err.contains("fewer than 8"));
    let listed = world.hookd(&["--json", "user", "list"]).expect(0).json();
    assert_eq!(
        listed,
        serde_json::json!([{"name": "alice", "role": "act"}, {"name": "bob", "role": "view"}])
    );
    let text = std::fs::read_to_string(world.path("users")).unwrap();
    assert!(
        text.contains("\nalice:act:$argon2id$v=19$m=19456,t=2,p=1$") && !text.contains(PASSWORD),
        "{text}"
    );
    world.hookd(&["user", "remove", "alice"]).expect(0);
    world.hookd(&["user", "remove", "alice"]).expect(3);
    with_password(&world, &["user", "password", "alice"], PASSWORD).expect(3);
    let said = world.hookd(&["user", "list"]).expect(0);
    assert!(said.out.contains("bob") && !said.out.contains("alice"), "{said:?}");
    // Without a file in the configuration nobody knows where.
    world.configure(&config(""));
    let said = world.hookd(&["user", "list"]).expect(78);
    assert!(said.err.contains("[http.login]"), "{said:?}");
}

#[test]
fn who_comes_from_elsewhere_is_sent_on_to_this_page_alone() {
    let world = world("");
    let from_elsewhere = [("Sec-Fetch-Site", "cross-site"), ("Accept", "text/html")];
    let page = ask(&world, "GET", "/targets/site/live?done=deploy", &from_elsewhere, "").expect(200);
    let page = page.text();
    assert!(page.contains("0;url=/targets/site/live?done=deploy\""), "{page}");
    for path in [
        "//evil.example/",
        "//evil.example",
        "///evil.example/a",
        "/\\evil.example/",
        "http://evil.example//evil.example/",
    ] {
        let page = ask(&world, "GET", path, &from_elsewhere, "").text();
        assert!(!page.contains("evil.example"), "{path}: {page}");
        let encoded = path.replace('/', "%2F").replace('\\', "%5C").replace(':', "%3A");
        let page = ask(&world, "GET", &format!("/login?next={encoded}"), &[], "").expect(200);
        assert!(!page.text().contains("evil.example"), "{path}: {}", page.text());
        let body = format!("next={encoded}&username=alice&password={}", PASSWORD.replace(' ', "+"));
        let answer = ask(&world, "POST", "/login", &[], &body).expect(303);
        assert_eq!(answer.header("location"), Some("/"), "{path}");
    }
}
