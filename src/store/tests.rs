//! The store, by what its users ask of it: a file of its own, and what is in it afterwards.

mod access;
mod arrivals;
mod checks;
mod files;
mod growth;
mod runs;
mod told;

use std::path::Path;

use super::*;
use crate::model::{CommitId, GitRef, Outcome, Phase, ReleaseName, Source, TargetId, Timestamp};

const NOW: Timestamp = Timestamp(1_795_342_500_123);

fn open(directory: &Path) -> (Store, super::Writer) {
    Store::open(&directory.join("hookd.db"), 100).unwrap()
}

fn branch() -> GitRef {
    "refs/heads/main".parse().unwrap()
}

fn target() -> TargetId {
    "blog/live".parse().unwrap()
}

fn commit(digit: char) -> CommitId {
    digit.to_string().repeat(40).parse().unwrap()
}

fn job(keep_all: bool) -> NewJob {
    NewJob {
        target: target(),
        git_ref: branch(),
        wanted: Some(commit('a')),
        source: Source::Webhook,
        pusher: None,
        release: None,
        keep_all,
        asked_by: None,
    }
}

/// A push of `blog`, with the id that the forge gave it.
fn delivery(id: &str, jobs: Vec<NewJob>) -> NewDelivery {
    NewDelivery {
        repo: "blog".to_owned(),
        delivery: id.parse().unwrap(),
        forge: "github",
        event: "push".to_owned(),
        id_is_made: false,
        received_at: NOW,
        remote_addr: "192.0.2.1".to_owned(),
        result: "ignored",
        reason: "for the test".to_owned(),
        body_sha256: "sum".to_owned(),
        headers: "[]".to_owned(),
        body: b"body".to_vec(),
        jobs,
        checks: Vec::new(),
        id_is_unsigned: true,
        secret: Some(1),
    }
}

async fn ask(store: &Store) -> Result<Vec<AcceptedJob>, StoreError> {
    store.request(vec![job(true)], NOW).await
}

/// Asks for a deployment, and claims it.
async fn begin(store: &Store) -> Claim {
    let id = ask(store).await.unwrap()[0].id;
    store.claim(id, NOW).await.unwrap().unwrap()
}

async fn waiting(store: &Store) -> usize {
    store.waiting().await.unwrap().len()
}

#[tokio::test]
async fn an_unknown_word_is_an_error_and_never_a_default() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _writer) = open(directory.path());
    let id = ask(&store).await.unwrap()[0].id;
    let claim = store.claim(id, NOW).await.unwrap().unwrap();
    let end = Finish::plain(crate::model::Outcome::Failed, "for the test");
    store.finish(claim, end, NOW).await.unwrap();
    assert_eq!(store.history(Page::newest(None, 9)).await.unwrap().len(), 1);
    for (column, word) in [("outcome", "splendid"), ("phase", "brunch"), ("commit_id", "abc")] {
        let sql = format!("UPDATE deployments SET {column} = '{word}'");
        let set = store.write(move |c| Ok(c.execute(&sql, [])?)).await.unwrap();
        assert_eq!(set, 1);
        let error = store.history(Page::newest(None, 9)).await.unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}

/// A flood never waits for the log to be written back, and the log does not grow with it.
#[tokio::test]
async fn the_log_of_a_flood_stays_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let (store, writer) = open(directory.path());
    let length = |name: &str| directory.path().join(name).metadata().unwrap().len();
    store
        .write(|c| Ok(c.execute_batch("CREATE TABLE flood (body BLOB)")?))
        .await
        .unwrap();
    let (rows, row, mut longest) = (1600, 1 << 17, 0);
    for _ in 0..rows {
        let insert = move |c: &Connection| Ok(c.execute("INSERT INTO flood VALUES (randomblob(?1))", [row])?);
        store.write(insert).await.unwrap();
        longest = longest.max(length("hookd.db-wal"));
    }
    // 128 MiB with their headers, and what was written at once beyond them.
    assert!(longest < 140 << 20, "{longest}");
    assert!(length("hookd.db") > 32 << 20, "nothing was written back");
    let count = |c: &Connection| Ok(c.query_row("SELECT count(*) FROM flood", [], |row| row.get::<_, i64>(0))?);
    assert_eq!(store.read(count).await.unwrap(), rows);
    drop(store);
    writer.join();
    // Closed after all others, the writer has put everything into the database.
    assert!(!directory.path().join("hookd.db-wal").exists());
    assert!(length("hookd.db") > u64::try_from(rows * row).unwrap());
}

/// `SQLite` rolls back a whole transaction by itself when the disk is full.
#[tokio::test]
async fn what_sqlite_rolled_back_is_not_answered_as_stored() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _writer) = open(directory.path());
    // Holds the writer until the three wait, so that they come in one batch.
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let (began, begins) = oneshot::channel();
    let holder = store.clone();
    let held = tokio::spawn(async move {
        let hold = holder.write(move |_| {
            began.send(()).unwrap();
            wait.recv().unwrap();
            Ok(())
        });
        hold.await
    });
    begins.await.unwrap();
    let before = ask(&store);
    let full = store.write(|c| {
        c.execute_batch("ROLLBACK")?;
        Err::<(), _>(StoreError::NotWritable("disk full".to_owned()))
    });
    let after = ask(&store);
    let release = async { go.send(()).unwrap() };
    let (held, before, full, after, ()) = tokio::join!(held, before, full, after, release);
    held.unwrap().unwrap();
    assert!(full.is_err());
    let stored = [before.is_ok(), after.is_ok()].into_iter().filter(|ok| *ok).count();
    assert_eq!(waiting(&store).await, stored);
    assert!(before.is_err() && after.is_ok());
}

#[tokio::test]
async fn a_database_that_was_cut_is_written_again() {
    let directory = tempfile::tempdir().unwrap();
    let (store, writer) = open(directory.path());
    ask(&store).await.unwrap();
    let file = std::fs::File::options()
        .write(true)
        .open(directory.path().join("hookd.db"))
        .unwrap();
    file.set_len(0).unwrap();
    ask(&store).await.unwrap();
    assert_eq!(waiting(&store).await, 2);
    drop(store);
    writer.join();
    let (store, _writer) = open(directory.path());
    assert_eq!(waiting(&store).await, 2);
}

#[tokio::test]
async fn a_replaced_database_takes_nothing_and_is_left_alone() {
    let (directory, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (restored, writer) = open(other.path());
    ask(&restored).await.unwrap();
    drop(restored);
    writer.join();
    let (store, writer) = open(directory.path());
    let path = directory.path().join("hookd.db");
    std::fs::rename(other.path().join("hookd.db"), &path).unwrap();
    assert!(matches!(ask(&store).await, Err(StoreError::Replaced)));
    assert!(matches!(store.probe().await, Err(StoreError::Replaced)));
    drop(store);
    writer.join();
    let (store, _writer) = open(directory.path());
    assert_eq!(waiting(&store).await, 1);
}

#[tokio::test]
async fn a_damaged_database_is_said_to_be_so_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hookd.db");
    let (store, writer) = open(directory.path());
    for _ in 0..500 {
        ask(&store).await.unwrap();
    }
    drop(store);
    writer.join();
    let whole = std::fs::read(&path).unwrap();
    let mut torn = whole.clone();
    torn.truncate(whole.len() / 2);
    let mut flipped = whole.clone();
    flipped[4096 * 2..4096 * 8].fill(0xa5);
    for bad in [vec![b'x'; whole.len()], torn, flipped] {
        std::fs::write(&path, &bad).unwrap();
        let error = Store::open(&path, 100).err().unwrap();
        assert!(matches!(error, StoreError::Damaged(_)), "{error:?}");
        assert!(error.to_string().contains(".recover"));
        assert!(std::fs::read(&path).unwrap() == bad);
    }
}

#[tokio::test]
async fn a_failure_without_a_commit_rests_longer_each_time_until_it_is_over() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _writer) = open(directory.path());
    let run = async |end: Finish| {
        let id = ask(&store).await.unwrap()[0].id;
        let claim = store.claim(id, NOW).await.unwrap().unwrap();
        store.finish(claim, end, NOW).await.unwrap();
        store.failures(&target()).await.unwrap()
    };
    let failed = || Finish::plain(crate::model::Outcome::Failed, "in the way");
    let mut pauses = Vec::new();
    for count in 1..=7 {
        let rows = run(failed()).await;
        assert_eq!((rows.len(), rows[0].count), (1, count));
        assert_eq!((rows[0].advertised.clone(), rows[0].since), (None, NOW));
        pauses.push(rows[0].retry_at.since(NOW));
    }
    assert!(pauses.is_sorted() && pauses[0] < pauses[4]);
    store.try_failures_again(&target().repo).await.unwrap();
    assert_eq!(store.failures(&target()).await.unwrap()[0].retry_at, Timestamp(0));
    assert!(run(Finish::plain(crate::model::Outcome::Live, "")).await.is_empty());
}

#[tokio::test]
async fn only_jobs_that_nobody_holds_are_taken_up() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _writer) = open(directory.path());
    let (lost, held) = (ask(&store).await.unwrap()[0].id, ask(&store).await.unwrap()[0].id);
    for id in [lost, held] {
        store.claim(id, NOW).await.unwrap().unwrap();
    }
    assert_eq!(store.running().await.unwrap().len(), 2);
    assert!(store.recover(vec![lost], NOW).await.unwrap().is_empty());
    assert_eq!(store.running().await.unwrap()[0].0, held);
    assert_eq!(store.waiting().await.unwrap()[0].id, lost);
}

#[tokio::test]
async fn a_job_that_moves_between_waiting_and_running_is_always_one_of_them() {
    const MOVES: usize = 100;
    let directory = tempfile::tempdir().unwrap();
    let (store, _writer) = open(directory.path());
    let id = ask(&store).await.unwrap()[0].id;
    let other = store.clone();
    let moves = tokio::spawn(async move {
        for _ in 0..MOVES {
            let claim = other.claim(id, NOW).await.unwrap().unwrap();
            let mut end = Finish::plain(crate::model::Outcome::Failed, "for the test");
            end.retry_at = Some(NOW);
            other.finish(claim, end, NOW).await.unwrap();
        }
    });
    let mut looks = 0;
    while !moves.is_finished() || looks == 0 {
        let moment = store.moment(vec![target()]).await.unwrap();
        let running = moment.targets[&target()].running.is_some();
        assert_eq!(moment.waiting.len() + usize::from(running), 1, "{moment:?}");
        looks += 1;
    }
    moves.await.unwrap();
}

#[tokio::test]
async fn the_age_of_history_is_not_judged_by_a_clock_that_jumped() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _writer) = open(directory.path());
    assert_eq!(store.judge_age(NOW).await.unwrap(), NOW);
    let hours = |count| NOW.after(std::time::Duration::from_hours(count));
    assert_eq!(store.judge_age(hours(1)).await.unwrap(), hours(1));
    assert_eq!(store.judge_age(hours(90_000)).await.unwrap(), hours(3));
    assert_eq!(store.judge_age(NOW).await.unwrap(), NOW);
}

#[tokio::test]
async fn waits_follow_a_clock_that_was_set() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _writer) = open(directory.path());
    let id = ask(&store).await.unwrap()[0].id;
    let claim = store.claim(id, NOW).await.unwrap().unwrap();
    let mut end = Finish::plain(crate::model::Outcome::Failed, "for the test");
    end.retry_at = Some(Timestamp(NOW.0 + 15_000));
    store.finish(claim, end, NOW).await.unwrap();
    let not_before = async || store.waiting().await.unwrap()[0].not_before.0 - NOW.0;
    store.clock_was_set(0, NOW).await.unwrap();
    assert_eq!(not_before().await, 15_000);
    store
        .clock_was_set(-3_600_000, Timestamp(NOW.0 - 3_600_000))
        .await
        .unwrap();
    assert_eq!(not_before().await, 15_000 - 3_600_000);
    store.clock_was_set(0, Timestamp(1)).await.unwrap();
    assert_eq!(store.waiting().await.unwrap()[0].not_before, Timestamp(0));
}

#[tokio::test]
async fn old_history_goes_in_slices_and_what_runs_stays() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _writer) = open(directory.path());
    let kept = ask(&store).await.unwrap()[0].id;
    store.claim(kept, NOW).await.unwrap().unwrap();
    for _ in 0..600 {
        let id = ask(&store).await.unwrap()[0].id;
        let claim = store.claim(id, NOW).await.unwrap().unwrap();
        let end = Finish::plain(crate::model::Outcome::Failed, "for the test");
        store.finish(claim, end, NOW).await.unwrap();
    }
    let later = Timestamp(NOW.0 + 1);
    let mut slices = 0;
    loop {
        let old = store.old_deployments(later, 10_000).await.unwrap();
        if old.is_empty() {
            break;
        }
        slices += 1;
        store.forget_deployments(old).await.unwrap();
    }
    store.prune_history(later).await.unwrap();
    let rows = store.history(Page::newest(None, 1000)).await.unwrap();
    assert_eq!((slices, rows.len()), (3, 1));
    assert!(store.job(kept).await.unwrap().is_some());
}

/// A power cut may undo the removal of the journal with which the database was made.
#[tokio::test]
async fn the_journal_of_its_making_rolls_nothing_back() {
    let directory = tempfile::tempdir().unwrap();
    let (store, writer) = open(directory.path());
    ask(&store).await.unwrap();
    drop(store);
    writer.join();
    // As SQLite writes it for a database of no pages: mark, no records, a number, no pages, sizes of sector and page.
    let mut journal = vec![
        0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7, 0, 0, 0, 0, 5, 0xca, 0xd6, 0x39,
    ];
    journal.extend([0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0x10, 0]);
    journal.resize(512, 0);
    std::fs::write(directory.path().join("hookd.db-journal"), journal).unwrap();
    let (store, _writer) = open(directory.path());
    assert_eq!(waiting(&store).await, 1);
}

/// A sync of a file that grew waits for the file system's journal, too.
#[tokio::test]
async fn commits_do_not_lengthen_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _writer) = open(directory.path());
    let length = || std::fs::metadata(directory.path().join("hookd.db-wal")).unwrap().len();
    ask(&store).await.unwrap();
    // The writer makes room after it has answered.
    store.answers().await.unwrap();
    let ahead = length();
    for _ in 0..20 {
        ask(&store).await.unwrap();
    }
    store.answers().await.unwrap();
    assert_eq!(length(), ahead);
    // As a power cut leaves it.
    let cut = tempfile::tempdir().unwrap();
    for name in ["hookd.db", "hookd.db-wal"] {
        std::fs::copy(directory.path().join(name), cut.path().join(name)).unwrap();
    }
    let (after, _writer) = open(cut.path());
    assert_eq!(waiting(&after).await, 21);
}
