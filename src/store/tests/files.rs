//! The files of the database: who may read them, what becomes of them, and what is said when they fail.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use super::*;
use crate::store::file::Fate;

const NAMES: [&str; 3] = ["hookd.db", "hookd.db-wal", "hookd.db-shm"];

/// An open database, and the paths of its files.
fn opened(directory: &Path) -> (Files, Connections, [PathBuf; 3]) {
    let paths = NAMES.map(|name| directory.join(name));
    let mut files = Files::new(&paths[0]);
    let open = files.open().unwrap();
    (files, open, paths)
}

fn size(path: &Path) -> u64 {
    path.metadata().unwrap().len()
}

#[tokio::test]
async fn nobody_else_may_read_what_is_stored() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _writer) = open(directory.path());
    ask(&store).await.unwrap();
    for name in NAMES {
        let mode = directory.path().join(name).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn what_became_of_the_files_is_seen() {
    type Change = fn(&Connections, &[PathBuf; 3]);
    let changes: [(Change, Fate); 6] = [
        (|_, _| (), Fate::Kept),
        (
            |open, _| open.writer.execute_batch("CREATE TABLE more (body BLOB)").unwrap(),
            Fate::Kept,
        ),
        (
            |_, [database, ..]| std::fs::remove_file(database).unwrap(),
            Fate::Removed,
        ),
        (|_, [_, log, _]| std::fs::remove_file(log).unwrap(), Fate::LogRemoved),
        (
            |_, [_, _, index]| std::fs::remove_file(index).unwrap(),
            Fate::LogRemoved,
        ),
        (
            |_, [database, log, _]| {
                std::fs::write(log.with_extension("other"), "").unwrap();
                std::fs::rename(log.with_extension("other"), log).unwrap();
                assert!(database.exists());
            },
            Fate::Replaced,
        ),
    ];
    for (number, (change, fate)) in changes.into_iter().enumerate() {
        let directory = tempfile::tempdir().unwrap();
        let (mut files, open, paths) = opened(directory.path());
        change(&open, &paths);
        assert_eq!(files.fate(), fate, "{number}");
    }
}

#[test]
fn a_database_may_grow_and_not_shrink() {
    let directory = tempfile::tempdir().unwrap();
    let (mut files, open, [database, ..]) = opened(directory.path());
    let before = size(&database);
    open.writer
        .execute_batch("CREATE TABLE more (body BLOB); INSERT INTO more VALUES (randomblob(100000)); PRAGMA wal_checkpoint(TRUNCATE)")
        .unwrap();
    let grown = size(&database);
    assert!(grown > before);
    assert_eq!(files.fate(), Fate::Kept);
    let file = std::fs::File::options().write(true).open(&database).unwrap();
    file.set_len(grown - 4096).unwrap();
    assert_eq!(files.fate(), Fate::Cut);
}

#[test]
fn an_error_of_the_disk_is_no_sign_that_the_database_was_removed() {
    let directory = tempfile::tempdir().unwrap();
    let inside = directory.path().join("state");
    std::fs::create_dir(&inside).unwrap();
    let (mut files, _open, _) = opened(&inside);
    std::fs::rename(&inside, directory.path().join("elsewhere")).unwrap();
    // Looking there fails, with another error than that nothing is there.
    std::fs::write(&inside, "").unwrap();
    assert_eq!(files.fate(), Fate::Kept);
}

/// Somebody removed the log and opened the database with another program, which has written since.
#[tokio::test]
async fn the_log_of_another_program_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let (store, writer) = open(directory.path());
    ask(&store).await.unwrap();
    // The writer makes room after it has answered.
    store.answers().await.unwrap();
    let [_, log, _] = NAMES.map(|name| directory.path().join(name));
    std::fs::write(log.with_extension("other"), "theirs").unwrap();
    std::fs::rename(log.with_extension("other"), &log).unwrap();
    assert!(matches!(ask(&store).await, Err(StoreError::Replaced)));
    drop(store);
    writer.join();
    assert!(std::fs::read(&log).unwrap() == b"theirs");
}

#[test]
fn a_database_that_cant_be_written_again_is_an_error_and_no_loss() {
    let directory = tempfile::tempdir().unwrap();
    let (mut files, open, [database, log, _]) = opened(directory.path());
    for gone in [&database, &log] {
        std::fs::remove_file(gone).unwrap();
    }
    // A log that stayed would be taken for one of the new database.
    std::fs::create_dir(&log).unwrap();
    assert!(matches!(
        files.write_again(&open.writer),
        Err(StoreError::NotWritable(_))
    ));
    assert!(!database.exists());
    std::fs::remove_dir(&log).unwrap();
    files.write_again(&open.writer).unwrap();
    assert!(database.exists());
}

#[test]
fn the_log_gets_ahead_of_commits_as_far_as_they_go() {
    let directory = tempfile::tempdir().unwrap();
    let (mut files, _open, [_, log, _]) = opened(directory.path());
    let mut room = |pages| {
        let mut before = 0;
        while size(&log) != before {
            before = size(&log);
            files.make_room(pages).unwrap();
        }
        before
    };
    let few = room(1);
    assert!(few > 4096 && few < 8 << 20, "{few}");
    let many = room(3000);
    assert!(many > 3000 * 4096 && many < 24 << 20, "{many}");
    assert_eq!(room(1), many);
    // A log that has grown by itself is long enough.
    let (mut files, _open, _) = opened(directory.path());
    files.make_room(1).unwrap();
    assert_eq!(size(&log), many);
    // One that is as long as it is kept to be gets no longer.
    let longest = room(1 << 20);
    assert!(longest < 80 << 20, "{longest}");
}

/// A power cut while the database was made, before it had a log: the journal has what was there.
#[test]
fn what_was_cut_off_before_there_was_a_log_is_rolled_back() {
    let directory = tempfile::tempdir().unwrap();
    let making = Connection::open(directory.path().join("making.db")).unwrap();
    let fill = "PRAGMA journal_mode = DELETE; PRAGMA cache_size = 5; CREATE TABLE made (word TEXT); \
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) INSERT INTO made SELECT 'old' FROM n; \
         BEGIN; UPDATE made SET word = 'new'";
    making.execute_batch(fill).unwrap();
    for suffix in ["", "-journal"] {
        let [from, to] = ["making.db", "hookd.db"].map(|name| directory.path().join(format!("{name}{suffix}")));
        std::fs::copy(from, to).unwrap();
    }
    let written = std::fs::read(directory.path().join("hookd.db")).unwrap();
    assert!(written.windows(3).any(|three| three == b"new"), "nothing to roll back");
    let (_files, open, _) = opened(directory.path());
    let count = "SELECT count(*), sum(word = 'old') FROM made";
    let found: (i64, i64) = open
        .writer
        .query_row(count, [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    assert_eq!(found, (20_000, 20_000));
}

/// A large database is looked through while it is in use already.
#[tokio::test]
async fn damage_in_a_large_database_is_said_once_it_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hookd.db");
    let (store, writer) = open(directory.path());
    for _ in 0..6 {
        let new = NewDelivery {
            body: vec![b'x'; 1 << 20],
            ..delivery("large", vec![job(true)])
        };
        store.accept(new).await.unwrap();
    }
    let fill = "CREATE TABLE flood (word TEXT); WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000) \
         INSERT INTO flood SELECT 'word' || i FROM n";
    store.write(|c| Ok(c.execute_batch(fill)?)).await.unwrap();
    drop(store);
    writer.join();
    let found = async |store: &Store| {
        while store.probe().await.is_ok() {
            tokio::task::yield_now().await;
        }
        store.probe().await
    };
    let mut bytes = std::fs::read(&path).unwrap();
    let end = bytes.len();
    bytes[end - (4096 * 20)..end - (4096 * 10)].fill(0xa5);
    std::fs::write(&path, &bytes).unwrap();
    let (store, _writer) = open(directory.path());
    let limit = std::time::Duration::from_secs(30);
    let told = tokio::time::timeout(limit, found(&store)).await.unwrap();
    assert!(matches!(told, Err(StoreError::Damaged(_))));
}

#[tokio::test]
async fn what_fails_is_told_by_its_kind() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _writer) = open(directory.path());
    // The reader's connection is for reading alone.
    let refused = store.read(|c| Ok(c.execute("DELETE FROM health", [])?)).await;
    assert!(matches!(refused, Err(StoreError::NotWritable(_))), "{refused:?}");
    let unknown = store.read(|c| Ok(c.execute("DELETE FROM nothing", [])?)).await;
    assert!(matches!(unknown, Err(StoreError::Other(_))), "{unknown:?}");
    // The disk is full for it, and that passes.
    let pages = "PRAGMA max_page_count = 1; INSERT INTO health (one, at) VALUES (1, 1); CREATE TABLE large (body BLOB); \
         INSERT INTO large VALUES (randomblob(10000000))";
    let full = store.write(move |c| Ok(c.execute_batch(pages)?)).await;
    assert!(matches!(full, Err(StoreError::NotWritable(_))), "{full:?}");
    store.answers().await.unwrap();
}

#[tokio::test]
async fn a_writer_that_is_gone_no_longer_answers_and_what_changes_is_counted() {
    let directory = tempfile::tempdir().unwrap();
    let (store, writer) = open(directory.path());
    let before = store.writes();
    ask(&store).await.unwrap();
    let after = store.writes();
    assert!(after > before);
    waiting(&store).await;
    store.answers().await.unwrap();
    assert_eq!(store.writes(), after);
    let gone = store
        .write(|_| -> Result<(), StoreError> { panic!("for the test") })
        .await;
    assert!(matches!(gone, Err(StoreError::Closed)), "{gone:?}");
    assert!(matches!(store.answers().await, Err(StoreError::Closed)));
    writer.join();
}

#[tokio::test]
async fn a_removed_database_is_written_again() {
    for gone in [&NAMES[..1], &NAMES[1..2], &NAMES[2..], &NAMES[..]] {
        let directory = tempfile::tempdir().unwrap();
        let (store, writer) = open(directory.path());
        ask(&store).await.unwrap();
        for name in gone {
            std::fs::remove_file(directory.path().join(name)).unwrap();
        }
        ask(&store).await.unwrap();
        assert_eq!(waiting(&store).await, 2, "{gone:?}");
        // As a power cut leaves it: an orderly stop writes everything back.
        let cut = tempfile::tempdir().unwrap();
        for name in &NAMES[..2] {
            std::fs::copy(directory.path().join(name), cut.path().join(name)).unwrap();
        }
        let (after, _writer) = open(cut.path());
        assert_eq!(waiting(&after).await, 2, "{gone:?}");
        drop(store);
        writer.join();
        let (store, _writer) = open(directory.path());
        ask(&store).await.unwrap();
        assert_eq!(waiting(&store).await, 3, "{gone:?}");
    }
}

/// Whoever closes one descriptor of a file gives up the locks that `SQLite` has on it by others.
#[test]
fn the_file_that_is_synced_stays_open_as_long_as_it_is_the_database() {
    let directory = tempfile::tempdir().unwrap();
    let (mut files, first, paths) = opened(directory.path());
    let file = files.file.clone().unwrap();
    drop(first);
    let second = files.open().unwrap();
    assert!(Arc::ptr_eq(&file, files.file.as_ref().unwrap()));
    drop(second);
    std::fs::rename(&paths[0], directory.path().join("old")).unwrap();
    let _third = files.open().unwrap();
    let new = files.file.as_ref().unwrap();
    assert_eq!(new.metadata().unwrap().ino(), paths[0].metadata().unwrap().ino());
    assert!(!Arc::ptr_eq(&file, new));
}
