//! Which releases stay, and the removal of the others.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::remove::remove_tree;
use super::{
    Current, GONE_PREFIX, HISTORY_PREFIX, LINK_PREFIX, Layout, ReleaseError, ReleaseName, SEED_PREFIX, SPARE_PREFIX,
    STAGING_PREFIX,
};
use super::{names_in, unique};

/// Which releases stay. Those that are live stay anyway.
#[derive(Debug, Default, Clone)]
pub struct Keep {
    /// How many good ones.
    pub count: usize,
    /// The good ones, newest first. Only releases in the store count: directories that a build makes in `releases/` do not.
    pub good: Vec<ReleaseName>,
    /// Good or not, they are known. A directory that is not was there before the store was made anew, or a crash brought it
    /// back: it stays as long as there are not enough good ones.
    pub known: Vec<ReleaseName>,
    /// These stay, too.
    pub protected: Vec<ReleaseName>,
}

impl Keep {
    /// Those among `existing` (newest first) that go.
    fn superfluous(&self, existing: &[ReleaseName]) -> Vec<ReleaseName> {
        let good = self.good.iter().filter(|name| existing.contains(name));
        let unknown = existing.iter().filter(|name| !self.known.contains(name));
        let kept: Vec<&ReleaseName> = good.chain(unknown).take(self.count).collect();
        let goes = |name: &&ReleaseName| !kept.contains(name) && !self.protected.contains(name);
        existing.iter().filter(goes).cloned().collect()
    }
}

impl Layout {
    /// The releases that are neither live nor to be kept, newest first. The caller forgets them, and then removes them: in
    /// this order a crash leaves no record of a release that is gone.
    pub fn superfluous(&self, keep: &Keep) -> Result<Vec<ReleaseName>, ReleaseError> {
        let mut names = keep.superfluous(&self.list()?);
        // If it cannot be told what is live, nothing is removed.
        if let Current::Release(live) = self
            .current()
            .map_err(ReleaseError::io("reading", self.current_link()))?
        {
            names.retain(|name| *name != live);
        }
        Ok(names)
    }

    /// What was to be removed and is still there, and is no longer a release: other users' files, say. Empty while
    /// everything could be removed; for a look when no deployment of the target runs.
    pub fn unremoved(&self) -> Result<Vec<PathBuf>, ReleaseError> {
        let releases = self.releases();
        let names = names_in(&releases)?;
        let gone = names.iter().filter(|name| name.starts_with(GONE_PREFIX));
        Ok(gone.map(|name| releases.join(name)).collect())
    }

    /// Removes a release that is not live: first its name, so that no half of it can ever be taken for a release. Returns
    /// what could not be removed, and why. A release that is not there is fine.
    pub fn remove(&self, name: &ReleaseName) -> Result<Vec<String>, ReleaseError> {
        let release = self.release(name);
        if self
            .current()
            .map_err(ReleaseError::io("reading", self.current_link()))?
            == Current::Release(name.clone())
        {
            return Err(ReleaseError::Obstacle(format!(
                "release {name} is live and is not removed"
            )));
        }
        let removing = ReleaseError::io("removing the release", &release);
        let gone = match unique(&format!("{GONE_PREFIX}{name}-")) {
            Ok(gone) => self.releases().join(gone),
            Err(error) => return Err(removing(error)),
        };
        self.remove_seal(name)?;
        match fs::rename(&release, &gone) {
            Ok(()) => Ok(remove_tree(&gone)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(removing(error)),
        }
    }

    /// Removes the spare copies of releases other than `kept`. Returns what could not be removed, and why.
    pub fn sweep_spares(&self, kept: Option<&ReleaseName>) -> Result<Vec<String>, ReleaseError> {
        let releases = self.releases();
        let mut problems = Vec::new();
        for name in names_in(&releases)? {
            let is_kept = kept.is_some_and(|kept| releases.join(&name) == self.spare(kept));
            if name.starts_with(SPARE_PREFIX) && !is_kept {
                problems.extend(remove_tree(&releases.join(name)));
            }
        }
        Ok(problems)
    }

    /// Removes a copy that was not finished. Returns what could not be removed, and why.
    pub fn remove_staged_spare(&self, deployment: i64) -> Vec<String> {
        remove_tree(&self.staged_spare(deployment))
    }

    /// Removes the history of a build. Returns what could not be removed, and why.
    pub fn remove_history(&self, deployment: i64) -> Vec<String> {
        remove_tree(&self.history(deployment))
    }

    /// Removes what a deployment or a crash may have left: unfinished releases, half-removed ones, links that never became
    /// `current`. To be called when no deployment of this target runs. Returns what could not be removed, and why.
    pub fn sweep(&self) -> Result<Vec<String>, ReleaseError> {
        let mut problems = Vec::new();
        let mut sweep = |directory: &Path, prefixes: &[&str]| -> Result<(), ReleaseError> {
            let names = names_in(directory)?;
            for name in names
                .iter()
                .filter(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)))
            {
                problems.extend(remove_tree(&directory.join(name)));
            }
            Ok(())
        };
        sweep(&self.releases(), &[STAGING_PREFIX, HISTORY_PREFIX, GONE_PREFIX])?;
        sweep(&self.shared(), &[SEED_PREFIX])?;
        let is_link = |name: &&String| fs::symlink_metadata(self.path.join(name)).is_ok_and(|found| found.is_symlink());
        for name in names_in(&self.path)?
            .iter()
            .filter(|name| name.starts_with(LINK_PREFIX))
            .filter(is_link)
        {
            problems.extend(remove_tree(&self.path.join(name)));
        }
        Ok(problems)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(ids: &[u8]) -> Vec<ReleaseName> {
        ids.iter()
            .map(|id| format!("20261122T1015{id:02}Z-abcdef0").parse().unwrap())
            .collect()
    }

    #[test]
    fn neither_failed_nor_unknown_releases_push_out_good_ones() {
        // 9 and 8 failed, 6 was removed by hand.
        let existing = names(&[9, 8, 7, 5, 4, 3, 2]);
        let keep = |count, protected: &[u8]| Keep {
            count,
            good: names(&[7, 6, 5, 4, 3, 2]),
            known: names(&[9, 8, 7, 6, 5, 4, 3, 2]),
            protected: names(protected),
        };
        assert_eq!(keep(3, &[]).superfluous(&existing), names(&[9, 8, 3, 2]));
        assert_eq!(keep(3, &[9, 2]).superfluous(&existing), names(&[8, 3]));
        assert_eq!(keep(0, &[7]).superfluous(&existing), names(&[9, 8, 5, 4, 3, 2]));
        assert_eq!(keep(100, &[]).superfluous(&existing), names(&[9, 8]));
        // A build made 59, an older store made 1 and 0.
        let existing = names(&[59, 9, 7, 5, 1, 0]);
        assert_eq!(keep(2, &[]).superfluous(&existing), names(&[59, 9, 1, 0]));
        assert_eq!(keep(3, &[]).superfluous(&existing), names(&[9, 1, 0]));
    }
}
