//! Jobs that wait: their order, whom they replace, and the end of those that never run.

use rusqlite::{Connection, params};

use super::records::{AcceptedJob, NewJob};
use super::rows::{JobRow, WaitingJob, held};
use super::sql::target_of;
use super::{Store, StoreError, sql};
use crate::model::{Outcome, ReleaseName, Source, TargetId, Timestamp};

/// The outcome under which a tip is noted whose checks were red or took too long: once they are green, it is tried again.
pub(super) const UNCHECKED: &str = "unchecked";

/// Whether a job waits or runs for a target. Used within a transaction of the caller.
pub(super) fn is_busy(c: &Connection, target: &TargetId) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM jobs WHERE repo = ?1 AND target = ?2 AND state = 'waiting') \
         OR EXISTS (SELECT 1 FROM jobs WHERE repo = ?1 AND target = ?2 AND state = 'running')";
    sql::value(c, sql, params![target.repo, target.target])
}

/// Inserts a job, or lets it take the place of the one that waits. Used within a transaction of the caller.
pub(super) fn insert(
    c: &Connection,
    job: &NewJob,
    delivery: Option<(i64, &str, &str)>,
    now: Timestamp,
) -> Result<AcceptedJob, StoreError> {
    let TargetId { repo, target } = &job.target;
    let mut place = None;
    if !job.keep_all && job.source != Source::Rollback {
        place = end_waiting(
            c,
            &job.target,
            Waiting::Deployments,
            Outcome::Superseded,
            "a newer request took its place",
            now,
        )?
        .position;
    }
    c.prepare_cached(
        "INSERT INTO jobs (repo, target, git_ref, wanted, source, delivery_row, delivery, event, pusher, release, \
         state, requested_at, position, asked_by) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 'waiting', ?11, \
         coalesce(?12, (SELECT coalesce(max(id), 0) + 1 FROM jobs)), ?13)",
    )?
    .execute(params![
        repo,
        target,
        job.git_ref,
        job.wanted,
        job.source,
        delivery.map(|d| d.0),
        delivery.map(|d| d.1),
        delivery.map(|d| d.2),
        job.pusher,
        job.release,
        now,
        place,
        job.asked_by
    ])?;
    Ok(AcceptedJob {
        id: c.last_insert_rowid(),
        target: job.target.clone(),
    })
}

/// Which of the jobs that wait for a target.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// All.
    All,
    /// All but rollbacks.
    Deployments,
}

/// What [`end_waiting`] found.
struct Unrun {
    /// The first place in the queue that they had.
    position: Option<i64>,
    /// How many they were.
    count: usize,
}

/// Ends the jobs that wait for a target without having run them; each is in the history with its outcome.
fn end_waiting(
    c: &Connection,
    target: &TargetId,
    which: Waiting,
    outcome: Outcome,
    reason: &str,
    now: Timestamp,
) -> Result<Unrun, StoreError> {
    let TargetId { repo, target } = target;
    // Not `UPDATE … RETURNING`, which makes a table of its own for the answer each time, and takes longer than all the rest.
    let sql = "SELECT id, position FROM jobs WHERE repo = ?1 AND target = ?2 AND state = 'waiting' AND (?3 OR source <> 'rollback')";
    let values = params![repo, target, which == Waiting::All];
    let ended: Vec<(i64, i64)> = sql::all(c, sql, values, |r| Ok((r.get(0)?, r.get(1)?)))?;
    for (job, _) in &ended {
        c.prepare_cached("UPDATE jobs SET state = 'done', outcome = ?2, reason = ?3 WHERE id = ?1")?
            .execute(params![job, outcome, reason])?;
        // One that waited for checks has a deployment already.
        if let Some(deployment) = open_deployment(c, *job)? {
            finish_deployment(c, deployment, outcome, reason, now)?;
            continue;
        }
        c.prepare_cached(
            "INSERT INTO deployments (job, repo, target, git_ref, commit_id, phase, outcome, reason, started_at, finished_at) \
             SELECT id, repo, target, git_ref, wanted, 'fetch', outcome, reason, requested_at, ?2 FROM jobs WHERE id = ?1",
        )?
        .execute(params![job, now])?;
    }
    Ok(Unrun {
        position: ended.iter().map(|(_, position)| *position).min(),
        count: ended.len(),
    })
}

/// Pins a target for a rollback, which remembers what was pinned before.
pub(super) fn pin(c: &Connection, job: i64, target: &TargetId, release: &ReleaseName) -> Result<(), StoreError> {
    let TargetId { repo, target } = target;
    c.execute(
        "INSERT OR IGNORE INTO targets (repo, target) VALUES (?1, ?2)",
        params![repo, target],
    )?;
    let before = "SELECT pinned FROM targets WHERE repo = ?1 AND target = ?2";
    c.execute(
        &format!("UPDATE jobs SET pinned_before = ({before}) WHERE id = ?3"),
        params![repo, target, job],
    )?;
    c.execute(
        "UPDATE targets SET pinned = ?3 WHERE repo = ?1 AND target = ?2",
        params![repo, target, release],
    )?;
    Ok(())
}

/// What is pinned once a rollback has ended: its release if it is live, else what was pinned before.
pub(super) fn pin_after_rollback(c: &Connection, job: &JobRow, outcome: Outcome) -> Result<(), StoreError> {
    let which = if outcome == Outcome::Live {
        "release"
    } else {
        "pinned_before"
    };
    c.execute(
        &format!(
            "UPDATE targets SET pinned = (SELECT {which} FROM jobs WHERE id = ?3) WHERE repo = ?1 AND target = ?2"
        ),
        params![job.target.repo, job.target.target, job.id],
    )?;
    Ok(())
}

/// The deployment of a job that has not ended.
pub(super) fn open_deployment(c: &Connection, job: i64) -> Result<Option<i64>, StoreError> {
    let sql = "SELECT id FROM deployments WHERE job = ?1 AND outcome IS NULL ORDER BY id DESC LIMIT 1";
    sql::first(c, sql, [job], |r| r.get(0))
}

pub(super) fn finish_deployment(
    c: &Connection,
    id: i64,
    outcome: Outcome,
    reason: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    c.prepare_cached("UPDATE phases SET finished_at = ?2 WHERE deployment = ?1 AND finished_at IS NULL")?
        .execute(params![id, now])?;
    c.prepare_cached("UPDATE deployments SET outcome = ?2, reason = ?3, finished_at = ?4 WHERE id = ?1")?
        .execute(params![id, outcome, reason, now])?;
    Ok(())
}

/// All jobs that wait, in the order of the queue.
pub(super) fn waiting(c: &Connection) -> Result<Vec<WaitingJob>, StoreError> {
    let sql = "SELECT j.id, j.position, j.repo, j.target, j.not_before, j.requested_at, \
         j.release IS NULL AND j.source <> 'rollback' AND (coalesce(t.paused, 0) OR t.pinned IS NOT NULL), \
         j.source NOT IN ('webhook', 'poll'), iif(j.outcome IS NULL, j.held_commit, NULL), j.held_since, j.reason \
         FROM jobs j LEFT JOIN targets t ON t.repo = j.repo AND t.target = j.target \
         WHERE j.state = 'waiting' ORDER BY j.position, j.id";
    sql::all(c, sql, [], |row| {
        Ok(WaitingJob {
            id: row.get(0)?,
            position: row.get(1)?,
            target: target_of(row, 2)?,
            not_before: row.get(4)?,
            requested_at: row.get(5)?,
            held: row.get(6)?,
            by_hand: row.get(7)?,
            checks: held(row, 8)?,
        })
    })
}

impl Store {
    /// All jobs that wait, in the order of the queue.
    pub async fn waiting(&self) -> Result<Vec<WaitingJob>, StoreError> {
        self.read(waiting).await
    }

    /// Ends the waiting jobs of a target as cancelled; says how many.
    pub async fn cancel_waiting(&self, target: TargetId, now: Timestamp) -> Result<usize, StoreError> {
        self.write(move |c| {
            // The oldest one last: it knows what was pinned before all of them.
            let sql = format!(
                "SELECT {} FROM jobs WHERE repo = ?1 AND target = ?2 AND state = 'waiting' AND source = 'rollback' \
                 ORDER BY id DESC",
                JobRow::COLUMNS
            );
            let rollbacks: Vec<JobRow> = sql::all(c, &sql, params![target.repo, target.target], JobRow::read)?;
            for job in &rollbacks {
                pin_after_rollback(c, job, Outcome::Cancelled)?;
            }
            Ok(end_waiting(c, &target, Waiting::All, Outcome::Cancelled, "cancelled", now)?.count)
        })
        .await
    }

    /// Ends the jobs of targets that the configuration no longer has; says how many.
    pub async fn drop_unknown(&self, known: Vec<TargetId>, now: Timestamp) -> Result<usize, StoreError> {
        self.write(move |c| {
            let sql = "SELECT DISTINCT repo, target FROM jobs WHERE state = 'waiting'";
            let targets: Vec<TargetId> = sql::all(c, sql, [], |row| target_of(row, 0))?;
            let reason = "the configuration no longer has this target";
            let mut count = 0;
            for target in targets.iter().filter(|target| !known.contains(target)) {
                count += end_waiting(c, target, Waiting::All, Outcome::Cancelled, reason, now)?.count;
            }
            Ok(count)
        })
        .await
    }
}
