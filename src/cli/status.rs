//! `hookd status`: what is live, what runs, what waits, and what needs a person.

use std::path::Path;
use std::process::ExitCode;

use super::block_on;
use super::client::Client;
use super::output::{self, Failure};
use crate::api::{Status, TargetStatus};

/// Runs the command.
pub fn run(config: &Path, json: bool) -> Result<ExitCode, Failure> {
    let client = Client::new(config);
    let status: Status = block_on(client.get("/api/v1/status"))?;
    if json {
        return output::json(&status);
    }
    for warning in &status.warnings {
        output::line(&format!("WARNING: {}", output::printable(warning)));
    }
    let rows: Vec<Vec<String>> = status.targets.iter().map(row).collect();
    output::table(&["TARGET", "FOLLOWS", "LIVE", "SINCE", "STATE", "LAST"], &rows);
    for target in &status.targets {
        for note in notes(target) {
            output::line(&note);
        }
    }
    output::line(&format!(
        "hookd {}: {} running, {} waiting; {}",
        status.version, status.running, status.waiting, status.isolation
    ));
    Ok(ExitCode::SUCCESS)
}

fn row(target: &TargetStatus) -> Vec<String> {
    let live = if target.commit.is_some() {
        output::short(target.commit.as_deref())
    } else {
        "nothing".to_owned()
    };
    let state = match &target.running {
        Some(running) => format!("#{} {}", running.id, running.phase),
        None => target.state.to_uppercase_if(target.pinned.is_some() || target.paused),
    };
    let last = target.last.as_ref();
    vec![
        target.target.clone(),
        target.follows.clone(),
        live,
        target.live_since.map(output::time).unwrap_or_default(),
        state,
        last.map(|row| format!("#{} {}", row.id, row.outcome.as_deref().unwrap_or_default()))
            .unwrap_or_default(),
    ]
}

/// What is held shall be seen.
trait Loud {
    fn to_uppercase_if(&self, loud: bool) -> String;
}

impl Loud for String {
    fn to_uppercase_if(&self, loud: bool) -> String {
        if loud { self.to_uppercase() } else { self.clone() }
    }
}

/// What a person should know about a target, each in a line.
fn notes(target: &TargetStatus) -> Vec<String> {
    let name = &target.target;
    let mut notes = Vec::new();
    if let Some(release) = &target.pinned {
        notes.push(format!(
            "{name}: PINNED to {release} by a rollback; nothing deploys until: hookd resume {name}"
        ));
    }
    if target.paused {
        notes.push(format!("{name}: PAUSED; nothing deploys until: hookd resume {name}"));
    }
    if let Some(error) = &target.remote_error {
        notes.push(format!(
            "{name}: the remote could not be asked: {}",
            output::printable(error)
        ));
    }
    if let Some(last) = target
        .last
        .as_ref()
        .filter(|row| matches!(row.outcome.as_deref(), Some("failed" | "rolled-back")))
    {
        let reason = last.reason.as_deref().unwrap_or_default();
        notes.push(format!(
            "{name}: #{} {}: {}",
            last.id,
            last.outcome.as_deref().unwrap_or_default(),
            output::printable(reason)
        ));
    }
    match (&target.waits_for, target.next_try) {
        (Some(what), _) => notes.push(format!("{name}: {}", output::printable(what))),
        (None, Some(at)) => notes.push(format!("{name}: tried again at {}", output::time(at))),
        (None, None) => {}
    }
    notes
}
