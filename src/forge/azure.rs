//! Azure DevOps: no signature, no headers of its own, several ref updates in one `git.push`.

use serde_json::Value;

use super::fields::{commit, each, first_text, has, list, owned, ref_change, text};
use super::parse::ParseError;
use crate::model::{Action, Event, EventKind};

/// The body names its own event.
pub(super) fn infer(body: &Value) -> String {
    text(body, "/eventType").unwrap_or("unknown").to_owned()
}

/// Full name, `project/repository`; both may hold spaces.
pub(super) fn repo(body: &Value) -> Option<String> {
    let project = first_text(body, &["/resource/repository/project/name", "/resource/project/name"])?;
    Some(format!("{project}/{}", text(body, "/resource/repository/name")?))
}

/// The events of one delivery. Source: azure-devops-docs `docs/service-hooks/events.md`.
pub(super) fn read(event: &str, body: &Value) -> Result<Vec<Event>, ParseError> {
    if text(body, "/eventType").is_none() {
        return Err(ParseError::MissingField("/eventType".into()));
    }
    let events = match event {
        "git.push" => push(body)?,
        "build.complete" => vec![build(body)],
        "git.pullrequest.merged" => vec![pull_request(body)],
        _ => vec![Event::new(EventKind::Other, event, Action::Other(event.to_owned()))],
    };
    let people = [
        "/resource/pushedBy/uniqueName",
        "/resource/pushedBy/displayName",
        "/resource/requestedFor/uniqueName",
    ];
    let pusher = owned(body, &people);
    Ok(events
        .into_iter()
        .map(|event| Event {
            repo: repo(body),
            pusher: pusher.clone(),
            ..event
        })
        .collect())
}

fn push(body: &Value) -> Result<Vec<Event>, ParseError> {
    // "Resource details to send: Minimal" leaves the updates out: a push, but nobody knows of what.
    if !has(body, "/resource/refUpdates") {
        return Ok(vec![Event::new(
            EventKind::Other,
            "push",
            Action::Other("git.push".into()),
        )]);
    }
    let missing = |pointer: &'static str| ParseError::MissingField(pointer.into());
    let update = |update: &Value| {
        let name = text(update, "/name").ok_or_else(|| missing("/resource/refUpdates/*/name"))?;
        let after = commit(update, "/newObjectId").ok_or_else(|| missing("/resource/refUpdates/*/newObjectId"))?;
        let head = list(body, "/resource/commits")
            .iter()
            .find(|entry| commit(entry, "/commitId").as_ref() == Some(&after));
        let message = head.and_then(|head| owned(head, &["/comment"]));
        let event = ref_change("push", name.to_owned(), commit(update, "/oldObjectId"), Some(after));
        Ok(Event {
            head_message: message,
            ..event
        })
    };
    each(list(body, "/resource/refUpdates"), update)
}

fn build(body: &Value) -> Event {
    let result = first_text(body, &["/resource/result", "/resource/status"]).unwrap_or("unknown");
    // XAML builds write `LG:refs/heads/main:<commit>`; newer ones have `sourceBranch` and `sourceVersion`.
    let old: Vec<&str> = text(body, "/resource/sourceGetVersion")
        .map(|text| text.split(':').collect())
        .unwrap_or_default();
    let git_ref = text(body, "/resource/sourceBranch").or(old.get(1).copied());
    let after = commit(body, "/resource/sourceVersion").or_else(|| old.get(2)?.parse().ok());
    let is_own = |name: &str| name.starts_with("refs/heads/") || name.starts_with("refs/tags/");
    Event {
        git_ref: git_ref.filter(|name| is_own(name)).map(str::to_owned),
        after,
        foreign: text(body, "/resource/reason") == Some("pullRequest") || git_ref.is_some_and(|name| !is_own(name)),
        check: owned(body, &["/resource/definition/name"]),
        success: result == "succeeded",
        ..Event::new(EventKind::Ci, "pipeline", Action::Other(result.to_owned()))
    }
}

/// Sent for every attempt to merge; only a completed request is merged.
fn pull_request(body: &Value) -> Event {
    let merged = text(body, "/resource/status") == Some("completed");
    Event {
        git_ref: owned(body, &["/resource/targetRefName"]),
        after: commit(body, "/resource/lastMergeCommit/commitId").filter(|_| merged),
        success: merged,
        foreign: !merged && has(body, "/resource/forkSource"),
        ..Event::new(
            EventKind::Other,
            "pull_request",
            Action::Other(if merged { "merged" } else { "merge" }.to_owned()),
        )
    }
}
