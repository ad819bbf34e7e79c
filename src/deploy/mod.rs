//! The story of a deployment: fetch, build, activate, reload, check, finish; one rollback if it is unhealthy.

mod checked;
mod clean_up;
mod environment;
mod fetch;
mod golive;
mod inplace;
mod interrupted;
mod manifests;
mod prepare;
mod record;
mod signed;
mod site;
mod space;
mod spare;
mod spares;
mod tidy;

pub use clean_up::clean_up;
pub use fetch::{access, mirror};
pub use site::{Site, World};
pub use spares::Spares;
pub use tidy::keep_commits;

use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::config::Strategy;
use crate::exec::ExecError;
use crate::model::{CommitId, GitRef, Outcome, Phase, ReleaseState, is_passing};
use crate::release::{Layout, ReleaseError, ReleaseName};
use crate::store::{Claim, Finish, Hold, Progress, Source, StoreError, Tip};

use manifests::Manifests;
use record::Record;

/// Why a deployment is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// A person cancelled it.
    Cancelled,
    /// The daemon stops and can wait no longer.
    Shutdown,
}

/// The wish that a running deployment stop; the first one counts.
#[derive(Clone, Default)]
pub struct Halt {
    token: CancellationToken,
    why: Arc<OnceLock<Why>>,
    /// Cancelled once the daemon has been told to stop: what runs may finish, but its failures may come from the stop.
    stopping: CancellationToken,
}

impl Halt {
    /// For a deployment of a daemon that cancels `stopping` when it is told to stop.
    pub fn new(stopping: CancellationToken) -> Self {
        Self {
            stopping,
            ..Self::default()
        }
    }

    /// Asks the deployment to stop.
    pub fn ask(&self, why: Why) {
        // Whoever asked first has said why.
        let _ = self.why.set(why);
        self.token.cancel();
    }

    fn why(&self) -> Why {
        self.why.get().copied().unwrap_or(Why::Cancelled)
    }
}

/// How a run ends.
#[derive(Debug)]
pub enum End {
    /// With an outcome.
    Finished(Box<Finish>),
    /// Not begun yet, since the commit's checks are not green: the job waits.
    Held(Box<Hold>),
    /// Cut off by the end of the daemon before anything went live: the job waits again.
    GivenBack,
    /// Cut off by the end of the daemon after it went live: the next start takes it up where it is.
    LeftOpen,
}

/// What keeps a deployment from going on.
#[derive(Debug)]
enum Stop {
    /// Nothing to do.
    Unchanged(String),
    /// It failed; `transient` if time may heal it.
    Failed { reason: String, transient: bool },
    /// Its checks are red, or were not green in time: it is tried again once they are.
    Unchecked(String),
    /// Its checks are not green yet.
    Held(Box<Hold>),
    /// It was asked to stop.
    Halted,
}

/// The tip of the ref, if something older is deployed because the tip's checks are not green.
#[derive(Debug)]
struct Passed {
    tip: CommitId,
    /// They are red, and not only not finished.
    red: bool,
}

impl Stop {
    fn failed(reason: impl Into<String>) -> Self {
        Self::Failed {
            reason: reason.into(),
            transient: false,
        }
    }
}

impl std::fmt::Display for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unchanged(reason) | Self::Failed { reason, .. } | Self::Unchecked(reason) => f.write_str(reason),
            Self::Held(hold) => f.write_str(&hold.reason),
            Self::Halted => f.write_str("stopped"),
        }
    }
}

impl From<ReleaseError> for Stop {
    fn from(error: ReleaseError) -> Self {
        let transient = matches!(&error, ReleaseError::Io { cause, .. } if is_passing(cause));
        Self::Failed {
            reason: error.to_string(),
            transient,
        }
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::Failed {
            reason: error.to_string(),
            transient: is_passing(&error),
        }
    }
}

impl From<ExecError> for Stop {
    fn from(error: ExecError) -> Self {
        let transient = match &error {
            ExecError::Supervisor(cause) | ExecError::Control { source: cause, .. } => is_passing(cause),
            ExecError::NoReport(_) => false,
        };
        Self::Failed {
            reason: error.to_string(),
            transient,
        }
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Failed {
            reason: error.to_string(),
            transient: true,
        }
    }
}

/// One deployment under way: everything its phases share.
struct Run<'a> {
    world: &'a World,
    site: &'a Site,
    claim: &'a Claim,
    halt: &'a Halt,
    layout: Layout,
    record: Record,
    /// What is deployed: the job's ref, or the newest version in its place.
    git_ref: GitRef,
    passed: Option<Passed>,
    /// The release that was live before, once it is known.
    previous: Option<ReleaseName>,
    /// Whether the log says by now which limits do not hold.
    explained: bool,
}

/// The commit and release to go live, and those live now.
#[derive(Debug, Clone)]
struct Change {
    commit: CommitId,
    git_ref: GitRef,
    release: Option<ReleaseName>,
    previous_commit: Option<CommitId>,
    previous_release: Option<ReleaseName>,
}

/// Work on the disk, where it holds up no other deployment.
async fn blocking<T: Send + 'static, E: Into<Stop> + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, Stop> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Stop::failed(error.to_string()))?
        .map_err(Into::into)
}

/// Runs a claimed job to its end. Whatever it does to the target is recorded before it is done, so that a crash at any
/// point is taken up by the next start.
pub async fn run(world: &World, site: &Site, claim: &Claim, halt: &Halt) -> End {
    world.spares.stop(&site.target.id).await;
    let record = Record::open(world, site, claim);
    let layout = Layout::new(&site.target.path);
    let mut run = Run {
        world,
        site,
        claim,
        halt,
        layout,
        record,
        git_ref: claim.job.git_ref.clone(),
        passed: None,
        previous: None,
        explained: false,
    };
    // One that waited for checks has said so.
    if !claim.continues {
        run.record.say(Phase::Fetch, &run.opening_words());
    }
    let mut end = run.story().await;
    if let End::Finished(finish) = &mut end {
        if run.may(Phase::Finish) {
            run.tidy(finish).await;
        }
        run.record.outcome(finish);
        run.begin_spare();
    }
    run.forget_payload();
    end
}

impl Run<'_> {
    fn manifests(&self) -> Manifests {
        Manifests::new(&self.site.config, &self.site.target)
    }

    fn opening_words(&self) -> String {
        let job = &self.claim.job;
        match (&self.claim.resumed, &job.release) {
            (Some(row), _) => format!("taken up again after a restart, at {}", row.phase),
            (None, Some(release)) if job.source != Source::Rollback => {
                format!("what was live is gone; going back to {release}")
            }
            (None, Some(release)) => format!("rolling back to {release}"),
            (None, None) => format!("deploying {} (started by: {})", job.git_ref, job.source),
        }
    }

    async fn story(&mut self) -> End {
        let change = match self.make().await {
            Ok(change) => change,
            Err(stop) => {
                let stop = self.believe(stop).await;
                return self.before_live(stop);
            }
        };
        let claim = self.claim;
        if let (Some(row), Some(given_up)) = (&claim.resumed, &claim.given_up) {
            return self.give_up(change, row, given_up).await;
        }
        self.go_live(change).await
    }

    /// Everything before the switch: gives what can go live.
    async fn make(&mut self) -> Result<Change, Stop> {
        if let Some(row) = &self.claim.resumed {
            self.previous.clone_from(&row.previous_release);
            // Only one that is given up may not have come so far as to know its commit.
            let unknown = || {
                Stop::failed(
                    self.claim
                        .given_up
                        .map_or_else(|| "no commit is recorded".into(), |why| why.to_string()),
                )
            };
            return Ok(Change {
                commit: row.commit.clone().ok_or_else(unknown)?,
                git_ref: row.git_ref.clone(),
                release: row.release.clone(),
                previous_commit: row.previous_commit.clone(),
                previous_release: row.previous_release.clone(),
            });
        }
        if self.claim.job.goes_back() {
            return self.choose_release().await;
        }
        let live = self.live().await?;
        let fetched = self.fetch().await?;
        self.require_wanted(&live, &fetched).await?;
        self.require_signature(&fetched.commit).await?;
        let fetched = self.newest_green(&live, fetched).await?;
        match self.site.target.strategy {
            Strategy::Release => self.build_release(live, fetched).await,
            Strategy::InPlace => self.update_in_place(live, fetched).await,
        }
    }

    /// The end of a deployment that did not get as far as to change what is live.
    fn before_live(&mut self, stop: Stop) -> End {
        let (outcome, reason, transient) = match stop {
            Stop::Unchanged(reason) => (Outcome::Unchanged, reason, false),
            Stop::Failed { reason, transient } => (Outcome::Failed, reason, transient),
            Stop::Held(hold) => return End::Held(hold),
            Stop::Unchecked(reason) => {
                let finish = Finish {
                    tip: self.record.tip(),
                    unchecked: true,
                    ..Finish::plain(Outcome::Failed, reason)
                };
                return End::Finished(Box::new(finish));
            }
            Stop::Halted if self.halt.why() == Why::Shutdown => return End::GivenBack,
            Stop::Halted => (Outcome::Cancelled, "cancelled".to_owned(), false),
        };
        let retry_at = transient
            .then(|| crate::schedule::retry_at(self.claim.job.attempt, clock::now()))
            .flatten();
        let reason = match (transient, retry_at) {
            (true, None) => format!("{reason}; given up after {} attempts", self.claim.job.attempt + 1),
            _ => reason,
        };
        let mut finish = Finish::plain(outcome, reason);
        finish.release = self.record.made_release().map(|name| (name, ReleaseState::Failed));
        finish.retry_at = retry_at;
        if retry_at.is_none() {
            finish.tip = self.record.tip();
        }
        if outcome == Outcome::Cancelled || self.claim.given_up.is_some() {
            // Before the fetch has seen the tip, it is about what was asked for.
            let asked_for = self.claim.job.wanted.clone().map(|commit| Tip {
                git_ref: self.git_ref.clone(),
                commit,
            });
            finish.tip = finish.tip.or(asked_for);
        }
        End::Finished(Box::new(finish))
    }

    /// Records that a phase begins, and what is known by now.
    async fn enter(&mut self, phase: Phase, known: Progress) -> Result<(), StoreError> {
        self.record.learn(&known);
        self.world
            .store
            .enter(self.claim.deployment, phase, known, clock::now())
            .await
    }
}
