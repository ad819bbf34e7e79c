//! The wire types of the control socket: what `/api/v1/…` takes and gives, and `--json` prints.
//!
//! They are the daemon's promise to programs, so nothing here follows the store when that changes. All times are milliseconds
//! since the epoch.

pub mod description;
mod explanation;
pub mod routes;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use explanation::{Came, ExplainedCondition, ExplainedEvent, ExplainedVerdict, Explanation};

/// `GET /api/v1/status`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// Version of the daemon.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// When it started.
    pub started_at: i64,
    /// The configuration file in force.
    pub config: String,
    /// When reading it began.
    #[serde(default)]
    pub configured_at: i64,
    /// The newest configuration, if the daemon refused it.
    #[serde(default)]
    pub refused: Option<RefusedConfiguration>,
    /// Where deliveries come in: `127.0.0.1:9000`, `unix:/run/hookd/http.sock`.
    #[serde(default)]
    pub listen: Vec<String>,
    /// What a person must know: an open repo, a broken configuration file …
    pub warnings: Vec<String>,
    /// What is wrong with no target in particular.
    #[serde(default)]
    pub problems: Vec<Problem>,
    /// What commands run as, where the configuration leaves it open, and why.
    #[serde(default)]
    pub isolation: String,
    /// Number of queued jobs.
    pub waiting: usize,
    /// Number of running deployments.
    pub running: usize,
    /// All targets, the gravest first.
    pub targets: Vec<TargetStatus>,
}

impl Status {
    /// How the targets stand, in one sentence without its full stop, and whether none needs a person. `None` without targets.
    pub fn sentence(&self) -> Option<(String, bool)> {
        let all = self.targets.len();
        let bad = self.targets.iter().filter(|target| !target.problems.is_empty());
        match (bad.count(), all) {
            (_, 0) => None,
            (0, 1) => Some(("The target is well".to_owned(), true)),
            (0, _) => Some((format!("All {all} targets are well"), true)),
            (1, 1) => Some(("1 of 1 target needs you".to_owned(), false)),
            (1, _) => Some((format!("1 of {all} targets needs you"), false)),
            (bad, _) => Some((format!("{bad} of {all} targets need you"), false)),
        }
    }
}

/// A configuration that the daemon refused; the previous one stays in force.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RefusedConfiguration {
    /// When reading it began.
    pub at: i64,
    /// Every error, as `hookd check` prints it.
    pub why: String,
}

/// One target.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct TargetStatus {
    /// `repo/target`
    pub target: String,
    /// What it follows, in words: `branch main`.
    pub follows: String,
    /// Its directory.
    pub path: String,
    /// Where people see the site.
    #[serde(default)]
    pub url: Option<String>,
    /// Its name on the forge.
    #[serde(default)]
    pub environment: String,
    /// `running`, `paused`, `pinned`, `waiting`, `failed`, `nothing-live`, `live`
    pub state: String,
    /// What needs a person, gravest first.
    pub problems: Vec<Problem>,
    /// What is live.
    pub live: Option<Live>,
    /// The tip of the ref at the last look; none before the first, and while the ref is not there.
    pub tip: Option<Tip>,
    /// The live commit.
    pub commit: Option<String>,
    /// The live ref.
    #[serde(rename = "ref")]
    pub git_ref: Option<String>,
    /// The live release.
    pub release: Option<String>,
    /// Since when.
    pub live_since: Option<i64>,
    /// Release that a person rolled back to.
    pub pinned: Option<String>,
    /// Whether a person paused it.
    pub paused: bool,
    /// Whether the live commit is behind the tip, for any reason; null while the tip is unknown.
    pub behind: Option<bool>,
    /// Why the last look at the remote failed.
    pub remote_error: Option<String>,
    /// The deployment that runs.
    pub running: Option<Deployment>,
    /// The last one that ended.
    pub last: Option<Deployment>,
    /// Queued jobs, in order.
    pub waiting: Vec<Waiting>,
    /// How long a deployment usually takes that goes live, milliseconds.
    #[serde(default)]
    pub usual_duration: Option<i64>,
    /// When the first of them is tried, if it waits for a time.
    pub next_try: Option<i64>,
    /// What the first of them waits for, if it is more than its turn: CI checks.
    #[serde(default)]
    pub waits_for: Option<String>,
}

/// What is live at a target.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Live {
    /// The commit.
    pub commit: String,
    /// First line of its message.
    pub subject: Option<String>,
    /// Name of its author.
    pub author: Option<String>,
    /// The ref that it was deployed for.
    #[serde(rename = "ref")]
    pub git_ref: Option<String>,
    /// The release; none in place.
    pub release: Option<String>,
    /// Since when.
    pub since: Option<i64>,
}

/// The tip of the ref that a target follows.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Tip {
    /// The commit.
    pub commit: String,
    /// First line of its message, once hookd has fetched it.
    pub subject: Option<String>,
    /// The ref.
    #[serde(rename = "ref")]
    pub git_ref: String,
}

/// A queued job.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Waiting {
    /// Its number.
    pub job: i64,
    /// When it was asked for.
    pub requested_at: i64,
    /// When it is tried, if it waits for a time.
    pub next_try: Option<i64>,
    /// What it waits for, in words.
    pub reason: String,
}

/// Something that needs a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// Its name for programs: `failed`, `nothing-live`, `behind`, `pinned`, …
    pub code: String,
    /// What is wrong.
    pub text: String,
    /// What to type or to change.
    pub hint: String,
    /// Since when, where that is known.
    pub since: Option<i64>,
}

/// A delivery as it came in.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Delivery {
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
    /// When it came.
    pub received_at: i64,
    /// Where it came from.
    pub remote_addr: String,
    /// `accepted`, `ignored`, `pong`, `duplicate`, `rejected`
    pub result: String,
    /// Why, in words.
    pub reason: String,
    /// Jobs that it asked for.
    pub jobs: Vec<i64>,
    /// Which of the repo's secrets it was signed with, counted from 1 in the order of the configuration; null if it was none of them.
    #[serde(default)]
    pub secret: Option<u32>,
    /// How many of the same kind this line stands for: what one address had refused for one reason.
    #[serde(default = "one")]
    pub count: usize,
}

fn one() -> usize {
    1
}

/// One run of a job.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Deployment {
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
    /// Name of the commit's author.
    #[serde(default)]
    pub author: Option<String>,
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
    /// When it started.
    pub started_at: i64,
    /// When it ended; none while it runs.
    pub finished_at: Option<i64>,
    /// Who asked for it: `user:alice`, `token:ci`, `uid:1000`; none for a webhook or a poll.
    #[serde(default)]
    pub asked_by: Option<String>,
}

/// One line of the log of a deployment.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct LogLine {
    /// Milliseconds since the epoch.
    pub at: i64,
    /// Phase that it belongs to.
    pub phase: String,
    /// `stdout`, `stderr`, `hookd` for its own words, or `progress` of a fetch or a checkout.
    pub stream: String,
    /// The text, without the line's end.
    pub text: String,
    /// How much of it is done; only of `progress`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<u64>,
    /// How much there is in all, once that is known; only of `progress`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
}

/// How long a phase took.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Phase {
    /// Name of the phase.
    pub phase: String,
    /// When it began.
    pub started_at: i64,
    /// When it ended; none while it runs.
    pub finished_at: Option<i64>,
}

/// `GET /api/v1/deployments/ID`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct DeploymentDetail {
    /// The deployment.
    #[serde(flatten)]
    pub row: Deployment,
    /// Its phases, in order.
    pub phases: Vec<Phase>,
}

/// A release directory.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Release {
    /// Name of the directory.
    pub name: String,
    /// The commit that it holds.
    pub commit: String,
    /// First line of the commit's message.
    #[serde(default)]
    pub subject: Option<String>,
    /// Name of the commit's author.
    #[serde(default)]
    pub author: Option<String>,
    /// The ref that it was made for.
    #[serde(rename = "ref")]
    pub git_ref: String,
    /// The deployment that made it.
    pub deployment: i64,
    /// `building`, `good`, `failed`
    pub state: String,
    /// When it was made.
    pub created_at: i64,
}

/// `GET /api/v1/targets/REPO/TARGET/releases`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Releases {
    /// The live one.
    pub current: Option<String>,
    /// All that are kept, newest first.
    pub releases: Vec<Release>,
}

/// `GET /api/v1/jobs/ID`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Job {
    /// Its number.
    pub id: i64,
    /// `repo/target`
    pub target: String,
    /// `waiting`, `running`, `done`
    pub state: String,
    /// How it ended.
    pub outcome: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// Its newest deployment.
    pub deployment: Option<i64>,
}

/// `POST /api/v1/targets/REPO/TARGET/rollback`
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackRequest {
    /// The release to go to; none: the newest good one before the live one.
    #[serde(default)]
    pub release: Option<String>,
}

/// `POST /api/v1/targets/REPO/TARGET/deploy`
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeployRequest {
    /// Which ref, for targets that follow a pattern.
    #[serde(default, rename = "ref")]
    pub git_ref: Option<String>,
}

/// A job that was asked for.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct QueuedJob {
    /// Its number.
    pub id: i64,
    /// `repo/target`
    pub target: String,
}

/// The answer to every act.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct Asked {
    /// How the job ended; only in the answer to a request that waits, and null if it has not ended yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The newest deployment of the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<i64>,
    /// `accepted`, or what was done.
    pub status: String,
    /// The jobs, by id and target.
    #[serde(default)]
    pub jobs: Vec<QueuedJob>,
    /// In words.
    #[serde(default)]
    pub message: String,
}

/// One act in `GET /api/v1/audit`: who did what.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Act {
    /// Its number.
    pub id: i64,
    /// When.
    pub at: i64,
    /// Who: `user:alice`, `token:ci`, `uid:1000`.
    pub who: String,
    /// The same as people say it: the name of the user, of the token, or of that number on the machine.
    #[serde(default)]
    pub name: String,
    /// What: `deploy`, `rollback`, `log-in`, `token add`.
    pub act: String,
    /// To what: `repo/target`, a delivery, a token.
    pub object: String,
    /// Where the request came from; none for the control socket.
    pub address: Option<String>,
    /// What came of it; null if the daemon ended before that was known.
    pub result: Option<String>,
    /// How the job ended that it asked for; none while that waits or runs, and where there was none.
    #[serde(default)]
    pub outcome: Option<String>,
    /// The newest deployment of that job.
    #[serde(default)]
    pub deployment: Option<i64>,
}

/// `POST /api/v1/tokens`
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// What to call it.
    #[schemars(regex(pattern = routes::NAME))]
    pub name: String,
    /// What it may: `view`, or `deploy:` and a target or a pattern of targets.
    #[schemars(
        length(max = 1024),
        regex(pattern = r"^(view|deploy:[A-Za-z0-9_*][A-Za-z0-9_.*-]*/[A-Za-z0-9_*][A-Za-z0-9_.*-]*)$")
    )]
    pub may: String,
}

/// A token, as `GET /api/v1/tokens` lists it.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct Token {
    /// Its name.
    pub name: String,
    /// What it may.
    pub may: String,
    /// When it was made.
    pub created_at: i64,
    /// Who made it.
    pub created_by: String,
    /// The token itself; only in the answer to its making.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// An error response: an RFC 9457 problem, with two members of hookd's own.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct ErrorBody {
    /// Always `about:blank`: the status says what kind of problem it is.
    #[serde(default, rename = "type")]
    pub kind: String,
    /// The status in words.
    #[serde(default)]
    pub title: String,
    /// The HTTP status.
    #[serde(default)]
    pub status: u16,
    /// The error with its hint, in one text.
    #[serde(default)]
    pub detail: String,
    /// What is wrong.
    pub error: String,
    /// What to do.
    #[serde(default)]
    pub hint: Option<String>,
}

/// The parameters of a request's query.
pub type Query = BTreeMap<String, String>;
