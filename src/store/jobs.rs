//! Jobs that run: claimed, under way, finished, taken up again.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::checks::UNCHECKED;
use super::crashes::{GivenUp, count_crash};
use super::queue::pin_after_rollback;
use super::{DeploymentRow, ReleaseState, Store, StoreError};
use crate::model::{CommitId, GitRef, Outcome, Phase, TargetId, Timestamp};

/// What asked for a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A delivery.
    Webhook,
    /// A look at the remote.
    Poll,
    /// `hookd deploy`
    Deploy,
    /// `hookd retry`
    Retry,
    /// `hookd replay`
    Replay,
    /// `hookd rollback`
    Rollback,
}

impl Source {
    /// The word in the store and in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Poll => "poll",
            Self::Deploy => "deploy",
            Self::Retry => "retry",
            Self::Replay => "replay",
            Self::Rollback => "rollback",
        }
    }

    fn from_text(text: &str) -> Self {
        match text {
            "webhook" => Self::Webhook,
            "deploy" => Self::Deploy,
            "retry" => Self::Retry,
            "replay" => Self::Replay,
            "rollback" => Self::Rollback,
            _ => Self::Poll,
        }
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
    pub release: Option<String>,
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

pub(super) const JOB_COLUMNS: &str = "id, repo, target, git_ref, wanted, source, delivery_row, delivery, event, pusher, release, attempt, held_commit, held_since, \
     reason";

fn words<T: std::str::FromStr>(row: &Row<'_>, index: usize) -> rusqlite::Result<T> {
    let text: String = row.get(index)?;
    text.parse()
        .map_err(|_| rusqlite::Error::InvalidColumnType(index, text, rusqlite::types::Type::Text))
}

pub(super) fn target_of(row: &Row<'_>, repo: usize) -> rusqlite::Result<TargetId> {
    Ok(TargetId {
        repo: words(row, repo)?,
        target: words(row, repo + 1)?,
    })
}

impl JobRow {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let source: String = row.get(5)?;
        let wanted: Option<String> = row.get(4)?;
        Ok(Self {
            id: row.get(0)?,
            target: target_of(row, 1)?,
            git_ref: words(row, 3)?,
            wanted: wanted.and_then(|w| w.parse().ok()),
            source: Source::from_text(&source),
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
    let commit: Option<String> = row.get(first)?;
    let Some(commit) = commit.and_then(|commit| commit.parse().ok()) else {
        return Ok(None);
    };
    Ok(Some(Held {
        commit,
        since: Timestamp(row.get(first + 1)?),
        reason: row.get::<_, Option<String>>(first + 2)?.unwrap_or_default(),
    }))
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
    pub commit: Option<String>,
    /// First line of its message.
    pub subject: Option<String>,
    /// The release that is made.
    pub release: Option<String>,
    /// What is live now.
    pub previous_commit: Option<String>,
    /// The release that is live now.
    pub previous_release: Option<String>,
    /// Why it rolls back.
    pub rolling_back: Option<String>,
    /// The ref that is deployed.
    pub git_ref: Option<String>,
}

/// How a deployment ended.
#[derive(Debug, Clone)]
pub struct Finish {
    /// How.
    pub outcome: Outcome,
    /// Why, in words.
    pub reason: String,
    /// What is live now, if that changed: commit, ref, release.
    pub live: Option<(String, String, Option<String>)>,
    /// Nothing is live any more.
    pub nothing_live: bool,
    /// What the release that it made is worth.
    pub release: Option<(String, ReleaseState)>,
    /// The ref's tip that is dealt with, so that a poll starts nothing for it.
    pub tip: Option<(String, String)>,
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

impl Store {
    /// Takes a waiting job for running and begins a deployment; none if it does not wait any more.
    pub async fn claim(&self, job: i64, now: Timestamp) -> Result<Option<Claim>, StoreError> {
        self.write(move |c| {
            let sql = format!(
                "UPDATE jobs SET state = 'running', left_open = 0 WHERE id = ?1 AND state = 'waiting' RETURNING {JOB_COLUMNS}"
            );
            let Some(row) = c.prepare_cached(&sql)?.query_row([job], JobRow::read).optional()? else {
                return Ok(None);
            };
            // One that waited for checks goes on with its deployment.
            let open = open_deployment(c, row.id)?;
            let deployment = match open {
                Some(deployment) => deployment,
                None => begin(c, &row, now)?,
            };
            Ok(Some(Claim {
                job: row,
                deployment,
                resumed: None,
                continues: open.is_some(),
                given_up: None,
            }))
        })
        .await
    }

    /// Notes that a phase begins, with what is known by now. On disk when it returns.
    pub async fn enter(
        &self,
        deployment: i64,
        phase: Phase,
        known: Progress,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(move |c| {
            c.prepare_cached("UPDATE phases SET finished_at = ?2 WHERE deployment = ?1 AND finished_at IS NULL")?
                .execute(params![deployment, now.0])?;
            c.prepare_cached("INSERT OR REPLACE INTO phases (deployment, phase, started_at) VALUES (?1, ?2, ?3)")?
                .execute(params![deployment, phase.as_str(), now.0])?;
            c.prepare_cached(
                "UPDATE deployments SET phase = ?2, commit_id = coalesce(?3, commit_id), subject = coalesce(?4, subject), \
                 release = coalesce(?5, release), previous_commit = coalesce(?6, previous_commit), \
                 previous_release = coalesce(?7, previous_release), rolling_back = coalesce(?8, rolling_back), \
                 git_ref = coalesce(?9, git_ref) WHERE id = ?1",
            )?
            .execute(params![
                deployment,
                phase.as_str(),
                known.commit,
                known.subject,
                known.release,
                known.previous_commit,
                known.previous_release,
                known.rolling_back,
                known.git_ref
            ])?;
            if let Some(release) = known.release {
                c.prepare_cached(
                    "INSERT OR IGNORE INTO releases (repo, target, name, commit_id, git_ref, deployment, state, created_at) \
                     SELECT repo, target, ?2, commit_id, git_ref, id, 'building', ?3 FROM deployments WHERE id = ?1",
                )?
                .execute(params![deployment, release, now.0])?;
            }
            Ok(())
        })
        .await
    }

    /// Ends a deployment and its job: outcome, what is live, messages, all in one transaction.
    pub async fn finish(&self, claim: Claim, end: Finish, now: Timestamp) -> Result<(), StoreError> {
        self.write(move |c| {
            finish_deployment(c, claim.deployment, end.outcome, &end.reason, now)?;
            let (repo, target) = (claim.job.target.repo.as_str(), claim.job.target.target.as_str());
            finish_job(c, &claim.job, &end)?;
            if end.again {
                wait_on(c, &claim.job)?;
            }
            if let Some((name, state)) = &end.release {
                c.prepare_cached("UPDATE releases SET state = ?4 WHERE repo = ?1 AND target = ?2 AND name = ?3")?
                    .execute(params![repo, target, name, state.as_str()])?;
            }
            if let Some((git_ref, commit)) = &end.tip {
                let outcome = if end.unchecked { UNCHECKED } else { end.outcome.as_str() };
                c.prepare_cached("UPDATE deployments SET commit_id = coalesce(commit_id, ?2), git_ref = ?3 WHERE id = ?1")?
                    .execute(params![claim.deployment, commit, git_ref])?;
                c.prepare_cached(
                    "INSERT OR REPLACE INTO tips (repo, target, git_ref, commit_id, outcome) VALUES (?1, ?2, ?3, ?4, ?5)",
                )?
                .execute(params![repo, target, git_ref, commit, outcome])?;
            }
            set_live(c, repo, target, &end, now)?;
            if claim.job.source == Source::Rollback {
                pin_after_rollback(c, &claim.job, end.outcome)?;
            }
            for (channel, body) in &end.messages {
                c.prepare_cached("INSERT INTO outbox (channel, body, not_before) VALUES (?1, ?2, ?3)")?
                    .execute(params![channel, body, now.0])?;
            }
            Ok(())
        })
        .await
    }

    /// After a start: deployments that a crash cut off before `activate` end as interrupted and their jobs wait again;
    /// those beyond are given back to be taken up where they were.
    pub async fn recover(&self, now: Timestamp) -> Result<Vec<Claim>, StoreError> {
        self.write(move |c| {
            let sql = format!("SELECT {JOB_COLUMNS} FROM jobs WHERE state = 'running'");
            let running: Vec<JobRow> = c
                .prepare(&sql)?
                .query_map([], JobRow::read)?
                .collect::<Result<_, _>>()?;
            let mut claims = Vec::new();
            for job in running {
                let sql = format!(
                    "{} WHERE d.job = ?1 AND d.outcome IS NULL ORDER BY d.id DESC LIMIT 1",
                    DeploymentRow::SELECT
                );
                let row = c.query_row(&sql, [job.id], DeploymentRow::read).optional()?;
                let given_up = match &row {
                    Some(row) => count_crash(c, job.id, row)?,
                    None => None,
                };
                match row {
                    Some(row) if given_up.is_some() || !matches!(row.phase.as_str(), "fetch" | "build") => {
                        claims.push(Claim {
                            job,
                            deployment: row.id,
                            resumed: Some(row),
                            continues: false,
                            given_up,
                        });
                    }
                    row => {
                        if let Some(row) = row {
                            finish_deployment(
                                c,
                                row.id,
                                Outcome::Interrupted,
                                "the daemon was stopped; it runs again",
                                now,
                            )?;
                        }
                        wait_again(c, &job)?;
                    }
                }
            }
            Ok(claims)
        })
        .await
    }

    /// Gives a claimed job back to the queue, because the daemon stops or because nothing was done yet.
    pub async fn give_back(&self, claim: Claim, reason: String, now: Timestamp) -> Result<(), StoreError> {
        self.write(move |c| {
            finish_deployment(c, claim.deployment, Outcome::Interrupted, &reason, now)?;
            c.execute("UPDATE jobs SET state = 'waiting' WHERE id = ?1", [claim.job.id])?;
            Ok(())
        })
        .await
    }

    /// Notes that the daemon stops in an orderly way: the next start counts no crash for the jobs that it cuts off.
    pub async fn stop_orderly(&self) -> Result<(), StoreError> {
        self.write(move |c| {
            c.execute("UPDATE jobs SET left_open = 1 WHERE state = 'running'", [])?;
            Ok(())
        })
        .await
    }

    /// A job with its outcome and reason, and its newest deployment.
    pub async fn job(&self, id: i64) -> Result<Option<JobStatus>, StoreError> {
        self.read(move |c| {
            let sql = "SELECT id, repo || '/' || target, state, outcome, reason, \
                 (SELECT max(d.id) FROM deployments d WHERE d.job = jobs.id) FROM jobs WHERE id = ?1";
            let read = |r: &Row<'_>| {
                Ok(JobStatus {
                    id: r.get(0)?,
                    target: r.get(1)?,
                    state: r.get(2)?,
                    outcome: r.get(3)?,
                    reason: r.get(4)?,
                    deployment: r.get(5)?,
                })
            };
            Ok(c.query_row(sql, [id], read).optional()?)
        })
        .await
    }
}

/// A job as told to who waits for it.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct JobStatus {
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

fn begin(c: &Connection, job: &JobRow, now: Timestamp) -> Result<i64, StoreError> {
    c.prepare_cached(
        "INSERT INTO deployments (job, repo, target, git_ref, phase, started_at) VALUES (?1, ?2, ?3, ?4, 'fetch', ?5)",
    )?
    .execute(params![
        job.id,
        job.target.repo.as_str(),
        job.target.target.as_str(),
        job.git_ref.as_str(),
        now.0
    ])?;
    Ok(c.last_insert_rowid())
}

/// The deployment of a job that has not ended.
pub(super) fn open_deployment(c: &Connection, job: i64) -> Result<Option<i64>, StoreError> {
    let sql = "SELECT id FROM deployments WHERE job = ?1 AND outcome IS NULL ORDER BY id DESC LIMIT 1";
    Ok(c.prepare_cached(sql)?.query_row([job], |r| r.get(0)).optional()?)
}

pub(super) fn finish_deployment(
    c: &Connection,
    id: i64,
    outcome: Outcome,
    reason: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    c.prepare_cached("UPDATE phases SET finished_at = ?2 WHERE deployment = ?1 AND finished_at IS NULL")?
        .execute(params![id, now.0])?;
    c.prepare_cached("UPDATE deployments SET outcome = ?2, reason = ?3, finished_at = ?4 WHERE id = ?1")?
        .execute(params![id, outcome.as_str(), reason, now.0])?;
    Ok(())
}

fn finish_job(c: &Connection, job: &JobRow, end: &Finish) -> Result<(), StoreError> {
    let newer_waits = || -> rusqlite::Result<bool> {
        c.query_row(
            "SELECT EXISTS (SELECT 1 FROM jobs WHERE repo = ?1 AND target = ?2 AND state = 'waiting' AND source <> 'rollback')",
            params![job.target.repo.as_str(), job.target.target.as_str()],
            |r| r.get(0),
        )
    };
    match end.retry_at {
        Some(at) if !newer_waits()? => {
            c.execute(
                "UPDATE jobs SET state = 'waiting', attempt = attempt + 1, not_before = ?2, outcome = ?3, reason = ?4 WHERE id = ?1",
                params![job.id, at.0, end.outcome.as_str(), end.reason],
            )?;
        }
        _ => {
            c.execute(
                "UPDATE jobs SET state = 'done', outcome = ?2, reason = ?3 WHERE id = ?1",
                params![job.id, end.outcome.as_str(), end.reason],
            )?;
        }
    }
    Ok(())
}

fn set_live(c: &Connection, repo: &str, target: &str, end: &Finish, now: Timestamp) -> Result<(), StoreError> {
    c.prepare_cached("INSERT OR IGNORE INTO targets (repo, target) VALUES (?1, ?2)")?
        .execute(params![repo, target])?;
    if let Some((commit, git_ref, release)) = &end.live {
        c.prepare_cached(
            "UPDATE targets SET live_commit = ?3, live_ref = ?4, live_release = ?5, live_since = ?6 WHERE repo = ?1 AND target = ?2",
        )?
        .execute(params![repo, target, commit, git_ref, release, now.0])?;
    }
    if end.nothing_live {
        c.execute(
            "UPDATE targets SET live_commit = NULL, live_ref = NULL, live_release = NULL, live_since = NULL \
             WHERE repo = ?1 AND target = ?2",
            params![repo, target],
        )?;
    }
    Ok(())
}

/// Another job in the place of one that ended with an older commit than its ref's tip, unless a newer one waits.
fn wait_on(c: &Connection, job: &JobRow) -> Result<(), StoreError> {
    c.execute(
        "INSERT INTO jobs (position, repo, target, git_ref, wanted, source, delivery_row, delivery, event, pusher, state, \
         requested_at, held_commit, held_since, reason) \
         SELECT position, repo, target, git_ref, wanted, source, delivery_row, delivery, event, pusher, 'waiting', \
         requested_at, held_commit, held_since, '' FROM jobs WHERE id = ?1 AND NOT EXISTS \
         (SELECT 1 FROM jobs w WHERE w.repo = jobs.repo AND w.target = jobs.target AND w.state = 'waiting')",
        [job.id],
    )?;
    Ok(())
}

/// Lets an interrupted job wait again, in its old place. If a newer one waits too, the first of them brings the tip and the
/// other finds nothing to do.
fn wait_again(c: &Connection, job: &JobRow) -> Result<(), StoreError> {
    c.execute("UPDATE jobs SET state = 'waiting' WHERE id = ?1", [job.id])?;
    Ok(())
}
