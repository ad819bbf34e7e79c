//! The state directory: created, repaired, and locked by one daemon at a time.

use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::libc::{O_DIRECTORY, O_NOFOLLOW};
use nix::unistd::geteuid;
use tokio::time::Instant;

use super::StartError;
use crate::exec;

/// File that the daemon holds locked. Closed to others: whoever can open it can lock it.
const LOCK: &str = "lock";

/// Lock held (shared) by every supervisor and git worker of a deployment.
const LIFELINE: &str = "children";

/// Directory for what children of the daemon have while they run.
const SCRATCH: &str = "scratch";

/// Directories below the state directory, with their modes. A command that runs as another user goes through `payloads` to its
/// file; it can list nothing on its way.
const PARTS: [(&str, u32); 3] = [("mirrors", 0o700), ("logs", 0o700), ("payloads", 0o711)];

/// Mode of the state directory itself, for the same reason.
const STATE_MODE: u32 = 0o711;

/// Mode of files that nobody else may open.
const PRIVATE: u32 = 0o600;

/// What others may do with a file.
const OTHERS: u32 = 0o077;

/// Longest wait for the lock: a daemon that was killed holds it until the kernel has taken it apart.
const LOCK_TIME: Duration = Duration::from_secs(5);

/// Longest wait for processes of a killed daemon: somewhat more than killing them takes.
const ORPHANS_TIME: Duration = Duration::from_secs(10);

/// Pause between two looks at a lock.
const PAUSE: Duration = Duration::from_millis(20);

/// The state directory, owned until this is dropped. What is found there half done was left by a crash, and can be taken up or
/// removed.
pub(super) struct StateDir {
    path: PathBuf,
    _lock: Flock<File>,
}

impl StateDir {
    /// Makes what is missing, and takes the lock.
    pub(super) async fn own(path: &Path) -> Result<Self, StartError> {
        make(path, STATE_MODE)?;
        for (part, mode) in PARTS {
            make(&path.join(part), mode)?;
        }
        let state = Self {
            _lock: lock(path).await?,
            path: path.to_owned(),
        };
        let lifeline = state.lifeline();
        open_private(&lifeline).map_err(|e| at(&lifeline, &e))?;
        Ok(state)
    }

    /// Waits until nothing runs any more that a killed daemon had started. Nothing may be started before.
    pub(super) async fn settle(&self) -> Result<(), StartError> {
        let (lifeline, scratch) = (self.lifeline(), self.scratch());
        orphans_end(&lifeline).await.map_err(|e| at(&lifeline, &e))?;
        empty(&scratch).map_err(|e| at(&scratch, &e))
    }

    /// See [`LIFELINE`].
    pub(super) fn lifeline(&self) -> PathBuf {
        self.path.join(LIFELINE)
    }

    /// See [`SCRATCH`].
    pub(super) fn scratch(&self) -> PathBuf {
        self.path.join(SCRATCH)
    }
}

fn at(path: &Path, error: &io::Error) -> StartError {
    StartError::new(format!("{}: {error}", path.display()), None)
}

/// Makes a directory, or closes one that is more open than that.
fn make(path: &Path, mode: u32) -> Result<(), StartError> {
    let done = DirBuilder::new().recursive(true).mode(mode).create(path);
    done.and_then(|()| close(path, O_DIRECTORY, mode)).map_err(|e| {
        let in_the_way = std::fs::symlink_metadata(path).is_ok_and(|about| !about.is_dir());
        if in_the_way {
            let text = format!("{} is not a directory", path.display());
            return StartError::new(text, "move it away; hookd makes a directory there".to_owned());
        }
        StartError::new(
            format!("{}: {e}", path.display()),
            "make it, and give it to the user that hookd runs as; under systemd `StateDirectory=hookd` does that"
                .to_owned(),
        )
    })
}

/// Removes the permissions that a mode lacks. Follows no link, and leaves files of other users alone.
fn close(path: &Path, kind: i32, mode: u32) -> io::Result<()> {
    let file = File::options().read(true).custom_flags(kind | O_NOFOLLOW).open(path)?;
    let about = file.metadata()?;
    let has = about.mode() & 0o7777;
    if has & !mode == 0 || about.uid() != geteuid().as_raw() {
        return Ok(());
    }
    tracing::info!(
        "{}: closed to others, mode {has:o} before and {:o} now",
        path.display(),
        has & mode
    );
    file.set_permissions(Permissions::from_mode(has & mode))
}

/// Opens a file that nobody else can open. True if others could until now: somebody may still have it open.
fn open_private(path: &Path) -> io::Result<(File, bool)> {
    let mut options = File::options();
    let options = options.create(true).truncate(false).write(true);
    let file = options.mode(PRIVATE).custom_flags(O_NOFOLLOW).open(path)?;
    let was_open = file.metadata()?.mode() & OTHERS != 0;
    if was_open {
        file.set_permissions(Permissions::from_mode(PRIVATE))?;
    }
    Ok((file, was_open))
}

/// Locks the state directory. A lock file that others could open until now is replaced: one of them may hold it.
async fn lock(directory: &Path) -> Result<Flock<File>, StartError> {
    let path = directory.join(LOCK);
    let end = Instant::now() + LOCK_TIME;
    let failed = |e: io::Error| at(&path, &e);
    let mut was_open = false;
    loop {
        let (file, open) = open_private(&path).map_err(failed)?;
        was_open |= open;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(held) if was_open => return replace(&path, held).map_err(failed),
            Ok(held) if is_at(&held, &path) => return Ok(held),
            Ok(_) => {}
            Err((file, Errno::EWOULDBLOCK)) if was_open && is_held_by_others(&file) => {
                return replace(&path, file).map_err(failed);
            }
            Err((_, Errno::EWOULDBLOCK)) if Instant::now() < end => {}
            Err((_, Errno::EWOULDBLOCK)) => {
                return Err(StartError::new(
                    format!("another hookd uses the state directory {}", directory.display()),
                    "stop it first (systemctl stop hookd), or give this one a `state_dir` of its own".to_owned(),
                ));
            }
            Err((_, error)) => return Err(failed(error.into())),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Puts a new file, locked from the beginning, in the place of the old one.
fn replace(path: &Path, old: impl Sized) -> io::Result<Flock<File>> {
    let new = path.with_extension("new");
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = File::options().create_new(true).write(true).mode(PRIVATE).open(&new)?;
    let held = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| io::Error::from(error))?;
    std::fs::rename(&new, path)?;
    drop(old);
    Ok(held)
}

/// Whether the path still leads to this file.
fn is_at(file: &File, path: &Path) -> bool {
    let key = |about: std::fs::Metadata| (about.dev(), about.ino());
    let now = std::fs::symlink_metadata(path).map(key);
    matches!((file.metadata().map(key), now), (Ok(held), Ok(now)) if held == now)
}

/// Whether another user's process holds the lock, by what `/proc/locks` says (`proc_locks(5)`). No, if it does not say.
fn is_held_by_others(file: &File) -> bool {
    let Ok(about) = file.metadata() else { return false };
    let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    let inode = format!(":{}", about.ino());
    let holders = locks.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        match fields[..] {
            [_, "FLOCK", _, _, pid, place, ..] if place.ends_with(&inode) => Some(pid),
            _ => None,
        }
    });
    let me = geteuid().as_raw();
    // Another user's process may be out of sight (`ProtectProc=invisible`).
    let is_mine = |pid: &str| std::fs::metadata(format!("/proc/{pid}")).is_ok_and(|about| about.uid() == me);
    let mut holders = holders.peekable();
    holders.peek().is_some() && !holders.any(is_mine)
}

/// Waits until everything that a killed daemon had started has ended. A supervisor ends by itself once its daemon is gone, but
/// not before the next one could begin with the same directories; what has lost its supervisor is killed.
async fn orphans_end(lifeline: &Path) -> io::Result<()> {
    let (file, _) = open_private(lifeline)?;
    let end = Instant::now() + ORPHANS_TIME;
    loop {
        let path = lifeline.to_owned();
        let left = tokio::task::spawn_blocking(move || exec::end_orphans(&path));
        let left = left.await.map_err(io::Error::other)??;
        match file.try_lock() {
            Ok(()) if left == 0 => return Ok(()),
            Ok(()) => file.unlock()?,
            Err(std::fs::TryLockError::WouldBlock) => {}
            Err(std::fs::TryLockError::Error(error)) => return Err(error),
        }
        if Instant::now() >= end {
            tracing::warn!("a process that the previous hookd started does not end");
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Makes the directory anew: a crash left what is in it.
fn empty(directory: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() == ErrorKind::NotADirectory => std::fs::remove_file(directory)?,
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    DirBuilder::new().mode(0o700).create(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[tokio::test]
    async fn what_is_there_is_closed_and_the_lock_is_another_file() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        DirBuilder::new().create(&state).unwrap();
        for part in ["mirrors", "logs"] {
            DirBuilder::new().mode(0o777).create(state.join(part)).unwrap();
        }
        let stranger = File::create(state.join(LOCK)).unwrap();
        stranger.set_permissions(Permissions::from_mode(0o644)).unwrap();
        let owned = StateDir::own(&state).await.unwrap();
        for (part, expected) in [
            ("", 0o711),
            ("mirrors", 0o700),
            ("logs", 0o700),
            (LOCK, 0o600),
            (LIFELINE, 0o600),
        ] {
            assert_eq!(mode(&state.join(part)), expected, "{part}");
        }
        // Whoever had the old one open holds nothing that counts.
        stranger.try_lock().unwrap();
        assert!(StateDir::own(&state).await.is_err());
        drop(owned);
        StateDir::own(&state).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_in_the_way_is_replaced_or_named() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        DirBuilder::new().create(&state).unwrap();
        std::fs::write(state.join(SCRATCH), "").unwrap();
        StateDir::own(&state).await.unwrap().settle().await.unwrap();
        assert!(state.join(SCRATCH).is_dir());
        std::fs::remove_dir(state.join("logs")).unwrap();
        std::fs::write(state.join("logs"), "").unwrap();
        let refused = StateDir::own(&state).await.err().unwrap().to_string();
        assert!(refused.contains("logs is not a directory"), "{refused}");
    }
}
