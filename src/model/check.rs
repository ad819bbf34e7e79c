//! What CI says of a commit.

use std::str::FromStr;

/// The state of one CI check of one commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CheckState {
    /// Not finished, or not begun.
    Pending,
    /// Finished, and not with success: also cancelled, skipped and neutral, since none of them shows success.
    Red,
    /// Finished with success.
    Green,
}

impl CheckState {
    /// The word in the store and in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Red => "red",
            Self::Green => "green",
        }
    }

    /// What a forge's word for a state or a conclusion means. Words that are not known are not yet a conclusion.
    pub fn of_word(word: &str) -> Self {
        const GREEN: &[&str] = &["success", "successful", "succeeded"];
        const RED: &[&str] = &[
            "failure",
            "failed",
            "error",
            "warning",
            "cancelled",
            "canceled",
            "timed_out",
            "startup_failure",
            "stale",
            "stopped",
            "skipped",
            "neutral",
            "partiallysucceeded",
        ];
        let is = |words: &[&str]| words.iter().any(|known| known.eq_ignore_ascii_case(word));
        match (is(GREEN), is(RED)) {
            (true, _) => Self::Green,
            (_, true) => Self::Red,
            _ => Self::Pending,
        }
    }
}

/// A word that is no state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the state of a check")]
pub struct CheckStateError;

impl FromStr for CheckState {
    type Err = CheckStateError;
    fn from_str(text: &str) -> Result<Self, CheckStateError> {
        let all = [Self::Pending, Self::Red, Self::Green];
        all.into_iter()
            .find(|state| state.as_str() == text)
            .ok_or(CheckStateError)
    }
}
