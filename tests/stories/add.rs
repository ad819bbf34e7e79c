//! A person sets up a repo with one command, and takes it away again.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::daemon::text_of;
use crate::support::forge::Delivery;
use crate::support::forge_api::ForgeApi;
use crate::support::git_server::{GitServer, Origin};
use crate::support::world::{World, names, wait_until};

/// The files beside the configuration that belong to repos.
fn files(world: &World) -> Vec<String> {
    let mut all = names(&world.path("hookd"));
    all.extend(names(&world.path("hookd.d")));
    all
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// `hookd add` of the world's repository, to `$DIR/live`, with these options.
pub(super) fn add<'a>(world: &World, url: &'a str, more: &[&'a str]) -> crate::support::world::Said {
    let live = world.path("live").display().to_string();
    let mut arguments = vec!["add", url, "--path", &live];
    arguments.extend(more);
    world.hookd(&arguments)
}

#[test]
fn a_repo_is_live_after_one_command_and_gone_after_another() {
    let world = World::new("");
    world.site.publish("one");
    let url = world.site.bare.display().to_string();
    let said = add(
        &world,
        &url,
        &["--forge", "github", "--hook-url", "https://blog.example.org"],
    )
    .expect(0);
    assert!(said.out.contains("the daemon has read it"), "{said:?}");
    // The three lines for the forge, with the file of the secret and without the secret.
    let secret = text_of(&world.path("hookd/site.secret"));
    for line in [
        "https://blog.example.org/hook/site",
        "application/json",
        "hookd/site.secret",
    ] {
        assert!(said.out.contains(line), "{line}: {said:?}");
    }
    assert_eq!(secret.trim_end().len(), 64);
    assert!(!format!("{said:?}").contains(secret.trim_end()));
    assert_eq!(mode(&world.path("hookd/site.secret")), 0o400);
    // The poll that a new repo begins with, or this: whichever comes first.
    world.hookd(&["deploy", "site"]).expect(0);
    assert_eq!(world.served(), "one");
    world.site.publish("two");
    let push = Delivery::push(
        url.trim_matches('/').trim_end_matches(".git"),
        "refs/heads/main",
        &world.site.head(),
    );
    world.send(&push.signed(secret.trim_end())).expect(202);
    world.settled();
    assert_eq!(world.served(), "two");

    let again = add(&world, &url, &["--forge", "github"]).expect(0);
    assert!(again.out.contains("nothing was changed"), "{again:?}");
    assert_eq!(text_of(&world.path("hookd/site.secret")), secret);
    let other = add(&world, &url, &["--forge", "github", "--branch", "other"]).expect(1);
    assert!(other.err.contains("it has: main"), "{other:?}");
    let other = add(&world, &url, &["--forge", "github", "--build", "true"]).expect(1);
    assert!(other.err.contains("hookd remove site"), "{other:?}");

    world.settled();
    let gone = world.hookd(&["remove", "site"]).expect(0);
    assert!(gone.out.contains("the site stays"), "{gone:?}");
    assert_eq!(files(&world), [""; 0]);
    assert_eq!(world.status()["targets"], json!([]));
    assert_eq!(world.served(), "two");
    world.hookd(&["remove", "site"]).expect(3);
}

#[test]
fn a_purge_is_asked_for_twice_and_leaves_what_is_not_hookds() {
    let world = World::new("");
    world.site.publish("one");
    add(&world, &world.site.bare.display().to_string(), &["--name", "blog"]).expect(0);
    world.hookd(&["deploy", "blog"]).expect(0);
    fs::write(world.path("live/notes"), "mine").unwrap();
    let asked = world.hookd(&["remove", "blog", "--purge"]).expect(2);
    assert!(asked.err.contains("--yes"), "{asked:?}");
    let dry = world.hookd(&["remove", "blog", "--purge", "--dry-run"]).expect(0);
    assert!(dry.out.contains("would go") && world.served() == "one", "{dry:?}");
    world.settled();
    world.hookd(&["remove", "blog", "--purge", "--yes"]).expect(0);
    assert_eq!(names(&world.path("live")), ["notes"]);
    assert_eq!(names(&world.path("state/mirrors")), [""; 0]);
}

/// Directories of hookd's user, in which that user may put a link at any moment.
#[test]
fn root_follows_no_link_that_others_can_make() {
    let world = World::new("");
    world.site.publish("one");
    let url = world.site.bare.display().to_string();
    add(&world, &url, &["--name", "blog"]).expect(0);
    world.hookd(&["deploy", "blog"]).expect(0);
    world.settled();
    let victim = world.path("victim");
    for name in ["blog.git", "releases", "below"] {
        fs::create_dir_all(victim.join(name).join("precious")).unwrap();
    }
    let shared_with_others = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    let exchange = |path: &Path| {
        fs::rename(path, path.with_extension("aside")).unwrap();
        std::os::unix::fs::symlink(&victim, path).unwrap();
    };
    shared_with_others(&world.path("state"));
    exchange(&world.path("state/mirrors"));
    fs::create_dir(world.path("open")).unwrap();
    shared_with_others(&world.path("open"));
    std::os::unix::fs::symlink(&victim, world.path("open/site")).unwrap();
    fs::set_permissions(&victim, fs::Permissions::from_mode(0o700)).unwrap();

    let refused = world.hookd(&["remove", "blog", "--purge", "--yes"]).expect(1);
    assert!(
        refused.err.contains("is a link that not only root could make"),
        "{refused:?}"
    );
    let path = world.path("open/site/new").display().to_string();
    let refused = world
        .hookd(&["add", &url, "--name", "other", "--path", &path])
        .expect(1);
    assert!(
        refused.err.contains("is a link that not only root could make"),
        "{refused:?}"
    );
    assert_eq!(names(&victim), ["below", "blog.git", "releases"]);
    for name in names(&victim) {
        assert_eq!(names(&victim.join(name)), ["precious"]);
    }
    // Nothing of the second was made.
    assert!(!world.path("hookd.d/other.toml").exists() && !world.path("hookd/other.secret").exists());
}

/// Who can put a socket in the place of the daemon's must not choose what root signals.
/// A secret that is there already may be a link to what root alone can read.
#[test]
fn root_tells_the_forge_no_secret_that_others_lead_to() {
    let (world, server, api, options) = with_api("gitea");
    fs::create_dir(world.path("hookd")).unwrap();
    fs::set_permissions(world.path("hookd"), fs::Permissions::from_mode(0o777)).unwrap();
    world.write_secret("victim", "what root alone can read");
    std::os::unix::fs::symlink(world.path("victim"), world.path("hookd/site.secret")).unwrap();
    let url = server.url("alice/site.git");
    let mut more: Vec<&str> = options.iter().map(String::as_str).collect();
    more.extend(["--hook-url", "https://blog.example.org"]);
    let refused = add(&world, &url, &more).expect(1);
    assert!(
        refused.err.contains("is a link that not only root could make"),
        "{refused:?}"
    );
    assert!(api.hooks().is_empty(), "{:?}", api.hooks());
    // Where root alone can have put the link, it is the admin's.
    fs::set_permissions(world.path("hookd"), fs::Permissions::from_mode(0o755)).unwrap();
    add(&world, &url, &more).expect(0);
    assert_eq!(api.hooks().len(), 1);
}

#[test]
fn a_false_daemon_names_nobody_to_be_signalled() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let mut world = World::new("");
    world.site.publish("one");
    let mut victim = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    let mut status = world.status();
    status["pid"] = victim.id().into();
    world.stop();
    let control = world.path("control.sock");
    let _ = fs::remove_file(&control);
    let listener = std::os::unix::net::UnixListener::bind(&control).unwrap();
    let body = status.to_string();
    // It ends with this process.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            if stream.read(&mut head).is_ok_and(|read| read > 0) {
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(answer.as_bytes());
            }
        }
    });
    let url = world.site.bare.display().to_string();
    let said = add(&world, &url, &[]).expect(0);
    assert!(said.out.contains("systemctl reload hookd"), "{said:?}");
    assert!(victim.try_wait().unwrap().is_none(), "the process was signalled");
    victim.kill().unwrap();
    victim.wait().unwrap();
}

#[test]
fn an_ssh_remote_gets_a_key_and_its_host_is_checked() {
    let world = World::new("");
    let server = GitServer::ssh(world.dir());
    world.site.publish("one");
    let url = server.url("site.git");
    let unknown = add(&world, &url, &[]).expect(1);
    let print = unknown
        .err
        .split_whitespace()
        .find(|word| word.starts_with("SHA256:"))
        .unwrap();
    let print = print.trim_end_matches(',');
    assert!(
        unknown.err.contains(&format!("--accept-host-key {print}")),
        "{unknown:?}"
    );
    assert_eq!(files(&world), [""; 0]);
    let wrong = add(&world, &url, &["--accept-host-key", "SHA256:other"]).expect(1);
    assert!(wrong.err.contains("and not SHA256:other"), "{wrong:?}");

    let said = add(&world, &url, &["--accept-host-key", print, "--json"])
        .expect(0)
        .json();
    let public = said["public_key"].as_str().unwrap();
    assert!(
        public.starts_with("ssh-ed25519 ") && public.ends_with(" hookd-site"),
        "{said}"
    );
    assert_eq!(
        files(&world),
        [
            "site.key",
            "site.key.pub",
            "site.known_hosts",
            "site.secret",
            "site.toml"
        ]
    );
    assert_eq!(mode(&world.path("hookd/site.key")), 0o400);
    let known = said["host_key"].as_str().unwrap();
    let shown = ["ed25519", "rsa", "ecdsa"].map(|kind| server.host_key_line(kind).trim_end().to_owned());
    assert!(shown.contains(&known.to_owned()), "{known} {shown:?}");
    // The forge's part: the key is let in.
    server.let_in(public);
    world.hookd(&["deploy", "site"]).expect(0);
    assert_eq!(world.served(), "one");
    let again = add(&world, &url, &[]).expect(0);
    assert!(again.out.contains("nothing was changed"), "{again:?}");
    world.settled();
    world.hookd(&["remove", "site"]).expect(0);
    assert_eq!(files(&world), [""; 0]);
}

#[test]
fn mistakes_change_nothing() {
    let world = World::still("");
    let url = world.site.bare.display().to_string();
    world.site.publish("one");
    for (arguments, code, word) in [
        (&["/no/such/repo.git"][..], 1, "/no/such/repo"),
        (&[url.as_str(), "--name=-x"], 2, "--name"),
        (&[url.as_str(), "--branch", "nope"], 1, "it has: main"),
        (&[url.as_str(), "--forge", "gihtub"], 78, "github"),
        (&[url.as_str(), "--hook-url", "blog.example.org"], 2, "--hook-url"),
        (&[url.as_str(), "--token", "s3cret"], 2, "file:PATH"),
        (&[url.as_str(), "--show-secret"], 2, "terminal"),
        (&["https://alice:s3cret@git.example.org/a/b"], 78, "password"),
        (&["https://git.example.org/a/b", "--path", "state/x"], 78, "state_dir"),
    ] {
        let all: Vec<&str> = std::iter::once("add").chain(arguments.iter().copied()).collect();
        let path = world.path("state/x").display().to_string();
        let all: Vec<&str> = all
            .iter()
            .map(|word| if *word == "state/x" { path.as_str() } else { *word })
            .collect();
        let said = world.hookd(&all).expect(code);
        assert!(said.err.contains(word), "{arguments:?}: {said:?}");
        assert!(!said.err.contains("s3cret"), "{said:?}");
        assert_eq!(files(&world), [""; 0], "{arguments:?}");
    }
    let dry = add(&world, &url, &["--dry-run", "--build", "make \"all\""]).expect(0);
    assert!(
        dry.out.contains("would make") && dry.out.contains(r#"build = "make \"all\"""#),
        "{dry:?}"
    );
    assert_eq!(files(&world), [""; 0]);
}

#[test]
fn what_others_wrote_is_not_taken_away() {
    let world = World::still_site("");
    let said = world.hookd(&["remove", "site"]).expect(1);
    assert!(said.err.contains("by hand"), "{said:?}");
    fs::create_dir(world.path("hookd.d")).unwrap();
    fs::write(world.path("hookd.d/blog.toml"), "# mine\n").unwrap();
    world.site.publish("one");
    let said = add(&world, &world.site.bare.display().to_string(), &["--name", "blog"]).expect(1);
    assert!(said.err.contains("did not make it"), "{said:?}");
    assert_eq!(text_of(&world.path("hookd.d/blog.toml")), "# mine\n");
}

#[test]
fn what_the_daemon_refuses_is_taken_back() {
    let world = World::new("");
    world.site.publish("one");
    // Broken for the daemon alone: it reads the file when it is told to, and by then there is another one beside it.
    let url = world.site.bare.display().to_string();
    fs::create_dir(world.path("hookd")).unwrap();
    world.write_secret("hookd/site.secret", "");
    let said = add(&world, &url, &[]).expect(1);
    assert!(
        said.err.contains("refused") && said.err.contains("is empty"),
        "{said:?}"
    );
    assert_eq!(files(&world), ["site.secret"]);
    assert!(!world.path("live").exists());
    assert_eq!(world.status()["warnings"], json!([]));
}

/// A world whose forge has an API, a repository `alice/site` there over http, and a token.
pub(super) fn with_api(forge: &'static str) -> (World, GitServer, ForgeApi, Vec<String>) {
    let world = World::new("");
    Origin::new(&world.path("alice/site.git")).commit("main", "one", &[]);
    let server = GitServer::http(world.dir());
    let api = ForgeApi::new(forge);
    world.write_secret("token", "t0ken");
    let token = format!("file:{}", world.path("token").display());
    let arguments = ["--forge", forge, "--token", &token, "--api", &api.url()].map(str::to_owned);
    (world, server, api, arguments.to_vec())
}

#[test]
fn with_a_token_the_forge_gets_its_webhook_once() {
    for forge in ["github", "gitlab", "gitea", "forgejo", "gogs", "bitbucket"] {
        let (world, server, api, options) = with_api(forge);
        let hook = |url: &str| json!({ "id": 900, "uuid": "{other}", "url": url, "config": { "url": url } });
        api.crowd((0..120).map(|n| hook(&format!("https://elsewhere.example/{n}"))));
        let url = server.url("alice/site.git");
        let mut more: Vec<&str> = options.iter().map(String::as_str).collect();
        more.extend(["--hook-url", "https://blog.example.org", "--no-wait"]);
        let said = add(&world, &url, &more).expect(0);
        assert!(
            said.out.contains("made       webhook at the forge"),
            "{forge}: {said:?}"
        );
        let secret = text_of(&world.path("hookd/site.secret")).trim_end().to_owned();
        assert!(
            !format!("{said:?}").contains(&secret) && !format!("{said:?}").contains("t0ken"),
            "{forge}"
        );
        let hooks = api.hooks();
        let made = hooks.last().unwrap();
        let place = if made["config"].is_object() {
            &made["config"]
        } else {
            made
        };
        assert_eq!(place["url"], "https://blog.example.org/hook/site", "{forge}");
        assert!(
            place["secret"] == json!(secret) || place["token"] == json!(secret),
            "{forge}: {made}"
        );
        assert_eq!(hooks.len(), 121);

        api.asked();
        let again = add(&world, &url, &more).expect(0);
        assert!(
            again.out.contains("updated    webhook at the forge"),
            "{forge}: {again:?}"
        );
        assert_eq!(api.hooks().len(), 121, "{forge}");
        let changed: Vec<String> = api
            .asked()
            .into_iter()
            .map(|asked| asked.method)
            .filter(|m| m != "GET")
            .collect();
        assert_eq!(changed.len(), 1, "{forge}: {changed:?}");

        // A new repo is looked at once it is there.
        wait_until("it is live", || world.target("site/production")["commit"].is_string());
        world.settled();
        let gone = world.hookd(&[&["remove", "site"], &more[2..6]].concat()).expect(0);
        assert!(
            gone.out.contains("removed    webhook at the forge"),
            "{forge}: {gone:?}"
        );
        assert_eq!(api.hooks().len(), 120, "{forge}");
    }
}

#[test]
fn with_a_token_the_forge_gets_the_deploy_key_to_read_only() {
    for forge in ["github", "gitlab", "gitea", "forgejo", "gogs", "bitbucket"] {
        let (world, _, api, mut options) = with_api(forge);
        let server = GitServer::ssh(world.dir());
        let url = server.url("alice/site.git");
        // Its path on this machine is not its name at the forge.
        options.extend(
            [
                "--full-name",
                "alice/site",
                "--hook-url",
                "https://blog.example.org/in/site",
                "--no-wait",
            ]
            .map(str::to_owned),
        );
        let unknown = add(&world, &url, &[]).expect(1);
        let print = unknown
            .err
            .split_whitespace()
            .rfind(|word| word.starts_with("SHA256:"))
            .unwrap()
            .to_owned();
        options.extend(["--accept-host-key".to_owned(), print]);
        let more: Vec<&str> = options.iter().map(String::as_str).collect();
        add(&world, &url, &more).expect(0);
        let keys = api.keys();
        let [key] = &keys[..] else { panic!("{forge}: {keys:?}") };
        assert_eq!(
            key["key"],
            json!(text_of(&world.path("hookd/site.key.pub")).trim_end()),
            "{forge}"
        );
        assert!(
            key["read_only"] == true || key["can_push"] == false || key["label"].is_string(),
            "{forge}: {key}"
        );
        assert_eq!(api.hooks().len(), 1, "{forge}");
        add(&world, &url, &more).expect(0);
        assert_eq!((api.keys().len(), api.hooks().len()), (1, 1), "{forge}");
        world.settled();
        world.hookd(&[&["remove", "site"], &more[2..6]].concat()).expect(0);
        assert_eq!(
            (api.keys(), api.hooks()),
            (Vec::<Value>::new(), Vec::<Value>::new()),
            "{forge}"
        );
    }
}

#[test]
fn a_wrong_token_is_told_and_the_same_command_goes_on_later() {
    let (world, server, api, options) = with_api("gitea");
    let url = server.url("alice/site.git");
    let mut more: Vec<&str> = options.iter().map(String::as_str).collect();
    more.extend(["--hook-url", "https://blog.example.org"]);
    world.write_secret("token", "wr0ng");
    let said = add(&world, &url, &more).expect(1);
    assert!(
        said.err.contains("does not know the token") && said.err.contains("write:repository"),
        "{said:?}"
    );
    assert!(!said.err.contains("wr0ng") && api.hooks().is_empty(), "{said:?}");
    world.write_secret("token", "t0ken");
    add(&world, &url, &more).expect(0);
    assert_eq!(api.hooks().len(), 1);
}
