//! GitHub: github.com, Enterprise Server, and GitHub Apps.

use serde_json::{Value, json};

use super::dialect::{BASE, Dialect, Named};
use super::error::ParseError;
use super::fields::{branch_ref, has, list, owned, text};
use super::hub::{self, Kin};
use super::rule::HashAlgorithm;
use super::sample::{Sample, WHO};
use super::signing;
use crate::model::{Action, Event, EventKind};

/// GitHub's dialect.
pub(super) static DIALECT: Dialect = Dialect {
    event: Named::Header("X-GitHub-Event"),
    delivery: &[Named::Header("X-GitHub-Delivery")],
    hex: hub::SIGNATURES,
    kept: &[
        "x-github-enterprise-host",
        "x-github-enterprise-version",
        "x-github-event-type",
        "x-github-hook-id",
        "x-github-hook-installation-target-id",
        "x-github-hook-installation-target-type",
    ],
    // `ssh.github.com` answers on port 443, for networks that close port 22.
    hosts: &["github.com", "ssh.github.com"],
    is_body: |body| hub::whose(body) == Some(Kin::GitHub),
    infer: hub::infer,
    repo: hub::repo,
    read,
    check: |request| request.hex(hub::SIGNATURES, request.raw),
    sample,
    sends: &[("User-Agent", "GitHub-Hookshot/hookd")],
    sign: |secret, body, _| {
        let sha1 = format!("sha1={}", signing::hex_digest(HashAlgorithm::Sha1, secret, body));
        let sha256 = format!("sha256={}", signing::sha256(secret, body));
        Ok(vec![
            ("X-Hub-Signature".to_owned(), sha1),
            ("X-Hub-Signature-256".to_owned(), sha256),
        ])
    },
    ..BASE
};

/// The events of one delivery. Sources: github/docs `webhook-events-and-payloads`, `@octokit/openapi-webhooks` 12.1.
fn read(event: &str, body: &Value) -> Result<Vec<Event>, ParseError> {
    match event {
        "push" => hub::push(body, false),
        "create" => hub::create(body),
        "delete" => hub::delete(body),
        "ping" => hub::ping(body),
        "release" => hub::release(body),
        "workflow_run" if !has(body, "/deployment") && !has(body, "/reviewers") => hub::workflow_run(body),
        "workflow_job" => hub::workflow_job(body),
        "check_suite" => check_suite(body),
        "check_run" if !has(body, "/deployment") => check_run(body),
        "status" => hub::status(body),
        "deployment" | "deployment_status" => hub::deployment(event, body),
        "pull_request" if !has(body, "/review") && !has(body, "/comment") => hub::pull_request(body),
        "repository_dispatch" => repository_dispatch(body),
        "workflow_run" | "check_run" | "pull_request" => Err(ParseError::ShapeMismatch),
        _ if hub::is_push(body) => Err(ParseError::ShapeMismatch),
        _ => Ok(vec![hub::other(event, body)]),
    }
}

fn check_suite(body: &Value) -> Result<Vec<Event>, ParseError> {
    hub::object(body, "/check_suite")?;
    let suite = &body["check_suite"];
    let mut event = hub::ci("check_suite", body, suite);
    event.foreign = foreign(suite);
    event.check = owned(suite, &["/app/slug", "/app/name"]);
    event.head_message = owned(suite, &["/head_commit/message"]);
    Ok(vec![event])
}

fn check_run(body: &Value) -> Result<Vec<Event>, ParseError> {
    hub::object(body, "/check_run")?;
    let run = &body["check_run"];
    let mut event = hub::ci("check_run", body, run);
    let suite = run.get("check_suite").unwrap_or(&Value::Null);
    event.git_ref = text(suite, "/head_branch").map(branch_ref);
    event.foreign = foreign(suite) || foreign_requests(run);
    event.check = owned(run, &["/name"]);
    Ok(vec![event])
}

/// A suite names no branch if it ran for a fork; and a pull request from a fork has two different repos.
fn foreign(suite: &Value) -> bool {
    text(suite, "/head_branch").is_none() || foreign_requests(suite)
}

fn foreign_requests(run: &Value) -> bool {
    list(run, "/pull_requests").iter().any(|request| {
        let repo = |side: &str| request.pointer(side);
        repo("/head/repo/id") != repo("/base/repo/id")
    })
}

/// Only GitHub Apps get it; its `action` is whatever the caller chose.
fn repository_dispatch(body: &Value) -> Result<Vec<Event>, ParseError> {
    if body.get("client_payload").is_none() {
        return Err(ParseError::ShapeMismatch);
    }
    let action = text(body, "/action").unwrap_or("repository_dispatch");
    let event = Event {
        git_ref: text(body, "/branch").map(branch_ref),
        check: Some(action.to_owned()),
        success: true,
        ..Event::new(
            EventKind::Other,
            "repository_dispatch",
            Action::Other(action.to_owned()),
        )
    };
    Ok(vec![hub::signed_off(event, body)])
}

pub(super) fn sample(push: &Sample<'_>) -> Value {
    let (owner, name) = push.parts();
    let (before, after) = push.ends();
    json!({
        "ref": push.git_ref.as_str(), "before": before, "after": after, "base_ref": null,
        "created": push.before.is_zero(), "deleted": push.after.is_zero(), "forced": false,
        "head_commit": push.head(), "commits": push.commits(),
        "repository": {
            "name": name, "full_name": push.full_name, "owner": {"login": owner, "name": owner},
            "url": format!("https://api.github.com/repos/{}", push.full_name),
        },
        "pusher": {"name": WHO, "email": null}, "sender": {"login": WHO},
    })
}
