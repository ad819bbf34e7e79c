//! The daemon of the demo: this very program, as `hookd serve`, with a configuration of its own.

use std::fs::File;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use url::Url;

use crate::cli::output::Failure;
use crate::web;

/// Longest wait until it accepts: it has a store to make, on whatever disk the temporary directory is.
const START_TIME: Duration = Duration::from_secs(30);

/// How long a daemon that does not accept is waited for to end by itself.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How long it may take to stop before it is killed: longer than its own grace for what runs.
const STOP_TIME: Duration = Duration::from_secs(15);

/// Lines of its log that are shown when something went wrong.
const TAIL: usize = 20;

/// A running daemon. If this is dropped it is killed.
pub struct Daemon {
    child: Child,
}

impl Daemon {
    /// Starts it and waits until it accepts. It is handed its listener, as systemd does, so that nobody can take the port
    /// in between; `url` is the one of that listener.
    pub async fn start(config: &Path, listener: TcpListener, url: &Url) -> Result<Self, Failure> {
        let log = log(config);
        let failed = |e: std::io::Error| Failure::failed(format!("the daemon can't be started: {e}"));
        let output = File::create(&log).map_err(failed)?;
        let mut command = Command::new("/proc/self/exe");
        command
            .arg0("hookd")
            .args(["serve", "--log-format", "text", "--config"])
            .arg(config)
            .current_dir(config.parent().unwrap_or(Path::new("/")))
            .env_clear()
            .envs(["PATH", "HOME"].map(|name| (name, std::env::var_os(name).unwrap_or_default())))
            .env("TMPDIR", config.parent().unwrap_or(Path::new("/tmp")))
            // Socket activation with the descriptor in another place than systemd's: that of standard input.
            .env("LISTEN_FDS", "1")
            .env("LISTEN_FDS_FIRST_FD", "0")
            .stdin(Stdio::from(OwnedFd::from(listener)))
            .stdout(output.try_clone().map_err(failed)?)
            .stderr(output)
            // Ctrl-C reaches the demo alone, which then stops the daemon.
            .process_group(0)
            .kill_on_drop(true);
        let mut daemon = Self {
            child: command.spawn().map_err(failed)?,
        };
        // The daemon alone has the listener from here on: if it ends, so do the connections that wait for it.
        drop(command);
        let answer = tokio::select! {
            answer = web::get(url, START_TIME) => answer.map_err(|e| e.to_string()),
            status = daemon.ended() => Err(status),
        };
        let reason = match answer {
            Ok(200) => return Ok(daemon),
            Ok(status) => format!("{url} answered {status}"),
            Err(reason) => reason,
        };
        // If it is about to end, it has something to say.
        drop(tokio::time::timeout(LAST_WORDS, daemon.child.wait()).await);
        Err(Failure::failed(format!("the daemon does not accept: {reason}")))
    }

    /// Waits until it ends by itself, which it should not; says how.
    pub async fn ended(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => format!("the daemon ended ({status})"),
            Err(error) => format!("the daemon is lost: {error}"),
        }
    }

    /// Stops it, and waits until it is gone.
    pub async fn stop(mut self) {
        if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) {
            // A process that is gone already is what is wanted.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        if tokio::time::timeout(STOP_TIME, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }
}

/// Where it writes what it has to say.
pub fn log(config: &Path) -> PathBuf {
    config.with_file_name("hookd.log")
}

/// The last lines of its log, indented; `None` if there is no log.
pub fn log_tail(config: &Path) -> Option<String> {
    let text = std::fs::read_to_string(log(config)).ok()?;
    let lines: Vec<String> = text.lines().map(|line| format!("    {line}")).collect();
    Some(lines[lines.len().saturating_sub(TAIL)..].join("\n"))
}
