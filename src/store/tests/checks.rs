//! What CI said, and who waits for it.

use std::collections::BTreeMap;

use super::*;
use crate::model::CheckState::{self, Green, Pending, Red};

const REPO: &str = "blog";

fn named(states: &[(&str, CheckState)]) -> BTreeMap<String, CheckState> {
    states
        .iter()
        .map(|(name, state)| ((*name).to_owned(), *state))
        .collect()
}

async fn tell(store: &Store, id: &str, digit: char, name: &str, state: CheckState) -> Vec<AcceptedJob> {
    let new = NewDelivery {
        checks: vec![NewCheck {
            commit: commit(digit),
            name: name.to_owned(),
            state,
            git_ref: None,
            targets: vec![(target(), false)],
        }],
        id_is_unsigned: false,
        ..delivery(id, Vec::new())
    };
    store.accept(new).await.unwrap().jobs
}

async fn known(store: &Store, digit: char) -> (BTreeMap<String, CheckState>, i64) {
    let known = store.checks(REPO.to_owned(), commit(digit)).await.unwrap();
    (known.states, known.seq)
}

fn hold(seq: i64) -> Hold {
    Hold {
        commit: commit('a'),
        reason: "waits for ci".to_owned(),
        until: Timestamp(NOW.0 + 5000),
        seq,
        keep_all: false,
    }
}

/// A claim of the one job that waits, or of a new one.
async fn claim(store: &Store) -> Claim {
    match store.waiting().await.unwrap().first() {
        Some(job) => store.claim(job.id, NOW).await.unwrap().unwrap(),
        None => begin(store).await,
    }
}

#[tokio::test]
async fn that_a_check_begins_takes_back_nothing_that_is_known() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _writer) = open(directory.path());
    assert_eq!(known(&store, 'a').await, (BTreeMap::new(), 0));
    tell(&store, "1", 'a', "ci", Pending).await;
    tell(&store, "2", 'a', "ci", Green).await;
    tell(&store, "3", 'a', "ci", Pending).await;
    tell(&store, "4", 'a', "lint", Pending).await;
    tell(&store, "5", 'b', "ci", Red).await;
    let (states, seq) = known(&store, 'a').await;
    assert_eq!(states, named(&[("ci", Green), ("lint", Pending)]));
    tell(&store, "6", 'a', "ci", Red).await;
    assert_eq!(
        known(&store, 'a').await,
        (named(&[("ci", Red), ("lint", Pending)]), seq + 1)
    );
}

#[tokio::test]
async fn what_the_api_says_is_no_news_to_who_asked_but_what_came_meanwhile_is() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _writer) = open(directory.path());
    let note = async |states: &[(&str, CheckState)], seq| {
        let states = named(states);
        store
            .note_checks(REPO.to_owned(), commit('a'), states, seq, NOW)
            .await
            .unwrap()
    };
    let first = note(&[("ci", Pending), ("lint", Green)], 0).await;
    assert_eq!(first, known(&store, 'a').await.1);
    assert_eq!(note(&[("ci", Pending)], first).await, first, "the same changes nothing");
    let second = note(&[("ci", Green)], first).await;
    assert!(second > first);
    tell(&store, "1", 'b', "ci", Green).await;
    assert_eq!(note(&[("ci", Red)], second).await, second, "an event came meanwhile");
    assert_eq!(known(&store, 'a').await.0, named(&[("ci", Red), ("lint", Green)]));
}

#[tokio::test]
async fn a_job_waits_for_its_checks_until_something_is_said_of_them() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _writer) = open(directory.path());
    let not_before = async || store.waiting().await.unwrap()[0].not_before;
    let seq = known(&store, 'a').await.1;
    store.hold(claim(&store).await, hold(seq), NOW).await.unwrap();
    assert_eq!(not_before().await, hold(0).until);
    let held = store.waiting().await.unwrap()[0].checks.clone().unwrap();
    assert_eq!((held.commit, held.since), (commit('a'), NOW));
    assert!(!store.look_again(&target(), branch(), commit('a')).await.unwrap());
    assert_eq!(not_before().await, hold(0).until);
    assert!(store.look_again(&target(), branch(), commit('b')).await.unwrap());
    assert_eq!(not_before().await, Timestamp(0));
    let again = claim(&store).await;
    assert!(again.continues);
    store.hold(again, hold(seq), Timestamp(NOW.0 + 1)).await.unwrap();
    assert!(tell(&store, "1", 'a', "ci", Red).await.is_empty());
    assert_eq!(not_before().await, Timestamp(0));
    // What was noted after the checks were looked at is looked at again at once.
    store.hold(claim(&store).await, hold(seq), NOW).await.unwrap();
    assert_eq!(not_before().await, Timestamp(0));
    let seq = known(&store, 'a').await.1;
    store.hold(claim(&store).await, hold(seq), NOW).await.unwrap();
    assert_eq!(not_before().await, hold(0).until);
}

#[tokio::test]
async fn a_newer_request_takes_the_place_of_a_job_that_would_wait_for_checks() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _writer) = open(directory.path());
    let older = claim(&store).await;
    let (id, deployment) = (older.job.id, older.deployment);
    let newer = store.request(vec![job(false)], NOW).await.unwrap()[0].id;
    store.hold(older, hold(0), NOW).await.unwrap();
    assert_eq!(
        store
            .waiting()
            .await
            .unwrap()
            .iter()
            .map(|job| job.id)
            .collect::<Vec<_>>(),
        [newer]
    );
    let status = store.job(id).await.unwrap().unwrap();
    assert_eq!(
        (status.outcome, status.deployment),
        (Some(Outcome::Superseded), Some(deployment))
    );
    // Where each commit runs, both wait.
    let second = claim(&store).await;
    ask(&store).await.unwrap();
    let all = Hold {
        keep_all: true,
        ..hold(0)
    };
    store.hold(second, all, NOW).await.unwrap();
    assert_eq!(waiting(&store).await, 2);
}

#[tokio::test]
async fn what_failed_for_want_of_green_checks_is_asked_for_once_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _writer) = open(directory.path());
    let mut end = Finish::plain(Outcome::Failed, "ci is red");
    end.unchecked = true;
    end.tip = Some(Tip {
        git_ref: branch(),
        commit: commit('a'),
    });
    store.finish(claim(&store).await, end, NOW).await.unwrap();
    assert!(
        tell(&store, "1", 'b', "ci", Green).await.is_empty(),
        "of another commit"
    );
    assert!(tell(&store, "2", 'a', "ci", Red).await.is_empty());
    assert_eq!(tell(&store, "3", 'a', "ci", Green).await.len(), 1);
    assert!(tell(&store, "4", 'a', "ci", Green).await.is_empty(), "one waits");
    assert_eq!(waiting(&store).await, 1);
}

#[tokio::test]
async fn a_commit_is_green_if_all_required_checks_are_and_it_did_not_fail_later() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _writer) = open(directory.path());
    for (id, digit, name, state) in [
        ("1", 'a', "ci", Green),
        ("2", 'a', "lint", Green),
        ("3", 'b', "ci", Green),
        ("4", 'c', "lint", Green),
        ("5", 'c', "ci", Green),
        ("6", 'd', "ci", Green),
        ("7", 'd', "lint", Red),
    ] {
        tell(&store, id, digit, name, state).await;
    }
    let green = async || {
        let required = vec!["ci".to_owned(), "lint".to_owned()];
        store.green_commits(&target(), required).await.unwrap()
    };
    assert_eq!(green().await, [commit('c'), commit('a')]);
    let failed = claim(&store).await;
    let progress = Progress {
        commit: Some(commit('c')),
        ..Progress::default()
    };
    store
        .enter(failed.deployment, Phase::Build, progress, NOW)
        .await
        .unwrap();
    store
        .finish(failed, Finish::plain(Outcome::Failed, "its build"), NOW)
        .await
        .unwrap();
    assert_eq!(green().await, [commit('a')]);
}
