//! Which releases stay, and the removal of the others.

use std::fs;
use std::io;
use std::path::Path;

use super::remove::remove_tree;
use super::{Current, GONE_PREFIX, LINK_PREFIX, Layout, ReleaseError, ReleaseName, SEED_PREFIX, STAGING_PREFIX};
use super::{names_in, unique};

/// What was removed.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Removal {
    /// The releases that are no more, newest first.
    pub removed: Vec<ReleaseName>,
    /// What could not be removed, and why. None of it is a release any more, and `sweep` tries again.
    pub problems: Vec<String>,
}

/// The releases among `existing` that go: all but the first `keep` of `good` that are still there, and `protected`.
fn superfluous(
    existing: &[ReleaseName],
    keep: usize,
    good: &[ReleaseName],
    protected: &[ReleaseName],
) -> Vec<ReleaseName> {
    let kept: Vec<&ReleaseName> = good.iter().filter(|name| existing.contains(name)).take(keep).collect();
    let goes = |name: &&ReleaseName| !kept.contains(name) && !protected.contains(name);
    existing.iter().filter(goes).cloned().collect()
}

impl Layout {
    /// Removes the releases that are neither live, nor `protected`, nor among the first `keep` of `good` (newest first)
    /// that are still there. Failed releases are in none of these, so they go and push out no good one.
    pub fn prune(&self, keep: usize, good: &[ReleaseName], protected: &[ReleaseName]) -> Result<Removal, ReleaseError> {
        let mut protected = protected.to_vec();
        // If it cannot be told what is live, nothing is removed.
        if let Current::Release(live) = self
            .current()
            .map_err(ReleaseError::io("reading", self.current_link()))?
        {
            protected.push(live);
        }
        let mut removal = Removal::default();
        for name in superfluous(&self.list()?, keep, good, &protected) {
            match self.remove(&name) {
                Ok(problems) => {
                    removal.removed.push(name);
                    removal.problems.extend(problems);
                }
                Err(error) => removal.problems.push(error.to_string()),
            }
        }
        Ok(removal)
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
        match fs::rename(&release, &gone) {
            Ok(()) => Ok(remove_tree(&gone)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(removing(error)),
        }
    }

    /// Removes what a crash may have left: unfinished releases, half-removed ones, links that never became `current`. To
    /// be called when no deployment of this target runs. Returns what could not be removed, and why.
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
        sweep(&self.releases(), &[STAGING_PREFIX, GONE_PREFIX])?;
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
    fn failed_releases_push_out_no_good_ones() {
        // 9 and 8 failed, 6 was removed by hand.
        let existing = names(&[9, 8, 7, 5, 4, 3, 2]);
        let good = names(&[7, 6, 5, 4, 3, 2]);
        assert_eq!(superfluous(&existing, 3, &good, &[]), names(&[9, 8, 3, 2]));
        assert_eq!(superfluous(&existing, 3, &good, &names(&[9, 2])), names(&[8, 3]));
        assert_eq!(
            superfluous(&existing, 0, &good, &names(&[7])),
            names(&[9, 8, 5, 4, 3, 2])
        );
        assert_eq!(superfluous(&existing, 100, &good, &[]), names(&[9, 8]));
    }
}
