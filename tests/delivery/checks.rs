//! `require_checks` by the CI events of each forge that has them: a push waits, its green check lets it live, and another
//! commit's does not. Also for events that name no branch, which can't deploy by themselves.

use serde_json::{Value, json};

use super::hooks::{self, Hook};
use super::sender::{Delivery, body};
use crate::support::http::Address;
use crate::support::world::wait_until;

/// Pushes `main` of `full_name`, and has the forge say that the check ended well for that commit.
#[track_caller]
fn lets_live(hook: &Hook, full_name: &str, check: &str, event: &str, green: &dyn Fn(&str) -> Value) {
    let target = format!("branch = \"main\"\nrequire_checks = \"{check}\"");
    let mut world = hook.set_up(&hook.repo("site", full_name, &[("live", &target)]));
    world.start();
    let Address::Tcp(address) = world.address() else {
        panic!("no TCP")
    };
    let what = format!("{}, {event}", hook.name);
    let commit = world.site.publish("green");
    let url = format!("http://{address}/hook/site");
    world.hookd(&["send", "site", "--url", &url]).expect(0);
    let waits = || {
        world.target("site/live")["waits_for"]
            .as_str()
            .is_some_and(|told| told.contains(check))
    };
    wait_until("it waits for its check", waits);
    let say = |commit: &str| {
        let answer = Delivery::new(hook, event, green(commit).to_string()).send(&world);
        assert_eq!(
            (answer.status, answer.word("status")),
            (200, "ignored"),
            "{what}: {}",
            answer.text
        );
        assert!(
            answer.word("reason").contains("noted for `require_checks`"),
            "{what}: {}",
            answer.text
        );
    };
    say(&"1".repeat(40));
    // It looks again, and goes on waiting.
    wait_until("it waits on", waits);
    say(&commit);
    world.settled();
    let page = std::fs::read_to_string(world.path("site/live/current/index.html")).unwrap_or_default();
    assert_eq!(page, "green", "{what}");
}

/// A recorded body about another commit, in which these texts are others.
fn recorded(path: &str, commit_at: &[&str], changes: &[(&str, Value)]) -> impl Fn(&str) -> Value + use<> {
    let mut json: Value = serde_json::from_slice(&body(path)).unwrap();
    for (pointer, value) in changes {
        *json.pointer_mut(pointer).unwrap() = value.clone();
    }
    let places: Vec<String> = commit_at.iter().map(|at| (*at).to_owned()).collect();
    move |commit| {
        let mut json = json.clone();
        for place in &places {
            *json.pointer_mut(place).unwrap() = commit.into();
        }
        json
    }
}

#[test]
fn of_github() {
    // Names a branch, but not whose.
    let path = "github/workflow_job.octokit-completed.json";
    let green = recorded(
        path,
        &["/workflow_job/head_sha"],
        &[("/workflow_job/conclusion", "success".into())],
    );
    lets_live(
        &hooks::github(),
        "Codertocat/Hello-World",
        "linters",
        "workflow_job",
        &green,
    );
}

#[test]
fn of_gitlab() {
    let path = "gitlab/pipeline.gitlab4j.json";
    let own = [
        ("/object_attributes/source", "push".into()),
        ("/merge_request", Value::Null),
    ];
    let green = recorded(path, &["/object_attributes/sha"], &own);
    lets_live(
        &hooks::gitlab(),
        "gitlab-org/gitlab-test",
        "pipeline",
        "Pipeline Hook",
        &green,
    );
    let path = "gitlab/job.playground.json";
    let green = recorded(path, &["/sha"], &[("/build_status", "success".into())]);
    lets_live(&hooks::gitlab(), "gitlab-org/gitlab-test", "test", "Job Hook", &green);
}

#[test]
fn of_gitea_and_forgejo() {
    let status = |commit: &str| {
        json!({"id": 1, "sha": commit, "context": "ci/woodpecker", "state": "success", "commit": null,
            "repository": {"full_name": "ann/site"}, "sender": {"login": "ann", "username": "ann"}})
    };
    lets_live(&hooks::gitea(), "ann/site", "ci/woodpecker", "status", &status);
    lets_live(&hooks::forgejo(), "ann/site", "ci/woodpecker", "status", &status);
    let path = "forgejo/action_run_success.packit-push.json";
    let recorded = recorded(path, &["/run/commit_sha"], &[("/run/workflow_id", "ci.yml".into())]);
    lets_live(
        &hooks::forgejo(),
        "infra/ansible",
        "ci.yml",
        "action_run_success",
        &recorded,
    );
}

#[test]
fn of_bitbucket_cloud() {
    let path = "bitbucket-cloud/repo-commit_status_updated.playground.json";
    let at = "/commit_status/links/commit/href";
    let green = |commit: &str| {
        let address = format!("https://api.bitbucket.org/2.0/repositories/team_name/repo_name/commit/{commit}");
        recorded(path, &[], &[(at, address.into())])(commit)
    };
    let check = "Unit Tests (Python)";
    lets_live(
        &hooks::bitbucket(),
        "team_name/repo_name",
        check,
        "repo:commit_status_updated",
        &green,
    );
}

#[test]
fn of_azure_devops() {
    // The repository is not named in it.
    let path = "azure-devops/build-complete.playground.json";
    let green = |commit: &str| {
        let version = format!("LG:refs/heads/main:{commit}");
        // The id of the delivery is in the body.
        recorded(path, &["/id"], &[("/resource/sourceGetVersion", version.into())])(commit)
    };
    lets_live(&hooks::azure(), "fabrikam/site", "ConsumerAddressModule", "", &green);
}

#[test]
fn of_pagure() {
    let green = |commit: &str| {
        json!({"topic": "commit.flag.added", "msg_id": commit, "i": 1, "timestamp": 1, "msg": {
            "repo": {"fullname": "site"}, "agent": "ci",
            "flag": {"username": "Zuul", "status": "success", "commit_hash": commit}}})
    };
    lets_live(&hooks::pagure(), "site", "Zuul", "commit.flag.added", &green);
}
