//! The generic forge: JSON pointers of the configuration say where repo, ref and commit are.

use serde_json::Value;

use super::fields::{branch_ref, commit, owned, ref_change, text};
use super::parse::ParseError;
use crate::config::Generic;
use crate::model::Event;

/// One push, found by the pointers. Only the ref must be there.
pub(super) fn read(body: &Value, pointers: &Generic) -> Result<Vec<Event>, ParseError> {
    let git_ref =
        text(body, &pointers.git_ref).ok_or_else(|| ParseError::MissingField(pointers.git_ref.clone().into()))?;
    let event = ref_change(
        "push",
        branch_ref(git_ref),
        commit(body, "/before"),
        commit(body, &pointers.commit),
    );
    Ok(vec![Event {
        repo: owned(body, &[&pointers.repo]),
        pusher: owned(body, &["/pusher/name", "/pusher"]),
        ..event
    }])
}
