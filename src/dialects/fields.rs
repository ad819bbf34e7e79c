//! Looking things up in payloads that may lack them, hold null, or hold something else there.

use http::HeaderMap;
use serde_json::Value;

use super::error::ParseError;
use crate::model::{Action, CommitId, Event, EventKind};

/// The events of one delivery: they share the repository and who did it.
pub(super) fn all_by(events: Vec<Event>, repo: Option<&str>, pusher: Option<&str>) -> Vec<Event> {
    let owned = |text: Option<&str>| text.map(ToOwned::to_owned);
    events
        .into_iter()
        .map(|event| Event {
            repo: owned(repo),
            pusher: owned(pusher),
            ..event
        })
        .collect()
}

/// The header's value, trimmed; `None` if it is absent, empty, or not visible ASCII.
pub fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let value = headers.get(name)?.to_str().ok()?.trim();
    // `to_str` lets tabs pass.
    (!value.is_empty() && !value.contains('\t')).then_some(value)
}

/// The non-empty text at a JSON pointer.
pub fn text<'v>(value: &'v Value, pointer: &str) -> Option<&'v str> {
    value.pointer(pointer)?.as_str().filter(|found| !found.is_empty())
}

/// The first of several pointers that leads to a non-empty text.
pub(super) fn first_text<'v>(value: &'v Value, pointers: &[&str]) -> Option<&'v str> {
    pointers.iter().find_map(|pointer| text(value, pointer))
}

/// The text at a pointer, owned.
pub(super) fn owned(value: &Value, pointers: &[&str]) -> Option<String> {
    first_text(value, pointers).map(str::to_owned)
}

/// The object name at a pointer. Pagure writes `^000…`, as `git rev-list` would exclude it: the caret is not part of it.
pub(super) fn commit(value: &Value, pointer: &str) -> Option<CommitId> {
    let found = text(value, pointer)?;
    found.strip_prefix('^').unwrap_or(found).parse().ok()
}

/// The truth value at a pointer.
pub(super) fn flag(value: &Value, pointer: &str) -> Option<bool> {
    value.pointer(pointer)?.as_bool()
}

/// The list at a pointer; empty if there is none.
pub(super) fn list<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// True if there is something other than null at a pointer.
pub(super) fn has(value: &Value, pointer: &str) -> bool {
    value.pointer(pointer).is_some_and(|found| !found.is_null())
}

/// True if there is an object at a pointer.
pub(super) fn has_object(value: &Value, pointer: &str) -> bool {
    value.pointer(pointer).is_some_and(Value::is_object)
}

/// `main` as `refs/heads/main`; what is full already stays as it is.
pub(super) fn branch_ref(name: &str) -> String {
    full_ref(name, "refs/heads/")
}

/// `v1` as `refs/tags/v1`; what is full already stays as it is.
pub(super) fn tag_ref(name: &str) -> String {
    full_ref(name, "refs/tags/")
}

fn full_ref(name: &str, prefix: &str) -> String {
    if name.starts_with("refs/") {
        name.to_owned()
    } else {
        format!("{prefix}{name}")
    }
}

/// The branch or tag that CI names: forges send the bare name and, at best, a flag.
pub(super) fn named_ref(name: &str, tag: bool) -> String {
    if tag { tag_ref(name) } else { branch_ref(name) }
}

/// True for 40 or 64 hexadecimal digits: a commit where a branch or tag was expected.
pub(super) fn is_object_name(text: &str) -> bool {
    text.parse::<CommitId>().is_ok()
}

/// All zeros, as long as the other end of the change (SHA-256 repositories have 64 digits).
pub(super) fn zero_like(other: Option<&CommitId>) -> CommitId {
    let long = other.filter(|id| id.as_str().len() == 64);
    long.and_then(|id| "0".repeat(id.as_str().len()).parse().ok())
        .unwrap_or_else(CommitId::zero)
}

/// Branch, tag, or something that is neither (`refs/pull/1/head`, `refs/notes/x`).
pub(super) fn ref_kind(git_ref: &str) -> EventKind {
    if git_ref.starts_with("refs/heads/") {
        EventKind::Branch
    } else if git_ref.starts_with("refs/tags/") {
        EventKind::Tag
    } else {
        EventKind::Other
    }
}

/// The event of one ref that moved from `before` to `after`: zeros at either end make it a creation or a deletion.
pub(super) fn ref_change(name: &str, git_ref: String, before: Option<CommitId>, after: Option<CommitId>) -> Event {
    let is_zero = |id: &Option<CommitId>| id.as_ref().is_some_and(CommitId::is_zero);
    let action = if is_zero(&after) {
        Action::Delete
    } else if is_zero(&before) {
        Action::Create
    } else {
        Action::Update
    };
    let kind = ref_kind(&git_ref);
    Event {
        git_ref: Some(git_ref),
        before,
        after,
        ..Event::new(kind, name, action)
    }
}

/// Where payloads have the object that describes their repo.
const REPOS: &[&str] = &[
    "/repository",
    "/project",
    "/run/repository",
    "/resource/repository",
    "/pullrequest/destination/repository",
    "/pullRequest/toRef/repository",
    "/object_attributes/target",
    "/msg/repo",
    "/msg/project",
    "/data/repository",
    "/data/webhook/repository",
];

/// What an address is called there.
const ADDRESSES: &[&str] = &[
    "/clone_url",
    "/ssh_url",
    "/html_url",
    "/git_url",
    "/url",
    "/git_http_url",
    "/git_ssh_url",
    "/http_url",
    "/web_url",
    "/homepage",
    "/remoteUrl",
    "/sshUrl",
    "/webUrl",
    "/full_url",
    "/links/html/href",
];

/// The repo's own addresses in a payload, whatever the forge calls them.
pub fn addresses(body: &Value) -> Vec<String> {
    let repos = || REPOS.iter().filter_map(|at| body.pointer(at));
    let plain = repos().flat_map(|repo| ADDRESSES.iter().filter_map(move |at| text(repo, at)));
    // Bitbucket Server has a list of them.
    let listed = repos().flat_map(|repo| list(repo, "/links/clone").iter().filter_map(|link| text(link, "/href")));
    plain.chain(listed).map(str::to_owned).collect()
}

/// Reads each entry of a list. One that can't be read is left out if another can: a push must not be lost to its neighbour.
pub(super) fn each(
    entries: &[Value],
    read: impl Fn(&Value) -> Result<Event, ParseError>,
) -> Result<Vec<Event>, ParseError> {
    let (read, failed): (Vec<_>, Vec<_>) = entries.iter().map(read).partition(Result::is_ok);
    match failed.into_iter().find_map(Result::err) {
        Some(error) if read.is_empty() => Err(error),
        _ => Ok(read.into_iter().flatten().collect()),
    }
}

/// The path of an http, https, ssh or scp-like address, without `.git`: `https://host/a/b.git` and `git@host:a/b.git` are `a/b`.
pub(super) fn path_of_address(address: &str) -> Option<String> {
    let path = match address.split_once("://") {
        Some((_, rest)) => rest.split_once('/')?.1,
        None => address.split_once(':')?.1,
    };
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    (!path.is_empty()).then(|| path.to_owned())
}

/// The last path segment of an address, as far as it is an object name: `…/commit/279484c0…`.
pub(super) fn commit_in_address(address: &str) -> Option<CommitId> {
    address.trim_end_matches('/').rsplit('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_what_its_ends_say() {
        let zero = || Some(CommitId::zero());
        let one = || "1".repeat(40).parse::<CommitId>().ok();
        let action = |before, after| ref_change("push", "refs/heads/x".into(), before, after).action;
        assert_eq!(action(zero(), one()), Action::Create);
        assert_eq!(action(one(), zero()), Action::Delete);
        assert_eq!(action(one(), one()), Action::Update);
        assert_eq!(action(zero(), zero()), Action::Delete);
        assert_eq!(zero_like("1".repeat(64).parse().ok().as_ref()).as_str().len(), 64);
    }

    #[test]
    fn addresses_have_paths() {
        for address in ["https://host:3000/a/b.git", "git@host:a/b.git", "ssh://git@host:22/a/b"] {
            assert_eq!(path_of_address(address).as_deref(), Some("a/b"), "{address}");
        }
        assert_eq!(path_of_address("nonsense"), None);
        assert_eq!(path_of_address("https://host"), None);
    }
}
