//! `hookd logs`: what a deployment printed, whole or live.

use std::path::Path;
use std::process::ExitCode;

use super::arguments::Logs;
use super::block_on;
use super::client::Client;
use super::output::{self, Code, Failure};
use crate::api::Deployment;
use crate::logbook::LogLine;
use crate::model::Outcome;

/// Runs the command.
pub fn run(config: &Path, json: bool, options: &Logs) -> Result<ExitCode, Failure> {
    let client = Client::new(config);
    block_on(async {
        let deployment = deployment(&client, options.what.as_deref()).await?;
        show(&client, deployment, options.follow, json).await
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Deployments among which the newest one that ran is looked for: the others were superseded before they could.
const LOOKED_THROUGH: usize = 200;

/// The deployment that is meant: by number, the newest of a target, or the newest of all.
async fn deployment(client: &Client, what: Option<&str>) -> Result<i64, Failure> {
    if let Some(number) = what.and_then(|w| w.trim_start_matches('#').parse().ok()) {
        return Ok(number);
    }
    let target = match what {
        Some(name) => format!("&target={}", client.target(name).await?),
        None => String::new(),
    };
    let newest: Vec<Deployment> = client
        .get(&format!("/api/v1/deployments?limit={LOOKED_THROUGH}{target}"))
        .await?;
    let ran = |row: &&Deployment| row.outcome.as_deref() != Some(Outcome::Superseded.as_str());
    newest
        .iter()
        .find(ran)
        .or(newest.first())
        .map(|row| row.id)
        .ok_or_else(|| {
            Failure::new(
                Code::NotFound,
                format!(
                    "nothing was deployed yet{}",
                    what.map(|w| format!(" to {w}")).unwrap_or_default()
                ),
            )
        })
}

/// Prints a log; with `follow`, until the deployment ends.
pub async fn show(client: &Client, deployment: i64, follow: bool, json: bool) -> Result<(), Failure> {
    let follow = if follow { "?follow=1" } else { "" };
    let path = format!("/api/v1/deployments/{deployment}/log{follow}");
    client
        .lines(&path, |line| {
            let line = line.strip_prefix("data: ").unwrap_or(line);
            let Ok(entry) = serde_json::from_str::<LogLine>(line) else {
                return;
            };
            if json {
                output::line(line);
            } else if entry.stream != "progress" {
                output::line(&readable(&entry));
            }
        })
        .await
}

fn readable(entry: &LogLine) -> String {
    let mark = match entry.stream.as_str() {
        "stdout" => "|",
        "stderr" => "!",
        _ => "·",
    };
    format!("{:<8} {mark} {}", entry.phase, output::printable(&entry.text))
}
