//! The words of jobs, deployments and releases: as stored, in the journal, and in every answer.

use std::fmt;
use std::str::FromStr;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word in the journal, the store and every answer.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    other => Err(format!("{other:?} is not a known {}", stringify!($name).to_lowercase())),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// The phases of a deployment, in their order.
    Phase {
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

words! {
    /// How a deployment ended.
    Outcome {
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

words! {
    /// What asked for a job.
    Source {
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

words! {
    /// How far a job has come.
    JobState {
        /// In the queue.
        Waiting = "waiting",
        /// Claimed by a worker.
        Running = "running",
        /// Ended, with an outcome.
        Done = "done",
    }
}

words! {
    /// What a release is worth.
    ReleaseState {
        /// Being made, or left behind by a crash.
        Building = "building",
        /// Was or is live.
        Good = "good",
        /// Failed to build or to pass its check.
        Failed = "failed",
    }
}

words! {
    /// What a notification is about: an outcome, or a change of state that it means.
    Happening {
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
