//! `hookd history`, `hookd deliveries`, `hookd releases`: lists deployments, webhook deliveries and releases.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use clap_complete::ArgValueCandidates;

use super::act::OneTarget;
use super::block_on;
use super::client::Client;
use super::complete;
use super::output::{self, Failure};
use super::paint::{self, Cell, Tone};
use crate::api::{Act, Delivery, Deployment, Releases};

/// Commands that list.
#[derive(Debug, Args)]
pub struct List {
    /// Only this target, `repo/target`, or all targets of this repo.
    #[arg(add = ArgValueCandidates::new(complete::repos_and_targets))]
    pub target: Option<String>,
    /// Most entries to list.
    #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
}

/// `hookd deliveries`
#[derive(Debug, Args)]
pub struct Deliveries {
    /// Only this repo.
    #[arg(add = ArgValueCandidates::new(complete::repos))]
    pub repo: Option<String>,
    /// Only those with this result.
    #[arg(long, value_parser = ["accepted", "ignored", "pong", "duplicate", "rejected"])]
    pub result: Option<String>,
    /// Also show the forge's ids.
    #[arg(long)]
    pub ids: bool,
    /// Most entries to list.
    #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
}

/// `hookd audit`
#[derive(Debug, Args)]
pub struct Audit {
    /// At most so many.
    #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
}

/// On terminals of fewer columns, reasons stand below their rows, so that the commits have room.
const REASONS_BESIDE: usize = 140;

/// `hookd history`
pub fn history(config: &Path, json: bool, options: &List) -> Result<ExitCode, Failure> {
    let client = Client::new(config);
    let rows: Vec<Deployment> = block_on(async {
        let target = match &options.target {
            Some(name) => format!("&target={}", client.target_or_repo(name).await?),
            None => String::new(),
        };
        client
            .get(&format!("/api/v1/deployments?limit={}{target}", options.limit))
            .await
    })?;
    if json {
        return output::json(&rows);
    }
    let cells: Vec<Vec<Cell>> = rows
        .iter()
        .map(|row| {
            let commit = Cell::commit(row.commit.as_deref(), row.subject.as_deref(), row.author.as_deref());
            let outcome = match &row.outcome {
                Some(outcome) => Cell::word(outcome),
                None => Cell::new(Tone::Busy, format!("({})", row.phase)),
            };
            vec![
                format!("#{}", row.id).into(),
                row.target.clone().into(),
                outcome,
                commit,
                Cell::new(Tone::Dim, paint::ago(row.started_at)),
                output::took(row.started_at, row.finished_at).into(),
                row.source.clone().into(),
                reason_of(row).unwrap_or_default().into(),
            ]
        })
        .collect();
    let head = [
        "=", "=TARGET", "=OUTCOME", "COMMIT", "=STARTED", "-TOOK", "-BY", "REASON",
    ];
    let Some(width) = paint::width().filter(|width| *width < REASONS_BESIDE) else {
        output::table(&head, &cells);
        return Ok(ExitCode::SUCCESS);
    };
    let without_reason: Vec<Vec<Cell>> = cells.iter().map(|row| row[..row.len() - 1].to_vec()).collect();
    let mut lines = paint::table(&head[..head.len() - 1], &without_reason, Some(width)).into_iter();
    lines.next().iter().for_each(|head| output::line(head));
    for (line, row) in lines.zip(&rows) {
        output::line(&line);
        let reason = reason_of(row).map(output::printable).unwrap_or_default();
        for line in paint::wrapped(&reason, "      ", Some(width))
            .iter()
            .filter(|_| !reason.is_empty())
        {
            output::line(&paint::paint(Tone::Dim, line));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Why a deployment ended as it did, where its outcome and commit do not say all.
fn reason_of(row: &Deployment) -> Option<&str> {
    let is_live = row.outcome.as_deref() == Some("live");
    row.reason.as_deref().filter(|_| !is_live)
}

/// `hookd deliveries`
pub fn deliveries(config: &Path, json: bool, options: &Deliveries) -> Result<ExitCode, Failure> {
    let client = Client::new(config);
    let mut query = url::form_urlencoded::Serializer::new(format!("limit={}", options.limit));
    if let Some(repo) = &options.repo {
        query.append_pair("repo", repo);
    }
    if let Some(result) = &options.result {
        query.append_pair("result", result);
    }
    let rows: Vec<Delivery> = block_on(client.get(&format!("/api/v1/deliveries?{}", query.finish())))?;
    if json {
        return output::json(&rows);
    }
    let cells: Vec<Vec<Cell>> = rows
        .iter()
        .map(|row| {
            let result = Cell::word(&row.result);
            let count = if row.count > 1 {
                format!(" ({} times)", row.count)
            } else {
                String::new()
            };
            vec![
                row.number.map(|n| n.to_string()).unwrap_or_default().into(),
                Cell::new(Tone::Dim, paint::ago(row.received_at)),
                row.repo.clone().into(),
                row.event.clone().into(),
                result,
                format!("{}{count}", row.reason).into(),
                Cell::new(Tone::Dim, &row.remote_addr),
                if options.ids {
                    row.delivery.clone().into()
                } else {
                    Cell::default()
                },
            ]
        })
        .collect();
    output::table(
        &[
            "=",
            "=RECEIVED",
            "=REPO",
            "EVENT",
            "=RESULT",
            "REASON",
            "FROM",
            "=DELIVERY",
        ],
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
    let cells: Vec<Vec<Cell>> = found
        .releases
        .iter()
        .map(|row| {
            let live = found.current.as_deref() == Some(row.name.as_str());
            vec![
                Cell::new(Tone::Good, if live { "→" } else { "" }),
                row.name.clone().into(),
                Cell::commit(Some(&row.commit), row.subject.as_deref(), row.author.as_deref()),
                Cell::word(&row.state),
                Cell::new(Tone::Dim, paint::ago(row.created_at)),
                format!("#{}", row.deployment).into(),
            ]
        })
        .collect();
    output::table(&["=", "=RELEASE", "COMMIT", "=STATE", "=MADE", "-DEPLOYMENT"], &cells);
    Ok(ExitCode::SUCCESS)
}

/// `hookd audit`
pub fn audit(config: &Path, json: bool, options: &Audit) -> Result<ExitCode, Failure> {
    let client = Client::new(config);
    let rows: Vec<Act> = block_on(client.get(&format!("/api/v1/audit?limit={}", options.limit)))?;
    if json {
        return output::json(&rows);
    }
    let cells: Vec<Vec<Cell>> = rows
        .iter()
        .map(|row| {
            let from = row.address.as_deref().unwrap_or("this machine");
            vec![
                Cell::new(Tone::Dim, paint::ago(row.at)),
                Cell::new(Tone::Strong, &row.name),
                row.act.clone().into(),
                row.object.clone().into(),
                from.into(),
                result_of(row),
            ]
        })
        .collect();
    output::table(&["=WHEN", "=WHO", "=ACT", "=OBJECT", "FROM", "RESULT"], &cells);
    Ok(ExitCode::SUCCESS)
}

/// What came of an act: how its deployment ended, or what was said at once.
fn result_of(row: &Act) -> Cell {
    match (&row.outcome, row.deployment, &row.result) {
        (Some(outcome), Some(deployment), _) => Cell::new(Tone::of(outcome), format!("#{deployment} {outcome}")),
        (Some(outcome), None, _) => Cell::word(outcome),
        (None, Some(deployment), _) => Cell::new(Tone::Busy, format!("#{deployment} running")),
        (None, None, Some(result)) => result.clone().into(),
        (None, None, None) => Cell::new(Tone::Warning, "not known"),
    }
}
