//! Push payloads as each forge would write them, for `hookd send` and for tests.

use serde_json::{Value, json};

use super::rule::Generic;
use crate::model::{CommitId, DeliveryId, GitRef, RefKind};

/// Who pushes in a sample.
pub(super) const WHO: &str = "hookd";
/// What the head commit of a sample says.
pub(super) const MESSAGE: &str = "Sample push made by hookd";
/// Id of what has one in a sample and need not be told apart.
pub(super) const ID: &str = "00000000-0000-4000-8000-686f6f6b6430";

/// A push that did not happen, or that hookd tells of in the forge's place.
#[derive(Clone, Copy)]
pub struct Sample<'a> {
    /// The repo, as the forge calls it.
    pub full_name: &'a str,
    /// The ref that moved.
    pub git_ref: &'a GitRef,
    /// Where it was; zeros for a new one.
    pub before: &'a CommitId,
    /// Where it is; zeros for one that is gone.
    pub after: &'a CommitId,
    /// The delivery's id, for forges that have it in the body.
    pub id: &'a DeliveryId,
    /// Where the `generic` forge has things.
    pub generic: Option<&'a Generic>,
}

/// Puts a text where a JSON pointer will find it.
pub fn put(body: &mut Value, pointer: &str, text: &str) {
    let mut place = body;
    for token in pointer.split('/').skip(1) {
        if !place.is_object() {
            *place = json!({});
        }
        // In a pointer `/` is `~1` and `~` is `~0` (RFC 6901).
        place = &mut place[token.replace("~1", "/").replace("~0", "~")];
    }
    *place = text.into();
}

impl Sample<'_> {
    pub(super) fn is_tag(&self) -> bool {
        self.git_ref.kind() == RefKind::Tag
    }

    pub(super) fn ref_type(&self) -> &'static str {
        if self.is_tag() { "tag" } else { "branch" }
    }

    /// Owner and name: the last segment and what is before it.
    pub(super) fn parts(&self) -> (&str, &str) {
        self.full_name.rsplit_once('/').unwrap_or(("", self.full_name))
    }

    pub(super) fn ends(&self) -> (&str, &str) {
        (self.before.as_str(), self.after.as_str())
    }

    /// Null for a deleted ref.
    pub(super) fn head(&self) -> Value {
        if self.after.is_zero() {
            Value::Null
        } else {
            json!({"id": self.after.as_str(), "message": MESSAGE})
        }
    }

    pub(super) fn commits(&self) -> Value {
        if self.after.is_zero() {
            json!([])
        } else {
            json!([self.head()])
        }
    }

    pub(super) fn plain(&self) -> Value {
        let (before, after) = self.ends();
        json!({
            "ref": self.git_ref.as_str(), "before": before, "after": after,
            "repository": {"full_name": self.full_name, "name": self.parts().1}, "pusher": {"name": WHO},
        })
    }
}
