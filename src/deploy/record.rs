//! Records a running deployment in the journal and in its own log.

use crate::clock;
use crate::git::Progress as GitProgress;
use crate::logbook::{Log, LogLine};
use crate::logging::About;
use crate::model::{CommitId, GitRef, Outcome, Phase, ReleaseName};
use crate::store::{Claim, Finish, Progress, Tip};

use super::{Site, World};

/// Longest line given to the journal, bytes: journald cuts fields at its own limit, and splits are easier to read.
const JOURNAL_LINE_MAX: usize = 8 * 1024;

/// What a line costs besides its text, bytes: without it a script that prints empty lines could fill the disk.
const JOURNAL_LINE_COST: u64 = 64;

/// Most lines of output that one deployment gives to the journal: what journald takes of a service in 30 s by itself
/// (`journald.conf(5)`), which has no limit for hookd, so that no outcome is dropped. The log keeps the others.
const JOURNAL_LINES_MAX: u32 = 10_000;

/// Speaks for one deployment.
pub(super) struct Record {
    log: Option<Log>,
    repo: String,
    target: String,
    git_ref: GitRef,
    delivery: Option<String>,
    deployment: i64,
    commit: Option<CommitId>,
    release: Option<ReleaseName>,
    journal_left: u64,
    /// Whether a `reload` printed that it may not do what it tried.
    refused: bool,
    journal_lines: u32,
}

/// What systemctl prints when polkit says no.
const REFUSALS: &[&str] = &["authentication required", "Access denied"];

impl Record {
    pub(super) fn open(world: &World, site: &Site, claim: &Claim) -> Self {
        let log = world.logs.write(claim.deployment);
        if let Err(error) = &log {
            tracing::warn!(%error, "no log file for deployment {}", claim.deployment);
        }
        Self {
            log: log.ok(),
            repo: site.repo.name.to_string(),
            target: site.target.id.to_string(),
            git_ref: claim.job.git_ref.clone(),
            delivery: claim.job.delivery.clone(),
            deployment: claim.deployment,
            commit: claim.resumed.as_ref().and_then(|row| row.commit.clone()),
            release: claim.resumed.as_ref().and_then(|row| row.release.clone()),
            journal_left: site.config.limits.output,
            refused: false,
            journal_lines: 0,
        }
    }

    fn about<'a>(&'a self, phase: Option<&'a str>) -> About<'a> {
        About {
            repo: Some(&self.repo),
            target: Some(&self.target),
            git_ref: Some(self.git_ref.as_str()),
            commit: self.commit.as_ref().map(CommitId::as_str),
            delivery: self.delivery.as_deref(),
            deployment: Some(self.deployment),
            phase,
            ..About::default()
        }
    }

    /// hookd's own words.
    pub(super) fn say(&mut self, phase: Phase, text: &str) {
        self.about(Some(phase.as_str())).info(text);
        self.keep(phase, "hookd", text);
    }

    /// hookd's own words about something that a person should look at.
    pub(super) fn warn(&mut self, phase: Phase, text: &str) {
        self.about(Some(phase.as_str())).warn(text);
        self.keep(phase, "hookd", text);
    }

    /// A line that a command printed. The journal gets as much of it as the log keeps.
    pub(super) fn output(&mut self, phase: Phase, stream: &'static str, text: &str) {
        self.refused |= phase == Phase::Reload && REFUSALS.iter().any(|words| text.contains(words));
        let length = text.len() as u64 + JOURNAL_LINE_COST;
        self.journal_lines = self.journal_lines.saturating_add(1);
        if self.journal_lines == JOURNAL_LINES_MAX {
            let text = format!(
                "(further output is not in the journal: see hookd logs {})",
                self.deployment
            );
            self.about(Some(phase.as_str())).warn(text);
        }
        if self.journal_left >= length && self.journal_lines < JOURNAL_LINES_MAX {
            self.journal_left -= length;
            let about = About {
                stream: Some(stream),
                ..self.about(Some(phase.as_str()))
            };
            let end = text.floor_char_boundary(JOURNAL_LINE_MAX);
            if stream == "stderr" {
                about.warn(&text[..end]);
            } else {
                about.info(&text[..end]);
            }
        }
        self.keep(phase, stream, text);
    }

    /// Whether a `reload` printed that it may not do what it tried.
    pub(super) fn was_refused(&self) -> bool {
        self.refused
    }

    /// What is only worth showing to somebody who looks on.
    pub(super) fn keep(&mut self, phase: Phase, stream: &str, text: &str) {
        self.write(phase, stream, text, None);
    }

    /// How far a fetch or a checkout is.
    pub(super) fn progress(&mut self, phase: Phase, progress: GitProgress) {
        self.write(phase, "progress", &progress.to_string(), Some(progress));
    }

    fn write(&mut self, phase: Phase, stream: &str, text: &str, progress: Option<GitProgress>) {
        if let Some(log) = &mut self.log {
            log.line(&LogLine {
                at: clock::now().0,
                phase: phase.as_str().to_owned(),
                stream: stream.to_owned(),
                text: text.to_owned(),
                done: progress.map(|progress| progress.done),
                total: progress.map(|progress| progress.total).filter(|total| *total > 0),
            });
        }
    }

    /// Takes note of what is known by now.
    pub(super) fn learn(&mut self, known: &Progress) {
        if known.commit.is_some() {
            self.commit.clone_from(&known.commit);
        }
        if let Some(git_ref) = &known.git_ref {
            self.git_ref.clone_from(git_ref);
        }
        if known.release.is_some() {
            self.release.clone_from(&known.release);
        }
    }

    /// The release that this deployment made, if it came so far.
    pub(super) fn made_release(&self) -> Option<ReleaseName> {
        self.release.clone()
    }

    /// The ref and the commit that it dealt with, if it came so far.
    pub(super) fn tip(&self) -> Option<Tip> {
        Some(Tip {
            git_ref: self.git_ref.clone(),
            commit: self.commit.clone()?,
        })
    }

    /// The last words.
    pub(super) fn outcome(&mut self, finish: &Finish) {
        let text = format!("{}: {}", finish.outcome, finish.reason);
        let about = About {
            outcome: Some(finish.outcome.as_str()),
            reason: Some(&finish.reason),
            ..self.about(Some(Phase::Finish.as_str()))
        };
        match finish.outcome {
            Outcome::Failed | Outcome::RolledBack => about.error(&text),
            _ => about.info(&text),
        }
        self.keep(Phase::Finish, "hookd", &text);
        if let Some(log) = &self.log {
            log.sync();
        }
    }
}
