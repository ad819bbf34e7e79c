//! The wire types of the control socket: what `/api/v1/…` takes and gives, and `--json` prints.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::store::{DeploymentRow, PhaseRow, ReleaseRow};

/// `GET /api/v1/status`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// Version of the daemon.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// When it started, milliseconds since the epoch.
    pub started_at: i64,
    /// The configuration file in force.
    pub config: String,
    /// Where deliveries come in: `127.0.0.1:9000`, `unix:/run/hookd/http.sock`.
    #[serde(default)]
    pub listen: Vec<String>,
    /// What a person must know: an open repo, a broken configuration file …
    pub warnings: Vec<String>,
    /// What commands run as, where the configuration leaves it open, and why.
    #[serde(default)]
    pub isolation: String,
    /// Jobs that wait.
    pub waiting: usize,
    /// Deployments that run.
    pub running: usize,
    /// All targets.
    pub targets: Vec<TargetStatus>,
}

/// One target.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TargetStatus {
    /// `repo/target`
    pub target: String,
    /// What it follows, in words: `branch main`.
    pub follows: String,
    /// Its directory.
    pub path: String,
    /// `idle`, `waiting`, `running`, `paused`, `pinned`
    pub state: String,
    /// The live commit.
    pub commit: Option<String>,
    /// The live ref.
    #[serde(rename = "ref")]
    pub git_ref: Option<String>,
    /// The live release.
    pub release: Option<String>,
    /// Since when, milliseconds since the epoch.
    pub live_since: Option<i64>,
    /// Release that a person rolled back to.
    pub pinned: Option<String>,
    /// Whether a person paused it.
    pub paused: bool,
    /// Whether the remote has something newer.
    pub behind: Option<bool>,
    /// Why the last look at the remote failed.
    pub remote_error: Option<String>,
    /// The deployment that runs.
    pub running: Option<DeploymentRow>,
    /// The last one that ended.
    pub last: Option<DeploymentRow>,
    /// Jobs that wait.
    pub waiting: usize,
    /// When the first of them is tried, if it waits for a time: milliseconds since the epoch.
    pub next_try: Option<i64>,
    /// What the first of them waits for, if it is more than its turn: CI checks.
    #[serde(default)]
    pub waits_for: Option<String>,
}

/// `GET /api/v1/deployments/ID`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Deployment {
    /// The deployment.
    #[serde(flatten)]
    pub row: DeploymentRow,
    /// Its phases, in order.
    pub phases: Vec<PhaseRow>,
}

/// `GET /api/v1/targets/REPO/TARGET/releases`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Releases {
    /// The live one.
    pub current: Option<String>,
    /// All that are kept, newest first.
    pub releases: Vec<ReleaseRow>,
}

/// `POST /api/v1/targets/REPO/TARGET/rollback`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollbackRequest {
    /// Where to; none: the good release before the live one.
    #[serde(default)]
    pub release: Option<String>,
}

/// `POST /api/v1/targets/REPO/TARGET/deploy`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeployRequest {
    /// Which ref, for targets that follow a pattern.
    #[serde(default, rename = "ref")]
    pub git_ref: Option<String>,
}

/// The answer to everything that asks for jobs.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Asked {
    /// `accepted`, or what was done.
    pub status: String,
    /// The jobs, by id and target.
    #[serde(default)]
    pub jobs: Vec<crate::store::AcceptedJob>,
    /// In words.
    #[serde(default)]
    pub message: String,
}

/// An error of the control socket.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Problem {
    /// Always `error`.
    pub status: String,
    /// What is wrong.
    pub error: String,
    /// What to do.
    #[serde(default)]
    pub hint: Option<String>,
}

/// `GET /api/v1/explain/DELIVERY` gives the explanation as the explain room makes it; this is its query.
pub type Query = BTreeMap<String, String>;
