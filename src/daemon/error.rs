//! Why the daemon can't start.

/// Why the daemon can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is bad: one or more diagnostics, ready to be shown.
    #[error("{0}")]
    Config(String),
    /// Anything else.
    #[error("{what}")]
    Other {
        /// What went wrong.
        what: String,
        /// What to do.
        hint: Option<String>,
    },
}

impl StartError {
    pub(super) fn new(what: impl Into<String>, hint: impl Into<Option<String>>) -> Self {
        Self::Other {
            what: what.into(),
            hint: hint.into(),
        }
    }
}
