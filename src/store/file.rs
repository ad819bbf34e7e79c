//! The database file while it is open: whether it is still the one at its path, and the way back if somebody removed it.
//!
//! `SQLite` goes on writing to a file that was removed, and all of that would be gone after a restart.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::statvfs::fstatvfs;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::{StoreError, schema};

/// How long `SQLite` waits for a lock: only a backup program could hold one, since one daemon owns the directory.
const BUSY: Duration = Duration::from_secs(10);

/// Pages that the writer keeps in memory while it is busy, kibibytes: a whole batch of pushes, so that none of it is written twice.
const WRITER_CACHE: i64 = 2048;

/// The same for what reads.
const READER_CACHE: i64 = 512;

/// Prepared statements that a connection keeps: all that accepting, running and ending a deployment take.
const STATEMENTS: usize = 64;

/// Size to which the write-ahead log is cut when it begins anew, bytes: what a flood fills again and again (see `checkpoint`), so that
/// the file need not grow with each commit.
const WAL_KEEP: i64 = 64 * 1024 * 1024;

/// Bytes that the log's file gets ahead of what is written to it, at a time.
///
/// A sync of a file that grew also waits for the file system's journal, which takes several times as long as the data: on ext4 3.6 ms
/// instead of 0.6. Under a flood these zeros are some milliseconds of writing for each few hundred deliveries.
const LOG_STEP: u64 = 4 * 1024 * 1024;

/// Bytes of it that are written at once.
const LOG_PIECE: usize = 64 * 1024;

/// Bytes ahead of the log at which its file gets more: a batch of common deliveries.
const LOG_SPARE: u64 = 1024 * 1024;

/// Free bytes of the disk from which on the log gets ahead: on a small or full one deployments need them more.
const DISK_SPARE: u64 = 64 * 1024 * 1024;

/// Bytes of the log's head, of a page, and of the head of each page in the log (<https://www.sqlite.org/fileformat2.html#walformat>).
const LOG_HEAD: u64 = 32;
const PAGE: u64 = 4096;
const PAGE_HEAD: u64 = 24;

/// Largest database that is checked from end to end before the start goes on, bytes: that takes some milliseconds.
const CHECKED_FIRST: u64 = 4 * 1024 * 1024;

/// Largest one that is checked at each start, bytes, while deliveries are taken already: that takes less than a second. Damage in a
/// larger one is found when it is met.
const CHECKED_MAX: u64 = 256 * 1024 * 1024;

/// Where the head of a database says how it is written, and the value for a write-ahead log (<https://www.sqlite.org/fileformat.html>).
const WRITE_VERSION: usize = 18;
const WITH_LOG: u8 = 2;

/// The connections to a database.
pub(super) struct Connections {
    pub(super) writer: Connection,
    pub(super) reader: Connection,
    /// Writes the log back.
    pub(super) checkpointer: Connection,
}

/// What became of the files of an open database.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// They are where they were.
    Kept,
    /// The write-ahead log or its index was removed: what it holds would be missing after a restart.
    LogRemoved,
    /// The database was removed.
    Removed,
    /// The database has become shorter, which it never does by itself.
    Cut,
    /// Another file has its name now.
    Replaced,
}

/// Device and inode.
type FileId = (u64, u64);

/// Where the database is, and which files are open.
pub(super) struct Files {
    path: PathBuf,
    /// The database, for syncs beside those of `SQLite`. Open as long as a connection is: whoever closes a file gives up all locks that the
    /// process has on it (see `F_SETLK` in fcntl(2)).
    pub(super) file: Option<Arc<File>>,
    database: Option<FileId>,
    /// Length of the database when it was looked at last, bytes.
    length: u64,
    log: [Option<FileId>; 2],
    /// Length of the log's file when it was looked at last, bytes.
    log_length: u64,
}

/// `hookd.db-wal` and `hookd.db-shm`
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn log_files(path: &Path) -> [PathBuf; 2] {
    [beside(path, "-wal"), beside(path, "-shm")]
}

/// The file at a path; `None` if there is none. An error of the disk is no sign that it was removed.
fn id(path: &Path) -> std::io::Result<Option<FileId>> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(Some((found.dev(), found.ino()))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl Files {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            file: None,
            database: None,
            length: 0,
            log: [None; 2],
            log_length: 0,
        }
    }

    /// Opens or makes the database, brings it to this version, and takes note of its files.
    pub(super) fn open(&mut self) -> Result<Connections, StoreError> {
        make_private(&self.path)?;
        remove_first_journal(&self.path)
            .map_err(|e| StoreError::NotWritable(format!("{}: {e}", beside(&self.path, "-journal").display())))?;
        let mut writer = connect(&self.path, OpenFlags::default())?;
        writer.pragma_update(None, "cache_size", -WRITER_CACHE)?;
        writer.pragma_update(None, "journal_mode", "WAL")?;
        writer.pragma_update(None, "synchronous", "FULL")?;
        writer.pragma_update(None, "journal_size_limit", WAL_KEEP)?;
        writer.pragma_update(None, "wal_autocheckpoint", 0)?;
        schema::migrate(&mut writer)?;
        // What a savepoint may have to bring back: as a file it costs as much as all else that accepting a delivery does. Not before the
        // migrations, which sort whole tables.
        writer.pragma_update(None, "temp_store", "MEMORY")?;
        let reader = connect(
            &self.path,
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        reader.query_row("SELECT count(*) FROM health", [], |_| Ok(()))?;
        let checkpointer = connect(
            &self.path,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        checkpointer.query_row("SELECT count(*) FROM health", [], |_| Ok(()))?;
        let not_readable = |e: std::io::Error| StoreError::NotWritable(e.to_string());
        let database = id(&self.path).map_err(not_readable)?;
        if std::mem::replace(&mut self.database, database) != database {
            self.file = Some(Arc::new(File::open(&self.path).map_err(not_readable)?));
        }
        self.length = fs::metadata(&self.path).map_err(not_readable)?.len();
        for (file, noted) in log_files(&self.path).iter().zip(&mut self.log) {
            *noted = id(file).map_err(not_readable)?;
        }
        self.log_length = 0;
        Ok(Connections {
            writer,
            reader,
            checkpointer,
        })
    }

    /// Looks for damage. In a database that takes a while it is looked for later, and `damaged` says then that it was met.
    pub(super) fn check(&self, open: &Connections, damaged: &Arc<AtomicBool>) -> Result<(), StoreError> {
        let size = fs::metadata(&self.path).map_or(0, |found| found.len());
        if size <= CHECKED_FIRST {
            return look_for_damage(&open.writer);
        }
        if size <= CHECKED_MAX {
            let (path, damaged) = (self.path.clone(), Arc::clone(damaged));
            let look = move || {
                let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                let looked = connect(&path, flags).and_then(|connection| look_for_damage(&connection));
                if let Err(error) = looked {
                    damaged.store(matches!(error, StoreError::Damaged(_)), Ordering::Relaxed);
                    tracing::error!("{error}");
                }
            };
            let thread = std::thread::Builder::new().name("store-check".to_owned()).spawn(look);
            thread.map_err(|e| StoreError::Other(e.to_string()))?;
        }
        Ok(())
    }

    /// Compares the open files with those at their paths.
    pub(super) fn fate(&mut self) -> Fate {
        match id(&self.path) {
            Ok(None) => return Fate::Removed,
            Ok(found) if found != self.database => return Fate::Replaced,
            _ => {}
        }
        let length = fs::metadata(&self.path).map_or(self.length, |about| about.len());
        if length < self.length {
            return Fate::Cut;
        }
        self.length = length;
        let mut fate = Fate::Kept;
        for (file, noted) in log_files(&self.path).iter().zip(&self.log) {
            match id(file) {
                Ok(found) if found == *noted => {}
                Ok(None) => fate = Fate::LogRemoved,
                Ok(Some(_)) => return Fate::Replaced,
                Err(_) => {}
            }
        }
        fate
    }

    /// Lengthens the file of a log of so many pages with zeros if commits would soon have to. `SQLite` reads a log up to the first page
    /// that it has not written.
    ///
    /// # Errors
    /// The file is as long as before.
    pub(super) fn make_room(&mut self, pages: u64) -> std::io::Result<()> {
        let wanted = (LOG_HEAD + pages * (PAGE_HEAD + PAGE) + LOG_SPARE).min(WAL_KEEP.unsigned_abs());
        if self.log_length >= wanted {
            return Ok(());
        }
        let [log, _] = log_files(&self.path);
        // At the end, wherever that is: it can't meet what is written meanwhile.
        let mut file = File::options().append(true).open(&log)?;
        self.log_length = file.metadata()?.len();
        let disk = fstatvfs(&file)?;
        if self.log_length >= wanted || disk.blocks_available() * disk.fragment_size() < DISK_SPARE {
            return Ok(());
        }
        let zeros = vec![0; LOG_PIECE];
        for _ in 0..LOG_STEP / LOG_PIECE as u64 {
            if let Err(error) = file.write_all(&zeros) {
                file.set_len(self.log_length)?;
                return Err(error);
            }
        }
        self.log_length += LOG_STEP;
        Ok(())
    }

    /// Removes the log of the open database, if it is still there.
    pub(super) fn remove_log(&self) {
        for (file, noted) in log_files(&self.path).iter().zip(&self.log) {
            if noted.is_some()
                && id(file).is_ok_and(|found| found == *noted)
                && let Err(error) = remove(file)
            {
                tracing::error!(%error, "remove {} before the next start: it is not of this database", file.display());
            }
        }
    }

    /// Brings everything that the open connections know back to the path of a database that was removed or cut.
    pub(super) fn write_again(&mut self, old: &Connection) -> Result<(), StoreError> {
        let failed = |e: std::io::Error| StoreError::NotWritable(format!("{}: {e}", self.path.display()));
        let copy = beside(&self.path, ".new");
        remove(&copy).map_err(failed)?;
        make_private(&copy)?;
        old.execute("VACUUM INTO ?1", [copy.to_string_lossy()])?;
        File::open(&copy).and_then(|file| file.sync_all()).map_err(failed)?;
        // A log of the old database must not be taken for one of the new.
        for file in log_files(&self.path) {
            remove(&file).map_err(failed)?;
        }
        if id(&self.path).map_err(failed)? == self.database {
            remove(&self.path).map_err(failed)?;
        }
        // Unlike a rename this replaces nothing that came meanwhile.
        fs::hard_link(&copy, &self.path).map_err(failed)?;
        remove(&copy).map_err(failed)?;
        let directory = self.path.parent().unwrap_or(Path::new("/"));
        File::open(directory).and_then(|dir| dir.sync_all()).map_err(failed)
    }
}

/// Lets go of a connection whose files are no longer those at its path: it must not remove the log of another database.
pub(super) fn abandon(connection: &Connection) {
    if let Err(error) = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true) {
        tracing::warn!(%error, "the old database is closed as usual");
    }
}

fn look_for_damage(connection: &Connection) -> Result<(), StoreError> {
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    match found.as_str() {
        "ok" => Ok(()),
        damage => Err(StoreError::Damaged(damage.to_owned())),
    }
}

fn remove(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Payloads of private repos are in it. `SQLite` gives the files beside it the same rights.
fn make_private(path: &Path) -> Result<(), StoreError> {
    let mut options = File::options();
    options.create(true).truncate(false).write(true).mode(0o600);
    let made = options.open(path).map(drop);
    made.map_err(|e| StoreError::NotWritable(e.to_string()))
}

/// Removes the rollback journal of a database that has a write-ahead log. There is one only while the database is made; if it is
/// there later, a power cut undid its removal, and `SQLite` would roll back to before there was anything, log and all.
fn remove_first_journal(path: &Path) -> std::io::Result<()> {
    let mut head = [0; WRITE_VERSION + 1];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut head));
    if read.is_ok() && head[WRITE_VERSION] == WITH_LOG {
        remove(&beside(path, "-journal"))?;
    }
    Ok(())
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "cache_size", -READER_CACHE)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Else `SQLite` compiles each SELECT anew for each set of values, which costs more than running it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(connection)
}
