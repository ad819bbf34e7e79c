//! Deliveries that failed while hookd was away: the forge is asked to make them again, if there is a token that may.
//!
//! The look at the remote finds every push without them; a delivery says more: who pushed, and what is no push.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::Poller;
use crate::config::Repo;
use crate::forge_api::{Api, ApiError, Missed, has_deliveries};
use crate::logging::About;
use crate::model::{Locked, RepoName};
use crate::worker::Settings;

/// Least time between two times that a forge is asked about one repo, however often the remote comes and goes.
const LEAST_PAUSE: Duration = Duration::from_mins(10);

/// When the forge of a repo was asked last, and what it was asked for again.
pub(super) type Asked = BTreeMap<RepoName, (Option<Instant>, BTreeSet<String>)>;

impl Poller {
    /// Asks the repo's forge for what it could not deliver: at start, and when the remote is there again.
    pub(super) async fn ask_for_missed(&self, settings: &Settings, repo: &Repo) {
        let api = settings.config.api_of(repo);
        let Some(found) = api.filter(|(_, api)| has_deliveries(api.kind)) else {
            return;
        };
        if !self.may_ask(&repo.name) {
            return;
        }
        let about = |reason: Option<&str>, text: String| {
            let about = About {
                repo: Some(repo.name.as_str()),
                reason,
                ..About::default()
            };
            about.info(text);
        };
        match self.redeliver_missed(settings, repo, found).await {
            Ok(0) => {}
            Ok(count) => about(None, format!("asked the forge to repeat {count} failed deliveries")),
            // Most tokens may do no more than they must: what is missed is found by looking at the remote.
            Err(error) => {
                let hint = error.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
                let text = format!("the forge is not asked for failed deliveries: {error}{hint}");
                about(Some(&error.message), text);
            }
        }
    }

    async fn redeliver_missed(
        &self,
        settings: &Settings,
        repo: &Repo,
        (name, api): (&str, &crate::config::ForgeApi),
    ) -> Result<usize, ApiError> {
        let may = json!({ "repository_hooks": "write" });
        let (tokens, time) = (&self.world.tokens, settings.config.limits.api_time);
        let token = tokens
            .get((name, api), &settings.secrets, &repo.full_name, &may, time)
            .await?;
        let forge = Api::new(repo, api.url.as_ref(), token, time)?;
        let host = settings.config.http.public_url.as_ref().and_then(url::Url::host_str);
        let path = format!("/hook/{}", repo.name);
        let hook = match forge.hook_to(&path, host).await? {
            None if host.is_some() => forge.hook_to(&path, None).await?,
            hook => hook,
        };
        let Some(hook) = hook else { return Ok(0) };
        let mut count = 0;
        for missed in forge.missed(&hook).await? {
            if self.is_new(repo, &missed).await {
                forge.redeliver(&hook, &missed).await?;
                count += 1;
            }
        }
        Ok(count)
    }

    /// Whether it never came, and was not asked for yet. What was answered too late is here all the same.
    async fn is_new(&self, repo: &Repo, missed: &Missed) -> bool {
        let stored = self.world.store.delivery(missed.id.clone()).await;
        if stored.is_ok_and(|found| found.is_some_and(|(row, _, _)| row.repo == repo.name.as_str())) {
            return false;
        }
        let mut missed_before = self.missed.locked();
        missed_before
            .entry(repo.name.clone())
            .or_default()
            .1
            .insert(missed.id.clone())
    }

    fn may_ask(&self, repo: &RepoName) -> bool {
        let mut asked = self.missed.locked();
        let last = &mut asked.entry(repo.clone()).or_default().0;
        let may = last.is_none_or(|at| at.elapsed() >= LEAST_PAUSE);
        if may {
            *last = Some(Instant::now());
        }
        may
    }
}
