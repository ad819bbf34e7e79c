//! Pagure: everything inside `msg`.
//!
//! | what was pushed | topics |
//! |---|---|
//! | a branch that moved on | `git.receive` |
//! | a new branch | `git.branch.creation`, and `git.receive` if it has commits that the default branch lacks |
//! | a new tag | `git.tag.creation`; and `git.receive`, with the tag as `branch`, if it has commits that the default branch lacks |
//! | a tag that moved | `git.receive`, with the full ref as `branch` |
//! | a deleted branch or tag | `git.branch.deletion`, `git.tag.deletion` |
//! | a branch that went back to an older commit, or anything of a private project | none: a look at the remote finds it |
//!
//! Source: pagure `hooks/default.py`, and what Pagure 5.14 was seen to send.

use serde_json::{Value, json};

use super::dialect::{BASE, Dialect, Named};
use super::error::ParseError;
use super::fields::{
    branch_ref, commit, first_text, flag, has, has_object, owned, ref_change, tag_ref, text, zero_like,
};
use super::sample::{Sample, WHO};
use super::signing;
use crate::model::{Action, CommitId, Event, EventKind};

/// Where the signature is, the better one first.
const SIGNATURES: &[&str] = &["x-pagure-signature-256", "x-pagure-signature"];

/// Pagure's dialect.
pub(super) static DIALECT: Dialect = Dialect {
    event: Named::Header("X-Pagure-Topic"),
    delivery: &[Named::Body("/msg_id")],
    marks: SIGNATURES,
    hex: SIGNATURES,
    kept: &["x-pagure", "x-pagure-project"],
    hosts: &["pagure.io", "src.fedoraproject.org"],
    is_body: |body| text(body, "/topic").is_some() && has_object(body, "/msg"),
    infer,
    repo,
    read,
    // Nothing else comes of a new branch whose commits are in the default branch.
    may_stand_for_push: |event| event.kind == EventKind::Branch && event.name == "create",
    check: |request| request.hex(SIGNATURES, request.json),
    sample,
    sign: |secret, body, _| Ok(signing::one("X-Pagure-Signature-256", signing::sha256(secret, body))),
    name_at: |parts, _| match parts {
        ["fork", user, rest @ ..] => format!("forks/{user}/{}", rest.join("/")),
        other => other.join("/"),
    },
    commit_page: "/c/",
    compare_page: |from, to| Some(format!("/c/{from}..{to}")),
    form: ("Settings > Hooks", "Private key"),
    ..BASE
};

/// The body names its own topic.
fn infer(body: &Value) -> Option<String> {
    owned(body, &["/topic"])
}

/// Full name: `project`, `namespace/project`, or `forks/user/project`.
fn repo(body: &Value) -> Option<String> {
    let places = [
        "/msg/project_fullname",
        "/msg/repo/fullname",
        "/msg/project/fullname",
        "/msg/pullrequest/project/fullname",
    ];
    owned(body, &places)
}

/// The events of one delivery.
fn read(event: &str, body: &Value) -> Result<Vec<Event>, ParseError> {
    if text(body, "/topic").is_some_and(|topic| topic != event) || !has(body, "/msg") {
        return Err(ParseError::ShapeMismatch);
    }
    let msg = &body["msg"];
    let read = match event {
        "git.receive" => receive(msg)?,
        // A new branch that has commits of its own comes as `git.receive` too, and that is the push.
        "git.branch.creation" => creation("create", name(msg, "/branch").map(branch_ref)?, msg),
        "git.tag.creation" => creation("push", name(msg, "/tag").map(tag_ref)?, msg),
        "git.branch.deletion" => deletion(name(msg, "/branch").map(branch_ref)?, msg),
        "git.tag.deletion" => deletion(name(msg, "/tag").map(tag_ref)?, msg),
        "pull-request.closed" => pull_request(msg),
        "Test.notification" => Event::new(EventKind::Ping, "ping", Action::Other("ping".into())),
        _ if event.contains(".flag.") => flagged(msg),
        _ => Event::new(EventKind::Other, event, Action::Other(event.to_owned())),
    };
    Ok(vec![Event {
        repo: repo(body),
        pusher: owned(msg, &["/agent"]),
        ..read
    }])
}

fn name<'v>(msg: &'v Value, pointer: &'static str) -> Result<&'v str, ParseError> {
    text(msg, pointer).ok_or_else(|| ParseError::MissingField(format!("/msg{pointer}").into()))
}

fn receive(msg: &Value) -> Result<Event, ParseError> {
    let branch = first_text(msg, &["/branch", "/refname"]).ok_or(ParseError::MissingField("/msg/branch".into()))?;
    let after = commit(msg, "/end_commit").ok_or(ParseError::MissingField("/msg/end_commit".into()))?;
    let event = ref_change("push", branch_ref(branch), commit(msg, "/old_commit"), Some(after));
    Ok(Event {
        forced: flag(msg, "/forced"),
        ..event
    })
}

fn creation(name: &str, git_ref: String, msg: &Value) -> Event {
    let after = commit(msg, "/rev");
    let event = ref_change(name, git_ref, Some(zero_like(after.as_ref())), after);
    Event {
        action: Action::Create,
        ..event
    }
}

/// `rev` is what was deleted.
fn deletion(git_ref: String, msg: &Value) -> Event {
    let before: Option<CommitId> = commit(msg, "/rev");
    let after = zero_like(before.as_ref());
    ref_change("delete", git_ref, before, Some(after))
}

fn pull_request(msg: &Value) -> Event {
    let merged = flag(msg, "/merged") == Some(true) || text(msg, "/pullrequest/status") == Some("Merged");
    Event {
        git_ref: text(msg, "/pullrequest/branch").map(branch_ref),
        after: commit(msg, "/pullrequest/commit_stop").filter(|_| merged),
        success: merged,
        ..Event::new(
            EventKind::Other,
            "pull_request",
            Action::Other(if merged { "merged" } else { "closed" }.to_owned()),
        )
    }
}

/// `commit.flag.added` and the like: CI says something about a commit, and names no branch.
fn flagged(msg: &Value) -> Event {
    let status = text(msg, "/flag/status").unwrap_or("unknown");
    Event {
        after: commit(msg, "/flag/commit_hash"),
        check: owned(msg, &["/flag/username"]),
        success: status == "success",
        ..Event::new(EventKind::Ci, "status", Action::Other(status.to_owned()))
    }
}

fn sample(push: &Sample<'_>) -> Value {
    let short = push.git_ref.short();
    let (before, after) = push.ends();
    let deleted = push.after.is_zero();
    let rev = if deleted { before } else { after };
    let (topic, msg) = match (push.is_tag(), deleted) {
        (true, true) => ("git.tag.deletion", json!({"tag": short, "rev": rev})),
        (true, false) => ("git.tag.creation", json!({"tag": short, "rev": rev})),
        (false, true) => ("git.branch.deletion", json!({"branch": short, "rev": rev})),
        (false, false) => {
            let old = if push.before.is_zero() {
                format!("^{before}")
            } else {
                before.to_owned()
            };
            let msg = json!({"branch": short, "old_commit": old, "end_commit": after, "forced": false});
            ("git.receive", msg)
        }
    };
    let mut body = json!({"topic": topic, "msg": msg, "msg_id": push.id.as_str(), "i": 1, "timestamp": 0});
    body["msg"]["project_fullname"] = push.full_name.into();
    body["msg"]["agent"] = WHO.into();
    body
}
