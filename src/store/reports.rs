//! What forges are to show of commits, and what they were told.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, Row, params};

use super::rows::{target_of, words as word};
use super::{Store, StoreError, Trouble};
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
                commit: word(row, 2)?,
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
        self.read(move |c| {
            let sql = "SELECT j.repo, j.target, coalesce(d.commit_id, j.wanted), j.git_ref, j.state, coalesce(d.outcome, j.outcome), \
                 coalesce(d.reason, j.reason), d.id, d.finished_at - d.started_at, t.live_commit \
                 FROM jobs j LEFT JOIN deployments d ON d.id = (SELECT max(id) FROM deployments WHERE job = j.id) \
                 LEFT JOIN targets t ON t.repo = j.repo AND t.target = j.target \
                 WHERE j.id > (SELECT coalesce(max(id), 0) - ?2 FROM jobs) AND coalesce(d.commit_id, j.wanted) IS NOT NULL \
                 AND (j.state != 'done' OR coalesce(d.finished_at, j.requested_at) >= ?1) ORDER BY j.id";
            let mut statement = c.prepare_cached(sql)?;
            let mut rows = statement.query(params![since.0, JOBS])?;
            let mut newest = BTreeMap::new();
            while let Some(row) = rows.next()? {
                let found = progressed(row)?;
                newest.insert((found.target.clone(), found.commit.clone()), found);
            }
            Ok(newest.into_values().collect())
        })
        .await
    }

    /// The reports of these kinds that a target has, by commit.
    pub async fn reports(&self, target: &TargetId) -> Result<Vec<ReportRow>, StoreError> {
        let (repo, target) = (target.repo.to_string(), target.target.to_string());
        self.read(move |c| {
            let sql = format!("SELECT {COLUMNS} FROM reports WHERE repo = ?1 AND target = ?2");
            let mut statement = c.prepare_cached(&sql)?;
            let rows = statement.query_map(params![repo, target], ReportRow::read)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
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
                let (repo, target) = (key.target.repo.to_string(), key.target.target.to_string());
                statement.execute(params![repo, target, key.commit.as_str(), key.kind, wanted, now.0])?;
            }
            Ok(())
        })
        .await
    }

    /// Repos that have reports which the forge does not show yet and whose time has come; those first that were tried least.
    pub async fn repos_with_reports(&self, now: Timestamp) -> Result<Vec<RepoName>, StoreError> {
        self.read(move |c| {
            let sql = "SELECT repo FROM reports WHERE told IS NOT wanted AND refused IS NULL AND not_before <= ?1 \
                 GROUP BY repo ORDER BY min(attempt), min(changed_at)";
            let mut statement = c.prepare_cached(sql)?;
            let rows = statement.query_map([now.0], |row| word(row, 0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// The repo's oldest report of them, as it is wanted now.
    pub async fn next_report(&self, repo: &RepoName, now: Timestamp) -> Result<Option<ReportRow>, StoreError> {
        let repo = repo.to_string();
        self.read(move |c| {
            let sql = format!(
                "SELECT {COLUMNS} FROM reports WHERE repo = ?1 AND told IS NOT wanted AND refused IS NULL \
                 AND not_before <= ?2 ORDER BY changed_at LIMIT 1"
            );
            let mut statement = c.prepare_cached(&sql)?;
            Ok(statement.query_row(params![repo, now.0], ReportRow::read).optional()?)
        })
        .await
    }

    /// The forge was told this much.
    pub async fn reported(&self, key: ReportKey, told: String, remote_id: Option<i64>) -> Result<(), StoreError> {
        self.change(key, move |c, k| {
            c.execute(
                "UPDATE reports SET told = ?5, remote_id = ?6, attempt = 0, not_before = 0, trouble = NULL \
                 WHERE repo = ?1 AND target = ?2 AND commit_id = ?3 AND kind = ?4",
                params![k[0], k[1], k[2], k[3], told, remote_id],
            )
        })
        .await
    }

    /// A report is tried again then. It is in trouble if `trouble` says why.
    pub async fn report_later(&self, key: ReportKey, at: Timestamp, trouble: Option<String>) -> Result<(), StoreError> {
        self.change(key, move |c, k| {
            c.execute(
                "UPDATE reports SET attempt = attempt + 1, not_before = ?5, trouble = ?6 \
                 WHERE repo = ?1 AND target = ?2 AND commit_id = ?3 AND kind = ?4",
                params![k[0], k[1], k[2], k[3], at.0, trouble],
            )
        })
        .await
    }

    /// The forge will not take a report: it is not sent again unless it changes; or the way to the forge does, if
    /// `access` is the digest of the one that was refused.
    pub async fn report_refused(
        &self,
        key: ReportKey,
        reason: String,
        access: Option<String>,
    ) -> Result<(), StoreError> {
        self.change(key, move |c, k| {
            c.execute(
                "UPDATE reports SET refused = ?5, refused_access = ?6 \
                 WHERE repo = ?1 AND target = ?2 AND commit_id = ?3 AND kind = ?4",
                params![k[0], k[1], k[2], k[3], reason, access],
            )
        })
        .await
    }

    /// What was refused to another access than this one is sent again, if it changed after `since`.
    pub async fn retry_with_access(&self, repo: &RepoName, access: String, since: Timestamp) -> Result<(), StoreError> {
        let repo = repo.to_string();
        self.write(move |c| {
            c.execute(
                "UPDATE reports SET refused = NULL, refused_access = NULL, attempt = 0, not_before = 0 \
                 WHERE repo = ?1 AND refused_access IS NOT NULL AND refused_access != ?2 AND changed_at > ?3",
                params![repo, access, since.0],
            )?;
            Ok(())
        })
        .await
    }

    /// Whatever the forge refused of a repo, or did not take, is sent again at once.
    pub async fn retry_reports(&self, repo: &RepoName) -> Result<(), StoreError> {
        let repo = repo.to_string();
        self.write(move |c| {
            let sql = "UPDATE reports SET refused = NULL, refused_access = NULL, attempt = 0, not_before = 0 \
                 WHERE repo = ?1 AND told IS NOT wanted";
            c.execute(sql, [repo])?;
            Ok(())
        })
        .await
    }

    async fn change(
        &self,
        key: ReportKey,
        work: impl FnOnce(&rusqlite::Connection, [String; 4]) -> rusqlite::Result<usize> + Send + 'static,
    ) -> Result<(), StoreError> {
        self.write(move |c| {
            let ReportKey { target, commit, kind } = key;
            work(
                c,
                [
                    target.repo.to_string(),
                    target.target.to_string(),
                    commit.to_string(),
                    kind,
                ],
            )?;
            Ok(())
        })
        .await
    }

    /// How many reports wait to be told.
    pub async fn reports_pending(&self) -> Result<i64, StoreError> {
        self.read(|c| {
            let sql = "SELECT count(*) FROM reports WHERE told IS NOT wanted AND refused IS NULL";
            Ok(c.query_row(sql, [], |row| row.get(0))?)
        })
        .await
    }

    /// Targets whose newest report the forge refused or does not take.
    pub async fn reports_in_trouble(&self) -> Result<BTreeMap<TargetId, Trouble>, StoreError> {
        self.read(|c| {
            let sql = "SELECT r.repo, r.target, coalesce(r.refused, r.trouble), r.changed_at FROM reports r \
                 WHERE (r.refused IS NOT NULL OR r.trouble IS NOT NULL) AND NOT EXISTS (SELECT 1 FROM reports n \
                 WHERE n.repo = r.repo AND n.target = r.target AND n.kind = r.kind AND n.changed_at > r.changed_at)";
            let mut statement = c.prepare_cached(sql)?;
            let mut rows = statement.query([])?;
            let mut all = BTreeMap::new();
            while let Some(row) = rows.next()? {
                let since = Timestamp(row.get(3)?);
                let reason = row.get(2)?;
                all.insert(target_of(row, 0)?, Trouble { since, reason });
            }
            Ok(all)
        })
        .await
    }

    /// Forgets what changed last before then.
    pub async fn forget_reports(&self, before: Timestamp) -> Result<(), StoreError> {
        self.write(move |c| {
            c.execute("DELETE FROM reports WHERE changed_at < ?1", [before.0])?;
            Ok(())
        })
        .await
    }
}

fn progressed(row: &Row<'_>) -> rusqlite::Result<Progressed> {
    let stage = match row.get::<_, String>(4)?.as_str() {
        "waiting" => Stage::Waiting,
        "running" => Stage::Running,
        _ => Stage::Done(word(row, 5)?),
    };
    let commit: CommitId = word(row, 2)?;
    let live: Option<String> = row.get(9)?;
    Ok(Progressed {
        target: target_of(row, 0)?,
        is_live: live.as_deref() == Some(commit.as_str()),
        commit,
        git_ref: word(row, 3)?,
        stage,
        reason: row.get(6)?,
        deployment: row.get(7)?,
        took: row.get(8)?,
    })
}
