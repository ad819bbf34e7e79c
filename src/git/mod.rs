//! The only room that knows libgit2. All of it runs in a child process (`hookd git-worker`), so that a silent server, a
//! crash or the memory of a huge pack never touches the daemon: [`Git`] starts one per call, watches it and kills it.
//!
//! - parent: `client` (start, time-outs, cancel), `wire` (the lines between the two), `error`
//! - worker, talking to remotes: `worker`, `globals`, `remote`, `transport`, `address`, `reach`, `credentials`, `known_hosts`, `published`, `program`
//! - worker, on disk: `mirror`, `fetch`, `history`, `signed`, `tree`, `submodule`, `materialise`, `copy`, `spare`, `snapshot`, `in_place`,
//!   `changes`, `folder`, `beside` (with its call of the parent)

pub mod address;
mod beside;
mod changes;
mod child;
mod client;
mod commits;
mod copy;
mod credentials;
mod error;
mod fetch;
mod folder;
mod globals;
mod history;
mod in_place;
pub mod known_hosts;
mod materialise;
mod mirror;
mod program;
mod published;
mod reach;
mod remote;
mod report;
mod signed;
mod snapshot;
mod spare;
mod spec;
mod submodule;
mod transport;
mod tree;
mod wire;
mod worker;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::{Proxy, RefFilter, Transport};
use crate::model::{CommitId, GitUrl, Secret, Timestamp};

pub use client::Git;
pub use credentials::key_problem;
pub use error::{GitError, GitErrorKind};
pub use in_place::settle;
pub use known_hosts::{HostKey, is_known};
pub use mirror::sweep;
pub use published::published_fingerprints;
pub use signed::{split_commit, split_tag};
pub use worker::worker_main;

/// The hidden subcommand that runs [`worker_main`].
pub const SUBCOMMAND: &str = "git-worker";

/// How a remote is reached, and with what.
#[derive(Clone)]
pub struct Access {
    /// As `config::Remote::url` has it.
    pub url: GitUrl,
    /// Which transport `url` names.
    pub transport: Transport,
    /// Host of `url`, in lower case; none for a local path.
    pub host: Option<String>,
    /// Private key file for ssh.
    pub ssh_key: Option<PathBuf>,
    /// Files that say which ssh host keys are trusted; those that don't exist are passed over. Nothing else is trusted.
    pub known_hosts: Vec<PathBuf>,
    /// Password for http and https: `TOKEN` alone, or `USER:TOKEN` where the forge wants a certain user (deploy tokens
    /// of GitLab). Shown to this host and port only, and never after a redirect.
    pub token: Option<Secret>,
    /// PEM file of authorities to trust for https, besides the system's.
    pub ca_file: Option<PathBuf>,
    /// The proxy for http and https: `http://[USER:PASSWORD@]HOST[:PORT]`.
    pub proxy: Option<Proxy>,
    /// Private keys for submodules, by their URLs.
    pub keys: Vec<(GitUrl, PathBuf)>,
    /// Hosts and networks that submodules may name although they are private.
    pub submodule_hosts: Vec<String>,
    /// Which refs [`Git::ls_remote`] lists, besides some branches that show what else is there; none: all refs.
    pub follows: Option<Vec<RefFilter>>,
}

/// Host and port of the ssh server that a URL names; none for other transports.
pub fn ssh_place(url: &str) -> Option<(String, u16)> {
    let address = address::Address::parse(url)?;
    (address.transport == Transport::Ssh).then_some((address.host, address.port))
}

/// One ref of a remote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteRef {
    /// Full name; heads and tags only.
    pub name: String,
    /// What it names: a commit, or the tag object of an annotated tag.
    pub object: CommitId,
    /// For an annotated tag, what the tag object names.
    pub peeled: Option<CommitId>,
}

/// A commit of the mirror, such as the tip of a ref that was fetched. Texts are decoded by the encoding that the commit
/// names (`i18n.commitEncoding`), and bounded by [`crate::model::words`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetched {
    /// The commit that the ref names; for an annotated tag the tagged commit.
    pub commit: CommitId,
    /// First paragraph of its message in one line; shown as it is.
    pub subject: String,
    /// The beginning of its message, not made fit to be shown.
    pub whole_message: String,
    /// Name of its author; shown as it is.
    pub author: String,
    /// When it was committed, as its committer says.
    pub committed: Timestamp,
}

/// A commit or an annotated tag, taken apart into what is signed and the signature. Nothing of it is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedObject {
    /// Its object name.
    pub id: CommitId,
    /// The name that a tag says it has; none for a commit.
    pub tag: Option<String>,
    /// When it was committed or tagged, as it says itself.
    pub time: Timestamp,
    /// What is signed.
    pub payload: Vec<u8>,
    /// The signature, armoured; `None` if it has none.
    pub signature: Option<Vec<u8>>,
}

/// What a commit may take of a worker, and the worker of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// Largest file, bytes.
    pub file_size: u64,
    /// Most files, directories and submodules together.
    pub files: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        let limits = crate::config::Limits::default();
        Self {
            file_size: limits.file_size,
            files: limits.files,
        }
    }
}

/// How two commits differ, as far as somebody asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// How many paths differ.
    pub count: u64,
    /// The first of them that is matched by the patterns, made fit to be shown.
    pub matching: Option<String>,
    /// The first of all by name, [`Changed::SHOWN`] at most, made fit to be shown.
    pub first: Vec<String>,
}

impl Changed {
    /// Most paths that are told: a page shows them, and a pusher may change a million.
    pub const SHOWN: usize = 50;
}

/// What to do about the special things of a tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckoutOptions {
    /// Fill in submodules; otherwise they are empty directories.
    pub submodules: bool,
    /// Fail on LFS pointer files instead of writing the pointers.
    pub refuse_lfs: bool,
    /// Directory of the submodules' mirrors.
    pub submodule_mirrors: PathBuf,
}

/// Existing files that a checkout may reuse, and where it records the new ones.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reuse {
    /// The release before: files that are as hookd made them are copied from it, and files of the same content keep its times.
    pub previous: Option<PathBuf>,
    /// The manifest of that release, if it has one.
    pub previous_manifest: Option<PathBuf>,
    /// A spare copy of that release, as [`Git::make_spare`] makes it: it becomes the new one, if it is as it was made.
    pub spare: Option<PathBuf>,
    /// Of how many names on the new tree becomes a btrfs subvolume, where there are any, so that its spare can be a snapshot; `None`:
    /// never.
    pub volume_least: Option<usize>,
    /// Where the manifest of the new tree goes; nothing may be there.
    pub manifest: Option<PathBuf>,
    /// User and group that files, directories and links are given to; the top directory is not.
    pub owner: Option<(u32, u32)>,
}

/// Which releases are worth a spare copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worth {
    /// Fewest names.
    pub least: usize,
    /// Most bytes.
    pub most: u64,
}

/// A tree that was written to a new directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckedOut {
    /// Files and symbolic links.
    pub files: u64,
    /// Bytes of the files.
    pub bytes: u64,
    /// Files and links that were not written from git: copied from the release before, or there in its spare copy.
    pub reused: u64,
}

/// A plain directory that was brought to a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Updated {
    /// Files and symbolic links that were new or differed.
    pub written: u64,
    /// Files and symbolic links that the new commit no longer has.
    pub removed: u64,
    /// Bytes written.
    pub bytes: u64,
    /// False if the old commit is no longer in the mirror, so that files that it had and the new one lacks are still
    /// there.
    pub old_known: bool,
}

/// How far a call is. Sent a few times a second at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What is going on.
    pub phase: ProgressPhase,
    /// Objects or files done.
    pub done: u64,
    /// Objects or files in all; 0 if not known.
    pub total: u64,
    /// Bytes received or written.
    pub bytes: u64,
}

/// What a call is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProgressPhase {
    /// The server counts and compresses.
    Counting,
    /// Objects come in.
    Receiving,
    /// Deltas are resolved.
    Resolving,
    /// Files are compared and written.
    Writing,
    /// The mirror is packed anew.
    Packing,
}

/// `receiving: 120 of 4000, 3 MiB`
impl std::fmt::Display for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let phase = match self.phase {
            ProgressPhase::Counting => "counting",
            ProgressPhase::Receiving => "receiving",
            ProgressPhase::Resolving => "resolving",
            ProgressPhase::Writing => "writing",
            ProgressPhase::Packing => "packing",
        };
        write!(f, "{phase}: {}", self.done)?;
        if self.total > 0 {
            write!(f, " of {}", self.total)?;
        }
        write!(f, ", {} MiB", self.bytes >> 20)
    }
}
