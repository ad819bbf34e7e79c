//! Brings one ref of the remote into the mirror.

use std::path::Path;

use super::mirror::{Hold, Mirror, open, tip_ref};
use super::remote::{Remote, Spec};
use super::wire::{Id, Reply};
use super::{GitError, GitErrorKind};
use crate::model::GitRef;

/// Most of a commit's message that is looked at, bytes.
const MESSAGE_MAX: usize = 64 * 1024;

/// Fetches `git_ref` and says which commit it names. A damaged mirror is made anew, once.
pub(super) fn fetch(remote: &Remote<'_>, path: &Path, git_ref: &GitRef, depth: u32) -> Result<Reply, GitError> {
    let mirror = Mirror::lock(path, Hold::Write)?;
    mirror.sweep()?;
    let whole = |at: &Path| download_tip(remote, at, git_ref, depth);
    match must_renew(&mirror, remote, depth) {
        Ok(true) => return mirror.renew(whole),
        Err(error) if error.kind == GitErrorKind::Corrupt => return mirror.renew(whole),
        Err(error) => return Err(error),
        Ok(false) => {}
    }
    match download_tip(remote, path, git_ref, depth) {
        Err(error) if error.kind == GitErrorKind::Corrupt => mirror.renew(whole),
        other => other,
    }
}

/// Makes the mirror if there is none. A shallow one can't be deepened at less cost than that of a new one.
fn must_renew(mirror: &Mirror, remote: &Remote<'_>, depth: u32) -> Result<bool, GitError> {
    let repo = mirror.open_or_make()?;
    let deepen = depth == 0 && repo.is_shallow();
    Ok(deepen || mirror.outgrown(remote.reporter))
}

fn download_tip(remote: &Remote<'_>, at: &Path, git_ref: &GitRef, depth: u32) -> Result<Reply, GitError> {
    let spec = Spec {
        from: git_ref.as_str().to_owned(),
        to: tip_ref(git_ref.as_str()),
    };
    let repo = open(at)?;
    let failed = |e: git2::Error| GitError::from_git2(&e, "reading the mirror");
    // A shallow fetch would cut the history that a full mirror already has.
    let full = !repo.is_shallow() && repo.references().map_err(failed)?.next().is_some();
    let depth = if full { 0 } else { depth };
    let to = spec.to.clone();
    if let Err(error) = remote.download(at, &[spec], depth) {
        if error.kind == GitErrorKind::RefMissing
            && let Ok(mut stale) = repo.find_reference(&to)
        {
            stale.delete().map_err(failed)?;
        }
        return Err(error);
    }
    drop(repo);
    describe(at, git_ref, &to)
}

/// Reads the fetched commit, and its tree's root as a first proof that the objects are there.
fn describe(at: &Path, git_ref: &GitRef, tip: &str) -> Result<Reply, GitError> {
    let repo = open(at)?;
    let failed = |e: git2::Error| GitError::from_git2(&e, "reading what was fetched");
    let reference = repo.find_reference(tip).map_err(failed)?;
    let object = reference.peel(git2::ObjectType::Any).map_err(failed)?;
    let commit = object.into_commit().map_err(|object| {
        let kind = object.kind().map_or("object", |k| k.str());
        let message = format!("{git_ref} names a {kind}, and only commits can be deployed");
        GitError::new(GitErrorKind::Unsupported, message)
    })?;
    commit.tree().map_err(failed)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Reply::Fetched {
        commit: Id(parse_id(commit.id())?),
        message: commit.summary_bytes().map(text).unwrap_or_default(),
        whole_message: text(
            commit
                .message_bytes()
                .get(..MESSAGE_MAX)
                .unwrap_or(commit.message_bytes()),
        ),
        author: text(commit.author().name_bytes()),
        time: commit.time().seconds(),
    })
}

pub(super) fn parse_id(oid: git2::Oid) -> Result<crate::model::CommitId, GitError> {
    oid.to_string()
        .parse()
        .map_err(|e| GitError::new(GitErrorKind::Other, format!("{oid}: {e}")))
}
