//! `strategy = "in-place"`: one plain directory whose files are changed where they are. Not atomic, and said to be so.

use crate::git::{Fetched, Progress as GitProgress};
use crate::model::{CommitId, Phase};

use super::prepare::Live;
use super::{Change, Run, Stop};

impl Run<'_> {
    /// Brings the directory to the commit and runs `build` in it; brings it back if that fails.
    pub(super) async fn update_in_place(&mut self, live: Live, fetched: Fetched) -> Result<Change, Stop> {
        let change = Change {
            commit: fetched.commit.to_string(),
            git_ref: self.git_ref.to_string(),
            release: None,
            previous_commit: live.commit.as_ref().map(ToString::to_string),
            previous_release: None,
        };
        self.enter(Phase::Build, change.progress(Some(fetched.subject))).await?;
        self.bring_to(live.commit.as_ref(), &fetched.commit, &self.halt.token.clone())
            .await?;
        if let Err(stop) = self.build(&change).await {
            if let Some(previous) = &live.commit {
                self.bring_back(&fetched.commit, previous).await;
            }
            return Err(stop);
        }
        Ok(change)
    }

    async fn bring_to(
        &mut self,
        from: Option<&CommitId>,
        to: &CommitId,
        halt: &tokio_util::sync::CancellationToken,
    ) -> Result<(), Stop> {
        let (access, mirror, options) = (self.access(), self.mirror(), self.checkout_options());
        let path = self.site.target.path.clone();
        let record = &mut self.record;
        let show = |progress: GitProgress| record.keep(Phase::Build, "progress", &progress.to_string());
        let git = &self.world.git;
        let done = git
            .update_in_place(&access, &mirror, from, to, &path, &options, halt, show)
            .await?;
        let text = format!("{} files written", done.written);
        self.record.say(Phase::Build, &text);
        Ok(())
    }

    /// Brings the directory back to what was live. What can't be brought back is said.
    pub(super) async fn bring_back(&mut self, from: &CommitId, to: &CommitId) {
        // This must be done even though the deployment itself was asked to stop.
        let never = tokio_util::sync::CancellationToken::new();
        if let Err(stop) = self.bring_to(Some(from), to, &never).await {
            let text = format!("the directory could not be brought back to {}: {stop}", to.short());
            self.record.warn(Phase::Build, &text);
        }
    }
}
