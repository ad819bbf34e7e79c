//! What is to be told: messages of channels, and reports to forges.

use std::collections::BTreeMap;

use super::*;

#[tokio::test]
async fn a_channel_gets_its_messages_in_order_and_holds_up_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _writer) = open(directory.path());
    for (channel, body) in [("chat", "1"), ("chat", "2"), ("mail", "3"), ("gone", "4")] {
        store.tell(channel.to_owned(), body.to_owned()).await.unwrap();
    }
    let first = async |now: i64| -> Vec<Message> { store.outbox(Timestamp(now)).await.unwrap() };
    let bodies = |messages: &[Message]| messages.iter().map(|m| m.body.clone()).collect::<Vec<_>>();
    let pending = async || store.outbox_pending().await.unwrap();
    let of = |channels: &[(&str, i64)]| -> BTreeMap<String, i64> {
        channels
            .iter()
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect()
    };
    assert_eq!(pending().await, of(&[("chat", 2), ("mail", 1), ("gone", 1)]));
    store.drop_channel("gone".to_owned()).await.unwrap();
    let due = first(0).await;
    assert_eq!(
        (bodies(&due), due[0].attempt),
        (vec!["1".to_owned(), "3".to_owned()], 0)
    );
    // The chat does not answer: its second message waits behind the first.
    let reason = Some("timed out".to_owned());
    store
        .send_later(due[0].clone(), Timestamp(100), reason, Timestamp(7))
        .await
        .unwrap();
    store.sent(due[1].clone()).await.unwrap();
    assert!(first(99).await.is_empty());
    let again = first(100).await;
    assert_eq!((bodies(&again), again[0].attempt), (vec!["1".to_owned()], 1));
    let trouble = async || store.channels_in_trouble().await.unwrap().remove("chat");
    let since = |at: i64, reason: &str| {
        Some(Trouble {
            since: Timestamp(at),
            reason: reason.to_owned(),
        })
    };
    assert_eq!(trouble().await, since(7, "timed out"));
    store
        .give_up(again[0].clone(), "refused".to_owned(), Timestamp(9))
        .await
        .unwrap();
    assert_eq!(trouble().await, since(7, "refused"), "since the first failure");
    let second = first(100).await;
    assert_eq!(bodies(&second), ["2"]);
    store
        .send_later(second[0].clone(), Timestamp(100), None, Timestamp(10))
        .await
        .unwrap();
    store.sent(second[0].clone()).await.unwrap();
    assert_eq!((trouble().await, pending().await), (None, BTreeMap::new()));
}

#[tokio::test]
async fn a_target_fails_since_its_newest_failure_unless_something_went_live_after_it() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _writer) = open(directory.path());
    let end = async |outcome: Outcome, at: i64| {
        let claim = begin(&store).await;
        let (id, deployment) = (claim.job.id, claim.deployment);
        store
            .finish(claim, Finish::plain(outcome, ""), Timestamp(at))
            .await
            .unwrap();
        (id, deployment)
    };
    let standing = async |job: i64| {
        let found = store.standing(&target(), job).await.unwrap();
        (found.ever_live, found.failing, found.failing_since.map(|at| at.0))
    };
    assert_eq!(standing(0).await, (false, None, None));
    let (_, failed) = end(Outcome::Failed, 1).await;
    assert_eq!(standing(0).await, (false, Some(failed), Some(1)));
    let (job, _) = end(Outcome::Live, 2).await;
    assert_eq!(standing(0).await, (true, None, None));
    assert_eq!(standing(job).await, (false, Some(failed), Some(1)), "before this job");
    let (_, back) = end(Outcome::RolledBack, 3).await;
    end(Outcome::Superseded, 4).await;
    assert_eq!(standing(0).await, (true, Some(back), Some(3)));
}

#[tokio::test]
async fn a_report_is_sent_until_the_forge_shows_it_or_refuses_it() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _writer) = open(directory.path());
    let key = |digit| ReportKey {
        target: target(),
        commit: commit(digit),
        kind: "status".to_owned(),
    };
    let repo = target().repo;
    let want = async |digit, text: &str, at| {
        store
            .want_reports(vec![(key(digit), text.to_owned())], Timestamp(at))
            .await
            .unwrap();
    };
    let next = async |now| -> Option<(ReportKey, String, u32)> {
        let row = store.next_report(&repo, Timestamp(now)).await.unwrap()?;
        Some((row.key, row.wanted, row.attempt))
    };
    let trouble = async || {
        let found = store.reports_in_trouble().await.unwrap().remove(&target());
        found.map(|trouble| trouble.reason)
    };
    want('a', "pending", 1).await;
    want('b', "pending", 2).await;
    assert_eq!(store.reports_pending().await.unwrap(), 2);
    assert_eq!(
        store.repos_with_reports(NOW).await.unwrap(),
        std::slice::from_ref(&repo)
    );
    store
        .report_later(key('a'), Timestamp(100), Some("timed out".to_owned()))
        .await
        .unwrap();
    assert_eq!(next(99).await, Some((key('b'), "pending".to_owned(), 0)));
    store.reported(key('b'), "pending".to_owned(), Some(5)).await.unwrap();
    assert_eq!(next(99).await, None);
    assert!(store.repos_with_reports(Timestamp(99)).await.unwrap().is_empty());
    assert_eq!(next(100).await, Some((key('a'), "pending".to_owned(), 1)));
    assert_eq!(trouble().await, None, "a newer one is shown");
    // What is shown and wanted stays; another text is news, under the forge's number.
    want('b', "pending", 3).await;
    assert_eq!(store.reports_pending().await.unwrap(), 1);
    want('b', "success", 4).await;
    let numbers: Vec<_> = store
        .reports(&target())
        .await
        .unwrap()
        .iter()
        .map(|row| row.remote_id)
        .collect();
    assert_eq!(numbers, [None, Some(5)]);
    let access = |name: &str| Some(name.to_owned());
    store
        .report_refused(key('b'), "forbidden".to_owned(), access("old"))
        .await
        .unwrap();
    assert_eq!(trouble().await.as_deref(), Some("forbidden"));
    assert_eq!(
        store.reports_pending().await.unwrap(),
        1,
        "what was refused is not sent"
    );
    store
        .retry_with_access(&repo, "old".to_owned(), Timestamp(0))
        .await
        .unwrap();
    store
        .retry_with_access(&repo, "new".to_owned(), Timestamp(4))
        .await
        .unwrap();
    assert_eq!(store.reports_pending().await.unwrap(), 1, "the same access, or too old");
    store
        .retry_with_access(&repo, "new".to_owned(), Timestamp(3))
        .await
        .unwrap();
    assert_eq!(store.reports_pending().await.unwrap(), 2);
    store
        .report_refused(key('b'), "forbidden".to_owned(), None)
        .await
        .unwrap();
    store.retry_reports(&repo).await.unwrap();
    assert_eq!(next(0).await.map(|(key, ..)| key), Some(key('a')));
    store.forget_reports(Timestamp(2)).await.unwrap();
    assert_eq!(store.reports(&target()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn how_far_a_commit_is_says_its_newest_job() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _writer) = open(directory.path());
    let stages = async |since: i64| -> Vec<(Stage, bool)> {
        let rows = store.progress_since(Timestamp(since)).await.unwrap();
        rows.into_iter().map(|row| (row.stage, row.is_live)).collect()
    };
    let id = ask(&store).await.unwrap()[0].id;
    assert_eq!(stages(NOW.0).await, [(Stage::Waiting, false)]);
    let claim = store.claim(id, NOW).await.unwrap().unwrap();
    assert_eq!(stages(NOW.0).await, [(Stage::Running, false)]);
    let mut end = Finish::plain(Outcome::Live, "");
    end.live = Some(WentLive {
        commit: commit('a'),
        git_ref: branch(),
        release: None,
    });
    store.finish(claim, end, Timestamp(NOW.0 + 9)).await.unwrap();
    assert_eq!(stages(NOW.0 + 9).await, [(Stage::Done(Outcome::Live), true)]);
    assert_eq!(stages(NOW.0 + 10).await, []);
}
