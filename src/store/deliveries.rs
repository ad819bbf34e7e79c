//! What comes in: one transaction stores a delivery and the jobs that it asks for.

use rusqlite::{Connection, params};

use super::records::{Accepted, AcceptedJob, DeliveryResult, NewDelivery, NewJob};
use super::rows::DeliveryRow;
use super::sql::target_of;
use super::{Store, StoreError, checks, history, queue, sql};
use crate::model::{Outcome, ReleaseName, TargetId, Timestamp};

/// The first delivery with a body that has this id at a forge. The index has the repos first, so it goes from repo to repo.
const NAMED: &str = "WITH RECURSIVE repos (repo) AS ( \
     SELECT * FROM (SELECT repo FROM deliveries WHERE body IS NOT NULL ORDER BY repo LIMIT 1) UNION ALL \
     SELECT (SELECT d.repo FROM deliveries d WHERE d.repo > repos.repo AND d.body IS NOT NULL ORDER BY d.repo LIMIT 1) \
     FROM repos WHERE repos.repo IS NOT NULL) \
     SELECT d.id FROM repos CROSS JOIN deliveries d ON d.repo = repos.repo AND d.delivery = ?1 AND d.body IS NOT NULL \
     ORDER BY d.id LIMIT 1";

/// How the jobs of a delivery that is already known ended.
enum Known {
    No,
    /// These targets want it and nothing good has come of it for them.
    Again {
        /// The row of the delivery; `None` if only its body was known, under another id.
        number: Option<i64>,
        targets: Vec<TargetId>,
        /// Nothing came of it for any target until now.
        is_new: bool,
    },
    Done(&'static str),
}

/// Which of the stored deliveries are wanted.
#[derive(Debug, Clone, Default)]
pub struct DeliveryPage {
    /// Only those of this repo.
    pub repo: Option<String>,
    /// Only those that became this: `accepted`, `ignored`, `pong`, `duplicate`.
    pub result: Option<String>,
    /// Only those with a lower number.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: usize,
}

impl Store {
    /// Stores a delivery with its jobs, or finds that it is known. On disk when it returns.
    pub async fn accept(&self, new: NewDelivery) -> Result<Accepted, StoreError> {
        let mut new = new;
        self.write(move |c| match known(c, &new)? {
            Known::No => first(c, &new),
            Known::Done(why) => duplicate(c, &new, why),
            Known::Again {
                number,
                targets,
                is_new,
            } => {
                new.jobs.retain(|job| targets.contains(&job.target));
                // Whoever got a 202 for an id finds it.
                let Some(number) = number else {
                    return first(c, &new);
                };
                let reason = if is_new {
                    new.reason.clone()
                } else {
                    "runs again".to_owned()
                };
                if is_new {
                    c.prepare_cached("UPDATE deliveries SET result = 'accepted', reason = ?2 WHERE id = ?1")?
                        .execute(params![number, reason])?;
                }
                let jobs = insert_jobs(c, &new, number)?;
                Ok(Accepted {
                    result: DeliveryResult::Accepted,
                    reason,
                    jobs,
                })
            }
        })
        .await
    }

    /// Stores jobs that no delivery asked for.
    pub async fn request(&self, jobs: Vec<NewJob>, now: Timestamp) -> Result<Vec<AcceptedJob>, StoreError> {
        self.write(move |c| jobs.iter().map(|job| queue::insert(c, job, None, now)).collect())
            .await
    }

    /// Stores a job unless one waits or runs for its target already: what a poll found must not replace the delivery that
    /// says the same. Nor if another deployment than `last` was the last one to end: its failure would not be known to whoever asks.
    pub async fn request_if_idle(
        &self,
        job: NewJob,
        last: Option<i64>,
        now: Timestamp,
    ) -> Result<Option<AcceptedJob>, StoreError> {
        self.write(move |c| {
            let ended = history::latest(c, &job.target)?.0.map(|ended| ended.id);
            if ended != last || queue::is_busy(c, &job.target)? {
                return Ok(None);
            }
            queue::insert(c, &job, None, now).map(Some)
        })
        .await
    }

    /// Stores a job that goes back to a release of what is live, unless the target runs or such a job waits. It goes before
    /// what waits and may never run, and ends unchanged if that has run meanwhile.
    pub async fn request_restore(&self, job: NewJob, now: Timestamp) -> Result<Option<AcceptedJob>, StoreError> {
        self.write(move |c| {
            let busy = "SELECT EXISTS (SELECT 1 FROM jobs WHERE repo = ?1 AND target = ?2 AND state = 'running') \
                 OR EXISTS (SELECT 1 FROM jobs WHERE repo = ?1 AND target = ?2 AND state = 'waiting' AND release IS NOT NULL)";
            if sql::value(c, busy, params![job.target.repo, job.target.target])? {
                return Ok(None);
            }
            queue::insert(c, &job, None, now).map(Some)
        })
        .await
    }

    /// Stores the job of a rollback, and pins its target at once: what waits must not overtake it.
    pub async fn request_rollback(
        &self,
        job: NewJob,
        release: ReleaseName,
        now: Timestamp,
    ) -> Result<Vec<AcceptedJob>, StoreError> {
        self.write(move |c| {
            let accepted = queue::insert(c, &job, None, now)?;
            queue::pin(c, accepted.id, &job.target, &release)?;
            Ok(vec![accepted])
        })
        .await
    }

    /// Stores jobs again for a stored delivery.
    pub async fn replay(&self, number: i64, jobs: Vec<NewJob>, now: Timestamp) -> Result<Vec<AcceptedJob>, StoreError> {
        self.write(move |c| {
            let delivery: (String, String) =
                c.query_row("SELECT delivery, event FROM deliveries WHERE id = ?1", [number], |r| {
                    Ok((r.get(0)?, r.get(1)?))
                })?;
            let of = Some((number, delivery.0.as_str(), delivery.1.as_str()));
            jobs.iter().map(|job| queue::insert(c, job, of, now)).collect()
        })
        .await
    }

    /// Stored deliveries, the newest first.
    pub async fn deliveries(&self, page: DeliveryPage) -> Result<Vec<DeliveryRow>, StoreError> {
        self.read(move |c| {
            // Conditions for what is wanted only: so each finds its index.
            let of_repo = if page.repo.is_some() { "repo = ?1 AND" } else { "" };
            let of_result = if page.result.is_some() { "result = ?2 AND" } else { "" };
            let sql = format!(
                "SELECT {} FROM deliveries WHERE {of_repo} {of_result} id < ?3 ORDER BY id DESC LIMIT ?4",
                DeliveryRow::COLUMNS
            );
            let limit = i64::try_from(page.limit).unwrap_or(i64::MAX);
            let values = params![page.repo, page.result, page.before.unwrap_or(i64::MAX), limit];
            sql::all(c, &sql, values, DeliveryRow::read)
        })
        .await
    }

    /// A stored delivery by its number or by the forge's id (the first with a body), with headers and body.
    pub async fn delivery(&self, id: String) -> Result<Option<(DeliveryRow, String, Vec<u8>)>, StoreError> {
        self.read(move |c| {
            let named = sql::first(c, NAMED, [&id], |row| row.get(0))?;
            let found: Option<i64> = named.or_else(|| id.parse().ok());
            let sql = format!(
                "SELECT {}, headers, body FROM deliveries WHERE id = ?1 AND body IS NOT NULL",
                DeliveryRow::COLUMNS
            );
            let read = |row: &rusqlite::Row<'_>| Ok((DeliveryRow::read(row)?, row.get(11)?, row.get(12)?));
            sql::first(c, &sql, [found], read)
        })
        .await
    }
}

fn known(c: &Connection, new: &NewDelivery) -> Result<Known, StoreError> {
    let by_id = "SELECT id FROM deliveries WHERE repo = ?1 AND delivery = ?2 AND body IS NOT NULL ORDER BY id LIMIT 1";
    let mut found: Option<i64> = sql::first(c, by_id, params![new.repo, new.delivery], |r| r.get(0))?;
    let by_its_id = found.is_some();
    if found.is_none() && new.id_is_unsigned {
        // A captured delivery that comes back under a fresh id. If what it announced is not live, it runs: the job means
        // the ref's tip, so an old delivery does no harm, and the same push may rightly come again after one that undid it.
        // Only the newest of the same body is looked at, however often it came.
        let by_body = "SELECT d.id FROM \
             (SELECT id FROM deliveries WHERE repo = ?1 AND body_sha256 = ?2 AND body IS NOT NULL ORDER BY id DESC LIMIT 1) d \
             JOIN jobs j ON j.delivery_row = d.id \
             JOIN targets t ON t.repo = j.repo AND t.target = j.target AND t.live_commit = j.wanted LIMIT 1";
        found = sql::first(c, by_body, params![new.repo, new.body_sha256], |r| r.get(0))?;
    }
    let Some(number) = found else { return Ok(Known::No) };
    let newest = newest_jobs(c, number)?;
    // By today's configuration: what never ran for a target, or did not come to an end that counts, runs now.
    let may_run = |target: &TargetId| match newest.iter().find(|(known, _)| known == target) {
        Some((_, outcome)) => outcome.is_some_and(Outcome::may_run_again),
        None => true,
    };
    let again: Vec<TargetId> = new
        .jobs
        .iter()
        .map(|job| &job.target)
        .filter(|t| may_run(t))
        .cloned()
        .collect();
    let ended = |outcome: Outcome| newest.iter().any(|(_, ended)| *ended == Some(outcome));
    Ok(if !again.is_empty() {
        Known::Again {
            number: by_its_id.then_some(number),
            targets: again,
            is_new: newest.is_empty(),
        }
    } else if newest.is_empty() && new.id_is_made {
        // Nobody says that it is the same: two people may join a group, and both deliveries look alike.
        Known::No
    } else if newest.is_empty() {
        Known::Done("this push is known, and there was nothing to do")
    } else if newest
        .iter()
        .any(|(_, ended)| ended.is_some_and(Outcome::may_run_again))
    {
        Known::Done("this push is known, and what failed is no longer wanted")
    } else if newest.iter().any(|(_, ended)| ended.is_none()) {
        Known::Done("this push is known, and its deployment has not ended yet")
    } else if ended(Outcome::RolledBack) {
        Known::Done("this push is known, and was rolled back; `hookd retry` tries that commit again")
    } else {
        Known::Done("this push was already deployed")
    })
}

/// The newest job of each target that a delivery asked for, with its outcome if it has one.
fn newest_jobs(c: &Connection, number: i64) -> Result<Vec<(TargetId, Option<Outcome>)>, StoreError> {
    let sql = "SELECT repo, target, outcome, max(id) FROM jobs WHERE delivery_row = ?1 GROUP BY repo, target";
    sql::all(c, sql, [number], |row| Ok((target_of(row, 0)?, row.get(2)?)))
}

fn first(c: &Connection, new: &NewDelivery) -> Result<Accepted, StoreError> {
    let result = if new.jobs.is_empty() { new.result } else { "accepted" };
    insert(c, new, result, &new.reason, Some(&new.body))?;
    let number = c.last_insert_rowid();
    let mut jobs = insert_jobs(c, new, number)?;
    let of = (number, new.delivery.as_str(), new.event.as_str());
    jobs.extend(checks::note(c, &new.repo, &new.checks, of, new.received_at)?);
    let result = if jobs.is_empty() {
        DeliveryResult::Ignored
    } else {
        if new.jobs.is_empty() {
            c.prepare_cached("UPDATE deliveries SET result = 'accepted' WHERE id = ?1")?
                .execute([number])?;
        }
        DeliveryResult::Accepted
    };
    Ok(Accepted {
        result,
        reason: new.reason.clone(),
        jobs,
    })
}

fn duplicate(c: &Connection, new: &NewDelivery, why: &str) -> Result<Accepted, StoreError> {
    insert(c, new, "duplicate", why, None)?;
    Ok(Accepted {
        result: DeliveryResult::Duplicate,
        reason: why.to_owned(),
        jobs: Vec::new(),
    })
}

fn insert(
    c: &Connection,
    new: &NewDelivery,
    result: &str,
    reason: &str,
    body: Option<&[u8]>,
) -> Result<(), StoreError> {
    c.prepare_cached(
        "INSERT INTO deliveries (repo, delivery, forge, event, received_at, remote_addr, result, reason, body_sha256, headers, body, secret) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?
    .execute(params![
        new.repo,
        new.delivery,
        new.forge,
        new.event,
        new.received_at.0,
        new.remote_addr,
        result,
        reason,
        new.body_sha256,
        new.headers,
        body,
        new.secret
    ])?;
    Ok(())
}

fn insert_jobs(c: &Connection, new: &NewDelivery, number: i64) -> Result<Vec<AcceptedJob>, StoreError> {
    let of = Some((number, new.delivery.as_str(), new.event.as_str()));
    new.jobs
        .iter()
        .map(|job| queue::insert(c, job, of, new.received_at))
        .collect()
}
