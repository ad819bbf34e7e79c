//! Questions about commits that are in the mirror.

use std::collections::BTreeSet;
use std::path::Path;

use git2::{FileMode, Oid, Repository, Sort};

use super::mirror::{Hold, Mirror, oid};
use super::{Changed, Fetched, GitError, GitErrorKind};
use crate::config::{Pattern, matches};
use crate::model::{CommitId, words};

/// Most of a path that is told, characters.
const PATH_SHOWN: usize = 200;

/// How many paths differ between the trees of two commits, the first of them by name, and the first that the patterns take; a renamed
/// file counts under both names.
pub(super) fn changed_paths(
    mirror: &Path,
    from: &CommitId,
    to: &CommitId,
    patterns: &[Pattern],
) -> Result<Changed, GitError> {
    let mirror = Mirror::lock(mirror, Hold::Read)?;
    let repo = mirror.open()?;
    let failed = |e: git2::Error| GitError::from_git2(&e, "comparing commits");
    let old = find_commit(&repo, from)?.tree().map_err(failed)?;
    let new = find_commit(&repo, to)?.tree().map_err(failed)?;
    let diff = repo.diff_tree_to_tree(Some(&old), Some(&new), None).map_err(failed)?;
    let (mut count, mut matching, mut first) = (0, None::<String>, BTreeSet::new());
    for delta in diff.deltas() {
        let files = [delta.old_file(), delta.new_file()];
        let same = files[0].path_bytes() == files[1].path_bytes();
        for file in &files[usize::from(same)..] {
            let Some(path) = file.path_bytes() else { continue };
            let path = String::from_utf8_lossy(path);
            count += 1;
            let is_submodule = files.iter().any(|file| file.mode() == FileMode::Commit);
            let taken = matches(patterns, &path) || (is_submodule && takes_below(patterns, &path));
            if taken && matching.as_deref().is_none_or(|first| *path < *first) {
                matching = Some(path.clone().into_owned());
            }
            first.insert(path.into_owned());
            if first.len() > Changed::SHOWN {
                first.pop_last();
            }
        }
    }
    let matching = matching.map(|path| words::shown(&path, PATH_SHOWN));
    let first = first.iter().map(|path| words::shown(path, PATH_SHOWN)).collect();
    Ok(Changed { count, matching, first })
}

/// Whether something below the path of a submodule can be meant: what has changed in there is not known.
fn takes_below(patterns: &[Pattern], path: &str) -> bool {
    let below = format!("{path}/");
    let names_it = |pattern: &Pattern| !pattern.negated && pattern.text.starts_with(&below);
    matches(patterns, &format!("{below}x")) || patterns.iter().any(names_it)
}

/// What a commit is.
pub(super) fn describe(mirror: &Path, commit: &CommitId) -> Result<Fetched, GitError> {
    let mirror = Mirror::lock(mirror, Hold::Read)?;
    let repo = mirror.open()?;
    super::fetch::describe(&find_commit(&repo, commit)?)
}

/// Whether `ancestor` is `tip` or can be reached from it.
pub(super) fn contains(mirror: &Path, ancestor: &CommitId, tip: &CommitId) -> Result<bool, GitError> {
    let mirror = Mirror::lock(mirror, Hold::Read)?;
    let repo = mirror.open()?;
    let tip = find_commit(&repo, tip)?.id();
    let ancestor_id = oid(ancestor)?;
    let there = repo.find_commit(ancestor_id).is_ok();
    let failed = |e: git2::Error| GitError::from_git2(&e, "walking the history");
    if tip == ancestor_id || (there && repo.graph_descendant_of(tip, ancestor_id).map_err(failed)?) {
        return Ok(true);
    }
    if repo.is_shallow() {
        let message = format!("whether {ancestor} is part of the branch can't be told: the mirror is shallow");
        return Err(GitError::new(GitErrorKind::Unsupported, message).hint("set `depth = 0` for the repo"));
    }
    Ok(false)
}

/// Most commits that are walked through for a candidate: more pushes than anybody makes while CI runs.
const WALK_MAX: usize = 10_000;

/// The first of the candidates on the way back from `tip`, children before parents; what `live` has is not looked at.
pub(super) fn newest_of(
    mirror: &Path,
    tip: &CommitId,
    live: Option<&CommitId>,
    candidates: &[CommitId],
) -> Result<Option<Fetched>, GitError> {
    let mirror = Mirror::lock(mirror, Hold::Read)?;
    let repo = mirror.open()?;
    let failed = |e: git2::Error| GitError::from_git2(&e, "walking the history");
    let candidates = candidates.iter().map(oid).collect::<Result<BTreeSet<Oid>, _>>()?;
    let mut walk = repo.revwalk().map_err(failed)?;
    walk.set_sorting(Sort::TOPOLOGICAL | Sort::TIME).map_err(failed)?;
    walk.push(find_commit(&repo, tip)?.id()).map_err(failed)?;
    if let Some(live) = live {
        // What is live may be gone from the mirror, after a force push.
        if repo.find_commit(oid(live)?).is_ok() {
            walk.hide(oid(live)?).map_err(failed)?;
        }
    }
    for id in walk.take(WALK_MAX) {
        let id = id.map_err(failed)?;
        if candidates.contains(&id) {
            let commit = repo.find_commit(id).map_err(failed)?;
            return super::fetch::describe(&commit).map(Some);
        }
    }
    Ok(None)
}

/// The commit, or `RefMissing` if the mirror lacks it.
pub(super) fn find_commit<'r>(repo: &'r Repository, id: &CommitId) -> Result<git2::Commit<'r>, GitError> {
    repo.find_commit(oid(id)?).map_err(|error| match error.code() {
        git2::ErrorCode::NotFound => {
            GitError::new(GitErrorKind::RefMissing, format!("commit {id} is not in the mirror"))
        }
        _ => GitError::from_git2(&error, "reading a commit"),
    })
}

/// Most commits that are counted: "10,000 and more" says enough.
const COUNT_MAX: usize = 10_000;

/// What `to` has and `from` has not: the newest, and how many there are. A `from` that is gone, after a force push, gives `to`
/// alone.
pub(super) fn since(
    mirror: &Path,
    from: Option<&CommitId>,
    to: &CommitId,
    most: usize,
) -> Result<(Vec<Fetched>, usize), GitError> {
    let mirror = Mirror::lock(mirror, Hold::Read)?;
    let repo = mirror.open()?;
    let failed = |e: git2::Error| GitError::from_git2(&e, "walking the history");
    let tip = find_commit(&repo, to)?;
    let from = from
        .map(oid)
        .transpose()?
        .filter(|from| repo.find_commit(*from).is_ok());
    let Some(from) = from else {
        return Ok((vec![super::fetch::describe(&tip)?], 1));
    };
    let mut walk = repo.revwalk().map_err(failed)?;
    walk.set_sorting(Sort::TOPOLOGICAL | Sort::TIME).map_err(failed)?;
    walk.push(tip.id()).map_err(failed)?;
    walk.hide(from).map_err(failed)?;
    let (mut commits, mut count) = (Vec::new(), 0);
    for id in walk.take(COUNT_MAX) {
        let id = id.map_err(failed)?;
        if commits.len() < most {
            commits.push(super::fetch::describe(&repo.find_commit(id).map_err(failed)?)?);
        }
        count += 1;
    }
    Ok((commits, count))
}
