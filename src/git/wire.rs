//! What the daemon and its worker process say to each other: one JSON line each.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Bounds, Changed, CheckedOut, CheckoutOptions, GitError, Progress, Reuse, Worth};
use crate::model::{CommitId, GitUrl};

/// The only line that the worker reads. It holds the token, so it has no `Debug`.
#[derive(Serialize, Deserialize)]
pub(super) struct Request {
    /// Silence on the wire after which libgit2 gives up, milliseconds.
    pub idle_ms: u64,
    /// A private directory that the daemon removes afterwards.
    pub scratch: PathBuf,
    /// A file to keep locked (shared) until the end.
    pub lifeline: Option<PathBuf>,
    /// The remote, for the jobs that talk to one.
    pub remote: Option<RemoteSpec>,
    /// What a commit may take.
    pub bounds: Bounds,
    /// Most memory of the worker, bytes, without the files that are mapped into it.
    pub memory: u64,
    /// What to do.
    pub job: Job,
}

/// How to reach a remote and what to show it.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct RemoteSpec {
    pub url: Url,
    pub ssh_key: Option<PathBuf>,
    pub known_hosts: Vec<PathBuf>,
    pub token: Option<String>,
    pub ca_file: Option<PathBuf>,
    pub proxy: Option<String>,
    pub keys: Vec<(Url, PathBuf)>,
    pub submodule_hosts: Vec<String>,
}

/// [`crate::config::RefFilter`], for the wire: patterns as they are configured.
#[derive(Serialize, Deserialize)]
pub(super) struct WireFilter {
    pub tags: bool,
    pub patterns: Vec<String>,
}

/// One job of the worker.
#[derive(Serialize, Deserialize)]
pub(super) enum Job {
    LsRemote {
        follows: Option<Vec<WireFilter>>,
    },
    HostKey,
    Fetch {
        mirror: PathBuf,
        git_ref: String,
        depth: u32,
    },
    Checkout {
        mirror: PathBuf,
        commit: Id,
        destination: PathBuf,
        options: CheckoutOptions,
        reuse: Reuse,
    },
    Spare {
        from: PathBuf,
        manifest: PathBuf,
        staging: PathBuf,
        spare: PathBuf,
        worth: Worth,
    },
    Update {
        mirror: PathBuf,
        from: Option<Id>,
        to: Id,
        directory: PathBuf,
        options: CheckoutOptions,
    },
    Describe {
        mirror: PathBuf,
        commit: Id,
    },
    Holds {
        mirror: PathBuf,
        commit: Id,
        directory: PathBuf,
        options: CheckoutOptions,
    },
    ChangedPaths {
        mirror: PathBuf,
        from: Id,
        to: Id,
        patterns: Vec<String>,
    },
    Contains {
        mirror: PathBuf,
        ancestor: Id,
        tip: Id,
    },
    NewestOf {
        mirror: PathBuf,
        tip: Id,
        live: Option<Id>,
        candidates: Vec<Id>,
    },
    Since {
        mirror: PathBuf,
        from: Option<Id>,
        to: Id,
        most: usize,
    },
    Signed {
        mirror: PathBuf,
        git_ref: String,
        commit: Id,
    },
    Keep {
        mirror: PathBuf,
        commits: Vec<Id>,
    },
    LayOutHistory {
        mirror: PathBuf,
        git_ref: String,
        commit: Id,
        directory: PathBuf,
    },
}

/// One line of the worker: any number of `Progress`, then exactly one of the others.
#[derive(Serialize, Deserialize)]
pub(super) enum Reply {
    Progress(Progress),
    Refs(Vec<WireRef>),
    HostKey {
        line: String,
        fingerprint: String,
    },
    Described(Description),
    CheckedOut(CheckedOut),
    Updated {
        written: u64,
        removed: u64,
        bytes: u64,
        old_known: bool,
    },
    Changed(Changed),
    Contains(bool),
    NewestOf(Option<Description>),
    Since {
        commits: Vec<Description>,
        count: usize,
    },
    Signed(Vec<WireSigned>),
    Kept,
    LaidOut,
    Error(GitError),
}

/// [`super::Fetched`], for the wire: the time in seconds.
#[derive(Serialize, Deserialize)]
pub(super) struct Description {
    pub commit: Id,
    pub subject: String,
    pub whole_message: String,
    pub author: String,
    pub time: i64,
}

/// [`super::RemoteRef`], for the wire.
#[derive(Serialize, Deserialize)]
pub(super) struct WireRef {
    pub name: String,
    pub object: Id,
    pub peeled: Option<Id>,
}

/// [`super::SignedObject`], for the wire: bytes in base64, the time in seconds.
#[derive(Serialize, Deserialize)]
pub(super) struct WireSigned {
    pub id: Id,
    pub tag: Option<String>,
    pub time: i64,
    pub payload: String,
    pub signature: Option<String>,
}

/// [`CommitId`], for the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Id(pub CommitId);

impl TryFrom<String> for Id {
    type Error = crate::model::CommitIdError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

impl From<Id> for String {
    fn from(id: Id) -> Self {
        id.0.to_string()
    }
}

impl From<&CommitId> for Id {
    fn from(id: &CommitId) -> Self {
        Self(id.clone())
    }
}

/// [`GitUrl`], for the wire: checked again on the other side.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Url(pub GitUrl);

impl TryFrom<String> for Url {
    type Error = crate::model::GitUrlError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

impl From<Url> for String {
    fn from(url: Url) -> Self {
        url.0.into()
    }
}

impl std::ops::Deref for Url {
    type Target = GitUrl;
    fn deref(&self) -> &GitUrl {
        &self.0
    }
}
