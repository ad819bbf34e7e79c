//! Standard Webhooks: a signature and an envelope; what is in `data` is the sender's own affair.

use serde_json::Value;

use super::fields::{branch_ref, commit, first_text, flag, owned, ref_change, text};
use super::parse::ParseError;
use crate::model::{Action, Event, EventKind};

/// The body names its own type.
pub(super) fn infer(body: &Value) -> String {
    first_text(body, &["/type", "/event"]).unwrap_or("push").to_owned()
}

/// Full name, at the top or in `data`.
pub(super) fn repo(body: &Value) -> Option<String> {
    owned(
        body,
        &[
            "/data/repository/full_name",
            "/data/repo",
            "/repository/full_name",
            "/repo",
        ],
    )
}

/// The events of one delivery: with a ref, at the top or in `data`, it is a push, whatever its type is called.
pub(super) fn read(event: &str, body: &Value) -> Result<Vec<Event>, ParseError> {
    let data = if text(body, "/data/ref").is_some() {
        &body["data"]
    } else {
        body
    };
    let read = match text(data, "/ref") {
        Some(git_ref) => {
            let event = ref_change(
                "push",
                branch_ref(git_ref),
                commit(data, "/before"),
                commit(data, "/after"),
            );
            Event {
                forced: flag(data, "/forced"),
                head_message: owned(data, &["/head_commit/message"]),
                ..event
            }
        }
        None if matches!(event, "ping" | "test") => {
            Event::new(EventKind::Ping, "ping", Action::Other(event.to_owned()))
        }
        None if text(body, "/type").is_none() => return Err(ParseError::MissingField("/type".into())),
        None => Event::new(EventKind::Other, event, Action::Other(event.to_owned())),
    };
    let pusher = owned(data, &["/pusher/name", "/pusher", "/sender/login"]);
    Ok(vec![Event {
        repo: repo(body),
        pusher,
        ..read
    }])
}
