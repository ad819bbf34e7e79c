//! Gogs: GitHub's shapes as of old. A tag comes only as `create`, never as `push`.

use serde_json::Value;

use super::hub;
use super::parse::ParseError;
use crate::model::{Event, EventKind};

pub(super) use super::hub::infer;

/// The events of one delivery. Source: gogs/gogs `internal/database/webhook.go` and `actions.go`.
pub(super) fn read(event: &str, body: &Value) -> Result<Vec<Event>, ParseError> {
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
