//! What becomes of a delivery: the first time, and when it comes again.

use super::*;

fn push(id: &str) -> NewDelivery {
    delivery(id, vec![job(false)])
}

async fn accept(store: &Store, new: NewDelivery) -> (DeliveryResult, String, usize) {
    let accepted = store.accept(new).await.unwrap();
    (accepted.result, accepted.reason, accepted.jobs.len())
}

/// Ends the one job that waits, as if it had run.
async fn run(store: &Store, outcome: Outcome) {
    let id = store.waiting().await.unwrap()[0].id;
    let claim = store.claim(id, NOW).await.unwrap().unwrap();
    let mut end = Finish::plain(outcome, "for the test");
    end.live = (outcome == Outcome::Live).then(|| WentLive {
        commit: commit('a'),
        git_ref: branch(),
        release: None,
    });
    store.finish(claim, end, NOW).await.unwrap();
}

#[tokio::test]
async fn a_delivery_that_comes_again_runs_only_if_it_may() {
    for (outcome, says) in [
        (Outcome::Live, "this push was already deployed"),
        (Outcome::Unchanged, "this push was already deployed"),
        (
            Outcome::RolledBack,
            "this push is known, and was rolled back; `hookd retry` tries that commit again",
        ),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let (store, _writer) = open(directory.path());
        assert_eq!(
            accept(&store, push("one")).await,
            (DeliveryResult::Accepted, "for the test".to_owned(), 1)
        );
        let waits = "this push is known, and its deployment has not ended yet";
        assert_eq!(
            accept(&store, push("one")).await,
            (DeliveryResult::Duplicate, waits.to_owned(), 0)
        );
        run(&store, outcome).await;
        assert_eq!(
            accept(&store, push("one")).await,
            (DeliveryResult::Duplicate, says.to_owned(), 0)
        );
        assert!(store.waiting().await.unwrap().is_empty());
    }
    for outcome in [Outcome::Failed, Outcome::Cancelled, Outcome::Interrupted] {
        let directory = tempfile::tempdir().unwrap();
        let (store, _writer) = open(directory.path());
        accept(&store, push("one")).await;
        run(&store, outcome).await;
        assert_eq!(
            accept(&store, push("one")).await,
            (DeliveryResult::Accepted, "runs again".to_owned(), 1)
        );
        run(&store, outcome).await;
        // The configuration has another target now, or none that wants it.
        let gone = "this push is known, and what failed is no longer wanted";
        let nothing = delivery("one", Vec::new());
        assert_eq!(
            accept(&store, nothing).await,
            (DeliveryResult::Duplicate, gone.to_owned(), 0)
        );
    }
}

#[tokio::test]
async fn what_led_to_nothing_is_known_by_its_own_id_alone() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _writer) = open(directory.path());
    let nothing = || delivery("one", Vec::new());
    assert_eq!(
        accept(&store, nothing()).await,
        (DeliveryResult::Ignored, "for the test".to_owned(), 0)
    );
    let known = "this push is known, and there was nothing to do";
    assert_eq!(
        accept(&store, nothing()).await,
        (DeliveryResult::Duplicate, known.to_owned(), 0)
    );
    let made = NewDelivery {
        id_is_made: true,
        ..nothing()
    };
    assert_eq!(accept(&store, made).await.0, DeliveryResult::Ignored);
    // A target that came with a later configuration gets it.
    assert_eq!(
        accept(&store, push("one")).await,
        (DeliveryResult::Accepted, "for the test".to_owned(), 1)
    );
}

#[tokio::test]
async fn a_body_under_a_fresh_id_is_known_if_what_it_announced_is_live() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _writer) = open(directory.path());
    accept(&store, push("one")).await;
    // Not live yet: it may be another push of the same commit.
    assert_eq!(accept(&store, push("two")).await.0, DeliveryResult::Accepted);
    run(&store, Outcome::Live).await;
    assert_eq!(
        accept(&store, push("three")).await,
        (
            DeliveryResult::Duplicate,
            "this push was already deployed".to_owned(),
            0
        )
    );
    let signed = NewDelivery {
        id_is_unsigned: false,
        ..push("four")
    };
    assert_eq!(accept(&store, signed).await.0, DeliveryResult::Accepted);
    let other = NewDelivery {
        body_sha256: "another".to_owned(),
        ..push("five")
    };
    assert_eq!(accept(&store, other).await.0, DeliveryResult::Accepted);
}

#[tokio::test]
async fn deliveries_are_found_by_number_by_id_and_by_what_they_became() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _writer) = open(directory.path());
    let first = store.accept(push("one")).await.unwrap();
    accept(&store, delivery("two", Vec::new())).await;
    accept(&store, delivery("two", Vec::new())).await;
    let shop = NewDelivery {
        repo: "shop".to_owned(),
        ..delivery("three", Vec::new())
    };
    accept(&store, shop).await;
    let ids = async |page: DeliveryPage| -> Vec<(String, String)> {
        let rows = store.deliveries(page).await.unwrap();
        rows.into_iter().map(|row| (row.delivery, row.result)).collect()
    };
    let page = |repo: Option<&str>, result: Option<&str>, before, limit| DeliveryPage {
        repo: repo.map(str::to_owned),
        result: result.map(str::to_owned),
        before,
        limit,
    };
    let pair = |id: &str, result: &str| (id.to_owned(), result.to_owned());
    assert_eq!(
        ids(page(None, None, None, 2)).await,
        [pair("three", "ignored"), pair("two", "duplicate")]
    );
    assert_eq!(ids(page(Some("blog"), None, None, 9)).await.len(), 3);
    assert_eq!(
        ids(page(None, Some("accepted"), None, 9)).await,
        [pair("one", "accepted")]
    );
    assert_eq!(ids(page(None, None, Some(2), 9)).await, [pair("one", "accepted")]);
    for id in ["one", "1"] {
        let (row, headers, body) = store.delivery(id.to_owned()).await.unwrap().unwrap();
        assert_eq!(
            (row.number, row.jobs, headers.as_str()),
            (Some(1), vec![first.jobs[0].id], "[]")
        );
        assert_eq!(body, b"body");
    }
    assert!(
        store.delivery("3".to_owned()).await.unwrap().is_none(),
        "a duplicate has no body"
    );
    let again = store.replay(1, vec![job(false)], NOW).await.unwrap();
    let (row, ..) = store.delivery("one".to_owned()).await.unwrap().unwrap();
    assert_eq!(row.jobs, [first.jobs[0].id, again[0].id]);
}

#[tokio::test]
async fn a_poll_asks_only_where_nothing_waits_and_nothing_ended_meanwhile() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _writer) = open(directory.path());
    let poll = async |last| {
        store
            .request_if_idle(job(false), last, NOW)
            .await
            .unwrap()
            .map(|job| job.id)
    };
    let id = poll(None).await.unwrap();
    assert_eq!(poll(None).await, None, "one waits");
    let claim = store.claim(id, NOW).await.unwrap().unwrap();
    let deployment = claim.deployment;
    assert_eq!(poll(None).await, None, "it runs");
    store
        .finish(claim, Finish::plain(Outcome::Failed, ""), NOW)
        .await
        .unwrap();
    assert_eq!(poll(None).await, None, "it ended since");
    assert!(poll(Some(deployment)).await.is_some());
}

#[tokio::test]
async fn a_release_is_restored_before_what_waits_and_a_rollback_pins() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _writer) = open(directory.path());
    let release: ReleaseName = "20261127T120000Z-aaaaaaa".parse().unwrap();
    let back = |source| NewJob {
        release: Some(release.clone()),
        source,
        keep_all: true,
        ..job(true)
    };
    let plain = ask(&store).await.unwrap()[0].id;
    let restore = async || store.request_restore(back(Source::Poll), NOW).await.unwrap().is_some();
    assert!(restore().await, "beside a job that waits");
    assert!(!restore().await, "one waits");
    store.cancel_waiting(target(), NOW).await.unwrap();
    let running = ask(&store).await.unwrap()[0].id;
    assert!(running > plain);
    let claim = store.claim(running, NOW).await.unwrap().unwrap();
    assert!(!restore().await, "the target runs");
    store
        .finish(claim, Finish::plain(Outcome::Failed, ""), NOW)
        .await
        .unwrap();
    let asked = store
        .request_rollback(back(Source::Rollback), release.clone(), NOW)
        .await
        .unwrap();
    assert_eq!(asked.len(), 1);
    let pinned = async || store.target(&target()).await.unwrap().pinned;
    assert_eq!(pinned().await, Some(release.clone()));
    assert_eq!(store.cancel_waiting(target(), NOW).await.unwrap(), 1);
    assert_eq!(pinned().await, None, "as before the rollback");
}
