//! The `git` program, where it is installed: for local remotes, where libgit2 is ten times slower and knows neither
//! newer formats nor shallow fetches, and for packing mirrors, which libgit2 can't do at all.

use std::ffi::OsStr;
use std::io::{BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::report::Reporter;
use super::spec::{Advertised, Spec};
use super::{GitError, GitErrorKind, Progress, ProgressPhase};
use crate::model::tells_of_passing;

/// Serves the remote whoever owns it; nothing in a repository's configuration makes upload-pack run programs.
const UPLOAD_PACK: &str = "--upload-pack=git -c safe.directory='*' -c core.bigFileThreshold=16m -c pack.windowMemory=32m \
    -c core.packedGitWindowSize=16m -c core.packedGitLimit=128m upload-pack";

/// Most of what git says on standard error that is kept for an error.
const STDERR_KEPT: usize = 16 * 1024;

/// How often a silent git is vouched for.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// An executable `git`.
pub(super) struct Program(PathBuf);

impl Program {
    /// The first one in `$PATH`.
    pub(super) fn find() -> Option<Self> {
        let path = std::env::var_os("PATH")?;
        let executable = |p: &PathBuf| {
            p.metadata()
                .is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
        };
        std::env::split_paths(&path)
            .map(|dir| dir.join("git"))
            .find(executable)
            .map(Self)
    }

    /// Nobody's configuration, no prompts, local transport only.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.0);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", "/nonexistent")
            .env("LANG", "C.UTF-8")
            .env("LC_ALL", "C.UTF-8")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_ALLOW_PROTOCOL", "file")
            .env("GIT_TERMINAL_PROMPT", "0")
            .args([
                "-c",
                "safe.directory=*",
                "-c",
                "core.hooksPath=/dev/null",
                "-c",
                "core.fsync=all",
                // What is larger goes through in a stream; see `worker::confine`.
                "-c",
                "core.bigFileThreshold=16m",
                "-c",
                "pack.windowMemory=32m",
                "-c",
                "core.packedGitWindowSize=16m",
                "-c",
                "core.packedGitLimit=128m",
            ])
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    }

    /// Heads and tags of a local remote.
    pub(super) fn list(&self, url: &str) -> Result<Vec<Advertised>, GitError> {
        let mut command = self.command();
        command
            .args(["ls-remote", "--heads", "--tags", UPLOAD_PACK, "--", url])
            .stdout(Stdio::piped());
        let output = command.output().map_err(|e| GitError::disk(&self.0, &e))?;
        if !output.status.success() {
            return Err(failure(url, &String::from_utf8_lossy(&output.stderr)));
        }
        // Names that are not UTF-8 are passed over, as for other remotes.
        let lines = output
            .stdout
            .split(|b| *b == b'\n')
            .filter_map(|line| str::from_utf8(line).ok()?.split_once('\t'));
        Ok(lines
            .map(|(id, name)| Advertised {
                name: name.to_owned(),
                id: id.to_owned(),
            })
            .collect())
    }

    /// Fetches `specs` of a local remote into the bare repository `into`; depth 0 is all history.
    pub(super) fn fetch(
        &self,
        into: &Path,
        url: &str,
        specs: &[Spec],
        depth: u32,
        reporter: &Reporter,
    ) -> Result<(), GitError> {
        let mut command = self.command();
        // A pack each time: loose objects that a power cut truncated make libgit2 1.9.7 spin for ever (libgit2 issue
        // 7346).
        command.args([
            "-c",
            "fetch.unpackLimit=1",
            "-c",
            "gc.auto=0",
            "-c",
            "maintenance.auto=false",
        ]);
        command.arg("--git-dir").arg(into);
        command.args([
            "fetch",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
            "--progress",
            "--stdin",
        ]);
        command.arg(UPLOAD_PACK);
        if depth > 0 {
            command.arg(format!("--depth={depth}"));
        }
        command.args(["--", url]);
        let lines = specs
            .iter()
            .fold(String::new(), |text, spec| text + &spec.refspec() + "\n");
        let said = self.run(command, Some(&lines), &mut |line| report(line, reporter))?;
        said.map_or(Ok(()), |said| Err(failure(url, &said)))
    }

    /// Whether a repository is whole: every object that a ref reaches is there and has its name.
    pub(super) fn is_sound(&self, repository: &Path, reporter: &Reporter) -> bool {
        let mut command = self.command();
        command.arg("--git-dir").arg(repository);
        command.args(["fsck", "--no-dangling", "--no-reflogs", "--progress"]);
        let said = self.run(command, None, &mut |line| report(line, reporter));
        said.is_ok_and(|failure| failure.is_none())
    }

    /// Packs a mirror into one pack and drops what no ref reaches. Best effort: a mirror with many packs still works.
    pub(super) fn pack(&self, mirror: &Path, reporter: &Reporter) -> bool {
        self.tidy(mirror, &["gc", "--quiet", "--prune=now"], reporter)
    }

    /// Joins packs so that each is twice as large as all smaller ones: the large ones stay as they are, so that it takes as long
    /// as what was fetched since is large. False if this `git` can't (before 2.32), too.
    pub(super) fn join(&self, mirror: &Path, reporter: &Reporter) -> bool {
        self.tidy(mirror, &["repack", "--quiet", "-d", "--geometric=2"], reporter)
    }

    fn tidy(&self, mirror: &Path, arguments: &[&str], reporter: &Reporter) -> bool {
        let mut command = Command::new("nice");
        let git = self.command();
        command.arg(git.get_program()).args(git.get_args());
        command
            .args(["-c", "gc.auto=0", "--git-dir"])
            .arg(mirror)
            .args(arguments);
        for (name, value) in git.get_envs() {
            command.env(name, value.unwrap_or(OsStr::new("")));
        }
        command
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let Ok(mut child) = command.spawn() else { return false };
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return status.success(),
                Ok(None) => std::thread::sleep(HEARTBEAT),
                Err(_) => return false,
            }
            reporter.progress(Progress {
                phase: ProgressPhase::Packing,
                done: 0,
                total: 0,
                bytes: 0,
            });
        }
    }

    /// Runs to the end; `Some` is what it said on standard error if it failed.
    fn run(
        &self,
        mut command: Command,
        input: Option<&str>,
        line: &mut dyn FnMut(&str),
    ) -> Result<Option<String>, GitError> {
        let failed = |e: std::io::Error| GitError::disk(&self.0, &e);
        if input.is_some() {
            command.stdin(Stdio::piped());
        }
        let mut child = command.spawn().map_err(failed)?;
        if let (Some(mut stdin), Some(text)) = (child.stdin.take(), input) {
            // A git that ends at once says why on standard error, so a broken pipe is not the error to report.
            let _ = stdin.write_all(text.as_bytes());
        }
        let mut said = String::new();
        if let Some(stderr) = child.stderr.take() {
            for_each_line(stderr, &mut |text| {
                line(text);
                if said.len() < STDERR_KEPT && !text.contains('%') {
                    said.push_str(text);
                    said.push('\n');
                }
            });
        }
        let status = child.wait().map_err(failed)?;
        Ok((!status.success()).then_some(said))
    }
}

/// Lines that end in `\n` or, for progress, in `\r`.
fn for_each_line(stream: impl Read, each: &mut dyn FnMut(&str)) {
    let mut line = Vec::new();
    for byte in BufReader::new(stream).bytes().map_while(Result::ok) {
        if byte != b'\n' && byte != b'\r' {
            line.push(byte);
        } else if !line.is_empty() {
            each(&String::from_utf8_lossy(&line));
            line.clear();
        }
    }
    if !line.is_empty() {
        each(&String::from_utf8_lossy(&line));
    }
}

/// `Receiving objects:  12% (120/1000), 1.20 MiB | …` and `Resolving deltas: …`.
fn report(line: &str, reporter: &Reporter) {
    let line = line.trim_start_matches("remote: ");
    let phase = match line.split(':').next() {
        Some("Receiving objects" | "Unpacking objects") => ProgressPhase::Receiving,
        Some("Resolving deltas") => ProgressPhase::Resolving,
        _ => ProgressPhase::Counting,
    };
    let counts = line
        .split_once('(')
        .and_then(|(_, rest)| rest.split_once(')'))
        .and_then(|(c, _)| c.split_once('/'));
    let number = |text: &str| text.trim().parse().unwrap_or(0);
    let (done, total) = counts.map_or((0, 0), |(done, total)| (number(done), number(total)));
    reporter.progress(Progress {
        phase,
        done,
        total,
        bytes: 0,
    });
}

fn failure(url: &str, said: &str) -> GitError {
    let text = said.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|w| text.contains(w));
    let reason = said
        .lines()
        .find(|l| l.starts_with("fatal:") || l.starts_with("error:"))
        .unwrap_or("git failed");
    if says(&["out of memory", "malloc failed"]) {
        return GitError::too_large();
    }
    let kind = if says(&["couldn't find remote ref"]) {
        GitErrorKind::RefMissing
    } else if tells_of_passing(said) {
        GitErrorKind::Passing
    } else if says(&[
        "does not appear to be a git repository",
        "does not exist",
        "not a git repository",
    ]) {
        GitErrorKind::NotFound
    } else if says(&["read-only file system", "permission denied"]) {
        GitErrorKind::Disk
    } else if says(&["object format", "mismatched algorithms"]) {
        GitErrorKind::Unsupported
    } else if says(&["early eof", "hung up", "index-pack failed"]) {
        GitErrorKind::Cut
    } else if says(&[
        "corrupt",
        "bad object",
        "unresolved delta",
        "missing",
        "broken",
        "not a valid",
        "did not send all",
    ]) {
        GitErrorKind::Corrupt
    } else {
        GitErrorKind::Other
    };
    GitError::new(kind, format!("fetching from {url}: {reason}"))
}
