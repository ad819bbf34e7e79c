//! `hookd status`: what is live, running and queued, and each problem.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::block_on;
use super::client::Client;
use super::output::{self, Code, Failure};
use super::paint::{self, Cell, Tone};
use crate::api::{self, Deployment, Problem, TargetStatus};

/// `hookd status`
#[derive(Debug, Args)]
pub struct Status {
    /// Exit with 1 if a target has a problem.
    #[arg(long)]
    pub check: bool,
    /// Refresh it until Ctrl-C.
    #[arg(short, long)]
    pub watch: bool,
}

/// How often `--watch` looks.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// Runs the command.
pub fn run(config: &Path, json: bool, options: &Status) -> Result<ExitCode, Failure> {
    let client = Client::new(config);
    block_on(async {
        loop {
            let status: api::Status = client.get("/api/v1/status").await?;
            if json {
                output::json(&status)?;
            } else {
                let width = paint::width();
                if options.watch && width.is_some() {
                    output::clear();
                }
                for line in lines(&status, width) {
                    output::line(&line);
                }
            }
            if !options.watch {
                let bad = options.check && status.targets.iter().any(|target| !target.problems.is_empty());
                return Ok(if bad {
                    ExitCode::from(Code::Failed as u8)
                } else {
                    ExitCode::SUCCESS
                });
            }
            tokio::time::sleep(WATCH_EVERY).await;
        }
    })
}

/// All lines, for a terminal of that width or whole.
fn lines(status: &api::Status, width: Option<usize>) -> Vec<String> {
    let mut lines = vec![sentence(status)];
    for warning in &status.warnings {
        let text = format!("WARNING: {warning}");
        lines.extend(painted(Tone::Warning, &text, "", width));
    }
    for problem in status
        .problems
        .iter()
        .filter(|problem| !status.warnings.contains(&problem.text))
    {
        lines.extend(told(problem, "", width));
    }
    lines.push(String::new());
    let rows: Vec<Vec<Cell>> = status.targets.iter().map(row).collect();
    let mut table = paint::table(&["=TARGET", "=STATE", "LIVE", "=SINCE", "-FOLLOWS"], &rows, width).into_iter();
    lines.extend(table.next());
    for (target, line) in status.targets.iter().zip(table) {
        lines.push(line);
        lines.extend(notes(target, width));
    }
    lines.push(String::new());
    let about = format!(
        "hookd {}: {} running, {} waiting; {}",
        status.version, status.running, status.waiting, status.isolation
    );
    lines.push(paint::paint(
        Tone::Dim,
        &paint::fit(&about, width.unwrap_or(usize::MAX)),
    ));
    lines
}

/// How things stand, in one sentence.
fn sentence(status: &api::Status) -> String {
    match status.sentence() {
        None => "No target is configured: hookd add URL".to_owned(),
        Some((said, well)) => paint::paint(if well { Tone::Good } else { Tone::Bad }, &format!("{said}.")),
    }
}

fn row(target: &TargetStatus) -> Vec<Cell> {
    let live = match &target.live {
        Some(live) => Cell::commit(Some(&live.commit), live.subject.as_deref(), live.author.as_deref()),
        None => Cell::new(Tone::Dim, "nothing"),
    };
    let state = if target.problems.is_empty() || target.state != "live" {
        Cell::word(&target.state)
    } else {
        Cell::new(Tone::Warning, "live")
    };
    vec![
        Cell::new(Tone::Strong, &target.target),
        state,
        live,
        target.live_since.map(paint::ago).unwrap_or_default().into(),
        Cell::new(Tone::Dim, &target.follows),
    ]
}

/// What a person should know about a target, below its row.
fn notes(target: &TargetStatus, width: Option<usize>) -> Vec<String> {
    let mut notes = Vec::new();
    for problem in &target.problems {
        notes.extend(told(problem, "  ", width));
    }
    if let Some(running) = &target.running {
        let text = format!("  {}", runs(running, target.usual_duration));
        notes.push(paint::paint(
            Tone::Busy,
            &paint::fit(&text, width.unwrap_or(usize::MAX)),
        ));
    }
    if let Some(first) = target.waiting.first() {
        let more = match target.waiting.len() {
            1 => "queued".to_owned(),
            n => format!("{n} queued"),
        };
        let when = match first.next_try {
            Some(at) if at > crate::clock::now().0 => format!(", tried again at {}", output::time(at)),
            _ => String::new(),
        };
        let text = format!(
            "{more}: waits for {}{when}",
            first.reason.trim_start_matches("waits for ")
        );
        notes.extend(painted(Tone::Busy, &text, "  ", width));
    }
    notes
}

/// `#13 build for 12s, usually 20s: 3b03e09 Fix the menu · Alice`
fn runs(running: &Deployment, usual: Option<i64>) -> String {
    let elapsed = output::took(running.started_at, Some(crate::clock::now().0));
    let usual = match usual {
        Some(usual) => format!(", usually {}", output::took(0, Some(usual))),
        None => String::new(),
    };
    let commit = paint::commit(
        running.commit.as_deref(),
        running.subject.as_deref(),
        running.author.as_deref(),
    );
    let about = if commit.is_empty() {
        String::new()
    } else {
        format!(": {commit}")
    };
    format!("#{} {} for {elapsed}{usual}{about}", running.id, running.phase).replace('\n', " ")
}

/// A problem, and below it what to do.
fn told(problem: &Problem, indent: &str, width: Option<usize>) -> Vec<String> {
    let tone = Tone::of(&problem.code);
    let tone = if tone == Tone::Warning { tone } else { Tone::Bad };
    let since = problem.since.map(|since| format!(" ({})", paint::ago(since)));
    let text = format!("{}{}", problem.text, since.unwrap_or_default());
    let mut lines = painted(tone, &text, indent, width);
    if !problem.hint.is_empty() {
        lines.extend(painted(
            Tone::Plain,
            &format!("→ {}", problem.hint),
            &format!("{indent}  "),
            width,
        ));
    }
    lines
}

fn painted(tone: Tone, text: &str, indent: &str, width: Option<usize>) -> Vec<String> {
    let lines = paint::wrapped(text, indent, width);
    lines.iter().map(|line| paint::paint(tone, line)).collect()
}
