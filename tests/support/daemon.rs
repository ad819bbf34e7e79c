//! A daemon process, started as systemd starts it: sockets passed in, and ready when it says so.

use std::fs::{File, OpenOptions};
use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};

use super::world::{PATIENCE, wait_until};

/// The program.
pub const HOOKD: &str = env!("CARGO_BIN_EXE_hookd");

/// Makes the socket that is standard input the first of systemd's, in the process that becomes the daemon.
const AS_SYSTEMD: &str = "exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1";

/// What is special about the place that a daemon runs in.
#[derive(Debug, Default)]
pub struct Place {
    /// Shell text that runs before it, in a mount namespace of its own; what it mounts is gone with the daemon.
    pub prelude: Option<String>,
    /// Whether it is started without the rights that root has over other users' files.
    pub powerless: bool,
    /// Whether it has to listen itself.
    pub without_socket: bool,
}

/// A running daemon; killed when it goes out of scope.
pub struct Daemon {
    child: Child,
    notify: UnixDatagram,
}

impl Daemon {
    /// Starts it, and waits until it is ready or has ended.
    pub fn start(directory: &Path, socket: &TcpListener, place: &Place) -> Result<Self, ExitStatus> {
        let daemon = Self::spawn(directory, socket, place);
        daemon.until_ready()
    }

    fn spawn(directory: &Path, socket: &TcpListener, place: &Place) -> Self {
        let notify_path = directory.join("notify.sock");
        let _ = std::fs::remove_file(&notify_path);
        let notify = UnixDatagram::bind(&notify_path).unwrap();
        notify.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let mut options = OpenOptions::new();
        let log = options.create(true).append(true).open(directory.join("daemon.log"));
        let log = log.unwrap();
        let wrapper = if place.powerless && geteuid().is_root() {
            "setpriv --bounding-set=-all --inh-caps=-all"
        } else {
            ""
        };
        let prelude = place.prelude.as_deref().unwrap_or_default();
        let socket_passed = if place.without_socket { "" } else { AS_SYSTEMD };
        let script = format!("set -e\n{prelude}\n{socket_passed}\nexec {wrapper} \"$@\"");
        let mut command = Command::new("sh");
        if place.prelude.is_some() {
            command = Command::new("unshare");
            command.args(["--mount", "--propagation", "private"]);
            if !geteuid().is_root() {
                command.args(["--user", "--map-root-user"]);
            }
            command.arg("sh");
        }
        command.args(["-c", &script, "sh"]);
        let socket = std::os::fd::OwnedFd::from(socket.try_clone().unwrap());
        let child = command
            .args([HOOKD, "serve", "--log-format", "text", "--config"])
            .arg(directory.join("hookd.toml"))
            .current_dir(directory)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", directory)
            .env("LANG", "C.UTF-8")
            .env("TMPDIR", directory.join("tmp"))
            .env("RUST_BACKTRACE", "1")
            .env("NOTIFY_SOCKET", &notify_path)
            .env("DAEMONS_OWN", "no business of a command")
            .stdin(Stdio::from(socket))
            .stdout(Stdio::from(log.try_clone().unwrap()))
            .stderr(Stdio::from(log))
            .spawn()
            .unwrap();
        Self { child, notify }
    }

    fn until_ready(mut self) -> Result<Self, ExitStatus> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if self.heard().iter().any(|text| text.contains("READY=1")) {
                return Ok(self);
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                return Err(status);
            }
        }
        panic!("the daemon does not become ready");
    }

    /// What it told systemd since the last call.
    fn heard(&self) -> Vec<String> {
        let mut all = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(length) = self.notify.recv(&mut buffer) {
            all.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
        all
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Kills it where it stands.
    pub fn kill(mut self) {
        self.signal(Signal::SIGKILL);
        self.child.wait().unwrap();
    }

    /// Waits for its end.
    #[track_caller]
    pub fn ended(mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the daemon ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// Asks it to read its configuration again; returns when it has said that it is ready again.
    #[track_caller]
    pub fn reload(&self) {
        drop(self.heard());
        self.signal(Signal::SIGHUP);
        let mut words = String::new();
        wait_until("the daemon has reloaded", || {
            words.extend(self.heard());
            words.contains("RELOADING=1") && words.contains("READY=1")
        });
    }

    /// Its anonymous memory, kilobytes.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Its open file descriptors.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id()))
            .unwrap()
            .count()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whole text of a file that may not be there.
pub fn text_of(path: &Path) -> String {
    let read = || -> io::Result<String> { io::read_to_string(File::open(path)?) };
    read().unwrap_or_default()
}
