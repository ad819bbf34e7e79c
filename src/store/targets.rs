//! Targets and their releases.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use super::queue::UNCHECKED;
use super::rows::{ReleaseRow, TargetRow, Tip, Tips};
use super::sql::target_of;
use super::{Store, StoreError, sql};
use crate::model::{CommitId, Outcome, ReleaseName, TargetId};

/// The name under which a target's first look at its remote is noted among its tips; no real ref has it.
const FIRST_LOOK: &str = "*";

/// What is live at a target; nothing if it is not known.
pub(super) fn target(c: &Connection, id: &TargetId) -> Result<TargetRow, StoreError> {
    let sql = format!(
        "SELECT {} FROM targets WHERE repo = ?1 AND target = ?2",
        TargetRow::COLUMNS
    );
    Ok(sql::first(c, &sql, params![id.repo, id.target], TargetRow::read)?.unwrap_or_default())
}

impl Store {
    /// What is live at a target.
    pub async fn target(&self, id: &TargetId) -> Result<TargetRow, StoreError> {
        let id = id.clone();
        self.read(move |c| target(c, &id)).await
    }

    /// What is live at all targets.
    pub async fn targets(&self) -> Result<BTreeMap<TargetId, TargetRow>, StoreError> {
        let sql = format!("SELECT {}, repo, target FROM targets", TargetRow::COLUMNS);
        self.list(sql, [], |row| Ok((target_of(row, 6)?, TargetRow::read(row)?)))
            .await
    }

    /// Pauses a target, or lets it go on; the latter removes a pin, too.
    pub async fn set_paused(&self, id: &TargetId, paused: bool) -> Result<(), StoreError> {
        let id = id.clone();
        self.write(move |c| {
            c.execute(
                "INSERT OR IGNORE INTO targets (repo, target) VALUES (?1, ?2)",
                params![id.repo, id.target],
            )?;
            c.execute(
                "UPDATE targets SET paused = ?3, pinned = CASE WHEN ?3 THEN pinned END WHERE repo = ?1 AND target = ?2",
                params![id.repo, id.target, paused],
            )?;
            Ok(())
        })
        .await
    }

    /// The releases of a target, newest first.
    pub async fn releases(&self, id: &TargetId) -> Result<Vec<ReleaseRow>, StoreError> {
        let sql = format!(
            "SELECT {} FROM releases WHERE repo = ?1 AND target = ?2 ORDER BY deployment DESC, name DESC",
            ReleaseRow::COLUMNS
        );
        let TargetId { repo, target } = id.clone();
        self.list(sql, (repo, target), ReleaseRow::read).await
    }

    /// Releases that were being made when their deployment was cut off.
    pub async fn half_made(&self, id: &TargetId) -> Result<Vec<ReleaseName>, StoreError> {
        let sql = "SELECT r.name FROM releases r LEFT JOIN deployments d ON d.id = r.deployment \
             WHERE r.repo = ?1 AND r.target = ?2 AND r.state = 'building' AND (d.id IS NULL OR d.outcome IS NOT NULL)";
        let TargetId { repo, target } = id.clone();
        self.list(sql, (repo, target), |row| row.get(0)).await
    }

    /// Forgets releases whose directories are gone.
    pub async fn forget_releases(&self, id: &TargetId, names: Vec<ReleaseName>) -> Result<(), StoreError> {
        let id = id.clone();
        self.write(move |c| {
            for name in names {
                c.execute(
                    "DELETE FROM releases WHERE repo = ?1 AND target = ?2 AND name = ?3",
                    params![id.repo, id.target, name],
                )?;
            }
            Ok(())
        })
        .await
    }

    /// The tips that were dealt with.
    pub async fn tips(&self, id: &TargetId) -> Result<Tips, StoreError> {
        let id = id.clone();
        self.read(move |c| {
            let of_target = params![id.repo, id.target, FIRST_LOOK];
            let looked = "SELECT EXISTS (SELECT 1 FROM tips WHERE repo = ?1 AND target = ?2 AND git_ref = ?3)";
            let looked = sql::value(c, looked, of_target)?;
            let sql = "SELECT git_ref, commit_id FROM tips WHERE repo = ?1 AND target = ?2 AND git_ref <> ?3";
            let known = sql::all(c, sql, of_target, |row| {
                Ok(Tip {
                    git_ref: row.get(0)?,
                    commit: row.get(1)?,
                })
            })?;
            Ok(Tips { looked, known })
        })
        .await
    }

    /// How it ended when this commit was last tried on the target, if it failed, was rolled back or cancelled. Not if it lacked
    /// green checks only: those may come.
    pub async fn ended_badly(&self, id: &TargetId, commit: &CommitId) -> Result<Option<Outcome>, StoreError> {
        let (id, commit) = (id.clone(), commit.clone());
        self.read(move |c| {
            let sql = "SELECT outcome FROM deployments WHERE repo = ?1 AND target = ?2 AND commit_id = ?3 \
                 AND outcome IN ('live', 'failed', 'rolled-back', 'cancelled') \
                 AND NOT EXISTS (SELECT 1 FROM tips WHERE repo = ?1 AND target = ?2 AND commit_id = ?3 AND outcome = ?4) \
                 ORDER BY id DESC LIMIT 1";
            let names = params![id.repo, id.target, commit, UNCHECKED];
            let outcome = sql::first(c, sql, names, |row| row.get(0))?;
            Ok(outcome.filter(|outcome| *outcome != Outcome::Live))
        })
        .await
    }

    /// Notes tips as dealt with though no deployment was made for them, and that the target's remote was looked at, if
    /// that is so for the first time.
    pub async fn note_tips(&self, id: &TargetId, seen: Tips) -> Result<(), StoreError> {
        if seen == Tips::default() {
            return Ok(());
        }
        let id = id.clone();
        self.write(move |c| {
            let looked = seen.looked.then_some((FIRST_LOOK, ""));
            let tips = seen.known.iter().map(|tip| (tip.git_ref.as_str(), tip.commit.as_str()));
            for (git_ref, commit) in tips.chain(looked) {
                c.prepare_cached(
                    "INSERT OR REPLACE INTO tips (repo, target, git_ref, commit_id, outcome) VALUES (?1, ?2, ?3, ?4, 'seen')",
                )?
                .execute(params![id.repo, id.target, git_ref, commit])?;
            }
            Ok(())
        })
        .await
    }
}
