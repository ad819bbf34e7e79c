//! The words of jobs, deployments and releases: as stored, in the journal, and in every answer.

use super::spelled;

spelled! {
    /// The phases of a deployment, in their order.
    pub Phase "phase" {
        /// Bring the ref's tip into the mirror.
        Fetch = "fetch",
        /// Make the release directory and run `build` in it.
        Build = "build",
        /// Point `current` at it.
        Activate = "activate",
        /// Run `reload`.
        Reload = "reload",
        /// Run `check` until it passes.
        Check = "check",
        /// Prune, record, notify.
        Finish = "finish",
    }
}

spelled! {
    /// How a deployment ended.
    pub Outcome "outcome" {
        /// The commit is live.
        Live = "live",
        /// There was nothing to do.
        Unchanged = "unchanged",
        /// A newer request took its place before it ran.
        Superseded = "superseded",
        /// It failed; what was live before still is.
        Failed = "failed",
        /// It went live, failed its check, and the previous release is live again.
        RolledBack = "rolled-back",
        /// A person cancelled it.
        Cancelled = "cancelled",
        /// The daemon was stopped or killed while it ran; the job runs again.
        Interrupted = "interrupted",
    }
}

spelled! {
    /// What asked for a job.
    pub Source "source" {
        /// A delivery.
        Webhook = "webhook",
        /// A look at the remote.
        Poll = "poll",
        /// `hookd deploy`
        Deploy = "deploy",
        /// `hookd retry`
        Retry = "retry",
        /// `hookd replay`
        Replay = "replay",
        /// `hookd rollback`
        Rollback = "rollback",
    }
}

spelled! {
    /// How far a job has come.
    pub JobState "state of a job" {
        /// In the queue.
        Waiting = "waiting",
        /// Claimed by a worker.
        Running = "running",
        /// Ended, with an outcome.
        Done = "done",
    }
}

spelled! {
    /// What a release is worth.
    pub ReleaseState "state of a release" {
        /// Being made, or left behind by a crash.
        Building = "building",
        /// Was or is live.
        Good = "good",
        /// Failed to build or to pass its check.
        Failed = "failed",
    }
}

spelled! {
    /// What a notification is about: an outcome, or a change of state that it means.
    pub Happening "happening" {
        /// The commit is live.
        Live = "live",
        /// There was nothing to do.
        Unchanged = "unchanged",
        /// A newer request took its place before it ran.
        Superseded = "superseded",
        /// It failed, and the deployment before it had not.
        Failed = "failed",
        /// It was rolled back, and the deployment before it had not failed.
        RolledBack = "rolled-back",
        /// A person cancelled it.
        Cancelled = "cancelled",
        /// The daemon was stopped or killed while it ran.
        Interrupted = "interrupted",
        /// It is live, and the deployment before it had failed.
        Recovered = "recovered",
        /// It is live, and nothing was before it.
        FirstLive = "first-live",
        /// The newest deployment has failed, and still has after another hour.
        StillFailing = "still-failing",
    }
}

impl Outcome {
    /// True if a redelivery may run the job again: it failed, or was never finished.
    pub fn may_run_again(self) -> bool {
        matches!(self, Self::Failed | Self::Cancelled | Self::Interrupted)
    }
}
