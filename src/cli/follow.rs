//! Follows a running deployment: prints its output, and on a terminal its progress below.

use std::collections::VecDeque;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::ansi::Painter;
use super::client::Client;
use super::output::{self, Failure};
use super::paint::{self, Tone};
use crate::api::{Deployment, DeploymentDetail, LogLine};
use crate::model::Locked;

/// Lines that a failed phase is told with: what a build says of its error mostly fits.
const TAIL: usize = 10;

/// How often the phase is asked for: a phase that prints nothing says nothing of its begin.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How often the spinner turns.
const TURN_EVERY: Duration = Duration::from_millis(120);

/// The exit code after Ctrl-C, as shells have it: 128 and the number of the signal.
const LEFT: u8 = 130;

/// How long something takes before it is worth a bar.
const BAR_AFTER: Duration = Duration::from_secs(1);

/// Shown while a phase runs.
const SPINNER: &str = "{spinner} {prefix} {elapsed} {wide_msg}";

/// Shown while it is known how much of a fetch or a checkout is done.
const BAR: &str = "{spinner} {prefix} {elapsed} [{bar:24}] {wide_msg}";

/// The terminal, or the pipe, that one or several deployments are shown on.
#[derive(Clone)]
pub struct Screen {
    bars: MultiProgress,
    live: bool,
    several: bool,
}

impl Screen {
    /// Standard output, for one deployment or for several at a time.
    pub fn new(several: bool) -> Self {
        let live = std::io::stdout().is_terminal() && std::io::stderr().is_terminal();
        let target = if live {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        Self {
            bars: MultiProgress::with_draw_target(target),
            live,
            several,
        }
    }

    /// Prints a line above what goes on.
    pub fn line(&self, text: &str) {
        self.bars.suspend(|| output::line(text));
    }

    /// Takes away what is shown of what goes on.
    pub fn clear(&self) {
        // A terminal that is gone shows nothing anyway.
        let _ = self.bars.clear();
        self.bars.set_draw_target(ProgressDrawTarget::hidden());
    }
}

/// What the phases of a deployment printed last.
#[derive(Default)]
pub struct Tails(Vec<Tail>);

struct Tail {
    phase: String,
    lines: VecDeque<String>,
    /// Whether hookd has spoken since: what the same phase prints on the way back is not why it failed.
    complete: bool,
}

impl Tails {
    fn take(&mut self, entry: &LogLine, text: &str) {
        let printed = matches!(entry.stream.as_str(), "stdout" | "stderr");
        let known = self.0.iter_mut().find(|tail| tail.phase == entry.phase);
        match (known, printed) {
            (Some(tail), true) if !tail.complete => {
                tail.lines.push_back(text.to_owned());
                if tail.lines.len() > TAIL {
                    tail.lines.pop_front();
                }
            }
            (Some(tail), false) => tail.complete = true,
            (None, true) => self.0.push(Tail {
                phase: entry.phase.clone(),
                lines: VecDeque::from([text.to_owned()]),
                complete: false,
            }),
            _ => {}
        }
    }

    /// The phase that failed, and what it printed last; a reason begins with the name of its phase.
    pub fn of(&self, reason: &str) -> Option<(&str, Vec<String>)> {
        let phase = reason.split([' ', ':']).next()?;
        let tail = self.0.iter().find(|tail| tail.phase == phase)?;
        Some((&tail.phase, tail.lines.iter().cloned().collect()))
    }
}

/// Shows one deployment.
struct Follower {
    screen: Screen,
    target: String,
    bar: Option<ProgressBar>,
    painters: Vec<(String, Painter)>,
    tails: Tails,
}

impl Follower {
    fn new(screen: &Screen, row: &Deployment, follow: bool) -> Self {
        let bar = (screen.live && follow).then(|| {
            let bar = screen.bars.add(ProgressBar::new_spinner());
            bar.set_style(style(SPINNER));
            bar.enable_steady_tick(TURN_EVERY);
            bar
        });
        let mut follower = Self {
            screen: screen.clone(),
            target: row.target.clone(),
            bar,
            painters: Vec::new(),
            tails: Tails::default(),
        };
        follower.phase(&row.phase, row.started_at);
        follower
    }

    /// Notes the phase that runs, and since when.
    fn phase(&mut self, phase: &str, since: i64) {
        let Some(bar) = &self.bar else { return };
        let prefix = if self.screen.several {
            format!("{} {phase}", self.target)
        } else {
            phase.to_owned()
        };
        if bar.prefix() == prefix {
            return;
        }
        spin(bar);
        bar.set_prefix(prefix);
        let elapsed = u64::try_from(crate::clock::now().0 - since).unwrap_or_default();
        bar.set_elapsed(Duration::from_millis(elapsed));
    }

    fn take(&mut self, entry: &LogLine) {
        self.phase(&entry.phase, entry.at);
        if entry.stream == "progress" {
            return self.progress(entry);
        }
        if let Some(bar) = &self.bar {
            spin(bar);
        }
        let text = self.painted(entry);
        self.tails.take(entry, &text);
        let tone = match entry.text.split_once(": ") {
            Some((outcome, _)) if entry.phase == "finish" => Tone::of(outcome),
            _ => Tone::Plain,
        };
        let line = format!("{} {}", self.margin(entry), paint::paint(tone, &text));
        self.screen.line(&line);
    }

    fn margin(&self, entry: &LogLine) -> String {
        let mark = match entry.stream.as_str() {
            "stdout" => "|",
            "stderr" => "!",
            _ => "·",
        };
        let margin = paint::paint(Tone::Dim, &format!("{:<8} {mark}", entry.phase));
        if self.screen.several {
            format!("{} {margin}", paint::paint(Tone::Strong, &self.target))
        } else {
            margin
        }
    }

    fn painted(&mut self, entry: &LogLine) -> String {
        let key = format!("{}\n{}", entry.phase, entry.stream);
        let at = self.painters.iter().position(|(name, _)| *name == key);
        let at = at.unwrap_or_else(|| {
            self.painters.push((key, Painter::default()));
            self.painters.len() - 1
        });
        self.painters[at].1.line(&entry.text)
    }

    fn progress(&self, entry: &LogLine) {
        let Some(bar) = self.bar.as_ref().filter(|bar| bar.elapsed() >= BAR_AFTER) else {
            return;
        };
        if let (Some(done), Some(total)) = (entry.done, entry.total) {
            bar.set_style(style(BAR));
            bar.set_length(total);
            bar.set_position(done);
        } else {
            bar.set_style(style(SPINNER));
        }
        bar.set_message(output::printable(&entry.text));
    }
}

/// Shows that something goes on, and not how much of it is done.
fn spin(bar: &ProgressBar) {
    bar.set_style(style(SPINNER));
    bar.set_message("");
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constants, which the tests read.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// Prints the log of a deployment; with `follow`, until it ends.
pub async fn show(client: &Client, screen: &Screen, deployment: i64, follow: bool) -> Result<Tails, Failure> {
    let detail: DeploymentDetail = client.get(&format!("/api/v1/deployments/{deployment}")).await?;
    if follow || screen.live {
        screen.line(&header(&detail.row));
    }
    let follower = Mutex::new(Follower::new(screen, &detail.row, follow));
    let path = log_path(deployment, follow);
    let lines = client.lines(&path, |line| {
        if let Some(entry) = entry(line) {
            follower.locked().take(&entry);
        }
    });
    tokio::select! {
        ended = lines => ended?,
        () = look(client, deployment, &follower), if follow && screen.live => {}
    }
    let follower = follower.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(bar) = &follower.bar {
        bar.finish_and_clear();
    }
    Ok(follower.tails)
}

/// Waits for Ctrl-C; gives the exit code of what it ended.
pub async fn left() -> Result<ExitCode, Failure> {
    tokio::signal::ctrl_c()
        .await
        .map_err(|e| Failure::failed(format!("cannot receive signals: {e}")))?;
    Ok(ExitCode::from(LEFT))
}

/// Tells whoever stops following that the daemon does not stop.
pub fn say_what_goes_on(targets: &[String]) {
    for target in targets {
        anstream::eprintln!(
            "{target}: the deployment goes on\n  follow it: hookd logs -f {target}\n  stop it:   hookd cancel {target}"
        );
    }
}

/// Where the log of a deployment is asked for.
pub fn log_path(deployment: i64, follow: bool) -> String {
    let follow = if follow { "?follow=1" } else { "" };
    format!("/api/v1/deployments/{deployment}/log{follow}")
}

/// A line of a log, or of the stream of one; none for what is neither.
pub fn entry(line: &str) -> Option<LogLine> {
    serde_json::from_str(line.strip_prefix("data: ").unwrap_or(line)).ok()
}

/// Keeps the phase that is shown true, for ever.
async fn look(client: &Client, deployment: i64, follower: &Mutex<Follower>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        // The stream says what is wrong with the daemon.
        let path = format!("/api/v1/deployments/{deployment}");
        let Ok(detail) = client.get::<DeploymentDetail>(&path).await else {
            continue;
        };
        let since = detail.phases.iter().rev().find(|phase| phase.phase == detail.row.phase);
        let since = since.map_or(detail.row.started_at, |phase| phase.started_at);
        follower.locked().phase(&detail.row.phase, since);
    }
}

/// What is followed, in a line.
fn header(row: &Deployment) -> String {
    let commit = paint::commit(row.commit.as_deref(), row.subject.as_deref(), row.author.as_deref());
    let commit = if commit.is_empty() {
        String::new()
    } else {
        format!(": {commit}")
    };
    let ended = match &row.outcome {
        Some(_) => format!(", {}", paint::ago(row.started_at)),
        None => String::new(),
    };
    let what = paint::paint(Tone::Strong, &format!("#{} {}", row.id, row.target));
    let text = output::printable(&format!("({}{ended}){commit}", row.source));
    format!("{what} {}", text.replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(phase: &str, stream: &str, text: &str) -> LogLine {
        LogLine {
            at: 0,
            phase: phase.to_owned(),
            stream: stream.to_owned(),
            text: text.to_owned(),
            done: None,
            total: None,
        }
    }

    #[test]
    fn templates_are_ones_of_indicatif() {
        for template in [SPINNER, BAR] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }

    #[test]
    fn the_tail_is_of_the_phase_that_failed() {
        let mut tails = Tails::default();
        for entry in [
            said("build", "stdout", "built"),
            said("reload", "stderr", "no such unit"),
            said("reload", "hookd", "reload exited with 1: going back"),
            said("reload", "stdout", "restarted"),
        ] {
            tails.take(&entry, &entry.text);
        }
        let (phase, lines) = tails.of("reload exited with 1").unwrap();
        assert_eq!((phase, lines), ("reload", vec!["no such unit".to_owned()]));
        assert!(tails.of("fetch failed").is_none());
    }

    #[test]
    fn a_tail_is_short() {
        let mut tails = Tails::default();
        for number in 0..100 {
            tails.take(&said("build", "stdout", ""), &number.to_string());
        }
        let (_, lines) = tails.of("build: killed").unwrap();
        assert_eq!((lines.len(), lines[TAIL - 1].as_str()), (TAIL, "99"));
    }
}
