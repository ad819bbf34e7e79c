//! `require_checks`: what CI says of the commit, by the events that came and by the forge's API.
//!
//! The newest green commit is what deploys. While the tip's checks are not green, an older commit may go live whose checks
//! are: one that can be reached from the tip and is not yet live. So a branch that is pushed to more often than its CI takes
//! is deployed all the same. With `queue = "all"` each commit waits for its own checks, in its turn.

use serde_json::json;

use crate::checks::{self, Verdict};
use crate::clock;
use crate::config::{QueueMode, units};
use crate::forge_api::checks::States;
use crate::forge_api::{Api, ApiError};
use crate::git::Fetched;
use crate::model::{CommitId, Phase};
use crate::store::{Hold, KnownChecks, Progress};

use super::prepare::Live;
use super::{Passed, Run, Stop};

impl Run<'_> {
    /// With `require_checks`: what may be deployed now, the fetched commit or an older one.
    pub(super) async fn newest_green(&mut self, live: &Live, fetched: Fetched) -> Result<Fetched, Stop> {
        if self.site.target.require_checks.is_empty() {
            return Ok(fetched);
        }
        let (known, verdict, trouble) = self.look_at_checks(&fetched.commit).await?;
        let said = match &verdict {
            Verdict::Green => {
                let text = format!("checks are green: {}", self.site.target.require_checks.join(", "));
                self.record.say(Phase::Fetch, &text);
                return Ok(fetched);
            }
            Verdict::Red(said) | Verdict::Pending(said) => said.clone(),
        };
        if let Some(older) = self.older_green(live, &fetched).await? {
            let text = format!(
                "{}: {said}; {} is the newest commit that is green",
                fetched.commit.short(),
                older.commit.short()
            );
            self.record.say(Phase::Fetch, &text);
            self.describe(&older).await?;
            self.record.learn(&Progress {
                commit: Some(older.commit.clone()),
                ..Progress::default()
            });
            self.passed = Some(Passed {
                tip: fetched.commit,
                red: matches!(verdict, Verdict::Red(_)),
            });
            return Ok(older);
        }
        let trouble = trouble.map(|trouble| format!(" ({trouble})")).unwrap_or_default();
        if matches!(verdict, Verdict::Red(_)) {
            return Err(Stop::Unchecked(format!(
                "checks of {}: {said}{trouble}",
                fetched.commit.short()
            )));
        }
        self.wait_for_checks(fetched.commit, &format!("{said}{trouble}"), &known)
    }

    /// The known checks of a commit, their verdict, and why the API could not be asked.
    async fn look_at_checks(&self, commit: &CommitId) -> Result<(KnownChecks, Verdict, Option<String>), Stop> {
        let required = &self.site.target.require_checks;
        let repo = self.site.repo.name.to_string();
        let mut known = self.world.store.checks(repo.clone(), commit.clone()).await?;
        let verdict = checks::judge(required, &known.states);
        if verdict == Verdict::Green {
            return Ok((known, verdict, None));
        }
        match self.ask_forge(commit).await {
            None => Ok((known, verdict, None)),
            Some(Err(trouble)) => Ok((known, verdict, Some(trouble.to_string()))),
            Some(Ok(states)) => {
                let now = clock::now();
                let noted = self
                    .world
                    .store
                    .note_checks(repo, commit.clone(), states.clone(), known.seq, now);
                known.seq = noted.await?;
                known.states.extend(states);
                let verdict = checks::judge(required, &known.states);
                Ok((known, verdict, None))
            }
        }
    }

    /// What the forge says, if it can be asked.
    async fn ask_forge(&self, commit: &CommitId) -> Option<Result<States, ApiError>> {
        let (name, api) = self.site.config.api_of(&self.site.repo)?;
        let repo = &self.site.repo;
        let may = json!({ "checks": "read", "statuses": "read" });
        let (tokens, time) = (&self.world.tokens, self.site.config.limits.api_time);
        let token = tokens
            .get((name, api), &self.site.secrets, &repo.full_name, &may, time)
            .await;
        match token.and_then(|token| Api::new(repo, api.url.as_ref(), token, time)) {
            Ok(api) => api.checks(commit, &self.site.target.require_checks).await,
            Err(error) => Some(Err(error)),
        }
    }

    /// The newest commit since what is live whose checks are green, if it is wanted and signed as the tip has to be.
    async fn older_green(&mut self, live: &Live, tip: &Fetched) -> Result<Option<Fetched>, Stop> {
        let target = &self.site.target;
        if target.queue == QueueMode::All {
            return Ok(None);
        }
        let green = self
            .world
            .store
            .green_commits(&target.id, target.require_checks.clone());
        let mut green = green.await?;
        green.retain(|commit| *commit != tip.commit && Some(commit) != live.commit.as_ref());
        if green.is_empty() {
            return Ok(None);
        }
        let mirror = self.mirror();
        let newest = self
            .world
            .git
            .newest_of(&mirror, &tip.commit, live.commit.as_ref(), &green, &self.halt.token)
            .await?;
        let Some(older) = newest else {
            return Ok(None);
        };
        match self.require_good(live, &older).await {
            Ok(()) => Ok(Some(older)),
            Err(Stop::Halted) => Err(Stop::Halted),
            Err(_) => Ok(None),
        }
    }

    /// Fails unless the commit may be deployed but for its checks.
    async fn require_good(&mut self, live: &Live, fetched: &Fetched) -> Result<(), Stop> {
        self.require_wanted(live, fetched).await?;
        self.require_signature(&fetched.commit).await
    }

    /// Gives the job back until something is heard, or until the time is over.
    fn wait_for_checks(&mut self, commit: CommitId, said: &str, known: &KnownChecks) -> Result<Fetched, Stop> {
        let now = clock::now();
        let held = self.claim.job.held.as_ref().filter(|held| held.commit == commit);
        let since = held.map_or(now, |held| held.since);
        let timeout = self.site.target.checks_timeout;
        let deadline = since.after(timeout);
        if now >= deadline {
            let after = units::show_duration(timeout);
            return Err(Stop::Unchecked(format!("checks not green after {after}: {said}")));
        }
        let reason = format!("waits for checks of {}: {said}", commit.short());
        if held.is_none_or(|held| held.reason != reason) {
            self.record.say(Phase::Fetch, &reason);
        }
        let until = if self.site.config.api_of(&self.site.repo).is_some() {
            now.after(checks::pause(now.since(since))).min(deadline)
        } else {
            deadline
        };
        Err(Stop::Held(Box::new(Hold {
            commit,
            reason,
            until,
            seq: known.seq,
            keep_all: self.site.target.queue == QueueMode::All,
        })))
    }
}
