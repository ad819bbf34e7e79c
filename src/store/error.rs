//! Errors of the store.

use rusqlite::ErrorCode;

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
    /// The file is damaged.
    #[error(
        "the database is damaged: {0}; stop hookd, then restore hookd.db from a backup, or save what can be read: \
         sqlite3 hookd.db .recover | sqlite3 new.db && mv new.db hookd.db, or move hookd.db and hookd.db-wal away to begin \
         without a history: releases and what is live stay, queued deployments and paused targets do not"
    )]
    Damaged(String),
    /// Somebody put another file in the place of the database.
    #[error(
        "another file has taken the place of the open database, so nothing is stored; restart hookd to use that file, \
         or stop hookd, put the right one back and start it"
    )]
    Replaced,
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
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged(error.to_string()),
            _ => Self::Other(error.to_string()),
        }
    }
}
