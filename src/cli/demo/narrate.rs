//! Shows the effects of a webhook as they happen: the daemon's answer, the log of the deployment, the page.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use super::forge::Delivery;
use super::show::{Mark, Show};
use super::site;
use crate::api::{Deployment, DeploymentDetail, Job};
use crate::cli::client::Client;
use crate::cli::output::{Failure, short};
use crate::clock;
use crate::logbook::LogLine;
use crate::model::{CommitId, Outcome, Timestamp};

/// Pause between two looks how far the daemon is.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Who tells.
pub struct Narrator<'a> {
    /// Where it is shown.
    pub show: &'a Show,
    /// The way to the daemon.
    pub client: Client,
    /// Where the site is served.
    pub site: SocketAddr,
}

impl Narrator<'_> {
    /// Tells of a webhook and of the deployment that it asked for; `None` if it asked for none.
    pub async fn delivery(&self, delivery: &Delivery) -> Result<Option<Deployment>, Failure> {
        let push = &delivery.push;
        let what = if push.after.is_zero() {
            format!("the end of {}", push.git_ref)
        } else {
            format!("{} “{}” to {}", push.after.short(), push.subject, push.git_ref.short())
        };
        self.show.step(push.at, Mark::Begun, "pushed", &what);
        let (status, body) = delivery
            .answer
            .as_ref()
            .map_err(|reason| Failure::failed(format!("the webhook got no answer: {reason}")))?;
        let at = push.at.after(delivery.took);
        let took = delivery.took.as_millis();
        let word = body["status"].as_str().unwrap_or("answered");
        let reason = body["reason"].as_str().or(body["error"].as_str());
        let reason = reason.map(|reason| format!("; {reason}")).unwrap_or_default();
        let text = format!("the signed webhook, with {status} in {took} ms{reason}");
        let mark = match status {
            202 => Mark::Good,
            // Understood, and nothing is to be done.
            200 => Mark::Step,
            _ => Mark::Bad,
        };
        self.show.step(at, mark, word, &text);
        let mut last = None;
        for job in body["jobs"].as_array().into_iter().flatten() {
            last = self.job(&job["id"], &push.after).await?;
        }
        Ok(last)
    }

    /// Tells of the deployment that runs a job.
    async fn job(&self, job: &Value, commit: &CommitId) -> Result<Option<Deployment>, Failure> {
        let path = format!("/api/v1/jobs/{job}");
        let deployment = loop {
            let status: Job = self.client.get(&path).await?;
            match status.deployment {
                Some(deployment) => break deployment,
                // A newer push took its place.
                None if status.state == "done" => return Ok(None),
                None => tokio::time::sleep(LOOK_EVERY).await,
            }
        };
        self.log(deployment).await?;
        let row = self.end_of(deployment).await?;
        if row.outcome.as_deref() != Some(Outcome::Unchanged.as_str()) {
            return Ok(Some(row));
        }
        // The daemon looks at the remote by itself after a deployment, and may see a push before its webhook comes.
        let rows: Vec<Deployment> = self.client.get("/api/v1/deployments").await?;
        let same = |other: &Deployment| other.id != row.id && other.commit.as_deref() == Some(commit.as_str());
        Ok(Some(rows.into_iter().find(same).unwrap_or(row)))
    }

    async fn log(&self, deployment: i64) -> Result<(), Failure> {
        let mut before = String::new();
        let path = format!("/api/v1/deployments/{deployment}/log?follow=1");
        let each = |line: &str| {
            let entry = line
                .strip_prefix("data: ")
                .and_then(|text| serde_json::from_str(text).ok());
            if let Some(entry) = entry {
                self.log_line(&entry, &mut before);
            }
        };
        self.client.lines(&path, each).await
    }

    /// A check that fails again and again in the same way is told once.
    fn log_line(&self, entry: &LogLine, before: &mut String) {
        if entry.stream == "progress" || entry.text == *before {
            return;
        }
        entry.text.clone_into(before);
        let at = Timestamp(entry.at);
        if entry.phase == "finish"
            && let Some((outcome, reason)) = entry.text.split_once(": ")
            && let Ok(outcome) = outcome.parse::<Outcome>()
        {
            let mark = match outcome {
                Outcome::Live | Outcome::Unchanged => Mark::Good,
                Outcome::RolledBack => Mark::Back,
                _ => Mark::Bad,
            };
            return self.show.step(at, mark, outcome.as_str(), reason);
        }
        let bar = if entry.stream == "hookd" { "" } else { "| " };
        let text = format!("{bar}{}", entry.text);
        self.show.step(at, Mark::Step, &entry.phase, &text);
    }

    /// The deployment, once it has ended: the log ends a moment before that is written down.
    async fn end_of(&self, deployment: i64) -> Result<Deployment, Failure> {
        loop {
            let path = format!("/api/v1/deployments/{deployment}");
            let found: DeploymentDetail = self.client.get(&path).await?;
            if found.row.finished_at.is_some() {
                return Ok(found.row);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Looks at the page, and shows its headline.
    pub async fn page(&self) -> Result<String, Failure> {
        let url = format!("http://{}/", self.site);
        let failed = |why: String| Failure::failed(format!("{url} {why}"));
        let (status, page) = site::look(self.site)
            .await
            .map_err(|e| failed(format!("does not answer: {e}")))?;
        if !status.is_success() {
            return Err(failed(format!("answers {status}")));
        }
        let headline = site::headline(&page).unwrap_or("a page without a headline");
        let text = format!("{url} shows “{headline}”");
        self.show.step(clock::now(), Mark::Good, "page", &text);
        Ok(page)
    }

    /// The deployments, newest first, as `hookd history` lists them, without those that found nothing to do.
    pub async fn history(&self) -> Result<Vec<Deployment>, Failure> {
        let mut rows: Vec<Deployment> = self.client.get("/api/v1/deployments").await?;
        rows.retain(|row| row.outcome.as_deref() != Some(Outcome::Unchanged.as_str()));
        for row in &rows {
            let outcome = row.outcome.as_deref().unwrap_or("running");
            let subject = row.subject.as_deref().unwrap_or_default();
            let line = format!(
                "  #{:<3} {outcome:<11}  {}  {subject}",
                row.id,
                short(row.commit.as_deref())
            );
            self.show.line(&crate::cli::output::printable(&line));
        }
        Ok(rows)
    }
}
