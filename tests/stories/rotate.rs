//! The end of `hookd add`, what was changed by hand, and a secret that is replaced.

use std::fs;

use serde_json::{Value, json};

use crate::support::daemon::text_of;
use crate::support::forge::Delivery;
use crate::support::forge_api::ForgeApi;
use crate::support::git_server::{GitServer, Origin};
use crate::support::http::Address;
use crate::support::world::{Said, World, names, wait_until};

/// A world whose forge delivers its pings to it.
struct Set {
    world: World,
    api: ForgeApi,
    add: Vec<String>,
    // Serves as long as it is there.
    _server: GitServer,
}

impl Set {
    fn new() -> Self {
        Self::with(|_| String::new())
    }

    fn with(config: impl FnOnce(&ForgeApi) -> String) -> Self {
        let api = ForgeApi::new("github");
        let mut world = World::still(&config(&api));
        world.write_secret("token", "t0ken");
        world.start();
        Origin::new(&world.path("alice/site.git")).commit("main", "one", &[]);
        let server = GitServer::http(world.dir());
        let (url, live) = (server.url("alice/site.git"), world.path("live").display().to_string());
        let (token, at) = (format!("file:{}", world.path("token").display()), api.url());
        let words = [
            "add", &url, "--path", &live, "--forge", "github", "--token", &token, "--api", &at,
        ];
        let mut add: Vec<String> = words.map(str::to_owned).to_vec();
        add.extend(["--hook-url", "https://blog.example.org"].map(str::to_owned));
        let set = Self {
            world,
            api,
            add,
            _server: server,
        };
        set.deliver(true);
        set
    }

    fn deliver(&self, yes: bool) {
        let Address::Tcp(address) = self.world.address() else {
            panic!()
        };
        self.api.deliver_pings_to(yes.then_some(address));
    }

    fn add(&self, more: &[&str]) -> Said {
        let words: Vec<&str> = self
            .add
            .iter()
            .map(String::as_str)
            .chain(more.iter().copied())
            .collect();
        self.world.hookd(&words)
    }

    fn secret(&self) -> String {
        text_of(&self.world.path("hookd/site.secret")).trim_end().to_owned()
    }

    /// How a ping that is signed with it is answered.
    fn answer_to(&self, secret: &str) -> u16 {
        self.world
            .send(&Delivery::github("ping", "{\"zen\":\"x\"}").signed(secret))
            .status
    }
}

#[test]
fn add_ends_with_the_site_live_and_a_second_run_changes_nothing() {
    let set = Set::new();
    let said = set.add(&[]).expect(0);
    for line in [
        "arrived    test delivery of the forge",
        "live       first deployment: site/production",
    ] {
        assert!(said.out.contains(line), "{line}: {said:?}");
    }
    assert_eq!(set.world.target("site/production")["state"], "live");
    set.api.asked();
    let again = set.add(&["--json"]).expect(0).json();
    assert_eq!(again["changed"], false);
    assert!(
        again["steps"]
            .to_string()
            .contains(r#""state":"there","what":"webhook at the forge"#),
        "{again}"
    );
    let writes = |set: &Set| {
        set.api
            .asked()
            .into_iter()
            .filter(|asked| asked.method != "GET" && !asked.path.ends_with("/pings"))
            .count()
    };
    assert_eq!(writes(&set), 0);

    // What somebody has changed or deleted there is mended by the same command.
    set.api.change_hooks(|hook| hook["active"] = json!(false));
    assert!(set.add(&[]).expect(0).out.contains("updated    webhook at the forge"));
    assert_eq!(set.api.hooks()[0]["active"], true);
    set.api
        .change_hooks(|hook| hook["config"]["content_type"] = json!("form"));
    assert!(set.add(&[]).expect(0).out.contains("updated    webhook at the forge"));
    set.api.forget_hooks();
    assert!(set.add(&[]).expect(0).out.contains("made       webhook at the forge"));
    assert_eq!(set.api.hooks().len(), 1);
}

#[test]
fn a_webhook_that_somebody_changed_or_deleted_is_found_by_doctor_and_mended_by_add() {
    let set = Set::with(|api| {
        let url = api.url();
        format!("[defaults]\nreport = \"off\"\n[forge.github]\nurl = \"{url}\"\ntoken = \"file:$DIR/token\"\n")
    });
    set.add(&[]).expect(0);
    let finds = |words: &str| {
        let report = set.world.hookd(&["doctor", "--json"]).json();
        let findings = report["findings"].as_array().unwrap().clone();
        let found = findings
            .iter()
            .find(|finding| finding["text"].as_str().unwrap().contains(words));
        let found = found
            .unwrap_or_else(|| panic!("{words} is not in {findings:#?}"))
            .clone();
        (found["level"].as_str().unwrap().to_owned(), found["hint"].to_string())
    };
    let good = "the forge's webhook delivers to https://blog.example.org/hook/site";
    assert_eq!(finds(good).0, "ok");
    set.api
        .change_hooks(|hook| hook["config"]["content_type"] = json!("form"));
    let (level, hint) = finds("is off, or was changed there");
    assert!(level == "warning" && hint.contains("hookd add"), "{hint}");
    set.add(&[]).expect(0);
    assert_eq!(finds(good).0, "ok");
    set.api.forget_hooks();
    assert_eq!(finds("has no webhook that delivers to").0, "warning");
    set.add(&[]).expect(0);
    assert_eq!(finds(good).0, "ok");
    // A token that may not look is no fault of the webhook.
    set.world.write_secret("token", "revoked");
    assert_eq!(finds("the forge's webhooks can't be looked at").0, "skipped");
}

#[test]
fn a_secret_is_replaced_while_both_are_good_and_goes_on_where_it_was_interrupted() {
    let set = Set::new();
    set.add(&[]).expect(0);
    let old = set.secret();
    // The forge's delivery does not come: both stay good.
    set.deliver(false);
    let said = set.add(&["--rotate"]).expect(1);
    assert!(said.err.contains("the old one stays good"), "{said:?}");
    let next = text_of(&set.world.path("hookd/site.secret.next")).trim_end().to_owned();
    assert_eq!((set.answer_to(&old), set.answer_to(&next)), (200, 200));
    assert_eq!(set.api.hooks()[0]["config"]["secret"], next.as_str());
    assert!(!format!("{said:?}").contains(&next) && !format!("{said:?}").contains(&old));

    set.deliver(true);
    let said = set.add(&["--rotate"]).expect(0);
    assert!(said.out.contains("replaced   webhook secret"), "{said:?}");
    assert!(!said.out.contains("nothing was changed"), "{said:?}");
    assert_eq!(set.secret(), next);
    assert_eq!((set.answer_to(&old), set.answer_to(&next)), (401, 200));
    assert!(!names(&set.world.path("hookd")).contains(&"site.secret.next".to_owned()));
    let fragment = text_of(&set.world.path("hookd.d/site.toml"));
    assert!(
        !fragment.contains("next") && fragment.contains("site.secret\""),
        "{fragment}"
    );

    // Killed before the drop-in was written, and after the secret was put in its place.
    set.world
        .write_secret("hookd/site.secret.next", "another-s3cret-that-was-made");
    set.add(&["--rotate"]).expect(0);
    assert_eq!(set.secret(), "another-s3cret-that-was-made");
    fs::copy(
        set.world.path("hookd/site.secret"),
        set.world.path("hookd/site.secret.next"),
    )
    .unwrap();
    set.add(&["--rotate"]).expect(0);
    assert_eq!(set.secret(), "another-s3cret-that-was-made");
    assert!(!set.world.path("hookd/site.secret.next").exists());

    let bare = set.world.hookd(&["add", &set.add[1], "--rotate"]).expect(2);
    assert!(bare.err.contains("--token"), "{bare:?}");
    set.world.settled();
    set.world.hookd(&["remove", "site"]).expect(0);
    assert_eq!(names(&set.world.path("hookd")), [""; 0]);
}

#[test]
fn only_a_delivery_that_is_signed_with_the_new_secret_replaces_the_old_one() {
    let set = Set::new();
    set.add(&[]).expect(0);
    let old = set.secret();
    // The forge has the new one, and only what it signed before, or what it sends from elsewhere, arrives.
    set.deliver(false);
    let said = std::thread::scope(|scope| {
        let rotate = scope.spawn(|| set.add(&["--rotate"]));
        wait_until("the forge has another secret", || {
            set.api.hooks()[0]["config"]["secret"] != old.as_str()
        });
        for _ in 0..3 {
            assert_eq!(set.answer_to(&old), 200);
        }
        rotate.join().unwrap()
    })
    .expect(1);
    assert!(said.err.contains("no delivery that is signed with it"), "{said:?}");
    let next = text_of(&set.world.path("hookd/site.secret.next")).trim_end().to_owned();
    assert_eq!(set.secret(), old);
    let numbers = |set: &Set| -> Vec<Value> {
        let rows = set.world.deliveries();
        rows.iter().rev().take(2).map(|row| row["secret"].clone()).collect()
    };
    assert_eq!((set.answer_to(&next), set.answer_to(&old)), (200, 200));
    assert_eq!(numbers(&set), [json!(1), json!(2)]);

    // It came while nobody waited for it, and counts.
    set.add(&["--rotate"]).expect(0);
    assert_eq!(set.secret(), next);
    assert_eq!((set.answer_to(&old), set.answer_to(&next)), (401, 200));
    assert_eq!(numbers(&set)[0], json!(1));
}
