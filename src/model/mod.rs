//! Words: values that are always valid once they exist. No I/O, no clock, no serde.

mod asker;
mod check;
mod commit;
mod delivery;
mod event;
mod git_ref;
mod git_url;
mod names;
mod outcome;
mod passing;
mod refusal;
mod release_name;
mod role;
mod secret;
mod spelled;
mod time;
mod version;
pub mod words;

pub use asker::Asker;
pub use check::CheckState;
pub use commit::{CommitId, CommitIdError, short_commit};
pub use delivery::{DeliveryId, DeliveryIdError};
pub use event::{Action, Event, EventKind};
pub use git_ref::{GitRef, GitRefError, RefKind};
pub use git_url::{GitUrl, GitUrlError};
pub use names::{NameError, RepoName, TargetId, TargetName};
pub use outcome::{Happening, JobState, Outcome, Phase, ReleaseState, Source};
pub use passing::{is_passing, tells_of_passing};
pub use refusal::{Refusal, RefusalKind};
pub use release_name::{ReleaseName, ReleaseNameError};
pub use role::Role;
pub use secret::Secret;
pub(crate) use spelled::spelled;
pub use spelled::{Spelled, unknown_word};
pub use time::{Timestamp, span};
pub use version::{compare_tags, is_prerelease};
