//! What the daemon shows of itself: one judgement for the API, the status pages, the metrics and the command line.

mod wire;

use wire::text;

use std::sync::{Arc, OnceLock};

use tokio::sync::watch;

use crate::api::{Delivery, Deployment, DeploymentDetail, Job, Releases, Status, TargetStatus};
use crate::config::{RefFilter, SecretSource, Target};
use crate::deploy::World;
use crate::explain::{Came, Explanation, explain_stored};
use crate::forge::restored_headers;
use crate::intake::Intake;
use crate::model::{Refusal, RefusalKind, Timestamp};
use crate::poll::{LastLook, Poller};
use crate::ranges::Ranges;
use crate::store::{Page, StoreError, WaitingJob};
use crate::worker::{Settings, Worker};

/// A look at the daemon; clones share it.
#[derive(Clone)]
pub struct Overview {
    /// The doors to the outside.
    pub world: World,
    /// Runs the jobs.
    pub worker: Worker,
    /// Looks at the remotes.
    pub poller: Poller,
    /// The addresses that forges publish.
    pub ranges: Ranges,
    /// Takes deliveries in, and remembers the refused ones.
    pub intake: Arc<Intake>,
    /// The configuration in force.
    pub settings: watch::Receiver<Settings>,
    /// Why the newest file is not in force, if it isn't.
    pub reload_error: watch::Receiver<Option<String>>,
    /// When the daemon started.
    pub started: Timestamp,
    /// Where deliveries come in, once that is known: the configuration's addresses, or systemd's.
    pub listening: Arc<OnceLock<Vec<String>>>,
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::new(RefusalKind::Unavailable, error.to_string())
    }
}

impl Overview {
    fn settings(&self) -> Settings {
        self.settings.borrow().clone()
    }

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
    pub async fn status(&self) -> Result<Status, StoreError> {
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
    pub async fn status_of(&self, target: &Target) -> Result<TargetStatus, StoreError> {
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
            url: target.url.as_ref().map(ToString::to_string),
            environment: target.environment.clone(),
            state: state.to_owned(),
            commit: text(row.live_commit),
            git_ref: text(row.live_ref),
            release: text(row.live_release),
            live_since: row.live_since,
            pinned: text(row.pinned),
            paused: row.paused,
            behind: look.behind.get(&name).copied(),
            remote_error: look.error.clone(),
            running: running.map(Deployment::from),
            last: last.map(Deployment::from),
            waiting: jobs.len(),
            waits_for: jobs.iter().find_map(|job| Some(job.checks.as_ref()?.reason.clone())),
            next_try: jobs.iter().map(|job| job.not_before.0).filter(|at| *at > 0).min(),
            target: name,
        })
    }

    /// Deployments, newest first.
    pub async fn history(&self, page: Page) -> Result<Vec<Deployment>, StoreError> {
        let rows = self.world.store.history(page).await?;
        Ok(rows.into_iter().map(Deployment::from).collect())
    }

    /// A deployment with its phases.
    pub async fn deployment(&self, id: i64) -> Result<DeploymentDetail, Refusal> {
        let found = self.world.store.deployment(id).await?;
        let (row, phases) = found.ok_or_else(|| Refusal::not_found(format!("there is no deployment {id}")))?;
        Ok(DeploymentDetail {
            row: row.into(),
            phases: phases.into_iter().map(Into::into).collect(),
        })
    }

    /// A job.
    pub async fn job(&self, id: i64) -> Result<Job, Refusal> {
        let job = self.world.store.job(id).await?;
        job.map(Job::from)
            .ok_or_else(|| Refusal::not_found(format!("there is no job {id}")))
    }

    /// The newest deliveries, with the refused ones among them.
    pub async fn deliveries(&self, repo: Option<String>, limit: usize) -> Result<Vec<Delivery>, StoreError> {
        let mut rows = self.world.store.deliveries(repo.clone(), limit).await?;
        let refused = self.intake.rejections.newest(limit).into_iter();
        rows.extend(refused.filter(|row| repo.as_ref().is_none_or(|repo| row.repo == *repo)));
        rows.sort_by_key(|row| std::cmp::Reverse(row.received_at));
        rows.truncate(limit);
        Ok(rows.into_iter().map(Delivery::from).collect())
    }

    /// The releases of a target that are kept.
    pub async fn releases(&self, target: &Target) -> Result<Releases, StoreError> {
        let row = self.world.store.target(&target.id).await?;
        let releases = self.world.store.releases(&target.id).await?;
        Ok(Releases {
            current: text(row.live_release),
            releases: releases.into_iter().map(Into::into).collect(),
        })
    }

    /// A stored delivery, and the verdict of today's configuration on it.
    pub async fn explanation(&self, id: &str) -> Result<(Delivery, Explanation), Refusal> {
        let stored = self.world.store.delivery(id.to_owned()).await?;
        let (row, headers, body) = stored.ok_or_else(|| no_delivery(id))?;
        let settings = self.settings();
        let repo = row.repo.parse().ok().and_then(|name| settings.config.repos.get(&name));
        let came = Came {
            received_at: row.received_at,
            remote_addr: row.remote_addr.clone(),
            result: row.result.clone(),
            reason: row.reason.clone(),
        };
        let forge = row.forge.parse().ok();
        let explanation = explain_stored(
            &restored_headers(&headers),
            &body,
            forge,
            repo.map(|repo| &**repo),
            came,
        );
        Ok((row.into(), explanation))
    }
}

/// The refusal for a delivery that is not stored.
pub fn no_delivery(id: &str) -> Refusal {
    Refusal::not_found(format!("there is no stored delivery {id}")).hint("hookd deliveries lists them")
}

/// What a target follows, in words.
pub fn follows(refs: &RefFilter) -> String {
    let kind = match refs {
        RefFilter::Branches(_) => "branch",
        RefFilter::Tags(_) => "tag",
    };
    let texts: Vec<&str> = refs.patterns().iter().map(|p| p.text.as_str()).collect();
    format!("{kind} {}", texts.join(", "))
}
