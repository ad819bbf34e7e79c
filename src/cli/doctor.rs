//! `hookd doctor`: everything that can be wrong on this machine, each with its fix.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::block_on;
use super::client::Client;
use super::output::{self, Code, Failure};
use super::paint::{Tone, paint, width, wrapped};
use crate::api::{Delivery, Status};
use crate::doctor::{Area, Finding, Findings, Level, Told, examine};

/// `hookd doctor`
#[derive(Debug, Args)]
pub struct Doctor {
    /// Also show what is well.
    #[arg(short, long)]
    pub verbose: bool,
}

/// Deliveries of each repo that are asked for: the newest that was taken and the newest that was refused are among them, if the
/// second came after the first.
const DELIVERIES: usize = 20;

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    /// Whether nothing is wrong; warnings are allowed.
    ok: bool,
    /// Version of this program.
    version: &'static str,
    errors: usize,
    warnings: usize,
    /// Looks that were left out.
    skipped: usize,
    /// All of them, in the order in which fixes make sense.
    findings: &'a [Finding],
}

/// What stands before the text of a finding.
const TEXT: &str = "      ";

/// Runs the command.
pub fn run(config: &Path, json: bool, options: &Doctor) -> Result<ExitCode, Failure> {
    let found = block_on(async {
        let told = ask(config).await;
        Ok(examine(config, &told).await)
    })?;
    let errors = found.count(Level::Error);
    if json {
        output::json(&Report {
            ok: errors == 0,
            version: env!("CARGO_PKG_VERSION"),
            errors,
            warnings: found.count(Level::Warning),
            skipped: found.count(Level::Skipped),
            findings: &found.0,
        })?;
    } else {
        show(&found, options.verbose);
    }
    Ok(if errors == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(Code::Failed as u8)
    })
}

/// What the daemon says, if there is one that answers.
async fn ask(config: &Path) -> Told {
    let client = Client::new(config);
    let Ok(status) = client.get::<Status>("/api/v1/status").await else {
        return Told::default();
    };
    let repos = status.targets.iter().filter_map(|row| row.target.split_once('/'));
    let repos: BTreeSet<String> = repos.map(|(repo, _)| repo.to_owned()).collect();
    let mut deliveries = Vec::new();
    for repo in repos {
        let path = format!("/api/v1/deliveries?limit={DELIVERIES}&repo={repo}");
        let Ok(of_repo) = client.get::<Vec<Delivery>>(&path).await else {
            return Told {
                status: Some(status),
                deliveries: None,
            };
        };
        deliveries.extend(of_repo);
    }
    Told {
        deliveries: Some(deliveries),
        status: Some(status),
    }
}

/// Errors, then warnings, then what was not looked at; with `verbose` also what is well.
fn show(found: &Findings, verbose: bool) {
    for line in wrapped(&summary(found, verbose), "", width()) {
        output::line(&paint(Tone::Strong, &line));
    }
    let levels = [Level::Error, Level::Warning, Level::Skipped, Level::Ok];
    for level in &levels[..if verbose { 4 } else { 3 }] {
        let mut area: Option<Area> = None;
        for finding in found.0.iter().filter(|finding| finding.level == *level) {
            if area != Some(finding.area) {
                area = Some(finding.area);
                output::line(&paint(Tone::Strong, finding.area.as_str()));
            }
            tell(finding);
        }
    }
}

fn tell(finding: &Finding) {
    let (tone, word) = match finding.level {
        Level::Ok => (Tone::Good, "ok"),
        Level::Warning => (Tone::Warning, "WARNING"),
        Level::Error => (Tone::Bad, "ERROR"),
        Level::Skipped => (Tone::Dim, "not looked at"),
    };
    // The lines after the first stand further in.
    let text = format!("{word}: {}", output::printable(&finding.text));
    let mut lines = wrapped(&text, TEXT, width()).into_iter();
    if let Some(first) = lines.next() {
        let rest = first.trim_start().strip_prefix(word).unwrap_or_default();
        output::line(&format!("  {}{rest}", paint(tone, word)));
    }
    for line in lines {
        output::line(&line);
    }
    if !finding.fix.is_empty() {
        output::line("      fix:");
    }
    for line in &finding.fix {
        output::line(&format!("          {}", output::printable(line)));
    }
    for line in finding.hint.iter().flat_map(|hint| hint.lines()) {
        // What is to be copied is not broken.
        let room = if line.starts_with(' ') { None } else { width() };
        for line in wrapped(&output::printable(line), TEXT, room) {
            output::line(&line);
        }
    }
}

fn summary(found: &Findings, verbose: bool) -> String {
    let some = |count: usize, word: &str| match count {
        0 => format!("no {word}s"),
        1 => format!("1 {word}"),
        n => format!("{n} {word}s"),
    };
    let (errors, warnings) = (found.count(Level::Error), found.count(Level::Warning));
    let mut text = format!("{}, {}", some(errors, "error"), some(warnings, "warning"));
    let skipped = found.count(Level::Skipped);
    if skipped > 0 {
        text = format!("{text}, {skipped} skipped");
    }
    if found.0.iter().any(|finding| !finding.fix.is_empty()) {
        text.push_str("; run the commands below `fix` as root");
    }
    let well = found.count(Level::Ok);
    if !verbose && well > 0 {
        text = format!("{text}; {well} checks found nothing wrong (-v shows all)");
    }
    text
}
