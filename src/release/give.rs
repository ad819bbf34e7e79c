//! Gives a tree to the user that commands run as.

use std::os::unix::fs::lchown;
use std::path::Path;

use nix::unistd::{Uid, User};

use super::{Layout, ReleaseError};

impl Layout {
    /// Makes `user` the owner of a staged tree and of everything in it; links themselves, never what they point at.
    /// Nothing is done if hookd already runs as that user.
    pub fn give_to(&self, staging: &Path, user: &str) -> Result<(), ReleaseError> {
        let found = User::from_name(user).map_err(ReleaseError::io("looking up the user of", staging))?;
        let found = found.ok_or_else(|| ReleaseError::Obstacle(format!("`run_as`: there is no user {user}")))?;
        if found.uid == Uid::effective() {
            return Ok(());
        }
        give(staging, found.uid.as_raw(), found.gid.as_raw())
    }
}

fn give(path: &Path, uid: u32, gid: u32) -> Result<(), ReleaseError> {
    lchown(path, Some(uid), Some(gid)).map_err(ReleaseError::io("changing the owner of", path))?;
    let is_directory = path
        .symlink_metadata()
        .map_err(ReleaseError::io("reading", path))?
        .is_dir();
    if !is_directory {
        return Ok(());
    }
    for entry in std::fs::read_dir(path).map_err(ReleaseError::io("reading", path))? {
        give(&entry.map_err(ReleaseError::io("reading", path))?.path(), uid, gid)?;
    }
    Ok(())
}
