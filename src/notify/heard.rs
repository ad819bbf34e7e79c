//! Whether a message was delivered.

use crate::forge_api::Refusal;

/// What came back.
#[derive(Debug, Clone)]
pub struct Heard {
    /// The status and the beginning of the answer.
    pub answer: String,
}

/// Why a message was not heard.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{reason}")]
pub struct SendError {
    /// Why, without secrets.
    pub reason: String,
    /// Whether to send it again.
    pub refusal: Refusal,
}

impl SendError {
    pub(super) fn permanent(reason: String) -> Self {
        Self {
            reason,
            refusal: Refusal::Permanent,
        }
    }

    pub(super) fn passing(reason: String) -> Self {
        Self {
            reason,
            refusal: Refusal::Passing,
        }
    }
}
