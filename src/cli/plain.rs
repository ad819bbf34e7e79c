//! Text that is safe to show on a terminal.

use crate::model::{short_commit, words};

/// Text of others, without what a terminal would obey.
pub fn printable(text: &str) -> String {
    words::printable(text, |c| matches!(c, '\n' | '\t'))
}

/// The first seven digits of a commit.
pub fn short(commit: Option<&str>) -> String {
    commit.map(short_commit).unwrap_or_default().to_owned()
}
