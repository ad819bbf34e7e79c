//! Writes the log back into the database beside the writer, so that no delivery waits for the disk to take thousands of pages.
//!
//! A log that is written back whole begins anew with the next transaction. While deliveries come in it never is, since they add to it
//! meanwhile: the last few pages the writer writes back itself, in the time of one more transaction.
//!
//! `SQLite` syncs the database only when the log is written back whole. Left to that, the writer would wait for all pages of a long log;
//! so what was written back beside it is synced beside it, too.

use std::fs::File;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::StoreError;
use crate::model::Locked;

/// Pages in the log that are not in the database yet from which on they are written back: 16 MiB. Under a flood of deliveries the syncs
/// that this takes are better shared by thousands of them than, as by default, by hundreds.
const WORTH_IT: i64 = 4096;

/// Pages of a log that shall begin anew: 64 MiB, so that few deliveries are there when it does.
const LONG: i64 = 16384;

/// Pages that the writer then writes back itself: 2 MiB, which takes some milliseconds.
const LAST: i64 = 512;

/// Pages in the log at which the writer waits until it is written back, lest it grow for ever on a slow disk: 128 MiB.
const TOO_LONG: i64 = 32768;

/// Pages of the log: all, and those that are not in the database yet.
struct Log {
    all: i64,
    left: i64,
}

impl Log {
    fn pages(&self) -> u64 {
        // An empty one may have fewer than none.
        self.all.max(0).unsigned_abs()
    }

    /// What is to be done after a transaction, while a thread writes back or none does.
    fn step(&self, is_running: bool) -> Step {
        let is_long = self.all >= LONG && self.left > 0;
        if self.all >= TOO_LONG && self.left > 0 || is_long && self.left <= LAST && !is_running {
            Step::AtOnce
        } else if (is_long || self.left >= WORTH_IT) && !is_running {
            Step::Beside
        } else {
            Step::GoOn
        }
    }
}

/// See [`Log::step`].
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Nothing.
    GoOn,
    /// To write back on another thread.
    Beside,
    /// To write back before the next transaction.
    AtOnce,
}

/// What writes the log back.
pub(super) struct Checkpoints {
    /// A connection of its own, so that the writer can go on.
    pub(super) connection: Arc<Mutex<Connection>>,
    running: Option<JoinHandle<()>>,
}

impl Checkpoints {
    pub(super) fn new(connection: Connection) -> Self {
        Self {
            connection: Arc::new(Mutex::new(connection)),
            running: None,
        }
    }

    /// Looks after the log of a database; to be called by the writer after each transaction. Gives the pages of the log.
    pub(super) fn follow(&mut self, writer: &Connection, database: Option<&Arc<File>>) -> Result<u64, StoreError> {
        let log = look(writer, "PRAGMA wal_checkpoint(NOOP)")?;
        match log.step(self.is_running()) {
            Step::GoOn => {}
            Step::Beside => self.begin(database)?,
            Step::AtOnce => write_back(&self.connection)?,
        }
        Ok(log.pages())
    }

    /// Writes everything back once nobody writes: the next transaction begins the log anew. Gives the pages of the log.
    pub(super) fn rest(&mut self, writer: &Connection, database: Option<&Arc<File>>) -> Result<u64, StoreError> {
        let log = look(writer, "PRAGMA wal_checkpoint(NOOP)")?;
        if log.left >= LAST && !self.is_running() {
            self.begin(database)?;
        }
        Ok(log.pages())
    }

    fn is_running(&self) -> bool {
        self.running.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    fn begin(&mut self, database: Option<&Arc<File>>) -> Result<(), StoreError> {
        let (connection, database) = (Arc::clone(&self.connection), database.cloned());
        let work = move || {
            let synced = || database.map_or(Ok(()), |file| file.sync_data());
            let written = write_back(&connection).map_err(|e| e.to_string());
            if let Err(error) = written.and_then(|()| synced().map_err(|e| e.to_string())) {
                tracing::warn!(error, "the store's log could not be written back");
            }
        };
        let thread = std::thread::Builder::new().name("checkpoint".to_owned()).spawn(work);
        self.running = Some(thread.map_err(|e| StoreError::Other(e.to_string()))?);
        Ok(())
    }
}

impl Drop for Checkpoints {
    /// The connection is closed before that of the writer, which as the last one writes everything back.
    fn drop(&mut self) {
        if let Some(thread) = self.running.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes the store's log back panicked");
        }
    }
}

/// Writes back what no reader still needs in the log.
fn write_back(connection: &Mutex<Connection>) -> Result<(), StoreError> {
    let connection = connection.locked();
    look(&connection, "PRAGMA wal_checkpoint(PASSIVE)").map(drop)
}

fn look(connection: &Connection, sql: &str) -> Result<Log, StoreError> {
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(1)?, row.get(2)?));
    let (all, done): (i64, i64) = connection.prepare_cached(sql)?.query_row([], read)?;
    Ok(Log { all, left: all - done })
}

#[cfg(test)]
mod tests {
    use super::super::file::Files;
    use super::*;

    #[test]
    fn a_log_is_written_back_beside_the_writer_until_it_is_too_long_or_nearly_done() {
        for (all, left, is_running, step) in [
            (WORTH_IT - 1, WORTH_IT - 1, false, Step::GoOn),
            (WORTH_IT, WORTH_IT, false, Step::Beside),
            (WORTH_IT, WORTH_IT, true, Step::GoOn),
            (LONG - 1, LAST, false, Step::GoOn),
            (LONG, LAST, false, Step::AtOnce),
            (LONG, LAST, true, Step::GoOn),
            (LONG, LAST + 1, false, Step::Beside),
            (LONG, LAST + 1, true, Step::GoOn),
            (LONG, 0, false, Step::GoOn),
            (TOO_LONG - 1, TOO_LONG - 1, true, Step::GoOn),
            (TOO_LONG, 1, true, Step::AtOnce),
            (TOO_LONG, TOO_LONG, true, Step::AtOnce),
            (TOO_LONG, 0, false, Step::GoOn),
        ] {
            let found = Log { all, left }.step(is_running);
            assert_eq!(found, step, "{left} of {all} left, {is_running}");
        }
    }

    #[test]
    fn once_nobody_writes_what_is_worth_it_is_written_back() {
        let directory = tempfile::tempdir().unwrap();
        let open = Files::new(&directory.path().join("hookd.db")).open().unwrap();
        let mut checkpoints = Checkpoints::new(open.checkpointer);
        let connection = Arc::clone(&checkpoints.connection);
        let add = |bytes: i64| {
            let insert = "INSERT INTO flood VALUES (randomblob(?1))";
            open.writer.execute(insert, [bytes]).unwrap();
        };
        open.writer.execute_batch("CREATE TABLE flood (body BLOB)").unwrap();
        look(&open.writer, "PRAGMA wal_checkpoint(PASSIVE)").unwrap();
        add((LAST - 100) * 4096);
        assert!(checkpoints.rest(&open.writer, None).unwrap() > 400);
        assert!(!checkpoints.is_running(), "it is not worth it");
        add(100 * 4096);
        let held = connection.locked();
        let pages = checkpoints.rest(&open.writer, None).unwrap();
        assert!(pages > 500 && checkpoints.is_running());
        drop(held);
        drop(checkpoints);
        let log = look(&open.writer, "PRAGMA wal_checkpoint(NOOP)").unwrap();
        assert_eq!((log.left, log.pages()), (0, pages));
    }
}
