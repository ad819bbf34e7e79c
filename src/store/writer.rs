//! The one thread that writes: many requests, one transaction, one fsync.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior};

use super::StoreError;
use super::checkpoint::Checkpoints;
use super::file::{Connections, Fate, Files, abandon};
use crate::model::Locked;

/// Most requests in one transaction: enough to share an fsync among all connections, few enough that none waits long.
const BATCH_MAX: usize = 256;

/// So long after the last request the writer gives its memory back.
const QUIET: Duration = Duration::from_secs(1);

/// How often an idle writer looks whether its file is still there: what was removed can be written again only as long as
/// the daemon runs.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Pause between two attempts to write a removed database again, which may take seconds and fill a disk.
const HEAL_PAUSE: Duration = Duration::from_secs(2);

/// A request to the writer: it is given the open transaction, or why there is none, and gives back the answer to be sent
/// after the commit.
pub(super) type Work = Box<dyn FnOnce(Result<&Connection, &StoreError>) -> Answer + Send>;
type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// What the thread has.
pub(super) struct Loop {
    /// Transactions that changed something, for [`Store::writes`](super::Store::writes).
    pub(super) writes: Arc<AtomicU64>,
    /// Rows that the connection had changed then.
    pub(super) changes: u64,
    pub(super) checkpoints: Checkpoints,
    /// Before the other, which as the last one writes the log back into the database.
    pub(super) reader: Arc<Mutex<Connection>>,
    pub(super) connection: Connection,
    /// After all connections: it has the file open.
    pub(super) files: Files,
    /// When the database could last not be written again.
    pub(super) failed: Option<(Instant, StoreError)>,
}

impl Loop {
    pub(super) fn run(mut self, requests: &Receiver<Work>) {
        let mut shrunk = false;
        loop {
            match requests.recv_timeout(if shrunk { LOOK_EVERY } else { QUIET }) {
                Ok(first) => {
                    let mut batch = vec![first];
                    batch.extend(requests.try_iter().take(BATCH_MAX - 1));
                    self.write(batch);
                    shrunk = false;
                }
                Err(RecvTimeoutError::Timeout) => {
                    // Whoever writes next is told of what is wrong.
                    let _ = self.keep();
                    if !std::mem::replace(&mut shrunk, true)
                        && let Err(error) = self.rest()
                    {
                        tracing::warn!(%error, "the store's memory could not be given back");
                    }
                }
                Err(RecvTimeoutError::Disconnected) => {
                    if let Err(error) = self.keep() {
                        tracing::error!(%error, "the store is lost");
                    }
                    return;
                }
            }
        }
    }

    /// Gives memory back, and the log's pages to the database.
    fn rest(&mut self) -> Result<(), StoreError> {
        let pages = self.checkpoints.rest(&self.connection, self.files.file.as_ref())?;
        self.make_room(pages);
        self.connection.execute_batch("PRAGMA shrink_memory")?;
        Ok(self.reader.locked().execute_batch("PRAGMA shrink_memory")?)
    }

    fn write(&mut self, batch: Vec<Work>) {
        if let Err(error) = self.keep() {
            tracing::error!(%error, "nothing can be stored");
            let answers: Vec<Answer> = batch.into_iter().map(|work| work(Err(&error))).collect();
            return answers.into_iter().for_each(|answer| answer(Err(error.clone())));
        }
        let mut works = batch.into_iter().peekable();
        while works.peek().is_some() {
            let (answers, committed) = write_some(&mut self.connection, &mut works);
            let changes = self.connection.total_changes();
            if std::mem::replace(&mut self.changes, changes) != changes {
                self.writes.fetch_add(1, Ordering::Release);
            }
            for answer in answers {
                answer(committed.clone());
            }
        }
        match self.checkpoints.follow(&self.connection, self.files.file.as_ref()) {
            Ok(pages) => self.make_room(pages),
            Err(error) => tracing::warn!(%error, "the store's log could not be written back"),
        }
    }

    /// Without room ahead of the log each commit takes longer, and that is all.
    fn make_room(&mut self, pages: u64) {
        if let Err(error) = self.files.make_room(pages) {
            tracing::debug!(%error, "the store's log could not be lengthened");
        }
    }

    /// Sees to it that what is written now is there after a restart.
    fn keep(&mut self) -> Result<(), StoreError> {
        let fate = self.files.fate();
        if fate == Fate::Kept {
            self.failed = None;
            return Ok(());
        }
        if let Some((when, error)) = &self.failed
            && when.elapsed() < HEAL_PAUSE
        {
            return Err(error.clone());
        }
        let healed = match fate {
            Fate::Kept => Ok(()),
            Fate::Replaced => {
                self.let_go();
                Err(StoreError::Replaced)
            }
            Fate::Removed | Fate::Cut => self.bring_back(),
            Fate::LogRemoved => self.write_back(),
        };
        self.failed = healed.as_ref().err().map(|error| (Instant::now(), error.clone()));
        healed
    }

    /// The database was removed or cut: writes all of it again.
    fn bring_back(&mut self) -> Result<(), StoreError> {
        self.files.write_again(&self.connection)?;
        let open = self.files.open()?;
        abandon(&self.connection);
        self.replace(open);
        tracing::error!("the database was removed or cut while hookd ran; it was written again, and nothing is lost");
        Ok(())
    }

    /// The write-ahead log was removed: puts what it holds into the database, and begins a new one.
    fn write_back(&mut self) -> Result<(), StoreError> {
        // Nobody reads or writes back meanwhile.
        let (reader, checkpointer) = (Arc::clone(&self.reader), Arc::clone(&self.checkpoints.connection));
        let mut reader = reader.locked();
        let mut checkpointer = checkpointer.locked();
        let busy: bool = self
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        if busy {
            return Err(StoreError::NotWritable("the removed log is in use".to_owned()));
        }
        abandon(&self.connection);
        abandon(&reader);
        abandon(&checkpointer);
        // As long as one connection is open, new ones share the removed log.
        self.connection = Connection::open_in_memory()?;
        *reader = Connection::open_in_memory()?;
        *checkpointer = Connection::open_in_memory()?;
        let open = self.files.open()?;
        self.connection = open.writer;
        *reader = open.reader;
        *checkpointer = open.checkpointer;
        tracing::error!("the database's log was removed while hookd ran; a new one was begun, and nothing is lost");
        Ok(())
    }

    /// Another database is there now: leaves nothing of the old one that would be taken for its.
    fn let_go(&mut self) {
        abandon(&self.connection);
        abandon(&self.reader.locked());
        let checkpointer = &self.checkpoints.connection;
        abandon(&checkpointer.locked());
        self.files.remove_log();
    }

    fn replace(&mut self, open: Connections) {
        let mut reader = self.reader.locked();
        let checkpointer = &self.checkpoints.connection;
        let mut checkpointer = checkpointer.locked();
        abandon(&reader);
        abandon(&checkpointer);
        *reader = open.reader;
        *checkpointer = open.checkpointer;
        self.connection = open.writer;
    }
}

/// Runs requests in one transaction; gives what answers them, once it is on disk. `SQLite` may roll all of it back by itself, on a
/// full disk for one; then those before are told so, and the others are left for a transaction of their own.
fn write_some(
    connection: &mut Connection,
    works: &mut impl Iterator<Item = Work>,
) -> (Vec<Answer>, Result<(), StoreError>) {
    let mut answers = Vec::new();
    let committed = match connection.transaction_with_behavior(TransactionBehavior::Immediate) {
        Ok(transaction) => {
            for work in works.by_ref() {
                answers.push(work(Ok(&transaction)));
                if transaction.is_autocommit() {
                    break;
                }
            }
            if transaction.is_autocommit() {
                Err(StoreError::NotWritable("the transaction was rolled back".to_owned()))
            } else {
                transaction.commit().map_err(StoreError::from)
            }
        }
        Err(error) => {
            let error = StoreError::from(error);
            answers.extend(works.map(|work| work(Err(&error))));
            Err(error)
        }
    };
    if let Err(error) = &committed {
        tracing::error!(%error, "a transaction failed; its requests are answered as not stored");
    }
    (answers, committed)
}
