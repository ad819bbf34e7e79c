//! What people are shown beside what hookd acts on: texts of commits, and how long a deployment usually takes.

use rusqlite::{Row, params};

use super::{Store, StoreError, sql};
use crate::model::TargetId;

/// Deployments whose median is the usual duration.
const USUAL_OF: i64 = 9;

/// Who wrote a commit, and what they say of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommitText {
    /// First line of its message.
    pub subject: Option<String>,
    /// Name of its author.
    pub author: Option<String>,
}

impl Store {
    /// Notes which commit a deployment is about, as soon as it is fetched.
    pub async fn describe(&self, deployment: i64, commit: String, text: CommitText) -> Result<(), StoreError> {
        let sql = "UPDATE deployments SET fetched = ?2, subject = ?3, author = ?4 WHERE id = ?1";
        self.change(sql, (deployment, commit, text.subject, text.author)).await
    }

    /// The texts of a commit that some deployment of the target's repo has fetched; empty if none has.
    pub async fn commit_text(&self, id: &TargetId, commit: String) -> Result<CommitText, StoreError> {
        let repo = id.repo.clone();
        let sql = "SELECT subject, author FROM deployments WHERE repo = ?1 AND coalesce(commit_id, fetched) = ?2 AND subject IS NOT NULL \
             ORDER BY id DESC LIMIT 1";
        let read = |row: &Row<'_>| {
            Ok(CommitText {
                subject: row.get(0)?,
                author: row.get(1)?,
            })
        };
        let found = self.read(move |c| sql::first(c, sql, params![repo, commit], read));
        Ok(found.await?.unwrap_or_default())
    }

    /// How long a deployment of the target usually takes that goes live, milliseconds; none before the first.
    pub async fn usual_duration(&self, id: &TargetId) -> Result<Option<i64>, StoreError> {
        let TargetId { repo, target } = id.clone();
        let sql = "SELECT finished_at - started_at FROM deployments WHERE repo = ?1 AND target = ?2 AND outcome = 'live' \
             AND finished_at IS NOT NULL ORDER BY id DESC LIMIT ?3";
        let found = self.list(sql, (repo, target, USUAL_OF), |row| row.get(0));
        let mut durations: Vec<i64> = found.await?;
        durations.sort_unstable();
        Ok(durations.get(durations.len() / 2).copied())
    }
}
