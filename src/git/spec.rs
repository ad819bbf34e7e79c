//! Refs as a remote lists them, and as they are asked for.

/// A ref as the remote lists it. `name^{}` is what an annotated tag names.
#[derive(Debug, Clone)]
pub(super) struct Advertised {
    pub name: String,
    pub id: String,
}

/// One ref to fetch (or an object name, where the server allows that), and the ref of ours that it goes into.
pub(super) struct Spec {
    pub from: String,
    pub to: String,
}

impl Spec {
    /// With `+`: without it libgit2 passes over force-pushed refs in silence.
    pub(super) fn refspec(&self) -> String {
        format!("+{}:{}", self.from, self.to)
    }
}
