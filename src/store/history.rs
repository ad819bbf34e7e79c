//! The history of deployments.

use std::collections::BTreeMap;

use rusqlite::types::Value;
use rusqlite::{Connection, Row, params, params_from_iter};

use super::queue::waiting;
use super::rows::{DeploymentRow, PhaseRow, TargetRow, WaitingJob};
use super::targets::target;
use super::{Store, StoreError, sql};
use crate::model::{Outcome, TargetId};

/// Which part of the history is wanted.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Only this `repo/target`, or all targets of this repo.
    pub target: Option<String>,
    /// Only deployments older than this one.
    pub before: Option<i64>,
    /// Only those with this outcome.
    pub outcome: Option<Outcome>,
    /// At most so many.
    pub limit: usize,
}

/// What waits, and how targets stand, at one moment.
#[derive(Debug, Clone)]
pub struct Moment {
    /// All jobs that wait, in the order of the queue.
    pub waiting: Vec<WaitingJob>,
    /// Those asked for.
    pub targets: BTreeMap<TargetId, TargetMoment>,
}

/// How a target stands.
#[derive(Debug, Clone, Default)]
pub struct TargetMoment {
    /// What is live.
    pub live: TargetRow,
    /// The newest deployment that ran to an end.
    pub last: Option<DeploymentRow>,
    /// The one that runs.
    pub running: Option<DeploymentRow>,
}

impl Page {
    /// The newest ones.
    pub fn newest(target: Option<String>, limit: usize) -> Self {
        Self {
            target,
            limit,
            ..Self::default()
        }
    }
}

impl Store {
    /// Deployments, newest first.
    pub async fn history(&self, page: Page) -> Result<Vec<DeploymentRow>, StoreError> {
        let (sql, values) = query(&page);
        self.list(sql, params_from_iter(values), DeploymentRow::read).await
    }

    /// The newest deployments of one target that have ended, newest first: number, how each ended, and why.
    pub async fn outcomes(
        &self,
        id: &TargetId,
        limit: usize,
    ) -> Result<Vec<(i64, String, Option<String>)>, StoreError> {
        let sql = "SELECT id, outcome, reason FROM deployments WHERE repo = ?1 AND target = ?2 AND outcome IS NOT NULL \
             ORDER BY id DESC LIMIT ?3";
        let TargetId { repo, target } = id.clone();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        self.list(sql, (repo, target, limit), read).await
    }

    /// A deployment with its phases.
    pub async fn deployment(&self, id: i64) -> Result<Option<(DeploymentRow, Vec<PhaseRow>)>, StoreError> {
        self.read(move |c| {
            let sql = format!("{} WHERE d.id = ?1", DeploymentRow::SELECT);
            let Some(row) = sql::first(c, &sql, [id], DeploymentRow::read)? else {
                return Ok(None);
            };
            let sql = "SELECT phase, started_at, finished_at FROM phases WHERE deployment = ?1";
            let mut phases: Vec<PhaseRow> = sql::all(c, sql, [id], |r| {
                Ok(PhaseRow {
                    phase: r.get(0)?,
                    started_at: r.get(1)?,
                    finished_at: r.get(2)?,
                })
            })?;
            // Several may begin in the same millisecond.
            phases.sort_by_key(|row| (row.started_at, row.phase));
            Ok(Some((row, phases)))
        })
        .await
    }

    /// The newest deployment of a target that ran to an end, and the one that runs.
    pub async fn latest(
        &self,
        target: &TargetId,
    ) -> Result<(Option<DeploymentRow>, Option<DeploymentRow>), StoreError> {
        let target = target.clone();
        self.read(move |c| latest(c, &target)).await
    }

    /// What waits, and how these targets stand, all at one moment.
    pub async fn moment(&self, targets: Vec<TargetId>) -> Result<Moment, StoreError> {
        self.read(move |c| {
            // Without a transaction each statement would see a moment of its own.
            let transaction = c.unchecked_transaction()?;
            let mut moment = Moment {
                waiting: waiting(&transaction)?,
                targets: BTreeMap::new(),
            };
            for id in targets {
                let (last, running) = latest(&transaction, &id)?;
                let live = target(&transaction, &id)?;
                moment.targets.insert(id, TargetMoment { live, last, running });
            }
            Ok(moment)
        })
        .await
    }
}

/// A query for a page, with its values. It has conditions for what is wanted only: so each finds its index.
fn query(page: &Page) -> (String, Vec<Value>) {
    let mut conditions: Vec<&str> = Vec::new();
    let mut values: Vec<Value> = Vec::new();
    if let Some(target) = &page.target {
        conditions.push("d.repo = ?");
        match target.split_once('/') {
            Some((repo, target)) => {
                conditions.push("d.target = ?");
                values.extend([Value::from(repo.to_owned()), Value::from(target.to_owned())]);
            }
            None => values.push(Value::from(target.clone())),
        }
    }
    if let Some(outcome) = page.outcome {
        conditions.push("d.outcome = ?");
        values.push(Value::from(outcome.as_str().to_owned()));
    }
    if let Some(before) = page.before {
        conditions.push("d.id < ?");
        values.push(Value::from(before));
    }
    values.push(Value::from(i64::try_from(page.limit).unwrap_or(i64::MAX)));
    let conditions = if conditions.is_empty() {
        String::new()
    } else {
        format!(" WHERE {}", conditions.join(" AND "))
    };
    let sql = format!("{}{conditions} ORDER BY d.id DESC LIMIT ?", DeploymentRow::SELECT);
    (sql, values)
}

/// See [`Store::latest`].
pub(super) fn latest(
    c: &Connection,
    target: &TargetId,
) -> Result<(Option<DeploymentRow>, Option<DeploymentRow>), StoreError> {
    let newest = |condition: &str| {
        let sql = format!(
            "{} WHERE d.repo = ?1 AND d.target = ?2 AND d.outcome {condition} ORDER BY d.id DESC LIMIT 1",
            DeploymentRow::SELECT
        );
        sql::first(c, &sql, params![target.repo, target.target], DeploymentRow::read)
    };
    Ok((newest("<> 'superseded'")?, newest("IS NULL AND j.state = 'running'")?))
}
