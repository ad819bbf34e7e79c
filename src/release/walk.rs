//! Looks at everything in a tree: each file, directory and link once, never through a link, in the order of the names.
//!
//! Programs that run as others may write in there meanwhile, and exchange a directory for a link to one of hookd's own. So each
//! directory is held while its entries are looked at, and what is done to an entry is done by way of the one that is held.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::libc::{ELOOP, ENAMETOOLONG, ENOTDIR, O_DIRECTORY, O_NOFOLLOW, O_PATH};

use super::ReleaseError;

/// Longest path, bytes: no program gets at what is deeper (`PATH_MAX` of Linux).
const PATH_MAX: usize = 4095;

/// Something in a tree.
pub(super) struct Found<'a> {
    /// Its path, by which people know it.
    pub(super) path: &'a Path,
    /// The same entry by way of the directory that is held. Only what does not follow a link may be done with it.
    pub(super) held: &'a Path,
    /// What it is, if it is still the same.
    pub(super) is: &'a Metadata,
}

type Visit<'v> = &'v mut dyn FnMut(&Found<'_>) -> Result<bool, ReleaseError>;

/// Calls `visit` for `root` itself and all that is in it, parents first. False ends the descent there. What goes away
/// meanwhile is passed over.
pub(super) fn walk(root: &Path, visit: Visit<'_>) -> Result<(), ReleaseError> {
    let (Some(parent), Some(name)) = (root.parent(), root.file_name()) else {
        let error = io::Error::from(io::ErrorKind::InvalidInput);
        return Err(ReleaseError::io("looking at", root)(error));
    };
    match unless_gone(open(parent, 0)).map_err(ReleaseError::io("reading the directory", parent))? {
        Some(directory) => look(&directory, name, root, visit),
        None => Ok(()),
    }
}

fn look(directory: &File, name: &OsStr, path: &Path, visit: Visit<'_>) -> Result<(), ReleaseError> {
    let looking = || ReleaseError::io("looking at", path);
    if path.as_os_str().len() > PATH_MAX {
        return Err(looking()(io::Error::from_raw_os_error(ENAMETOOLONG)));
    }
    let held = held(directory).join(name);
    let Some(is) = unless_gone(fs::symlink_metadata(&held)).map_err(looking())? else {
        return Ok(());
    };
    let found = Found {
        path,
        held: &held,
        is: &is,
    };
    if !visit(&found)? || !is.is_dir() {
        return Ok(());
    }
    let reading = || ReleaseError::io("reading the directory", path);
    let Some(child) = unless_gone(open(&held, O_NOFOLLOW)).map_err(reading())? else {
        return Ok(());
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(self::held(&child)).map_err(reading())? {
        names.push(entry.map_err(reading())?.file_name());
    }
    names.sort_unstable();
    names
        .iter()
        .try_for_each(|name| look(&child, name, &path.join(name), visit))
}

/// The path of a directory that is held, wherever it is by now.
pub(super) fn held(directory: &File) -> PathBuf {
    Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string())
}

/// Holds a directory, for which it need not be readable.
pub(super) fn open(path: &Path, flags: i32) -> io::Result<File> {
    File::options()
        .read(true)
        .custom_flags(O_PATH | O_DIRECTORY | flags)
        .open(path)
}

/// None for what is not there, or is no directory any more.
fn unless_gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if matches!(error.raw_os_error(), Some(ENOTDIR | ELOOP)) => Ok(None),
        other => other.map(Some),
    }
}
