//! `hookd add` where the forge says that it has the webhook or the deploy key already, or takes none.

use std::fs;

use serde_json::{Value, json};

use super::add::{add, with_api};
use crate::support::daemon::text_of;
use crate::support::forge_api::ForgeApi;
use crate::support::git_server::GitServer;
use crate::support::world::{Said, World};

const FORGES: [&str; 6] = ["github", "gitlab", "gitea", "forgejo", "gogs", "bitbucket"];
const HOOK: &str = "https://blog.example.org/hook/site";

/// A world whose repository is behind ssh at a forge with an API.
struct Set {
    world: World,
    api: ForgeApi,
    url: String,
    options: Vec<String>,
    // Serves as long as it is there.
    _server: GitServer,
}

impl Set {
    fn new(forge: &'static str) -> Self {
        let (world, _, api, mut options) = with_api(forge);
        let server = GitServer::ssh(world.dir());
        let url = server.url("alice/site.git");
        let unknown = add(&world, &url, &[]).expect(1);
        let print = unknown.err.split_whitespace().rfind(|word| word.starts_with("SHA256:"));
        let more = [
            "--full-name",
            "alice/site",
            "--hook-url",
            HOOK,
            "--no-wait",
            "--accept-host-key",
            print.unwrap(),
        ];
        options.extend(more.map(str::to_owned));
        Self {
            world,
            api,
            url,
            options,
            _server: server,
        }
    }

    fn add(&self) -> Said {
        let more: Vec<&str> = self.options.iter().map(String::as_str).collect();
        add(&self.world, &self.url, &more)
    }

    /// Asserts that the forge has the webhook with the secret of this machine, and its key, once.
    #[track_caller]
    fn assert_whole(&self, forge: &str) {
        let secret = text_of(&self.world.path("hookd/site.secret")).trim_end().to_owned();
        let (hooks, keys) = (self.api.hooks(), self.api.keys());
        assert_eq!((hooks.len(), keys.len()), (1, 1), "{forge}: {hooks:?} {keys:?}");
        let hook = &hooks[0];
        let told = [&hook["config"]["secret"], &hook["secret"], &hook["token"]];
        assert!(told.contains(&&json!(secret)), "{forge}: {hook}");
        let key = text_of(&self.world.path("hookd/site.key.pub")).trim_end().to_owned();
        assert_eq!(keys[0]["key"], json!(key), "{forge}");
    }
}

#[test]
fn what_the_forge_did_not_list_at_first_is_taken_up() {
    for forge in FORGES {
        let set = Set::new(forge);
        // A webhook to this address is there, and the list does not show it yet.
        set.api.crowd([
            json!({ "id": 7, "uuid": "{u-7}", "url": HOOK, "config": { "url": HOOK, "secret": "an-old-one" } }),
        ]);
        set.api.list_nothing(1, 1);
        let said = set.add().expect(0);
        assert!(
            said.out.contains("updated    webhook at the forge"),
            "{forge}: {said:?}"
        );
        set.assert_whole(forge);
        // Nor the key, which another run has just made.
        set.api.list_nothing(1, 1);
        let said = set.add().expect(0);
        assert!(
            said.out.contains("there      deploy key at the forge"),
            "{forge}: {said:?}"
        );
        set.assert_whole(forge);
    }
}

#[test]
fn a_key_that_another_repository_has_is_told_with_what_to_do() {
    for forge in FORGES {
        let set = Set::new(forge);
        set.api.have_keys_elsewhere(true);
        let said = set.add().expect(1);
        let (private, public) = (set.world.path("hookd/site.key"), set.world.path("hookd/site.key.pub"));
        let advice = format!("rm {} {}", private.display(), public.display());
        assert!(
            said.err.contains("set up here, but not at the forge"),
            "{forge}: {said:?}"
        );
        assert!(
            said.err.contains("another repository or account has that key") && said.err.contains(&advice),
            "{forge}: {said:?}"
        );
        assert_eq!(
            (set.api.keys(), set.api.hooks()),
            (Vec::<Value>::new(), Vec::<Value>::new()),
            "{forge}"
        );
        let before = text_of(&public);
        fs::remove_file(&private).unwrap();
        fs::remove_file(&public).unwrap();
        set.api.have_keys_elsewhere(false);
        set.add().expect(0);
        assert_ne!(text_of(&public), before);
        set.assert_whole(forge);
    }
}

#[test]
fn a_webhook_that_the_forge_does_not_take_leaves_no_key_behind() {
    let set = Set::new("github");
    set.api.refuse_hooks(true);
    let said = set.add().expect(1);
    assert!(said.err.contains("no such hooks here"), "{said:?}");
    assert_eq!(
        (set.api.keys(), set.api.hooks()),
        (Vec::<Value>::new(), Vec::<Value>::new())
    );
    set.api.refuse_hooks(false);
    set.add().expect(0);
    set.assert_whole("github");
    // What was there before stays.
    set.api.refuse_hooks(true);
    set.api.forget_hooks();
    set.add().expect(1);
    assert_eq!(set.api.keys().len(), 1);

    // A webhook that is said to be there and never shown.
    set.api.refuse_hooks(false);
    set.api.crowd([json!({ "id": 7, "config": { "url": HOOK } })]);
    set.api.list_nothing(usize::MAX, 0);
    let said = set.add().expect(1);
    assert!(
        said.err.contains("Hook already exists on this repository") && said.err.contains("delete it there"),
        "{said:?}"
    );
}

#[test]
fn all_webhooks_that_two_runs_made_go_with_the_repo() {
    let set = Set::new("gitea");
    set.add().expect(0);
    set.api.crowd([
        json!({ "id": 700, "config": { "url": HOOK } }),
        json!({ "id": 701, "config": { "url": "https://elsewhere.example/" } }),
    ]);
    set.world.settled();
    let token: Vec<&str> = set.options.iter().map(String::as_str).skip(2).take(4).collect();
    set.world.hookd(&[&["remove", "site"][..], &token].concat()).expect(0);
    let left = set.api.hooks();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(left[0]["id"], 701);
}
