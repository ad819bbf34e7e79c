//! Why a request to the daemon is refused.

use std::fmt;

/// What kind of refusal it is; each face says it in its own way (HTTP status, exit code).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// What was named is not there.
    NotFound,
    /// The request itself makes no sense.
    Invalid,
    /// It makes sense, and the target's state does not allow it.
    Conflict,
    /// The store or the disk failed.
    Unavailable,
    /// Who asks may not.
    Forbidden,
}

/// An error response, with what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What kind it is.
    pub kind: RefusalKind,
    /// What is wrong, in words.
    pub error: String,
    /// What to do; never empty.
    pub hint: Option<String>,
}

impl Refusal {
    /// A refusal without a hint.
    pub fn new(kind: RefusalKind, error: impl Into<String>) -> Self {
        Self {
            kind,
            error: error.into(),
            hint: None,
        }
    }

    /// What was named is not there.
    pub fn not_found(error: impl Into<String>) -> Self {
        Self::new(RefusalKind::NotFound, error)
    }

    /// The target's state does not allow it.
    pub fn conflict(error: impl Into<String>) -> Self {
        Self::new(RefusalKind::Conflict, error)
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into()).filter(|hint| !hint.trim().is_empty());
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error)
    }
}

impl std::error::Error for Refusal {}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Self {
        Self::new(RefusalKind::Unavailable, error.to_string())
    }
}
