//! Has the running daemon reload its configuration, and waits for the result.

use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};

use super::client::Client;
use crate::api::Status;
use crate::clock;
use crate::exec;
use crate::machine;

/// Longest wait: the daemon reads some files.
const TIME: Duration = Duration::from_secs(15);

/// Pause between two looks at its status.
const PAUSE: Duration = Duration::from_millis(50);

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reloaded {
    /// The new configuration is in force.
    Yes,
    /// No daemon runs with this configuration.
    NotRunning,
    /// The daemon refused it, and says why.
    Refused(String),
    /// Whoever asks may not do that.
    NotAllowed,
}

/// How the daemon gets to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It reads its configuration.
    Signal,
    /// systemd reads the unit and starts it anew: a drop-in was added.
    Restart,
}

/// The process id of the daemon that runs with this configuration.
pub async fn running(config: &Path) -> Option<u32> {
    let file = std::path::absolute(config).unwrap_or_else(|_| config.to_owned());
    let status: Status = Client::new(config).get("/api/v1/status").await.ok()?;
    (Path::new(&status.config) == file).then_some(status.pid)
}

/// Has the daemon read its configuration, and waits until it says that it has, or has not.
pub async fn reload(config: &Path, how: How) -> Reloaded {
    let client = Client::new(config);
    let file = std::path::absolute(config).unwrap_or_else(|_| config.to_owned());
    let Ok(daemon) = client.get::<Status>("/api/v1/status").await else {
        if how == How::Restart {
            // What does not run has nothing to lose, and its unit is read at its start.
            drop(exec::ask("systemctl", &["daemon-reload"]).await);
        }
        return Reloaded::NotRunning;
    };
    if Path::new(&daemon.config) != file {
        return Reloaded::NotRunning;
    }
    // The daemon's times are whole milliseconds: what began to read in this one may have read what was there before.
    tokio::time::sleep(Duration::from_millis(1)).await;
    let since = clock::now().0;
    let asked = match how {
        How::Signal => is_daemon(&client, daemon.pid).await && signal(daemon.pid),
        How::Restart => restart().await,
    };
    if !asked {
        return Reloaded::NotAllowed;
    }
    let begun = Instant::now();
    while begun.elapsed() < TIME {
        if let Ok(status) = client.get::<Status>("/api/v1/status").await {
            if status.configured_at >= since {
                return Reloaded::Yes;
            }
            if let Some(refused) = status.refused.filter(|refused| refused.at >= since) {
                return Reloaded::Refused(refused.why);
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    Reloaded::Refused(format!(
        "the daemon did not confirm within {} s that it has read the configuration (journalctl -u hookd)",
        TIME.as_secs()
    ))
}

/// Whether root may signal that process: it is the unit's main one, or made the socket, and not one that a false daemon names.
async fn is_daemon(client: &Client, pid: u32) -> bool {
    if !geteuid().is_root() {
        return true;
    }
    let unit = machine::show("hookd.service", "MainPID").await;
    let main = unit.and_then(|unit| unit.get("MainPID")?.parse().ok());
    main == Some(pid) || client.maker().await == Some(pid)
}

fn signal(pid: u32) -> bool {
    let Ok(pid) = i32::try_from(pid) else { return false };
    !matches!(kill(Pid::from_raw(pid), Signal::SIGHUP), Err(Errno::EPERM))
}

async fn restart() -> bool {
    for arguments in [&["daemon-reload"][..], &["restart", "hookd"]] {
        if !exec::ask("systemctl", arguments)
            .await
            .is_ok_and(|answer| answer.success)
        {
            return false;
        }
    }
    true
}
