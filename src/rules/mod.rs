//! Event and configuration to verdicts: what is deployed, what is not, and why, in words for people. Pure.

mod checks;
mod names;
mod refs;

pub use checks::{Note, noted};
pub use names::is_about;
pub use refs::matches;

use crate::config::{Repo, Target};
use crate::forge::Parsed;
use crate::model::{Action, CommitId, Event, EventKind, GitRef, TargetId, words};

/// Marks in the message of the head commit with which the author asks for no deployment, in lower case.
const SKIP_MARKS: &[&str] = &["[skip deploy]", "[deploy skip]", "[no deploy]"];

/// Longest text of a payload that is repeated in a reason, characters.
const SHOWN_MAX: usize = 100;

/// What is done about one event for one target.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The target.
    pub target: TargetId,
    /// What is done.
    pub decision: Decision,
    /// Why, for people: for an ignored event the first condition that failed.
    pub reason: String,
    /// All conditions, in the order in which they were looked at.
    pub conditions: Vec<Condition>,
}

impl Verdict {
    /// `deploy` or `ignore`.
    pub fn word(&self) -> &'static str {
        match self.decision {
            Decision::Deploy { .. } => "deploy",
            Decision::Ignore => "ignore",
        }
    }
}

/// Deploy or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Bring the target to the tip of this ref.
    Deploy {
        /// The ref, checked.
        git_ref: GitRef,
        /// The commit that the payload claims: a hint, since the tip is asked from the remote.
        commit: Option<CommitId>,
        /// Who did it, as the payload claims.
        pusher: Option<String>,
    },
    /// Do nothing.
    Ignore,
}

/// One condition and whether it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Its name: the key of the configuration, if there is one.
    pub name: &'static str,
    /// Whether it holds. What can only be judged later, on the fetched commit, holds for now and says so.
    pub passed: bool,
    /// What was looked at.
    pub detail: String,
}

/// One verdict for each event and target. A ping has none.
pub fn judge(repo: &Repo, parsed: &Parsed) -> Vec<Verdict> {
    let of_consequence = parsed.events.iter().filter(|event| event.kind != EventKind::Ping);
    of_consequence
        .flat_map(|event| {
            repo.targets
                .values()
                .map(move |target| judge_one(repo, target, parsed, event))
        })
        .collect()
}

/// True if the delivery names that repo.
pub fn concerns(repo: &Repo, parsed: &Parsed) -> bool {
    let of_events = parsed.events.iter().map(|event| event.repo.as_deref());
    let mut names = std::iter::once(parsed.repo.as_deref()).chain(of_events);
    names.any(|name| is_about(repo, parsed.forge, name, &parsed.addresses))
}

fn judge_one(repo: &Repo, target: &Target, parsed: &Parsed, event: &Event) -> Verdict {
    let git_ref = refs::of_event(event);
    let mut conditions = vec![
        repo_is_ours(repo, parsed, event),
        refs::exists(event),
        event_is_wanted(target, event),
    ];
    conditions.extend(outcome_is_good(event));
    conditions.push(match &git_ref {
        Ok(git_ref) => refs::follows(target, git_ref),
        Err(detail) => failed("ref", detail.clone()),
    });
    conditions.extend(check_is_required(target, event));
    conditions.extend(pusher_is_allowed(target, event));
    conditions.push(author_wants_it(event));
    conditions.extend(judged_later(target));

    let refused = conditions
        .iter()
        .find(|condition| !condition.passed)
        .map(|condition| condition.detail.clone());
    let (decision, reason) = match (refused, git_ref) {
        (None, Ok(git_ref)) => {
            let reason = praise(event, &git_ref);
            let commit = event.after.clone().filter(|commit| !commit.is_zero());
            (
                Decision::Deploy {
                    git_ref,
                    commit,
                    pusher: event.pusher.as_deref().map(shown),
                },
                reason,
            )
        }
        (Some(reason), _) | (None, Err(reason)) => (Decision::Ignore, reason),
    };
    Verdict {
        target: target.id.clone(),
        decision,
        reason,
        conditions,
    }
}

fn passed(name: &'static str, detail: impl Into<String>) -> Condition {
    Condition {
        name,
        passed: true,
        detail: detail.into(),
    }
}

fn failed(name: &'static str, detail: impl Into<String>) -> Condition {
    Condition {
        name,
        passed: false,
        detail: detail.into(),
    }
}

/// A text of the payload as it may stand in a reason: without control characters, which could forge log lines, and not too long.
pub fn shown(text: &str) -> String {
    words::shown(text, SHOWN_MAX)
}

fn repo_is_ours(repo: &Repo, parsed: &Parsed, event: &Event) -> Condition {
    let name = "full_name";
    let is_ours = is_about(repo, parsed.forge, event.repo.as_deref(), &parsed.addresses);
    match &event.repo {
        Some(claimed) if is_ours => passed(name, format!("the repo is {}", shown(claimed))),
        Some(claimed) => failed(
            name,
            format!("it is about {}, not about {}", shown(claimed), repo.full_name),
        ),
        None if is_ours => passed(name, "the payload has the repo's URL"),
        None if parsed.forge.dialect().may_be_unnamed => {
            passed(name, "the payload names no repo: the signature alone stands for it")
        }
        None => failed(name, "the payload names no repo"),
    }
}

/// `on`: pushes alone if it is empty; else just what it lists.
fn event_is_wanted(target: &Target, event: &Event) -> Condition {
    let listed = target.on.iter().any(|on| on.0 == event.name);
    if listed || (target.on.is_empty() && event.name == "push") {
        passed("on", format!("{} is wanted", shown(&event.name)))
    } else if let Some(said) = checks::told(target, event) {
        failed("on", format!("{said}, which is noted for `require_checks`"))
    } else if target.on.is_empty() {
        failed(
            "on",
            format!(
                "{} is not in `on`, and without `on` only pushes count",
                shown(&event.name)
            ),
        )
    } else {
        failed("on", format!("{} is not in `on`", shown(&event.name)))
    }
}

/// What is more than a moved ref must have ended well, and for the repo's own commits.
fn outcome_is_good(event: &Event) -> Vec<Condition> {
    let said = shown(event.action.as_str());
    let check = event.check.as_deref().map_or_else(|| event.name.clone(), shown);
    let good = match event.kind {
        EventKind::Branch | EventKind::Tag | EventKind::Ping => return Vec::new(),
        EventKind::Ci if event.success => passed("outcome", format!("{check} is green")),
        EventKind::Ci => failed("outcome", format!("{check} is not green: {said}")),
        EventKind::Release if event.success => passed("outcome", "the release is published"),
        EventKind::Release => failed("outcome", format!("the release is not (newly) published: {said}")),
        EventKind::Other if event.success => passed("outcome", format!("{}: {said}", shown(&event.name))),
        EventKind::Other if event.name == "push" => failed("outcome", refs::neither_branch_nor_tag(event)),
        EventKind::Other if event.name == "pull_request" => {
            failed("outcome", format!("the pull request was not merged: {said}"))
        }
        EventKind::Other => failed(
            "outcome",
            format!("{} ({said}) is no reason to deploy", shown(&event.name)),
        ),
    };
    let own = match event.trigger.as_deref() {
        _ if !event.foreign => passed("fork", "it is about the repo's own commits"),
        // A run that another run or a comment set off may be for anybody's commit.
        Some(trigger) if !OF_REQUESTS.iter().any(|of| trigger.contains(of)) && !is_own(trigger) => failed(
            "fork",
            format!(
                "it was triggered by {}, which may be for a fork's commit, and says nothing about the repo's own branch",
                shown(trigger)
            ),
        ),
        _ => failed(
            "fork",
            "it comes from a fork or a pull request, and says nothing about the repo's own branch",
        ),
    };
    vec![good, own]
}

/// Triggers of CI with these in their names are those of pull requests.
const OF_REQUESTS: &[&str] = &["pull_request", "merge_request"];

/// Triggers that are about the repo's own commits, unless something else tells of a fork.
fn is_own(trigger: &str) -> bool {
    matches!(
        trigger,
        "push" | "schedule" | "workflow_dispatch" | "release" | "create"
    )
}

/// `require_checks`, as far as it can be told from an event of one check. Other events wait for the checks in the deployment.
fn check_is_required(target: &Target, event: &Event) -> Option<Condition> {
    let name = "require_checks";
    if target.require_checks.is_empty() {
        return None;
    }
    let single = matches!(event.name.as_str(), "check_run" | "status" | "job" | "workflow_job");
    match event.check.as_deref().filter(|_| single) {
        Some(check) if target.require_checks.iter().any(|required| required == check) => {
            Some(passed(name, format!("{} is one of them", shown(check))))
        }
        Some(check) => Some(failed(
            name,
            format!("the check {} is not in `require_checks`", shown(check)),
        )),
        None => Some(passed(name, "the checks are looked at before the deployment")),
    }
}

fn pusher_is_allowed(target: &Target, event: &Event) -> Option<Condition> {
    if target.pusher.is_empty() {
        return None;
    }
    Some(match event.pusher.as_deref() {
        Some(pusher) if matches(&target.pusher, pusher) => {
            passed("pusher", format!("pusher {} is in `pusher`", shown(pusher)))
        }
        Some(pusher) => failed("pusher", format!("pusher {} is not in `pusher`", shown(pusher))),
        None => failed("pusher", "the payload names no pusher, and `pusher` asks for one"),
    })
}

/// What in a commit's message says that it is not to be deployed.
pub fn skip_mark(message: &str) -> Option<&'static str> {
    // Messages may be long, and hardly any has even the beginning of one.
    if !message.contains('[') {
        return None;
    }
    let message = message.to_ascii_lowercase();
    SKIP_MARKS.iter().find(|mark| message.contains(*mark)).copied()
}

fn author_wants_it(event: &Event) -> Condition {
    match skip_mark(event.head_message.as_deref().unwrap_or_default()) {
        Some(mark) => failed("skip", format!("{mark} in the head commit's message")),
        None => passed("skip", "the head commit's message asks for no skipping"),
    }
}

/// What needs the commit itself, which is not here yet.
fn judged_later(target: &Target) -> Vec<Condition> {
    let mut later = Vec::new();
    if !target.paths.is_empty() {
        later.push(passed(
            "paths",
            "judged in the deployment, by the difference of the two trees",
        ));
    }
    if let Some(file) = &target.require_signed {
        later.push(passed(
            "require_signed",
            format!(
                "judged in the deployment, by the signature of the commit or tag and the keys in {}",
                file.display()
            ),
        ));
    }
    later
}

fn praise(event: &Event, git_ref: &GitRef) -> String {
    let what = refs::told(git_ref);
    match (event.kind, &event.action) {
        (EventKind::Branch | EventKind::Tag, Action::Create) => format!("{what} was created"),
        (EventKind::Branch | EventKind::Tag, _) => format!("{what} was pushed"),
        (EventKind::Ci, _) => format!(
            "{} is green for {what}",
            event.check.as_deref().map_or_else(|| event.name.clone(), shown)
        ),
        (EventKind::Release, _) => format!("a release of {what} was published"),
        (_, action) => format!("{} ({}) for {what}", shown(&event.name), shown(action.as_str())),
    }
}
