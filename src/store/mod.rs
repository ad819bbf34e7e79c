//! The store: the only SQL. What was answered with 202 is in it, on disk.
//!
//! One thread writes. It takes all requests that wait, runs each in a savepoint of one transaction, commits once, and only
//! then answers them: concurrent deliveries share one fsync. Reads go to a connection of their own.

mod access;
mod audit;
mod checkpoint;
mod checks;
mod crashes;
mod deliveries;
mod error;
mod failures;
mod file;
mod history;
mod jobs;
mod outbox;
mod prune;
mod queue;
mod records;
mod reports;
mod rows;
mod schema;
mod shown;
mod sql;
mod targets;
mod writer;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::oneshot;

use checkpoint::Checkpoints;
use file::{Connections, Files};
use writer::{Loop, Work};

use crate::model::Locked;

pub use crate::model::{ReleaseState, Source};
pub use access::{SessionRow, TokenRow};
pub use audit::{ActRow, NewAct};
pub use crashes::GivenUp;
pub use deliveries::DeliveryPage;
pub use error::StoreError;
pub use history::{Moment, Page, TargetMoment};
pub use outbox::{Message, Standing, Trouble};
pub use records::{
    Accepted, AcceptedJob, Claim, DeliveryResult, Finish, Hold, NewCheck, NewDelivery, NewJob, Progress, WentLive,
};
pub use reports::{Progressed, ReportKey, ReportRow, Stage};
pub use rows::{
    DeliveryRow, DeploymentRow, FailureRow, Held, JobRow, JobStatus, KnownChecks, PhaseRow, ReleaseRow, TargetRow, Tip,
    Tips, WaitingJob,
};
pub use shown::CommitText;

/// A handle to the store; clones share it.
#[derive(Clone)]
pub struct Store {
    // Let go of first: see `Loop`.
    reader: Arc<Mutex<Connection>>,
    writer: SyncSender<Work>,
    /// Damage was met. It stays so until a person sees to it.
    damaged: Arc<AtomicBool>,
    /// See [`Store::writes`].
    writes: Arc<AtomicU64>,
}

/// The writer thread. What was answered is on disk already; whoever opens the file again waits for the rest.
pub struct Writer(JoinHandle<()>);

impl Writer {
    /// Waits until all is written. Every [`Store`] must be gone.
    pub fn join(self) {
        if self.0.join().is_err() {
            tracing::error!("the store's thread panicked");
        }
    }
}

impl Store {
    /// Opens or makes the store. `queue` is how many requests may wait to be written.
    pub fn open(path: &Path, queue: usize) -> Result<(Self, Writer), StoreError> {
        let mut files = Files::new(path);
        let open = files.open()?;
        let damaged = Arc::default();
        files.check(&open, &damaged)?;
        let (store, writer) = Self::over(files, open, queue)?;
        Ok((Self { damaged, ..store }, writer))
    }

    /// A store over connections that are open.
    fn over(files: Files, open: Connections, queue: usize) -> Result<(Self, Writer), StoreError> {
        let Connections {
            writer,
            reader,
            checkpointer,
        } = open;
        let reader = Arc::new(Mutex::new(reader));
        let (sender, receiver) = sync_channel(queue);
        let writes = Arc::default();
        let writing = Loop {
            writes: Arc::clone(&writes),
            changes: 0,
            checkpoints: Checkpoints::new(checkpointer),
            connection: writer,
            reader: Arc::clone(&reader),
            files,
            failed: None,
        };
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || writing.run(&receiver))
            .map_err(|e| StoreError::Other(e.to_string()))?;
        let store = Self {
            writer: sender,
            reader,
            damaged: Arc::default(),
            writes,
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
        self.noting(answered.await.map_err(|_| StoreError::Closed)?)
    }

    /// Remembers damage, whoever met it.
    fn noting<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if matches!(result, Err(StoreError::Damaged(_))) {
            self.damaged.store(true, Ordering::Relaxed);
        }
        result
    }

    /// Reads on a thread of its own, so that a large answer holds up nobody.
    async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let reader = Arc::clone(&self.reader);
        let read = tokio::task::spawn_blocking(move || {
            let connection = reader.locked();
            work(&connection)
        });
        self.noting(read.await.map_err(|e| StoreError::Other(e.to_string()))?)
    }

    /// A number that grows with each transaction that changed something: while it is the same, so is whatever is read.
    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::Acquire)
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
        if self.damaged.load(Ordering::Relaxed) {
            return Err(StoreError::Damaged("found while it was in use".to_owned()));
        }
        let now = crate::clock::now();
        self.change("INSERT OR REPLACE INTO health (one, at) VALUES (1, ?1)", [now])
            .await
    }
}

/// What one request did is undone if it fails, without the others of its batch.
fn in_savepoint<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    connection.prepare_cached("SAVEPOINT one")?.execute([])?;
    let result = work(connection);
    // `SQLite` rolled back everything by itself, with the savepoint; the writer sees that, too.
    if connection.is_autocommit() {
        return result.and_then(|_| Err(StoreError::NotWritable("the transaction was rolled back".to_owned())));
    }
    if result.is_err() {
        connection.prepare_cached("ROLLBACK TO one")?.execute([])?;
    }
    connection.prepare_cached("RELEASE one")?.execute([])?;
    result
}

#[cfg(test)]
mod tests;
