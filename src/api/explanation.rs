//! The explanation of a delivery, as `hookd explain --json` and the API give it.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A fixed word, which the command line reads again from the daemon's JSON.
type Word = Cow<'static, str>;

/// What a delivery would do, and why: `GET /api/v1/deliveries/ID/explain`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Explanation {
    /// Whose dialect it is: `github`; null if it looks like nobody's.
    pub forge: Option<Word>,
    /// The forge's id of the delivery.
    pub delivery: Option<String>,
    /// The forge's own name of the event.
    pub event: Option<String>,
    /// What it says, in no forge's dialect.
    pub events: Vec<ExplainedEvent>,
    /// `valid`, `invalid`, `missing` or `not checked`.
    pub signature: Word,
    /// Why the signature is not valid, or what kept it from being checked.
    pub signature_reason: Option<String>,
    /// What each target would do about each event.
    pub verdicts: Vec<ExplainedVerdict>,
    /// Why it can't be understood; null if it can.
    pub error: Option<String>,
    /// For a stored delivery: what became of it when it came in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub came: Option<Came>,
}

/// What became of a stored delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Came {
    /// When it came, milliseconds since 1970.
    pub received_at: i64,
    /// Where it came from.
    pub remote_addr: String,
    /// `accepted`, `ignored`, `duplicate` or `pong`.
    pub result: String,
    /// The verdict of the configuration of then.
    pub reason: String,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExplainedEvent {
    /// `branch`, `tag`, `ping`, `release`, `ci` or `other`.
    pub kind: Word,
    /// The name that `on` uses.
    pub name: String,
    /// `create`, `update`, `delete`, or the forge's own word.
    pub action: String,
    /// Full name of the repo.
    pub repo: Option<String>,
    /// Full ref.
    #[serde(rename = "ref")]
    pub git_ref: Option<String>,
    /// What the payload says; zeros for none.
    pub before: String,
    /// What the payload says; zeros for none.
    pub after: String,
    /// Whether history was rewritten; null if the forge does not say.
    pub forced: Option<bool>,
}

/// One verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExplainedVerdict {
    /// `repo/target`
    pub target: String,
    /// `deploy` or `ignore`
    pub verdict: Word,
    /// Why.
    pub reason: String,
    /// All that was looked at.
    pub conditions: Vec<ExplainedCondition>,
}

/// One condition of a verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExplainedCondition {
    /// Its name: the key of the configuration, if there is one.
    pub name: Word,
    /// Whether it holds.
    pub passed: bool,
    /// What was looked at.
    pub detail: String,
}
