//! Whether commands can run in units of systemd on this machine; found out once, by running one.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::unit::Unit;
use super::{CommandSpec, Ended, run};
use crate::config::Command;

/// There if systemd runs the machine (`sd_booted(3)`).
pub(super) const SYSTEMD: &str = "/run/systemd/system";

/// Where packages and people put units (`systemd.unit(5)`).
const UNIT_DIRS: [&str; 4] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
];

/// The template without which nothing can be tried.
const TEMPLATE: &str = "hookd-run@.service";

/// Longest trial; it takes a tenth of a second.
const TRIAL_TIME: Duration = Duration::from_secs(30);

/// Answers whether units can be started, and asks once.
#[derive(Debug, Default)]
pub struct Units {
    answer: OnceCell<Result<(), String>>,
}

impl Units {
    /// Whether a command can run in a unit; if not, why. `program` is this one.
    pub async fn available(&self, program: &Path) -> Result<(), String> {
        self.answer.get_or_init(|| attempt(program)).await.clone()
    }

    /// Finds it out, and says it in the log.
    pub async fn tell(&self, program: &Path) {
        // Awaited for its answer only, which is kept.
        let _ = self.available(program).await;
        tracing::info!("{self}");
    }

    /// Why there can't be units, as far as files tell it.
    pub fn obstacle() -> Option<String> {
        if !Path::new(SYSTEMD).is_dir() {
            return Some("systemd does not run this machine".to_owned());
        }
        let template = UNIT_DIRS.iter().map(|directory| Path::new(directory).join(TEMPLATE));
        if template.into_iter().any(|path: PathBuf| path.exists()) {
            return None;
        }
        Some(format!("there is no {TEMPLATE}: it comes with hookd's package"))
    }
}

impl fmt::Display for Units {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.answer.get() {
            None => f.write_str("not known yet whether commands run in units of systemd"),
            Some(Ok(())) => f.write_str("commands run in units of systemd"),
            Some(Err(why)) => write!(f, "commands run as processes of the daemon: {why}"),
        }
    }
}

/// Runs `true` in a unit.
async fn attempt(program: &Path) -> Result<(), String> {
    if let Some(obstacle) = Units::obstacle() {
        return Err(obstacle);
    }
    let command = Command::Argv(vec!["true".to_owned()]);
    let spec = CommandSpec {
        unit: Some(Unit::probe()),
        ..CommandSpec::new(command, "/", TRIAL_TIME, Duration::ZERO)
    };
    let mut said = String::new();
    let ended = run(program, &spec, |line| said = line.text, &CancellationToken::new()).await;
    match ended {
        Ok(Ended::Exited(0)) => Ok(()),
        Ok(Ended::NotStarted(why)) => Err(why),
        Ok(ended) => Err(format!("a trial {ended}; {said}")),
        Err(error) => Err(format!("{error}; {said}")),
    }
}
