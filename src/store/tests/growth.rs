//! What is asked often costs the same, however long the history is. `SQLite` counts the steps of its machine for each statement.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::StatementStatus;
use rusqlite::trace::{TraceEvent, TraceEventCodes};

use super::*;
use crate::model::Outcome;

/// Rows of a short history: more than any page has, and than a look at the newest jobs takes.
const SHORT: i64 = 1200;

/// Steps by which a statement may cost more in a store that has four times as much: trees are a level higher.
const MORE: i32 = 200;

/// The most steps that each statement took.
type Steps = Arc<Mutex<BTreeMap<String, i32>>>;

fn count(connection: &mut Connection, steps: &Steps) {
    let steps = Arc::clone(steps);
    let note = move |event: TraceEvent<'_>| {
        if let TraceEvent::Profile(statement, _) = event {
            let mut steps = steps.lock().unwrap();
            let most = steps.entry(statement.sql().into_owned()).or_default();
            *most = statement.get_status(StatementStatus::VmStep).max(*most);
        }
    };
    connection
        .trace_v2(TraceEventCodes::SQLITE_TRACE_PROFILE, Some(note))
        .unwrap();
}

/// Deliveries, jobs, deployments, reports, checks and acts, `rows` of each, over five repos.
fn fill(connection: &Connection, rows: i64) {
    let each = |sql: &str| {
        let sql = format!("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) {sql}");
        connection.execute(&sql, [rows]).unwrap();
    };
    let repo = "'repo' || (i % 5), 'live'";
    let outcome = "CASE WHEN i % 3 = 0 THEN 'superseded' WHEN i % 7 = 0 THEN 'failed' ELSE 'live' END";
    each(
        "INSERT INTO deliveries (repo, delivery, forge, event, received_at, remote_addr, result, reason, body_sha256, headers, body) \
         SELECT 'repo' || (i % 5), 'id' || i, 'github', 'push', i, '', 'ignored', '', 'hash' || i, '[]', x'78' FROM n",
    );
    each(&format!(
        "INSERT INTO jobs (position, repo, target, git_ref, source, delivery_row, state, outcome, requested_at, not_before) \
         SELECT i, {repo}, 'refs/heads/main', 'webhook', i, 'done', {outcome}, i, 5 FROM n"
    ));
    each(&format!(
        "INSERT INTO deployments (job, repo, target, git_ref, commit_id, fetched, subject, phase, outcome, started_at, finished_at) \
         SELECT i, {repo}, 'refs/heads/main', printf('%040x', i), printf('%040x', i), 'text', 'finish', {outcome}, i, i + 1 FROM n"
    ));
    each("INSERT INTO phases SELECT i, 'fetch', i, i FROM n");
    each(&format!(
        "INSERT INTO reports (repo, target, commit_id, kind, wanted, told, changed_at) \
         SELECT {repo}, printf('%040x', i), 'status', 'x', 'x', i FROM n"
    ));
    each(
        "INSERT INTO checks (repo, commit_id, name, state, at) SELECT 'repo' || (i % 5), printf('%040x', i), 'ci', 'green', i FROM n",
    );
    each("INSERT INTO audit (at, who, act, object) SELECT i, 'uid:0', 'deploy', 'repo0/live' FROM n");
}

fn delivery(id: &str, jobs: Vec<NewJob>) -> NewDelivery {
    NewDelivery {
        repo: "repo0".to_owned(),
        body_sha256: format!("hash of {id}"),
        ..super::delivery(id, jobs)
    }
}

/// Everything that a daemon does all the time, once.
async fn work(store: &Store) -> Result<(), StoreError> {
    let id: TargetId = "repo0/live".parse().unwrap();
    let pushed = || NewJob {
        target: id.clone(),
        ..job(false)
    };
    store.recover(Vec::new(), NOW).await?;
    store.accept(delivery("new", Vec::new())).await?;
    store.accept(delivery("id5", Vec::new())).await?;
    store.accept(delivery("first", vec![pushed()])).await?;
    let accepted = store.accept(delivery("second", vec![pushed()])).await?;
    store.waiting().await?;
    store.drop_unknown(vec![id.clone()], NOW).await?;
    let claim = store.claim(accepted.jobs[0].id, NOW).await?.unwrap();
    let deployment = claim.deployment;
    store.running().await?;
    store
        .describe(deployment, "b".repeat(40), CommitText::default())
        .await?;
    store.moment(vec![id.clone()]).await?;
    store.standing(&id, accepted.jobs[0].id).await?;
    store.finish(claim, Finish::plain(Outcome::Failed, ""), NOW).await?;
    for target in [None, Some("repo0"), Some("repo0/live"), Some("none/live")] {
        for outcome in [None, Some(Outcome::Failed), Some(Outcome::Cancelled)] {
            for before in [None, Some(150)] {
                let page = Page {
                    target: target.map(str::to_owned),
                    outcome,
                    before,
                    limit: 20,
                };
                store.history(page).await?;
            }
        }
    }
    store.moment(vec![id.clone(), "none/live".parse().unwrap()]).await?;
    store.outcomes(&id, 20).await?;
    store.usual_duration(&id).await?;
    for commit in ["0".repeat(39) + "5", "f".repeat(40)] {
        store.commit_text(&id, commit.clone()).await?;
        store.ended_badly(&id, &commit.parse().unwrap()).await?;
    }
    for repo in [None, Some("repo0"), Some("none")] {
        for result in [None, Some("accepted"), Some("duplicate"), Some("pong")] {
            for before in [None, Some(150)] {
                let page = DeliveryPage {
                    repo: repo.map(str::to_owned),
                    result: result.map(str::to_owned),
                    before,
                    limit: 20,
                };
                store.deliveries(page).await?;
            }
        }
    }
    for id in ["id5", "7", "none"] {
        store.delivery(id.to_owned()).await?;
    }
    store.deployment(5).await?;
    store.job(5).await?;
    store.acts(None, 20).await?;
    store.acts(Some(150), 20).await?;
    store.failures(&id).await?;
    store.tips(&id).await?;
    store.progress_since(NOW).await?;
    store.repos_with_reports(NOW).await?;
    store.next_report(&id.repo, NOW).await?;
    store.reports_pending().await?;
    store.reports_in_trouble().await?;
    store.outbox(NOW).await?;
    store.outbox_pending().await?;
    store.channels_in_trouble().await?;
    store.probe().await?;
    store.judge_age(NOW).await?;
    store.clock_was_set(0, NOW).await?;
    store.clock_was_set(60_000, NOW).await?;
    store.prune_deliveries(1 << 30).await?;
    store.prune_history(Timestamp(0)).await?;
    store.tidy_access(Timestamp(0), NOW).await?;
    store.old_deployments(Timestamp(0), 100).await?;
    Ok(())
}

async fn measured(rows: i64) -> BTreeMap<String, i32> {
    let directory = tempfile::tempdir().unwrap();
    let mut files = Files::new(&directory.path().join("hookd.db"));
    let mut open = files.open().unwrap();
    fill(&open.writer, rows);
    let steps = Steps::default();
    count(&mut open.writer, &steps);
    count(&mut open.reader, &steps);
    let (store, writer) = Store::over(files, open, 100).unwrap();
    work(&store).await.unwrap();
    drop(store);
    writer.join();
    let steps = steps.lock().unwrap();
    steps.clone()
}

#[tokio::test]
async fn nothing_that_is_asked_often_costs_more_with_a_longer_history() {
    let (short, long) = (measured(SHORT).await, measured(4 * SHORT).await);
    assert!(long.len() > 60, "only {} statements", long.len());
    let grown: Vec<String> = long
        .iter()
        .filter_map(|(sql, steps)| {
            let before = short.get(sql).copied().unwrap_or_default();
            (*steps > before + before / 4 + MORE).then(|| format!("{before} -> {steps} steps: {sql}"))
        })
        .collect();
    assert!(grown.is_empty(), "{}", grown.join("\n"));
}

/// What is removed goes in slices, each of them in a transaction of its own, and deliveries that come in meanwhile wait for one
/// slice at most.
#[tokio::test]
async fn a_slice_of_what_is_removed_is_as_large_in_a_long_history() {
    let steps = Steps::default();
    let directory = tempfile::tempdir().unwrap();
    let mut files = Files::new(&directory.path().join("hookd.db"));
    let mut open = files.open().unwrap();
    fill(&open.writer, 3000);
    count(&mut open.writer, &steps);
    let (store, _writer) = Store::over(files, open, 100).unwrap();
    let mut slices = 0;
    loop {
        let old = store.old_deployments(Timestamp(0), 100).await.unwrap();
        if old.is_empty() {
            break;
        }
        assert!(old.len() <= 3 * 256, "{}", old.len());
        store.forget_deployments(old).await.unwrap();
        slices += 1;
    }
    assert!(slices > 3, "{slices}");
    assert_eq!(store.history(Page::newest(None, 1000)).await.unwrap().len(), 200);
    store.prune_history(NOW.after(Duration::from_secs(1))).await.unwrap();
    let page = DeliveryPage {
        limit: 1000,
        ..DeliveryPage::default()
    };
    let rows = store.deliveries(page).await.unwrap();
    assert!(rows.len() < 250, "{}", rows.len());
    // Each row that goes is a statement of its own: none of them may search.
    let steps = steps.lock().unwrap();
    let removes = steps.iter().filter(|(sql, _)| sql.starts_with("DELETE"));
    for (sql, steps) in removes.clone() {
        assert!(*steps < 3000 * 200, "{steps} steps for 3000 rows: {sql}");
    }
    assert!(removes.count() >= 4);
}
