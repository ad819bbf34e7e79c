//! What is wrong with a repo's webhook, until a good delivery shows that it is fixed.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::clock;
use crate::config::{ForgeKind, Repo};
use crate::forge::Parsed;
use crate::model::{Locked, RepoName, Timestamp};
use crate::rules;

/// Something wrong with a repo's webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// Deliveries that are rightly signed name another repo, and none named this one since.
    Mismatch {
        /// The name that they have.
        claimed: String,
        /// When the first of them came.
        since: Timestamp,
    },
    /// Deliveries that name this repo were refused for their signature, and none was right since.
    Refused {
        /// Why, in one word: `signature-wrong`.
        reason: String,
        /// Where the last one came from.
        from: String,
        /// When the first of them came.
        since: Timestamp,
    },
}

impl Trouble {
    /// Its code among the problems of a target.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Mismatch { .. } => "webhook-mismatch",
            Self::Refused { .. } => "webhook-refused",
        }
    }

    /// When it began.
    pub fn since(&self) -> Timestamp {
        match self {
            Self::Mismatch { since, .. } | Self::Refused { since, .. } => *since,
        }
    }

    /// What is wrong, for people.
    pub fn text(&self, repo: &Repo) -> String {
        match self {
            Self::Mismatch { claimed, .. } => format!(
                "signed deliveries are about {}, not about {}: they are ignored",
                rules::shown(claimed),
                repo.full_name
            ),
            Self::Refused { reason, from, .. } => {
                format!("deliveries for this repo are refused ({reason}), the last one from {from}")
            }
        }
    }

    /// What to do about it.
    pub fn hint(&self, repo: &Repo) -> String {
        match self {
            Self::Mismatch { claimed, .. } => format!(
                "if that is the same repository, write below [repo.{}]: full_name = \"{}\"",
                repo.name,
                rules::shown(claimed)
            ),
            Self::Refused { .. } => {
                "give the forge the secret that the configuration names; if they come from strangers, `allow_from` keeps them out"
                    .to_owned()
            }
        }
    }
}

/// A mismatch with all that is needed to judge it again.
struct Mismatch {
    claimed: String,
    addresses: Vec<String>,
    forge: ForgeKind,
    since: Timestamp,
}

#[derive(Default)]
struct OfRepo {
    mismatch: Option<Mismatch>,
    refused: Option<Trouble>,
}

/// The troubles of all repos. In memory: the next delivery tells again.
#[derive(Default)]
pub(super) struct Troubles(Mutex<HashMap<RepoName, OfRepo>>);

impl Troubles {
    /// What is wrong with the repo's webhook by today's configuration.
    pub(super) fn of(&self, repo: &Repo) -> Vec<Trouble> {
        self.with(&repo.name, |troubles| {
            let is_mended = |mismatch: &Mismatch| {
                rules::is_about(repo, mismatch.forge, Some(&mismatch.claimed), &mismatch.addresses)
            };
            if troubles.mismatch.as_ref().is_some_and(is_mended) {
                troubles.mismatch = None;
            }
            let mismatch = troubles.mismatch.as_ref().map(|mismatch| Trouble::Mismatch {
                claimed: mismatch.claimed.clone(),
                since: mismatch.since,
            });
            mismatch.into_iter().chain(troubles.refused.clone()).collect()
        })
    }

    fn with<T>(&self, repo: &RepoName, act: impl FnOnce(&mut OfRepo) -> T) -> T {
        let mut repos = self.0.locked();
        act(repos.entry(repo.clone()).or_default())
    }

    /// Notes a rightly signed delivery for that repo: about another one if `mismatch` has its name; about no repo at all if the
    /// payload has none.
    pub(super) fn taken(&self, repo: &RepoName, parsed: &Parsed, mismatch: Option<&str>) {
        self.with(repo, |troubles| {
            troubles.refused = None;
            match mismatch {
                Some(claimed) => {
                    let since = troubles.mismatch.as_ref().map_or_else(clock::now, |known| known.since);
                    troubles.mismatch = Some(Mismatch {
                        claimed: claimed.to_owned(),
                        addresses: parsed.addresses.clone(),
                        forge: parsed.forge,
                        since,
                    });
                }
                None if parsed.repo.is_some() => troubles.mismatch = None,
                None => {}
            }
        });
    }

    /// Notes a delivery that names that repo and was refused.
    pub(super) fn refused(&self, repo: &RepoName, reason: &str, from: String) {
        self.with(repo, |troubles| {
            let since = troubles.refused.as_ref().map_or_else(clock::now, Trouble::since);
            troubles.refused = Some(Trouble::Refused {
                reason: reason.to_owned(),
                from,
                since,
            });
        });
    }
}
