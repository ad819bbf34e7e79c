//! What the daemon shows of itself: the same for the API and the status pages.

use super::App;
use super::api::{Deployment, Releases, Status, TargetStatus};
use super::control::{Failure, no_delivery};
use crate::clock;
use crate::config::{RefFilter, SecretSource, Target};
use crate::explain::{Explanation, explain};
use crate::forge::restored_headers;
use crate::poll::LastLook;
use crate::store::{DeliveryRow, StoreError, WaitingJob};

impl App {
    fn warnings(&self) -> Vec<String> {
        let settings = self.settings();
        let mut warnings: Vec<String> = Vec::new();
        if let Some(error) = self.reload_error.borrow().as_ref() {
            warnings.push(format!(
                "the configuration file is broken, the one before it is in force: {error}"
            ));
        }
        for repo in settings.config.repos.values() {
            if repo.secret.contains(&SecretSource::InsecureNone) {
                warnings.push(format!(
                    "repo {} has no secret: whoever reaches the listener can deploy",
                    repo.name
                ));
            }
        }
        warnings.extend(self.ranges.warnings(&settings.config));
        warnings
    }

    /// All that is live, runs and waits.
    pub(super) async fn status(&self) -> Result<Status, StoreError> {
        let settings = self.settings();
        let waiting = self.world.store.waiting().await?;
        let mut targets = Vec::new();
        for repo in settings.config.repos.values() {
            let look = self.poller.last(&repo.name);
            for target in repo.targets.values() {
                targets.push(self.target_status(target, &waiting, &look).await?);
            }
        }
        Ok(Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started_at: self.started.0,
            config: settings.config.file.display().to_string(),
            listen: self.listening.get().cloned().unwrap_or_default(),
            warnings: self.warnings(),
            isolation: self.world.units.to_string(),
            waiting: waiting.len(),
            running: self.worker.running().len(),
            targets,
        })
    }

    /// One target of it.
    pub(super) async fn status_of(&self, target: &Target) -> Result<TargetStatus, StoreError> {
        let waiting = self.world.store.waiting().await?;
        self.target_status(target, &waiting, &self.poller.last(&target.id.repo))
            .await
    }

    async fn target_status(
        &self,
        target: &Target,
        waiting: &[WaitingJob],
        look: &LastLook,
    ) -> Result<TargetStatus, StoreError> {
        let name = target.id.to_string();
        let row = self.world.store.target(&target.id).await?;
        let (last, running) = self.world.store.latest(name.clone()).await?;
        let jobs: Vec<_> = waiting.iter().filter(|job| job.target == target.id).collect();
        let state = match (&running, row.paused, &row.pinned, jobs.is_empty()) {
            (Some(_), ..) => "running",
            (None, true, ..) => "paused",
            (None, false, Some(_), _) => "pinned",
            (None, false, None, false) => "waiting",
            (None, false, None, true) => "idle",
        };
        Ok(TargetStatus {
            follows: follows(&target.refs),
            path: target.path.display().to_string(),
            state: state.to_owned(),
            commit: row.live_commit,
            git_ref: row.live_ref,
            release: row.live_release,
            live_since: row.live_since,
            pinned: row.pinned,
            paused: row.paused,
            behind: look.behind.get(&name).copied(),
            remote_error: look.error.clone(),
            running,
            last,
            waiting: jobs.len(),
            waits_for: jobs.iter().find_map(|job| Some(job.checks.as_ref()?.reason.clone())),
            next_try: jobs.iter().map(|job| job.not_before.0).filter(|at| *at > 0).min(),
            target: name,
        })
    }

    /// A deployment with its phases.
    pub(super) async fn deployment(&self, id: i64) -> Result<Deployment, Failure> {
        let found = self.world.store.deployment(id).await?;
        let (row, phases) = found.ok_or_else(|| Failure::not_found(format!("there is no deployment {id}")))?;
        Ok(Deployment { row, phases })
    }

    /// The newest deliveries, those that were not taken among them.
    pub(super) async fn delivery_rows(
        &self,
        repo: Option<String>,
        limit: usize,
    ) -> Result<Vec<DeliveryRow>, StoreError> {
        let mut rows = self.world.store.deliveries(repo.clone(), limit).await?;
        let rejected = self.intake.rejections.newest(limit);
        rows.extend(
            rejected
                .into_iter()
                .filter(|row| repo.as_ref().is_none_or(|repo| row.repo == *repo)),
        );
        rows.sort_by_key(|row| std::cmp::Reverse(row.received_at));
        rows.truncate(limit);
        Ok(rows)
    }

    /// The releases of a target that are kept.
    pub(super) async fn releases(&self, target: &Target) -> Result<Releases, StoreError> {
        let row = self.world.store.target(&target.id).await?;
        let releases = self.world.store.releases(&target.id).await?;
        Ok(Releases {
            current: row.live_release,
            releases,
        })
    }

    /// A stored delivery, and what the rules of now say of it.
    pub(super) async fn explanation(&self, id: &str) -> Result<(DeliveryRow, Explanation), Failure> {
        let stored = self.world.store.delivery(id.to_owned()).await?;
        let (row, headers, body) = stored.ok_or_else(|| no_delivery(id))?;
        let settings = self.settings();
        let config = Some((&*settings.config, &*settings.secrets));
        let forge = row.forge.parse().ok();
        let explanation = explain(&restored_headers(&headers), &body, forge, config, clock::now());
        Ok((row, explanation))
    }
}

/// What a target follows, in words.
pub(super) fn follows(refs: &RefFilter) -> String {
    let (kind, patterns) = match refs {
        RefFilter::Branches(patterns) => ("branch", patterns),
        RefFilter::Tags(patterns) => ("tag", patterns),
    };
    let texts: Vec<&str> = patterns.iter().map(|p| p.text.as_str()).collect();
    format!("{kind} {}", texts.join(", "))
}
