//! `hookd logs`: what a deployment printed, whole or live.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use clap_complete::ArgValueCandidates;

use super::block_on;
use super::client::Client;
use super::complete;
use super::follow::{self, Screen};
use super::output::{self, Code, Failure};
use crate::api::{Deployment, DeploymentDetail};
use crate::model::Outcome;

/// `hookd logs`
#[derive(Debug, Args)]
pub struct Logs {
    /// Number of a deployment, or a target for its newest.
    #[arg(add = ArgValueCandidates::new(complete::deployments_and_targets))]
    pub what: Option<String>,
    /// Follow the log until the deployment ends.
    #[arg(short, long)]
    pub follow: bool,
}

/// Runs the command.
pub fn run(config: &Path, json: bool, options: &Logs) -> Result<ExitCode, Failure> {
    let client = Client::new(config);
    block_on(async {
        let deployment = deployment(&client, options.what.as_deref()).await?;
        if json {
            let path = follow::log_path(deployment, options.follow);
            client.lines(&path, print_json).await?;
            return Ok(ExitCode::SUCCESS);
        }
        let screen = Screen::new(false);
        let shown = follow::show(&client, &screen, deployment, options.follow);
        if !options.follow {
            shown.await?;
            return Ok(ExitCode::SUCCESS);
        }
        tokio::select! {
            shown = shown => shown.map(|_| ExitCode::SUCCESS),
            left = follow::left() => {
                screen.clear();
                let detail: DeploymentDetail = client.get(&format!("/api/v1/deployments/{deployment}")).await?;
                if detail.row.outcome.is_none() {
                    follow::say_what_goes_on(&[detail.row.target]);
                }
                left
            }
        }
    })
}

/// Prints a line as it is, if it is one of a log.
fn print_json(line: &str) {
    let line = line.strip_prefix("data: ").unwrap_or(line);
    if follow::entry(line).is_some() {
        output::line(line);
    }
}

/// Deployments that are asked for at once, until one of them ran: the others were superseded before they could.
const AT_ONCE: usize = 200;

/// The deployment that is meant: by number, the newest of a target, or the newest of all.
async fn deployment(client: &Client, what: Option<&str>) -> Result<i64, Failure> {
    if let Some(number) = what.and_then(|w| w.trim_start_matches('#').parse().ok()) {
        return Ok(number);
    }
    let target = match what {
        Some(name) => format!("&target={}", client.target(name).await?),
        None => String::new(),
    };
    let (mut newest, mut before) = (None, String::new());
    loop {
        let path = format!("/api/v1/deployments?limit={AT_ONCE}{target}{before}");
        let rows: Vec<Deployment> = client.get(&path).await?;
        let ran = |row: &&Deployment| row.outcome.as_deref() != Some(Outcome::Superseded.as_str());
        newest = newest.or(rows.first().map(|row| row.id));
        match (rows.iter().find(ran), rows.last()) {
            (Some(ran), _) => return Ok(ran.id),
            (None, Some(last)) if rows.len() == AT_ONCE => before = format!("&before={}", last.id),
            _ => break,
        }
    }
    newest.ok_or_else(|| {
        Failure::new(
            Code::NotFound,
            format!(
                "nothing has been deployed yet{}",
                what.map(|w| format!(" to {w}")).unwrap_or_default()
            ),
        )
    })
}
