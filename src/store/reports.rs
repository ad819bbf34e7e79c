//! What forges are to show of commits, and what they were told.

use std::collections::BTreeMap;

use rusqlite::{Row, params};

use super::sql::target_of;
use super::{Store, StoreError, Trouble, sql};
use crate::model::{CommitId, GitRef, Outcome, RepoName, TargetId, Timestamp};

/// Newest jobs that are looked at: more than a daemon accepts between two looks.
const JOBS: i64 = 500;

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It waits.
    Waiting,
    /// It runs.
    Running,
    /// It ended so.
    Done(Outcome),
}

/// How far a commit is at a target: of all its jobs the newest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progressed {
    /// Which target.
    pub target: TargetId,
    /// The commit.
    pub commit: CommitId,
    /// The ref.
    pub git_ref: GitRef,
    /// How far.
    pub stage: Stage,
    /// Why, in words.
    pub reason: Option<String>,
    /// The deployment, if there was one.
    pub deployment: Option<i64>,
    /// How long it took, milliseconds.
    pub took: Option<i64>,
    /// True if the commit is what is live.
    pub is_live: bool,
}

/// What is reported: the status of a commit or a deployment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReportKey {
    /// Which target.
    pub target: TargetId,
    /// Which commit.
    pub commit: CommitId,
    /// `status` or `deployment`
    pub kind: String,
}

/// A report.
#[derive(Debug, Clone)]
pub struct ReportRow {
    /// What it is about.
    pub key: ReportKey,
    /// What the forge is to show, JSON.
    pub wanted: String,
    /// Its number at the forge.
    pub remote_id: Option<i64>,
    /// How often it was tried.
    pub attempt: u32,
}

const COLUMNS: &str = "repo, target, commit_id, kind, wanted, remote_id, attempt";

impl ReportRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            key: ReportKey {
                target: target_of(row, 0)?,
                commit: row.get(2)?,
                kind: row.get(3)?,
            },
            wanted: row.get(4)?,
            remote_id: row.get(5)?,
            attempt: row.get(6)?,
        })
    }
}

impl Store {
    /// How far the commits of the newest jobs are: those that wait, run, or ended since then.
    pub async fn progress_since(&self, since: Timestamp) -> Result<Vec<Progressed>, StoreError> {
        let sql = "SELECT j.repo, j.target, coalesce(d.commit_id, j.wanted), j.git_ref, j.state, coalesce(d.outcome, j.outcome), \
             coalesce(d.reason, j.reason), d.id, d.finished_at - d.started_at, t.live_commit \
             FROM jobs j LEFT JOIN deployments d ON d.id = (SELECT max(id) FROM deployments WHERE job = j.id) \
             LEFT JOIN targets t ON t.repo = j.repo AND t.target = j.target \
             WHERE j.id > (SELECT coalesce(max(id), 0) - ?2 FROM jobs) AND coalesce(d.commit_id, j.wanted) IS NOT NULL \
             AND (j.state != 'done' OR coalesce(d.finished_at, j.requested_at) >= ?1) ORDER BY j.id";
        let newest: BTreeMap<_, _> = self.list(sql, (since, JOBS), progressed).await?;
        Ok(newest.into_values().collect())
    }

    /// The reports of these kinds that a target has, by commit.
    pub async fn reports(&self, target: &TargetId) -> Result<Vec<ReportRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM reports WHERE repo = ?1 AND target = ?2");
        let TargetId { repo, target } = target.clone();
        self.list(sql, (repo, target), ReportRow::read).await
    }

    /// Says what is to be shown. What is wanted already stays as it is; anything else is sent as soon as may be.
    pub async fn want_reports(&self, wanted: Vec<(ReportKey, String)>, now: Timestamp) -> Result<(), StoreError> {
        if wanted.is_empty() {
            return Ok(());
        }
        self.write(move |c| {
            let mut statement = c.prepare_cached(
                "INSERT INTO reports (repo, target, commit_id, kind, wanted, changed_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
                 ON CONFLICT DO UPDATE SET wanted = excluded.wanted, attempt = 0, refused = NULL, \
                 refused_access = NULL, trouble = NULL, changed_at = excluded.changed_at WHERE wanted IS NOT excluded.wanted",
            )?;
            for (key, wanted) in wanted {
                let ReportKey { target, commit, kind } = key;
                statement.execute(params![target.repo, target.target, commit, kind, wanted, now])?;
            }
            Ok(())
        })
        .await
    }

    /// Repos that have reports which the forge does not show yet and whose time has come; those first that were tried least.
    pub async fn repos_with_reports(&self, now: Timestamp) -> Result<Vec<RepoName>, StoreError> {
        let sql = "SELECT repo FROM reports WHERE told IS NOT wanted AND refused IS NULL AND not_before <= ?1 \
             GROUP BY repo ORDER BY min(attempt), min(changed_at)";
        self.list(sql, [now], |row| row.get(0)).await
    }

    /// The repo's oldest report of them, as it is wanted now.
    pub async fn next_report(&self, repo: &RepoName, now: Timestamp) -> Result<Option<ReportRow>, StoreError> {
        let repo = repo.to_string();
        self.read(move |c| {
            let sql = format!(
                "SELECT {COLUMNS} FROM reports WHERE repo = ?1 AND told IS NOT wanted AND refused IS NULL \
                 AND not_before <= ?2 ORDER BY changed_at LIMIT 1"
            );
            sql::first(c, &sql, params![repo, now], ReportRow::read)
        })
        .await
    }

    /// The forge was told this much.
    pub async fn reported(&self, key: ReportKey, told: String, remote_id: Option<i64>) -> Result<(), StoreError> {
        let sql = "UPDATE reports SET told = ?5, remote_id = ?6, attempt = 0, not_before = 0, trouble = NULL \
             WHERE repo = ?1 AND target = ?2 AND commit_id = ?3 AND kind = ?4";
        let ReportKey { target, commit, kind } = key;
        let values = (target.repo, target.target, commit, kind, told, remote_id);
        self.change(sql, values).await
    }

    /// A report is tried again then. It is in trouble if `trouble` says why.
    pub async fn report_later(&self, key: ReportKey, at: Timestamp, trouble: Option<String>) -> Result<(), StoreError> {
        let sql = "UPDATE reports SET attempt = attempt + 1, not_before = ?5, trouble = ?6 \
             WHERE repo = ?1 AND target = ?2 AND commit_id = ?3 AND kind = ?4";
        let ReportKey { target, commit, kind } = key;
        let values = (target.repo, target.target, commit, kind, at, trouble);
        self.change(sql, values).await
    }

    /// The forge will not take a report: it is not sent again unless it changes; or the way to the forge does, if
    /// `access` is the digest of the one that was refused.
    pub async fn report_refused(
        &self,
        key: ReportKey,
        reason: String,
        access: Option<String>,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE reports SET refused = ?5, refused_access = ?6 \
             WHERE repo = ?1 AND target = ?2 AND commit_id = ?3 AND kind = ?4";
        let ReportKey { target, commit, kind } = key;
        let values = (target.repo, target.target, commit, kind, reason, access);
        self.change(sql, values).await
    }

    /// What was refused to another access than this one is sent again, if it changed after `since`.
    pub async fn retry_with_access(&self, repo: &RepoName, access: String, since: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE reports SET refused = NULL, refused_access = NULL, attempt = 0, not_before = 0 \
             WHERE repo = ?1 AND refused_access IS NOT NULL AND refused_access != ?2 AND changed_at > ?3";
        self.change(sql, (repo.clone(), access, since)).await
    }

    /// Whatever the forge refused of a repo, or did not take, is sent again at once.
    pub async fn retry_reports(&self, repo: &RepoName) -> Result<(), StoreError> {
        let sql = "UPDATE reports SET refused = NULL, refused_access = NULL, attempt = 0, not_before = 0 \
             WHERE repo = ?1 AND told IS NOT wanted";
        self.change(sql, [repo.clone()]).await
    }

    /// How many reports wait to be told.
    pub async fn reports_pending(&self) -> Result<i64, StoreError> {
        let sql = "SELECT count(*) FROM reports WHERE told IS NOT wanted AND refused IS NULL";
        self.read(|c| sql::value(c, sql, [])).await
    }

    /// Targets whose newest report the forge refused or does not take.
    pub async fn reports_in_trouble(&self) -> Result<BTreeMap<TargetId, Trouble>, StoreError> {
        let sql = "SELECT r.repo, r.target, coalesce(r.refused, r.trouble), r.changed_at FROM reports r \
             WHERE (r.refused IS NOT NULL OR r.trouble IS NOT NULL) AND NOT EXISTS (SELECT 1 FROM reports n \
             WHERE n.repo = r.repo AND n.target = r.target AND n.kind = r.kind AND n.changed_at > r.changed_at)";
        self.list(sql, [], |row| {
            let trouble = Trouble {
                since: row.get(3)?,
                reason: row.get(2)?,
            };
            Ok((target_of(row, 0)?, trouble))
        })
        .await
    }

    /// Forgets what changed last before then.
    pub async fn forget_reports(&self, before: Timestamp) -> Result<(), StoreError> {
        self.change("DELETE FROM reports WHERE changed_at < ?1", [before]).await
    }
}

/// With what it is the newest of: its target and commit.
fn progressed(row: &Row<'_>) -> rusqlite::Result<((TargetId, CommitId), Progressed)> {
    let stage = match row.get::<_, String>(4)?.as_str() {
        "waiting" => Stage::Waiting,
        "running" => Stage::Running,
        _ => Stage::Done(row.get(5)?),
    };
    let (target, commit) = (target_of(row, 0)?, row.get::<_, CommitId>(2)?);
    let live: Option<String> = row.get(9)?;
    let found = Progressed {
        target: target.clone(),
        is_live: live.as_deref() == Some(commit.as_str()),
        commit: commit.clone(),
        git_ref: row.get(3)?,
        stage,
        reason: row.get(6)?,
        deployment: row.get(7)?,
        took: row.get(8)?,
    };
    Ok(((target, commit), found))
}
