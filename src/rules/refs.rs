//! Whether a target follows the ref of an event.

use super::{Condition, failed, passed, shown};
use crate::config::{Pattern, RefFilter, Target};
use crate::model::{Action, Event, EventKind, GitRef, RefKind};

/// True if the patterns take the text, by the same rule as everywhere: the last one that matches decides. No pattern at
/// all is no condition.
pub fn matches(patterns: &[Pattern], text: &str) -> bool {
    patterns.is_empty() || crate::config::matches(patterns, text)
}

/// The event's ref, checked; or why it is none that can be deployed.
pub(super) fn of_event(event: &Event) -> Result<GitRef, String> {
    let Some(claimed) = event.git_ref.as_deref() else {
        return Err("the event names no branch or tag".to_owned());
    };
    claimed
        .parse()
        .map_err(|error| format!("ref {}: {error}", shown(claimed)))
}

/// Why a push of something else is no reason to deploy.
pub(super) fn neither_branch_nor_tag(event: &Event) -> String {
    match event.git_ref.as_deref() {
        Some(claimed) => format!("{} is neither a branch nor a tag", shown(claimed)),
        // Azure DevOps, where it is told to send less than all details.
        None => "the push does not say of which branch or tag".to_owned(),
    }
}

/// A deleted ref can't be deployed, whatever else the configuration says.
pub(super) fn exists(event: &Event) -> Condition {
    let moved = matches!(event.kind, EventKind::Branch | EventKind::Tag);
    let gone =
        moved && (event.action == Action::Delete || event.after.as_ref().is_some_and(crate::model::CommitId::is_zero));
    match (gone, event.kind) {
        (true, EventKind::Tag) => failed("deleted", "the tag was deleted"),
        (true, _) => failed("deleted", "the branch was deleted"),
        (false, _) => passed("deleted", "it was not deleted"),
    }
}

/// `branch` or `tag` of the target.
pub(super) fn follows(target: &Target, git_ref: &GitRef) -> Condition {
    let (name, kind) = match &target.refs {
        RefFilter::Branches(_) => ("branch", RefKind::Branch),
        RefFilter::Tags(_) => ("tag", RefKind::Tag),
    };
    let patterns = target.refs.patterns();
    let told = told(git_ref);
    let wanted = patterns
        .iter()
        .map(|pattern| pattern.text.as_str())
        .collect::<Vec<_>>()
        .join(", ");
    if git_ref.kind() != kind {
        let plural = if kind == RefKind::Branch { "branches" } else { "tags" };
        failed(name, format!("{told}: the target follows {plural} ({wanted})"))
    } else if target.refs.is_unwanted_prerelease(git_ref) {
        failed(
            "prereleases",
            format!("{told} is a pre-release, and `prereleases` is off"),
        )
    } else if matches(patterns, git_ref.short()) {
        passed(name, format!("{told} matches {wanted}"))
    } else if patterns.len() == 1 && !wanted.contains(['*', '?', '[', '{', '!']) {
        failed(name, format!("{told} is not {wanted}"))
    } else {
        failed(name, format!("{told} does not match {wanted}"))
    }
}

/// `branch main`, `tag v1`.
pub(super) fn told(git_ref: &GitRef) -> String {
    let kind = match git_ref.kind() {
        RefKind::Branch => "branch",
        RefKind::Tag => "tag",
    };
    format!("{kind} {}", shown(git_ref.short()))
}
