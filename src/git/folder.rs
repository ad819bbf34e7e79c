//! Files by descriptor: every step of a path is opened without following links, so that nothing in a directory can lead
//! a write out of it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, RenameFlags, openat, readlinkat, renameat, renameat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat, mkdirat};
use nix::unistd::{AccessFlags, Gid, Uid, UnlinkatFlags, faccessat, fchownat, symlinkat, unlinkat};

use super::GitError;

/// A directory that is written to.
pub(super) struct Folder {
    fd: OwnedFd,
    /// For messages.
    path: PathBuf,
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What a name in a directory is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    File { executable: bool, size: u64 },
    Link,
    Else,
}

const DIRECTORY: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

impl Folder {
    /// Opens a directory that the configuration names; this last time links are followed.
    pub(super) fn open(path: &Path) -> Result<Self, GitError> {
        let file = File::open(path).and_then(|f| {
            if f.metadata()?.is_dir() {
                Ok(f)
            } else {
                Err(Errno::ENOTDIR.into())
            }
        });
        let file = file.map_err(|e| GitError::disk(path, &e))?;
        Ok(Self {
            fd: file.into(),
            path: path.to_owned(),
        })
    }

    /// An error about something below.
    pub(super) fn error(&self, below: &Path, errno: Errno) -> GitError {
        GitError::disk(&self.path.join(below), &io::Error::from(errno))
    }

    /// Opens a directory that is no link.
    pub(super) fn open_real(path: &Path) -> Result<Self, Errno> {
        let fd = openat(AT_FDCWD, path, DIRECTORY | OFlag::O_NOFOLLOW, Mode::empty())?;
        Ok(Self {
            fd,
            path: path.to_owned(),
        })
    }

    /// Opens the directory `below`, step by step.
    pub(super) fn enter(&self, below: &Path) -> Result<Self, Errno> {
        let mut fd = self.fd.try_clone().map_err(|_| Errno::EMFILE)?;
        for step in below {
            fd = openat(fd.as_fd(), step, DIRECTORY | OFlag::O_NOFOLLOW, Mode::empty())?;
        }
        Ok(Self {
            fd,
            path: self.path.join(below),
        })
    }

    /// Splits a path below into its opened directory and its last name.
    pub(super) fn parent<'p>(&self, below: &'p Path) -> Result<(Self, &'p OsStr), Errno> {
        let name = below.file_name().ok_or(Errno::EINVAL)?;
        Ok((self.enter(below.parent().unwrap_or(Path::new("")))?, name))
    }

    /// Makes a directory, 0777 less the umask. This and the next two follow links within `name`, so it is a single name
    /// unless the directory is new and has no links yet.
    pub(super) fn make(&self, name: &Path) -> Result<(), Errno> {
        mkdirat(&self.fd, name, Mode::from_bits_truncate(0o777))
    }

    /// Makes a file that must not exist, 0666 or 0777 less the umask.
    pub(super) fn create(&self, name: &Path, executable: bool, content: &[u8]) -> io::Result<()> {
        self.create_empty(name, executable)?.write_all(content)
    }

    /// The same without content, open for reading, too.
    pub(super) fn create_empty(&self, name: &Path, executable: bool) -> io::Result<File> {
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mode = Mode::from_bits_truncate(if executable { 0o777 } else { 0o666 });
        Ok(File::from(openat(&self.fd, name, flags, mode)?))
    }

    /// Opens a file for reading. Neither a link nor a pipe in its place leads astray.
    pub(super) fn open_file(&self, name: &OsStr) -> Result<File, Errno> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        openat(&self.fd, name, flags, Mode::empty()).map(File::from)
    }

    /// What the name is, not what a link in its place points to.
    pub(super) fn stat(&self, name: &OsStr) -> Result<FileStat, Errno> {
        fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW)
    }

    /// What the directory itself is.
    pub(super) fn stat_itself(&self) -> Result<FileStat, Errno> {
        fstat(&self.fd)
    }

    /// Gives a name, not what a link in its place points to, to an owner.
    pub(super) fn give(&self, name: &OsStr, (uid, gid): (u32, u32)) -> Result<(), Errno> {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        fchownat(&self.fd, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)
    }

    /// Where a link leads; empty if it is none.
    pub(super) fn link_target(&self, name: &OsStr) -> OsString {
        readlinkat(&self.fd, name).unwrap_or_default()
    }

    /// Makes a symbolic link that must not exist.
    pub(super) fn link(&self, name: &Path, target: &OsStr) -> Result<(), Errno> {
        symlinkat(target, &self.fd, name)
    }

    pub(super) fn look(&self, name: &OsStr) -> Result<Found, Errno> {
        let stat = match fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Err(Errno::ENOENT) => return Ok(Found::Nothing),
            other => other?,
        };
        Ok(match SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) {
            SFlag::S_IFREG => Found::File {
                executable: stat.st_mode & 0o100 != 0,
                size: u64::try_from(stat.st_size).unwrap_or(0),
            },
            SFlag::S_IFLNK => Found::Link,
            _ => Found::Else,
        })
    }

    /// Whether a file has exactly this content.
    pub(super) fn holds(&self, name: &OsStr, content: &[u8]) -> io::Result<bool> {
        let mut file = self.open_file(name)?;
        let mut rest = content;
        let mut buffer = [0; 16 * 1024];
        loop {
            let count = file.read(&mut buffer)?;
            if count == 0 {
                return Ok(rest.is_empty());
            }
            match rest.strip_prefix(&buffer[..count]) {
                Some(after) => rest = after,
                None => return Ok(false),
            }
        }
    }

    pub(super) fn points_to(&self, name: &OsStr, target: &OsStr) -> bool {
        readlinkat(&self.fd, name).is_ok_and(|t| t == target)
    }

    pub(super) fn rename_to(&self, name: &OsStr, to: &Self, new_name: &OsStr) -> Result<(), Errno> {
        renameat(&self.fd, name, &to.fd, new_name)
    }

    /// Lets two names change places, at once.
    pub(super) fn swap(&self, name: &OsStr, with: &Self, other: &OsStr) -> Result<(), Errno> {
        renameat2(&self.fd, name, &with.fd, other, RenameFlags::RENAME_EXCHANGE)
    }

    /// The names in it.
    pub(super) fn names(&self) -> Result<Vec<OsString>, Errno> {
        let mut names = Vec::new();
        for entry in Dir::openat(&self.fd, c".", DIRECTORY, Mode::empty())?.iter() {
            let name = entry?.file_name().to_owned();
            if !matches!(name.to_bytes(), b"." | b"..") {
                names.push(OsStr::from_bytes(name.to_bytes()).to_owned());
            }
        }
        Ok(names)
    }

    /// Whether this user may make and remove names in it.
    pub(super) fn require_writable(&self) -> Result<(), Errno> {
        faccessat(
            &self.fd,
            c".",
            AccessFlags::W_OK | AccessFlags::X_OK,
            AtFlags::AT_EACCESS,
        )
    }

    /// Removes a file or link; false if there is none.
    pub(super) fn remove(&self, name: &OsStr) -> Result<bool, Errno> {
        match unlinkat(&self.fd, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) => Ok(true),
            Err(Errno::ENOENT | Errno::EISDIR | Errno::EPERM) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// Removes a directory if it is empty.
    pub(super) fn remove_empty(&self, name: &OsStr) -> bool {
        unlinkat(&self.fd, name, UnlinkatFlags::RemoveDir).is_ok()
    }

    /// Brings everything on its file system to the disk.
    pub(super) fn sync(&self) -> Result<(), Errno> {
        nix::unistd::syncfs(&self.fd)
    }
}
