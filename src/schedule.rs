//! Which job starts next, what a look at the remote asks for, and when a failed fetch is tried again. No clock, no disk.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::config::{Pattern, RefFilter, Target};
use crate::git::RemoteRef;
use crate::model::{GitRef, RepoName, Timestamp, compare_tags};
use crate::store::{FailureRow, TargetRow, Tip, Tips, WaitingJob};

/// Waits before a job is tried again whose fetch failed for a reason that may pass. After the last one the job ends.
const RETRY_WAITS: [Duration; 5] = [
    Duration::from_secs(15),
    Duration::from_mins(1),
    Duration::from_mins(5),
    Duration::from_mins(15),
    Duration::from_hours(1),
];

/// What the worker does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Run this job.
    Start(i64),
    /// Nothing can start before this time.
    WaitUntil(Timestamp),
    /// Nothing can start until something changes.
    Idle,
}

/// Chooses a job: first come, first served, but one at a time per repo and `max_jobs` in all. What nobody waits for in
/// person does not begin while its repo is `resting`, for so long from now.
pub fn next(
    waiting: &[WaitingJob],
    running: &BTreeSet<RepoName>,
    resting: &BTreeMap<RepoName, Duration>,
    max_jobs: usize,
    now: Timestamp,
) -> Next {
    if running.len() >= max_jobs {
        return Next::Idle;
    }
    let mut earliest = None;
    let mut passed = BTreeSet::new();
    for job in waiting
        .iter()
        .filter(|job| !job.held && !running.contains(&job.target.repo))
    {
        // With `queue = "all"` a job that waits for its time holds back those behind it: their order is promised.
        if passed.contains(&job.target) {
            continue;
        }
        let rest = resting.get(&job.target.repo).filter(|_| !job.by_hand);
        let not_before = rest.map_or(job.not_before, |left| job.not_before.max(now.after(*left)));
        if not_before <= now {
            return Next::Start(job.id);
        }
        passed.insert(&job.target);
        earliest = Some(earliest.map_or(not_before, |t: Timestamp| t.min(not_before)));
    }
    earliest.map_or(Next::Idle, Next::WaitUntil)
}

/// When a job is tried again whose fetch failed for a reason that may pass; `None` if it has been tried often enough.
pub fn retry_at(attempt: u32, now: Timestamp) -> Option<Timestamp> {
    RETRY_WAITS
        .get(usize::try_from(attempt).ok()?)
        .map(|wait| now.after(*wait))
}

/// What comes of a look at the remote.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// The ref and commit that the target should be at and isn't.
    pub wanted: Option<Tip>,
    /// What to note: that there was a first look, and as dealt with the refs that were there before anybody asked, or that
    /// lost against a newer one.
    pub seen: Tips,
    /// What the remote has for failures that were remembered without that.
    pub advertised: Vec<Tip>,
}

/// A failure in force for what the remote has now.
fn rests<'a>(failures: &'a [FailureRow], tip: &Tip, now: Timestamp) -> Option<&'a FailureRow> {
    let is_it = |failure: &&FailureRow| {
        failure.git_ref == tip.git_ref
            && failure.rests_at(now)
            && failure.advertised.as_ref().is_none_or(|id| *id == tip.commit)
    };
    failures.iter().find(is_it)
}

/// Compares what the remote has with what was dealt with. A target that follows one branch wants its tip; one that follows
/// tags by their versions wants the newest; one that follows another pattern wants what moved since the last look, and of
/// several the greatest.
pub fn reconcile(
    target: &Target,
    row: &TargetRow,
    (tips, failures): (&Tips, &[FailureRow]),
    remote: &[RemoteRef],
    now: Timestamp,
) -> Reconciled {
    if !target.sees_enough() {
        return Reconciled::default();
    }
    let is_live =
        |tip: &Tip| row.live_ref.as_ref() == Some(&tip.git_ref) && row.live_commit.as_ref() == Some(&tip.commit);
    let dealt_with = |tip: &Tip| tips.known.contains(tip) || is_live(tip);
    let followed = followed(&target.refs, remote);
    let newest = followed.last().cloned();
    let mut candidates = followed;
    candidates.retain(|tip| !dealt_with(tip));
    let resting: Vec<Tip> = candidates
        .iter()
        .filter(|tip| rests(failures, tip, now).is_some())
        .cloned()
        .collect();
    candidates.retain(|tip| !resting.contains(tip));
    let unseen = |tip: &Tip| rests(failures, tip, now).is_some_and(|failure| failure.advertised.is_none());
    let advertised: Vec<Tip> = resting.iter().filter(|tip| unseen(tip)).cloned().collect();
    if target.refs.single().is_some() {
        return Reconciled {
            wanted: candidates.pop(),
            seen: Tips::default(),
            advertised,
        };
    }
    let first_look = !tips.looked;
    let wanted = match (first_look, row.live_commit.is_some()) {
        _ if target.refs.by_version() => newest.filter(|tip| candidates.contains(tip)),
        (true, true) => None,
        (true, false) => first_choice(&target.refs, &candidates),
        (false, _) => candidates.last().cloned(),
    };
    candidates.retain(|candidate| Some(candidate) != wanted.as_ref());
    let seen = Tips {
        looked: first_look,
        known: candidates,
    };
    Reconciled {
        wanted,
        seen,
        advertised,
    }
}

/// The newest version of the tags that a target follows, for targets that keep it; `None` if the remote has none, or if what
/// it has says too little.
pub fn newest_version(target: &Target, remote: &[RemoteRef]) -> Option<GitRef> {
    let newest = || Some(followed(&target.refs, remote).pop()?.git_ref);
    (target.refs.by_version() && target.sees_enough())
        .then(newest)
        .flatten()
}

/// Whether what is live is a newer version than a ref of a target that keeps the newest.
pub fn is_older(target: &Target, git_ref: &GitRef, live: &GitRef) -> bool {
    let comparable = target.refs.by_version() && target.refs.follows(live);
    comparable && compare_tags(git_ref.short(), live.short()).is_lt()
}

/// The tip that a target should be at: of its only ref, of the newest version, or of the ref that was deployed last.
pub fn tip(target: &Target, last: Option<&GitRef>, remote: &[RemoteRef]) -> Option<Tip> {
    let mut tips = followed(&target.refs, remote);
    let deployed = tips.iter().position(|tip| Some(&tip.git_ref) == last);
    match deployed {
        Some(at) if !target.refs.by_version() => Some(tips.swap_remove(at)),
        _ => tips.pop(),
    }
}

/// The refs of the remote that a target follows, the greatest last.
fn followed(refs: &RefFilter, remote: &[RemoteRef]) -> Vec<Tip> {
    let parsed = |r: &RemoteRef| {
        Some(Tip {
            git_ref: r.name.parse().ok()?,
            commit: r.peeled.clone().unwrap_or_else(|| r.object.clone()),
        })
    };
    let mut all: Vec<Tip> = remote.iter().filter_map(parsed).collect();
    all.retain(|tip| refs.follows(&tip.git_ref));
    all.sort_by(|a, b| compare_tags(a.git_ref.short(), b.git_ref.short()));
    all
}

/// The ref to begin with: the first pattern that has any, and the greatest by version of those.
fn first_choice(filter: &RefFilter, candidates: &[Tip]) -> Option<Tip> {
    let newest_of = |pattern: &Pattern| {
        candidates
            .iter()
            .rev()
            .find(|tip| pattern.glob.is_match(tip.git_ref.short()))
    };
    let chosen = filter.patterns().iter().filter(|p| !p.negated).find_map(newest_of);
    chosen.or(candidates.last()).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(more: &str) -> Target {
        target_of("branch = \"main\"", more)
    }

    fn target_of(refs: &str, more: &str) -> Target {
        let text = format!(
            "[repo.a]\nurl = \"/srv/a\"\nsecret = \"env:S\"\n[repo.a.deploy.b]\n{refs}\npath = \"/srv/b\"\n{more}\n"
        );
        let loaded = crate::config::parse(std::path::Path::new("/hookd.toml"), &text, &|_| None).unwrap();
        let id = "a/b".parse().unwrap();
        Target::clone(loaded.config.target(&id).unwrap().1)
    }

    #[test]
    fn a_look_at_the_remote_starts_nothing_that_only_certain_deliveries_may() {
        let remote = [RemoteRef {
            name: "refs/heads/main".to_owned(),
            object: "1".repeat(40).parse().unwrap(),
            peeled: None,
        }];
        let wanted = |more| {
            reconcile(
                &target(more),
                &TargetRow::default(),
                (&Tips::default(), &[]),
                &remote,
                Timestamp(0),
            )
            .wanted
            .is_some()
        };
        assert!(wanted("") && wanted("on = [\"release\", \"push\"]"));
        assert!(!wanted("on = \"release\"") && !wanted("pusher = \"alice\""));
    }

    #[test]
    fn the_newest_version_is_that_of_the_highest_tag() {
        let tag = |name: &str| RemoteRef {
            name: format!("refs/tags/{name}"),
            object: "1".repeat(40).parse().unwrap(),
            peeled: None,
        };
        let remote = ["v1.9.0", "v1.10.0", "v2.0.0-rc1", "other"].map(tag);
        let tags = |more: &str| {
            let newest = newest_version(&target_of("tag = \"v*\"", more), &remote)?;
            Some(newest.short().to_owned())
        };
        assert_eq!(tags("").as_deref(), Some("v1.10.0"));
        assert_eq!(tags("prereleases = true").as_deref(), Some("v2.0.0-rc1"));
        assert_eq!(tags("order = \"pushed\""), None);
    }

    #[test]
    fn what_failed_rests_until_the_remote_or_its_time_changes() {
        let id = |digit: char| digit.to_string().repeat(40).parse::<crate::model::CommitId>().unwrap();
        let remote = [RemoteRef {
            name: "refs/heads/main".to_owned(),
            object: id('1'),
            peeled: None,
        }];
        let found = |advertised, now| {
            let failure = FailureRow {
                git_ref: "refs/heads/main".parse().unwrap(),
                advertised,
                reason: "`current` is in the way".to_owned(),
                since: Timestamp(10),
                count: 1,
                retry_at: Timestamp(100),
            };
            reconcile(
                &target(""),
                &TargetRow::default(),
                (&Tips::default(), &[failure]),
                &remote,
                Timestamp(now),
            )
        };
        let rests = found(Some(id('1')), 50);
        assert!(rests.wanted.is_none() && rests.advertised.is_empty());
        let noted = found(None, 50);
        assert!(noted.wanted.is_none());
        assert_eq!(noted.advertised[0].commit, id('1'));
        assert!(found(Some(id('2')), 50).wanted.is_some());
        assert!(found(Some(id('1')), 100).wanted.is_some());
    }

    fn waiting(id: i64, target: &str, not_before: i64) -> WaitingJob {
        WaitingJob {
            id,
            position: id,
            target: target.parse().unwrap(),
            not_before: Timestamp(not_before),
            held: false,
            by_hand: false,
            requested_at: Timestamp(0),
            checks: None,
        }
    }

    #[test]
    fn the_first_that_may_run_starts_and_its_repo_has_no_other() {
        let now = Timestamp(1000);
        let (none, no_rest) = (BTreeSet::new(), BTreeMap::new());
        let running = BTreeSet::from(["blog".parse().unwrap()]);
        let rests = BTreeMap::from([("blog".parse().unwrap(), Duration::from_millis(50))]);
        let jobs = [waiting(1, "blog/live", 0), waiting(2, "shop/live", 0)];
        let in_force = |jobs: &[WaitingJob], running, rests| next(jobs, running, rests, 2, now);
        assert_eq!(in_force(&jobs, &none, &no_rest), Next::Start(1));
        assert_eq!(in_force(&jobs, &running, &no_rest), Next::Start(2));
        assert_eq!(next(&jobs, &running, &no_rest, 1, now), Next::Idle);
        assert_eq!(in_force(&[], &none, &no_rest), Next::Idle);
        let mut held = jobs.clone();
        held[0].held = true;
        assert_eq!(in_force(&held, &none, &no_rest), Next::Start(2));
        assert_eq!(in_force(&held, &running, &no_rest), Next::Start(2));
        assert_eq!(in_force(&held[..1], &none, &no_rest), Next::Idle);
        // Its repo rests, unless a person waits for it.
        assert_eq!(in_force(&jobs[..1], &none, &rests), Next::WaitUntil(Timestamp(1050)));
        let mut by_hand = jobs.clone();
        by_hand[0].by_hand = true;
        assert_eq!(in_force(&by_hand[..1], &none, &rests), Next::Start(1));
    }

    #[test]
    fn what_waits_for_its_time_holds_back_its_own_target_alone() {
        let now = Timestamp(1000);
        let first = |jobs: &[WaitingJob]| next(jobs, &BTreeSet::new(), &BTreeMap::new(), 2, now);
        let later = waiting(1, "blog/live", 1001);
        assert_eq!(first(&[waiting(1, "blog/live", 1000)]), Next::Start(1));
        assert_eq!(first(std::slice::from_ref(&later)), Next::WaitUntil(Timestamp(1001)));
        let behind = [later.clone(), waiting(2, "blog/live", 0)];
        assert_eq!(first(&behind), Next::WaitUntil(Timestamp(1001)));
        let beside = [later.clone(), waiting(2, "blog/test", 0)];
        assert_eq!(first(&beside), Next::Start(2));
        let both = [later, waiting(2, "shop/live", 1500)];
        assert_eq!(first(&both), Next::WaitUntil(Timestamp(1001)));
    }

    #[test]
    fn a_failure_that_may_pass_is_tried_five_times_more() {
        let waits = (0..7).map(|attempt| retry_at(attempt, Timestamp(0)).map(|at| at.0 / 1000));
        let seconds = [Some(15), Some(60), Some(300), Some(900), Some(3600), None, None];
        assert!(waits.eq(seconds));
    }

    fn remote(refs: &[(&str, char)]) -> Vec<RemoteRef> {
        let one = |(name, digit): &(&str, char)| RemoteRef {
            name: (*name).to_owned(),
            object: digit.to_string().repeat(40).parse().unwrap(),
            peeled: None,
        };
        refs.iter().map(one).collect()
    }

    fn named(name: &str, digit: char) -> Tip {
        Tip {
            git_ref: name.parse().unwrap(),
            commit: digit.to_string().repeat(40).parse().unwrap(),
        }
    }

    #[test]
    fn the_first_look_at_several_branches_starts_one_and_only_where_nothing_is_live() {
        let target = target_of("branch = [\"release/*\", \"main\", \"!release/x\"]", "");
        let refs = [
            ("refs/heads/main", '1'),
            ("refs/heads/release/a", '2'),
            ("refs/heads/release/b", '3'),
            ("refs/heads/release/x", '4'),
        ];
        let (remote, now) = (remote(&refs), Timestamp(0));
        let look = |row: &TargetRow, tips: &Tips| reconcile(&target, row, (tips, &[]), &remote, now);
        let fresh = look(&TargetRow::default(), &Tips::default());
        assert_eq!(fresh.wanted, Some(named("refs/heads/release/b", '3')));
        assert!(fresh.seen.looked);
        let rest = [named("refs/heads/main", '1'), named("refs/heads/release/a", '2')];
        assert!(rest.iter().all(|tip| fresh.seen.known.contains(tip)) && fresh.seen.known.len() == 2);
        // The first pattern goes before a greater name.
        let main_first = target_of("branch = [\"main\", \"release/*\"]", "");
        let (none, nothing) = (Tips::default(), TargetRow::default());
        let found = reconcile(&main_first, &nothing, (&none, &[]), &remote, now);
        assert_eq!(found.wanted, Some(named("refs/heads/main", '1')));
        let live = TargetRow {
            live_commit: Some(named("refs/heads/main", '1').commit),
            live_ref: Some("refs/heads/main".parse().unwrap()),
            ..TargetRow::default()
        };
        let first = look(&live, &Tips::default());
        assert_eq!(
            (first.wanted, first.seen.known.len()),
            (None, 2),
            "what is live is not among them"
        );
        let later = look(
            &live,
            &Tips {
                looked: true,
                known: Vec::new(),
            },
        );
        assert_eq!(later.wanted, Some(named("refs/heads/release/b", '3')));
        assert!(!later.seen.looked);
        // The same commit on another branch is not what is live, nor another commit on the same one.
        let moved = TargetRow {
            live_commit: Some(named("refs/heads/main", '3').commit),
            ..live.clone()
        };
        let known = Tips {
            looked: true,
            known: vec![named("refs/heads/release/a", '2')],
        };
        let found = look(&moved, &known);
        assert_eq!(found.wanted, Some(named("refs/heads/release/b", '3')));
        assert_eq!(found.seen.known, [named("refs/heads/main", '1')]);
    }

    #[test]
    fn a_failure_rests_for_its_own_ref_alone() {
        let target = target_of("branch = \"*\"", "");
        let failure = FailureRow {
            git_ref: "refs/heads/main".parse().unwrap(),
            advertised: None,
            reason: String::new(),
            since: Timestamp(10),
            count: 1,
            retry_at: Timestamp(100),
        };
        let both = remote(&[("refs/heads/main", '1'), ("refs/heads/other", '2')]);
        let tips = Tips {
            looked: true,
            known: Vec::new(),
        };
        let found = reconcile(
            &target,
            &TargetRow::default(),
            (&tips, &[failure]),
            &both,
            Timestamp(50),
        );
        assert_eq!(found.wanted, Some(named("refs/heads/other", '2')));
        assert_eq!(found.advertised, [named("refs/heads/main", '1')]);
        assert!(found.seen.known.is_empty());
    }

    #[test]
    fn of_versions_the_newest_counts_and_an_older_one_never_replaces_it() {
        let versions = target_of("tag = \"v*\"", "");
        let pushed = target_of("tag = \"v*\"", "order = \"pushed\"");
        let tags = remote(&[("refs/tags/v1.9.0", '1'), ("refs/tags/v1.10.0", '2')]);
        let tips = |known: &[Tip]| Tips {
            looked: true,
            known: known.to_vec(),
        };
        let look = |target: &Target, known: &[Tip]| {
            let found = reconcile(target, &TargetRow::default(), (&tips(known), &[]), &tags, Timestamp(0));
            found.wanted.map(|tip| tip.git_ref.short().to_owned())
        };
        assert_eq!(look(&versions, &[]).as_deref(), Some("v1.10.0"));
        let newest = [named("refs/tags/v1.10.0", '2')];
        assert_eq!(look(&versions, &newest), None, "the older one is not wanted");
        assert_eq!(look(&pushed, &newest).as_deref(), Some("v1.9.0"));
        let (old, new): (GitRef, GitRef) = (
            "refs/tags/v1.9.0".parse().unwrap(),
            "refs/tags/v1.10.0".parse().unwrap(),
        );
        let other: GitRef = "refs/tags/w3.0.0".parse().unwrap();
        assert!(is_older(&versions, &old, &new));
        assert!(!is_older(&versions, &new, &old) && !is_older(&versions, &new, &new));
        assert!(!is_older(&pushed, &old, &new) && !is_older(&versions, &old, &other));
        let at = |target: &Target, last: Option<&GitRef>| tip(target, last, &tags).map(|tip| tip.git_ref);
        assert_eq!(at(&versions, Some(&old)), Some(new.clone()));
        assert_eq!(at(&pushed, Some(&old)), Some(old));
        assert_eq!(at(&pushed, None), Some(new));
        assert_eq!(tip(&pushed, None, &[]), None);
    }
}
