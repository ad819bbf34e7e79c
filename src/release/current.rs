//! The link `current`: read, moved and taken away.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::{LINK_PREFIX, Layout, ReleaseError, ReleaseName, sync_directory, unique};

/// What `current` points at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Current {
    /// There is no `current`: nothing is live yet.
    None,
    /// A release of hookd; its directory may be gone.
    Release(ReleaseName),
    /// Something that hookd did not make: the link's target, or what it is instead of a link.
    Foreign(String),
}

impl Layout {
    /// What is live.
    pub fn current(&self) -> io::Result<Current> {
        match fs::read_link(self.current_link()) {
            Ok(target) => Ok(self
                .release_of(&target)
                .map_or_else(|| Current::Foreign(target.display().to_string()), Current::Release)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Current::None),
            // Not a link.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(Current::Foreign("not a link".to_owned())),
            Err(error) => Err(error),
        }
    }

    /// Whether what was live is gone: there is no link, or it leads to a release that is not there.
    pub fn is_lost(&self) -> io::Result<bool> {
        Ok(match self.current()? {
            Current::None => true,
            Current::Release(name) => !self.is_intact(&name),
            Current::Foreign(_) => false,
        })
    }

    /// The release that a link in `path` with that target points at. A person may have set it with an absolute target.
    fn release_of(&self, target: &Path) -> Option<ReleaseName> {
        let relative = target
            .strip_prefix(&self.path)
            .or(target.strip_prefix("."))
            .unwrap_or(target);
        let name = relative.strip_prefix("releases").ok()?;
        name.to_str()?.trim_end_matches('/').parse().ok()
    }

    /// Makes a release live, by one rename, once the link is on disk. The release is there since it was sealed.
    pub fn activate(&self, name: &ReleaseName) -> Result<(), ReleaseError> {
        if !self.is_intact(name) {
            return Err(ReleaseError::Obstacle(format!(
                "release {name} cannot go live: {} is no directory",
                self.release(name).display()
            )));
        }
        let link = self.current_link();
        let moving = ReleaseError::io("pointing at the release from", &link);
        let temporary = self
            .path
            .join(unique(LINK_PREFIX).map_err(ReleaseError::io("naming a link in", &self.path))?);
        symlink(Path::new("releases").join(name.as_str()), &temporary)
            .map_err(ReleaseError::io("making the link", &temporary))?;
        let switch = || -> Result<(), ReleaseError> {
            // The link must not reach the disk after its new name has.
            sync_directory(&self.path)?;
            self.refuse_if_no_link()?;
            fs::rename(&temporary, &link).map_err(moving)
        };
        if let Err(error) = switch() {
            // A leftover is swept at the next start; the error that matters is the one above.
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
        sync_directory(&self.path)
    }

    /// Takes `current` away, if it is a link: for a first release that failed its check. The release itself stays.
    pub fn deactivate(&self) -> Result<(), ReleaseError> {
        self.refuse_if_no_link()?;
        let link = self.current_link();
        match fs::remove_file(&link) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            result => result.map_err(ReleaseError::io("taking away the link", &link))?,
        }
        sync_directory(&self.path)
    }

    /// A `current` that is a file or directory is somebody's own: it must not be lost.
    pub(super) fn refuse_if_no_link(&self) -> Result<(), ReleaseError> {
        let link = self.current_link();
        let what = match fs::symlink_metadata(&link) {
            Ok(found) if found.is_symlink() => return Ok(()),
            Ok(found) if found.is_dir() => "directory",
            Ok(_) => "file",
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(ReleaseError::io("looking at", &link)(error)),
        };
        Err(ReleaseError::Obstacle(format!(
            "{0} is a {what}, and hookd needs to put a link there; move it away, for instance by `mv {0} {0}.before-hookd`",
            link.display()
        )))
    }
}
