//! What commits of the mirror are, and which of them one commit has and another has not.

use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::wire::Job;
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
            commit: commit.clone(),
        };
        self.call(None, job, cancel, &mut |_| {}).await
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
            tip: tip.clone(),
            live: live.cloned(),
            candidates: candidates.to_vec(),
        };
        self.call(None, job, cancel, &mut |_| {}).await
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
            from: from.cloned(),
            to: to.clone(),
            most,
        };
        self.call(None, job, cancel, &mut |_| {}).await
    }
}
