//! Gogs: GitHub's shapes as of old. A tag comes only as `create`, never as `push`.

use serde_json::{Value, json};

use super::dialect::{BASE, Dialect, Named};
use super::error::ParseError;
use super::hub::{self, Kin};
use super::sample::{Sample, WHO};
use super::signing;
use crate::model::{Event, EventKind};

/// Where the signature is, the most telling header first.
const SIGNATURES: &[&str] = &["x-gogs-signature", "x-hub-signature-256", "x-hub-signature"];

/// The name of the family: Gogs, Gitea, Forgejo.
pub(super) const FAMILY: Option<&str> = Some("gogs");

/// Gogs' dialect.
pub(super) static DIALECT: Dialect = Dialect {
    event: Named::Header("X-Gogs-Event"),
    delivery: &[Named::Header("X-Gogs-Delivery")],
    marks: &["x-gogs-signature"],
    hex: SIGNATURES,
    kept: &["x-gogs-event-type"],
    family: FAMILY,
    is_body: |body| hub::whose(body) == Some(Kin::Gogs),
    infer: hub::infer,
    repo: hub::repo,
    read,
    check: |request| request.hex(SIGNATURES, request.json),
    sample,
    sign: |secret, body, _| Ok(signing::one("X-Gogs-Signature", signing::sha256(secret, body))),
    ..BASE
};

/// The events of one delivery. Source: gogs/gogs `internal/database/webhook.go` and `actions.go`.
fn read(event: &str, body: &Value) -> Result<Vec<Event>, ParseError> {
    match event {
        "push" => hub::push(body, true),
        "create" => hub::create(body).map(pushed_tags),
        "delete" => hub::delete(body),
        "ping" => hub::ping(body),
        "release" => hub::release(body),
        "pull_request" => hub::pull_request(body),
        _ if hub::is_push(body) => Err(ParseError::ShapeMismatch),
        _ => Ok(vec![hub::other(event, body)]),
    }
}

/// What other forges send as a push of a tag: under the same name, so that one rule fits all.
fn pushed_tags(mut events: Vec<Event>) -> Vec<Event> {
    for event in events.iter_mut().filter(|event| event.kind == EventKind::Tag) {
        "push".clone_into(&mut event.name);
    }
    events
}

fn sample(push: &Sample<'_>) -> Value {
    let user = json!({"login": WHO, "username": WHO});
    if push.is_tag() || push.after.is_zero() {
        return typed(push, &user);
    }
    let (before, after) = push.ends();
    json!({
        "ref": push.git_ref.as_str(), "before": before, "after": after, "compare_url": "", "commits": push.commits(),
        "repository": described(push), "pusher": user, "sender": user,
    })
}

/// The repo as all of the family describe it.
pub(super) fn described(push: &Sample<'_>) -> Value {
    let (owner, name) = push.parts();
    let owner = json!({"login": owner, "username": owner});
    json!({"name": name, "full_name": push.full_name, "owner": owner, "permissions": {"pull": true}})
}

/// `create` or `delete`, which is all that Gogs sends for tags and that both send for deleted branches.
pub(super) fn typed(push: &Sample<'_>, user: &Value) -> Value {
    let mut body = json!({
        "ref": push.git_ref.short(), "ref_type": push.ref_type(), "repository": described(push), "sender": user,
    });
    if push.after.is_zero() {
        body["pusher_type"] = "user".into();
    } else {
        body["sha"] = push.after.as_str().into();
    }
    body
}
