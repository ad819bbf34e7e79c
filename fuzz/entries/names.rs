//! Names that are taken are safe where they are used: refs as git has them, the others as file names and in log lines.

use std::fmt::Display;
use std::str::FromStr;

use hookd::model::{CommitId, DeliveryId, GitRef, RepoName, TargetId, TargetName};
use hookd::release::ReleaseName;

/// Longest ref that is taken, bytes.
const REF_MAX: usize = 1024;

/// A name.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let names = [
        taken::<RepoName>(text),
        taken::<TargetName>(text),
        taken::<ReleaseName>(text),
    ];
    for name in names.into_iter().flatten() {
        assert!(!name.is_empty() && !name.starts_with(['-', '.']) && !name.contains('/'));
    }
    taken::<TargetId>(text);
    taken::<DeliveryId>(text);
    if let Ok(commit) = text.parse::<CommitId>() {
        assert_eq!(commit.as_str(), text.to_ascii_lowercase());
        assert_eq!(commit.short(), &commit.as_str()[..7]);
    }
    for full in [
        text.to_owned(),
        format!("refs/heads/{text}"),
        format!("refs/tags/{text}"),
    ] {
        git_ref(&full);
    }
}

/// A name that is taken is what it was, and holds nothing that ends a line or a field.
fn taken<T: FromStr + Display>(text: &str) -> Option<String> {
    let name = text.parse::<T>().ok()?.to_string();
    assert_eq!(name, text);
    assert!(name.bytes().all(|b| b.is_ascii_graphic()), "{name:?}");
    Some(name)
}

/// Refs are those that git itself takes, but for control characters and names that look like options.
fn git_ref(full: &str) {
    let short = full
        .strip_prefix("refs/heads/")
        .or_else(|| full.strip_prefix("refs/tags/"));
    let of_git = git2::Reference::is_valid_name(full);
    if let Ok(git_ref) = full.parse::<GitRef>() {
        assert!(of_git, "{full:?} is none for git");
        assert_eq!((git_ref.as_str(), Some(git_ref.short())), (full, short));
        assert!(!full.contains(char::is_control));
        return;
    }
    let usable = short.is_some_and(|short| !short.starts_with('-')) && full.len() <= REF_MAX;
    assert!(
        !of_git || !usable || full.contains(char::is_control),
        "{full:?} is one for git"
    );
}
