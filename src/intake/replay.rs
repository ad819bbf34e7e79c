//! Replays a stored delivery, judged by the current configuration.

use super::{Intake, jobs, reason};
use crate::clock;
use crate::forge::{self, ParseError};
use crate::model::Asker;
use crate::rules;
use crate::store::{AcceptedJob, Source, StoreError};
use crate::worker::Settings;

/// What became of a replay.
pub struct Replayed {
    /// The jobs that wait now; `None` if no target wants the delivery.
    pub jobs: Vec<AcceptedJob>,
    /// Each target's verdict.
    pub reason: String,
}

/// Why a delivery can't be replayed.
#[derive(Debug, thiserror::Error)]
pub enum NotReplayed {
    /// Nothing of that id is stored.
    #[error("there is no stored delivery {0}")]
    Unknown(String),
    /// Its repo is no longer in the configuration.
    #[error("repo {0} is no longer configured")]
    NoRepo(String),
    /// It says nothing.
    #[error(transparent)]
    NotUnderstood(#[from] ParseError),
    /// Its payload is no longer kept.
    #[error("the payload of delivery {0} is no longer kept; `hookd deploy` deploys the tip")]
    Emptied(String),
    /// The store can't be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Intake {
    /// Runs a stored delivery again, by its number or the forge's id, for whoever asks for it.
    ///
    /// # Errors
    /// Why that can't be done.
    pub async fn replay(&self, settings: &Settings, id: &str, by: &Asker) -> Result<Replayed, NotReplayed> {
        let stored = self.store.delivery(id.to_owned()).await?;
        let (row, headers, body) = stored.ok_or_else(|| NotReplayed::Unknown(id.to_owned()))?;
        if body.is_empty() {
            return Err(NotReplayed::Emptied(id.to_owned()));
        }
        let repo = row.repo.parse().ok().and_then(|name| settings.config.repos.get(&name));
        let repo = repo.ok_or(NotReplayed::NoRepo(row.repo))?;
        // It was verified when it was stored; its signature is not kept.
        let headers = forge::restored_headers(&headers);
        let parsed = forge::parse_unverified(&headers, &body, row.forge.parse().ok(), Some(&repo.generic))?;
        let verdicts = rules::judge(repo, &parsed);
        let reason = reason(&verdicts);
        let mut jobs = Vec::new();
        let mut wanted = jobs::jobs(repo, verdicts, Source::Replay);
        for job in &mut wanted {
            job.asked_by = Some(by.to_string());
        }
        if !wanted.is_empty() {
            let number = row.number.unwrap_or_default();
            jobs = self.store.replay(number, wanted, clock::now()).await?;
            self.worker.wake();
        }
        Ok(Replayed { jobs, reason })
    }
}
