//! What CI says of a commit.

use super::spelled;

spelled! {
    /// The state of one CI check of one commit.
    pub CheckState "state of a check" {
        /// Not finished, or not begun.
        Pending = "pending",
        /// Finished, and not with success: also cancelled, skipped and neutral, since none of them shows success.
        Red = "red",
        /// Finished with success.
        Green = "green",
    }
}

impl CheckState {
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
