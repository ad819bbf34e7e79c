//! Takes a directory tree away, whatever builds and running programs have made of it.
//!
//! `std::fs::remove_dir_all` stops at the first thing that it cannot remove, and at any directory that its owner made
//! read-only. This goes on, and tells what stayed. Links are never followed, not even ones that take the place of a
//! directory at the last moment, and other file systems that are mounted below are left alone.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat, openat2, renameat};
use nix::sys::stat::{FchmodatFlags, Mode, fchmod, fchmodat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::unique;

/// Most problems that are told.
const PROBLEMS_MAX: usize = 10;

/// How deep directories are walked into, each of which costs a file descriptor; what is deeper is first moved up.
const DEPTH_MAX: usize = 64;

/// How often a directory is read anew, since files may appear while it is emptied. A program that makes them as fast as
/// they are removed is not waited for.
const ROUNDS_MAX: usize = 100;

/// What a directory needs so that its owner can empty it.
const OWN: Mode = Mode::S_IRWXU;

/// Removes `tree`, or as much of it as can be, and tells what could not be and why. A tree that is not there is fine.
pub(super) fn remove_tree(tree: &Path) -> Vec<String> {
    let Some((parent, name)) = tree.parent().zip(tree.file_name()) else {
        return vec![format!("{}: this is no directory to remove", tree.display())];
    };
    let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let open = openat(AT_FDCWD, parent, flags, Mode::empty()).and_then(|parent| {
        let name = CString::new(name.as_bytes()).map_err(|_| Errno::EINVAL)?;
        Ok((parent, name))
    });
    let (parent, name) = match open {
        Ok(open) => open,
        Err(Errno::ENOENT) => return Vec::new(),
        Err(error) => return vec![format!("{}: {}", parent.display(), error.desc())],
    };
    let mut removing = Removing {
        top: None,
        problems: BTreeSet::new(),
    };
    let mut rounds = 0;
    while removing.entry(&parent, &name, None, tree, 0) == Step::Again && rounds < ROUNDS_MAX {
        rounds += 1;
    }
    removing.problems.into_iter().collect()
}

/// What came of one entry.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// It is gone.
    Gone,
    /// It is still there, but another try may do it.
    Again,
    /// It stays.
    Stays,
}

struct Removing {
    /// The tree's own directory, once it is open.
    top: Option<OwnedFd>,
    problems: BTreeSet<String>,
}

impl Removing {
    fn stays(&mut self, path: &Path, error: Errno) -> Step {
        let why = match error {
            Errno::EXDEV => "another file system is mounted there",
            Errno::ENOTEMPTY => "something keeps making files there",
            Errno::EPERM => "Operation not permitted (is it immutable? see `lsattr`)",
            other => other.desc(),
        };
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.insert(format!("{}: {why}", path.display()));
        }
        Step::Stays
    }

    /// Removes `name` from the directory `dir`.
    fn entry(&mut self, dir: &OwnedFd, name: &CString, kind: Option<Type>, path: &Path, depth: usize) -> Step {
        if matches!(kind, None | Some(Type::Directory)) {
            match open_directory(dir, name) {
                Ok(child) => return self.directory(dir, name, child, path, depth),
                Err(Errno::ENOENT) => return Step::Gone,
                // It is not a directory, or no longer one.
                Err(Errno::ENOTDIR | Errno::ELOOP) => {}
                Err(error) => return self.stays(path, error),
            }
        }
        match unlinkat(dir, name.as_c_str(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Step::Gone,
            Err(Errno::EISDIR) => Step::Again,
            Err(error) => self.stays(path, error),
        }
    }

    fn directory(&mut self, dir: &OwnedFd, name: &CString, child: OwnedFd, path: &Path, depth: usize) -> Step {
        // If this is refused, so will be what needs it.
        let _ = fchmod(&child, OWN);
        if depth >= DEPTH_MAX {
            return self.move_up(dir, name, path);
        }
        if depth == 0 {
            self.top = child.try_clone().ok();
        }
        let emptied = self.empty(&child, path, depth);
        drop(child);
        match unlinkat(dir, name.as_c_str(), UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Step::Gone,
            // Something appeared in it.
            Err(Errno::ENOTEMPTY | Errno::EEXIST) if emptied => Step::Again,
            Err(Errno::ENOTEMPTY | Errno::EEXIST) => Step::Stays,
            Err(error) => self.stays(path, error),
        }
    }

    /// Moves a directory that is too deep right below the top, which is read again until it is empty.
    fn move_up(&mut self, dir: &OwnedFd, name: &CString, path: &Path) -> Step {
        let moved = match (&self.top, unique("deep-")) {
            (Some(top), Ok(new)) => renameat(dir, name.as_c_str(), top, new.as_str()),
            _ => Err(Errno::EMFILE),
        };
        match moved {
            Ok(()) => Step::Gone,
            Err(error) => self.stays(path, error),
        }
    }

    /// Removes what is in `dir`; true if it was seen empty.
    fn empty(&mut self, dir: &OwnedFd, path: &Path, depth: usize) -> bool {
        for _ in 0..ROUNDS_MAX {
            let entries = match read_directory(dir) {
                Ok(entries) if entries.is_empty() => return true,
                Ok(entries) => entries,
                Err(error) => {
                    self.stays(path, error);
                    return false;
                }
            };
            let mut progress = false;
            for (name, kind) in entries {
                let below = below(path, &name);
                progress |= self.entry(dir, &name, kind, &below, depth + 1) != Step::Stays;
            }
            if !progress {
                return false;
            }
        }
        self.stays(path, Errno::ENOTEMPTY);
        false
    }
}

fn below(path: &Path, name: &CString) -> PathBuf {
    path.join(std::ffi::OsStr::from_bytes(name.as_bytes()))
}

/// Opens a directory that is right in `dir`: no link, no mount point. One that its owner may not read is made readable.
fn open_directory(dir: &OwnedFd, name: &CString) -> nix::Result<OwnedFd> {
    match open_as_it_is(dir, name) {
        Err(Errno::EACCES) => {
            fchmodat(dir, name.as_c_str(), OWN, FchmodatFlags::NoFollowSymlink)?;
            open_as_it_is(dir, name)
        }
        result => result,
    }
}

fn open_as_it_is(dir: &OwnedFd, name: &CString) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let beneath = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_XDEV | ResolveFlag::RESOLVE_NO_SYMLINKS;
    match openat2(dir, name.as_c_str(), OpenHow::new().flags(flags).resolve(beneath)) {
        // Linux before 5.6.
        Err(Errno::ENOSYS) => openat(dir, name.as_c_str(), flags, Mode::empty()),
        result => result,
    }
}

/// What is in `dir`, with its kind where the file system tells it.
fn read_directory(dir: &OwnedFd) -> nix::Result<Vec<(CString, Option<Type>)>> {
    let mut entries = Vec::new();
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    for entry in Dir::openat(dir.as_fd(), c".", flags, Mode::empty())?.iter() {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            entries.push((entry.file_name().to_owned(), entry.file_type()));
        }
    }
    Ok(entries)
}
