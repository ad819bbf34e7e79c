//! Gitee: GitHub's shapes under GitLab's names of events.

use serde_json::Value;

use super::fields::{branch_ref, commit, flag, has_object, owned, text};
use super::hub;
use super::parse::ParseError;
use crate::model::{Action, Event, EventKind};

/// Value of `X-Gitee-Event` and the `hook_name` that such a body has.
const HOOKS: &[(&str, &str)] = &[
    ("Push Hook", "push_hooks"),
    ("Tag Push Hook", "tag_push_hooks"),
    ("Merge Request Hook", "merge_request_hooks"),
    ("Issue Hook", "issue_hooks"),
    ("Note Hook", "note_hooks"),
];

/// The `X-Gitee-Event` that belongs to the body.
pub(super) fn infer(body: &Value) -> String {
    let name = text(body, "/hook_name").unwrap_or_default();
    let hook = HOOKS.iter().find(|(_, hook)| *hook == name);
    hook.map_or(name, |(event, _)| event).to_owned()
}

/// Full name, `owner/repo`.
pub(super) fn repo(body: &Value) -> Option<String> {
    let places = [
        "/repository/full_name",
        "/repository/path_with_namespace",
        "/project/full_name",
        "/project/path_with_namespace",
    ];
    owned(body, &places)
}

/// The events of one delivery. Source: gitee.com/help/articles/4186, "Data format of push webhooks".
pub(super) fn read(event: &str, body: &Value) -> Result<Vec<Event>, ParseError> {
    let said = infer(body);
    if !said.is_empty() && said != event {
        return Err(ParseError::ShapeMismatch);
    }
    let events = match event {
        "Push Hook" | "Tag Push Hook" => hub::push(body, false)?,
        "Merge Request Hook" => vec![merge_request(body)?],
        _ if hub::is_push(body) => return Err(ParseError::ShapeMismatch),
        _ => vec![hub::other(event, body)],
    };
    Ok(events
        .into_iter()
        .map(|event| Event {
            repo: repo(body),
            ..event
        })
        .collect())
}

fn merge_request(body: &Value) -> Result<Event, ParseError> {
    if !has_object(body, "/pull_request") {
        return Err(ParseError::ShapeMismatch);
    }
    let merged = text(body, "/action") == Some("merge") || flag(body, "/pull_request/merged") == Some(true);
    let side = |name: &str| text(body, &format!("/pull_request/{name}/repo/full_name"));
    let action = if merged {
        "merged"
    } else {
        text(body, "/action").unwrap_or("pull_request")
    };
    Ok(Event {
        git_ref: text(body, "/pull_request/base/ref").map(branch_ref),
        after: commit(body, "/pull_request/merge_commit_sha").filter(|_| merged),
        pusher: owned(body, &["/sender/username", "/sender/login"]),
        success: merged,
        foreign: !merged && side("head") != side("base"),
        ..Event::new(EventKind::Other, "pull_request", Action::Other(action.to_owned()))
    })
}
