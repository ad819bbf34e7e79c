//! The events of a delivery, the same for all forges.

use super::{CommitId, spelled};

spelled! {
    /// The kinds of events that hookd tells apart.
    pub EventKind "kind of event" {
        /// A branch was created, updated or deleted.
        Branch = "branch",
        /// A tag was created, updated or deleted.
        Tag = "tag",
        /// The forge tries whether anybody is there.
        Ping = "ping",
        /// A release was published, changed or removed.
        Release = "release",
        /// A CI run, pipeline, check or commit status changed.
        Ci = "ci",
        /// Anything else that the forge may send: valid, and of no consequence unless `on` names it.
        Other = "other",
    }
}

/// What happened to the thing that the event is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Action {
    /// It is new.
    Create,
    /// It changed.
    Update,
    /// It is gone.
    Delete,
    /// A forge's own word, for what is neither: `published`, `completed`, `success`, `merged` …
    Other(String),
}

impl Action {
    /// The word that `hookd explain --json` prints.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Other(word) => word,
        }
    }
}

/// One thing that a delivery reports. Every text in it comes from the payload: a claim, and hostile until shown otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The kind, in hookd's words.
    pub kind: EventKind,
    /// The name that `on = […]` uses: `push`, `create`, `delete`, `release`, `workflow_run`, `pipeline`, `pull_request` …
    pub name: String,
    /// What happened.
    pub action: Action,
    /// Full name on the forge, `alice/blog`; `None` where the forge does not say.
    pub repo: Option<String>,
    /// Full ref as claimed (`refs/heads/main`), not yet validated.
    pub git_ref: Option<String>,
    /// Where the ref was; zeros for a new ref, `None` where the forge does not say.
    pub before: Option<CommitId>,
    /// Where the ref is; zeros for a deleted ref, `None` where the forge does not say.
    pub after: Option<CommitId>,
    /// Whether history was rewritten; `None` where the forge does not say.
    pub forced: Option<bool>,
    /// Who pushed, as the forge names them.
    pub pusher: Option<String>,
    /// Message of the head commit.
    pub head_message: Option<String>,
    /// For CI and pull-request events: true if it stems from a fork or a pull request, and so proves nothing about the repo's own branch.
    pub foreign: bool,
    /// For CI events: what the run was triggered by, in the forge's words.
    pub trigger: Option<String>,
    /// For CI events: name of the check or workflow (`build`), as `require_checks` names it.
    pub check: Option<String>,
    /// For CI events: finished and green. For pull requests: merged. For releases: published and no draft.
    pub success: bool,
}

impl Event {
    /// An event with everything unsaid but its kind, name and action.
    pub fn new(kind: EventKind, name: &str, action: Action) -> Self {
        Self {
            kind,
            name: name.to_owned(),
            action,
            repo: None,
            git_ref: None,
            before: None,
            after: None,
            forced: None,
            pusher: None,
            head_message: None,
            foreign: false,
            trigger: None,
            check: None,
            success: false,
        }
    }
}
