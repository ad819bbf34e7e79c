//! The end of `hookd add`: the forge's test delivery is awaited, the first deployment followed, the first status tried.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use super::Step;
use super::plan::{Plan, one};
use crate::api::{Asked, Delivery};
use crate::cli::act;
use crate::cli::client::Client;
use crate::cli::output::Failure;
use crate::clock;
use crate::forge_api::Api;
use crate::model::{RepoName, Timestamp};

/// Longest wait for a test delivery: forges send it at once, and retry nothing.
pub(super) const TEST_TIME: Duration = Duration::from_secs(10);

/// Pause between two looks at what came in.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Deliveries that are looked at.
const LOOKED_AT: usize = 20;

/// What came in for a repo since a moment.
pub(super) struct Arrivals {
    client: Client,
    repo: RepoName,
    since: Timestamp,
    secret: Option<u32>,
}

impl Arrivals {
    /// From now on.
    pub(super) fn now(config: &Path, repo: &RepoName) -> Self {
        Self::since(config, repo, clock::now(), None)
    }

    /// Since then; with `secret` those alone that were signed with this one of the repo's secrets, counted from 1.
    pub(super) fn since(config: &Path, repo: &RepoName, since: Timestamp, secret: Option<u32>) -> Self {
        Self {
            client: Client::new(config),
            repo: repo.clone(),
            since,
            secret,
        }
    }

    /// Waits for a delivery that was taken; false if none came in time.
    pub(super) async fn one_within(&mut self, time: Duration) -> bool {
        let begun = Instant::now();
        let path = format!("/api/v1/deliveries?limit={LOOKED_AT}&repo={}", self.repo);
        loop {
            let rows: Vec<Delivery> = self.client.get(&path).await.unwrap_or_default();
            let signed = |row: &Delivery| self.secret.is_none() || row.secret == self.secret;
            let taken = |row: &Delivery| row.result != "rejected" && row.received_at >= self.since.0 && signed(row);
            if rows.iter().any(taken) {
                return true;
            }
            if begun.elapsed() >= time {
                return false;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// What was found, and what is left to a person.
#[derive(Default)]
pub(super) struct Confirmed {
    pub(super) steps: Vec<Step>,
    pub(super) next: Vec<String>,
}

/// Has the forge send a test delivery, and waits for it.
pub(super) async fn delivery(plan: &Plan, forge: &Api, url: &str, confirmed: &mut Confirmed) {
    let mut arrivals = Arrivals::now(&plan.place.config, &plan.name);
    match forge.test_hook(url).await {
        Ok(true) if arrivals.one_within(TEST_TIME).await => {
            confirmed.steps.push(Step::new("arrived", "test delivery of the forge"));
        }
        Ok(true) => confirmed.next.push(format!(
            "the forge's test delivery did not arrive within {} s: can the forge reach {url}? hookd doctor",
            TEST_TIME.as_secs()
        )),
        // It has no such request, or the token may not: the next push shows it.
        Ok(false) | Err(_) => {}
    }
}

/// Deploys for the first time, and shows how it ends.
pub(super) async fn deployment(plan: &Plan, quiet: bool, confirmed: &mut Confirmed) -> Result<(), Failure> {
    let client = Client::new(&plan.place.config);
    let target = format!("{}/{}", plan.name, plan.target);
    let path = format!("/api/v1/targets/{target}/deploy");
    let asked: Asked = match client.post(&path, &json!({})).await {
        Ok(asked) => asked,
        Err(error) => {
            confirmed.next.push(format!(
                "the first deployment was not begun: {error}; hookd deploy {target}"
            ));
            return Ok(());
        }
    };
    match act::followed(&client, &asked, quiet).await? {
        None => confirmed
            .steps
            .push(Step::new("live", format!("first deployment: {target}"))),
        Some(failure) => confirmed.next.push(format!(
            "the first deployment failed: {failure}; then: hookd retry {target}"
        )),
    }
    Ok(())
}

/// Tries the token with which the daemon reports, if there is one.
pub(super) async fn status(plan: &Plan, confirmed: &mut Confirmed) -> Result<(), Failure> {
    let repo = one(&plan.config, &plan.name)?;
    let reports = repo.report.as_ref().is_none_or(|kinds| !kinds.is_empty());
    if plan.config.api_of(repo).is_none() || !reports {
        return Ok(());
    }
    let client = Client::new(&plan.place.config);
    let path = format!("/api/v1/repos/{}/report/test", plan.name);
    let tried: Result<Asked, Failure> = client.post(&path, &json!({})).await;
    match tried {
        Ok(asked) => confirmed.steps.push(Step::new("tried", asked.message)),
        Err(error) => confirmed.next.push(format!(
            "commits get no status at the forge: {error}; hookd report test {}",
            plan.name
        )),
    }
    Ok(())
}
