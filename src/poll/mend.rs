//! Compares the recorded live release with the disk, and restores one that somebody removed.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::Poller;
use crate::clock;
use crate::config::{Repo, Strategy, Target};
use crate::logging::About;
use crate::model::{Locked, ReleaseName, ReleaseState, TargetId};
use crate::release::Layout;
use crate::store::{NewJob, Source, StoreError, TargetRow};

/// Pause after the first attempt to bring a target back that did not help; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_mins(1);

/// Longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

/// When a target was last asked to come back, and how long it rests after that.
pub(super) type Attempts = BTreeMap<TargetId, (Instant, Duration)>;

impl Poller {
    /// Asks for a job for each target of a repo whose live release is gone.
    pub(super) async fn mend(&self, repo: &Repo) {
        for target in repo.targets.values() {
            if let Err(error) = self.mend_target(repo, target).await {
                tracing::warn!(%error, "{}: could not compare the record with the disk", target.id);
            }
        }
    }

    async fn mend_target(&self, repo: &Repo, target: &Target) -> Result<(), StoreError> {
        let (last, _) = self.world.store.latest(&target.id).await?;
        let row = self.world.store.target(&target.id).await?;
        if !is_lost(target, &row) {
            self.attempts.locked().remove(&target.id);
            return Ok(());
        }
        // Whoever pauses a target works on it.
        if row.paused || self.rests(&target.id) {
            return Ok(());
        }
        let Some(job) = self.way_back(target, &row).await? else {
            return Ok(());
        };
        let text = match &job.release {
            Some(release) => format!("what was live at {} is gone; going back to {release}", target.id),
            None => format!("what was live at {} is gone; deploying {}", target.id, job.git_ref),
        };
        let store = &self.world.store;
        let asked = if job.release.is_some() {
            store.request_restore(job, clock::now()).await?
        } else {
            store
                .request_if_idle(job, last.map(|last| last.id), clock::now())
                .await?
        };
        if asked.is_some() {
            let about = About {
                repo: Some(repo.name.as_str()),
                target: Some(&target.id.to_string()),
                ..About::default()
            };
            about.warn(text);
            self.note_attempt(&target.id);
            self.worker.wake();
        }
        Ok(())
    }

    /// A kept release of the live commit, else the tip; `None` where only a person or a certain delivery may choose.
    async fn way_back(&self, target: &Target, row: &TargetRow) -> Result<Option<NewJob>, StoreError> {
        let Some(git_ref) = row.live_ref.clone() else {
            return Ok(None);
        };
        let release = self.kept(target, row).await?;
        let may_deploy = row.pinned.is_none() && target.sees_enough() && target.refs.follows(&git_ref);
        Ok((release.is_some() || may_deploy).then(|| NewJob {
            target: target.id.clone(),
            git_ref,
            wanted: None,
            source: Source::Poll,
            pusher: None,
            release,
            keep_all: true,
            asked_by: None,
        }))
    }

    /// The release that was live, or the newest other one of its commit.
    async fn kept(&self, target: &Target, row: &TargetRow) -> Result<Option<ReleaseName>, StoreError> {
        if target.strategy == Strategy::InPlace {
            return Ok(None);
        }
        let layout = Layout::new(&target.path);
        let mut releases = self.world.store.releases(&target.id).await?;
        releases.retain(|release| {
            release.state == ReleaseState::Good
                && Some(&release.commit) == row.live_commit.as_ref()
                && layout.is_intact(&release.name)
        });
        let is_live = |name: &ReleaseName| Some(name) == row.live_release.as_ref();
        let mut names = releases.into_iter().map(|release| release.name);
        Ok(names.clone().find(is_live).or_else(|| names.next()))
    }

    fn rests(&self, target: &TargetId) -> bool {
        let attempts = self.attempts.locked();
        attempts.get(target).is_some_and(|(at, pause)| at.elapsed() < *pause)
    }

    fn note_attempt(&self, target: &TargetId) {
        let mut attempts = self.attempts.locked();
        let pause = attempts
            .get(target)
            .map_or(FIRST_PAUSE, |(_, pause)| (*pause * 2).min(LONGEST_PAUSE));
        attempts.insert(target.clone(), (Instant::now(), pause));
    }
}

/// Whether the release recorded as live is gone from the disk. An unreadable disk counts as no.
fn is_lost(target: &Target, row: &TargetRow) -> bool {
    if row.live_commit.is_none() {
        return false;
    }
    match target.strategy {
        Strategy::InPlace => matches!(target.path.try_exists(), Ok(false)),
        Strategy::Release => row.live_release.is_some() && Layout::new(&target.path).is_lost().unwrap_or(false),
    }
}
