//! Changes the owner of a tree to the user that commands run as.

use std::fs;
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::Path;

use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat};
use nix::unistd::{Uid, User};

use super::walk::walk;
use super::{Layout, ReleaseError};

impl Layout {
    /// Gives each file and directory of a tree to a group, with the rights that its owner has, as far as they are this user's:
    /// for commands that run as another user, in that group. Links, and what they point at, are left alone.
    pub fn open_to_group(&self, tree: &Path, group: u32) -> Result<(), ReleaseError> {
        open(tree, Uid::effective().as_raw(), group)
    }

    /// Makes `user` the owner of a staged tree and of everything in it; links themselves, never what they point at.
    /// Nothing is done if hookd already runs as that user.
    pub fn give_to(&self, staging: &Path, user: &str) -> Result<(), ReleaseError> {
        match self.owner(user)? {
            Some((uid, gid)) => give(staging, uid, gid),
            None => Ok(()),
        }
    }

    /// The user and group that a tree is given to; `None` if hookd already runs as that user.
    pub fn owner(&self, user: &str) -> Result<Option<(u32, u32)>, ReleaseError> {
        let found = User::from_name(user).map_err(ReleaseError::io("looking up the user of", self.path()))?;
        let found = found.ok_or_else(|| ReleaseError::Obstacle(format!("`run_as`: there is no user {user}")))?;
        Ok((found.uid != Uid::effective()).then(|| (found.uid.as_raw(), found.gid.as_raw())))
    }
}

impl Layout {
    /// Makes `user` the owner of the shared directories that are hookd's own so far: commands that run as that user write
    /// there. Files that a person put into `shared` by themselves keep their owner.
    pub fn give_shared(&self, shared: &[String], user: &str) -> Result<(), ReleaseError> {
        let (root, me) = (self.shared(), Uid::effective());
        let found = User::from_name(user).map_err(ReleaseError::io("looking up the user of", &root))?;
        let Some(user) = found.filter(|user| user.uid != me) else {
            return Ok(());
        };
        for path in shared.iter().map(|entry| root.join(entry.trim_end_matches('/'))) {
            let own = |found: &fs::Metadata| found.is_dir() && found.uid() == me.as_raw();
            if path.symlink_metadata().is_ok_and(|found| own(&found)) {
                give(&path, user.uid.as_raw(), user.gid.as_raw())?;
            }
        }
        Ok(())
    }
}

fn open(tree: &Path, me: u32, group: u32) -> Result<(), ReleaseError> {
    walk(tree, &mut |found| {
        let opening = || ReleaseError::io("letting the group into", found.path);
        if found.is.is_symlink() {
            return Ok(false);
        }
        let mode = found.is.mode() & 0o7777;
        let wanted = mode | (mode & 0o700) >> 3;
        if found.is.uid() == me && found.is.gid() != group {
            lchown(found.held, None, Some(group)).map_err(opening())?;
        }
        if found.is.uid() == me && mode != wanted {
            let bits = Mode::from_bits_truncate(wanted);
            let opened = fchmodat(AT_FDCWD, found.held, bits, FchmodatFlags::NoFollowSymlink);
            opened.map_err(|errno| opening()(errno.into()))?;
        }
        Ok(true)
    })
}

fn give(tree: &Path, uid: u32, gid: u32) -> Result<(), ReleaseError> {
    walk(tree, &mut |found| {
        // What is theirs already keeps its times.
        if (found.is.uid(), found.is.gid()) != (uid, gid) {
            let given = lchown(found.held, Some(uid), Some(gid));
            given.map_err(ReleaseError::io("changing the owner of", found.path))?;
        }
        Ok(true)
    })
}
