//! Where the manifests of a target's releases are: `STATE/manifests/REPO/TARGET/RELEASE`. They are a cache: a release without one is
//! the source of nothing.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use crate::config::{Config, Target};
use crate::release::{Layout, ReleaseName};

/// The manifests of one target.
#[derive(Clone)]
pub(super) struct Manifests(PathBuf);

impl Manifests {
    pub(super) fn new(config: &Config, target: &Target) -> Self {
        let (repo, name) = (target.id.repo.as_str(), target.id.target.as_str());
        Self(config.state_dir.join("manifests").join(repo).join(name))
    }

    /// That of a release.
    pub(super) fn of(&self, name: &ReleaseName) -> PathBuf {
        self.0.join(name.as_str())
    }

    /// Where that of a new release is written: nothing is there, and the directory is. `None` if that can't be.
    pub(super) fn fresh(&self, name: &ReleaseName) -> Option<PathBuf> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.0);
        let path = self.of(name);
        // From a deployment that was cut off and has the same name again.
        let _ = fs::remove_file(&path);
        made.is_ok().then_some(path)
    }

    /// Removes those of releases that are gone.
    pub(super) fn sweep(&self, layout: &Layout) {
        let (Ok(entries), Ok(kept)) = (fs::read_dir(&self.0), layout.list()) else {
            return;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if !kept.iter().any(|kept| *kept.as_str() == *name) {
                // Nobody needs it; the next sweep tries again.
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}
