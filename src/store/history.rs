//! The history of deployments.

use std::collections::BTreeMap;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};

use super::queue::waiting;
use super::rows::{DeploymentRow, PhaseRow, TargetRow, WaitingJob, words};
use super::targets::target;
use super::{Store, StoreError};
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
        self.read(move |c| {
            let (sql, values) = query(&page);
            let mut statement = c.prepare_cached(&sql)?;
            let rows = statement.query_map(params_from_iter(values), DeploymentRow::read)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// The newest deployments of one target that have ended, newest first: number, how each ended, and why.
    pub async fn outcomes(
        &self,
        id: &TargetId,
        limit: usize,
    ) -> Result<Vec<(i64, String, Option<String>)>, StoreError> {
        let id = id.clone();
        self.read(move |c| {
            let mut statement = c.prepare_cached(
                "SELECT id, outcome, reason FROM deployments WHERE repo = ?1 AND target = ?2 AND outcome IS NOT NULL \
                 ORDER BY id DESC LIMIT ?3",
            )?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let rows = statement.query_map(params![id.repo.as_str(), id.target.as_str(), limit], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// A deployment with its phases.
    pub async fn deployment(&self, id: i64) -> Result<Option<(DeploymentRow, Vec<PhaseRow>)>, StoreError> {
        self.read(move |c| {
            let sql = format!("{} WHERE d.id = ?1", DeploymentRow::SELECT);
            let row = c
                .prepare_cached(&sql)?
                .query_row([id], DeploymentRow::read)
                .optional()?;
            let Some(row) = row else {
                return Ok(None);
            };
            let mut statement =
                c.prepare_cached("SELECT phase, started_at, finished_at FROM phases WHERE deployment = ?1")?;
            let mut phases: Vec<PhaseRow> = statement
                .query_map([id], |r| {
                    Ok(PhaseRow {
                        phase: words(r, 0)?,
                        started_at: r.get(1)?,
                        finished_at: r.get(2)?,
                    })
                })?
                .collect::<Result<_, _>>()?;
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
        let names = params![target.repo.as_str(), target.target.as_str()];
        c.prepare_cached(&sql)?.query_row(names, DeploymentRow::read).optional()
    };
    Ok((newest("<> 'superseded'")?, newest("IS NULL AND j.state = 'running'")?))
}
