//! What a delivery says of CI checks that targets require: noted for the commits that wait for them.

use super::{repo_is_ours, shown};
use crate::config::{Repo, Target};
use crate::forge::Parsed;
use crate::model::{CheckState, CommitId, Event, EventKind, TargetId};

/// The name under which GitLab's whole pipeline is required, which has a name of its own only if its file gives one.
const PIPELINE: &str = "pipeline";

/// The state of one check of one commit, for the targets that require it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The commit.
    pub commit: CommitId,
    /// The check, as `require_checks` names it.
    pub check: String,
    /// Its state.
    pub state: CheckState,
    /// The ref that it ran for, as claimed; `None` where the forge does not say.
    pub git_ref: Option<String>,
    /// The targets that require it.
    pub targets: Vec<TargetId>,
}

/// What is to be noted. Checks of forks and of pull requests prove nothing of the repo's own commits.
pub fn noted(repo: &Repo, parsed: &Parsed) -> Vec<Note> {
    let mut notes: Vec<Note> = Vec::new();
    let of_ci = |event: &&Event| event.kind == EventKind::Ci && !event.foreign;
    for event in parsed.events.iter().filter(of_ci) {
        let Some(commit) = event.after.as_ref().filter(|commit| !commit.is_zero()) else {
            continue;
        };
        if !repo_is_ours(repo, parsed, event).passed {
            continue;
        }
        for check in names(event) {
            let requires = |target: &&TargetId| {
                let target = repo.targets.get(&target.target);
                target.is_some_and(|target| target.require_checks.iter().any(|required| required == check))
            };
            let targets: Vec<TargetId> = repo.targets.values().map(|t| &t.id).filter(requires).cloned().collect();
            // A status is told once for each branch.
            let known = notes.iter().any(|note| note.check == check && note.commit == *commit);
            if !targets.is_empty() && !known {
                notes.push(Note {
                    commit: commit.clone(),
                    check: check.to_owned(),
                    state: state(event),
                    git_ref: event.git_ref.clone(),
                    targets,
                });
            }
        }
    }
    notes
}

/// The names that an event's check goes by.
fn names(event: &Event) -> impl Iterator<Item = &str> {
    let pipeline = (event.name == PIPELINE).then_some(PIPELINE);
    event.check.as_deref().into_iter().chain(pipeline)
}

/// `build is green for 1a2b3c4`, if the event says that of a check that the target requires.
pub(super) fn told(target: &Target, event: &Event) -> Option<String> {
    if event.kind != EventKind::Ci || event.foreign {
        return None;
    }
    let commit = event.after.as_ref().filter(|commit| !commit.is_zero())?;
    let check = names(event).find(|check| target.require_checks.iter().any(|required| required == check))?;
    let state = state(event).as_str();
    Some(format!("{} is {state} for {}", shown(check), commit.short()))
}

/// Whether the check ended well, badly, or not yet.
fn state(event: &Event) -> CheckState {
    if event.success {
        CheckState::Green
    } else {
        // `success` is denied to what is not the repo's own, whatever the word.
        match CheckState::of_word(event.action.as_str()) {
            CheckState::Green => CheckState::Pending,
            other => other,
        }
    }
}
