//! Files and directories with owner and mode: made if they are missing, and taken back if what comes later fails.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown, fchown};
use std::path::{Path, PathBuf};

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
            DirBuilder::new().mode(if last { mode } else { 0o755 }).create(part)?;
            self.paths.push((*part).to_owned());
            if last {
                fs::set_permissions(part, Permissions::from_mode(mode))?;
                chown(part, owner.uid, owner.gid)?;
            }
        }
        Ok(true)
    }

    /// Makes a file, whole and on disk at once; false if there is one already, which stays as it is.
    pub fn file(&mut self, path: &Path, content: &[u8], mode: u32, owner: Owner) -> io::Result<bool> {
        if fs::symlink_metadata(path).is_ok() {
            return Ok(false);
        }
        let directory = path.parent().unwrap_or(Path::new("/"));
        // Files that begin with a dot are no drop-ins, so a half-made one is never read.
        let mut new = tempfile::Builder::new().prefix(".hookd-").tempfile_in(directory)?;
        new.write_all(content)?;
        let file = new.as_file();
        fchown(file, owner.uid, owner.gid)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()?;
        match new.persist_noclobber(path) {
            Ok(_) => {}
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            Err(error) => return Err(error.error),
        }
        self.paths.push(path.to_owned());
        File::open(directory)?.sync_all()?;
        Ok(true)
    }

    /// Everything that was made stays.
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        for path in self.paths.iter().rev() {
            // Best effort, and a directory in which somebody has put something stays.
            let gone = if path.is_dir() {
                fs::remove_dir(path)
            } else {
                fs::remove_file(path)
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
