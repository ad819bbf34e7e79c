//! `hookd deploy`, `retry`, `rollback`, `replay`, `cancel`, `pause`, `resume`: acts on a target, and waits for the end.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use clap_complete::ArgValueCandidates;
use serde_json::json;
use tokio::task::JoinSet;

use super::block_on;
use super::client::{Client, part};
use super::complete;
use super::follow::{self, Screen, Tails};
use super::output::{self, Code, Failure};
use crate::api::{Asked, DeploymentDetail, Job};
use crate::model::Outcome;

/// `hookd deploy`, `hookd retry`
#[derive(Debug, Args)]
pub struct Deploy {
    /// `repo/target`, or `repo` if it has one target.
    #[arg(add = ArgValueCandidates::new(complete::targets))]
    pub target: String,
    /// The branch or tag, for targets that follow a pattern.
    #[arg(long = "ref")]
    pub git_ref: Option<String>,
    /// Don't wait for the deployment to end.
    #[arg(long)]
    pub no_wait: bool,
}

/// `hookd rollback`
#[derive(Debug, Args)]
pub struct Rollback {
    /// `repo/target`, or `repo` if it has one target.
    #[arg(add = ArgValueCandidates::new(complete::targets))]
    pub target: String,
    /// The release; default: the previous good one.
    #[arg(add = ArgValueCandidates::new(complete::releases))]
    pub release: Option<String>,
    /// Don't wait for the deployment to end.
    #[arg(long)]
    pub no_wait: bool,
}

/// `hookd replay`
#[derive(Debug, Args)]
pub struct Replay {
    /// The forge's id of the delivery, or its number in `hookd deliveries`.
    #[arg(add = ArgValueCandidates::new(complete::deliveries))]
    pub delivery: String,
    /// Don't wait for the deployment to end.
    #[arg(long)]
    pub no_wait: bool,
}

/// Commands on one target.
#[derive(Debug, Args)]
pub struct OneTarget {
    /// `repo/target`, or `repo` if it has one target.
    #[arg(add = ArgValueCandidates::new(complete::targets))]
    pub target: String,
}

/// `hookd notify`
#[derive(Debug, Subcommand)]
pub enum NotifyAction {
    /// Send a sample message and say what came back.
    Test {
        /// The NAME of `[notify.NAME]`.
        name: String,
    },
}

/// `hookd report`
#[derive(Debug, Subcommand)]
pub enum ReportAction {
    /// Set a sample status on the live commit and say what came back.
    Test {
        /// The NAME of `[repo.NAME]`.
        #[arg(add = ArgValueCandidates::new(complete::repos))]
        repo: String,
    },
}

/// Pause between two looks whether a job has begun.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// `hookd deploy`, `hookd retry`
pub fn deploy(config: &Path, json: bool, options: &Deploy, action: &str) -> Result<ExitCode, Failure> {
    let client = Client::new(config);
    block_on(async {
        let target = client.target(&options.target).await?;
        let body = json!({ "ref": options.git_ref });
        let asked = client
            .post(&format!("/api/v1/targets/{target}/{action}"), &body)
            .await?;
        end(&client, asked, options.no_wait, json).await
    })
}

/// `hookd rollback`
pub fn rollback(config: &Path, json: bool, options: &Rollback) -> Result<ExitCode, Failure> {
    let client = Client::new(config);
    block_on(async {
        let target = client.target(&options.target).await?;
        let body = json!({ "release": options.release });
        let asked = client
            .post(&format!("/api/v1/targets/{target}/rollback"), &body)
            .await?;
        let code = end(&client, asked, options.no_wait, json).await?;
        if !json && code == ExitCode::SUCCESS {
            output::line(&format!("{target} stays there until: hookd resume {target}"));
        }
        Ok(code)
    })
}

/// `hookd replay`
pub fn replay(config: &Path, json: bool, options: &Replay) -> Result<ExitCode, Failure> {
    let client = Client::new(config);
    block_on(async {
        let asked = client
            .post(
                &format!("/api/v1/deliveries/{}/replay", part(&options.delivery)),
                &json!({}),
            )
            .await?;
        end(&client, asked, options.no_wait, json).await
    })
}

/// `hookd cancel`, `hookd pause`, `hookd resume`
pub fn simple(config: &Path, json: bool, options: &OneTarget, action: &str) -> Result<ExitCode, Failure> {
    let client = Client::new(config);
    block_on(async {
        let target = client.target(&options.target).await?;
        let asked: Asked = client
            .post(&format!("/api/v1/targets/{target}/{action}"), &json!({}))
            .await?;
        if json {
            return output::json(&asked);
        }
        output::line(&asked.message);
        Ok(ExitCode::SUCCESS)
    })
}

/// Sends the sample message of `hookd notify test`.
pub fn notify(config: &Path, json: bool, NotifyAction::Test { name }: &NotifyAction) -> Result<ExitCode, Failure> {
    test(config, json, &format!("/api/v1/notify/{}/test", part(name)))
}

/// Sets the sample status of `hookd report test`.
pub fn report(config: &Path, json: bool, ReportAction::Test { repo }: &ReportAction) -> Result<ExitCode, Failure> {
    test(config, json, &format!("/api/v1/repos/{}/report/test", part(repo)))
}

/// `hookd notify test`, `hookd report test`
fn test(config: &Path, json: bool, path: &str) -> Result<ExitCode, Failure> {
    let client = Client::new(config);
    block_on(async {
        let asked: Asked = client.post(path, &json!({})).await?;
        if json {
            return output::json(&asked);
        }
        output::line(&output::printable(&asked.message));
        Ok(ExitCode::SUCCESS)
    })
}

/// Waits for the jobs, showing what they print; fails if one of them does.
pub(super) async fn end(client: &Client, asked: Asked, no_wait: bool, json: bool) -> Result<ExitCode, Failure> {
    if no_wait || asked.jobs.is_empty() {
        if json {
            return output::json(&asked);
        }
        for job in &asked.jobs {
            output::line(&format!(
                "{}: queued; follow it with: hookd logs -f {}",
                job.target, job.target
            ));
        }
        if !asked.message.is_empty() {
            output::line(&asked.message);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let screen = Screen::new(asked.jobs.len() > 1);
    let ended = tokio::select! {
        ended = all(client, &screen, &asked, json) => ended?,
        left = follow::left() => {
            screen.clear();
            let targets: Vec<String> = asked.jobs.iter().map(|job| job.target.clone()).collect();
            follow::say_what_goes_on(&targets);
            return left;
        }
    };
    if json {
        let jobs: Vec<&Job> = ended.iter().map(|ended| &ended.job).collect();
        output::json(&jobs)?;
    }
    ended.iter().find_map(Ended::failure).map_or(Ok(ExitCode::SUCCESS), Err)
}

/// Waits for the jobs as [`end`] does, and gives the first failure; none, too, if the person leaves.
pub(super) async fn followed(client: &Client, asked: &Asked, quiet: bool) -> Result<Option<Failure>, Failure> {
    let screen = Screen::new(asked.jobs.len() > 1);
    let ended = tokio::select! {
        ended = all(client, &screen, asked, quiet) => ended?,
        _ = follow::left() => {
            screen.clear();
            return Ok(None);
        }
    };
    Ok(ended.iter().find_map(Ended::failure))
}

/// Waits for all jobs at a time; gives them in their order.
async fn all(client: &Client, screen: &Screen, asked: &Asked, json: bool) -> Result<Vec<Ended>, Failure> {
    let mut waits = JoinSet::new();
    for (at, job) in asked.jobs.iter().enumerate() {
        let (client, screen, job) = (client.clone(), screen.clone(), job.id);
        waits.spawn(async move { wait(&client, &screen, job, json).await.map(|ended| (at, ended)) });
    }
    let mut ended = Vec::new();
    while let Some(one) = waits.join_next().await {
        ended.push(one.map_err(|e| Failure::failed(e.to_string()))??);
    }
    ended.sort_by_key(|(at, _)| *at);
    Ok(ended.into_iter().map(|(_, ended)| ended).collect())
}

/// A job that has ended, and what it printed last.
struct Ended {
    job: Job,
    tails: Tails,
}

impl Ended {
    /// What to tell of it, if it did not do what was asked for.
    fn failure(&self) -> Option<Failure> {
        let job = &self.job;
        let outcome = job.outcome.as_deref().and_then(|o| o.parse::<Outcome>().ok());
        if matches!(outcome, Some(Outcome::Live | Outcome::Unchanged | Outcome::Superseded)) {
            return None;
        }
        let word = job.outcome.as_deref().unwrap_or("failed");
        let reason = job.reason.as_deref().unwrap_or_default();
        let mut failure = Failure::new(Code::Failed, format!("{}: {word}: {reason}", job.target));
        if let Some((phase, lines)) = self.tails.of(reason) {
            failure = failure.quote(&format!("{phase} printed last:"), &lines);
        }
        let logs = job.deployment.map(|id| format!("; hookd logs {id} shows all of it"));
        Some(failure.hint(format!(
            "hookd retry {} tries again{}",
            job.target,
            logs.unwrap_or_default()
        )))
    }
}

/// Waits for one job: until it begins, then with its log, until a run of it has ended.
async fn wait(client: &Client, screen: &Screen, job: i64, json: bool) -> Result<Ended, Failure> {
    let mut shown = None;
    let mut tails = Tails::default();
    loop {
        let mut status: Job = client.get(&format!("/api/v1/jobs/{job}")).await?;
        if let Some(deployment) = status.deployment.filter(|id| shown != Some(*id)) {
            shown = Some(deployment);
            // What was superseded before it ran has no log.
            let ran = status.outcome.as_deref() != Some(Outcome::Superseded.as_str());
            if !json && ran {
                tails = follow::show(client, screen, deployment, true).await?;
            }
            status = client.get(&format!("/api/v1/jobs/{job}")).await?;
        }
        if status.state == "done" {
            return Ok(Ended { job: status, tails });
        }
        // A fetch that failed for a reason that may pass is tried again later; the person is told now.
        if let (Some(deployment), Some(_)) = (status.deployment, &status.outcome) {
            let row: DeploymentDetail = client.get(&format!("/api/v1/deployments/{deployment}")).await?;
            if row.row.finished_at.is_some() && row.row.outcome.as_deref() != Some("interrupted") {
                let reason = status.reason.take().unwrap_or_default();
                status.reason = Some(format!("{reason}; hookd retries it by itself"));
                return Ok(Ended { job: status, tails });
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
