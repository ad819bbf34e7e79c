//! The one judgement of a target: its state, whether it is behind, and its problems.

use std::collections::BTreeMap;

use crate::api::{Problem, TargetStatus};
use crate::config::{Repo, SecretSource, Strategy, Target};
use crate::exec;
use crate::intake;
use crate::model::{TargetId, short_commit};
use crate::notify;
use crate::poll::LastLook;
use crate::release::{Current, Layout};
use crate::store::{FailureRow, Trouble};

/// Input of the judgement besides the status.
pub(super) struct Signs<'a> {
    /// The repo's part of the configuration.
    pub repo: &'a Repo,
    /// The target's part.
    pub target: &'a Target,
    /// The newest look at the remote.
    pub look: &'a LastLook,
    /// What is wrong with the repo's webhook.
    pub webhook: Vec<intake::Trouble>,
    /// What else does not get through.
    pub unheard: &'a Unheard,
    /// What failed before a commit was known, and is still in the way.
    pub failures: &'a [FailureRow],
    /// Free space where releases are made, and the least that a deployment requires, bytes.
    pub space: Option<(u64, u64)>,
}

/// What hookd says, and nobody hears.
pub(super) struct Unheard {
    /// By the names of `[notify.NAME]`.
    pub channels: BTreeMap<String, Trouble>,
    /// Reports on commits, which the forge refuses or does not take.
    pub reports: BTreeMap<TargetId, Trouble>,
}

/// Fills in `state` and `problems`, gravest first.
pub(super) fn judge(status: &mut TargetStatus, signs: &Signs<'_>) {
    let mut problems: Vec<Problem> = Vec::new();
    let name = status.target.clone();
    problems.extend(failed(status, signs).or_else(|| remembered(status, signs)));
    problems.extend(nothing_live(status, signs));
    problems.extend(current(status, signs));
    problems.extend(ref_missing(status, signs));
    if let Some(error) = &status.remote_error {
        let text = format!("the last look at the remote failed: {error}");
        problems.push(problem(
            "remote-unreachable",
            text,
            "hookd check --remote",
            signs.look.error_since,
        ));
    }
    if let Some(release) = &status.pinned {
        let text = format!("pinned to {release} by a rollback: nothing deploys");
        problems.push(problem(
            "pinned",
            text,
            format!("hookd resume {name}"),
            status.live_since,
        ));
    }
    if status.paused {
        let text = "paused: nothing deploys";
        problems.push(problem("paused", text, format!("hookd resume {name}"), None));
    }
    problems.extend(behind(status, signs));
    if signs.repo.secret.contains(&SecretSource::InsecureNone) {
        let text = format!(
            "repo {} has no secret: whoever reaches the listener can deploy",
            signs.repo.name
        );
        problems.push(problem("no-secret", text, "set `secret` in the configuration", None));
    }
    problems.extend(signs.webhook.iter().map(|trouble| {
        let (text, hint) = (trouble.text(signs.repo), trouble.hint(signs.repo));
        problem(trouble.code(), text, hint, Some(trouble.since().0))
    }));
    problems.extend(unheard(signs));
    problems.extend(leftover(status, signs));
    if let Some((free, least)) = signs.space.filter(|(free, least)| free < least) {
        let text = format!(
            "{} MiB are free at {}, and a deployment requires {} MiB",
            free >> 20,
            status.path,
            least >> 20
        );
        problems.push(problem(
            "disk-low",
            text,
            "make room, or lower `limits.free_space`",
            None,
        ));
    }
    status.state = state(status).to_owned();
    status.problems = problems;
}

/// A problem; `hint` is what to type or to change.
pub(super) fn problem(code: &str, text: impl Into<String>, hint: impl Into<String>, since: Option<i64>) -> Problem {
    Problem {
        code: code.to_owned(),
        text: text.into(),
        hint: hint.into(),
        since,
    }
}

/// The word for the state of a target: activity first, then what holds it, then its last outcome.
fn state(status: &TargetStatus) -> &'static str {
    if status.running.is_some() {
        "running"
    } else if status.paused {
        "paused"
    } else if status.pinned.is_some() {
        "pinned"
    } else if !status.waiting.is_empty() {
        "waiting"
    } else if last_failed(status) {
        "failed"
    } else if status.live.is_none() {
        "nothing-live"
    } else {
        "live"
    }
}

fn last_failed(status: &TargetStatus) -> bool {
    let outcome = status.last.as_ref().and_then(|last| last.outcome.as_deref());
    matches!(outcome, Some("failed" | "rolled-back"))
}

fn failed(status: &TargetStatus, signs: &Signs<'_>) -> Option<Problem> {
    let last = status.last.as_ref().filter(|_| last_failed(status))?;
    let outcome = last.outcome.as_deref().unwrap_or_default();
    let reason = last.reason.as_deref().unwrap_or("no reason is known");
    let text = format!("its last deployment, #{}, {outcome}: {reason}", last.id);
    let rests = signs
        .failures
        .iter()
        .any(|failure| failure.git_ref.as_str() == last.git_ref);
    let hint = if !status.waiting.is_empty() {
        format!("hookd retries it by itself; hookd logs {}", last.id)
    } else if rests {
        format!(
            "remove the cause, then hookd retry {}; until then it is tried rarely",
            status.target
        )
    } else {
        format!("hookd logs {}, then hookd retry {}", last.id, status.target)
    };
    Some(problem("failed", text, hint, last.finished_at))
}

/// What is in the way of another ref than the last deployment's.
fn remembered(status: &TargetStatus, signs: &Signs<'_>) -> Option<Problem> {
    let failure = signs.failures.first()?;
    let times = match failure.count {
        1 => "once".to_owned(),
        count => format!("{count} times"),
    };
    let text = format!("{} failed {times}: {}", failure.git_ref, failure.reason);
    let hint = format!("remove the cause, then hookd deploy {}", status.target);
    Some(problem("failed", text, hint, Some(failure.since.0)))
}

fn nothing_live(status: &TargetStatus, signs: &Signs<'_>) -> Option<Problem> {
    let coming = status.running.is_some() || (!status.waiting.is_empty() && !last_failed(status));
    let text = "nothing is live yet";
    // `hookd deploy` would find nothing.
    let hint = if signs.look.missing.contains_key(&status.target) {
        "mend the missing ref first".to_owned()
    } else {
        format!("hookd deploy {}", status.target)
    };
    (status.live.is_none() && !coming).then(|| problem("nothing-live", text, hint, None))
}

/// Whether `current` is where hookd left it. While a deployment runs it moves.
fn current(status: &TargetStatus, signs: &Signs<'_>) -> Option<Problem> {
    if status.running.is_some() {
        return None;
    }
    if signs.target.strategy == Strategy::InPlace {
        return in_place(status, signs);
    }
    let live = status.release.as_deref()?;
    let layout = Layout::new(&signs.target.path);
    let link = layout.current_link();
    let redeploy = format!("hookd deploy {}, or put the link back", status.target);
    match layout.current() {
        Ok(Current::None) => {
            let text = format!("{} is missing; {live} was live", link.display());
            Some(problem("current-missing", text, redeploy, None))
        }
        Ok(Current::Release(name)) if !layout.is_intact(&name) => {
            let text = format!("{} points at {name}, which is gone", link.display());
            Some(problem("current-missing", text, redeploy, None))
        }
        Ok(Current::Release(name)) if name.as_str() != live => {
            let text = format!("{} points at {name}; hookd made {live} live", link.display());
            Some(problem("current-foreign", text, redeploy, None))
        }
        Ok(Current::Foreign(what)) => {
            let text = format!("hookd did not make {}: {what}", link.display());
            let hint = format!("move it away, then hookd deploy {}", status.target);
            Some(problem("current-foreign", text, hint, None))
        }
        Ok(Current::Release(_)) | Err(_) => None,
    }
}

/// Channels that the target tells, and its reports.
fn unheard(signs: &Signs<'_>) -> Vec<Problem> {
    let told = |name: &String| Some(notify_failing(name, signs.unheard.channels.get(name)?));
    let mut problems: Vec<Problem> = signs.target.notify.iter().filter_map(told).collect();
    if let Some(dispatch) = &signs.repo.dispatch
        && let Some(trouble) = signs.unheard.channels.get(&notify::dispatch_channel(&signs.repo.name))
    {
        let text = format!("{} is not told that this went live: {}", dispatch.repo, trouble.reason);
        let hint = "give the token of its `[forge.NAME]` that right; the next deployment tells it";
        problems.push(problem("report-failing", text, hint, Some(trouble.since.0)));
    }
    let reports = signs.repo.report.as_ref().is_none_or(|what| !what.is_empty());
    if let (true, Some(trouble)) = (reports, signs.unheard.reports.get(&signs.target.id)) {
        let repo = &signs.repo.name;
        let text = format!("the forge is not told how deployments go: {}", trouble.reason);
        let hint = format!("hookd report test {repo}");
        problems.push(problem("report-failing", text, hint, Some(trouble.since.0)));
    }
    problems
}

/// A channel that nobody hears.
pub(super) fn notify_failing(name: &str, trouble: &Trouble) -> Problem {
    let text = format!("notifications to {name} cannot be delivered: {}", trouble.reason);
    let hint = format!("hookd notify test {name}");
    problem("notify-failing", text, hint, Some(trouble.since.0))
}

/// What could not be pruned. While a deployment runs it may be about to be.
fn leftover(status: &TargetStatus, signs: &Signs<'_>) -> Option<Problem> {
    if signs.target.strategy == Strategy::InPlace || status.running.is_some() {
        return None;
    }
    let left = Layout::new(&signs.target.path).unremoved().ok()?;
    let first = left.first()?.display();
    let text = match left.len() {
        1 => format!("an old release can't be removed: {first}"),
        count => format!("{count} old releases can't be removed: {first} and others"),
    };
    let all: Vec<String> = left.iter().map(|path| exec::quoted(&path.to_string_lossy())).collect();
    Some(problem(
        "leftover",
        text,
        format!("remove them as root: rm -rf {}", all.join(" ")),
        None,
    ))
}

/// Whether the directory that is changed in place is there.
fn in_place(status: &TargetStatus, signs: &Signs<'_>) -> Option<Problem> {
    let commit = status.commit.as_deref()?;
    let text = format!("{} is missing; {} was live there", status.path, short_commit(commit));
    let is_gone = matches!(signs.target.path.try_exists(), Ok(false));
    is_gone.then(|| problem("current-missing", text, format!("hookd deploy {}", status.target), None))
}

fn ref_missing(status: &TargetStatus, signs: &Signs<'_>) -> Option<Problem> {
    let missing = signs.look.missing.get(&status.target)?;
    let hint = match &missing.meant {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "push it, or change what the target follows in the configuration".to_owned(),
    };
    Some(problem("ref-missing", missing.text.clone(), hint, Some(missing.since)))
}

/// Only what nobody is about to change: a target that waits, runs or is held says so itself, and one that waits for more than
/// a push is where its rules want it.
fn behind(status: &TargetStatus, signs: &Signs<'_>) -> Option<Problem> {
    let tip = status.tip.as_ref().filter(|_| status.behind == Some(true))?;
    status.live.as_ref()?;
    let moves = status.running.is_some() || !status.waiting.is_empty();
    let held = status.paused || status.pinned.is_some();
    if moves || held || last_failed(status) || !signs.target.on.is_empty() || !signs.target.pusher.is_empty() {
        return None;
    }
    let settled = status.last.as_ref().is_some_and(|last| {
        last.commit.as_ref() == Some(&tip.commit) && matches!(last.outcome.as_deref(), Some("unchanged" | "live"))
    });
    if settled {
        return None;
    }
    let live = status.commit.as_deref().map(short_commit).unwrap_or_default();
    let text = format!("{} is at {}, live is {live}", tip.git_ref, short_commit(&tip.commit));
    Some(problem("behind", text, format!("hookd deploy {}", status.target), None))
}

/// Where a target stands in the list: the gravest first, then active ones, then healthy ones.
pub(super) fn rank(status: &TargetStatus) -> u8 {
    let has = |code: &str| status.problems.iter().any(|problem| problem.code == code);
    match status.state.as_str() {
        _ if has("nothing-live") || (has("failed") && status.live.is_none()) => 0,
        _ if has("current-missing") || has("current-foreign") => 1,
        _ if has("failed") => 2,
        _ if !status.problems.is_empty() => 3,
        "running" => 4,
        "waiting" => 5,
        _ => 6,
    }
}
