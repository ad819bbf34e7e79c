//! Remotes that are elsewhere: over http, https and ssh, from real servers, also such as hang or refuse.

use std::fs;
use std::net::TcpListener;

use nix::sys::signal::Signal;

use crate::support::daemon::text_of;
use crate::support::forge::{Delivery, SECRET};
use crate::support::git_server::GitServer;
use crate::support::tap::Tap;
use crate::support::world::{World, another_repo, wait_until};

/// The usual repo at a URL, with these keys.
pub(super) fn at(url: &str, limits: &str, keys: &str) -> String {
    format!(
        r#"
[limits]
{limits}
[repo.site]
url = "{url}"
full_name = "alice/site"
forge = "github"
secret = "file:$DIR/secret"
poll = "off"
{keys}
$LIVE
"#
    )
}

#[test]
fn over_http_https_and_ssh_a_push_is_served() {
    for kind in ["http", "https", "ssh"] {
        let mut world = World::still("");
        let server = match kind {
            "http" => GitServer::http(world.dir()),
            "https" => GitServer::https(world.dir()),
            _ => GitServer::ssh(world.dir()),
        };
        let keys = match kind {
            "http" => String::new(),
            "https" => format!("ca_file = \"{}\"", server.ca_file().display()),
            _ => {
                let hosts = server.known_hosts(&server.host_key_line("ed25519"));
                format!(
                    "ssh_key = \"{}\"\nknown_hosts = \"{}\"",
                    server.ssh_key().display(),
                    hosts.display()
                )
            }
        };
        world.configure(&at(&server.url("site.git"), "", &keys));
        world.start();
        world.deploy("one");
        assert_eq!(world.served(), "one", "{kind}: {}", world.last());
        world.deploy("two");
        assert_eq!(world.served(), "two", "{kind}");
        let checked = world.hookd(&["check", "--remote", "-v"]).expect(0);
        assert!(checked.out.contains("answers with"), "{checked:?}");
    }
}

#[test]
fn what_a_remote_has_against_it_is_said_and_nothing_is_deployed() {
    let mut world = World::still("");
    let (http, ssh, closed) = (
        GitServer::http(world.dir()),
        GitServer::ssh(world.dir()),
        GitServer::http_with_password(world.dir(), "alice", "secret-token"),
    );
    let unused = TcpListener::bind("127.0.0.1:0").unwrap();
    let refused = unused.local_addr().unwrap().port();
    drop(unused);
    let key = format!("ssh_key = \"{}\"", ssh.ssh_key().display());
    let empty = world.path("no_hosts");
    fs::write(&empty, "").unwrap();
    let strangers = format!("{key}\nknown_hosts = \"{}\"", empty.display());
    let hosts = ssh.known_hosts(&ssh.host_key_line("ed25519"));
    let wrong_key = format!(
        "ssh_key = \"{}\"\nknown_hosts = \"{}\"",
        ssh.other_ssh_key("").display(),
        hosts.display()
    );
    for (what, url, keys, words, tried_again) in [
        ("no repository", http.url("nothing.git"), String::new(), "404", false),
        (
            "a password is asked for",
            closed.url("site.git"),
            String::new(),
            "",
            false,
        ),
        ("an unknown host", ssh.url("site.git"), strangers, "host", false),
        ("a key that is not let in", ssh.url("site.git"), wrong_key, "", false),
        (
            "nobody listens",
            http.url_at_port("site.git", refused),
            String::new(),
            "",
            true,
        ),
    ] {
        world.configure(&at(&url, "", &keys));
        world.start();
        world.push("one");
        wait_until("it has failed", || {
            world.outcomes().last().is_some_and(|outcome| outcome == "failed")
        });
        let reason = world.last()["reason"].as_str().unwrap().to_owned();
        assert!(!reason.is_empty() && reason.contains(words), "{what}: {reason}");
        assert_eq!(world.release(), None, "{what}");
        let target = world.target("site/live");
        assert_eq!(target["next_try"].is_i64(), tried_again, "{what}: {reason}: {target}");
        let checked = world.hookd(&["check", "--remote"]).expect(1);
        assert!(checked.err.contains("repo site"), "{what}: {checked:?}");
        world.stop();
        fs::remove_dir_all(world.path("state")).unwrap();
    }
}

#[test]
fn killed_in_fetch_it_fetches_again() {
    let mut world = World::still("");
    let server = GitServer::http(world.dir());
    let tap = Tap::new(server.port());
    world.configure(&at(&server.url_at_port("site.git", tap.port()), "", ""));
    world.start();
    world.deploy("one");
    tap.stall_a_push(&world, "two");
    world.kill();
    assert_eq!(world.served(), "one");

    tap.heal();
    world.start();
    wait_until("the page is served", || world.served() == "two");
    world.settled();
    assert_eq!(world.outcomes(), ["live", "interrupted", "live"]);
    let packs = fs::read_dir(world.path("state/mirrors/site.git/objects/pack"))
        .unwrap()
        .flatten();
    let left: Vec<_> = packs
        .filter(|pack| pack.file_name().to_string_lossy().starts_with("pack_git2_"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_server_that_hangs_holds_up_its_own_repo_alone_and_can_be_cancelled() {
    let mut world = World::still("");
    let server = GitServer::http(world.dir());
    let tap = Tap::new(server.port());
    let other = world.repo("other");
    let site = at(&server.url_at_port("site.git", tap.port()), "", "");
    world.configure(&(site + &another_repo("other", "other", "other", "")));
    tap.stall_after(0);
    world.start();
    world.push("one");
    tap.has_stalled(1);
    let commit = other.publish("other");
    let delivery = Delivery::push("alice/other", "refs/heads/main", &commit)
        .to("/hook/other")
        .signed(SECRET);
    world.send(&delivery).expect(202);
    wait_until("the other repo is served", || {
        text_of(&world.path("other/current/index.html")) == "other"
    });
    assert_eq!(world.target("site/live")["running"]["phase"], "fetch");

    tap.heal();
    world.hookd(&["cancel", "site"]).expect(0);
    world.settled();
    assert!(world.outcomes().contains(&"cancelled".to_owned()));
    world.hookd(&["deploy", "site"]).expect(0);
    assert_eq!(world.served(), "one");
}

#[test]
fn a_server_that_hangs_is_given_up_and_asked_again_later() {
    let mut world = World::still("");
    let server = GitServer::http(world.dir());
    let tap = Tap::new(server.port());
    world.configure(&at(
        &server.url_at_port("site.git", tap.port()),
        "fetch_idle = \"1s\"",
        "",
    ));
    tap.stall_after(0);
    world.start();
    world.push("one");
    wait_until("it is given up", || world.outcomes() == ["failed"]);
    let target = world.target("site/live");
    assert_eq!(target["state"], "waiting");
    assert!(target["next_try"].is_i64(), "{target}");
    let told = world.hookd(&["status"]).expect(0);
    assert!(told.out.contains("tried again at"), "{told:?}");
    // Whoever does not want to wait need not.
    tap.heal();
    world.hookd(&["deploy", "site"]).expect(0);
    assert_eq!(world.served(), "one");
    assert_eq!(world.target("site/live")["waiting"].as_array().unwrap().len(), 0);
}

#[test]
fn terminated_in_a_fetch_that_hangs_it_ends_in_time_and_fetches_again() {
    let mut world = World::still("");
    let server = GitServer::http(world.dir());
    let tap = Tap::new(server.port());
    world.configure(&at(
        &server.url_at_port("site.git", tap.port()),
        "stop_grace = \"200ms\"",
        "",
    ));
    tap.stall_after(0);
    world.start();
    world.push("one");
    tap.has_stalled(1);
    world.daemon().signal(Signal::SIGTERM);
    let status = world.daemon.take().unwrap().ended();
    assert!(status.success(), "{status}");
    tap.heal();
    world.start();
    wait_until("the page is served", || world.served() == "one");
    world.settled();
    assert_eq!(world.outcomes(), ["interrupted", "live"]);
}

#[test]
fn a_token_opens_a_closed_remote_and_is_seen_nowhere() {
    let token = "ghs_not-to-be-seen-anywhere";
    let mut world = World::still("");
    let server = GitServer::http_with_password(world.dir(), "x-access-token", token);
    world.write_secret("token", token);
    world.configure(&at(&server.url("site.git"), "", "token = \"file:$DIR/token\""));
    world.start();
    world.deploy("one");
    assert_eq!(world.served(), "one", "{}", world.last());
    let found = std::process::Command::new("grep")
        .args(["-rlaF", token])
        .arg(world.dir())
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&found.stdout).trim(),
        world.path("token").to_string_lossy()
    );
}
