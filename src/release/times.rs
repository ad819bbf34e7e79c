//! Unchanged files keep their modification time from release to release, for web servers' `Last-Modified` and for tools that
//! compare times.

use std::fs::{self, File, FileTimes, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::libc::{O_NOFOLLOW, O_NONBLOCK};

/// Bytes that are compared at once.
const CHUNK: usize = 64 * 1024;

/// Gives each file in `new` the modification time of the same file in `old`, if both have the same content. What can't be
/// read or changed is passed over: nothing depends on it.
pub fn keep_times(old: &Path, new: &Path) {
    let Ok(entries) = fs::read_dir(new) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let (before, after) = (old.join(&name), new.join(&name));
        let (Ok(was), Ok(is)) = (fs::symlink_metadata(&before), fs::symlink_metadata(&after)) else {
            continue;
        };
        if was.is_dir() && is.is_dir() {
            keep_times(&before, &after);
        } else if may_be_unchanged(&was, &is) {
            // A time that stays new is no harm.
            let _ = keep_time(&before, &after);
        }
    }
}

fn may_be_unchanged(was: &Metadata, is: &Metadata) -> bool {
    let differs = was.modified().ok() != is.modified().ok();
    was.is_file() && is.is_file() && was.len() == is.len() && differs
}

fn keep_time(before: &Path, after: &Path) -> io::Result<()> {
    // Neither a link nor a pipe that takes a file's place at the last moment leads astray.
    let open = |path| {
        File::options()
            .read(true)
            .custom_flags(O_NOFOLLOW | O_NONBLOCK)
            .open(path)
    };
    let (mut was, mut is) = (open(before)?, open(after)?);
    if is_same(&mut was, &mut is)? {
        is.set_times(FileTimes::new().set_modified(was.metadata()?.modified()?))?;
    }
    Ok(())
}

fn is_same(one: &mut File, other: &mut File) -> io::Result<bool> {
    let (mut a, mut b) = (Vec::with_capacity(CHUNK), Vec::with_capacity(CHUNK));
    loop {
        a.clear();
        b.clear();
        one.take(CHUNK as u64).read_to_end(&mut a)?;
        other.take(CHUNK as u64).read_to_end(&mut b)?;
        if a != b {
            return Ok(false);
        }
        if a.is_empty() {
            return Ok(true);
        }
    }
}
