//! Completions from the daemon while somebody types: quick, and silent if no daemon answers.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap_complete::Shell;
use clap_complete::engine::CompletionCandidate;
use clap_complete::env::Shells;
use serde::de::DeserializeOwned;

use super::block_on;
use super::client::Client;
use super::output::{self, Failure, short};
use crate::api::{Delivery, Deployment, Releases, Status};
use crate::config;

/// The variable by which the completion scripts ask. Not clap's own `COMPLETE`, which others may have set.
pub const VARIABLE: &str = "HOOKD_COMPLETE";

/// How this program is called.
const NAME: &str = "hookd";

/// Longest wait for the daemon: somebody pressed a key.
const PATIENCE: Duration = Duration::from_millis(500);

/// Deployments and deliveries that are offered: as many as one looks through.
const ROWS: usize = 30;

/// Prints the script by which a shell asks this program.
pub fn script(shell: Shell) -> Result<ExitCode, Failure> {
    let shells = Shells::builtins();
    let Some(completer) = shells.completer(&shell.to_string()) else {
        return Err(Failure::failed(format!("there are no completions for {shell}")));
    };
    let mut script = Vec::new();
    completer
        .write_registration(VARIABLE, NAME, NAME, NAME, &mut script)
        .map_err(|e| Failure::failed(e.to_string()))?;
    output::line(String::from_utf8_lossy(&script).trim_end());
    Ok(ExitCode::SUCCESS)
}

/// An answer of the daemon; `None` if it takes too long, or there is none.
fn ask<T: DeserializeOwned>(path: &str) -> Option<T> {
    let config = std::env::var_os("HOOKD_CONFIG").unwrap_or_else(|| config::FILE.into());
    let client = Client::new(Path::new(&config));
    let answer = async {
        let late = |_| Failure::failed("the daemon does not answer in time");
        tokio::time::timeout(PATIENCE, client.get(path)).await.map_err(late)?
    };
    block_on(answer).ok()
}

fn candidate(value: impl Into<std::ffi::OsString>, help: String) -> CompletionCandidate {
    CompletionCandidate::new(value).help(Some(help.into()))
}

/// Targets: `repo` where it has one, else `repo/target`.
pub fn targets() -> Vec<CompletionCandidate> {
    let targets = ask::<Status>("/api/v1/status").map(|status| status.targets);
    let targets = targets.unwrap_or_default();
    let repo = |name: &str| name.split('/').next().unwrap_or_default().to_owned();
    targets
        .iter()
        .map(|target| {
            let repo_name = repo(&target.target);
            let alone = targets.iter().filter(|other| repo(&other.target) == repo_name).count() == 1;
            let name = if alone { repo_name } else { target.target.clone() };
            candidate(name, format!("{}, follows {}", target.state, target.follows))
        })
        .collect()
}

/// Repos, and the targets of those that have several.
pub fn repos_and_targets() -> Vec<CompletionCandidate> {
    let mut all = repos();
    for target in targets() {
        if !all.iter().any(|known| known.get_value() == target.get_value()) {
            all.push(target);
        }
    }
    all
}

/// Repos.
pub fn repos() -> Vec<CompletionCandidate> {
    let targets = ask::<Status>("/api/v1/status").map(|status| status.targets);
    let mut names: Vec<String> = targets
        .unwrap_or_default()
        .iter()
        .filter_map(|target| Some(target.target.split_once('/')?.0.to_owned()))
        .collect();
    names.sort();
    names.dedup();
    names.into_iter().map(CompletionCandidate::new).collect()
}

/// Releases of all targets: which one is meant stands in the line, which is not given.
pub fn releases() -> Vec<CompletionCandidate> {
    let status = ask::<Status>("/api/v1/status");
    let targets = status.map(|status| status.targets).unwrap_or_default();
    let line: Vec<String> = std::env::args().collect();
    let is_meant = |target: &str| {
        let repo = target.split('/').next().unwrap_or_default();
        line.iter().any(|word| word == target || word == repo)
    };
    targets
        .iter()
        .filter(|target| is_meant(&target.target))
        .filter_map(|target| ask::<Releases>(&format!("/api/v1/targets/{}/releases", target.target)))
        .flat_map(|found| {
            let current = found.current;
            let others = found
                .releases
                .into_iter()
                .filter(move |release| Some(&release.name) != current.as_ref());
            others.map(|release| {
                let subject = release.subject.unwrap_or_default();
                candidate(release.name, format!("{} {subject}", short(Some(&release.commit))))
            })
        })
        .collect()
}

/// Numbers of deployments, and targets.
pub fn deployments_and_targets() -> Vec<CompletionCandidate> {
    let rows: Vec<Deployment> = ask(&format!("/api/v1/deployments?limit={ROWS}")).unwrap_or_default();
    let numbered = rows.into_iter().map(|row| {
        let outcome = row.outcome.unwrap_or(row.phase);
        let subject = row.subject.unwrap_or_default();
        candidate(row.id.to_string(), format!("{} {outcome} {subject}", row.target))
    });
    targets().into_iter().chain(numbered).collect()
}

/// Numbers of deliveries.
pub fn deliveries() -> Vec<CompletionCandidate> {
    let rows: Vec<Delivery> = ask(&format!("/api/v1/deliveries?limit={ROWS}")).unwrap_or_default();
    rows.into_iter()
        .filter_map(|row| {
            let text = format!("{} {} {}", row.repo, row.event, row.result);
            Some(candidate(row.number?.to_string(), text))
        })
        .collect()
}
