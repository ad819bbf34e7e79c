//! A throw-away machine for one test, booted by `tests/lab/machine` and gone with the value.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};

/// What nothing comes near that is awaited, unless something hangs.
const PATIENCE: Duration = Duration::from_mins(1);

/// Time between two looks at a condition.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Packages that hookd and most tests need. Each set of packages is a root of its own, so tests share this one where they can.
const PACKAGES: &str = "git,libssl3,polkitd,curl,nginx-light,openssh-client,man-db,sudo,openssl,fcgiwrap";

/// Tells machines of one run from each other.
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// What kind of machine.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// The Debian release inside.
    pub suite: &'static str,
    /// Packages of Debian inside, besides systemd.
    pub packages: &'static str,
    /// `unified`, or `v1`, where limits of memory and tasks bite if the host keeps its controllers in version 1.
    pub cgroup: &'static str,
}

/// Debian 12 with what hookd needs.
pub const PLAIN: Kind = Kind {
    suite: "bookworm",
    packages: PACKAGES,
    cgroup: "unified",
};

/// Debian 13 with what hookd needs.
pub const TRIXIE: Kind = Kind {
    suite: "trixie",
    packages: "git,libssl3t64,polkitd,curl,sudo",
    cgroup: "unified",
};

/// Debian 13, with a web server and git behind it.
pub const NEWER: Kind = Kind {
    suite: "trixie",
    packages: "git,curl,openssl,sudo,man-db,nginx,fcgiwrap",
    cgroup: "unified",
};

/// A running machine; it ends, with all that was changed in it, when this is dropped.
pub struct Machine {
    name: String,
    kind: Kind,
}

impl Machine {
    /// Boots one; comes back when systemd is up.
    pub fn boot(kind: Kind) -> Self {
        let root = nix::unistd::geteuid().is_root();
        assert!(root, "the lab needs root, for systemd-nspawn: tests/run says how");
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let machine = Self {
            name: format!("hookd-{}-{number}", std::process::id()),
            kind,
        };
        machine.tool("start", &[]);
        machine
    }

    /// Where roots are kept between runs.
    fn cache() -> PathBuf {
        std::env::var_os("HOOKD_LAB").map_or_else(|| "/var/cache/hookd-lab".into(), PathBuf::from)
    }

    fn command(&self, verb: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/machine"));
        command.arg(Self::cache()).arg(verb).args(arguments);
        command
            .env("LAB_SUITE", self.kind.suite)
            .env("LAB_PACKAGES", self.kind.packages);
        command.env("LAB_NAME", &self.name).env("LAB_CGROUP", self.kind.cgroup);
        command
    }

    #[track_caller]
    fn tool(&self, verb: &str, arguments: &[&str]) -> String {
        let output = self.command(verb, arguments).output().unwrap();
        assert!(
            output.status.success(),
            "{verb} {arguments:?}: {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a shell line inside, as root, prints; it must succeed.
    #[track_caller]
    pub fn sh(&self, line: &str) -> String {
        self.tool("run", &["sh", "-euc", line])
    }

    /// How a shell line inside, as root, ends.
    pub fn try_sh(&self, line: &str) -> Output {
        self.command("run", &["sh", "-euc", line]).output().unwrap()
    }

    /// What a program of this machine prints in the network of the other.
    #[track_caller]
    pub fn net(&self, arguments: &[&str]) -> String {
        self.tool("net", arguments)
    }

    /// A program of this machine in the network of the other, to be started.
    pub fn net_command(&self, arguments: &[&str]) -> Command {
        self.command("net", arguments)
    }

    /// Does this in the network of the machine, on threads of its own; what it opens connects there.
    pub fn in_network<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let pid = self.tool("pid", &[]);
        let network = File::open(format!("/proc/{}/ns/net", pid.trim())).unwrap();
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                setns(network, CloneFlags::CLONE_NEWNET).unwrap();
                work()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Puts a file or directory of this machine there.
    #[track_caller]
    pub fn copy(&self, from: &Path, to: &str) {
        self.tool("copy", &[from.to_str().unwrap(), to]);
    }

    /// Writes a file inside, with this mode.
    #[track_caller]
    pub fn write(&self, path: &str, mode: u32, text: &str) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        self.copy(file.path(), path);
        self.sh(&format!("chmod {mode:o} {path}"));
    }

    /// Boots it anew; what was written stays.
    #[track_caller]
    pub fn reboot(&self) {
        self.tool("reboot", &[]);
    }

    /// Waits until a shell line inside succeeds; on failure shows what the journal says.
    #[track_caller]
    pub fn until(&self, line: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            let output = self.try_sh(line);
            if output.status.success() {
                return;
            }
            assert!(
                Instant::now() < end,
                "waited in vain for: {line}\n{}{}\njournal:\n{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr),
                self.sh("journalctl --no-pager -n 200")
            );
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It is going away: what can't be stopped is seen by the one who looks at the processes.
        let stopped = self.command("stop", &[]).output();
        if let Err(error) = stopped {
            eprintln!("could not stop {}: {error}", self.name);
        }
    }
}
