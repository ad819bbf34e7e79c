//! Files and directories with owner and mode: made if they are missing, and taken back if what comes later fails.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use nix::libc::{O_DIRECTORY, O_NOFOLLOW};

use super::Directory;

/// Whom a file is given to; none: it stays with who makes it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Owner {
    /// Number of the user.
    pub uid: Option<u32>,
    /// Number of the group.
    pub gid: Option<u32>,
}

/// What was made. Unless it is kept, it goes away with this value.
#[derive(Debug, Default)]
pub struct Made {
    paths: Vec<PathBuf>,
    kept: bool,
}

impl Made {
    /// Makes a directory and those above it; false if it is there already. Only the last one is given away.
    pub fn directory(&mut self, path: &Path, mode: u32, owner: Owner) -> io::Result<bool> {
        if path.is_dir() {
            return Ok(false);
        }
        let missing: Vec<&Path> = path.ancestors().take_while(|part| !part.exists()).collect();
        for part in missing.iter().rev() {
            let last = *part == path;
            let (parent, name) = Directory::of(part)?;
            let entry = parent.entry(name);
            DirBuilder::new().mode(if last { mode } else { 0o755 }).create(&entry)?;
            self.paths.push((*part).to_owned());
            if last {
                // Whoever may write in the parent can have exchanged it by now, but not for one of root's that holds anything.
                let opened = File::options()
                    .read(true)
                    .custom_flags(O_DIRECTORY | O_NOFOLLOW)
                    .open(&entry)?;
                if fs::read_dir(format!("/proc/self/fd/{}", opened.as_raw_fd()))?
                    .next()
                    .is_some()
                {
                    return Err(io::Error::other("somebody else changes it at the same time"));
                }
                opened.set_permissions(Permissions::from_mode(mode))?;
                fchown(&opened, owner.uid, owner.gid)?;
            }
        }
        Ok(true)
    }

    /// Makes a file, whole and on disk at once; false if there is one already, which stays as it is.
    pub fn file(&mut self, path: &Path, content: &[u8], mode: u32, owner: Owner) -> io::Result<bool> {
        let (directory, name) = Directory::of(path)?;
        let entry = directory.entry(name);
        if fs::symlink_metadata(&entry).is_ok() {
            return Ok(false);
        }
        let parent = entry.parent().unwrap_or(Path::new("/"));
        // Files that begin with a dot are no drop-ins, so a half-made one is never read.
        let mut new = tempfile::Builder::new().prefix(".hookd-").tempfile_in(parent)?;
        new.write_all(content)?;
        let file = new.as_file();
        fchown(file, owner.uid, owner.gid)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()?;
        match new.persist_noclobber(&entry) {
            Ok(_) => {}
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            Err(error) => return Err(error.error),
        }
        self.paths.push(path.to_owned());
        File::open(parent)?.sync_all()?;
        Ok(true)
    }

    /// Everything that was made stays.
    pub fn keep(mut self) {
        self.kept = true;
    }
}

/// Puts a file in the place of another one, whole and on disk at once.
pub fn replace(path: &Path, content: &[u8], mode: u32, owner: Owner) -> io::Result<()> {
    let (directory, name) = Directory::of(path)?;
    let entry = directory.entry(name);
    let parent = entry.parent().unwrap_or(Path::new("/"));
    let mut new = tempfile::Builder::new().prefix(".hookd-").tempfile_in(parent)?;
    new.write_all(content)?;
    fchown(new.as_file(), owner.uid, owner.gid)?;
    new.as_file().set_permissions(Permissions::from_mode(mode))?;
    new.as_file().sync_all()?;
    new.persist(&entry).map_err(|error| error.error)?;
    File::open(parent)?.sync_all()
}

impl Drop for Made {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        for path in self.paths.iter().rev() {
            let Ok((parent, name)) = Directory::of(path) else {
                continue;
            };
            let entry = parent.entry(name);
            // Best effort, and a directory in which somebody has put something stays.
            let gone = match fs::symlink_metadata(&entry) {
                Ok(about) if about.is_dir() => fs::remove_dir(entry),
                _ => fs::remove_file(entry),
            };
            drop(gone);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_kept_goes_and_what_was_there_stays() {
        let directory = tempfile::tempdir().unwrap();
        let (deep, old) = (directory.path().join("a/b"), directory.path().join("old"));
        fs::write(&old, "old").unwrap();
        let mut made = Made::default();
        assert!(made.directory(&deep, 0o750, Owner::default()).unwrap());
        assert!(!made.directory(&deep, 0o700, Owner::default()).unwrap());
        assert!(made.file(&deep.join("x"), b"new", 0o400, Owner::default()).unwrap());
        assert!(!made.file(&old, b"new", 0o400, Owner::default()).unwrap());
        let rights = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!((rights(&deep), rights(&deep.join("x"))), (0o750, 0o400));
        drop(made);
        assert!(!directory.path().join("a").exists());
        assert_eq!(fs::read_to_string(&old).unwrap(), "old");

        let mut made = Made::default();
        made.file(&directory.path().join("y"), b"y", 0o600, Owner::default())
            .unwrap();
        made.keep();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }
}
