//! A directory that is reached without following a link of somebody who is not trusted, and then held by its descriptor.
//!
//! `hookd add` and `hookd remove` run as root in directories of hookd's user, who may exchange any part of a path for a link at
//! any moment. A link counts only in a directory where nobody but root, or whoever runs the command, can have made it.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, fstat};
use nix::unistd::geteuid;
use zeroize::Zeroizing;

/// How a directory is held: to look things up in it, which needs no right to list it. A link is opened as such.
const HOLD: OFlag = OFlag::O_PATH.union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// Most links on the way, as the kernel has it (`path_resolution(7)`).
const LINKS_MAX: usize = 40;

/// Most that is read of a file, bytes: secrets and keys have a thousandth of it.
const TEXT_MAX: usize = 64 << 10;

/// A directory that is held.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
}

impl Directory {
    /// Reaches a directory by its absolute path. A link that is not trusted is refused as [`io::ErrorKind::PermissionDenied`].
    pub fn reach(path: &Path) -> io::Result<Self> {
        let mut here = open("/", HOLD, Mode::empty())?;
        let mut left = parts(path)?;
        let mut links = 0;
        while let Some(part) = left.pop_front() {
            let next = openat(&here, part.as_os_str(), HOLD, Mode::empty())?;
            let about = fstat(&next)?;
            if !is(&about, nix::libc::S_IFLNK) {
                here = next;
                continue;
            }
            links += 1;
            if links > LINKS_MAX {
                return Err(Errno::ELOOP.into());
            }
            if !is_trusted(&fstat(&here)?, &about) {
                return Err(untrusted(path, &part));
            }
            let to = PathBuf::from(readlinkat(&next, "")?);
            if to.is_absolute() {
                here = open("/", HOLD, Mode::empty())?;
            }
            let mut all = parts(&to)?;
            all.append(&mut left);
            left = all;
        }
        if !is(&fstat(&here)?, nix::libc::S_IFDIR) {
            return Err(Errno::ENOTDIR.into());
        }
        Ok(Self { fd: here })
    }

    /// Reaches the directory that a path is in, and gives what it is called there.
    pub fn of(path: &Path) -> io::Result<(Self, &OsStr)> {
        let (parent, name) = path.parent().zip(path.file_name()).ok_or(Errno::EINVAL)?;
        Ok((Self::reach(parent)?, name))
    }

    /// The path of an entry, whatever happens to the directory's own path: for as long as this is held.
    pub fn entry(&self, name: &OsStr) -> PathBuf {
        let number = self.fd.as_fd().as_raw_fd().to_string();
        Path::new("/proc/self/fd").join(number).join(name)
    }
}

/// The text of a file, reached by the same rule; of more than [`TEXT_MAX`] the beginning.
pub fn read(path: &Path) -> io::Result<Zeroizing<String>> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        let (directory, name) = Directory::of(&path)?;
        let found = openat(&directory.fd, name, HOLD, Mode::empty())?;
        let about = fstat(&found)?;
        if is(&about, nix::libc::S_IFREG) {
            let file = File::open(format!("/proc/self/fd/{}", found.as_raw_fd()))?;
            let mut text = Zeroizing::new(String::with_capacity(TEXT_MAX));
            file.take(TEXT_MAX as u64).read_to_string(&mut text)?;
            return Ok(text);
        }
        if !is(&about, nix::libc::S_IFLNK) {
            return Err(io::Error::other("not a file"));
        }
        if !is_trusted(&fstat(&directory.fd)?, &about) {
            return Err(untrusted(&path, name));
        }
        path = path.with_file_name(readlinkat(&found, "")?);
    }
    Err(Errno::ELOOP.into())
}

fn untrusted(path: &Path, part: &OsStr) -> io::Error {
    let text = format!(
        "{}: {} is a link that not only root could make",
        path.display(),
        part.display()
    );
    io::Error::new(io::ErrorKind::PermissionDenied, text)
}

/// What a path goes through, from its root or from wherever it is read.
fn parts(path: &Path) -> io::Result<VecDeque<OsString>> {
    let parts = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(Ok(name.to_owned())),
        Component::ParentDir => Some(Ok("..".into())),
        Component::RootDir | Component::CurDir => None,
        Component::Prefix(_) => Some(Err(Errno::EINVAL.into())),
    });
    parts.collect()
}

fn is(about: &FileStat, kind: nix::libc::mode_t) -> bool {
    about.st_mode & nix::libc::S_IFMT == kind
}

/// Whether nobody but root and this user can have put this link into that directory. In one that all may write to, as `/tmp`, the
/// sticky bit keeps it where its owner put it.
fn is_trusted(directory: &FileStat, link: &FileStat) -> bool {
    let is_ours = |about: &FileStat| about.st_uid == 0 || about.st_uid == geteuid().as_raw();
    let others_write = directory.st_mode & (nix::libc::S_IWGRP | nix::libc::S_IWOTH) != 0;
    let sticky = directory.st_mode & nix::libc::S_ISVTX != 0;
    is_ours(directory) && (!others_write || sticky && is_ours(link))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn links_count_where_only_the_trusted_can_make_them() {
        let top = tempfile::tempdir().unwrap();
        let top = top.path().canonicalize().unwrap();
        let (real, open) = (top.join("real"), top.join("open"));
        fs::create_dir_all(real.join("below")).unwrap();
        fs::create_dir(&open).unwrap();
        symlink("../real", open.join("link")).unwrap();
        symlink(&real, top.join("absolute")).unwrap();
        symlink("loop", top.join("loop")).unwrap();
        fs::write(real.join("file"), "x").unwrap();
        let reached = |path: &Path| {
            let path = path.join("below");
            let (directory, name) = Directory::of(&path).unwrap();
            assert!(directory.entry(name).is_dir(), "{}", path.display());
        };
        reached(&open.join("link"));
        reached(&top.join("absolute"));
        reached(&top.join("open/../real"));
        assert_eq!(
            Directory::reach(&top.join("loop")).unwrap_err().raw_os_error(),
            Some(Errno::ELOOP as i32)
        );
        assert_eq!(
            Directory::reach(&real.join("file")).unwrap_err().kind(),
            io::ErrorKind::NotADirectory
        );
        assert_eq!(
            Directory::reach(&top.join("none")).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );

        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        let refused = Directory::reach(&open.join("link/below")).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied, "{refused}");
        fs::set_permissions(&open, fs::Permissions::from_mode(0o1777)).unwrap();
        reached(&open.join("link"));
    }
}
