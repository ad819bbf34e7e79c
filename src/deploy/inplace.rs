//! `strategy = "in-place"`: one plain directory whose files are changed where they are. Not atomic, as documented.

use crate::git::{Fetched, Progress as GitProgress};
use crate::model::{CommitId, Phase};
use crate::release::ReleaseError;

use super::prepare::Live;
use super::{Change, Run, Stop};

impl Run<'_> {
    /// Brings the directory to the commit and runs `build` in it; brings it back if that fails.
    pub(super) async fn update_in_place(&mut self, live: Live, fetched: Fetched) -> Result<Change, Stop> {
        let change = Change {
            commit: fetched.commit.clone(),
            git_ref: self.git_ref.clone(),
            release: None,
            previous_commit: live.commit.clone(),
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
        self.seal_in_place().await?;
        Ok(change)
    }

    /// The directory holds one commit, and nothing of others.
    pub(super) fn settle(&mut self) {
        if let Err(error) = crate::git::settle(&self.site.target.path) {
            self.record.warn(Phase::Finish, &error.to_string());
        }
    }

    /// What is there goes to the disk, without bits that would give somebody rights, before it is recorded as live.
    async fn seal_in_place(&mut self) -> Result<(), Stop> {
        let layout = self.layout.clone();
        let cleared = super::blocking(move || {
            let cleared = layout.clear_set_ids(layout.path(), &[], false)?;
            layout.sync(layout.path(), &[])?;
            Ok::<_, ReleaseError>(cleared)
        });
        if let Some(note) = cleared.await? {
            self.record.warn(Phase::Build, &note);
        }
        Ok(())
    }

    /// Brings the directory to the commit of a deployment that a restart takes up, and builds again if something was missing.
    pub(super) async fn renew_in_place(&mut self, change: &Change) -> Result<(), String> {
        let renewed = async {
            let token = self.halt.token.clone();
            if self
                .bring_to(change.previous_commit.as_ref(), &change.commit, &token)
                .await?
                > 0
            {
                self.build(change).await?;
            }
            self.seal_in_place().await
        };
        renewed.await.map_err(|stop: Stop| stop.to_string())
    }

    async fn bring_to(
        &mut self,
        from: Option<&CommitId>,
        to: &CommitId,
        halt: &tokio_util::sync::CancellationToken,
    ) -> Result<u64, Stop> {
        let (access, mirror, options) = (self.access(), self.mirror(), self.checkout_options());
        let path = self.site.target.path.clone();
        let record = &mut self.record;
        let show = |progress: GitProgress| record.progress(Phase::Build, progress);
        let git = &self.world.git;
        let done = git
            .update_in_place(&access, &mirror, from, to, &path, &options, halt, show)
            .await?;
        let files = if done.written == 1 { "file" } else { "files" };
        let text = format!("{} {files} written", done.written);
        self.record.say(Phase::Build, &text);
        Ok(done.written + done.removed)
    }

    /// Brings the directory back to what was live. What can't be brought back is said.
    pub(super) async fn bring_back(&mut self, from: &CommitId, to: &CommitId) {
        // This must be done even though the deployment itself was asked to stop.
        let never = tokio_util::sync::CancellationToken::new();
        match self.bring_to(Some(from), to, &never).await {
            Ok(_) => self.settle(),
            Err(stop) => {
                let text = format!("the directory could not be restored to {}: {stop}", to.short());
                self.record.warn(Phase::Build, &text);
            }
        }
    }
}
