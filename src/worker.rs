//! Claims jobs and runs them: one at a time per repo, at most `max_jobs` in all, first come, first served.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::config::{Config, Secrets};
use crate::deploy::{self, End, Halt, Site, Why, World};
use crate::model::{Locked, Outcome, RepoName, TargetId, Timestamp};
use crate::notify;
use crate::schedule::{self, Next};
use crate::store::{Claim, Finish, Hold, Standing, StoreError};

/// Pause before the store is asked again after it failed.
const STORE_PAUSE: Duration = Duration::from_secs(5);

/// Pause of a repo after a deployment that found nothing to do: under a flood of deliveries, that is all that it does, and
/// deliveries that change nothing share one look at the remote.
const UNCHANGED_PAUSE: Duration = Duration::from_secs(1);

/// Longest time without a look at the store: being woken is only a hint.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// The configuration in force, with the secrets that go with it.
#[derive(Clone)]
pub struct Settings {
    /// The configuration.
    pub config: Arc<Config>,
    /// Its secrets.
    pub secrets: Arc<Secrets>,
    /// When reading the configuration began.
    pub read_at: Timestamp,
}

/// A deployment that runs now.
#[derive(Clone)]
pub struct Running {
    /// Which target.
    pub target: TargetId,
    /// Its number.
    pub deployment: i64,
    /// How to stop it.
    pub halt: Halt,
}

/// A deployment that ended, as told to those who watch.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Which target.
    pub target: TargetId,
    /// Its number.
    pub deployment: i64,
    /// How it ended.
    pub outcome: Outcome,
}

/// The worker; clones share it.
#[derive(Clone)]
pub struct Worker {
    world: World,
    settings: watch::Receiver<Settings>,
    wake: Arc<Notify>,
    running: Arc<Mutex<BTreeMap<RepoName, Running>>>,
    /// Repos that pause, and until when.
    resting: Arc<Mutex<BTreeMap<RepoName, Instant>>>,
    idle: Arc<Notify>,
    turn: Arc<Notify>,
    looked: Arc<Notify>,
    /// Cancelled once the daemon is told to stop.
    stopping: CancellationToken,
    ended: Arc<dyn Fn(Ended) + Send + Sync>,
}

impl Worker {
    /// A worker that does nothing until [`Worker::run`]. `ended` is told of each deployment that ended.
    pub fn new(
        world: World,
        settings: watch::Receiver<Settings>,
        ended: impl Fn(Ended) + Send + Sync + 'static,
    ) -> Self {
        Self {
            world,
            settings,
            wake: Arc::default(),
            running: Arc::default(),
            resting: Arc::default(),
            idle: Arc::default(),
            turn: Arc::default(),
            looked: Arc::default(),
            stopping: CancellationToken::new(),
            ended: Arc::new(ended),
        }
    }

    /// Says that there may be something to do. Only a hint: the store is the truth.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// What runs now.
    pub fn running(&self) -> Vec<Running> {
        self.running.locked().values().cloned().collect()
    }

    /// Returns after the loop has gone round once: it lives.
    pub async fn answers(&self) {
        let turn = self.turn.notified();
        self.wake();
        turn.await;
    }

    /// Returns when what runs or waits may have changed since the last call. For one caller.
    pub async fn looked(&self) {
        self.looked.notified().await;
    }

    /// Stops what runs for a target; gives the deployment's number.
    pub fn cancel(&self, target: &TargetId) -> Option<i64> {
        let table = self.running.locked();
        let running = table.get(&target.repo).filter(|r| r.target == *target)?;
        running.halt.ask(Why::Cancelled);
        Some(running.deployment)
    }

    /// Takes up what a crash left open, then works until `stop`.
    pub async fn run(&self, stop: CancellationToken) {
        while let Err(error) = self.recover().await {
            tracing::error!(%error, "could not resume interrupted deployments");
            tokio::time::sleep(STORE_PAUSE).await;
        }
        while !stop.is_cancelled() {
            self.turn.notify_waiters();
            let wait = match self.go_on().await {
                Ok(wait) => wait.unwrap_or(LOOK_EVERY).min(LOOK_EVERY),
                Err(error) => {
                    tracing::error!(%error, "could not look for jobs");
                    STORE_PAUSE
                }
            };
            self.looked.notify_one();
            tokio::select! {
                () = self.wake.notified() => {}
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Waits until nothing runs; asks it to stop after `grace`, and waits at most as long again.
    pub async fn finish(&self, grace: Duration) {
        self.stopping.cancel();
        if let Err(error) = self.world.store.stop_orderly().await {
            tracing::warn!(%error, "could not record an orderly stop: the next start will count a crash");
        }
        if tokio::time::timeout(grace, self.until_idle()).await.is_ok() {
            return;
        }
        for running in self.running() {
            running.halt.ask(Why::Shutdown);
        }
        if tokio::time::timeout(grace, self.until_idle()).await.is_err() {
            tracing::warn!("deployments are still running; the next start takes them up");
        }
    }

    async fn until_idle(&self) {
        loop {
            let idle = self.idle.notified();
            if self.running.locked().is_empty() {
                return;
            }
            idle.await;
        }
    }

    async fn recover(&self) -> Result<(), StoreError> {
        let lost = self.world.store.running().await?.into_iter().map(|(job, _)| job);
        let open = self.world.store.recover(lost.collect(), clock::now()).await?;
        let config = Arc::clone(&self.settings.borrow().config);
        deploy::clean_up(&self.world, &config).await;
        self.take_up(open).await
    }

    /// Takes up jobs that are recorded as running though nothing runs them: their deployment panicked, or its end could not
    /// be recorded.
    async fn recover_lost(&self) -> Result<(), StoreError> {
        // In this order: what ends meanwhile is no longer recorded as running before it leaves the table.
        let held = self.running();
        let idle = |target: &TargetId| held.iter().all(|running| running.target.repo != target.repo);
        let running = self.world.store.running().await?.into_iter();
        let lost: Vec<i64> = running.filter(|(_, target)| idle(target)).map(|(job, _)| job).collect();
        if lost.is_empty() {
            return Ok(());
        }
        tracing::warn!("requeued jobs that nothing ran: {lost:?}");
        let open = self.world.store.recover(lost, clock::now()).await?;
        self.take_up(open).await
    }

    async fn take_up(&self, open: Vec<Claim>) -> Result<(), StoreError> {
        for claim in open {
            // A second one of a repo is found again once the first has ended.
            if !self.running.locked().contains_key(&claim.job.target.repo) {
                self.start(claim).await?;
            }
        }
        Ok(())
    }

    async fn go_on(&self) -> Result<Option<Duration>, StoreError> {
        self.recover_lost().await?;
        self.start_what_may().await
    }

    /// Starts all that may start; gives the time until a job's turn comes by itself.
    async fn start_what_may(&self) -> Result<Option<Duration>, StoreError> {
        loop {
            let waiting = self.world.store.waiting().await?;
            let busy = self.running.locked().keys().cloned().collect();
            let max_jobs = self.settings.borrow().config.max_jobs;
            let now = clock::now();
            let resting = self.rests();
            match schedule::next(&waiting, &busy, &resting, max_jobs, now) {
                Next::Start(job) => {
                    if let Some(claim) = self.world.store.claim(job, now).await? {
                        self.start(claim).await?;
                    }
                }
                Next::WaitUntil(time) => return Ok(Some(time.since(now))),
                Next::Idle => return Ok(None),
            }
        }
    }

    /// The repos that rest, and how long from now.
    fn rests(&self) -> BTreeMap<RepoName, Duration> {
        let now = Instant::now();
        let mut resting = self.resting.locked();
        resting.retain(|_, until| *until > now);
        let left = |(repo, until): (&RepoName, &Instant)| (repo.clone(), until.duration_since(now));
        resting.iter().map(left).collect()
    }

    async fn start(&self, claim: Claim) -> Result<(), StoreError> {
        let settings = self.settings.borrow().clone();
        let Some((repo, target)) = settings.config.target(&claim.job.target) else {
            let finish = Finish::plain(Outcome::Cancelled, "the configuration no longer has this target");
            return self.world.store.finish(claim, finish, clock::now()).await;
        };
        let site = Site {
            repo: Arc::clone(repo),
            target: Arc::clone(target),
            config: Arc::clone(&settings.config),
            secrets: Arc::clone(&settings.secrets),
        };
        let halt = Halt::new(self.stopping.clone());
        let running = Running {
            target: target.id.clone(),
            deployment: claim.deployment,
            halt: halt.clone(),
        };
        self.running.locked().insert(repo.name.clone(), running);
        let worker = self.clone();
        tokio::spawn(async move { worker.deploy(site, claim, halt).await });
        Ok(())
    }

    async fn deploy(&self, site: Site, claim: Claim, halt: Halt) {
        // A panic in a deployment must not leave the repo busy for ever.
        let _free = Free {
            worker: self.clone(),
            repo: site.repo.name.clone(),
        };
        let (target, deployment) = (claim.job.target.clone(), claim.deployment);
        match deploy::run(&self.world, &site, &claim, &halt).await {
            End::Finished(finish) => {
                let outcome = finish.outcome;
                self.write_down(claim, *finish, &site).await;
                (self.ended)(Ended {
                    target,
                    deployment,
                    outcome,
                });
                if outcome == Outcome::Live {
                    deploy::keep_commits(&self.world, &site, &halt).await;
                }
                if outcome == Outcome::Unchanged {
                    self.resting
                        .locked()
                        .insert(site.repo.name.clone(), Instant::now() + UNCHANGED_PAUSE);
                }
            }
            End::Held(hold) => self.put_back(claim, *hold).await,
            End::GivenBack => {
                let reason = "the daemon was stopped; it runs again".to_owned();
                if let Err(error) = self.world.store.give_back(claim, reason, clock::now()).await {
                    tracing::error!(%error, "the next start will resume the job");
                }
            }
            End::LeftOpen => {}
        }
    }

    /// Lets the job wait for its checks; the repo stays busy until that is recorded.
    async fn put_back(&self, claim: Claim, hold: Hold) {
        let mut first = true;
        loop {
            match self.world.store.hold(claim.copy(), hold.clone(), clock::now()).await {
                Ok(()) | Err(StoreError::Closed) => return,
                Err(error) => {
                    if std::mem::take(&mut first) {
                        tracing::error!(%error, "could not record that deployment {} is held", claim.deployment);
                    }
                    tokio::time::sleep(STORE_PAUSE).await;
                }
            }
        }
    }

    /// Who is to be told, if anybody is.
    async fn messages(&self, claim: &Claim, finish: &Finish, site: &Site) -> Vec<(String, String)> {
        if site.target.notify.is_empty() && site.repo.dispatch.is_none() {
            return Vec::new();
        }
        let before = self.world.store.standing(&site.target.id, claim.job.id).await;
        let before = before.unwrap_or_else(|error| {
            tracing::warn!(%error, "the previous state of the target is unknown");
            Standing {
                ever_live: true,
                failing_since: None,
                failing: None,
            }
        });
        notify::messages(&site.config, &site.target, claim, finish, &before, clock::now().0)
    }

    /// Records the end, however long the store can't be written: the repo stays busy until it is.
    async fn write_down(&self, claim: Claim, mut finish: Finish, site: &Site) {
        finish.messages = self.messages(&claim, &finish, site).await;
        let (mut claim, mut attempts) = (Some(claim), 0_u32);
        while let Some(this) = claim.take() {
            let again = this.copy();
            match self.world.store.finish(this, finish.clone(), clock::now()).await {
                Ok(()) | Err(StoreError::Closed) => {}
                Err(error) => {
                    attempts += 1;
                    if attempts == 1 {
                        tracing::error!(%error, "could not record the end of deployment {}", again.deployment);
                    }
                    claim = Some(again);
                    tokio::time::sleep(STORE_PAUSE).await;
                }
            }
        }
    }
}

/// Frees the repo's place when a deployment is over, however it is over.
struct Free {
    worker: Worker,
    repo: RepoName,
}

impl Drop for Free {
    fn drop(&mut self) {
        self.worker.running.locked().remove(&self.repo);
        self.worker.idle.notify_waiters();
        self.worker.wake();
    }
}
