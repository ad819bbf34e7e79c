//! What CI said of commits, and the jobs that wait for it.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use super::queue::{self, UNCHECKED, finish_deployment};
use super::records::{AcceptedJob, Claim, Hold, NewCheck, NewJob};
use super::rows::KnownChecks;
use super::{Store, StoreError, sql};
use crate::model::{CheckState, CommitId, GitRef, Outcome, Source, TargetId, Timestamp};

/// Most commits that are looked at for one whose checks are green.
const GREEN_MAX: u32 = 100;

/// Notes what an event says of checks. Jobs that wait for them look again, and what failed for want of them is asked for
/// anew; these jobs are given back. Used within a transaction of the caller.
pub(super) fn note(
    c: &Connection,
    repo: &str,
    checks: &[NewCheck],
    delivery: (i64, &str, &str),
    now: Timestamp,
) -> Result<Vec<AcceptedJob>, StoreError> {
    let mut jobs = Vec::new();
    for check in checks {
        // Events come in any order: that a check has begun is news only if nothing is known of it.
        if check.state == CheckState::Pending && is_known(c, repo, check)? {
            continue;
        }
        put(c, repo, &check.commit, &check.name, check.state, now)?;
        for (target, keep_all) in &check.targets {
            c.prepare_cached(
                "UPDATE jobs SET not_before = 0 WHERE repo = ?1 AND target = ?2 AND state = 'waiting' AND held_commit IS NOT NULL",
            )?
            .execute(params![target.repo, target.target])?;
            if check.state == CheckState::Green {
                jobs.extend(ask_again(c, target, *keep_all, check, delivery, now)?);
            }
        }
    }
    Ok(jobs)
}

fn is_known(c: &Connection, repo: &str, check: &NewCheck) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM checks WHERE repo = ?1 AND commit_id = ?2 AND name = ?3)";
    sql::value(c, sql, params![repo, check.commit, check.name])
}

fn put(
    c: &Connection,
    repo: &str,
    commit: &CommitId,
    name: &str,
    state: CheckState,
    now: Timestamp,
) -> Result<(), StoreError> {
    c.prepare_cached("INSERT OR REPLACE INTO checks (repo, commit_id, name, state, at) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![repo, commit, name, state, now])?;
    Ok(())
}

/// Asks for a ref again whose tip failed for want of green checks, if the event is about that commit or that ref.
fn ask_again(
    c: &Connection,
    target: &TargetId,
    keep_all: bool,
    check: &NewCheck,
    delivery: (i64, &str, &str),
    now: Timestamp,
) -> Result<Option<AcceptedJob>, StoreError> {
    let TargetId { repo, target: name } = target;
    let waits = "SELECT EXISTS (SELECT 1 FROM jobs WHERE repo = ?1 AND target = ?2 AND state = 'waiting')";
    if sql::value(c, waits, params![repo, name])? {
        return Ok(None);
    }
    let tip = "SELECT git_ref, commit_id FROM tips WHERE repo = ?1 AND target = ?2 AND outcome = ?3 \
         AND (commit_id = ?4 OR git_ref = ?5) ORDER BY commit_id = ?4 DESC LIMIT 1";
    let values = params![repo, name, UNCHECKED, check.commit, check.git_ref];
    let Some((git_ref, commit)) = sql::first(c, tip, values, |r| Ok((r.get(0)?, r.get(1)?)))? else {
        return Ok(None);
    };
    let job = NewJob {
        target: target.clone(),
        git_ref,
        wanted: Some(commit),
        source: Source::Webhook,
        pusher: None,
        release: None,
        keep_all,
        asked_by: None,
    };
    queue::insert(c, &job, Some(delivery), now).map(Some)
}

impl Store {
    /// What is known of the checks of a commit.
    pub async fn checks(&self, repo: String, commit: CommitId) -> Result<KnownChecks, StoreError> {
        self.read(move |c| {
            // The number first: what is noted between the two is looked at again.
            let seq = newest(c, &repo)?;
            let sql = "SELECT name, state FROM checks WHERE repo = ?1 AND commit_id = ?2";
            let states = sql::all(c, sql, params![repo, commit], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(KnownChecks { states, seq })
        })
        .await
    }

    /// Notes what the forge's API says of a commit's checks, whatever events said before. Gives how far the store has come
    /// for whoever had read it up to `seq`: what others noted since then is still news.
    pub async fn note_checks(
        &self,
        repo: String,
        commit: CommitId,
        states: BTreeMap<String, CheckState>,
        seq: i64,
        now: Timestamp,
    ) -> Result<i64, StoreError> {
        self.write(move |c| {
            let news = newest(c, &repo)? > seq;
            for (name, state) in &states {
                let same = "SELECT EXISTS (SELECT 1 FROM checks WHERE repo = ?1 AND commit_id = ?2 AND name = ?3 AND state = ?4)";
                let known = params![repo, commit, name, state];
                if !sql::value::<bool>(c, same, known)? {
                    put(c, &repo, &commit, name, *state, now)?;
                }
            }
            if news { Ok(seq) } else { newest(c, &repo) }
        })
        .await
    }

    /// Commits whose checks are all green, the last noted first. Without those that failed at this target later than by
    /// their checks, which would fail again.
    pub async fn green_commits(&self, target: &TargetId, required: Vec<String>) -> Result<Vec<CommitId>, StoreError> {
        let names = serde_json::to_string(&required).map_err(|e| StoreError::Other(e.to_string()))?;
        let sql = "SELECT commit_id FROM checks WHERE repo = ?1 AND state = 'green' \
             AND name IN (SELECT value FROM json_each(?3)) \
             AND commit_id NOT IN (SELECT d.commit_id FROM deployments d WHERE d.repo = ?1 AND d.target = ?2 \
             AND d.commit_id IS NOT NULL AND d.phase <> 'fetch' AND d.outcome IN ('failed', 'rolled-back')) \
             GROUP BY commit_id HAVING count(*) = (SELECT count(DISTINCT value) FROM json_each(?3)) \
             ORDER BY max(seq) DESC LIMIT ?4";
        let TargetId { repo, target } = target.clone();
        self.list(sql, (repo, target, names, GREEN_MAX), |r| r.get(0)).await
    }

    /// Gives a claimed job back to wait for checks; its deployment goes on with the next claim. A newer request takes its
    /// place, if one came meanwhile.
    pub async fn hold(&self, claim: Claim, hold: Hold, now: Timestamp) -> Result<(), StoreError> {
        self.write(move |c| {
            let job = &claim.job;
            let TargetId { repo, target } = &job.target;
            let newer = "SELECT EXISTS (SELECT 1 FROM jobs WHERE repo = ?1 AND target = ?2 AND state = 'waiting' AND source <> 'rollback')";
            if !hold.keep_all && sql::value(c, newer, params![repo, target])? {
                let reason = "a newer request took its place";
                finish_deployment(c, claim.deployment, Outcome::Superseded, reason, now)?;
                c.execute(
                    "UPDATE jobs SET state = 'done', outcome = ?2, reason = ?3 WHERE id = ?1",
                    params![job.id, Outcome::Superseded, reason],
                )?;
                return Ok(());
            }
            let until = if newest(c, repo.as_str())? > hold.seq { 0 } else { hold.until.0 };
            c.prepare_cached("UPDATE phases SET finished_at = ?2 WHERE deployment = ?1 AND finished_at IS NULL")?
                .execute(params![claim.deployment, now])?;
            c.prepare_cached("UPDATE deployments SET commit_id = ?2, reason = ?3 WHERE id = ?1")?
                .execute(params![claim.deployment, hold.commit, hold.reason])?;
            c.prepare_cached(
                "UPDATE jobs SET state = 'waiting', outcome = NULL, reason = ?2, not_before = ?3, \
                 held_since = CASE WHEN held_commit = ?4 THEN held_since ELSE ?5 END, held_commit = ?4 WHERE id = ?1",
            )?
            .execute(params![job.id, hold.reason, until, hold.commit, now])?;
            Ok(())
        })
        .await
    }

    /// A ref is at this commit: a job that waits for the checks of another one looks again. Says whether there is one.
    pub async fn look_again(&self, target: &TargetId, git_ref: GitRef, tip: CommitId) -> Result<bool, StoreError> {
        let target = target.clone();
        self.write(move |c| {
            let sql = "UPDATE jobs SET not_before = 0 WHERE repo = ?1 AND target = ?2 AND state = 'waiting' \
                 AND git_ref = ?3 AND held_commit <> ?4";
            let TargetId { repo, target: name } = &target;
            let mut statement = c.prepare_cached(sql)?;
            Ok(statement.execute(params![repo, name, git_ref, tip])? > 0)
        })
        .await
    }
}

/// The number of the last change to the checks of a repo.
fn newest(c: &Connection, repo: &str) -> Result<i64, StoreError> {
    let sql = "SELECT coalesce(max(seq), 0) FROM checks WHERE repo = ?1";
    sql::value(c, sql, [repo])
}
