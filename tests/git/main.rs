//! The git room against real servers: nginx with git-http-backend, sshd, and local repositories.
// A test that can't go on panics, in its helpers, too.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../support/mod.rs"]
mod support;

mod in_place;
mod mirror;
mod refs;
mod remote;
mod reuse;
mod snapshot;
mod ssh;
mod submodule;
mod tree;
mod worker;

use std::path::{Path, PathBuf};
use std::time::Duration;

use hookd::config::Transport;
use hookd::git::{Access, CheckedOut, CheckoutOptions, Fetched, Git, GitError, RemoteRef, Reuse};
use hookd::model::{CommitId, GitRef, Secret};
use tokio_util::sync::CancellationToken;

use support::git_server::Origin;

/// The program under test.
const HOOKD: &str = env!("CARGO_BIN_EXE_hookd");

/// Longer than anything here takes on a loaded machine.
const LONG: Duration = Duration::from_mins(1);

/// A directory with what is served, what hookd keeps and what it deploys.
struct World {
    dir: tempfile::TempDir,
    git: Git,
    cancel: CancellationToken,
}

impl World {
    fn new() -> Self {
        Self::below(&std::env::temp_dir())
    }

    fn below(place: &Path) -> Self {
        let dir = tempfile::tempdir_in(place).unwrap();
        std::fs::create_dir(dir.path().join("srv")).unwrap();
        Self {
            dir,
            git: Git::new(PathBuf::from(HOOKD), LONG, LONG),
            cancel: CancellationToken::new(),
        }
    }

    /// Where repositories are served from.
    fn root(&self) -> PathBuf {
        self.path("srv")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn origin(&self, name: &str) -> Origin {
        Origin::new(&self.root().join(name))
    }

    fn mirror(&self) -> PathBuf {
        self.path("state/mirror/blog.git")
    }

    fn options(&self) -> CheckoutOptions {
        CheckoutOptions {
            submodules: true,
            refuse_lfs: true,
            submodule_mirrors: self.path("state/submodules"),
        }
    }

    async fn fetch(&self, access: &Access, branch: &str) -> Result<Fetched, GitError> {
        self.fetch_deep(access, &GitRef::branch(branch).unwrap(), 0).await
    }

    async fn fetch_deep(&self, access: &Access, git_ref: &GitRef, depth: u32) -> Result<Fetched, GitError> {
        self.git
            .fetch(access, &self.mirror(), git_ref, depth, &self.cancel, |_| {})
            .await
    }

    /// Writes a commit to a new directory of that name.
    async fn checkout(&self, access: &Access, commit: &CommitId, name: &str) -> Result<CheckedOut, GitError> {
        self.checkout_with(access, commit, name, &self.options()).await
    }

    async fn ls_remote(&self, access: &Access) -> Result<Vec<RemoteRef>, GitError> {
        self.git.ls_remote(access, &self.cancel).await
    }

    async fn keep(&self, commits: &[CommitId]) {
        self.git.keep(&self.mirror(), commits, &self.cancel).await.unwrap();
    }

    async fn contains(&self, ancestor: &CommitId, tip: &CommitId) -> bool {
        let found = self.git.contains(&self.mirror(), ancestor, tip, &self.cancel).await;
        found.unwrap()
    }

    async fn checkout_with(
        &self,
        access: &Access,
        commit: &CommitId,
        name: &str,
        options: &CheckoutOptions,
    ) -> Result<CheckedOut, GitError> {
        let destination = self.path(name);
        self.git
            .checkout(
                access,
                &self.mirror(),
                commit,
                &destination,
                options,
                &Reuse::default(),
                &self.cancel,
                |_| {},
            )
            .await
    }
}

/// Access without any credentials.
fn access(url: &str) -> Access {
    let transport = match url.split("://").next() {
        Some("http") => Transport::Http,
        Some("https") => Transport::Https,
        Some("ssh") => Transport::Ssh,
        _ => Transport::Local,
    };
    Access {
        url: url.parse().unwrap(),
        transport,
        host: (transport != Transport::Local).then(|| "127.0.0.1".to_owned()),
        ssh_key: None,
        known_hosts: Vec::new(),
        token: None,
        ca_file: None,
        proxy: None,
        keys: Vec::new(),
        submodule_hosts: Vec::new(),
        follows: None,
    }
}

fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes().to_vec())
}

fn id(text: &str) -> CommitId {
    text.parse().unwrap()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Bytes that do not compress, for packs of a size: a fixed xorshift sequence.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = (0..length.div_ceil(8)).flat_map(|_| next()).collect();
    bytes.truncate(length);
    bytes
}
