//! The store: the only SQL. What was answered with 202 is in it, on disk.
//!
//! One thread writes. It takes all requests that wait, runs each in a savepoint of one transaction, commits once, and only
//! then answers them: concurrent deliveries share one fsync. Reads go to a connection of their own.

mod checks;
mod crashes;
mod deliveries;
mod history;
mod jobs;
mod outbox;
mod queue;
mod records;
mod schema;
mod targets;

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};
use tokio::sync::oneshot;

pub use checks::{Hold, KnownChecks, NewCheck};
pub use crashes::GivenUp;
pub use deliveries::{Accepted, AcceptedJob, DeliveryResult, NewDelivery, NewJob};
pub use history::Page;
pub use jobs::{Claim, Finish, Held, JobRow, JobStatus, Progress, Source};
pub use outbox::Message;
pub use queue::WaitingJob;
pub use records::{DeliveryRow, DeploymentRow, PhaseRow, ReleaseRow, ReleaseState, TargetRow, Tip};

/// Most requests in one transaction: enough to share an fsync among all connections, few enough that none waits long.
const BATCH_MAX: usize = 256;

/// How long `SQLite` waits for a lock: only a backup program could hold one, since one daemon owns the directory.
const BUSY: Duration = Duration::from_secs(10);

/// Pages that the writer keeps in memory while it is busy, kibibytes: a whole batch of pushes, so that none of it is written twice.
const WRITER_CACHE: i64 = 2048;

/// The same for what reads.
const READER_CACHE: i64 = 512;

/// So long after the last request the writer gives its memory back.
const QUIET: Duration = Duration::from_secs(1);

/// Nothing is due any more.
const FOREVER: Duration = Duration::from_hours(24);

/// Prepared statements that a connection keeps: all that accepting, running and ending a deployment take.
const STATEMENTS: usize = 64;

/// Pages in the write-ahead log at which it is written back into the store: 16 MiB. Writing back takes two syncs more, which under
/// a flood of deliveries is better done once in thousands of them than, as by default, in hundreds.
const CHECKPOINT_PAGES: i64 = 4096;

/// Size to which the write-ahead log is cut after a checkpoint, bytes: room for one delivery of the largest size.
const WAL_KEEP: i64 = 32 * 1024 * 1024;

/// What went wrong in the store.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The disk is full or read-only: nothing can be stored now.
    #[error("the store can't be written: {0}")]
    NotWritable(String),
    /// As many requests wait as are allowed to.
    #[error("too many requests wait to be stored")]
    Busy,
    /// The daemon is stopping.
    #[error("the store is closed")]
    Closed,
    /// A newer hookd has written it.
    #[error(
        "the store has version {found}, this hookd knows versions up to {known}; install the newer hookd again, or restore a backup of the state directory"
    )]
    Newer {
        /// Version of the store.
        found: i64,
        /// Newest version known.
        known: i64,
    },
    /// Something asked for is not there, or not as it must be.
    #[error("{0}")]
    Refused(String),
    /// Anything else of `SQLite`.
    #[error("the store failed: {0}")]
    Other(String),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull | ErrorCode::ReadOnly | ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => {
                Self::NotWritable(error.to_string())
            }
            _ => Self::Other(error.to_string()),
        }
    }
}

/// A request to the writer: it is given the open transaction, or why there is none, and gives back the answer to be sent
/// after the commit.
type Work = Box<dyn FnOnce(Result<&Connection, &StoreError>) -> Answer + Send>;
type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// A handle to the store; clones share it.
#[derive(Clone)]
pub struct Store {
    writer: SyncSender<Work>,
    reader: Arc<Mutex<Connection>>,
}

/// The writer thread; joined when the daemon stops, so that everything accepted is on disk.
pub struct Writer(JoinHandle<()>);

impl Writer {
    /// Waits until all is written. Every [`Store`] must be gone.
    pub fn join(self) {
        if self.0.join().is_err() {
            tracing::error!("the store's thread panicked");
        }
    }
}

/// Payloads of private repos are in it. `SQLite` gives the files beside it the same rights.
fn make_private(path: &Path) -> Result<(), StoreError> {
    let mut options = File::options();
    options.create(true).truncate(false).write(true).mode(0o600);
    let made = options.open(path).map(drop);
    made.map_err(|e| StoreError::NotWritable(e.to_string()))
}

fn open(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "cache_size", -READER_CACHE)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Else `SQLite` compiles each SELECT anew for each set of values, which costs more than running it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(connection)
}

impl Store {
    /// Opens or makes the store. `queue` is how many requests may wait to be written.
    pub fn open(path: &Path, queue: usize) -> Result<(Self, Writer), StoreError> {
        make_private(path)?;
        let mut connection = open(path, OpenFlags::default())?;
        connection.pragma_update(None, "cache_size", -WRITER_CACHE)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "journal_size_limit", WAL_KEEP)?;
        connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        schema::migrate(&mut connection)?;
        let reader = open(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        let (sender, receiver) = sync_channel(queue);
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || write_loop(connection, &receiver))
            .map_err(|e| StoreError::Other(e.to_string()))?;
        let store = Self {
            writer: sender,
            reader: Arc::new(Mutex::new(reader)),
        };
        Ok((store, Writer(thread)))
    }

    /// Runs `work` in a transaction; returns after the commit reached the disk.
    async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let boxed: Work = Box::new(move |transaction| {
            let result = match transaction {
                Ok(connection) => in_savepoint(connection, work),
                Err(error) => Err(error.clone()),
            };
            Box::new(move |committed| {
                // A receiver that is gone no longer wants to know; what was written stays.
                let _ = answer.send(committed.and(result));
            })
        });
        self.writer.try_send(boxed).map_err(|e| match e {
            TrySendError::Full(_) => StoreError::Busy,
            TrySendError::Disconnected(_) => StoreError::Closed,
        })?;
        answered.await.map_err(|_| StoreError::Closed)?
    }

    /// Reads on a thread of its own, so that a large answer holds up nobody.
    async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let reader = Arc::clone(&self.reader);
        tokio::task::spawn_blocking(move || {
            let connection = reader.lock().unwrap_or_else(PoisonError::into_inner);
            work(&connection)
        })
        .await
        .map_err(|e| StoreError::Other(e.to_string()))?
    }

    /// Goes through the writer's thread without writing anything: it lives.
    pub async fn answers(&self) -> Result<(), StoreError> {
        match self.write(|_| Ok(())).await {
            // A full queue or a full disk is a trouble of its own, and restarting would not mend it.
            Err(StoreError::Closed) => Err(StoreError::Closed),
            _ => Ok(()),
        }
    }

    /// Writes a row, to know that the store can be written now.
    pub async fn probe(&self) -> Result<(), StoreError> {
        let now = crate::clock::now();
        self.write(move |c| {
            c.execute("INSERT OR REPLACE INTO health (one, at) VALUES (1, ?1)", [now.0])?;
            Ok(())
        })
        .await
    }
}

/// What one request did is undone if it fails, without the others of its batch.
fn in_savepoint<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    connection.execute_batch("SAVEPOINT one")?;
    let result = work(connection);
    let end = if result.is_ok() {
        "RELEASE one"
    } else {
        "ROLLBACK TO one; RELEASE one"
    };
    connection.execute_batch(end)?;
    result
}

fn write_loop(mut connection: Connection, requests: &Receiver<Work>) {
    let mut shrunk = false;
    loop {
        match requests.recv_timeout(if shrunk { FOREVER } else { QUIET }) {
            Ok(first) => {
                let mut batch = vec![first];
                batch.extend(requests.try_iter().take(BATCH_MAX - 1));
                write_batch(&mut connection, batch);
                shrunk = false;
            }
            Err(RecvTimeoutError::Timeout) => {
                shrunk = true;
                if let Err(error) = connection.execute_batch("PRAGMA shrink_memory") {
                    tracing::warn!(%error, "the store's memory could not be given back");
                }
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn write_batch(connection: &mut Connection, batch: Vec<Work>) {
    let mut answers = Vec::with_capacity(batch.len());
    let committed = match connection.transaction_with_behavior(TransactionBehavior::Immediate) {
        Ok(transaction) => {
            answers.extend(batch.into_iter().map(|work| work(Ok(&transaction))));
            transaction.commit().map_err(StoreError::from)
        }
        Err(error) => {
            let error = StoreError::from(error);
            answers.extend(batch.into_iter().map(|work| work(Err(&error))));
            Err(error)
        }
    };
    if let Err(error) = &committed {
        tracing::error!(%error, "a transaction failed; its requests are answered as not stored");
    }
    for answer in answers {
        answer(committed.clone());
    }
}
