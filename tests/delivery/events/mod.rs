//! What comes of each forge's events: pushes of branches and tags, deletions, pings, CI. These are the cells of the README's
//! table of forges, one row of it for each test.

mod github_family;
mod other_forges;

use serde_json::Value;

use super::hooks::Hook;
use super::sender::{Delivery, body};

/// What an event leads to.
enum Then {
    /// A deployment of this target at this ref.
    Deploys(&'static str, &'static str),
    /// Nothing, for a reason with these words in it.
    Ignored(&'static str),
    /// An answer to a ping.
    Pong,
}

use Then::{Deploys, Ignored, Pong};

/// One delivery: event, body, full name of the repo, what comes of it.
type Row<'r> = (&'r str, &'r str, &'r str, Then);

/// Each repo has these: one follows pushes of branches, one those of tags, and two everything that `on` can ask for.
const TARGETS: &[(&str, &str)] = &[
    ("branches", "branch = \"**\""),
    ("tags", "tag = \"**\""),
    ("on-branches", "branch = \"**\"\n$ON"),
    ("on-tags", "tag = \"**\"\n$ON"),
];

/// Everything but pushes.
const ON: &str = "on = [\"create\", \"delete\", \"release\", \"workflow_run\", \"workflow_job\", \"check_suite\", \
                  \"check_run\", \"status\", \"pipeline\", \"job\", \"pull_request\", \"repository_dispatch\"]";

/// A recorded body with something changed in it.
fn changed(path: &str, changes: &[(&str, Value)]) -> String {
    let mut json: Value = serde_json::from_slice(&body(path)).unwrap();
    for (pointer, value) in changes {
        *json
            .pointer_mut(pointer)
            .unwrap_or_else(|| panic!("{path} has no {pointer}")) = value.clone();
    }
    json.to_string()
}

/// Sends all of them to one daemon, each to a repo of its own, and looks at answers and pages.
#[track_caller]
fn come_to(hook: &Hook, rows: &[Row<'_>]) {
    let config: String = rows
        .iter()
        .enumerate()
        .map(|(number, row)| hook.repo(&format!("r{number}"), row.2, TARGETS).replace("$ON", ON))
        .collect();
    let mut world = hook.set_up(&config);
    world.site.commit(&[("index.html", "delivered")]);
    for row in rows {
        if let Deploys(_, git_ref) = row.3 {
            world.site.push_to(git_ref);
        }
    }
    world.start();
    for (number, (event, payload, _, then)) in rows.iter().enumerate() {
        let delivery = Delivery::new(hook, event, body(payload)).to(&format!("/hook/r{number}"));
        let what = format!("{}, row {number}: {event} {payload:.60}", hook.name);
        let answer = delivery.send(&world);
        let told = (answer.status, answer.word("status"));
        match then {
            Deploys(target, _) => {
                assert_eq!(told, (202, "accepted"), "{what}: {}", answer.text);
                let jobs = answer.json["jobs"].as_array().unwrap();
                let targets: Vec<&str> = jobs.iter().map(|job| job["target"].as_str().unwrap()).collect();
                assert_eq!(targets, [format!("r{number}/{target}")], "{what}");
            }
            Ignored(words) => {
                assert_eq!(told, (200, "ignored"), "{what}: {}", answer.text);
                assert!(answer.word("reason").contains(words), "{what}: {}", answer.text);
            }
            Pong => assert_eq!(told, (200, "pong"), "{what}: {}", answer.text),
        }
    }
    world.settled();
    let history = world.history();
    for (number, row) in rows.iter().enumerate() {
        let what = format!("{}, row {number}", hook.name);
        let Deploys(target, _) = row.3 else {
            // A deployment makes hookd look at the remote; nothing else does here.
            let of_repo = |job: &&Value| job["target"].as_str().unwrap().starts_with(&format!("r{number}/"));
            assert!(history.iter().find(of_repo).is_none(), "{what}: {history:?}");
            continue;
        };
        let page = world.path(&format!("r{number}/{target}/current/index.html"));
        let page = std::fs::read_to_string(page).unwrap_or_default();
        assert_eq!(page, "delivered", "{what}");
    }
}
