//! Jobs that run, are given back, and go on; and what goes for want of room.

use super::*;

#[tokio::test]
async fn what_a_deployment_learns_is_kept_phase_by_phase() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _writer) = open(directory.path());
    let claim = begin(&store).await;
    let release: ReleaseName = "20261127T120000Z-aaaaaaa".parse().unwrap();
    let fetched = Progress {
        commit: Some(commit('a')),
        subject: Some("Say hello".to_owned()),
        ..Progress::default()
    };
    store.enter(claim.deployment, Phase::Fetch, fetched, NOW).await.unwrap();
    let made = Progress {
        release: Some(release.clone()),
        ..Progress::default()
    };
    store
        .enter(claim.deployment, Phase::Build, made, Timestamp(NOW.0 + 5))
        .await
        .unwrap();
    let (row, phases) = store.deployment(claim.deployment).await.unwrap().unwrap();
    assert_eq!((row.phase, row.commit.clone()), (Phase::Build, Some(commit('a'))));
    assert_eq!(
        (row.subject.as_deref(), row.release.clone()),
        (Some("Say hello"), Some(release.clone()))
    );
    let ends: Vec<_> = phases.iter().map(|phase| (phase.phase, phase.finished_at)).collect();
    assert_eq!(ends, [(Phase::Fetch, Some(NOW.0 + 5)), (Phase::Build, None)]);
    assert_eq!(store.releases(&target()).await.unwrap()[0].name, release);
    let mut end = Finish::plain(Outcome::Live, "");
    end.live = Some(WentLive {
        commit: commit('a'),
        git_ref: branch(),
        release: Some(release.clone()),
    });
    end.release = Some((release.clone(), ReleaseState::Good));
    store.finish(claim, end, Timestamp(NOW.0 + 9)).await.unwrap();
    let live = store.target(&target()).await.unwrap();
    assert_eq!(
        (live.live_commit, live.live_release),
        (Some(commit('a')), Some(release))
    );
    assert_eq!((live.live_ref, live.live_since), (Some(branch()), Some(NOW.0 + 9)));
    assert_eq!(store.releases(&target()).await.unwrap()[0].state, ReleaseState::Good);
    let (last, running) = store.latest(&target()).await.unwrap();
    assert_eq!((last.unwrap().outcome, running.is_none()), (Some(Outcome::Live), true));
    let mut gone = Finish::plain(Outcome::Failed, "removed by hand");
    gone.nothing_live = true;
    store.finish(begin(&store).await, gone, NOW).await.unwrap();
    assert_eq!(store.target(&target()).await.unwrap().live_commit, None);
}

#[tokio::test]
async fn what_was_cut_off_goes_on_from_activate_and_begins_anew_before_it() {
    for (phase, goes_on) in [
        (Phase::Fetch, false),
        (Phase::Build, false),
        (Phase::Activate, true),
        (Phase::Check, true),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let (store, _writer) = open(directory.path());
        let claim = begin(&store).await;
        store
            .enter(claim.deployment, phase, Progress::default(), NOW)
            .await
            .unwrap();
        let claims = store.recover(vec![claim.job.id], NOW).await.unwrap();
        assert_eq!(claims.len(), usize::from(goes_on), "{phase}");
        if let [again] = &claims[..] {
            assert_eq!(
                (again.deployment, again.resumed.as_ref().map(|row| row.phase)),
                (claim.deployment, Some(phase))
            );
            assert!(store.waiting().await.unwrap().is_empty());
        } else {
            assert_eq!(store.waiting().await.unwrap()[0].id, claim.job.id);
            let (row, _) = store.deployment(claim.deployment).await.unwrap().unwrap();
            assert_eq!(row.outcome, Some(Outcome::Interrupted));
        }
    }
}

#[tokio::test]
async fn a_job_that_is_given_back_waits_again() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _writer) = open(directory.path());
    let claim = begin(&store).await;
    let (id, deployment) = (claim.job.id, claim.deployment);
    store
        .give_back(claim, "the daemon stops".to_owned(), NOW)
        .await
        .unwrap();
    assert_eq!(store.waiting().await.unwrap()[0].id, id);
    let (row, _) = store.deployment(deployment).await.unwrap().unwrap();
    assert_eq!(
        (row.outcome, row.reason.as_deref()),
        (Some(Outcome::Interrupted), Some("the daemon stops"))
    );
}

#[tokio::test]
async fn a_deployment_of_an_older_commit_leaves_a_job_for_the_tip() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _writer) = open(directory.path());
    let mut end = Finish::plain(Outcome::Live, "");
    end.again = true;
    let claim = begin(&store).await;
    let first = claim.job.id;
    store.finish(claim, end.clone(), NOW).await.unwrap();
    let left = store.waiting().await.unwrap()[0].id;
    assert!(left > first);
    // A newer request that waits is enough.
    let claim = store.claim(left, NOW).await.unwrap().unwrap();
    let newer = ask(&store).await.unwrap()[0].id;
    store.finish(claim, end, NOW).await.unwrap();
    let ids: Vec<_> = store.waiting().await.unwrap().iter().map(|job| job.id).collect();
    assert_eq!(ids, [newer]);
}

#[tokio::test]
async fn a_rollback_pins_if_it_is_live_and_else_leaves_what_was_pinned() {
    for (outcome, stays) in [(Outcome::Live, true), (Outcome::Failed, false)] {
        let directory = tempfile::tempdir().unwrap();
        let (store, _writer) = open(directory.path());
        let release: ReleaseName = "20261127T120000Z-aaaaaaa".parse().unwrap();
        let back = NewJob {
            release: Some(release.clone()),
            source: Source::Rollback,
            ..job(false)
        };
        let asked = store.request_rollback(back, release.clone(), NOW).await.unwrap();
        let claim = store.claim(asked[0].id, NOW).await.unwrap().unwrap();
        store.finish(claim, Finish::plain(outcome, ""), NOW).await.unwrap();
        assert_eq!(store.target(&target()).await.unwrap().pinned, stays.then_some(release));
        store.set_paused(&target(), false).await.unwrap();
        assert_eq!(store.target(&target()).await.unwrap().pinned, None);
    }
}

/// Eight payloads of 10,000 bytes, the first half of them of deliveries that led to a job.
#[tokio::test]
async fn beyond_the_budget_payloads_of_what_led_to_nothing_go_first_and_the_oldest_of_them() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _writer) = open(directory.path());
    for number in 0..8 {
        let jobs = if number < 4 { vec![job(true)] } else { Vec::new() };
        let new = NewDelivery {
            body_sha256: number.to_string(),
            body: vec![b'x'; 10_000],
            ..delivery(&format!("id{number}"), jobs)
        };
        store.accept(new).await.unwrap();
    }
    let payloads = async || -> Vec<bool> {
        let mut kept = Vec::new();
        for number in 0..8 {
            let found = store.delivery(format!("id{number}")).await.unwrap();
            kept.push(found.is_some_and(|(_, _, body)| !body.is_empty()));
        }
        kept
    };
    store.prune_deliveries(1 << 20).await.unwrap();
    assert_eq!(payloads().await, [true; 8]);
    store.prune_deliveries(70_000).await.unwrap();
    assert_eq!(payloads().await, [true, true, true, true, false, false, true, true]);
    // What a job still needs stays.
    store.prune_deliveries(0).await.unwrap();
    assert_eq!(payloads().await, [true, true, true, true, false, false, false, false]);
    let rows = async || {
        store
            .deliveries(DeliveryPage {
                limit: 9,
                ..DeliveryPage::default()
            })
            .await
            .unwrap()
            .len()
    };
    assert_eq!(rows().await, 4, "those without a job are gone whole");
    store.cancel_waiting(target(), NOW).await.unwrap();
    store.prune_deliveries(25_000).await.unwrap();
    assert_eq!(payloads().await, [false, false, true, true, false, false, false, false]);
    assert_eq!(rows().await, 4);
}

#[tokio::test]
async fn a_job_is_given_up_that_the_daemon_does_not_survive() {
    for (phase, most) in [(Phase::Fetch, 3), (Phase::Build, 3), (Phase::Reload, 2)] {
        let directory = tempfile::tempdir().unwrap();
        let (store, _writer) = open(directory.path());
        let job = ask(&store).await.unwrap()[0].id;
        let begin = async || {
            let claim = store.claim(job, NOW).await.unwrap().unwrap();
            store
                .enter(claim.deployment, phase, Progress::default(), NOW)
                .await
                .unwrap();
        };
        begin().await;
        // An orderly stop is no crash.
        store.stop_orderly().await.unwrap();
        let mut given_up = Vec::new();
        for _ in 0..=most {
            let claims = store.recover(vec![job], NOW).await.unwrap();
            given_up.push(claims.first().and_then(|claim| claim.given_up));
            if claims.is_empty() {
                begin().await;
            }
        }
        let last = given_up.pop().unwrap().unwrap();
        assert!(given_up.iter().all(Option::is_none), "{phase}: {given_up:?}");
        assert_eq!((last.phase, last.crashes), (phase, most));
        let says = format!("hookd was killed {most} times while this was in {phase}, so it was given up");
        assert_eq!(last.to_string(), says);
    }
}

#[tokio::test]
async fn the_newest_ends_of_a_target_come_first() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _writer) = open(directory.path());
    for (outcome, why) in [
        (Outcome::Failed, "first"),
        (Outcome::Live, "second"),
        (Outcome::RolledBack, "third"),
    ] {
        store
            .finish(begin(&store).await, Finish::plain(outcome, why), NOW)
            .await
            .unwrap();
    }
    let running = begin(&store).await.deployment;
    let ends = store.outcomes(&target(), 2).await.unwrap();
    let third = ("rolled-back".to_owned(), Some("third".to_owned()));
    assert_eq!((ends.len(), (ends[0].1.clone(), ends[0].2.clone())), (2, third));
    assert_eq!(ends[1].1, "live");
    assert_eq!(ends[0].0, running - 1);
    let (row, phases) = store.deployment(running).await.unwrap().unwrap();
    assert_eq!((row.id, row.outcome, phases.len()), (running, None, 0));
    assert!(store.deployment(running + 1).await.unwrap().is_none());
    let (last, runs) = store.latest(&target()).await.unwrap();
    assert_eq!(last.map(|row| row.id), Some(running - 1));
    assert_eq!(runs.map(|row| row.id), Some(running));
    let ids = async |page: Page| -> Vec<i64> {
        let rows = store.history(page).await.unwrap();
        rows.iter().map(|row| running - row.id).collect()
    };
    let newest = |target: &str, limit| Page::newest(Some(target.to_owned()), limit);
    assert_eq!(ids(newest("blog", 3)).await, [0, 1, 2]);
    assert_eq!(ids(newest("blog/live", 9)).await, [0, 1, 2, 3]);
    assert!(ids(newest("blog/test", 9)).await.is_empty() && ids(newest("shop", 9)).await.is_empty());
    let older = Page {
        before: Some(running - 1),
        outcome: Some(Outcome::Failed),
        ..newest("blog", 9)
    };
    assert_eq!(ids(older).await, [3]);
}

#[tokio::test]
async fn what_waits_for_targets_that_the_configuration_lost_is_ended_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _writer) = open(directory.path());
    let kept = ask(&store).await.unwrap()[0].id;
    let lost = ["blog/old", "shop/live", "shop/live"].map(|id| NewJob {
        target: id.parse().unwrap(),
        ..job(true)
    });
    let lost = store.request(lost.to_vec(), NOW).await.unwrap();
    assert_eq!(store.drop_unknown(vec![target()], NOW).await.unwrap(), 3);
    assert_eq!(store.drop_unknown(vec![target()], NOW).await.unwrap(), 0);
    let waiting = store.waiting().await.unwrap();
    assert_eq!(waiting.iter().map(|job| job.id).collect::<Vec<_>>(), [kept]);
    for job in lost {
        let status = store.job(job.id).await.unwrap().unwrap();
        assert_eq!(status.outcome, Some(Outcome::Cancelled));
    }
}

#[tokio::test]
async fn a_target_is_held_while_it_is_paused_and_while_it_is_pinned() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _writer) = open(directory.path());
    let held = async || store.target(&target()).await.unwrap().held();
    assert!(!held().await);
    store.set_paused(&target(), true).await.unwrap();
    assert!(held().await);
    store.set_paused(&target(), false).await.unwrap();
    assert!(!held().await);
    let release: ReleaseName = "20261127T120000Z-aaaaaaa".parse().unwrap();
    let back = NewJob {
        release: Some(release.clone()),
        source: Source::Rollback,
        ..job(false)
    };
    store.request_rollback(back, release, NOW).await.unwrap();
    assert!(held().await, "pinned");
}

#[tokio::test]
async fn only_what_a_look_would_ask_for_again_is_remembered_as_a_failure() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _writer) = open(directory.path());
    let failures = async || store.failures(&target()).await.unwrap();
    let failed = || Finish::plain(Outcome::Failed, "in the way");
    let tried_again = Finish {
        retry_at: Some(NOW),
        ..failed()
    };
    let claim = begin(&store).await;
    let id = claim.job.id;
    store.finish(claim, tried_again, NOW).await.unwrap();
    assert!(failures().await.is_empty(), "the job itself is tried again");
    let claim = store.claim(id, NOW).await.unwrap().unwrap();
    store.finish(claim, failed(), NOW).await.unwrap();
    assert_eq!((failures().await.len(), &failures().await[0].advertised), (1, &None));
    // The next look says what the remote has there.
    let tip = Tip {
        git_ref: branch(),
        commit: commit('b'),
    };
    store.note_advertised(&target(), vec![tip]).await.unwrap();
    assert_eq!(failures().await[0].advertised, Some(commit('b')));
    // A rollback that goes live says nothing of the ref.
    let release: ReleaseName = "20261127T120000Z-aaaaaaa".parse().unwrap();
    let back = NewJob {
        release: Some(release.clone()),
        source: Source::Rollback,
        ..job(false)
    };
    let asked = store.request_rollback(back, release, NOW).await.unwrap();
    let claim = store.claim(asked[0].id, NOW).await.unwrap().unwrap();
    store
        .finish(claim, Finish::plain(Outcome::Live, ""), NOW)
        .await
        .unwrap();
    assert_eq!(failures().await.len(), 1);
    let removed = NewJob {
        git_ref: "refs/heads/other".parse().unwrap(),
        release: Some("20261127T120000Z-bbbbbbb".parse().unwrap()),
        source: Source::Poll,
        ..job(false)
    };
    let restored = store.request_restore(removed, NOW).await.unwrap().unwrap();
    let claim = store.claim(restored.id, NOW).await.unwrap().unwrap();
    store.finish(claim, failed(), NOW).await.unwrap();
    assert_eq!(failures().await.len(), 1, "nor does a release that is put back");
    let row = &failures().await[0];
    assert!(!row.rests_at(row.retry_at) && row.rests_at(Timestamp(row.retry_at.0 - 1)));
    // A clock that was set back a month makes the pause no longer.
    assert!(!row.rests_at(Timestamp(NOW.0 - 30 * 86_400_000)));
    let last = FailureRow {
        retry_at: NOW.after(std::time::Duration::from_hours(12)),
        ..row.clone()
    };
    assert!(last.rests_at(NOW) && !last.rests_at(Timestamp(NOW.0 - 1)));
}

#[tokio::test]
async fn a_run_is_shown_with_the_words_of_its_commit_and_what_such_runs_take() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _writer) = open(directory.path());
    let usual = async || store.usual_duration(&target()).await.unwrap();
    assert_eq!(usual().await, None);
    let words = CommitText {
        subject: Some("Say hello".to_owned()),
        author: Some("Alice".to_owned()),
    };
    let (commit, other) = (commit('a').to_string(), "f".repeat(40));
    for (outcome, took) in [
        (Outcome::Live, 5),
        (Outcome::Live, 90),
        (Outcome::Failed, 1000),
        (Outcome::Live, 7),
        (Outcome::Live, 1),
    ] {
        let claim = begin(&store).await;
        store
            .describe(claim.deployment, commit.clone(), words.clone())
            .await
            .unwrap();
        let end = Timestamp(NOW.0 + took);
        store.finish(claim, Finish::plain(outcome, ""), end).await.unwrap();
    }
    assert_eq!(usual().await, Some(7));
    let beside: TargetId = "blog/test".parse().unwrap();
    assert_eq!(store.commit_text(&beside, commit.clone()).await.unwrap(), words);
    let elsewhere: TargetId = "shop/live".parse().unwrap();
    for (target, commit) in [(&elsewhere, commit), (&beside, other)] {
        let found = store.commit_text(target, commit).await.unwrap();
        assert_eq!(found, CommitText::default());
    }
}

#[tokio::test]
async fn a_release_whose_making_was_cut_off_is_half_made_until_it_is_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _writer) = open(directory.path());
    let claim = begin(&store).await;
    let release: ReleaseName = "20261127T120000Z-aaaaaaa".parse().unwrap();
    let made = Progress {
        commit: Some(commit('a')),
        release: Some(release.clone()),
        ..Progress::default()
    };
    store.enter(claim.deployment, Phase::Build, made, NOW).await.unwrap();
    let half_made = async || store.half_made(&target()).await.unwrap();
    assert!(half_made().await.is_empty(), "it is being made");
    store.recover(vec![claim.job.id], NOW).await.unwrap();
    assert_eq!(half_made().await, std::slice::from_ref(&release));
    store.forget_releases(&target(), vec![release]).await.unwrap();
    assert!(half_made().await.is_empty());
    assert!(store.releases(&target()).await.unwrap().is_empty());
    store.set_paused(&target(), true).await.unwrap();
    store.set_paused(&"shop/live".parse().unwrap(), false).await.unwrap();
    let targets = store.targets().await.unwrap();
    let paused: Vec<_> = targets.iter().map(|(id, row)| (id.to_string(), row.paused)).collect();
    assert_eq!(
        paused,
        [("blog/live".to_owned(), true), ("shop/live".to_owned(), false)]
    );
}

#[tokio::test]
async fn what_a_look_at_the_remote_has_dealt_with_is_known_by_target() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _writer) = open(directory.path());
    let tips = async || store.tips(&target()).await.unwrap();
    let note = async |looked, digits: &str| {
        let tip = |digit| Tip {
            git_ref: branch(),
            commit: commit(digit),
        };
        let known = digits.chars().map(tip).collect();
        let seen = Tips { looked, known };
        store.note_tips(&target(), seen.clone()).await.unwrap();
        seen
    };
    assert_eq!(tips().await, Tips::default());
    assert_eq!(note(false, "a").await, tips().await);
    let first = note(true, "").await;
    assert_eq!((tips().await.looked, tips().await.known.len()), (first.looked, 1));
    assert_eq!(note(true, "b").await, tips().await);
    let beside = store.tips(&"blog/test".parse().unwrap()).await.unwrap();
    assert_eq!(beside, Tips::default());
}

#[tokio::test]
async fn a_commit_ended_badly_unless_it_went_live_since_or_lacked_green_checks_only() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _writer) = open(directory.path());
    let badly = async || store.ended_badly(&target(), &commit('a')).await.unwrap();
    for (outcome, unchecked, expected) in [
        (Outcome::Interrupted, false, None),
        (Outcome::Failed, false, Some(Outcome::Failed)),
        (Outcome::Interrupted, false, Some(Outcome::Failed)),
        (Outcome::Live, false, None),
        (Outcome::RolledBack, false, Some(Outcome::RolledBack)),
        (Outcome::Cancelled, false, Some(Outcome::Cancelled)),
        (Outcome::Failed, true, None),
    ] {
        let tip = Tip {
            git_ref: branch(),
            commit: commit('a'),
        };
        let end = Finish {
            tip: Some(tip),
            unchecked,
            ..Finish::plain(outcome, "")
        };
        store.finish(begin(&store).await, end, NOW).await.unwrap();
        assert_eq!(badly().await, expected, "{outcome:?}");
        let other = store.ended_badly(&target(), &commit('b')).await.unwrap();
        assert_eq!(other, None);
    }
}
