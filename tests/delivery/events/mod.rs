//! What comes of each forge's events: pushes of branches and tags, deletions, pings, CI. These are the cells of the README's
//! table of forges, one row of it for each test.

mod github_family;
mod other_forges;

use serde_json::Value;

use super::hooks::Hook;
use super::sender::{Delivery, body};

/// What an event leads to.
enum Then<'r> {
    /// A deployment of this target at this ref.
    Deploys(&'r str, &'r str),
    /// Nothing, for a reason with these words in it.
    Ignored(&'r str),
    /// An answer to a ping.
    Pong,
}

use Then::{Deploys, Ignored, Pong};

/// One delivery.
struct Row<'r> {
    event: &'r str,
    body: &'r str,
    full_name: &'r str,
    then: Then<'r>,
}

/// Reads a line `event | body | full name | what comes of it`. A body is a file, or `$NAME` of those that are given; what
/// comes of it is `TARGET REF` for a deployment, `ignored: WORDS`, or `pong`.
fn row<'r>(line: &'r str, named: &[(&str, &'r str)]) -> Row<'r> {
    let cells: Vec<&str> = line.split(" | ").map(str::trim).collect();
    let [event, body, full_name, then] = cells[..] else {
        panic!("{line}")
    };
    let body = body.strip_prefix('$').map_or(body, |name| {
        let found = named.iter().find(|(known, _)| *known == name);
        found.unwrap_or_else(|| panic!("no body ${name}")).1
    });
    let then = if let Some(words) = then.strip_prefix("ignored: ") {
        Ignored(words)
    } else if then == "pong" {
        Pong
    } else {
        let (target, git_ref) = then.split_once(' ').unwrap();
        Deploys(target, git_ref)
    };
    Row {
        event,
        body,
        full_name,
        then,
    }
}

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
fn come_to(hook: &Hook, named: &[(&str, &str)], table: &str) {
    let lines = table.lines().filter(|line| !line.trim().is_empty());
    let rows: Vec<Row<'_>> = lines.map(|line| row(line, named)).collect();
    let config: String = rows
        .iter()
        .enumerate()
        .map(|(number, row)| {
            hook.repo(&format!("r{number}"), row.full_name, TARGETS)
                .replace("$ON", ON)
        })
        .collect();
    let mut world = hook.set_up(&config);
    world.site.commit(&[("index.html", "delivered")]);
    for row in &rows {
        if let Deploys(_, git_ref) = row.then {
            world.site.push_to(git_ref);
        }
    }
    world.start();
    for (number, row) in rows.iter().enumerate() {
        let delivery = Delivery::new(hook, row.event, body(row.body)).to(&format!("/hook/r{number}"));
        let what = format!("{}, row {number}: {} {:.60}", hook.name, row.event, row.body);
        let answer = delivery.send(&world);
        let told = (answer.status, answer.word("status"));
        match row.then {
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
        let Deploys(target, _) = row.then else {
            // What is not understood makes hookd look at the remotes that it names, which all of these repos share.
            let asked_for = |job: &&Value| {
                job["target"].as_str().unwrap().starts_with(&format!("r{number}/")) && job["source"] != "poll"
            };
            assert!(history.iter().find(asked_for).is_none(), "{what}: {history:?}");
            continue;
        };
        let page = world.path(&format!("r{number}/{target}/current/index.html"));
        let page = std::fs::read_to_string(page).unwrap_or_default();
        assert_eq!(page, "delivered", "{what}");
    }
}
