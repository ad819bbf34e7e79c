//! The child process: reads one request, does it, tells how it goes, ends. Ends at once when its parent does.

use std::fs::File;
use std::io::{self, BufRead, Read};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{getpgrp, getpid};
use serde::Serialize;

use super::mirror::{Hold, Mirror, discard};
use super::remote::Remote;
use super::report::{Reporter, send};
use super::submodule::{Missing, Plan, plan};
use super::wire::{Job, RemoteSpec, Reply, Request, WireFilter};
use super::{Bounds, CheckoutOptions, GitError, GitErrorKind, RemoteRef, Updated};
use super::{beside, fetch, globals, history, in_place, materialise, signed, spare};
use crate::config::{Pattern, matches};
use crate::model::{CommitId, GitRef, RefKind};

/// A request is a few kilobytes.
const REQUEST_MAX: u64 = 16 * 1024 * 1024;

/// What is added to the worker's badness, of 1000, when the kernel looks for a process to kill (see proc(5)).
const OOM_SCORE: &str = "500";

/// Most refs that are listed because they are followed: ten times those of the largest known repositories' release tags.
const FOLLOWED_MAX: usize = 10_000;

/// Most other branches that are listed, for people who have misspelt one.
const OTHERS_MAX: usize = 100;

/// The whole of `hookd git-worker`.
pub fn worker_main() -> ExitCode {
    // A worker that was started ahead waits for its request here, with all of this behind it.
    let set = globals::set();
    let mut line = Vec::new();
    let read = std::io::stdin().lock().take(REQUEST_MAX).read_until(b'\n', &mut line);
    let request: Request = match read.map_err(|e| e.to_string()).and_then(|_| {
        serde_json::from_slice(&line).map_err(|e| format!("not a request: {:?} at column {}", e.classify(), e.column()))
    }) {
        Ok(request) => request,
        Err(why) => {
            fail(GitError::new(GitErrorKind::Other, format!("git worker: {why}")));
            return ExitCode::from(2);
        }
    };
    zeroize::Zeroize::zeroize(&mut line);
    let held = request.lifeline.as_deref().map(hold).transpose();
    if held.is_err() || is_abandoned() {
        // The next daemon may have asked for the lifeline already, and begun.
        return ExitCode::FAILURE;
    }
    confine(request.memory);
    let silence = Duration::from_millis(request.idle_ms);
    if let Err(error) = set.and_then(|()| globals::limit(silence)) {
        fail(GitError::from_git2(&error, "setting up libgit2"));
        return ExitCode::FAILURE;
    }
    std::thread::spawn(end_with_parent);
    let reporter = Reporter::default();
    match run(request, &reporter) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            fail(error);
            ExitCode::FAILURE
        }
    }
}

fn done<T: Serialize>(done: T) {
    send(&Reply::Done(done));
}

fn fail(error: GitError) {
    send(&Reply::<()>::Error(error));
}

/// What a remote sends must not take the machine's memory, and if it runs out nevertheless, this process goes first. What it can't
/// set it does without: the limits of the service stand behind it. A `git` that is started inherits both.
fn confine(memory: u64) {
    // Not the address space: packs are mapped into it.
    let _ = setrlimit(Resource::RLIMIT_DATA, memory, memory);
    let _ = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE);
}

/// Locks the lifeline, until this process ends.
fn hold(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    file.lock_shared()?;
    Ok(file)
}

/// Whether the parent has closed its end.
fn is_abandoned() -> bool {
    let stdin = io::stdin();
    let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::empty())];
    poll(&mut fds, PollTimeout::ZERO).is_ok() && fds[0].any().unwrap_or(false)
}

/// The parent never closes its end, so the end of the input is the end of the parent; a `git` that was started goes,
/// too.
fn end_with_parent() {
    let mut byte = [0];
    while let Ok(1..) = std::io::stdin().read(&mut byte) {}
    if getpgrp() == getpid() {
        // Includes this process.
        let _ = killpg(getpgrp(), Signal::SIGKILL);
    }
    std::process::exit(1);
}

/// Does the job, and tells what came of it unless it fails.
fn run(request: Request, reporter: &Reporter) -> Result<(), GitError> {
    let Request {
        idle_ms,
        scratch,
        remote,
        bounds,
        job,
        ..
    } = request;
    let connect = |spec: Option<RemoteSpec>| {
        let spec = spec.ok_or_else(|| GitError::new(GitErrorKind::Other, "a request without a remote"))?;
        Remote::new(spec, &scratch, reporter, Duration::from_millis(idle_ms))
    };
    match job {
        Job::LsRemote { follows } => ls_remote(&connect(remote)?, follows).map(done),
        Job::HostKey => connect(remote)?.host_key().map(done),
        Job::Fetch { mirror, git_ref, depth } => fetch::fetch(&connect(remote)?, &mirror, &git_ref, depth).map(done),
        Job::Checkout {
            mirror,
            commit,
            destination,
            options,
            reuse,
        } => {
            let plan = plan(&connect(remote)?, &mirror, &commit, &options, &bounds, Missing::Fetch)
                .map_err(|e| discard(e, std::slice::from_ref(&mirror)))?;
            let made = materialise::checkout(&plan, &destination, options.refuse_lfs, &reuse, &bounds, reporter);
            made.map(done).map_err(|e| discard(e, &plan.sources))
        }
        Job::Spare {
            from,
            manifest,
            staging,
            spare,
            worth,
        } => spare::make(&from, &manifest, &staging, &spare, worth, reporter).map(done),
        Job::Update {
            mirror,
            from,
            to,
            directory,
            options,
        } => {
            let remote = connect(remote)?;
            update(&remote, &mirror, from.as_ref(), &to, &directory, &options, &bounds).map(done)
        }
        Job::Describe { mirror, commit } => history::describe(&mirror, &commit).map(done),
        Job::Holds {
            mirror,
            commit,
            directory,
            options,
        } => {
            let plan = plan(&connect(remote)?, &mirror, &commit, &options, &bounds, Missing::Fetch)
                .map_err(|e| discard(e, std::slice::from_ref(&mirror)))?;
            let holds = in_place::holds(&plan, &directory, &bounds, reporter);
            holds.map(done).map_err(|e| discard(e, &plan.sources))
        }
        Job::ChangedPaths {
            mirror,
            from,
            to,
            patterns,
        } => history::changed_paths(&mirror, &from, &to, &compiled(&patterns)?).map(done),
        Job::Contains { mirror, ancestor, tip } => history::contains(&mirror, &ancestor, &tip).map(done),
        Job::NewestOf {
            mirror,
            tip,
            live,
            candidates,
        } => history::newest_of(&mirror, &tip, live.as_ref(), &candidates).map(done),
        Job::Since { mirror, from, to, most } => history::since(&mirror, from.as_ref(), &to, most).map(done),
        Job::Signed {
            mirror,
            git_ref,
            commit,
        } => signed::signed(&mirror, &git_ref, &commit).map(done),
        Job::Keep { mirror, commits } => keep(&mirror, &commits, reporter).map(done),
        Job::LayOutHistory {
            mirror,
            git_ref,
            commit,
            directory,
        } => beside::lay_out(&mirror, &git_ref, &commit, &directory).map(done),
    }
}

/// Keeps these commits in a mirror, and brings it in order.
fn keep(mirror: &Path, commits: &[CommitId], reporter: &Reporter) -> Result<(), GitError> {
    let mirror = Mirror::lock(mirror, Hold::Write)?;
    mirror.sweep()?;
    mirror.keep(commits)?;
    mirror.pack_if_many(reporter);
    Ok(())
}

fn compiled(patterns: &[String]) -> Result<Vec<Pattern>, GitError> {
    let compile = |text: &String| {
        Pattern::new(&Pattern::whole_path(text)).map_err(|e| GitError::new(GitErrorKind::Other, e.to_string()))
    };
    patterns.iter().map(compile).collect()
}

/// Heads and tags that are followed, and a few other heads; `name^{}`, which stands for what a tag object names, joins its tag.
fn ls_remote(remote: &Remote<'_>, follows: Option<Vec<WireFilter>>) -> Result<Vec<RemoteRef>, GitError> {
    let id = |text: &str| {
        text.parse()
            .map_err(|e| GitError::new(GitErrorKind::Other, format!("{text}: {e}")))
    };
    let filters = follows.map(|all| all.iter().map(|f| Ok((f.tags, compiled(&f.patterns)?))).collect());
    let filters: Option<Vec<(bool, Vec<Pattern>)>> = filters.transpose()?;
    let is_followed = |name: &GitRef| match &filters {
        None => true,
        Some(filters) => filters
            .iter()
            .any(|(tags, patterns)| *tags == (name.kind() == RefKind::Tag) && matches(patterns, name.short())),
    };
    let (mut followed, mut others) = (0, 0);
    let mut refs: Vec<RemoteRef> = Vec::new();
    for listed in remote.list()? {
        if let Some(tag) = listed.name.strip_suffix("^{}") {
            if let Some(last) = refs.last_mut().filter(|last| last.name == tag) {
                last.peeled = Some(id(&listed.id)?);
            }
            continue;
        }
        // Names that can't be deployed, such as those that a command would take for an option, are nobody's.
        let Ok(name) = listed.name.parse::<GitRef>() else {
            continue;
        };
        if is_followed(&name) {
            followed += 1;
        } else if others < OTHERS_MAX && name.kind() == RefKind::Branch {
            others += 1;
        } else {
            continue;
        }
        refs.push(RemoteRef {
            name: listed.name,
            object: id(&listed.id)?,
            peeled: None,
        });
        if followed > FOLLOWED_MAX && filters.is_some() {
            let message = format!("more than {FOLLOWED_MAX} branches and tags of the remote are followed");
            return Err(GitError::new(GitErrorKind::Unsupported, message).hint("name fewer by `branch` or `tag`"));
        }
    }
    Ok(refs)
}

fn update(
    remote: &Remote<'_>,
    mirror: &Path,
    from: Option<&CommitId>,
    to: &CommitId,
    directory: &Path,
    options: &CheckoutOptions,
    bounds: &Bounds,
) -> Result<Updated, GitError> {
    let damaged = |error| discard(error, std::slice::from_ref(&mirror.to_owned()));
    let new = plan(remote, mirror, to, options, bounds, Missing::Fetch).map_err(damaged)?;
    let (old, old_known) = match from.map(|from| plan(remote, mirror, from, options, bounds, Missing::LeaveOut)) {
        None => (Plan::default(), true),
        Some(Ok(old)) => (old, true),
        Some(Err(error)) if error.kind == GitErrorKind::Corrupt => return Err(damaged(error)),
        Some(Err(_)) => (Plan::default(), false),
    };
    // An update that was cut off may have left files that only its commit has.
    let mut old = old;
    for half in in_place::cut_off(directory) {
        if let Ok(half) = plan(remote, mirror, &half, options, bounds, Missing::LeaveOut) {
            old.items.extend(half.items);
        }
    }
    let done = in_place::update(&old, &new, to, directory, options.refuse_lfs, bounds, remote.reporter);
    let done = done.map_err(|error| discard(error, &new.sources))?;
    Ok(Updated {
        written: done.written,
        removed: done.removed,
        bytes: done.bytes,
        old_known,
    })
}
