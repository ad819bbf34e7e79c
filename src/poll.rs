//! Looks at the remotes: at start, on each repo's timer, and after each deployment. The hook is a hint, git is the truth.

mod mend;
mod missed;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::config::{QueueMode, RefFilter, Repo, Target, nearest};
use crate::deploy::{World, access};
use crate::git::{GitError, RemoteRef};
use crate::logging::About;
use crate::model::{GitRef, Locked, RepoName, Timestamp};
use crate::schedule;
use crate::store::{NewJob, Source, StoreError, Tip};
use crate::worker::{Settings, Worker};

/// Looks at once, over all repos: each is a child process.
const LOOKS_AT_ONCE: usize = 2;

/// Least time between two looks at one remote that something else than its timer asks for.
const LEAST_PAUSE: Duration = Duration::from_millis(500);

/// Refs of a remote that are named where the followed one is missing: a line's worth.
const NAMED: usize = 8;

/// The timer of a repo is longer or shorter by up to this part of itself, so that many repos don't ask at the same moment.
const JITTER: f64 = 0.1;

/// What the last look at a remote found.
#[derive(Debug, Clone, Default)]
pub struct LastLook {
    /// When the last one began that saw the remote.
    pub at: Option<Timestamp>,
    /// Why it failed.
    pub error: Option<String>,
    /// Since when looks fail, milliseconds since the epoch.
    pub error_since: Option<i64>,
    /// The tip that each target follows.
    pub tips: BTreeMap<String, Tip>,
    /// Targets whose ref is not on the remote.
    pub missing: BTreeMap<String, Missing>,
}

/// A followed ref that the remote does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Which ref is missing, and the refs that exist instead, in words.
    pub text: String,
    /// The ref that was meant, by its looks.
    pub meant: Option<String>,
    /// Since when, milliseconds since the epoch.
    pub since: i64,
}

/// Looks at remotes and asks for jobs; clones share it.
#[derive(Clone)]
pub struct Poller {
    world: World,
    worker: Worker,
    looks: Arc<Mutex<BTreeMap<RepoName, LastLook>>>,
    asked: Arc<Mutex<BTreeMap<RepoName, Arc<Notify>>>>,
    places: Arc<Semaphore>,
    attempts: Arc<Mutex<mend::Attempts>>,
    missed: Arc<Mutex<missed::Asked>>,
}

impl Poller {
    /// A poller that does nothing until [`Poller::watch`].
    pub fn new(world: World, worker: Worker) -> Self {
        Self {
            world,
            worker,
            looks: Arc::default(),
            asked: Arc::default(),
            places: Arc::new(Semaphore::new(LOOKS_AT_ONCE)),
            attempts: Arc::default(),
            missed: Arc::default(),
        }
    }

    /// Watches all repos of a configuration until `stop`.
    pub fn watch(&self, settings: &Settings, stop: &CancellationToken) {
        let mut asked = self.asked.locked();
        asked.clear();
        for repo in settings.config.repos.values() {
            let notify = Arc::new(Notify::new());
            asked.insert(repo.name.clone(), Arc::clone(&notify));
            let (poller, settings, repo, stop) = (self.clone(), settings.clone(), Arc::clone(repo), stop.clone());
            tokio::spawn(async move {
                tokio::select! {
                    () = poller.watch_repo(&settings, &repo, &notify, &stop) => {}
                    () = stop.cancelled() => {}
                }
            });
        }
    }

    /// Asks for a look at a remote soon.
    pub fn look_soon(&self, repo: &RepoName) {
        if let Some(notify) = self.asked.locked().get(repo) {
            notify.notify_one();
        }
    }

    /// The newest version that the remote of a target has now, if the target goes by versions.
    pub async fn newest_version(&self, settings: &Settings, target: &Target) -> Result<Option<GitRef>, GitError> {
        let Some(repo) = settings.config.repos.get(&target.id.repo) else {
            return Ok(None);
        };
        let access = access(&settings.config, &settings.secrets, repo);
        let remote = self.world.git.ls_remote(&access, &CancellationToken::new()).await?;
        Ok(schedule::newest_version(target, &remote))
    }

    /// What the last look at a remote found.
    pub fn last(&self, repo: &RepoName) -> LastLook {
        self.looks.locked().get(repo).cloned().unwrap_or_default()
    }

    async fn watch_repo(&self, settings: &Settings, repo: &Repo, asked: &Notify, stop: &CancellationToken) {
        // Whoever restarts or reloads has changed something.
        if let Err(error) = self.world.store.try_failures_again(&repo.name).await {
            tracing::warn!(%error, "{}: could not make earlier failures due again", repo.name);
        }
        if repo.poll.is_none() {
            self.mend(repo).await;
            self.ask_for_missed(settings, repo).await;
            asked.notified().await;
        }
        let mut was_away = true;
        loop {
            self.mend(repo).await;
            self.look(settings, repo, stop).await;
            let is_away = self.last(&repo.name).error.is_some();
            if was_away && !is_away {
                self.ask_for_missed(settings, repo).await;
            }
            was_away = is_away;
            tokio::time::sleep(LEAST_PAUSE).await;
            let timer = async {
                match repo.poll {
                    Some(every) => tokio::time::sleep(every.mul_f64(1.0 + JITTER * random_part())).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = timer => {}
                () = asked.notified() => {}
            }
        }
    }

    async fn look(&self, settings: &Settings, repo: &Repo, stop: &CancellationToken) {
        let Ok(_place) = self.places.acquire().await else {
            return;
        };
        let access = access(&settings.config, &settings.secrets, repo);
        let began = clock::now();
        let found = match self.world.git.ls_remote(&access, stop).await {
            Ok(remote) => self.compare(repo, &remote).await.map_err(|e| e.to_string()),
            Err(error) => Err(error.message),
        };
        let mut looks = self.looks.locked();
        let last = looks.entry(repo.name.clone()).or_default();
        match found {
            Ok(found) => {
                last.at = Some(began);
                last.error = None;
                last.error_since = None;
                last.tips = found.tips;
                last.note_missing(&repo.name, found.missing);
            }
            Err(reason) => {
                // Said once, not every ten minutes.
                if last.error.as_ref() != Some(&reason) && !stop.is_cancelled() {
                    let about = About {
                        repo: Some(repo.name.as_str()),
                        reason: Some(&reason),
                        ..About::default()
                    };
                    about.warn(format!("could not look at the remote: {reason}"));
                }
                last.error = Some(reason);
                last.error_since = last.error_since.or(Some(clock::now().0));
            }
        }
    }

    async fn compare(&self, repo: &Repo, remote: &[RemoteRef]) -> Result<LastLook, StoreError> {
        let mut look = LastLook::default();
        for target in repo.targets.values() {
            let name = target.id.to_string();
            if let Some(missing) = missing(target, remote) {
                look.missing.insert(name.clone(), missing);
            }
            if let Some(tip) = self.compare_target(repo, target, remote).await? {
                look.tips.insert(name, tip);
            }
        }
        Ok(look)
    }

    /// Asks for a job if the target is not where the remote is; gives the tip that it follows.
    async fn compare_target(
        &self,
        repo: &Repo,
        target: &Target,
        remote: &[RemoteRef],
    ) -> Result<Option<Tip>, StoreError> {
        let store = &self.world.store;
        // Before the rest: what ends meanwhile is looked at by the next one.
        let (last, _) = store.latest(&target.id).await?;
        let (row, tips) = (store.target(&target.id).await?, store.tips(&target.id).await?);
        let failures = store.failures(&target.id).await?;
        let found = schedule::reconcile(target, &row, (&tips, &failures), remote, clock::now());
        let (last, last_ref) = last.map(|last| (last.id, last.git_ref)).unzip();
        let tip = found
            .wanted
            .clone()
            .or_else(|| schedule::tip(target, last_ref.as_ref(), remote));
        // Whoever pauses a target does not want it to move; what comes meanwhile is found by the look after `resume`.
        if row.held() {
            return Ok(tip);
        }
        store.note_tips(&target.id, found.seen).await?;
        store.note_advertised(&target.id, found.advertised).await?;
        let Some(Tip { git_ref, commit }) = found.wanted else {
            return Ok(tip);
        };
        if store.ended_badly(&target.id, &commit).await?.is_some() {
            return Ok(tip);
        }
        let job = NewJob {
            target: target.id.clone(),
            git_ref: git_ref.clone(),
            wanted: Some(commit.clone()),
            source: Source::Poll,
            pusher: None,
            release: None,
            keep_all: target.queue == QueueMode::All,
            asked_by: None,
        };
        if store.request_if_idle(job, last, clock::now()).await?.is_some() {
            let about = About {
                repo: Some(repo.name.as_str()),
                target: Some(&target.id.to_string()),
                git_ref: Some(git_ref.as_str()),
                commit: Some(commit.as_str()),
                ..About::default()
            };
            about.info(format!("found {} on {git_ref} by polling", commit.short()));
            self.worker.wake();
        } else if store.look_again(&target.id, git_ref, commit).await? {
            self.worker.wake();
        }
        Ok(tip)
    }
}

impl LastLook {
    /// Takes over which refs are missing, and says each once.
    fn note_missing(&mut self, repo: &RepoName, mut missing: BTreeMap<String, Missing>) {
        for (target, now) in &mut missing {
            if let Some(before) = self.missing.get(target) {
                now.since = before.since;
                if before.text == now.text {
                    continue;
                }
            }
            let about = About {
                repo: Some(repo.as_str()),
                target: Some(target),
                reason: Some(&now.text),
                ..About::default()
            };
            about.warn(format!("{target}: {}", now.text));
        }
        self.missing = missing;
    }
}

/// Which followed ref the remote lacks, with the refs that it has; `None` if it lacks nothing.
fn missing(target: &Target, remote: &[RemoteRef]) -> Option<Missing> {
    let (kinds, kind, patterns) = match &target.refs {
        RefFilter::Branches(patterns) => ("branches", "branch", patterns),
        RefFilter::Tags(tags) => ("tags", "tag", &tags.patterns),
    };
    let refs: Vec<GitRef> = remote.iter().filter_map(|r| r.name.parse().ok()).collect();
    if refs.iter().any(|git_ref| target.refs.follows(git_ref)) {
        return None;
    }
    let prefix = match &target.refs {
        RefFilter::Branches(_) => "refs/heads/",
        RefFilter::Tags(_) => "refs/tags/",
    };
    let there: Vec<&str> = refs.iter().filter_map(|r| r.as_str().strip_prefix(prefix)).collect();
    let wanted: Vec<&str> = patterns.iter().map(|pattern| pattern.text.as_str()).collect();
    let has = match there.as_slice() {
        [] => format!("it has no {kinds}"),
        few if few.len() <= NAMED => format!("it has: {}", few.join(", ")),
        many => format!("it has: {}, and {} more", many[..NAMED].join(", "), many.len() - NAMED),
    };
    Some(Missing {
        text: format!("the remote has no {kind} {}; {has}", wanted.join(", ")),
        meant: wanted
            .first()
            .and_then(|wanted| nearest(wanted, there.iter().copied()).map(ToOwned::to_owned)),
        since: clock::now().0,
    })
}

/// A number from -1 to 1.
fn random_part() -> f64 {
    let random = getrandom::u32().unwrap_or(u32::MAX / 2);
    f64::from(random) / f64::from(u32::MAX) * 2.0 - 1.0
}
