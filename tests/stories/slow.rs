//! Whom hookd tells does not answer, or answers without end.

use std::net::TcpListener;

use crate::support::receiver::{DRIPPING, ENDLESS, Received, Receiver, SILENT, plain};
use crate::support::world::{World, another_repo, wait_until};

/// A repo of alice that is deployed from the site's repository, with these keys of its target.
fn repo(name: &str, target: &str) -> String {
    another_repo(name, "site", name, target)
}

/// Repos at GitHub, with this limit of a request to its API.
fn with_repos(api: &Receiver, limit: &str, names: &[&str]) -> World {
    let repos: String = names.iter().map(|name| repo(name, "")).collect();
    let mut world = World::still(&format!(
        "[limits]\napi_time = \"{limit}\"\n[forge.github]\nurl = \"{}\"\ntoken = \"file:$DIR/token\"\n{repos}",
        api.url("/"),
    ));
    world.write_secret("token", "t0ken");
    world.start();
    world
}

fn is_status(asked: &Received, repo: &str) -> bool {
    asked.path.starts_with(&format!("/repos/alice/{repo}/statuses/"))
}

/// The last state that a repo's commit was given, or that somebody tried to give it.
fn last_state(api: &Receiver, repo: &str) -> String {
    let last = api.told().into_iter().rfind(|asked| is_status(asked, repo));
    last.map_or_else(String::new, |asked| {
        asked.body["state"].as_str().unwrap_or_default().to_owned()
    })
}

#[test]
fn a_forge_that_does_not_answer_for_one_repo_holds_up_no_other() {
    let api = Receiver::new(|asked| plain(if is_status(asked, "site") { SILENT } else { 201 }, "{}"));
    let world = with_repos(&api, "1h", &["site", "other"]);
    world.site.publish("one");
    world.hookd(&["deploy", "site"]).expect(0);
    wait_until("the forge was asked", || !last_state(&api, "site").is_empty());
    for page in ["two", "three"] {
        world.site.publish(page);
        world.hookd(&["deploy", "other"]).expect(0);
        wait_until("the other repo's commit is told of", || {
            last_state(&api, "other") == "success"
        });
    }
    assert_eq!(
        api.told().iter().filter(|asked| is_status(asked, "site")).count(),
        1,
        "it still waits for the first answer"
    );
}

#[test]
fn an_answer_that_does_not_come_in_time_is_a_problem_and_asked_for_again() {
    let manners = [
        ("silent", SILENT, "no answer within 1.0 s"),
        ("dripping", DRIPPING, "no answer within 1.0 s"),
        ("endless", ENDLESS, "it is larger than 4194304 bytes"),
    ];
    let api = Receiver::new(move |asked| {
        let manner = manners.iter().find(|(name, ..)| is_status(asked, name));
        plain(manner.map_or(201, |(_, manner, _)| *manner), "{}")
    });
    let world = with_repos(&api, "1s", &manners.map(|(name, ..)| name));
    world.site.publish("one");
    for (name, ..) in manners {
        world.hookd(&["deploy", name]).expect(0);
    }
    let problem = |name: &str| world.target(&format!("{name}/live"))["problems"][0].clone();
    for (name, _, why) in manners {
        wait_until("it is a problem", || problem(name)["code"] == "report-failing");
        let problem = problem(name);
        let text = problem["text"].as_str().unwrap();
        assert!(text.contains(why) && text.contains("/statuses/"), "{text}");
    }
    let tried = api.told().len();
    api.answer(|_| plain(201, "{}"));
    for (name, ..) in manners {
        wait_until("it is told", || {
            api.told()[tried..].iter().any(|asked| is_status(asked, name))
        });
        assert_eq!(last_state(&api, name), "success");
        wait_until("it is no problem any more", || problem(name).is_null());
    }
}

#[test]
fn a_mail_server_and_a_chat_that_do_not_answer_hold_up_nobody() {
    let chat = Receiver::new(|asked| plain(if asked.path == "/silent" { SILENT } else { 204 }, ""));
    let mails = TcpListener::bind("127.0.0.1:0").unwrap();
    let channels = format!(
        "[limits]\nmessage_time = \"LIMIT\"\n[notify.silent]\nurl = \"{}\"\non = \"live\"\n[notify.good]\nurl = \"{}\"\non = \"live\"\n\
         [notify.mail]\nkind = \"email\"\nsmtp = \"smtp+insecure://{}\"\nfrom = \"a@example.org\"\nto = [\"b@example.org\"]\non = \"live\"\n{}",
        chat.url("/silent"),
        chat.url("/good"),
        mails.local_addr().unwrap(),
        repo("site", "notify = [\"silent\", \"mail\", \"good\"]")
    );
    let mut world = World::still(&channels.replace("LIMIT", "1h"));
    world.start();
    let good = |chat: &Receiver| chat.told().iter().filter(|asked| asked.path == "/good").count();
    for count in 1..=3 {
        world.deploy(&format!("page {count}"));
        wait_until("the good one has heard", || good(&chat) == count);
    }
    assert_eq!(chat.told().iter().filter(|asked| asked.path == "/silent").count(), 1);
    // Nobody greets; the connection waits to be accepted.
    mails.accept().unwrap();

    world.kill();
    world.configure(&channels.replace("LIMIT", "1s"));
    world.start();
    for channel in ["silent", "mail"] {
        wait_until("it timed out", || {
            world
                .log()
                .contains(&format!("notify {channel}: 127.0.0.1: no answer within 1.0 s"))
        });
    }
}
