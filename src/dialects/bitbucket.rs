//! Bitbucket Cloud: any number of ref changes in one `repo:push`.

use serde_json::{Value, json};

use super::dialect::{BASE, Dialect, Named};
use super::error::ParseError;
use super::fields::{
    all_by, branch_ref, commit, commit_in_address, each, first_text, flag, has, list, owned, ref_change, tag_ref, text,
    zero_like,
};
use super::sample::{ID, MESSAGE, Sample, WHO};
use super::{bitbucket_server, hub};
use crate::model::{Action, CommitId, Event, EventKind};

/// Bitbucket Cloud's dialect.
pub(super) static DIALECT: Dialect = Dialect {
    event: Named::Header("X-Event-Key"),
    delivery: &[Named::Header("X-Request-UUID")],
    is_sender: |headers| !bitbucket_server::is_sender(headers),
    hex: hub::SIGNATURES,
    kept: &["x-attempt-number", "x-hook-uuid"],
    // `altssh.bitbucket.org` answers on port 443, for networks that close port 22.
    hosts: &["bitbucket.org", "altssh.bitbucket.org"],
    is_body: |body| {
        ["/push/changes", "/pullrequest", "/commit_status"]
            .iter()
            .any(|mark| has(body, mark))
            || ((has(body, "/repository/uuid") || has(body, "/project/uuid")) && has(body, "/actor"))
    },
    infer,
    repo,
    read,
    check: |request| request.hex(hub::SIGNATURES, request.raw),
    sample,
    sends: &[("User-Agent", "Bitbucket-Webhooks/2.0"), ("X-Attempt-Number", "1")],
    sign: |secret, body, _| Ok(bitbucket_server::signature(secret, body)),
    commit_page: "/commits/",
    compare_page: |from, to| Some(format!("/branches/compare/{to}..{from}")),
    form: ("Repository settings > Webhooks > Add webhook", "Secret"),
    ..BASE
};

/// States of a pull request that is not merged, whatever the event header says of it.
const UNMERGED: &[&str] = &["OPEN", "DECLINED", "SUPERSEDED"];

/// The event key that the body looks like.
fn infer(body: &Value) -> Option<String> {
    let key = if has(body, "/push") {
        "repo:push"
    } else if has(body, "/commit_status") {
        "repo:commit_status_updated"
    } else if has(body, "/pullrequest") {
        match text(body, "/pullrequest/state") {
            Some("MERGED") => "pullrequest:fulfilled",
            Some("DECLINED") => "pullrequest:rejected",
            _ => "pullrequest:updated",
        }
    } else if has(body, "/issue") {
        "issue:updated"
    } else if has(body, "/fork") {
        "repo:fork"
    } else if has(body, "/comment") {
        "repo:commit_comment_created"
    } else if has(body, "/changes") && has(body, "/repository") {
        "repo:updated"
    } else if has(body, "/changes") && has(body, "/project") {
        "project:updated"
    } else {
        return None;
    };
    Some(key.to_owned())
}

/// Full name, `workspace/repo`.
fn repo(body: &Value) -> Option<String> {
    owned(
        body,
        &["/repository/full_name", "/pullrequest/destination/repository/full_name"],
    )
}

/// The events of one delivery. Source: Atlassian "Event payloads"; captures in jenkinsci/bitbucket-branch-source-plugin.
fn read(event: &str, body: &Value) -> Result<Vec<Event>, ParseError> {
    let events = match event {
        "repo:push" => push(body)?,
        "repo:commit_status_created" | "repo:commit_status_updated" => vec![commit_status(body)?],
        _ if event.starts_with("pullrequest:") => vec![pull_request(event, body)?],
        _ if has(body, "/push/changes") => return Err(ParseError::ShapeMismatch),
        _ => vec![Event::new(EventKind::Other, event, Action::Other(event.to_owned()))],
    };
    let actor = owned(body, &["/actor/nickname", "/actor/username", "/actor/display_name"]);
    Ok(all_by(events, repo(body).as_deref(), actor.as_deref()))
}

fn push(body: &Value) -> Result<Vec<Event>, ParseError> {
    if !has(body, "/push") {
        return Err(ParseError::ShapeMismatch);
    }
    if body.pointer("/push/changes").is_none_or(|changes| !changes.is_array()) {
        return Err(ParseError::MissingField("/push/changes".into()));
    }
    each(list(body, "/push/changes"), change)
}

/// `new` is null for a deletion, `old` for a creation; no zeros anywhere.
fn change(change: &Value) -> Result<Event, ParseError> {
    let name = first_text(change, &["/new/name", "/old/name"]);
    let name = name.ok_or(ParseError::MissingField("/push/changes/*/new/name".into()))?;
    let is_tag = first_text(change, &["/new/type", "/old/type"]).is_some_and(|kind| kind.contains("tag"));
    let (before, after) = (commit(change, "/old/target/hash"), commit(change, "/new/target/hash"));
    let before = if has(change, "/old") {
        before
    } else {
        Some(zero_like(after.as_ref()))
    };
    let after = if has(change, "/new") {
        after
    } else {
        Some(zero_like(before.as_ref()))
    };
    Ok(Event {
        forced: flag(change, "/forced"),
        head_message: owned(change, &["/new/target/message", "/commits/0/message"]),
        ..ref_change(
            "push",
            if is_tag { tag_ref(name) } else { branch_ref(name) },
            before,
            after,
        )
    })
}

/// Pipelines and foreign builds show up here; the branch is named only by some of them.
fn commit_status(body: &Value) -> Result<Event, ParseError> {
    let state = text(body, "/commit_status/state").ok_or(ParseError::ShapeMismatch)?;
    let by_address = || text(body, "/commit_status/links/commit/href").and_then(commit_in_address);
    let elsewhere =
        text(body, "/commit_status/repository/full_name").is_some_and(|name| Some(name) != repo(body).as_deref());
    Ok(Event {
        git_ref: text(body, "/commit_status/refname").map(branch_ref),
        after: commit(body, "/commit_status/commit/hash").or_else(by_address),
        head_message: owned(body, &["/commit_status/commit/message"]),
        foreign: elsewhere,
        check: owned(body, &["/commit_status/name", "/commit_status/key"]),
        success: state == "SUCCESSFUL",
        ..Event::new(EventKind::Ci, "status", Action::Other(state.to_ascii_lowercase()))
    })
}

fn pull_request(key: &str, body: &Value) -> Result<Event, ParseError> {
    if !has(body, "/pullrequest") {
        return Err(ParseError::ShapeMismatch);
    }
    let merged = key == "pullrequest:fulfilled";
    if merged && text(body, "/pullrequest/state").is_some_and(|state| UNMERGED.contains(&state)) {
        return Err(ParseError::ShapeMismatch);
    }
    let side = |name: &str| text(body, &format!("/pullrequest/{name}/repository/full_name")).map(str::to_owned);
    let word = key.trim_start_matches("pullrequest:");
    Ok(Event {
        git_ref: text(body, "/pullrequest/destination/branch/name").map(branch_ref),
        // Twelve digits as a rule, and then it is no full object name.
        after: commit(body, "/pullrequest/merge_commit/hash").filter(|_| merged),
        success: merged,
        foreign: !merged && side("source") != side("destination"),
        ..Event::new(
            EventKind::Other,
            "pull_request",
            Action::Other(if merged { "merged" } else { word }.to_owned()),
        )
    })
}

fn sample(push: &Sample<'_>) -> Value {
    let end = |id: &CommitId| {
        let target = json!({"type": "commit", "hash": id.as_str(), "message": MESSAGE});
        let end = json!({"type": push.ref_type(), "name": push.git_ref.short(), "target": target});
        if id.is_zero() { Value::Null } else { end }
    };
    json!({
        "push": {"changes": [{
            "old": end(push.before), "new": end(push.after), "created": push.before.is_zero(), "closed": push.after.is_zero(),
            "forced": false, "truncated": false, "commits": [],
        }]},
        "repository": {"type": "repository", "full_name": push.full_name, "name": push.parts().1, "uuid": ID},
        "actor": {"nickname": WHO, "display_name": WHO},
    })
}
