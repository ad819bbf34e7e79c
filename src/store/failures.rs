//! Failures before a commit is known: `current` in the way, a tag that names no commit, a path that can't be written.
//!
//! Looks at the remote would ask for the same again at once and for ever. So each is remembered with what the remote had at
//! that time, and rests until that changes, a person does something, or its pause is over.

use rusqlite::{Connection, params};

use super::records::Finish;
use super::rows::{FailureRow, JobRow, PAUSES};
use super::{Source, Store, StoreError};
use crate::model::{Outcome, RepoName, TargetId, Timestamp};

/// Remembers or forgets a failure when a job ends. Used within a transaction of the caller.
pub(super) fn note(c: &Connection, job: &JobRow, end: &Finish, now: Timestamp) -> Result<(), StoreError> {
    let TargetId { repo, target } = &job.target;
    let git_ref = end.tip.as_ref().map_or(&job.git_ref, |tip| &tip.git_ref);
    if job.goes_back() || end.retry_at.is_some() {
        return Ok(());
    }
    if end.outcome != Outcome::Failed || end.tip.is_some() {
        c.prepare_cached("DELETE FROM failures WHERE repo = ?1 AND target = ?2 AND git_ref = ?3")?
            .execute(params![repo, target, git_ref])?;
        return Ok(());
    }
    let before = "SELECT count FROM failures WHERE repo = ?1 AND target = ?2 AND git_ref = ?3";
    let count: usize = c
        .prepare_cached(before)?
        .query_row(params![repo, target, git_ref], |row| row.get::<_, u32>(0))
        .map_or(0, |count| count as usize);
    // What a delivery says of the ref may be something else than what the remote has; the next look notes that.
    let advertised = job.wanted.as_ref().filter(|_| job.source == Source::Poll);
    let pause = PAUSES[count.min(PAUSES.len() - 1)];
    c.prepare_cached(
        "INSERT INTO failures (repo, target, git_ref, advertised, reason, since, count, retry_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7) ON CONFLICT DO UPDATE SET \
         advertised = excluded.advertised, reason = excluded.reason, count = count + 1, \
         retry_at = excluded.retry_at",
    )?
    .execute(params![
        repo,
        target,
        git_ref,
        advertised,
        end.reason,
        now,
        now.after(pause)
    ])?;
    Ok(())
}

impl Store {
    /// What is remembered of a target.
    pub async fn failures(&self, id: &TargetId) -> Result<Vec<FailureRow>, StoreError> {
        let sql =
            "SELECT git_ref, advertised, reason, since, count, retry_at FROM failures WHERE repo = ?1 AND target = ?2";
        let TargetId { repo, target } = id.clone();
        self.list(sql, (repo, target), FailureRow::read).await
    }

    /// Notes what the remote has for failures that were remembered before anybody had looked.
    pub async fn note_advertised(&self, id: &TargetId, tips: Vec<super::Tip>) -> Result<(), StoreError> {
        if tips.is_empty() {
            return Ok(());
        }
        let id = id.clone();
        self.write(move |c| {
            for tip in tips {
                c.prepare_cached(
                    "UPDATE failures SET advertised = ?4 WHERE repo = ?1 AND target = ?2 AND git_ref = ?3",
                )?
                .execute(params![id.repo, id.target, tip.git_ref, tip.commit])?;
            }
            Ok(())
        })
        .await
    }

    /// Lets the next look at a remote ask again for what failed: somebody has changed the configuration, or restarted.
    pub async fn try_failures_again(&self, repo: &RepoName) -> Result<(), StoreError> {
        let sql = "UPDATE failures SET retry_at = 0 WHERE repo = ?1";
        self.change(sql, [repo.clone()]).await
    }
}
