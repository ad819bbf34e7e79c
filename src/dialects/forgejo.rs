//! Forgejo: Gitea, and the outcome of its own Actions.

use serde_json::Value;

use super::dialect::{BASE, Dialect, Named};
use super::error::ParseError;
use super::fields::{branch_ref, commit, first_text, flag, has, is_object_name, owned, text};
use super::gogs::FAMILY;
use super::hub::Kin;
use super::signing;
use super::{gitea, hub};
use crate::model::{Action, Event, EventKind};

/// Where the signature is, the most telling header first.
const SIGNATURES: &[&str] = &[
    "x-forgejo-signature",
    "x-gitea-signature",
    "x-hub-signature-256",
    "x-gogs-signature",
    "x-hub-signature",
];

/// Forgejo's dialect.
pub(super) static DIALECT: Dialect = Dialect {
    event: Named::Header("X-Forgejo-Event"),
    delivery: &[Named::Header("X-Forgejo-Delivery"), Named::Header("X-Gitea-Delivery")],
    marks: &["x-forgejo-signature"],
    hex: SIGNATURES,
    kept: &["x-forgejo-event-type"],
    family: FAMILY,
    hosts: &["codeberg.org"],
    is_body: |body| hub::whose(body) == Some(Kin::Forgejo),
    infer,
    repo: hub::repo,
    read,
    check: |request| request.hex(SIGNATURES, request.json),
    sample: gitea::sample,
    sign: |secret, body, _| Ok(signing::one("X-Forgejo-Signature", signing::sha256(secret, body))),
    ..BASE
};

/// Outcomes of an Actions run: the events are called `action_run_success` and so on. `recover` is a success after failures.
const GREEN: &[&str] = &["success", "recover"];

/// Same as Gitea's, and `action_run_…`.
fn infer(body: &Value) -> Option<String> {
    match text(body, "/action") {
        Some(action) if has(body, "/run") => Some(format!("action_run_{action}")),
        _ => gitea::infer(body),
    }
}

/// The events of one delivery. Source: Forgejo `services/webhook/default.go` and `shared/payloader.go`.
fn read(event: &str, body: &Value) -> Result<Vec<Event>, ParseError> {
    match event.strip_prefix("action_run_") {
        Some(outcome) => action_run(outcome, body),
        None => gitea::read(event, body),
    }
}

/// There is no top-level `repository`: everything is inside `run`.
fn action_run(outcome: &str, body: &Value) -> Result<Vec<Event>, ParseError> {
    hub::object(body, "/run")?;
    let said = first_text(body, &["/action", "/run/status"]).unwrap_or(outcome);
    if said != outcome {
        return Err(ParseError::ShapeMismatch);
    }
    let trigger = first_text(body, &["/run/trigger_event", "/run/event"]);
    let event = Event {
        repo: hub::repo(body),
        git_ref: run_ref(body),
        after: commit(body, "/run/commit_sha"),
        pusher: owned(body, &["/run/trigger_user/login", "/run/trigger_user/username"]),
        foreign: flag(body, "/run/is_fork_pull_request") == Some(true)
            || trigger.is_none_or(|trigger| trigger.starts_with("pull_request")),
        check: owned(body, &["/run/workflow_id"]),
        success: GREEN.contains(&outcome) && flag(body, "/run/is_ref_deleted") != Some(true),
        ..Event::new(EventKind::Ci, "workflow_run", Action::Other(outcome.to_owned()))
    };
    Ok(vec![event])
}

/// The ref that the run was for. `prettyref` is a short name (`#12` for a pull request) in which tags look like branches; the
/// payload of the event that triggered the run, JSON within a text, has the full one if it was a push.
fn run_ref(body: &Value) -> Option<String> {
    let trigger: Option<Value> =
        text(body, "/run/event_payload").and_then(|payload| serde_json::from_str(payload).ok());
    let full = trigger
        .as_ref()
        .and_then(|trigger| text(trigger, "/ref"))
        .filter(|name| name.starts_with("refs/"));
    let short = text(body, "/run/prettyref").filter(|name| !name.starts_with('#') && !is_object_name(name));
    full.map(str::to_owned).or_else(|| short.map(branch_ref))
}
