//! What the store knows, as it tells others.

use std::collections::BTreeMap;
use std::time::Duration;

use rusqlite::Row;

use super::sql::target_of;
use crate::model::{
    CheckState, CommitId, GitRef, JobState, Outcome, Phase, ReleaseName, ReleaseState, Source, TargetId, Timestamp,
};

/// A delivery as it came in.
#[derive(Debug, Clone)]
pub struct DeliveryRow {
    /// Number in order of arrival; none for a rejected one, which is not stored.
    pub number: Option<i64>,
    /// The forge's id, or one made from the body.
    pub delivery: String,
    /// Repo of the configuration.
    pub repo: String,
    /// Forge whose dialect it speaks.
    pub forge: String,
    /// The event in the forge's words.
    pub event: String,
    /// When it came, milliseconds since the epoch.
    pub received_at: i64,
    /// Where it came from.
    pub remote_addr: String,
    /// `accepted`, `ignored`, `pong`, `duplicate`, `rejected`
    pub result: String,
    /// Why, in words.
    pub reason: String,
    /// Jobs that it asked for.
    pub jobs: Vec<i64>,
    /// Which of the repo's secrets it was signed with, counted from 1; none if it was none of them.
    pub secret: Option<u32>,
}

impl DeliveryRow {
    pub(super) const COLUMNS: &'static str = "id, delivery, repo, forge, event, received_at, remote_addr, result, reason, \
         (SELECT group_concat(jobs.id) FROM jobs WHERE jobs.delivery_row = deliveries.id), secret";

    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let jobs: Option<String> = row.get(9)?;
        Ok(Self {
            number: row.get(0)?,
            delivery: row.get(1)?,
            repo: row.get(2)?,
            forge: row.get(3)?,
            event: row.get(4)?,
            received_at: row.get(5)?,
            remote_addr: row.get(6)?,
            result: row.get(7)?,
            reason: row.get(8)?,
            jobs: jobs
                .unwrap_or_default()
                .split(',')
                .filter_map(|id| id.parse().ok())
                .collect(),
            secret: row.get(10)?,
        })
    }
}

/// One run of a job.
#[derive(Debug, Clone)]
pub struct DeploymentRow {
    /// Its number.
    pub id: i64,
    /// The job that it runs.
    pub job: i64,
    /// The target.
    pub target: TargetId,
    /// The ref that it follows.
    pub git_ref: GitRef,
    /// What asked for it.
    pub source: Source,
    /// The delivery that asked for it.
    pub delivery: Option<String>,
    /// The commit, once it is known.
    pub commit: Option<CommitId>,
    /// First line of the commit's message.
    pub subject: Option<String>,
    /// The commit that it fetched, which it may not come to deploy.
    pub fetched: Option<CommitId>,
    /// Name of the commit's author.
    pub author: Option<String>,
    /// What was live before.
    pub previous_commit: Option<CommitId>,
    /// The release that it made.
    pub release: Option<ReleaseName>,
    /// The release that was live before.
    pub previous_release: Option<ReleaseName>,
    /// Where it is, or was last.
    pub phase: Phase,
    /// Where it was when it was decided to go back.
    pub failed_phase: Option<Phase>,
    /// How it ended; none while it runs.
    pub outcome: Option<Outcome>,
    /// Why, in words.
    pub reason: Option<String>,
    /// Set once a rollback is decided, with the reason.
    pub rolling_back: Option<String>,
    /// Milliseconds since the epoch.
    pub started_at: i64,
    /// Milliseconds since the epoch.
    pub finished_at: Option<i64>,
    /// Who asked for it: `user:alice`; none for a webhook or a poll.
    pub asked_by: Option<String>,
}

impl DeploymentRow {
    pub(super) const SELECT: &'static str = "SELECT d.id, d.job, d.repo, d.target, d.git_ref, j.source, j.delivery, \
         d.commit_id, d.subject, d.previous_commit, d.release, d.previous_release, d.phase, d.outcome, d.reason, \
         d.rolling_back, d.started_at, d.finished_at, d.author, d.fetched, j.asked_by, d.failed_phase FROM deployments d CROSS JOIN jobs j ON j.id = d.job";

    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            job: row.get(1)?,
            target: target_of(row, 2)?,
            git_ref: row.get(4)?,
            source: row.get(5)?,
            delivery: row.get(6)?,
            commit: row.get(7)?,
            subject: row.get(8)?,
            previous_commit: row.get(9)?,
            release: row.get(10)?,
            previous_release: row.get(11)?,
            phase: row.get(12)?,
            outcome: row.get(13)?,
            reason: row.get(14)?,
            rolling_back: row.get(15)?,
            started_at: row.get(16)?,
            finished_at: row.get(17)?,
            author: row.get(18)?,
            fetched: row.get(19)?,
            asked_by: row.get(20)?,
            failed_phase: row.get(21)?,
        })
    }

    /// Where it is, or how far it came: what is done to go back is no part of that.
    pub fn came_to(&self) -> Phase {
        let failed = self.failed_phase.filter(|_| self.outcome.is_some());
        failed.unwrap_or(self.phase)
    }
}

/// How long a phase took.
#[derive(Debug, Clone)]
pub struct PhaseRow {
    /// The phase.
    pub phase: Phase,
    /// Milliseconds since the epoch.
    pub started_at: i64,
    /// Milliseconds since the epoch; none while it runs.
    pub finished_at: Option<i64>,
}

/// A release directory.
#[derive(Debug, Clone)]
pub struct ReleaseRow {
    /// Name of the directory.
    pub name: ReleaseName,
    /// What it holds.
    pub commit: CommitId,
    /// The ref it was made for.
    pub git_ref: GitRef,
    /// The deployment that made it.
    pub deployment: i64,
    /// What it is worth.
    pub state: ReleaseState,
    /// Milliseconds since the epoch.
    pub created_at: i64,
}

impl ReleaseRow {
    pub(super) const COLUMNS: &'static str = "name, commit_id, git_ref, deployment, state, created_at";

    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            name: row.get(0)?,
            commit: row.get(1)?,
            git_ref: row.get(2)?,
            deployment: row.get(3)?,
            state: row.get(4)?,
            created_at: row.get(5)?,
        })
    }
}

/// What is live at a target, and whether it moves.
#[derive(Debug, Clone, Default)]
pub struct TargetRow {
    /// The live commit.
    pub live_commit: Option<CommitId>,
    /// The ref that it was deployed for.
    pub live_ref: Option<GitRef>,
    /// The release that `current` points at.
    pub live_release: Option<ReleaseName>,
    /// Since when, milliseconds since the epoch.
    pub live_since: Option<i64>,
    /// A person paused it.
    pub paused: bool,
    /// A person rolled back to this release; nothing deploys until `resume`.
    pub pinned: Option<ReleaseName>,
}

impl TargetRow {
    pub(super) const COLUMNS: &'static str = "live_commit, live_ref, live_release, live_since, paused, pinned";

    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            live_commit: row.get(0)?,
            live_ref: row.get(1)?,
            live_release: row.get(2)?,
            live_since: row.get(3)?,
            paused: row.get(4)?,
            pinned: row.get(5)?,
        })
    }

    /// True while nothing may deploy by itself.
    pub fn held(&self) -> bool {
        self.paused || self.pinned.is_some()
    }
}

/// The tip of a ref, as it was dealt with last or is to be noted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tip {
    /// The ref.
    pub git_ref: GitRef,
    /// Its commit then.
    pub commit: CommitId,
}

/// What is known of a target's refs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tips {
    /// Whether the target's remote was looked at before.
    pub looked: bool,
    /// The tips that were dealt with.
    pub known: Vec<Tip>,
}

/// Pauses before a look at the remote asks again for what failed so; the last one is kept to.
pub(super) const PAUSES: [Duration; 5] = [
    Duration::from_mins(5),
    Duration::from_mins(15),
    Duration::from_hours(1),
    Duration::from_hours(3),
    Duration::from_hours(12),
];

/// The last of them.
const LONGEST_PAUSE: Duration = PAUSES[PAUSES.len() - 1];

/// A failure before a commit was known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureRow {
    /// The ref that was to be deployed.
    pub git_ref: GitRef,
    /// The object that the remote had there; `None` if no look has seen it yet.
    pub advertised: Option<CommitId>,
    /// What failed.
    pub reason: String,
    /// When it failed first.
    pub since: Timestamp,
    /// How often it failed.
    pub count: u32,
    /// When a look at the remote may ask for it again.
    pub retry_at: Timestamp,
}

impl FailureRow {
    /// Whether its pause goes on. A clock that was set back makes no pause longer than the longest.
    pub fn rests_at(&self, now: Timestamp) -> bool {
        now < self.retry_at && self.retry_at <= now.after(LONGEST_PAUSE)
    }

    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            git_ref: row.get(0)?,
            advertised: row.get(1)?,
            reason: row.get(2)?,
            since: row.get(3)?,
            count: row.get(4)?,
            retry_at: row.get(5)?,
        })
    }
}

/// A job with everything that a deployment needs of it.
#[derive(Debug, Clone)]
pub struct JobRow {
    /// Its number.
    pub id: i64,
    /// Which target.
    pub target: TargetId,
    /// Which ref.
    pub git_ref: GitRef,
    /// The commit that was asked for.
    pub wanted: Option<CommitId>,
    /// What asked for it.
    pub source: Source,
    /// Number of the delivery.
    pub delivery_row: Option<i64>,
    /// The forge's id of the delivery.
    pub delivery: Option<String>,
    /// The event in the forge's words.
    pub event: Option<String>,
    /// Who pushed.
    pub pusher: Option<String>,
    /// Where a rollback goes.
    pub release: Option<ReleaseName>,
    /// How often it was tried before.
    pub attempt: u32,
    /// The commit whose checks it waited for.
    pub held: Option<Held>,
}

/// A job waited for the checks of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The commit.
    pub commit: CommitId,
    /// Since when.
    pub since: Timestamp,
    /// What for, in words.
    pub reason: String,
}

impl JobRow {
    /// Whether it goes to a release that was made before: a rollback, or back to what somebody removed.
    pub fn goes_back(&self) -> bool {
        self.source == Source::Rollback || self.release.is_some()
    }

    pub(super) const COLUMNS: &'static str = "id, repo, target, git_ref, wanted, source, delivery_row, delivery, event, pusher, release, \
         attempt, held_commit, held_since, reason";

    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            target: target_of(row, 1)?,
            git_ref: row.get(3)?,
            wanted: row.get(4)?,
            source: row.get(5)?,
            delivery_row: row.get(6)?,
            delivery: row.get(7)?,
            event: row.get(8)?,
            pusher: row.get(9)?,
            release: row.get(10)?,
            attempt: row.get(11)?,
            held: held(row, 12)?,
        })
    }
}

/// What a job waits or waited for; the columns are `held_commit`, `held_since` and `reason`.
pub(super) fn held(row: &Row<'_>, first: usize) -> rusqlite::Result<Option<Held>> {
    let Some(commit) = row.get(first)? else {
        return Ok(None);
    };
    Ok(Some(Held {
        commit,
        since: Timestamp(row.get(first + 1)?),
        reason: row.get::<_, Option<String>>(first + 2)?.unwrap_or_default(),
    }))
}

/// A job as told to who waits for it.
#[derive(Debug, Clone)]
pub struct JobStatus {
    /// Its number.
    pub id: i64,
    /// The target.
    pub target: TargetId,
    /// How far it has come.
    pub state: JobState,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Why.
    pub reason: Option<String>,
    /// Its newest deployment.
    pub deployment: Option<i64>,
}

/// A job that waits, as the schedule sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingJob {
    /// Its number.
    pub id: i64,
    /// Its place in the queue.
    pub position: i64,
    /// Which target.
    pub target: TargetId,
    /// It is not tried before.
    pub not_before: Timestamp,
    /// A person paused or pinned the target, and the job is no rollback.
    pub held: bool,
    /// A person asked for it, and may be waiting.
    pub by_hand: bool,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// The checks that it waits for.
    pub checks: Option<Held>,
}

/// What is known of a commit's checks.
#[derive(Debug, Clone, Default)]
pub struct KnownChecks {
    /// The states, by name.
    pub states: BTreeMap<String, CheckState>,
    /// How far the store had come when they were read.
    pub seq: i64,
}
