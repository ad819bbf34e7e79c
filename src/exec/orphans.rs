//! Commands whose daemon and supervisor were killed at the same moment: found by the mark that they inherited, and ended.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io;
use std::os::fd::IntoRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::fcntl::{OFlag, open};
use nix::libc::O_PATH;
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, getppid};

use super::descendants::processes;

/// Marks this process, and all that it starts, as working for the deployments of the daemon with that lifeline: by a descriptor
/// that names the file and opens nothing. Nobody can lock, read or write by it.
pub(super) fn mark(lifeline: &Path) -> io::Result<()> {
    let mark = open(lifeline, OFlag::O_PATH | OFlag::O_NOFOLLOW, Mode::empty())?;
    // It stays open, also in the program that this process becomes.
    let _ = mark.into_raw_fd();
    Ok(())
}

/// Kills what is marked with that lifeline, and what was started below it; gives how many processes that were. For a daemon that
/// has just started and runs nothing yet.
pub fn end_orphans(lifeline: &Path) -> io::Result<usize> {
    let about = fs::metadata(lifeline)?;
    let all = processes()?;
    let mut orphans: BTreeSet<i32> = all
        .iter()
        .map(|process| process.pid)
        .filter(|pid| is_marked(*pid, (about.dev(), about.ino())))
        .collect();
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for process in &all {
        children.entry(process.parent).or_default().push(process.pid);
    }
    let mut below: Vec<i32> = orphans.iter().copied().collect();
    while let Some(pid) = below.pop() {
        below.extend(children.remove(&pid).unwrap_or_default());
        orphans.insert(pid);
    }
    for own in [Pid::this(), getppid()] {
        orphans.remove(&own.as_raw());
    }
    for pid in &orphans {
        // One that has ended meanwhile is what is wanted; one that can't be killed is still there at the next look.
        let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
    }
    Ok(orphans.len())
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
