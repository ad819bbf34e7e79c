//! Messages that wait to be sent.

use rusqlite::params;

use super::{Store, StoreError};
use crate::model::Timestamp;

/// Messages taken at once.
const TAKE: i64 = 20;

/// A message.
#[derive(Debug, Clone)]
pub struct Message {
    /// Its number.
    pub id: i64,
    /// Name of the `[notify.NAME]`.
    pub channel: String,
    /// JSON.
    pub body: String,
    /// How often it was tried.
    pub attempt: u32,
}

impl Store {
    /// Messages whose time has come.
    pub async fn outbox(&self, now: Timestamp) -> Result<Vec<Message>, StoreError> {
        self.read(move |c| {
            let mut statement = c.prepare_cached(
                "SELECT id, channel, body, attempt FROM outbox WHERE not_before <= ?1 ORDER BY id LIMIT ?2",
            )?;
            let rows = statement.query_map(params![now.0, TAKE], |row| {
                Ok(Message {
                    id: row.get(0)?,
                    channel: row.get(1)?,
                    body: row.get(2)?,
                    attempt: row.get(3)?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// A message was heard, or given up.
    pub async fn sent(&self, id: i64) -> Result<(), StoreError> {
        self.write(move |c| {
            c.execute("DELETE FROM outbox WHERE id = ?1", [id])?;
            Ok(())
        })
        .await
    }

    /// A message is tried again then.
    pub async fn send_later(&self, id: i64, at: Timestamp) -> Result<(), StoreError> {
        self.write(move |c| {
            c.execute(
                "UPDATE outbox SET attempt = attempt + 1, not_before = ?2 WHERE id = ?1",
                params![id, at.0],
            )?;
            Ok(())
        })
        .await
    }
}
