//! Words: values that cannot be wrong once they exist. No I/O, no clock, no serde.

mod check;
mod commit;
mod delivery;
mod event;
mod git_ref;
mod names;
mod outcome;
mod refusal;
mod secret;
mod time;
mod version;
pub mod words;

pub use check::{CheckState, CheckStateError};
pub use commit::{CommitId, CommitIdError};
pub use delivery::{DeliveryId, DeliveryIdError};
pub use event::{Action, Event, EventKind};
pub use git_ref::{GitRef, GitRefError, RefKind};
pub use names::{NameError, RepoName, TargetId, TargetName};
pub use outcome::{Outcome, Phase};
pub use refusal::{Refusal, RefusalKind};
pub use secret::Secret;
pub use time::Timestamp;
pub use version::{compare_tags, is_prerelease};
