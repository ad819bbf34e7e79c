//! The daemon's side: one worker process per call, watched and killed.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::address::Address;
use super::child::{OnProgress, Worker, too_long, unexpected};
use super::wire::{Job, RemoteSpec, Request, WireFilter, WireSigned};
use super::{
    Access, Bounds, Changed, CheckedOut, CheckoutOptions, Fetched, GitError, GitErrorKind, HostKey, Progress,
    RemoteRef, Reuse, SignedObject, Updated, Worth,
};
use crate::config::{Pattern, RefFilter};
use crate::model::{CommitId, GitRef, Locked, Secret};

/// Memory of a worker besides files, bytes: the list of the largest tree, libgit2's caches, threads.
const MEMORY_BASE: u64 = 180 << 20;

/// How many times the largest file a worker may have in memory: the base of a delta, the delta, and the result.
const MEMORY_FILES: u64 = 3;

/// Does git's work in child processes. Paths are absolute, and UTF-8, as the configuration is.
#[derive(Debug, Clone)]
pub struct Git {
    /// What is started with the argument `git-worker`: this program, `/proc/self/exe`.
    pub program: PathBuf,
    /// Longest silence of a call.
    pub idle: Duration,
    /// Longest call.
    pub total: Duration,
    /// A file that workers keep locked (shared) as long as they live, also if the daemon is gone by then.
    pub lifeline: Option<PathBuf>,
    /// Where workers have what is of no use after them; whoever gives it sweeps it after a crash.
    pub scratch: PathBuf,
    /// What a commit may take.
    pub bounds: Bounds,
    /// A worker for the next call, started during the last one.
    spare: Option<Arc<Mutex<Option<Ready>>>>,
}

/// A worker that waits for its request, and the directory that it has while it works.
#[derive(Debug)]
struct Ready {
    worker: Worker,
    scratch: TempDir,
}

impl Git {
    /// With the program that understands `git-worker`, and the two time-outs.
    pub fn new(program: PathBuf, idle: Duration, total: Duration) -> Self {
        Self {
            program,
            idle,
            total,
            lifeline: None,
            scratch: std::env::temp_dir(),
            bounds: Bounds::default(),
            spare: None,
        }
    }

    /// The same, with a worker always ready for the next call: to start one takes longer than most calls do.
    #[must_use]
    pub fn ahead(self) -> Self {
        Self {
            spare: Some(Arc::default()),
            ..self
        }
    }

    /// The same, with other bounds for commits.
    #[must_use]
    pub fn within(self, bounds: Bounds) -> Self {
        Self { bounds, ..self }
    }

    /// The same, with workers that hold this file locked, and use that directory.
    #[must_use]
    pub fn held_by(self, lifeline: PathBuf, scratch: PathBuf) -> Self {
        Self {
            lifeline: Some(lifeline),
            scratch,
            ..self
        }
    }

    /// Heads and tags of the remote, in its order: those that [`Access::follows`] takes, and up to 100 other branches.
    /// `Unsupported` if it takes more than 10,000.
    pub async fn ls_remote(&self, access: &Access, cancel: &CancellationToken) -> Result<Vec<RemoteRef>, GitError> {
        let filter = |filter: &RefFilter| WireFilter {
            tags: matches!(filter, RefFilter::Tags(_)),
            patterns: filter.patterns().iter().map(|pattern| pattern.text.clone()).collect(),
        };
        let follows = access.follows.as_ref().map(|all| all.iter().map(filter).collect());
        self.call(Some(access), Job::LsRemote { follows }, cancel, &mut |_| {})
            .await
    }

    /// The key that the remote's ssh server shows, whether it is known or not. Nothing is shown to the server.
    pub async fn host_key(&self, access: &Access, cancel: &CancellationToken) -> Result<HostKey, GitError> {
        self.call(Some(access), Job::HostKey, cancel, &mut |_| {}).await
    }

    /// Brings `git_ref` into the bare mirror, which is made if it is missing, and anew if it is damaged. `depth` 0 is
    /// all history; a mirror that has all stays so.
    pub async fn fetch(
        &self,
        access: &Access,
        mirror: &Path,
        git_ref: &GitRef,
        depth: u32,
        cancel: &CancellationToken,
        mut progress: impl FnMut(Progress) + Send,
    ) -> Result<Fetched, GitError> {
        let job = Job::Fetch {
            mirror: mirror.to_owned(),
            git_ref: git_ref.clone(),
            depth,
        };
        self.call(Some(access), job, cancel, &mut progress).await
    }

    /// Writes the tree of a fetched commit to `destination`, which must not exist or be empty, and takes from `reuse` what is the same
    /// there. A failure leaves it half-written; after `Corrupt` the mirror is gone and has to be fetched again.
    #[allow(clippy::too_many_arguments)] // what to write, where from, where to, and how to stop it: all of it is needed
    pub async fn checkout(
        &self,
        access: &Access,
        mirror: &Path,
        commit: &CommitId,
        destination: &Path,
        options: &CheckoutOptions,
        reuse: &Reuse,
        cancel: &CancellationToken,
        mut progress: impl FnMut(Progress) + Send,
    ) -> Result<CheckedOut, GitError> {
        let job = Job::Checkout {
            mirror: mirror.to_owned(),
            commit: commit.clone(),
            destination: destination.to_owned(),
            options: options.clone(),
            reuse: reuse.clone(),
        };
        self.call(Some(access), job, cancel, &mut progress).await
    }

    /// Makes a copy of a release as `spare`, by way of `staging`, at idle priority: the files that its manifest lists, as far as they are
    /// what git has under their names. False if there is nothing to go by, or the release is not worth it.
    pub async fn make_spare(
        &self,
        release: &Path,
        manifest: &Path,
        staging: &Path,
        spare: &Path,
        worth: Worth,
        cancel: &CancellationToken,
    ) -> Result<bool, GitError> {
        let job = Job::Spare {
            from: release.to_owned(),
            manifest: manifest.to_owned(),
            staging: staging.to_owned(),
            spare: spare.to_owned(),
            worth,
        };
        self.call(None, job, cancel, &mut |_| {}).await
    }

    /// Brings `directory`, which holds commit `from` (none: unknown or new), to commit `to`: what is missing or
    /// differs is written, what `from` had and `to` lacks is removed, untracked files stay. Nothing is touched before
    /// all files have been written beside their places.
    #[allow(clippy::too_many_arguments)] // as for `checkout`
    pub async fn update_in_place(
        &self,
        access: &Access,
        mirror: &Path,
        from: Option<&CommitId>,
        to: &CommitId,
        directory: &Path,
        options: &CheckoutOptions,
        cancel: &CancellationToken,
        mut progress: impl FnMut(Progress) + Send,
    ) -> Result<Updated, GitError> {
        let job = Job::Update {
            mirror: mirror.to_owned(),
            from: from.cloned(),
            to: to.clone(),
            directory: directory.to_owned(),
            options: options.clone(),
        };
        self.call(Some(access), job, cancel, &mut progress).await
    }

    /// Whether a plain directory holds the files of a commit as they are in it, and no update of it was cut off.
    pub async fn holds(
        &self,
        access: &Access,
        mirror: &Path,
        commit: &CommitId,
        directory: &Path,
        options: &CheckoutOptions,
        cancel: &CancellationToken,
    ) -> Result<bool, GitError> {
        let job = Job::Holds {
            mirror: mirror.to_owned(),
            commit: commit.clone(),
            directory: directory.to_owned(),
            options: options.clone(),
        };
        self.call(Some(access), job, cancel, &mut |_| {}).await
    }

    /// How many paths differ between two commits, and the first that the patterns take; a submodule is taken by patterns of what
    /// is below it, too. `RefMissing` if the mirror lacks one of the commits.
    pub async fn changed_paths(
        &self,
        mirror: &Path,
        from: &CommitId,
        to: &CommitId,
        patterns: &[Pattern],
        cancel: &CancellationToken,
    ) -> Result<Changed, GitError> {
        let job = Job::ChangedPaths {
            mirror: mirror.to_owned(),
            from: from.clone(),
            to: to.clone(),
            patterns: patterns.iter().map(|pattern| pattern.text.clone()).collect(),
        };
        self.call(None, job, cancel, &mut |_| {}).await
    }

    /// Whether `ancestor` is `tip` or can be reached from it. `Unsupported` if a shallow mirror can't tell.
    pub async fn contains(
        &self,
        mirror: &Path,
        ancestor: &CommitId,
        tip: &CommitId,
        cancel: &CancellationToken,
    ) -> Result<bool, GitError> {
        let job = Job::Contains {
            mirror: mirror.to_owned(),
            ancestor: ancestor.clone(),
            tip: tip.clone(),
        };
        self.call(None, job, cancel, &mut |_| {}).await
    }

    /// Takes apart what may be signed: the commit, and for a tag that names it as an annotated tag also that tag.
    pub async fn signed(
        &self,
        mirror: &Path,
        git_ref: &GitRef,
        commit: &CommitId,
        cancel: &CancellationToken,
    ) -> Result<Vec<SignedObject>, GitError> {
        let job = Job::Signed {
            mirror: mirror.to_owned(),
            git_ref: git_ref.clone(),
            commit: commit.clone(),
        };
        let all: Vec<WireSigned> = self.call(None, job, cancel, &mut |_| {}).await?;
        all.into_iter().map(unpack).collect()
    }

    /// Keeps these commits, and no others, in the mirror whatever the remote forgets; also packs the mirror if it has
    /// become many packs, which can take a while. To be called when a deployment has ended.
    pub async fn keep(&self, mirror: &Path, commits: &[CommitId], cancel: &CancellationToken) -> Result<(), GitError> {
        let job = Job::Keep {
            mirror: mirror.to_owned(),
            commits: commits.to_vec(),
        };
        self.call(None, job, cancel, &mut |_| {}).await
    }

    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        access: Option<&Access>,
        job: Job,
        cancel: &CancellationToken,
        progress: OnProgress<'_>,
    ) -> Result<T, GitError> {
        let Ready { mut worker, scratch } = self.ready()?;
        let line = self.request(access, job, scratch.path())?;
        let outcome = tokio::select! {
            biased;
            () = cancel.cancelled() => Err(GitError::new(GitErrorKind::Cancelled, "cancelled")),
            talked = timeout(self.total, worker.talk(&line, self.idle, progress)) => {
                talked.unwrap_or_else(|_| Err(too_long("it was not done", self.total)))
            }
        };
        worker.end().await;
        outcome
    }

    /// The spare worker if it still waits, or a new one; the next one is started meanwhile.
    fn ready(&self) -> Result<Ready, GitError> {
        let Some(spare) = &self.spare else {
            return self.start();
        };
        let mut kept = spare.locked().take();
        let (git, place) = (self.clone(), Arc::clone(spare));
        tokio::spawn(async move {
            // Without one the next call starts its own, and says why it can't.
            let next = git.start().ok();
            *place.locked() = next;
        });
        // Either may have been tidied away.
        let whole = |ready: &mut Ready| ready.worker.waits() && ready.scratch.path().is_dir();
        kept.take_if(whole).map_or_else(|| self.start(), Ok)
    }

    fn start(&self) -> Result<Ready, GitError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.scratch);
        made.map_err(|e| GitError::disk(&self.scratch, &e))?;
        let scratch = tempfile::Builder::new().prefix("hookd-git-").tempdir_in(&self.scratch);
        let scratch = scratch.map_err(|e| GitError::disk(&self.scratch, &e))?;
        let worker = Worker::start(&self.program, scratch.path())?;
        Ok(Ready { worker, scratch })
    }

    /// The line for the worker. The buffer never grows, so that no copy of the token stays behind in freed memory.
    fn request(&self, access: Option<&Access>, job: Job, scratch: &Path) -> Result<Zeroizing<Vec<u8>>, GitError> {
        let request = Request {
            // The worker's own time-out is only a second line, so it must not come first.
            idle_ms: u64::try_from(self.idle.as_millis())
                .unwrap_or(u64::MAX)
                .saturating_mul(2),
            scratch: scratch.to_owned(),
            lifeline: self.lifeline.clone(),
            remote: access.map(spec).transpose()?,
            bounds: self.bounds,
            memory: MEMORY_BASE + MEMORY_FILES * self.bounds.file_size,
            job,
        };
        let failed =
            |e: serde_json::Error| GitError::new(GitErrorKind::Unsupported, format!("git worker request: {e}"));
        let mut line = Zeroizing::new(Vec::with_capacity(64 * 1024));
        serde_json::to_writer(&mut *line, &request).map_err(failed)?;
        line.push(b'\n');
        Ok(line)
    }
}

fn unpack(wire: WireSigned) -> Result<SignedObject, GitError> {
    let bytes = |text: String| STANDARD.decode(text).map_err(|_| unexpected());
    Ok(SignedObject {
        id: wire.id,
        tag: wire.tag,
        time: wire.time,
        payload: bytes(wire.payload)?,
        signature: wire.signature.map(bytes).transpose()?,
    })
}

fn spec(access: &Access) -> Result<RemoteSpec, GitError> {
    let refuse = |message: String| GitError::new(GitErrorKind::Authentication, message);
    if let Some(file) = &access.ca_file
        && let Err(error) = std::fs::File::open(file)
    {
        return Err(GitError::new(
            GitErrorKind::HostKey,
            format!("ca_file {} can't be read: {error}", file.display()),
        ));
    }
    let consistent =
        |a: &Address| a.transport == access.transport && access.host.as_deref().unwrap_or_default() == a.host;
    if !Address::parse(&access.url).is_some_and(|address| consistent(&address)) {
        return Err(GitError::new(
            GitErrorKind::Unsupported,
            "the remote's URL does not match its transport and host",
        ));
    }
    let text = |secret: &Secret, what: &str| {
        String::from_utf8(secret.expose().to_vec()).map_err(|_| refuse(format!("the {what} is not text")))
    };
    let token = access.token.as_ref().map(|token| text(token, "token")).transpose()?;
    let proxy = access.proxy.as_ref().map(|proxy| text(&proxy.0, "proxy")).transpose()?;
    Ok(RemoteSpec {
        url: access.url.clone(),
        ssh_key: access.ssh_key.clone(),
        known_hosts: access.known_hosts.clone(),
        token,
        ca_file: access.ca_file.clone(),
        proxy,
        keys: access.keys.clone(),
        submodule_hosts: access.submodule_hosts.clone(),
    })
}
