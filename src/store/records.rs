//! What the store knows, as it tells others.

use rusqlite::Row;
use serde::{Deserialize, Serialize};

/// A delivery as it came in.
#[derive(Debug, Clone, Serialize, Deserialize)]
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
}

impl DeliveryRow {
    pub(super) const COLUMNS: &'static str = "id, delivery, repo, forge, event, received_at, remote_addr, result, reason, \
         (SELECT group_concat(jobs.id) FROM jobs WHERE jobs.delivery_row = deliveries.id)";

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
        })
    }
}

/// One run of a job.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeploymentRow {
    /// Its number.
    pub id: i64,
    /// The job that it runs.
    pub job: i64,
    /// `repo/target`
    pub target: String,
    /// The ref that it follows.
    #[serde(rename = "ref")]
    pub git_ref: String,
    /// What asked for it: `webhook`, `poll`, `deploy`, `retry`, `replay`, `rollback`
    pub source: String,
    /// The delivery that asked for it.
    pub delivery: Option<String>,
    /// The commit, once it is known.
    pub commit: Option<String>,
    /// First line of the commit's message.
    pub subject: Option<String>,
    /// What was live before.
    pub previous_commit: Option<String>,
    /// The release that it made.
    pub release: Option<String>,
    /// The release that was live before.
    pub previous_release: Option<String>,
    /// Where it is, or how far it came.
    pub phase: String,
    /// How it ended; none while it runs.
    pub outcome: Option<String>,
    /// Why, in words.
    pub reason: Option<String>,
    /// Set once a rollback is decided, with the reason.
    pub rolling_back: Option<String>,
    /// Milliseconds since the epoch.
    pub started_at: i64,
    /// Milliseconds since the epoch.
    pub finished_at: Option<i64>,
}

impl DeploymentRow {
    pub(super) const SELECT: &'static str = "SELECT d.id, d.job, d.repo || '/' || d.target, d.git_ref, j.source, j.delivery, \
         d.commit_id, d.subject, d.previous_commit, d.release, d.previous_release, d.phase, d.outcome, d.reason, \
         d.rolling_back, d.started_at, d.finished_at FROM deployments d JOIN jobs j ON j.id = d.job";

    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            job: row.get(1)?,
            target: row.get(2)?,
            git_ref: row.get(3)?,
            source: row.get(4)?,
            delivery: row.get(5)?,
            commit: row.get(6)?,
            subject: row.get(7)?,
            previous_commit: row.get(8)?,
            release: row.get(9)?,
            previous_release: row.get(10)?,
            phase: row.get(11)?,
            outcome: row.get(12)?,
            reason: row.get(13)?,
            rolling_back: row.get(14)?,
            started_at: row.get(15)?,
            finished_at: row.get(16)?,
        })
    }
}

/// How long a phase took.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PhaseRow {
    /// Name of the phase.
    pub phase: String,
    /// Milliseconds since the epoch.
    pub started_at: i64,
    /// Milliseconds since the epoch; none while it runs.
    pub finished_at: Option<i64>,
}

/// What a release is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReleaseState {
    /// Being made, or left behind by a crash.
    Building,
    /// Was or is live.
    Good,
    /// Failed to build or to pass its check.
    Failed,
}

impl ReleaseState {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Building => "building",
            Self::Good => "good",
            Self::Failed => "failed",
        }
    }

    fn from_text(text: &str) -> Self {
        match text {
            "good" => Self::Good,
            "failed" => Self::Failed,
            _ => Self::Building,
        }
    }
}

/// A release directory.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReleaseRow {
    /// Name of the directory.
    pub name: String,
    /// What it holds.
    pub commit: String,
    /// The ref it was made for.
    #[serde(rename = "ref")]
    pub git_ref: String,
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
        let state: String = row.get(4)?;
        Ok(Self {
            name: row.get(0)?,
            commit: row.get(1)?,
            git_ref: row.get(2)?,
            deployment: row.get(3)?,
            state: ReleaseState::from_text(&state),
            created_at: row.get(5)?,
        })
    }
}

/// What is live at a target, and whether it moves.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct TargetRow {
    /// The live commit.
    pub live_commit: Option<String>,
    /// The ref that it was deployed for.
    pub live_ref: Option<String>,
    /// The release that `current` points at.
    pub live_release: Option<String>,
    /// Since when, milliseconds since the epoch.
    pub live_since: Option<i64>,
    /// A person paused it.
    pub paused: bool,
    /// A person rolled back to this release; nothing deploys until `resume`.
    pub pinned: Option<String>,
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

/// The tip of a ref that was last dealt with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tip {
    /// Full ref.
    pub git_ref: String,
    /// Its commit then.
    pub commit: String,
    /// What came of it.
    pub outcome: String,
}
