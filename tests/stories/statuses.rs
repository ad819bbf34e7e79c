//! The result of each push on its commit, in the words of each forge: paths, tokens, fields and states as the forges' manuals have
//! them. Whatever is missing, unknown or not said so is refused, as the forge does.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::forge::{Delivery, SECRET};
use crate::support::receiver::{Received, Receiver, Reply, plain};
use crate::support::world::{World, wait_until};

/// How a forge takes statuses.
struct Forge {
    word: &'static str,
    full_name: &'static str,
    /// The base of its API.
    base: &'static str,
    /// Where a status goes, below the base, with `COMMIT` in it.
    path: &'static str,
    auth: (&'static str, &'static str),
    /// The fields that a status must have, and those that it may have.
    must: &'static [&'static str],
    may: &'static [&'static str],
    /// The field of the state, and its words: while it runs, in the end if it is live, if it failed.
    state: (&'static str, [&'static str; 3]),
    /// Where the context stands, and as what.
    context: (&'static str, &'static str),
    /// What it answers to a status.
    answer: (u16, &'static str),
}

const TOKEN: (&str, &str) = ("authorization", "token t0ken");
const BEARER: (&str, &str) = ("authorization", "Bearer t0ken");
const HUB: (&str, [&str; 3]) = ("state", ["pending", "success", "failure"]);
const BITBUCKET: (&str, [&str; 3]) = ("state", ["INPROGRESS", "SUCCESSFUL", "FAILED"]);

const GITEA: Forge = Forge {
    word: "gitea",
    full_name: "alice/site",
    base: "/api/v1",
    path: "/repos/alice/site/statuses/COMMIT",
    auth: TOKEN,
    must: &["state", "context"],
    may: &["description", "target_url"],
    state: HUB,
    context: ("/context", "hookd/site/live"),
    answer: (201, "{}"),
};

/// Each of them.
const FORGES: [Forge; 8] = [
    Forge {
        word: "github",
        base: "/api/v3",
        auth: BEARER,
        ..GITEA
    },
    Forge {
        word: "gitlab",
        base: "/api/v4",
        path: "/projects/alice%2Fsite/statuses/COMMIT",
        auth: ("private-token", "t0ken"),
        must: &["state", "name", "ref"],
        state: ("state", ["running", "success", "failed"]),
        context: ("/name", "hookd/site/live"),
        ..GITEA
    },
    GITEA,
    Forge {
        word: "forgejo",
        ..GITEA
    },
    Forge {
        word: "bitbucket",
        base: "/2.0",
        path: "/repositories/alice/site/commit/COMMIT/statuses/build",
        auth: BEARER,
        must: &["state", "key", "url"],
        may: &["name", "description"],
        state: BITBUCKET,
        context: ("/key", "hookd/site/live"),
        ..GITEA
    },
    Forge {
        word: "bitbucket-server",
        full_name: "SHOP/site",
        base: "",
        path: "/rest/build-status/1.0/commits/COMMIT",
        auth: BEARER,
        must: &["state", "key", "url"],
        may: &["name", "description"],
        state: BITBUCKET,
        context: ("/key", "hookd/site/live"),
        answer: (204, ""),
    },
    Forge {
        word: "azure-devops",
        full_name: "alice/shop/site",
        base: "",
        path: "/alice/shop/_apis/git/repositories/site/commits/COMMIT/statuses?api-version=7.1",
        // Base64 of `:t0ken`.
        auth: ("authorization", "Basic OnQwa2Vu"),
        must: &["state", "context"],
        may: &["description", "targetUrl"],
        state: ("state", ["pending", "succeeded", "failed"]),
        context: ("/context/name", "live"),
        ..GITEA
    },
    Forge {
        word: "pagure",
        full_name: "forks/alice/site",
        base: "/api/0",
        path: "/fork/alice/site/c/COMMIT/flag",
        must: &["username", "comment", "url", "status", "percent", "uid"],
        may: &[],
        state: ("status", ["pending", "success", "failure"]),
        context: ("/username", "hookd/site/live"),
        answer: (200, r#"{"message":"Flag added","uid":"x"}"#),
        ..GITEA
    },
];

/// The fields of a status: JSON, and a form at Pagure.
fn fields(asked: &Received) -> Value {
    if asked.header("content-type") != "application/x-www-form-urlencoded" {
        return asked.body.clone();
    }
    let pairs: BTreeMap<_, _> = url::form_urlencoded::parse(&asked.raw).into_owned().collect();
    json!(pairs)
}

impl Forge {
    /// The commit that a request sets the status of.
    fn commit(&self, asked: &Received) -> Option<String> {
        let (before, after) = self.path.split_once("COMMIT").unwrap();
        let rest = asked.path.strip_prefix(self.base)?.strip_prefix(before)?;
        Some(rest.strip_suffix(after)?.to_owned())
    }

    fn take(&self, asked: &Received) -> Reply {
        if asked.header(self.auth.0) != self.auth.1 {
            return plain(401, r#"{"message":"Unauthorized"}"#);
        }
        if asked.method != "POST" || self.commit(asked).is_none() {
            return plain(404, r#"{"message":"Not Found"}"#);
        }
        let fields = fields(asked);
        let is_text =
            |name: &str| fields[name].as_str().is_some_and(|text| !text.is_empty()) || fields[name].is_object();
        let mut known = fields.as_object().into_iter().flatten().map(|(name, _)| name.as_str());
        let good = self.must.iter().all(|name| is_text(name))
            && known.all(|name| self.must.contains(&name) || self.may.contains(&name));
        if good {
            plain(self.answer.0, self.answer.1)
        } else {
            plain(400, r#"{"message":"bad request"}"#)
        }
    }

    /// The states that a commit was given, in order.
    fn states(&self, api: &Receiver, commit: &str) -> Vec<String> {
        let told = api.told();
        let of_commit = told
            .iter()
            .filter(|asked| self.commit(asked).as_deref() == Some(commit));
        let state = |asked: &Received| fields(asked)[self.state.0].as_str().unwrap_or_default().to_owned();
        of_commit.map(state).collect()
    }

    fn world(&self, api: &Receiver, keys: &str) -> World {
        let world = World::still(&format!(
            r#"
[forge.{word}]
url = "{}"
token = "file:$DIR/token"
[repo.site]
url = "$DIR/site.git"
full_name = "{}"
forge = "{word}"
secret = "file:$DIR/secret"
poll = "off"
{keys}
$LIVE
build = "$DIR/gate build; test ! -e bad"
"#,
            api.url(self.base),
            self.full_name,
            word = self.word,
        ));
        world.write_secret("token", "t0ken");
        world
    }
}

#[test]
fn each_forge_is_told_in_its_own_words() {
    for forge in &FORGES {
        let api = Receiver::new(|asked| forge.take(asked));
        let mut world = forge.world(&api, "");
        let gate = world.gate("build");
        world.start();
        let [runs, live, failed] = forge.state.1;
        let shows = |commit: &str, state: &str| {
            wait_until(&format!("{}: {commit} is {state}", forge.word), || {
                forge.states(&api, commit).last().is_some_and(|last| last == state)
            });
        };
        let good = world.site.publish("one");
        world.hookd(&["deploy", "site", "--no-wait"]).expect(0);
        let stands = gate.reached();
        shows(&good, runs);
        stands.open();
        shows(&good, live);
        world.site.commit(&[("bad", "x")]);
        let bad = world.site.publish("two");
        world.hookd(&["deploy", "site"]).expect(1);
        shows(&bad, failed);
        assert!(!forge.states(&api, &bad).contains(&live.to_owned()), "{}", forge.word);

        let last = fields(api.told().last().unwrap());
        assert_eq!(
            last.pointer(forge.context.0),
            Some(&json!(forge.context.1)),
            "{}",
            forge.word
        );
        let said = world.target("site/live")["problems"].to_string();
        assert!(!said.contains("report-failing"), "{}: {said}", forge.word);
    }
}

/// GitLab's deployments: made as `created`, and from there to `running` and an end. It refuses the state that one already has.
fn gitlab_deployments(asked: &Received, state: &mut String) -> Reply {
    let wanted = asked.body["status"].as_str().unwrap_or_default().to_owned();
    let known = |keys: &[&str]| {
        let fields = asked.body.as_object();
        fields.is_some_and(|fields| fields.keys().all(|key| keys.contains(&key.as_str())))
    };
    match (asked.method.as_str(), asked.path.as_str()) {
        ("POST", "/api/v4/projects/alice%2Fsite/deployments") => {
            *state = wanted;
            let good = known(&["environment", "sha", "ref", "tag", "status"]) && asked.body["tag"] == false;
            plain(if good { 201 } else { 400 }, r#"{"id":42,"iid":2}"#)
        }
        ("PUT", "/api/v4/projects/alice%2Fsite/deployments/42") => {
            let words = ["running", "success", "failed", "canceled"];
            if !known(&["status"]) || !words.contains(&wanted.as_str()) {
                return plain(400, r#"{"error":"status does not have a valid value"}"#);
            }
            if *state == wanted {
                let said = format!(r#"{{"message":"Cannot transition status via :run from :{state}"}}"#);
                return plain(400, &said);
            }
            *state = wanted;
            plain(200, "{}")
        }
        _ => plain(404, r#"{"message":"404 Not Found"}"#),
    }
}

#[test]
fn gitlab_is_told_of_deployments_to_an_environment() {
    let gitlab = FORGES.iter().find(|forge| forge.word == "gitlab").unwrap();
    let mut state = String::new();
    let api = Receiver::new(move |asked| {
        if asked.path.contains("/deployments") {
            gitlab_deployments(asked, &mut state)
        } else {
            gitlab.take(asked)
        }
    });
    let mut world = gitlab.world(&api, "report = [\"status\", \"deployment\"]");
    let gate = world.gate("build");
    world.start();
    let good = world.site.publish("one");
    let deploy = ["deploy", "site", "--no-wait"];
    world.hookd(&deploy).expect(0);
    let stands = gate.reached();
    let told = |words: &str| {
        let is = |asked: &Received| asked.path.contains("/deployments") && asked.body["status"] == words;
        api.told().iter().filter(|asked| is(asked)).count()
    };
    wait_until("it runs", || told("running") == 1);
    stands.open();
    wait_until("it is live", || told("success") == 1);
    let made = api
        .told()
        .into_iter()
        .find(|asked| asked.path.ends_with("/deployments"))
        .unwrap();
    assert_eq!(
        (&made.body["sha"], &made.body["ref"], &made.body["environment"]),
        (&json!(good), &json!("main"), &json!("live"))
    );
    world.site.commit(&[("bad", "x")]);
    world.site.publish("two");
    world.hookd(&["deploy", "site"]).expect(1);
    wait_until("it failed", || told("failed") == 1);
    let said = world.target("site/live")["problems"].to_string();
    assert!(!said.contains("report-failing"), "{said}");
}

#[test]
fn what_was_replaced_stopped_or_not_needed_is_told_and_is_no_failure() {
    let gitlab = FORGES.iter().find(|forge| forge.word == "gitlab").unwrap();
    let api = Receiver::new(|asked| gitlab.take(asked));
    let mut world = gitlab.world(&api, "");
    let gate = world.gate("build");
    let text = std::fs::read_to_string(world.path("hookd.toml")).unwrap();
    world.configure_whole(&format!("{text}paths = [\"index.html\"]\n"));
    world.start();
    let last = |commit: &str| {
        let told = api.told();
        let last = told
            .iter()
            .rfind(|asked| gitlab.commit(asked).as_deref() == Some(commit));
        last.map_or(Value::Null, fields)
    };
    let shows = |commit: &str, state: &str| {
        wait_until(&format!("{commit} is {state}"), || last(commit)["state"] == state);
    };
    // What waits for the first one is replaced by the third.
    let deliver = |commit: &str| {
        let body = json!({
            "object_kind": "push", "event_name": "push", "ref": "refs/heads/main", "after": commit, "checkout_sha": commit,
            "before": "0".repeat(40), "project": { "path_with_namespace": "alice/site" }, "commits": [],
        });
        let delivery = Delivery::github("push", body.to_string())
            .without("X-GitHub-Event")
            .without("X-GitHub-Delivery")
            .header("X-Gitlab-Event", "Push Hook")
            .header("X-Gitlab-Token", SECRET);
        world.send(&delivery).expect(202);
    };
    let deploy = |page: &str| {
        let commit = world.site.publish(page);
        deliver(&commit);
        commit
    };
    let one = deploy("one");
    let stands = gate.reached();
    let two = deploy("two");
    shows(&two, "pending");
    let three = deploy("three");
    shows(&two, "canceled");
    assert!(!last(&two)["description"].as_str().unwrap().is_empty());
    stands.pass();
    shows(&one, "success");
    let stands = gate.reached();
    shows(&three, "running");
    // Somebody stops it.
    world.hookd(&["cancel", "site"]).expect(0);
    stands.killed();
    shows(&three, "canceled");

    gate.open();
    let four = deploy("four");
    shows(&four, "success");
    world.site.commit(&[("README", "x")]);
    world.site.push();
    let beside = world.site.head();
    deliver(&beside);
    shows(&beside, "skipped");
    let said = last(&beside);
    assert!(said["description"].as_str().unwrap().contains("paths"), "{said}");
}
