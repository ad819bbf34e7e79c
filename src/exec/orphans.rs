//! Commands whose supervisor was killed, alone or with its daemon: found by the mark that they inherited, and ended.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io;
use std::os::fd::IntoRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::libc::O_PATH;
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, getppid};

use super::descendants::{Process, processes};

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Marks this process, and all that it starts, as working for the deployments of the daemon with that lifeline: by a descriptor
/// that names the file and opens nothing. Nobody can lock, read or write by it.
pub(super) fn mark(lifeline: &Path) -> io::Result<()> {
    let mark = open(lifeline, OFlag::O_PATH | OFlag::O_NOFOLLOW, Mode::empty())?;
    // It stays open, also in the program that this process becomes.
    let _ = mark.into_raw_fd();
    Ok(())
}

/// Kills processes marked with that lifeline that have lost their supervisor, and all below them; gives how many processes
/// that were, with those that have to be looked at again. What is below a living child of this process is not touched.
pub fn end_orphans(lifeline: &Path) -> io::Result<usize> {
    let about = fs::metadata(lifeline)?;
    let all = processes()?;
    let marked = |pid: &i32| is_marked(*pid, (about.dev(), about.ino()));
    let own = Pid::this().as_raw();
    let supervisors = all
        .iter()
        .filter(|process| process.parent == own)
        .map(|process| process.pid);
    let supervised = with_descendants(&all, supervisors.filter(|pid| !marked(pid)).collect());
    let parents: HashMap<i32, i32> = all.iter().map(|process| (process.pid, process.parent)).collect();
    let found = all.iter().map(|process| process.pid);
    let (known, unclear): (Vec<i32>, Vec<i32>) = found
        .filter(|pid| !supervised.contains(pid) && marked(pid))
        .partition(|pid| is_complete(&parents, *pid));
    let mut orphans = with_descendants(&all, known);
    for own in [Pid::this(), getppid()] {
        orphans.remove(&own.as_raw());
    }
    for pid in &orphans {
        // One that has ended meanwhile is what is wanted; one that can't be killed is still there at the next look.
        let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
    }
    Ok(orphans.len() + unclear.len())
}

/// Does the same until none is left, or the time is over.
pub(super) async fn end_orphans_within(lifeline: &Path, time: Duration) {
    let look = || {
        let path = lifeline.to_owned();
        tokio::task::spawn_blocking(move || end_orphans(&path))
    };
    let ended = async {
        while look().await.is_ok_and(|left| left.is_ok_and(|left| left > 0)) {
            tokio::time::sleep(PAUSE).await;
        }
    };
    if tokio::time::timeout(time, ended).await.is_err() {
        tracing::warn!("cannot kill the processes of a command whose supervisor was killed; they still run");
    }
}

/// These processes and all below them.
fn with_descendants(all: &[Process], roots: Vec<i32>) -> BTreeSet<i32> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for process in all {
        children.entry(process.parent).or_default().push(process.pid);
    }
    let (mut found, mut next) = (BTreeSet::new(), roots);
    while let Some(pid) = next.pop() {
        next.extend(children.remove(&pid).unwrap_or_default());
        found.insert(pid);
    }
    found
}

/// Whether each ancestor is there, though it may be out of sight (`ProtectProc=invisible`). Of one that ended meanwhile it is not
/// known whose child the process is now.
fn is_complete(parents: &HashMap<i32, i32>, pid: i32) -> bool {
    let ancestors = std::iter::successors(Some(pid), |pid| parents.get(pid).copied().filter(|parent| *parent != 0));
    let exists = |pid: i32| parents.contains_key(&pid) || kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH);
    ancestors.take(parents.len() + 1).all(exists)
}

/// Whether a process has the mark open. One whose files this user may not see has not.
fn is_marked(pid: i32, file: (u64, u64)) -> bool {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    entries.flatten().any(|entry| {
        let about = fs::metadata(entry.path());
        about.is_ok_and(|about| (about.dev(), about.ino()) == file)
            && is_path_only(pid, &entry.file_name().to_string_lossy())
    })
}

/// Whether a descriptor is of the kind that [`mark`] leaves; a backup that reads the file has another.
fn is_path_only(pid: i32, number: &str) -> bool {
    let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).unwrap_or_default();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| i32::from_str_radix(flags.trim(), 8).ok());
    flags.is_some_and(|flags| flags & O_PATH != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_whose_ancestor_was_not_seen_is_unclear() {
        // No process has a number that great (`proc_sys_kernel(5)`: pid_max is at most 2^22), and the first is always there.
        let parents = HashMap::from([(5, 1), (6, 5), (8, 1 << 23)]);
        assert!(is_complete(&parents, 6));
        assert!(!is_complete(&parents, 8));
    }
}
