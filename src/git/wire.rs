//! What the daemon and its worker process say to each other: one JSON line each.

use std::path::PathBuf;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Bounds, CheckoutOptions, GitError, Progress, Reuse, Worth};
use crate::model::{CommitId, GitRef, GitUrl, Timestamp};

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
    pub url: GitUrl,
    pub ssh_key: Option<PathBuf>,
    pub known_hosts: Vec<PathBuf>,
    pub token: Option<String>,
    pub ca_file: Option<PathBuf>,
    pub proxy: Option<String>,
    pub keys: Vec<(GitUrl, PathBuf)>,
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
        git_ref: GitRef,
        depth: u32,
    },
    Checkout {
        mirror: PathBuf,
        commit: CommitId,
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
        from: Option<CommitId>,
        to: CommitId,
        directory: PathBuf,
        options: CheckoutOptions,
    },
    Describe {
        mirror: PathBuf,
        commit: CommitId,
    },
    Holds {
        mirror: PathBuf,
        commit: CommitId,
        directory: PathBuf,
        options: CheckoutOptions,
    },
    ChangedPaths {
        mirror: PathBuf,
        from: CommitId,
        to: CommitId,
        patterns: Vec<String>,
    },
    Contains {
        mirror: PathBuf,
        ancestor: CommitId,
        tip: CommitId,
    },
    NewestOf {
        mirror: PathBuf,
        tip: CommitId,
        live: Option<CommitId>,
        candidates: Vec<CommitId>,
    },
    Since {
        mirror: PathBuf,
        from: Option<CommitId>,
        to: CommitId,
        most: usize,
    },
    Signed {
        mirror: PathBuf,
        git_ref: GitRef,
        commit: CommitId,
    },
    Keep {
        mirror: PathBuf,
        commits: Vec<CommitId>,
    },
    LayOutHistory {
        mirror: PathBuf,
        git_ref: GitRef,
        commit: CommitId,
        directory: PathBuf,
    },
}

/// One line of the worker: any number of `Progress`, then exactly one of the others. What is `Done` follows from the job.
#[derive(Serialize, Deserialize)]
pub(super) enum Reply<T> {
    Progress(Progress),
    Done(T),
    Error(GitError),
}

/// [`super::SignedObject`], for the wire: bytes in base64.
#[derive(Serialize, Deserialize)]
pub(super) struct WireSigned {
    pub id: CommitId,
    pub tag: Option<String>,
    pub time: Timestamp,
    pub payload: String,
    pub signature: Option<String>,
}

/// Values that are always valid are checked again on the other side.
macro_rules! texts {
    ($($name:ident),+) => {
        $(impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from)?.parse().map_err(D::Error::custom)
            }
        })+
    };
}

texts!(CommitId, GitRef, GitUrl);

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        i64::deserialize(from).map(Self)
    }
}
