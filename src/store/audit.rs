//! Who did what.

use rusqlite::params;

use super::{Store, StoreError};
use crate::model::{Outcome, Timestamp};

/// An act that is about to be done.
#[derive(Debug, Clone)]
pub struct NewAct {
    /// Who does it: `user:alice`.
    pub who: String,
    /// What: `deploy`, `log-in`.
    pub act: &'static str,
    /// To what: `blog/production`.
    pub object: String,
    /// Where the request came from; none for the control socket.
    pub address: Option<String>,
}

/// An act as it was noted.
#[derive(Debug, Clone)]
pub struct ActRow {
    /// Its number.
    pub id: i64,
    /// When, milliseconds since the epoch.
    pub at: i64,
    /// Who did it.
    pub who: String,
    /// What.
    pub act: String,
    /// To what.
    pub object: String,
    /// Where the request came from.
    pub address: Option<String>,
    /// What came of it; `None` if that was never known.
    pub result: Option<String>,
    /// How the job ended that it asked for.
    pub outcome: Option<Outcome>,
    /// The newest deployment of that job.
    pub deployment: Option<i64>,
}

impl Store {
    /// Notes an act before it is done; gives its number.
    pub async fn note_act(&self, act: NewAct, now: Timestamp) -> Result<i64, StoreError> {
        self.write(move |c| {
            c.prepare_cached("INSERT INTO audit (at, who, act, object, address) VALUES (?1, ?2, ?3, ?4, ?5)")?
                .execute(params![now, act.who, act.act, act.object, act.address])?;
            Ok(c.last_insert_rowid())
        })
        .await
    }

    /// Notes what came of an act, and the job that it asked for.
    pub async fn note_result(&self, act: i64, result: String, job: Option<i64>) -> Result<(), StoreError> {
        let sql = "UPDATE audit SET result = ?2, job = ?3 WHERE id = ?1";
        self.change(sql, (act, result, job)).await
    }

    /// The newest acts that are older than `before`, newest first, at most `limit`.
    pub async fn acts(&self, before: Option<i64>, limit: usize) -> Result<Vec<ActRow>, StoreError> {
        let sql = "SELECT a.id, a.at, a.who, a.act, a.object, a.address, a.result, j.outcome, \
             (SELECT max(d.id) FROM deployments d WHERE d.job = a.job) \
             FROM audit a LEFT JOIN jobs j ON j.id = a.job WHERE a.id < ?1 ORDER BY a.id DESC LIMIT ?2";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.list(sql, (before.unwrap_or(i64::MAX), limit), |row| {
            Ok(ActRow {
                id: row.get(0)?,
                at: row.get(1)?,
                who: row.get(2)?,
                act: row.get(3)?,
                object: row.get(4)?,
                address: row.get(5)?,
                result: row.get(6)?,
                outcome: row.get(7)?,
                deployment: row.get(8)?,
            })
        })
        .await
    }

    /// Drops acts before `age` and sessions that are over.
    pub async fn tidy_access(&self, age: Timestamp, now: Timestamp) -> Result<(), StoreError> {
        self.write(move |c| {
            c.execute("DELETE FROM audit WHERE at < ?1", [age])?;
            c.execute("DELETE FROM sessions WHERE expires_at <= ?1", [now])?;
            Ok(())
        })
        .await
    }
}
