//! Which job starts next, what a look at the remote asks for, and when a failed fetch is tried again. No clock, no disk.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::config::{Pattern, RefFilter, Target};
use crate::git::RemoteRef;
use crate::model::{CommitId, GitRef, RefKind, RepoName, Timestamp};
use crate::store::{TargetRow, Tip, WaitingJob};

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
/// person does not begin while its repo is `resting`.
pub fn next(
    waiting: &[WaitingJob],
    running: &BTreeSet<RepoName>,
    resting: &BTreeMap<RepoName, Timestamp>,
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
        let not_before = rest.map_or(job.not_before, |until| job.not_before.max(*until));
        if not_before <= now {
            return Next::Start(job.id);
        }
        passed.insert(&job.target);
        earliest = Some(earliest.map_or(not_before, |t: Timestamp| t.min(not_before)));
    }
    earliest.map_or(Next::Idle, Next::WaitUntil)
}

/// When a job is tried again whose fetch failed for a reason that may pass; none if it has been tried often enough.
pub fn retry_at(attempt: u32, now: Timestamp) -> Option<Timestamp> {
    RETRY_WAITS
        .get(usize::try_from(attempt).ok()?)
        .map(|wait| now.after(*wait))
}

/// The ref under which a target's first look at its remote is noted among its tips; no real ref has this name.
pub const FIRST_LOOK: &str = "*";

/// What comes of a look at the remote.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// The ref and commit that the target should be at and isn't.
    pub wanted: Option<(GitRef, CommitId)>,
    /// Tips to note as dealt with: refs that were there before anybody asked, or that lost against a newer one.
    pub seen: Vec<(String, String)>,
}

/// Compares what the remote has with what was dealt with. A target that follows one branch wants its tip; a target that
/// follows a pattern wants what moved since the last look, and of several the greatest by version.
pub fn reconcile(target: &Target, row: &TargetRow, tips: &[Tip], remote: &[RemoteRef]) -> Reconciled {
    if !knows_enough(target) {
        return Reconciled::default();
    }
    let dealt_with = |git_ref: &GitRef, commit: &CommitId| {
        let is = |r: &str, c: &str| r == git_ref.as_str() && c == commit.as_str();
        tips.iter().any(|tip| is(&tip.git_ref, &tip.commit))
            || row
                .live_ref
                .as_deref()
                .zip(row.live_commit.as_deref())
                .is_some_and(|(r, c)| is(r, c))
    };
    let mut candidates: Vec<(GitRef, CommitId)> = remote
        .iter()
        .filter_map(|r| {
            Some((
                r.name.parse().ok()?,
                r.peeled.clone().unwrap_or_else(|| r.object.clone()),
            ))
        })
        .filter(|(git_ref, commit)| follows(&target.refs, git_ref) && !dealt_with(git_ref, commit))
        .collect();
    candidates.sort_by(|a, b| natural(a.0.short(), b.0.short()));
    if single_ref(&target.refs) {
        return Reconciled {
            wanted: candidates.pop(),
            seen: Vec::new(),
        };
    }
    let first_look = !tips.iter().any(|tip| tip.git_ref == FIRST_LOOK);
    let wanted = match (first_look, row.live_commit.is_some()) {
        (true, true) => None,
        (true, false) => first_choice(&target.refs, &candidates),
        (false, _) => candidates.last().cloned(),
    };
    let mut seen: Vec<(String, String)> = candidates
        .into_iter()
        .filter(|candidate| Some(candidate) != wanted.as_ref())
        .map(|(git_ref, commit)| (git_ref.to_string(), commit.to_string()))
        .collect();
    if first_look {
        seen.push((FIRST_LOOK.to_owned(), String::new()));
    }
    Reconciled { wanted, seen }
}

/// Whether a look at the remote can tell that the target is to be deployed. Who pushed, and what else happened on the
/// forge, only a delivery tells.
fn knows_enough(target: &Target) -> bool {
    let pushes = target.on.is_empty() || target.on.iter().any(|on| on.0 == "push");
    pushes && target.pusher.is_empty()
}

/// Whether the target follows this ref.
pub fn follows(filter: &RefFilter, git_ref: &GitRef) -> bool {
    match (filter, git_ref.kind()) {
        (RefFilter::Branches(patterns), RefKind::Branch) | (RefFilter::Tags(patterns), RefKind::Tag) => {
            crate::config::matches(patterns, git_ref.short())
        }
        _ => false,
    }
}

fn patterns(filter: &RefFilter) -> &[Pattern] {
    match filter {
        RefFilter::Branches(patterns) | RefFilter::Tags(patterns) => patterns,
    }
}

fn single_ref(filter: &RefFilter) -> bool {
    matches!(patterns(filter), [only] if only.is_exact())
}

/// The ref to begin with: the first pattern that has any, and the greatest by version of those.
fn first_choice(filter: &RefFilter, candidates: &[(GitRef, CommitId)]) -> Option<(GitRef, CommitId)> {
    let newest_of = |pattern: &Pattern| candidates.iter().rev().find(|(r, _)| pattern.glob.is_match(r.short()));
    let chosen = patterns(filter).iter().filter(|p| !p.negated).find_map(newest_of);
    chosen.or(candidates.last()).cloned()
}

/// Compares as people count: digits as numbers, so that v10 comes after v9.
fn natural(a: &str, b: &str) -> std::cmp::Ordering {
    let (mut left, mut right) = (a, b);
    let number = |part: &str| part.starts_with(|c: char| c.is_ascii_digit());
    loop {
        let (x, y) = (chunk(&mut left), chunk(&mut right));
        let order = if number(x) && number(y) {
            let (x, y) = (x.trim_start_matches('0'), y.trim_start_matches('0'));
            x.len().cmp(&y.len()).then_with(|| x.cmp(y))
        } else {
            x.cmp(y)
        };
        if order.is_ne() || (x.is_empty() && y.is_empty()) {
            return order;
        }
    }
}

/// Takes a run of digits or of other characters from the front.
fn chunk<'a>(text: &mut &'a str) -> &'a str {
    let digit = text.starts_with(|c: char| c.is_ascii_digit());
    let end = text.find(|c: char| c.is_ascii_digit() != digit).unwrap_or(text.len());
    let (head, tail) = text.split_at(end);
    *text = tail;
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(more: &str) -> Target {
        let text = format!(
            "[repo.a]\nurl = \"/srv/a\"\nsecret = \"env:S\"\n[repo.a.deploy.b]\nbranch = \"main\"\npath = \"/srv/b\"\n{more}\n"
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
            reconcile(&target(more), &TargetRow::default(), &[], &remote)
                .wanted
                .is_some()
        };
        assert!(wanted("") && wanted("on = [\"release\", \"push\"]"));
        assert!(!wanted("on = \"release\"") && !wanted("pusher = \"alice\""));
    }
}
