//! Bitbucket Server and Data Center: any number of ref changes in one `repo:refs_changed`.

use serde_json::Value;

use super::fields::{branch_ref, commit, each, first_text, has, list, owned, ref_change, text};
use super::parse::ParseError;
use crate::model::{Action, Event, EventKind};

/// The body names its own event, but for the connection test.
pub(super) fn infer(body: &Value) -> String {
    let guess = if has(body, "/test") {
        "diagnostics:ping"
    } else if has(body, "/changes") {
        "repo:refs_changed"
    } else if has(body, "/pullRequest") {
        "pr:modified"
    } else {
        "repo:modified"
    };
    text(body, "/eventKey").unwrap_or(guess).to_owned()
}

/// Full name, `KEY/slug`; that of the target for a pull request, whose body has no other.
pub(super) fn repo(body: &Value) -> Option<String> {
    ["/repository", "/pullRequest/toRef/repository", "/new"]
        .into_iter()
        .find_map(|at| {
            let repo = body.pointer(at)?;
            Some(format!("{}/{}", text(repo, "/project/key")?, text(repo, "/slug")?))
        })
}

/// The events of one delivery. Source: Atlassian "Event payload", Bitbucket Server 8 and Data Center 9.
pub(super) fn read(event: &str, body: &Value) -> Result<Vec<Event>, ParseError> {
    if text(body, "/eventKey").is_some_and(|key| key != event) {
        return Err(ParseError::ShapeMismatch);
    }
    let events = match event {
        // Mirrors tell of the same changes once they have them.
        "repo:refs_changed" | "mirror:repo_synchronized" => push(body)?,
        "diagnostics:ping" => vec![ping(body)?],
        _ if event.starts_with("pr:") => vec![pull_request(event, body)?],
        _ if has(body, "/changes") => return Err(ParseError::ShapeMismatch),
        _ => vec![Event::new(EventKind::Other, event, Action::Other(event.to_owned()))],
    };
    let actor = owned(body, &["/actor/name", "/actor/slug", "/actor/displayName"]);
    Ok(events
        .into_iter()
        .map(|event| Event {
            repo: repo(body),
            pusher: actor.clone(),
            ..event
        })
        .collect())
}

fn ping(body: &Value) -> Result<Event, ParseError> {
    if has(body, "/changes") || has(body, "/pullRequest") {
        return Err(ParseError::ShapeMismatch);
    }
    Ok(Event::new(EventKind::Ping, "ping", Action::Other("ping".into())))
}

fn push(body: &Value) -> Result<Vec<Event>, ParseError> {
    if body.get("changes").is_none_or(|changes| !changes.is_array()) {
        return Err(if has(body, "/repository") {
            ParseError::MissingField("/changes".into())
        } else {
            ParseError::ShapeMismatch
        });
    }
    each(list(body, "/changes"), |one| change(one, body))
}

fn change(change: &Value, body: &Value) -> Result<Event, ParseError> {
    let missing = |pointer: &'static str| ParseError::MissingField(pointer.into());
    let git_ref = first_text(change, &["/ref/id", "/refId"]).ok_or_else(|| missing("/changes/*/ref/id"))?;
    let after = commit(change, "/toHash").ok_or_else(|| missing("/changes/*/toHash"))?;
    let is_head = text(body, "/toCommit/id") == Some(after.as_str());
    let mut event = ref_change("push", git_ref.to_owned(), commit(change, "/fromHash"), Some(after));
    match text(change, "/type") {
        Some("DELETE") => event.action = Action::Delete,
        Some("ADD") if event.action == Action::Update => event.action = Action::Create,
        _ => {}
    }
    event.head_message = owned(body, &["/toCommit/message"]).filter(|_| is_head);
    Ok(event)
}

fn pull_request(key: &str, body: &Value) -> Result<Event, ParseError> {
    if !has(body, "/pullRequest") {
        return Err(ParseError::ShapeMismatch);
    }
    let merged = key == "pr:merged";
    if merged && text(body, "/pullRequest/state").is_some_and(|state| state != "MERGED") {
        return Err(ParseError::ShapeMismatch);
    }
    let side = |name: &str| body.pointer(&format!("/pullRequest/{name}/repository/id"));
    let word = key.trim_start_matches("pr:");
    Ok(Event {
        git_ref: first_text(body, &["/pullRequest/toRef/id", "/pullRequest/toRef/displayId"]).map(branch_ref),
        after: commit(body, "/pullRequest/properties/mergeCommit/id").filter(|_| merged),
        success: merged,
        foreign: !merged && side("fromRef") != side("toRef"),
        ..Event::new(
            EventKind::Other,
            "pull_request",
            Action::Other(if merged { "merged" } else { word }.to_owned()),
        )
    })
}
