//! The history for a build: a git directory of its own beside the release, so that `git log` works in there.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use git2::{Index, Repository};
use tokio_util::sync::CancellationToken;

use super::GitError;
use super::client::Git;
use super::mirror::init_bare;
use super::mirror::{Hold, Mirror, oid, tip_ref};
use super::wire::Job;
use crate::model::{CommitId, GitRef, RefKind};

/// Read-only: a change that a build makes by mistake would affect what it reads next.
const DIRECTORY_MODE: u32 = 0o555;
const FILE_MODE: u32 = 0o444;

impl Git {
    /// Makes `directory` a git directory, for reading alone, with all that the mirror has, whose `HEAD` and index are at
    /// `commit` of `git_ref`. A copy and no links: whoever owns the release must not own the mirror's files.
    pub async fn lay_out_history(
        &self,
        mirror: &Path,
        git_ref: &GitRef,
        commit: &CommitId,
        directory: &Path,
        cancel: &CancellationToken,
    ) -> Result<(), GitError> {
        let job = Job::LayOutHistory {
            mirror: mirror.to_owned(),
            git_ref: git_ref.clone(),
            commit: commit.clone(),
            directory: directory.to_owned(),
        };
        self.call(None, job, cancel, &mut |_| {}).await
    }
}

/// The worker's part.
pub(super) fn lay_out(mirror: &Path, git_ref: &GitRef, commit: &CommitId, directory: &Path) -> Result<(), GitError> {
    let failed = |e: git2::Error| GitError::from_git2(&e, "laying out the history for the build");
    let disk = |e: io::Error| GitError::disk(directory, &e);
    let lock = Mirror::lock(mirror, Hold::Read)?;
    let source = lock.open()?;
    let git = init_bare(directory).map_err(failed)?;
    let mut config = git.config().map_err(failed)?;
    // The build has the release for its work tree.
    config.set_bool("core.bare", false).map_err(failed)?;
    copy(&source.path().join("objects"), &directory.join("objects")).map_err(disk)?;
    let shallow = source.path().join("shallow");
    if shallow.exists() {
        fs::copy(shallow, directory.join("shallow")).map_err(disk)?;
    }
    drop((source, git, config));
    let git = Repository::open_bare(directory).map_err(failed)?;
    set_head(&git, mirror, git_ref, commit)?;
    let tree = git.find_commit(oid(commit)?).and_then(|commit| commit.tree());
    let mut index = Index::open(&directory.join("index")).map_err(failed)?;
    index.read_tree(&tree.map_err(failed)?).map_err(failed)?;
    index.write().map_err(failed)?;
    protect(directory).map_err(disk)
}

/// On the branch, or at the tag, which `git describe` finds.
fn set_head(git: &Repository, mirror: &Path, git_ref: &GitRef, commit: &CommitId) -> Result<(), GitError> {
    let failed = |e: git2::Error| GitError::from_git2(&e, "laying out the history for the build");
    let (name, commit) = (git_ref.to_string(), oid(commit)?);
    if git_ref.kind() == RefKind::Branch {
        git.reference(&name, commit, true, "").map_err(failed)?;
        return git.set_head(&name).map_err(failed);
    }
    let mirror = super::mirror::open(mirror)?;
    // An annotated tag is an object of its own.
    let tag = mirror.refname_to_id(&tip_ref(&name)).ok();
    let names_it = |id: &git2::Oid| git.find_tag(*id).is_ok_and(|tag| tag.target_id() == commit);
    git.reference(&name, tag.filter(names_it).unwrap_or(commit), true, "")
        .map_err(failed)?;
    git.set_head_detached(commit).map_err(failed)
}

/// Copies the files of a directory and of those within it; on file systems that can, they share their blocks.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let place = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &place)?;
        } else {
            fs::copy(entry.path(), &place)?;
        }
    }
    Ok(())
}

/// Takes away the right to write, from inside out.
fn protect(path: &Path) -> io::Result<()> {
    let is_directory = fs::symlink_metadata(path)?.is_dir();
    if is_directory {
        for entry in fs::read_dir(path)? {
            protect(&entry?.path())?;
        }
    }
    let mode = if is_directory { DIRECTORY_MODE } else { FILE_MODE };
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}
