//! The end of old history and of large payloads, in slices so small that no delivery waits for them.

use std::time::Duration;

use rusqlite::{Connection, params};

use super::{Store, StoreError, sql};
use crate::model::Timestamp;

/// Rows that go in one transaction: some milliseconds.
const SLICE_ROWS: i64 = 256;

/// Payloads that go in one transaction, bytes, besides the first: the pages of each are read to be freed.
const SLICE_BYTES: i64 = 16 * 1024 * 1024;

/// The time by which history is judged goes on by at most this much from one hourly pass to the next. After a month without
/// hookd it needs as long to catch up, and a clock that is years ahead for some hours costs some hours of history.
const AGE_STEP: Duration = Duration::from_hours(2);

/// Nothing waits longer than this by intent: a later time was written by a clock that was ahead.
const LONGEST_WAIT: Duration = Duration::from_hours(24);

/// What is too old, in the order in which it can go, and how it is removed.
const OLD: [(&str, &str); 3] = [
    (
        "SELECT id FROM jobs WHERE state = 'done' AND requested_at < ?1 \
         AND NOT EXISTS (SELECT 1 FROM deployments d WHERE d.job = jobs.id) LIMIT ?2",
        "DELETE FROM jobs WHERE id = ?1",
    ),
    (
        "SELECT seq FROM checks WHERE at < ?1 LIMIT ?2",
        "DELETE FROM checks WHERE seq = ?1",
    ),
    (
        "SELECT id FROM deliveries WHERE received_at < ?1 \
         AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.delivery_row = deliveries.id) LIMIT ?2",
        "DELETE FROM deliveries WHERE id = ?1",
    ),
];

/// Deployments that ended before `?1`, but for those whose releases are kept.
const TOO_OLD: &str = "SELECT id FROM deployments WHERE outcome IS NOT NULL AND finished_at < ?1 \
     AND id NOT IN (SELECT deployment FROM releases) LIMIT ?2";

/// Those that are not among the newest `?1` that ran.
const TOO_MANY: &str = "SELECT id FROM deployments WHERE outcome <> 'superseded' AND id < \
     (SELECT id FROM deployments WHERE outcome <> 'superseded' ORDER BY id DESC LIMIT 1 OFFSET ?1 - 1) \
     AND id NOT IN (SELECT deployment FROM releases) ORDER BY id LIMIT ?2";

/// Those that are not among the newest `?1` that a newer request replaced.
const TOO_MANY_SUPERSEDED: &str = "SELECT id FROM deployments WHERE outcome = 'superseded' AND id < \
     (SELECT id FROM deployments WHERE outcome = 'superseded' ORDER BY id DESC LIMIT 1 OFFSET ?1 - 1) \
     AND id NOT IN (SELECT deployment FROM releases) ORDER BY id LIMIT ?2";

impl Store {
    /// Deployments that are older than `before` or not among the newest `count`. What is live, waits or runs is not among them.
    pub async fn old_deployments(&self, before: Timestamp, count: u64) -> Result<Vec<i64>, StoreError> {
        self.read(move |c| {
            let keep = i64::try_from(count).unwrap_or(i64::MAX);
            let mut all: Vec<i64> = Vec::new();
            for (sql, limit) in [(TOO_OLD, before.0), (TOO_MANY, keep), (TOO_MANY_SUPERSEDED, keep)] {
                let rows: Vec<i64> = sql::all(c, sql, params![limit, SLICE_ROWS], |r| r.get(0))?;
                all.extend(rows);
            }
            all.sort_unstable();
            all.dedup();
            Ok(all)
        })
        .await
    }

    /// Removes deployments from the history.
    pub async fn forget_deployments(&self, ids: Vec<i64>) -> Result<(), StoreError> {
        self.remove("DELETE FROM deployments WHERE id = ?1", ids).await
    }

    /// Removes jobs, checks and deliveries that are older than `before` and belong to no deployment that is kept.
    pub async fn prune_history(&self, before: Timestamp) -> Result<(), StoreError> {
        for (find, remove) in OLD {
            loop {
                let old: Vec<i64> = self.list(find, (before, SLICE_ROWS), |r| r.get(0)).await?;
                if old.is_empty() {
                    break;
                }
                self.remove(remove, old).await?;
            }
        }
        Ok(())
    }

    async fn remove(&self, sql: &'static str, ids: Vec<i64>) -> Result<(), StoreError> {
        self.write(move |c| {
            let mut statement = c.prepare_cached(sql)?;
            for id in ids {
                statement.execute([id])?;
            }
            Ok(())
        })
        .await
    }

    /// Brings the deliveries down to `budget` bytes: first the payloads of those that led to nothing go, then the others' that
    /// no job needs, then whole rows, the oldest first each time.
    pub async fn prune_deliveries(&self, budget: u64) -> Result<(), StoreError> {
        let budget = i64::try_from(budget).unwrap_or(i64::MAX);
        loop {
            let over = self.read(stored).await? - budget;
            if over <= 0 || self.write(move |c| slice(c, over)).await? == 0 {
                return Ok(());
            }
        }
    }

    /// The time by which the age of history is judged; moves it on.
    pub async fn judge_age(&self, now: Timestamp) -> Result<Timestamp, StoreError> {
        self.write(move |c| {
            let sql = "SELECT coalesce((SELECT at FROM age_clock), (SELECT max(received_at) FROM deliveries), \
                 (SELECT finished_at FROM deployments WHERE finished_at IS NOT NULL ORDER BY id DESC LIMIT 1))";
            let known: Option<Timestamp> = sql::value(c, sql, [])?;
            let at = known.map_or(now, |known| now.min(known.after(AGE_STEP)));
            c.execute("INSERT OR REPLACE INTO age_clock (one, at) VALUES (1, ?1)", [at])?;
            Ok(at)
        })
        .await
    }

    /// The clock was set by `by` milliseconds: what waits for a time waits no longer and no shorter for it. Whatever was
    /// written by a clock far ahead waits no more.
    pub async fn clock_was_set(&self, by: i64, now: Timestamp) -> Result<(), StoreError> {
        self.write(move |c| {
            let far = now.after(LONGEST_WAIT).0;
            for (table, column, waits) in [
                // Of the history nothing waits, and it is long.
                ("jobs", "not_before", "state = 'waiting'"),
                ("outbox", "not_before", "TRUE"),
                ("reports", "not_before", "told IS NOT wanted AND refused IS NULL"),
                ("failures", "retry_at", "TRUE"),
            ] {
                c.execute(
                    &format!(
                        "UPDATE {table} SET {column} = iif({column} + ?1 > ?2, 0, {column} + ?1) \
                         WHERE {waits} AND {column} > 0 AND (?1 <> 0 OR {column} > ?2)"
                    ),
                    params![by, far],
                )?;
            }
            c.execute(
                "UPDATE jobs SET held_since = min(held_since + ?1, ?2) WHERE state = 'waiting' AND held_since IS NOT NULL",
                params![by, now],
            )?;
            Ok(())
        })
        .await
    }
}

/// What the deliveries take, bytes.
fn stored(c: &Connection) -> Result<i64, StoreError> {
    Ok(sql::first(c, "SELECT bytes FROM stored", [], |r| r.get(0))?.unwrap_or(0))
}

/// Frees a part of what is too much; gives how many rows it changed. Used within a transaction of the caller.
fn slice(c: &Connection, over: i64) -> Result<usize, StoreError> {
    // The id stays, and with it the answer to a redelivery.
    let empty = "UPDATE deliveries SET body = x'', headers = '[]' WHERE id = ?1";
    for accepted in [false, true] {
        let sql = "SELECT id, length(body) + length(headers) FROM deliveries WHERE length(body) > 0 \
             AND (result = 'accepted') = ?1 AND NOT EXISTS \
             (SELECT 1 FROM jobs j WHERE j.delivery_row = deliveries.id AND j.state <> 'done') ORDER BY id LIMIT ?2";
        let freed = free(c, sql, accepted, empty, over)?;
        if freed > 0 {
            return Ok(freed);
        }
    }
    let sql = "SELECT id, 512 + length(headers) + coalesce(length(body), 0) FROM deliveries WHERE ?1 AND NOT EXISTS \
         (SELECT 1 FROM jobs j WHERE j.delivery_row = deliveries.id) ORDER BY id LIMIT ?2";
    free(c, sql, true, "DELETE FROM deliveries WHERE id = ?1", over)
}

/// Does `act` to the rows that `find` gives, until a slice is full or `over` bytes are free.
fn free(c: &Connection, find: &str, accepted: bool, act: &str, over: i64) -> Result<usize, StoreError> {
    let values = params![accepted, SLICE_ROWS];
    let rows: Vec<(i64, i64)> = sql::all(c, find, values, |r| Ok((r.get(0)?, r.get(1)?)))?;
    let mut act = c.prepare_cached(act)?;
    let (mut count, mut bytes) = (0, 0);
    for (id, size) in rows {
        if count > 0 && bytes >= over.min(SLICE_BYTES) {
            break;
        }
        count += act.execute([id])?;
        bytes += size;
    }
    Ok(count)
}
