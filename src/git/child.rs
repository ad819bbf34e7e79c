//! One worker process: its request, its answers, and its end.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use super::wire::Reply;
use super::{GitError, GitErrorKind, Progress};

/// Longest line of a worker: as many refs as are followed at most. The daemon must not grow with what a remote sends.
const LINE_MAX: u64 = 16 * 1024 * 1024;

/// Most of a dying worker's standard error that is reported.
const STDERR_KEPT: usize = 2000;

/// Where programs are looked for if the daemon has no `$PATH`.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// What Rust's runtime says when an allocation fails.
const OUT_OF_MEMORY: &str = "memory allocation of ";

pub(super) type OnProgress<'a> = &'a mut (dyn FnMut(Progress) + Send);

pub(super) fn unexpected() -> GitError {
    GitError::new(GitErrorKind::Other, "the git worker gave an unexpected answer")
}

pub(super) fn too_long(what: &str, limit: Duration) -> GitError {
    GitError::new(
        GitErrorKind::Timeout,
        format!("{what} within {} s", limit.as_secs_f32()),
    )
}

/// A running worker. Leads a process group, which dies with it.
#[derive(Debug)]
pub(super) struct Worker {
    child: Child,
    group: Option<Pid>,
}

impl Worker {
    pub(super) fn start(program: &Path, scratch: &Path) -> Result<Self, GitError> {
        let path = std::env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
        let mut command = Command::new(program);
        command
            .arg("git-worker")
            .env_clear()
            .env("PATH", path)
            // libgit2 looks there for .ssh/known_hosts and for nothing else; see `known_hosts` and `globals`.
            .env("HOME", scratch)
            .env("LANG", "C.UTF-8")
            // What is freed must not count as its memory, see jemalloc(3).
            .env("MALLOC_CONF", "retain:false,narenas:2")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let child = command.spawn().map_err(|e| GitError::disk(program, &e))?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        Ok(Self { child, group })
    }

    /// Whether it has not ended.
    pub(super) fn waits(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends the request, hands on progress, gives what the last line says.
    pub(super) async fn talk<T: DeserializeOwned>(
        &mut self,
        line: &[u8],
        idle: Duration,
        progress: OnProgress<'_>,
    ) -> Result<T, GitError> {
        let (Some(stdin), Some(stdout)) = (self.child.stdin.as_mut(), self.child.stdout.take()) else {
            return Err(unexpected());
        };
        let mut answers = BufReader::new(stdout);
        // A worker that dies at once says why on standard error.
        let sent = stdin.write_all(line).await;
        loop {
            let answer = timeout(idle, next_line(&mut answers)).await;
            match answer.map_err(|_| too_long("the remote sent nothing", idle))?? {
                Some(Reply::Progress(how_far)) => progress(how_far),
                Some(Reply::Done(done)) => return Ok(done),
                Some(Reply::Error(error)) => return Err(error),
                None => return Err(self.died(sent.err()).await),
            }
        }
    }

    /// Describes a worker that ended without an answer.
    async fn died(&mut self, unsent: Option<std::io::Error>) -> GitError {
        self.kill();
        let mut said = Vec::new();
        if let Some(stderr) = self.child.stderr.take() {
            let _ = stderr.take(LINE_MAX).read_to_end(&mut said).await;
        }
        let status = self
            .child
            .wait()
            .await
            .map_or_else(|e| e.to_string(), |s| s.to_string());
        self.group = None;
        let said = String::from_utf8_lossy(&said);
        let tail: String = said
            .trim()
            .chars()
            .rev()
            .take(STDERR_KEPT)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .collect();
        let unsent = unsent.map(|e| format!(", {e}")).unwrap_or_default();
        if said.contains(OUT_OF_MEMORY) {
            return GitError::too_large();
        }
        GitError::new(
            GitErrorKind::Cut,
            format!("the git worker died ({status}{unsent}): {tail}"),
        )
        .hint("if memory ran out, allow the service more, or set a lower `file_size` in `[limits]`")
    }

    fn kill(&self) {
        if let Some(group) = self.group {
            // Fails only if all of the group is gone already.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }

    /// Kills what still runs, before the leader is waited for: until then nobody else can get its number.
    pub(super) async fn end(mut self) {
        self.kill();
        let _ = self.child.wait().await;
        self.group = None;
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The next answer; none at the end.
async fn next_line<T: DeserializeOwned>(answers: &mut BufReader<ChildStdout>) -> Result<Option<Reply<T>>, GitError> {
    let mut line = Vec::new();
    let read = answers.take(LINE_MAX).read_until(b'\n', &mut line).await;
    read.map_err(|e| GitError::new(GitErrorKind::Cut, format!("the git worker: {e}")))?;
    if line.is_empty() {
        return Ok(None);
    }
    if !line.ends_with(b"\n") && line.len() as u64 >= LINE_MAX {
        return Err(GitError::new(GitErrorKind::Unsupported, "the remote has too many refs"));
    }
    // A line that was cut is a worker that died.
    Ok(serde_json::from_slice(&line).ok())
}
