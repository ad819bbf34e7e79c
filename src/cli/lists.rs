//! `hookd history`, `hookd deliveries`, `hookd releases`: what ran, what came in, what is kept.

use std::path::Path;
use std::process::ExitCode;

use super::arguments::{Deliveries, List, OneTarget};
use super::block_on;
use super::client::Client;
use super::output::{self, Failure};
use crate::api::{Delivery, Deployment, Releases};

/// `hookd history`
pub fn history(config: &Path, json: bool, options: &List) -> Result<ExitCode, Failure> {
    let client = Client::new(config);
    let rows: Vec<Deployment> = block_on(async {
        let target = match &options.target {
            Some(name) => format!("&target={}", client.target(name).await?),
            None => String::new(),
        };
        client
            .get(&format!("/api/v1/deployments?limit={}{target}", options.limit))
            .await
    })?;
    if json {
        return output::json(&rows);
    }
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            vec![
                format!("#{}", row.id),
                output::time(row.started_at),
                row.target.clone(),
                output::short(row.commit.as_deref()),
                row.outcome.clone().unwrap_or_else(|| format!("({})", row.phase)),
                output::took(row.started_at, row.finished_at),
                row.source.clone(),
                row.reason.clone().unwrap_or_default(),
            ]
        })
        .collect();
    output::table(
        &["", "STARTED", "TARGET", "COMMIT", "OUTCOME", "TOOK", "BY", "REASON"],
        &cells,
    );
    Ok(ExitCode::SUCCESS)
}

/// `hookd deliveries`
pub fn deliveries(config: &Path, json: bool, options: &Deliveries) -> Result<ExitCode, Failure> {
    let client = Client::new(config);
    let repo = options
        .repo
        .as_ref()
        .map(|repo| format!("&repo={repo}"))
        .unwrap_or_default();
    let rows: Vec<Delivery> = block_on(client.get(&format!("/api/v1/deliveries?limit={}{repo}", options.limit)))?;
    if json {
        return output::json(&rows);
    }
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            vec![
                row.number.map(|n| n.to_string()).unwrap_or_default(),
                output::time(row.received_at),
                row.repo.clone(),
                row.event.clone(),
                row.result.clone(),
                row.remote_addr.clone(),
                row.delivery.clone(),
                row.reason.clone(),
            ]
        })
        .collect();
    output::table(
        &["", "RECEIVED", "REPO", "EVENT", "RESULT", "FROM", "DELIVERY", "REASON"],
        &cells,
    );
    Ok(ExitCode::SUCCESS)
}

/// `hookd releases`
pub fn releases(config: &Path, json: bool, options: &OneTarget) -> Result<ExitCode, Failure> {
    let client = Client::new(config);
    let found: Releases = block_on(async {
        let target = client.target(&options.target).await?;
        client.get(&format!("/api/v1/targets/{target}/releases")).await
    })?;
    if json {
        return output::json(&found);
    }
    let cells: Vec<Vec<String>> = found
        .releases
        .iter()
        .map(|row| {
            let live = found.current.as_deref() == Some(row.name.as_str());
            vec![
                if live { "→".to_owned() } else { String::new() },
                row.name.clone(),
                output::short(Some(&row.commit)),
                row.state.clone(),
                format!("#{}", row.deployment),
            ]
        })
        .collect();
    output::table(&["", "RELEASE", "COMMIT", "STATE", "DEPLOYMENT"], &cells);
    Ok(ExitCode::SUCCESS)
}
