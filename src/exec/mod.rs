//! The only place that starts a deployment command; and [`ask`], for programs of the machine that are only asked.
//!
//! A command runs under a supervisor of its own: this very binary, started again. Three processes take part:
//!
//! 1. the daemon ([`run`]) reads the output, keeps the time and holds one end of a control socket;
//! 2. the supervisor ([`supervisor_main`]) adopts whatever the command leaves behind, and kills it;
//! 3. the starter (same entry, one argument more) becomes the user, takes the limits on and then becomes the command.
//!
//! If the daemon goes away, for whatever reason, the control socket closes and the supervisor kills everything. The
//! one way out is to ask a process that is not below the supervisor (systemd, a container daemon, cron) to start something.
//!
//! With a [`Unit`] the second is in two halves, and the inner one and all below it run in a systemd unit: see `unit`.

mod ask;
mod descendants;
mod lines;
mod orphans;
mod run;
mod start;
mod supervisor;
mod unit;
mod units;
mod wire;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use jiff::fmt::friendly::{Designator, Spacing, SpanPrinter};
use nix::sys::signal::Signal;

use crate::config::Command;
use crate::model::spelled;

pub use ask::{Answer, ask, installed, machine_stops, quoted};
pub use lines::LINE_MAX;
pub use orphans::end_orphans;
pub use run::run;
pub use start::Fence;
pub use supervisor::{SUBCOMMAND, close_memory, supervisor_main};
pub use unit::{DropIn, ReloadRule, Template, Unit, UnitName, drop_ins, files_group, reload_rule, writing};
pub use units::Units;

/// What to run, where and how.
#[derive(Clone)]
pub struct CommandSpec {
    /// The command, as configured.
    pub command: Command,
    /// Its working directory.
    pub directory: PathBuf,
    /// Its environment, besides PATH, HOME, LANG and TMPDIR. May hold secrets: never shown, never in an argument list.
    pub environment: Vec<(String, String)>,
    /// The user that it runs as; none: the daemon's own.
    pub run_as: Option<String>,
    /// The unit of systemd that it runs in; none: below this process.
    pub unit: Option<Unit>,
    /// A file that it may read, whatever it can't see else; `HOOKD_PAYLOAD_FILE` names it.
    pub payload: Option<PathBuf>,
    /// Most memory, bytes: of all its processes if its unit says so, else for the data of each.
    pub memory_max: Option<u64>,
    /// Most processes and threads of its user, if it runs below this process.
    pub tasks_max: Option<u64>,
    /// How long it may take.
    pub timeout: Duration,
    /// From TERM to KILL, once it is stopped.
    pub grace: Duration,
    /// A file that is kept locked (shared) until nothing of the command is left, also if the daemon is gone by then. None
    /// for commands that nobody minds.
    pub lifeline: Option<PathBuf>,
}

impl CommandSpec {
    /// A command below this process, as its user, with no environment or limit of its own.
    pub fn new(command: Command, directory: impl Into<PathBuf>, timeout: Duration, grace: Duration) -> Self {
        Self {
            command,
            directory: directory.into(),
            environment: Vec::new(),
            run_as: None,
            unit: None,
            payload: None,
            memory_max: None,
            tasks_max: None,
            timeout,
            grace,
            lifeline: None,
        }
    }
}

impl fmt::Debug for CommandSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.environment.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("CommandSpec")
            .field("command", &self.command)
            .field("directory", &self.directory)
            .field("environment", &names)
            .field("run_as", &self.run_as)
            .field("unit", &self.unit)
            .field("payload", &self.payload)
            .field("memory_max", &self.memory_max)
            .field("tasks_max", &self.tasks_max)
            .field("timeout", &self.timeout)
            .field("grace", &self.grace)
            .field("lifeline", &self.lifeline)
            .finish()
    }
}

spelled! {
    /// Where a line of output came from; the word is that of the journal's `HOOKD_STREAM=`.
    pub Stream "stream" {
        /// Standard output
        Stdout = "stdout",
        /// Standard error
        Stderr = "stderr",
    }
}

/// A line that the command printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputLine {
    /// Where.
    pub stream: Stream,
    /// The line without its newline, at most [`LINE_MAX`] bytes of it; what is not UTF-8 is replaced. Control characters
    /// are as printed: whoever shows the line has to make them harmless.
    pub text: String,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this exit code.
    Exited(i32),
    /// By a signal that hookd did not send.
    Signalled(i32),
    /// A limit of its unit was reached, and that killed it: `memory 512 MiB after 41s`.
    Killed(String),
    /// It took too long, and was stopped.
    TimedOut {
        /// How long it might have taken.
        after: Duration,
    },
    /// It was stopped because somebody asked for it.
    Cancelled,
    /// It never ran, for this reason.
    NotStarted(String),
}

impl Ended {
    /// True if the command ran and exited with 0.
    pub fn success(&self) -> bool {
        *self == Self::Exited(0)
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exited with {code}"),
            Self::Signalled(number) => match Signal::try_from(*number) {
                Ok(signal) => write!(f, "killed by {signal}"),
                Err(_) => write!(f, "killed by signal {number}"),
            },
            Self::Killed(by) => write!(f, "killed: {by}"),
            Self::TimedOut { after } => write!(f, "timed out after {} and was stopped", in_words(*after)),
            Self::Cancelled => f.write_str("cancelled and stopped"),
            Self::NotStarted(reason) => write!(f, "could not be started: {reason}"),
        }
    }
}

/// `10m`, `1h 30m`, `2s`, as the configuration writes durations; to the next millisecond.
fn in_words(duration: Duration) -> String {
    let milliseconds = duration.as_nanos().div_ceil(1_000_000);
    let duration = Duration::from_millis(u64::try_from(milliseconds).unwrap_or(u64::MAX));
    SpanPrinter::new()
        .designator(Designator::Compact)
        .spacing(Spacing::BetweenUnits)
        .unsigned_duration_to_string(&duration)
}

/// Why it is not known how a command ended: the machinery failed, not the command.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// No process could be started for the supervisor.
    #[error("the command's supervisor could not be started (is the machine out of processes or memory?)")]
    Supervisor(#[source] std::io::Error),
    /// Talking to the supervisor failed.
    #[error("lost the command's supervisor while {doing}")]
    Control {
        /// What was being done.
        doing: &'static str,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The supervisor ended without a word.
    #[error("the command's supervisor ended without a report ({0}), so it is not known how the command ended")]
    NoReport(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_in_a_persons_words() {
        let after = |seconds| Ended::TimedOut {
            after: Duration::from_secs(seconds),
        };
        assert_eq!(Ended::Exited(3).to_string(), "exited with 3");
        assert_eq!(Ended::Signalled(9).to_string(), "killed by SIGKILL");
        assert_eq!(Ended::Signalled(40).to_string(), "killed by signal 40");
        assert_eq!(after(600).to_string(), "timed out after 10m and was stopped");
        assert_eq!(after(5400).to_string(), "timed out after 1h 30m and was stopped");
        assert!(Ended::Exited(0).success() && !Ended::Exited(1).success() && !Ended::Cancelled.success());
    }

    #[test]
    fn debug_shows_no_value_of_the_environment() {
        let spec = CommandSpec {
            environment: vec![("TOKEN".into(), "s3cret".into())],
            ..CommandSpec::new(Command::Shell("true".into()), "/", Duration::ZERO, Duration::ZERO)
        };
        let shown = format!("{spec:?}");
        assert!(shown.contains("TOKEN") && !shown.contains("s3cret"), "{shown}");
    }
}
