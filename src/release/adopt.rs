//! A release that another program made becomes one of hookd's, without a moment in which it is not there.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use super::{Layout, ReleaseError, ReleaseName, sync_directory};
use crate::model::{CommitId, Timestamp};

/// The file in which Capistrano and Deployer keep the commit of a release.
const REVISION: &str = "REVISION";

impl Layout {
    /// Gives the release that `current` points at a name of hookd's, if it is a directory in `releases`; `None` if it is not. Its
    /// old name becomes a link to the new one in the same step, so whoever uses either path goes on.
    pub fn adopt(&self) -> Result<Option<(ReleaseName, Option<CommitId>)>, ReleaseError> {
        let Some(old) = self.foreign_release() else {
            return Ok(None);
        };
        let name = match self.renamed_before(&old) {
            Some(name) => name,
            None => self.rename(&old)?,
        };
        self.activate(&name)?;
        let commit = revision(&self.release(&name));
        Ok(Some((name, commit)))
    }

    fn rename(&self, old: &Path) -> Result<ReleaseName, ReleaseError> {
        let made = fs::metadata(old).and_then(|about| about.modified());
        let made = made.map_err(ReleaseError::io("looking at", old))?;
        let millis = made.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let made = Timestamp(i64::try_from(millis).unwrap_or_default());
        let name = self.name(made, &revision(old).unwrap_or_else(CommitId::zero), None)?;
        let new = self.release(&name);
        // A link to itself that nobody knows yet; once both have changed places it leads to the directory.
        symlink(name.as_str(), &new).map_err(ReleaseError::io("making the link", &new))?;
        if let Err(error) = renameat2(AT_FDCWD, &new, AT_FDCWD, old, RenameFlags::RENAME_EXCHANGE) {
            // Nothing has changed but for the link, which leads nowhere.
            let _ = fs::remove_file(&new);
            return Err(ReleaseError::io("renaming", old)(std::io::Error::from(error)));
        }
        sync_directory(&self.releases())?;
        Ok(name)
    }

    /// What `current` leads to, if it is directly in `releases`.
    fn foreign_release(&self) -> Option<PathBuf> {
        let target = self.path.join(fs::read_link(self.current_link()).ok()?);
        let parent = fs::canonicalize(target.parent()?).ok()?;
        let here = fs::canonicalize(self.releases()).ok()? == parent;
        let directory = self.releases().join(target.file_name()?);
        (here && directory.is_dir()).then_some(directory)
    }

    /// The release that an old name leads to after a crash in the middle.
    fn renamed_before(&self, old: &Path) -> Option<ReleaseName> {
        let name: ReleaseName = fs::read_link(old).ok()?.to_str()?.parse().ok()?;
        self.is_intact(&name).then_some(name)
    }
}

fn revision(release: &Path) -> Option<CommitId> {
    fs::read_to_string(release.join(REVISION)).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_live_release_is_renamed_and_both_its_names_lead_to_it() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path());
        let old = directory.path().join("releases/20240102030405");
        fs::create_dir_all(&old).unwrap();
        fs::write(old.join("REVISION"), format!("{}\n", "a1".repeat(20))).unwrap();
        symlink(&old, layout.current_link()).unwrap();
        let (name, commit) = layout.adopt().unwrap().unwrap();
        assert!(name.as_str().ends_with("-a1a1a1a"), "{name}");
        assert_eq!(commit, Some("a1".repeat(20).parse().unwrap()));
        for path in [old.clone(), layout.release(&name), layout.current_link()] {
            assert!(path.join("REVISION").is_file(), "{}", path.display());
        }
        assert!(layout.is_intact(&name));
        // Again after a crash: the link still has the old name.
        fs::remove_file(layout.current_link()).unwrap();
        symlink(&old, layout.current_link()).unwrap();
        assert_eq!(layout.adopt().unwrap().unwrap().0, name);
        // What leads elsewhere is somebody's own.
        fs::remove_file(layout.current_link()).unwrap();
        symlink("/tmp", layout.current_link()).unwrap();
        assert_eq!(layout.adopt().unwrap(), None);
    }
}
