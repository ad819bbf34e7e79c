//! Jobs that run: claimed, under way, finished, taken up again.

use rusqlite::{Connection, Row, params};

use super::crashes::count_crash;
use super::queue::{UNCHECKED, finish_deployment, open_deployment, pin_after_rollback};
use super::records::{Claim, Finish, Progress, WentLive};
use super::rows::{DeploymentRow, JobRow, JobStatus, Tip};
use super::sql::target_of;
use super::{Store, StoreError, failures, sql};
use crate::model::{Outcome, Phase, Source, TargetId, Timestamp};

impl Store {
    /// Takes a waiting job for running and begins a deployment; `None` if it no longer waits.
    pub async fn claim(&self, job: i64, now: Timestamp) -> Result<Option<Claim>, StoreError> {
        self.write(move |c| {
            let sql = format!(
                "UPDATE jobs SET state = 'running', left_open = 0 WHERE id = ?1 AND state = 'waiting' RETURNING {}",
                JobRow::COLUMNS
            );
            let Some(row) = sql::first(c, &sql, [job], JobRow::read)? else {
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
                .execute(params![deployment, now])?;
            c.prepare_cached("INSERT OR REPLACE INTO phases (deployment, phase, started_at) VALUES (?1, ?2, ?3)")?
                .execute(params![deployment, phase, now])?;
            c.prepare_cached(
                "UPDATE deployments SET phase = ?2, commit_id = coalesce(?3, commit_id), subject = coalesce(?4, subject), \
                 release = coalesce(?5, release), previous_commit = coalesce(?6, previous_commit), \
                 previous_release = coalesce(?7, previous_release), rolling_back = coalesce(?8, rolling_back), \
                 failed_phase = coalesce(failed_phase, iif(?8 IS NULL, NULL, phase)), git_ref = coalesce(?9, git_ref) WHERE id = ?1",
            )?
            .execute(params![
                deployment,
                phase,
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
                .execute(params![deployment, release, now])?;
            }
            Ok(())
        })
        .await
    }

    /// Ends a deployment and its job: outcome, what is live, messages, all in one transaction.
    pub async fn finish(&self, claim: Claim, end: Finish, now: Timestamp) -> Result<(), StoreError> {
        self.write(move |c| {
            finish_deployment(c, claim.deployment, end.outcome, &end.reason, now)?;
            let TargetId { repo, target } = &claim.job.target;
            finish_job(c, &claim.job, &end)?;
            if end.again {
                wait_on(c, &claim.job)?;
            }
            if let Some((name, state)) = &end.release {
                c.prepare_cached("UPDATE releases SET state = ?4 WHERE repo = ?1 AND target = ?2 AND name = ?3")?
                    .execute(params![repo, target, name, state])?;
            }
            if let Some(tip) = &end.tip {
                let Tip { git_ref, commit } = tip;
                let outcome = if end.unchecked { UNCHECKED } else { end.outcome.as_str() };
                c.prepare_cached("UPDATE deployments SET commit_id = coalesce(commit_id, ?2), git_ref = ?3 WHERE id = ?1")?
                    .execute(params![claim.deployment, commit, git_ref])?;
                c.prepare_cached(
                    "INSERT OR REPLACE INTO tips (repo, target, git_ref, commit_id, outcome) VALUES (?1, ?2, ?3, ?4, ?5)",
                )?
                .execute(params![repo, target, git_ref, commit, outcome])?;
            }
            failures::note(c, &claim.job, &end, now)?;
            set_live(c, &claim.job.target, &end, now)?;
            if claim.job.source == Source::Rollback {
                pin_after_rollback(c, &claim.job, end.outcome)?;
            }
            for (channel, body) in &end.messages {
                c.prepare_cached("INSERT INTO outbox (channel, body, not_before) VALUES (?1, ?2, ?3)")?
                    .execute(params![channel, body, now])?;
            }
            Ok(())
        })
        .await
    }

    /// The jobs that are recorded as running.
    pub async fn running(&self) -> Result<Vec<(i64, TargetId)>, StoreError> {
        let sql = "SELECT id, repo, target FROM jobs WHERE state = 'running'";
        self.list(sql, [], |row| Ok((row.get(0)?, target_of(row, 1)?))).await
    }

    /// Takes up jobs that are recorded as running though nobody runs them, after a start all of them: deployments that were cut
    /// off before `activate` end as interrupted and their jobs wait again; those beyond are given back to go on where they were.
    pub async fn recover(&self, lost: Vec<i64>, now: Timestamp) -> Result<Vec<Claim>, StoreError> {
        self.write(move |c| {
            let sql = format!("SELECT {} FROM jobs WHERE state = 'running'", JobRow::COLUMNS);
            let running: Vec<JobRow> = sql::all(c, &sql, [], JobRow::read)?;
            let mut claims = Vec::new();
            for job in running.into_iter().filter(|job| lost.contains(&job.id)) {
                let sql = format!(
                    "{} WHERE d.job = ?1 AND d.outcome IS NULL ORDER BY d.id DESC LIMIT 1",
                    DeploymentRow::SELECT
                );
                let row = sql::first(c, &sql, [job.id], DeploymentRow::read)?;
                let given_up = match &row {
                    Some(row) => count_crash(c, job.id, row)?,
                    None => None,
                };
                match row {
                    Some(row) if given_up.is_some() || row.phase > Phase::Build => {
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
                            finish_deployment(c, row.id, Outcome::Interrupted, "it was cut off; it runs again", now)?;
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
        self.change("UPDATE jobs SET left_open = 1 WHERE state = 'running'", [])
            .await
    }

    /// A job with its outcome and reason, and its newest deployment.
    pub async fn job(&self, id: i64) -> Result<Option<JobStatus>, StoreError> {
        let sql = "SELECT id, repo, target, state, outcome, reason, \
             (SELECT max(d.id) FROM deployments d WHERE d.job = jobs.id) FROM jobs WHERE id = ?1";
        let read = |r: &Row<'_>| {
            Ok(JobStatus {
                id: r.get(0)?,
                target: target_of(r, 1)?,
                state: r.get(3)?,
                outcome: r.get(4)?,
                reason: r.get(5)?,
                deployment: r.get(6)?,
            })
        };
        self.read(move |c| sql::first(c, sql, [id], read)).await
    }
}

fn begin(c: &Connection, job: &JobRow, now: Timestamp) -> Result<i64, StoreError> {
    c.prepare_cached(
        "INSERT INTO deployments (job, repo, target, git_ref, phase, started_at) VALUES (?1, ?2, ?3, ?4, 'fetch', ?5)",
    )?
    .execute(params![job.id, job.target.repo, job.target.target, job.git_ref, now])?;
    Ok(c.last_insert_rowid())
}

fn finish_job(c: &Connection, job: &JobRow, end: &Finish) -> Result<(), StoreError> {
    let newer_waits = || {
        let sql = "SELECT EXISTS (SELECT 1 FROM jobs WHERE repo = ?1 AND target = ?2 AND state = 'waiting' AND source <> 'rollback')";
        sql::value(c, sql, params![job.target.repo, job.target.target])
    };
    match end.retry_at {
        Some(at) if !newer_waits()? => {
            c.execute(
                "UPDATE jobs SET state = 'waiting', attempt = attempt + 1, not_before = ?2, outcome = ?3, reason = ?4 WHERE id = ?1",
                params![job.id, at, end.outcome, end.reason],
            )?;
        }
        _ => {
            c.execute(
                "UPDATE jobs SET state = 'done', outcome = ?2, reason = ?3 WHERE id = ?1",
                params![job.id, end.outcome, end.reason],
            )?;
        }
    }
    Ok(())
}

fn set_live(c: &Connection, id: &TargetId, end: &Finish, now: Timestamp) -> Result<(), StoreError> {
    let TargetId { repo, target } = id;
    c.prepare_cached("INSERT OR IGNORE INTO targets (repo, target) VALUES (?1, ?2)")?
        .execute(params![repo, target])?;
    if let Some(WentLive {
        commit,
        git_ref,
        release,
    }) = &end.live
    {
        c.prepare_cached(
            "UPDATE targets SET live_commit = ?3, live_ref = ?4, live_release = ?5, live_since = ?6 WHERE repo = ?1 AND target = ?2",
        )?
        .execute(params![
            repo,
            target,
            commit,
            git_ref,
            release,
            now
        ])?;
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
