//! What counts as proof that a delivery is genuine: as configured, or nothing at all for a repo that does not exist.

use std::sync::LazyLock;
use std::time::Duration;

use crate::config::{ForgeKind, Generic, Repo, SecretSource};
use crate::model::{Secret, Timestamp};

/// What a repo's configuration allows to count as proof.
pub struct Trust<'a> {
    /// The forge that the configuration names; the headers then only have to agree.
    pub forge: Option<ForgeKind>,
    /// The webhook secrets; each of them is good.
    pub secrets: &'a [Secret],
    /// Whether SHA-1 is good enough where there is nothing better.
    pub allow_sha1: bool,
    /// The Ed25519 key of sr.ht or of a Standard Webhooks sender.
    pub public_key: Option<[u8; 32]>,
    /// The header that holds the secret (Azure DevOps).
    pub auth_header: Option<&'a str>,
    /// How the `generic` forge signs.
    pub generic: Option<&'a Generic>,
    /// How far a signed time stamp may be from now, either way.
    pub timestamp_tolerance: Duration,
    /// The time of arrival.
    pub now: Timestamp,
    /// Not public, so that neither openness nor existence can be claimed by mistake.
    pub(super) who: Who,
}

/// Who is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// A repo with secrets.
    Known,
    /// A repo that says `insecure-none` in so many words.
    Open,
    /// No repo at all.
    Nobody,
}

/// Stands for the secret of a repo that does not exist. What it signs is refused all the same.
static NOBODY: LazyLock<[Secret; 1]> = LazyLock::new(|| [Secret::new(b"no repo has this secret".to_vec())]);

/// Default of `timestamp_tolerance`, as in the reference libraries of Standard Webhooks.
const TOLERANCE: Duration = Duration::from_mins(5);

impl<'a> Trust<'a> {
    /// What `repo` trusts. Open to anybody only if its configuration says `insecure-none`: no secrets for any other
    /// reason means that nothing is trusted.
    pub fn of(repo: &'a Repo, secrets: &'a [Secret], now: Timestamp) -> Self {
        let open = secrets.is_empty() && repo.secret.contains(&SecretSource::InsecureNone);
        Self {
            forge: repo.forge,
            secrets,
            allow_sha1: repo.allow_sha1,
            public_key: repo.public_key,
            auth_header: repo.auth_header.as_deref(),
            generic: Some(&repo.generic),
            timestamp_tolerance: repo.timestamp_tolerance,
            now,
            who: if open { Who::Open } else { Who::Known },
        }
    }

    /// For a repo that does not exist: trusts nothing, with the same work.
    pub fn nobody(now: Timestamp) -> Self {
        Self {
            forge: None,
            secrets: NOBODY.as_slice(),
            allow_sha1: false,
            public_key: None,
            auth_header: None,
            generic: None,
            timestamp_tolerance: TOLERANCE,
            now,
            who: Who::Nobody,
        }
    }

    /// True if anything at all is let in, without a check.
    pub fn is_open(&self) -> bool {
        self.who == Who::Open
    }
}
