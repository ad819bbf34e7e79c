//! What the store is given, and the right to run that it gives.

use super::crashes::GivenUp;
use super::rows::{DeploymentRow, JobRow, Tip};
use crate::model::{
    CheckState, CommitId, DeliveryId, GitRef, Outcome, ReleaseName, ReleaseState, Source, TargetId, Timestamp,
};

/// A verified delivery, to be stored.
#[derive(Debug)]
pub struct NewDelivery {
    /// Repo of the configuration.
    pub repo: String,
    /// The forge's id, or one made from the body.
    pub delivery: DeliveryId,
    /// Forge whose dialect it speaks.
    pub forge: &'static str,
    /// The event in the forge's words.
    pub event: String,
    /// Whether the id was made from the body, since the forge sends none.
    pub id_is_made: bool,
    /// When it came.
    pub received_at: Timestamp,
    /// Where it came from.
    pub remote_addr: String,
    /// What it is, if no job comes of it: `ignored` or `pong`.
    pub result: &'static str,
    /// Why, in words.
    pub reason: String,
    /// SHA-256 of the body, hexadecimal.
    pub body_sha256: String,
    /// Headers without secrets, as JSON.
    pub headers: String,
    /// The body as received.
    pub body: Vec<u8>,
    /// What it asks for.
    pub jobs: Vec<NewJob>,
    /// What it says of CI checks.
    pub checks: Vec<NewCheck>,
    /// True if the delivery's id is not covered by the signature, so that the body's hash identifies it as well.
    pub id_is_unsigned: bool,
    /// Which of the repo's secrets it was signed with, counted from 1; none if it was none of them.
    pub secret: Option<u32>,
}

/// A request to bring a target to its ref's tip.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Which target.
    pub target: TargetId,
    /// Which ref.
    pub git_ref: GitRef,
    /// The commit that the sender named.
    pub wanted: Option<CommitId>,
    /// What asked for it.
    pub source: Source,
    /// Who pushed.
    pub pusher: Option<String>,
    /// Where a rollback goes.
    pub release: Option<ReleaseName>,
    /// Whether each requested commit runs (`queue = "all"`), or only the newest.
    pub keep_all: bool,
    /// Who asked for it: `user:alice`; none for a webhook or a poll.
    pub asked_by: Option<String>,
}

/// A job as told to who asked for it.
#[derive(Debug, Clone)]
pub struct AcceptedJob {
    /// Its number.
    pub id: i64,
    /// The target.
    pub target: TargetId,
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryResult {
    /// Jobs wait.
    Accepted,
    /// Valid, and nothing to do.
    Ignored,
    /// Known, and done with.
    Duplicate,
}

/// The answer of [`Store::accept`]: all of it is on disk.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// What became of it.
    pub result: DeliveryResult,
    /// Why, in words.
    pub reason: String,
    /// The jobs, for `Accepted`.
    pub jobs: Vec<AcceptedJob>,
}

/// What an event says of a check.
#[derive(Debug, Clone)]
pub struct NewCheck {
    /// The commit.
    pub commit: CommitId,
    /// The check, as `require_checks` names it.
    pub name: String,
    /// Its state.
    pub state: CheckState,
    /// The ref that it ran for, as claimed.
    pub git_ref: Option<String>,
    /// The targets that require it, each with whether its pushed commits all run (`queue = "all"`).
    pub targets: Vec<(TargetId, bool)>,
}

/// A job goes back to wait for checks.
#[derive(Debug, Clone)]
pub struct Hold {
    /// The commit whose checks it waits for.
    pub commit: CommitId,
    /// What it waits for, in words.
    pub reason: String,
    /// When to look again at the latest.
    pub until: Timestamp,
    /// How far the store had come when the checks were looked at.
    pub seq: i64,
    /// Whether other jobs may wait for the target beside it (`queue = "all"`).
    pub keep_all: bool,
}

/// The exclusive right to run a job. [`Store::claim`] makes it, [`Store::finish`] eats it.
#[derive(Debug)]
pub struct Claim {
    /// The job.
    pub job: JobRow,
    /// Number of the deployment.
    pub deployment: i64,
    /// Set if the deployment is taken up again after a crash, with what it had done.
    pub resumed: Option<DeploymentRow>,
    /// Whether it goes on with a deployment that waited for checks.
    pub continues: bool,
    /// Set if the daemon was killed too often in the phase that the deployment is in.
    pub given_up: Option<GivenUp>,
}

/// What a deployment has learned, written before it acts on it.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// The commit that is deployed.
    pub commit: Option<CommitId>,
    /// First line of its message.
    pub subject: Option<String>,
    /// The release that is made.
    pub release: Option<ReleaseName>,
    /// What is live now.
    pub previous_commit: Option<CommitId>,
    /// The release that is live now.
    pub previous_release: Option<ReleaseName>,
    /// Why it rolls back.
    pub rolling_back: Option<String>,
    /// The ref that is deployed.
    pub git_ref: Option<GitRef>,
}

/// What a deployment made live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WentLive {
    /// The commit.
    pub commit: CommitId,
    /// The ref that it was deployed for.
    pub git_ref: GitRef,
    /// The release that `current` points at; none in place.
    pub release: Option<ReleaseName>,
}

/// How a deployment ended.
#[derive(Debug, Clone)]
pub struct Finish {
    /// How.
    pub outcome: Outcome,
    /// Why, in words.
    pub reason: String,
    /// What is live now, if that changed.
    pub live: Option<WentLive>,
    /// Nothing is live now.
    pub nothing_live: bool,
    /// What the release that it made is worth.
    pub release: Option<(ReleaseName, ReleaseState)>,
    /// The ref's tip that is dealt with, so that a poll starts nothing for it.
    pub tip: Option<Tip>,
    /// The tip was not deployed for want of green checks: once they are green, it is tried again.
    pub unchecked: bool,
    /// What was deployed is older than the tip, whose checks are not green yet: the job waits on for it.
    pub again: bool,
    /// Try the job again then.
    pub retry_at: Option<Timestamp>,
    /// Messages for the outbox: channel and JSON.
    pub messages: Vec<(String, String)>,
}

impl Claim {
    /// The same claim again, for the one case that recording its end failed and is tried again.
    pub(crate) fn copy(&self) -> Self {
        Self {
            job: self.job.clone(),
            deployment: self.deployment,
            resumed: self.resumed.clone(),
            continues: self.continues,
            given_up: self.given_up,
        }
    }
}

impl Finish {
    /// The plain end of a deployment that changed nothing.
    pub fn plain(outcome: Outcome, reason: impl Into<String>) -> Self {
        Self {
            outcome,
            reason: reason.into(),
            live: None,
            nothing_live: false,
            release: None,
            tip: None,
            unchecked: false,
            again: false,
            retry_at: None,
            messages: Vec::new(),
        }
    }
}
