//! Takes set-user-ID and set-group-ID bits away: with them a build could leave programs that give hookd's rights, or its
//! group's, to whoever runs them.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use nix::fcntl::AT_FDCWD;
use nix::libc::O_NOFOLLOW;
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat};

use super::walk::{Found, walk};
use super::{Layout, ReleaseError, unique};

/// The set-user-ID and set-group-ID bits.
const SET_ID: u32 = 0o6000;

/// The set-group-ID bit: on a directory it hands the directory's group down.
const SET_GROUP: u32 = 0o2000;

/// Most paths that are named.
const NAMED_MAX: usize = 5;

impl Layout {
    /// Clears the bits of all files and directories in `tree` and in the target's shared paths. Directories
    /// keep a set-group-ID bit that the target's own directory hands down. Returns what a person should read in the log.
    /// In an `untouched` tree, to which nothing but hookd has written, only directories can have them, from their parents.
    pub fn clear_set_ids(
        &self,
        tree: &Path,
        shared: &[String],
        untouched: bool,
    ) -> Result<Option<String>, ReleaseError> {
        let handed_down = fs::metadata(self.path())
            .ok()
            .filter(|found| found.mode() & SET_GROUP != 0);
        let group = handed_down.map(|found| found.gid());
        let mut cleared = Vec::new();
        let kept = shared
            .iter()
            .map(|entry| self.shared().join(entry.trim_end_matches('/')));
        let is_clear = untouched && fs::symlink_metadata(tree).is_ok_and(|found| found.mode() & SET_ID == 0);
        let tree = (!is_clear).then(|| tree.to_owned());
        for root in tree.into_iter().chain(kept) {
            walk(&root, &mut |found| {
                let is = found.is;
                let inherited = is.is_dir() && group == Some(is.gid()) && is.mode() & SET_ID == SET_GROUP;
                let is_root_in_place = found.path == self.path();
                if !is.is_symlink() && is.mode() & SET_ID != 0 && !inherited && !is_root_in_place {
                    clear(found)?;
                    cleared.push(found.path.to_owned());
                }
                Ok(true)
            })?;
        }
        Ok(told(&cleared, self.path()))
    }
}

fn told(cleared: &[PathBuf], below: &Path) -> Option<String> {
    let names = cleared.iter().take(NAMED_MAX);
    let names: Vec<String> = names
        .map(|path| path.strip_prefix(below).unwrap_or(path).display().to_string())
        .collect();
    let more = match cleared.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!cleared.is_empty()).then(|| {
        format!(
            "cleared the set-user-ID and set-group-ID bits of {}{more}",
            names.join(", ")
        )
    })
}

/// A file that has other names, or belongs to somebody else, is replaced by a copy: the other name may be a program of the
/// system, which needs its bits.
fn clear(found: &Found<'_>) -> Result<(), ReleaseError> {
    let mode = found.is.mode() & 0o7777 & !SET_ID;
    if !found.is.is_file() || found.is.nlink() == 1 {
        let bits = Mode::from_bits_truncate(mode);
        match fchmodat(AT_FDCWD, found.held, bits, FchmodatFlags::NoFollowSymlink) {
            Ok(()) => return Ok(()),
            Err(nix::errno::Errno::EPERM) if found.is.is_file() => {}
            Err(errno) => return Err(refused(found.path, &errno.into())),
        }
    }
    replace(found.held, found.is, mode).map_err(|error| refused(found.path, &error))
}

fn replace(path: &Path, found: &Metadata, mode: u32) -> io::Result<()> {
    let mut from = File::options().read(true).custom_flags(O_NOFOLLOW).open(path)?;
    let key = |about: &Metadata| (about.dev(), about.ino());
    if key(&from.metadata()?) != key(found) {
        return Err(io::Error::other("something else took its place"));
    }
    let copy = path.with_file_name(unique(".hookd-copy-")?);
    let mut fill = || -> io::Result<()> {
        let mut to = File::options().write(true).create_new(true).mode(0o600).open(&copy)?;
        io::copy(&mut from, &mut to)?;
        // Only root gives files away; others keep the copy.
        let _ = fchown(&to, Some(found.uid()), Some(found.gid()));
        to.set_permissions(fs::Permissions::from_mode(mode))?;
        fs::rename(&copy, path)
    };
    fill().inspect_err(|_| drop(fs::remove_file(&copy)))
}

fn refused(path: &Path, error: &io::Error) -> ReleaseError {
    ReleaseError::Obstacle(format!(
        "{} has a set-user-ID or set-group-ID bit, and hookd cannot clear it ({}); let `build` make it without",
        path.display(),
        super::reason(error)
    ))
}
