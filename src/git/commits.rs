//! What commits of the mirror are, and which of them one commit has and another has not.

use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::child::unexpected;
use super::wire::{Id, Job, Reply};
use super::{Fetched, Git, GitError};
use crate::model::CommitId;

impl Git {
    /// Says what a commit of the mirror is. `RefMissing` if the mirror lacks it.
    pub async fn describe(
        &self,
        mirror: &Path,
        commit: &CommitId,
        cancel: &CancellationToken,
    ) -> Result<Fetched, GitError> {
        let job = Job::Describe {
            mirror: mirror.to_owned(),
            commit: commit.into(),
        };
        match self.call(None, job, cancel, &mut |_| {}).await? {
            Reply::Described(described) => Ok(described.into()),
            _ => Err(unexpected()),
        }
    }

    /// The newest of the candidates that can be reached from `tip` and not from `live`. `None` if there is no such commit, or only
    /// one too far back.
    pub async fn newest_of(
        &self,
        mirror: &Path,
        tip: &CommitId,
        live: Option<&CommitId>,
        candidates: &[CommitId],
        cancel: &CancellationToken,
    ) -> Result<Option<Fetched>, GitError> {
        let job = Job::NewestOf {
            mirror: mirror.to_owned(),
            tip: tip.into(),
            live: live.map(Id::from),
            candidates: candidates.iter().map(Id::from).collect(),
        };
        match self.call(None, job, cancel, &mut |_| {}).await? {
            Reply::NewestOf(found) => Ok(found.map(Fetched::from)),
            _ => Err(unexpected()),
        }
    }

    /// What `to` has and `from` has not, newest first, of which at most `most` are described; and how many they are, as far
    /// as anybody would count. Without `from`, `to` alone.
    pub async fn since(
        &self,
        mirror: &Path,
        from: Option<&CommitId>,
        to: &CommitId,
        most: usize,
        cancel: &CancellationToken,
    ) -> Result<(Vec<Fetched>, usize), GitError> {
        let job = Job::Since {
            mirror: mirror.to_owned(),
            from: from.map(Id::from),
            to: to.into(),
            most,
        };
        match self.call(None, job, cancel, &mut |_| {}).await? {
            Reply::Since { commits, count } => Ok((commits.into_iter().map(Fetched::from).collect(), count)),
            _ => Err(unexpected()),
        }
    }
}
