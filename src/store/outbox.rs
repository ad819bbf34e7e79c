//! Messages that wait to be sent, and channels that do not take them.

use std::collections::BTreeMap;

use rusqlite::params;

use super::{Store, StoreError, sql};
use crate::model::{TargetId, Timestamp};

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

/// What does not get through, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Since when.
    pub since: Timestamp,
    /// Why, in words.
    pub reason: String,
}

/// How a target stands, by its deployments that went live or failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Something was live once.
    pub ever_live: bool,
    /// Since when the newest deployments have failed; `None` if the newest one did not.
    pub failing_since: Option<Timestamp>,
    /// The newest deployment, if it failed.
    pub failing: Option<i64>,
}

impl Store {
    /// The first message of each channel, if its time has come: a channel gets its messages in order, and one that does not
    /// answer holds up no other.
    pub async fn outbox(&self, now: Timestamp) -> Result<Vec<Message>, StoreError> {
        let sql = "SELECT id, channel, body, attempt FROM outbox JOIN (SELECT min(id) AS first FROM outbox GROUP BY channel) \
             ON id = first WHERE not_before <= ?1 ORDER BY id";
        self.list(sql, [now], |row| {
            Ok(Message {
                id: row.get(0)?,
                channel: row.get(1)?,
                body: row.get(2)?,
                attempt: row.get(3)?,
            })
        })
        .await
    }

    /// A message that belongs to no deployment's end.
    pub async fn tell(&self, channel: String, body: String) -> Result<(), StoreError> {
        let sql = "INSERT INTO outbox (channel, body, not_before) VALUES (?1, ?2, 0)";
        self.change(sql, (channel, body)).await
    }

    /// A message was heard.
    pub async fn sent(&self, message: Message) -> Result<(), StoreError> {
        self.write(move |c| {
            c.execute("DELETE FROM outbox WHERE id = ?1", [message.id])?;
            c.execute("DELETE FROM channels WHERE name = ?1", [message.channel])?;
            Ok(())
        })
        .await
    }

    /// A message is given up: the channel refused it, or it is too old.
    pub async fn give_up(&self, message: Message, reason: String, now: Timestamp) -> Result<(), StoreError> {
        self.write(move |c| {
            c.execute("DELETE FROM outbox WHERE id = ?1", [message.id])?;
            fails(c, &message.channel, &reason, now)
        })
        .await
    }

    /// A message is tried again then. The channel is in trouble if `reason` is given.
    pub async fn send_later(
        &self,
        message: Message,
        at: Timestamp,
        reason: Option<String>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(move |c| {
            c.execute(
                "UPDATE outbox SET attempt = attempt + 1, not_before = ?2 WHERE id = ?1",
                params![message.id, at],
            )?;
            match reason {
                Some(reason) => fails(c, &message.channel, &reason, now),
                None => Ok(()),
            }
        })
        .await
    }

    /// Drops what waits for a channel that is no longer configured.
    pub async fn drop_channel(&self, channel: String) -> Result<(), StoreError> {
        self.write(move |c| {
            c.execute("DELETE FROM outbox WHERE channel = ?1", [&channel])?;
            c.execute("DELETE FROM channels WHERE name = ?1", [&channel])?;
            Ok(())
        })
        .await
    }

    /// How many messages wait, by channel.
    pub async fn outbox_pending(&self) -> Result<BTreeMap<String, i64>, StoreError> {
        let sql = "SELECT channel, count(*) FROM outbox GROUP BY channel";
        self.list(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).await
    }

    /// The channels whose last message was not heard.
    pub async fn channels_in_trouble(&self) -> Result<BTreeMap<String, Trouble>, StoreError> {
        self.list("SELECT name, failing_since, reason FROM channels", [], |row| {
            let trouble = Trouble {
                since: row.get(1)?,
                reason: row.get(2)?,
            };
            Ok((row.get(0)?, trouble))
        })
        .await
    }

    /// How a target stands, as its deployments before those of `job` left it.
    pub async fn standing(&self, target: &TargetId, job: i64) -> Result<Standing, StoreError> {
        let TargetId { repo, target } = target.clone();
        self.read(move |c| {
            let of_target = "FROM deployments WHERE repo = ?1 AND target = ?2 AND job != ?3";
            let ever_live = format!("SELECT 1 {of_target} AND outcome = 'live' LIMIT 1");
            let last = |condition: &str| {
                let sql = format!("SELECT id, finished_at {of_target} AND {condition} ORDER BY id DESC LIMIT 1");
                sql::first(c, &sql, params![repo, target, job], |row| {
                    let at: Option<Timestamp> = row.get(1)?;
                    Ok((row.get::<_, i64>(0)?, at.unwrap_or(Timestamp(0))))
                })
            };
            // One after the other: so each is found at once, however long ago it was.
            let bad = last("outcome = 'failed'")?.max(last("outcome = 'rolled-back'")?);
            let good = last("outcome = 'live'")?;
            let failing = bad.filter(|bad| good.is_none_or(|good| good.0 < bad.0));
            Ok(Standing {
                ever_live: c.prepare_cached(&ever_live)?.exists(params![repo, target, job])?,
                failing_since: failing.map(|row| row.1),
                failing: failing.map(|row| row.0),
            })
        })
        .await
    }
}

fn fails(c: &rusqlite::Connection, channel: &str, reason: &str, now: Timestamp) -> Result<(), StoreError> {
    c.execute(
        "INSERT INTO channels (name, failing_since, reason) VALUES (?1, ?2, ?3) \
         ON CONFLICT (name) DO UPDATE SET reason = excluded.reason",
        params![channel, now, reason],
    )?;
    Ok(())
}
