//! What the daemon, the supervisor and the starter say to each other over their sockets. All three are the same binary.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::unit::{Counters, Unit};

/// The variable that names the file with the payload.
pub(super) const PAYLOAD_VARIABLE: &str = "HOOKD_PAYLOAD_FILE";

/// Longest report, bytes: an end, and as many names of survivors as anybody wants to read.
pub(super) const REPORT_MAX: u64 = 64 * 1024;

/// Daemon to supervisor: the first line, as JSON.
#[derive(Serialize, Deserialize)]
pub(super) struct Order {
    /// The unit to run the command in; none: here.
    pub unit: Option<Unit>,
    /// The file with the payload, for a command in a unit. Else it is in the environment already.
    pub payload: Option<PathBuf>,
    /// From TERM to KILL.
    pub grace: Duration,
    /// The file to keep locked.
    pub lifeline: Option<PathBuf>,
    /// In a unit: whether hookd answers in the place of the system bus.
    pub bus: bool,
    /// For the starter.
    pub start: Start,
}

impl Order {
    /// What the half of the supervisor that is in the unit has to do.
    pub(super) fn for_inside(&self) -> Self {
        Self {
            unit: None,
            payload: None,
            grace: self.grace,
            lifeline: None,
            bus: self.bus,
            start: self.start.clone(),
        }
    }
}

/// Supervisor to starter: everything that the socket holds, as JSON.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Start {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Working directory.
    pub directory: PathBuf,
    /// The whole environment, but for HOME.
    pub environment: Vec<(String, String)>,
    /// The daemon's HOME; the user's own takes its place if there is one to become.
    pub home: Option<String>,
    /// User to become.
    pub run_as: Option<String>,
    /// Bytes of data of each process.
    pub memory_max: Option<u64>,
    /// Processes and threads of its user.
    pub tasks_max: Option<u64>,
    /// Whether it can't signal what runs as the same user outside of it. It can't look into it in any case.
    pub fenced: bool,
    /// Whether what it makes is to be writable for its group, which the daemon is in.
    pub group_writes: bool,
    /// The lifeline that marks it and all that it starts, if it runs below the daemon.
    #[serde(default)]
    pub mark: Option<PathBuf>,
    /// Process id of the supervisor, which fills it in.
    pub supervisor: i32,
}

/// Daemon to supervisor, as a line after the order: TERM, grace, KILL. The end of the stream means: KILL at once.
pub(super) const STOP: &str = "stop";

/// Supervisor to daemon: its last words, as JSON.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Report {
    /// How the main process of the command ended.
    pub end: End,
    /// Whether it was still running when it was told to stop.
    pub stopped: bool,
    /// Processes that could not be killed (`1234 (name)`): in the kernel's hands, or another user's.
    pub survivors: Vec<String>,
    /// What the kernel counted for the unit.
    pub counters: Counters,
    /// What killed it, if a limit did: `memory 512 MiB after 41s`.
    pub killed: Option<String>,
    /// What else a person should read.
    pub notes: Vec<String>,
}

impl Report {
    /// An end, and nothing else to say.
    pub(super) fn plain(end: End) -> Self {
        Self {
            end,
            stopped: false,
            survivors: Vec::new(),
            counters: Counters::default(),
            killed: None,
            notes: Vec::new(),
        }
    }
}

/// How the main process of the command ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum End {
    /// With an exit code.
    Exited(i32),
    /// By a signal.
    Signalled(i32),
    /// Never began.
    NotStarted(String),
    /// It does not end, whatever is sent to it.
    Unkillable,
}
