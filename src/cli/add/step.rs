//! A line of the report: what was made, or was there.

use serde::Serialize;

use crate::cli::output;

/// Something that was made, or was there.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// `made`, `there`, `updated`, `removed`, `absent`, `would make`
    pub state: &'static str,
    /// A path, or what it is about.
    pub what: String,
}

impl Step {
    pub fn new(state: &'static str, what: impl Into<String>) -> Self {
        Self {
            state,
            what: what.into(),
        }
    }

    /// Prints it in a line.
    pub fn show(&self) {
        output::line(&format!("  {:<10} {}", self.state, output::printable(&self.what)));
    }
}
