//! The supervisor: starts one command, and sees to it that nothing of it is left in the end.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::unit::{self, CountedGroup as Group};
use super::wire::{End, Order, Report, STOP, Start};
use super::{descendants, start};

/// The hidden subcommand; `cli` gives control to [`supervisor_main`] when it is the first argument.
pub const SUBCOMMAND: &str = "command-supervisor";

/// Second argument that asks for the starter.
const STARTER: &str = "start";

/// Third argument of the starter in a unit: where memory is short, the command goes before its supervisor.
const FIRST: &str = "first";

/// Second argument that asks for the half inside of a unit; the third is the directory of the unit's instance. It stands
/// in the packaged templates.
const INSIDE: &str = "unit";

/// How long KILL is repeated. Only a process in the kernel's hands (dead network file system) or another user's
/// (set-user-id program) lasts that long; it is reported and left.
pub(super) const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// Time between two rounds of KILL: new processes may have been made since the last one.
const KILL_ROUND: Duration = Duration::from_millis(10);

/// Most bytes of a starter's complaint that are kept.
const COMPLAINT_MAX: usize = 4096;

/// Closes this process to others of the same user, commands say: they can't trace it, nor read its memory, its environment
/// or its open files, nor look at what it sees of the file system. A program that it becomes is open again.
pub fn close_memory() -> io::Result<()> {
    prctl::set_dumpable(false).map_err(io::Error::from)
}

/// Runs as the supervisor (or, with one argument more, the starter) of a command. Standard input is a socket to the
/// parent; nothing is ever printed.
pub fn supervisor_main() -> ExitCode {
    close_inherited();
    let mut arguments = std::env::args_os().skip(2);
    let done = match (arguments.next(), arguments.next()) {
        (Some(half), first) if half == STARTER => return start::main(first.is_some_and(|first| first == FIRST)),
        (Some(half), Some(directory)) if half == INSIDE => supervise_inside(Path::new(&directory)),
        _ => supervise(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Shows up as a line of the command's output, or in the unit's journal, since there is no other way to tell.
            let _ = writeln!(io::stderr(), "hookd: the command's supervisor failed: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Sockets passed in by systemd are inherited by every child; a command must not get them. Called before anything is opened.
fn close_inherited() {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else {
        return;
    };
    let open: Vec<i32> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    for number in open.into_iter().filter(|&number| number > 2) {
        // One of them was the directory's own and is closed by now.
        let _ = nix::unistd::close(number);
    }
}

fn supervise() -> io::Result<()> {
    let mut control = BufReader::new(UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?));
    let mut line = String::new();
    control.read_line(&mut line)?;
    let order: Order = serde_json::from_str(&line)?;
    let held = order.lifeline.as_deref().map(hold).transpose()?;
    if is_abandoned(control.get_ref())? {
        // The next daemon may have asked for this file already, and begun.
        return Ok(());
    }
    match order.unit.clone() {
        None => run_here(control, order, None, || ()),
        Some(unit) => {
            let mut daemon = control.get_ref().try_clone()?;
            let report = unit::run(order, &unit, control.into_inner(), held)?;
            tell(&mut daemon, &report)
        }
    }
}

/// In a unit: the other half of the supervisor has the order.
fn supervise_inside(directory: &Path) -> io::Result<()> {
    let inside = unit::Inside::ask(directory)?;
    let _held = inside.lifeline;
    let release = inside.order.start.directory.clone();
    let group_writes = inside.order.start.group_writes;
    run_here(
        inside.control,
        inside.order,
        Some((inside.output, inside.group)),
        || {
            if group_writes {
                unit::open_directories(&release);
            }
        },
    )
}

/// Runs the command below this process, and reports. In a unit, `within` is where its output goes and what counts its group.
fn run_here(
    control: BufReader<UnixStream>,
    order: Order,
    within: Option<((OwnedFd, OwnedFd), Group)>,
    afterwards: impl FnOnce(),
) -> io::Result<()> {
    prctl::set_child_subreaper(true)?;
    let signals = SigSet::from_iter([Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP]);
    signals.thread_block()?;
    let signals = SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
    let (output, group) = within.unzip();
    let (starter, main) = spawn_starter(order.start, output)?;
    let mut supervisor = Supervisor {
        control,
        signals,
        starter: Some(starter),
        complaint: Vec::new(),
        main,
        ended: None,
        grace: order.grace,
        abandoned: false,
        stage: Stage::Running,
        stopped: false,
        group,
    };
    let mut report = supervisor.until_all_gone()?;
    afterwards();
    report.counters = supervisor.group.as_ref().map(Group::counted).unwrap_or_default();
    tell(supervisor.control.get_mut(), &report)
}

/// The last words.
fn tell(parent: &mut UnixStream, report: &Report) -> io::Result<()> {
    let mut line = serde_json::to_vec(report)?;
    line.push(b'\n');
    match parent.write_all(&line) {
        // It is gone, or has lost interest.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Locks the lifeline, until this process ends.
fn hold(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    file.lock_shared()?;
    Ok(file)
}

/// Whether the daemon has closed its end.
fn is_abandoned(control: &UnixStream) -> io::Result<bool> {
    let mut fds = [PollFd::new(control.as_fd(), PollFlags::empty())];
    poll(&mut fds, PollTimeout::ZERO)?;
    Ok(fds[0].any().unwrap_or(false))
}

/// Starts the starter; returns the socket to it and its process id.
fn spawn_starter(mut order: Start, output: Option<(OwnedFd, OwnedFd)>) -> io::Result<(UnixStream, Pid)> {
    order.supervisor = Pid::this().as_raw();
    let (mut ours, theirs) = UnixStream::pair()?;
    let mut starter = Command::new("/proc/self/exe");
    starter.arg0("hookd").args([SUBCOMMAND, STARTER]).env_clear();
    starter.stdin(Stdio::from(OwnedFd::from(theirs)));
    if let Some((stdout, stderr)) = output {
        starter.arg(FIRST);
        starter.stdout(Stdio::from(stdout)).stderr(Stdio::from(stderr));
    }
    let child = starter.spawn()?;
    // Holds the pipes of the output open.
    drop(starter);
    // A starter that dies before it has read everything is noticed when it is reaped.
    let _ = ours.write_all(&serde_json::to_vec(&order)?);
    ours.shutdown(std::net::Shutdown::Write)?;
    Ok((
        ours,
        Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?),
    ))
}

/// How urgent it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The command may go on.
    Running,
    /// All have been sent TERM, and have until then.
    Stopping(Instant),
    /// All are sent KILL again and again, until then.
    Killing(Instant),
}

struct Supervisor {
    control: BufReader<UnixStream>,
    signals: SignalFd,
    /// Open until the command runs or the starter has said why it does not.
    starter: Option<UnixStream>,
    complaint: Vec<u8>,
    main: Pid,
    ended: Option<End>,
    grace: Duration,
    /// Whether the daemon has closed its end.
    abandoned: bool,
    stage: Stage,
    /// Whether the main process still ran when it was to stop.
    stopped: bool,
    /// What counts the unit's group.
    group: Option<Group>,
}

impl Supervisor {
    /// Waits until no process is left, or none that can be killed.
    fn until_all_gone(&mut self) -> io::Result<Report> {
        while self.reap()? {
            if self.ended.is_some() && self.stage == Stage::Running {
                self.kill_from_now();
            }
            let wait = match self.stage {
                Stage::Running => None,
                Stage::Stopping(until) => Some(until.saturating_duration_since(Instant::now())),
                Stage::Killing(until) if Instant::now() >= until => break,
                Stage::Killing(_) => {
                    descendants::signal_all(Signal::SIGKILL)?;
                    Some(KILL_ROUND)
                }
            };
            self.wait_for_news(wait)?;
            if matches!(self.stage, Stage::Stopping(until) if Instant::now() >= until) {
                self.kill_from_now();
            }
        }
        self.report()
    }

    fn report(&mut self) -> io::Result<Report> {
        if let Some(mut starter) = self.starter.take() {
            starter.set_nonblocking(true)?;
            // What it said before it ended is there; an error means that it said nothing more.
            let _ = starter.read_to_end(&mut self.complaint);
        }
        let survivors = descendants::list()?
            .into_iter()
            .map(|p| format!("{} ({})", p.pid, p.name))
            .collect();
        let end = self.ended.take().unwrap_or(End::Unkillable);
        let end = if self.complaint.is_empty() {
            end
        } else {
            End::NotStarted(String::from_utf8_lossy(&self.complaint).into_owned())
        };
        Ok(Report {
            stopped: self.stopped,
            survivors,
            ..Report::plain(end)
        })
    }

    /// Takes note of every process that ended. False once there are none left: as long as any process lives below this
    /// one, this one has a child.
    fn reap(&mut self) -> io::Result<bool> {
        loop {
            let end = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => return Ok(true),
                Ok(WaitStatus::Exited(pid, code)) => (pid, End::Exited(code)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, End::Signalled(signal as i32)),
                Ok(_) | Err(Errno::EINTR) => continue,
                Err(Errno::ECHILD) => return Ok(false),
                Err(error) => return Err(error.into()),
            };
            if end.0 == self.main && self.ended.is_none() {
                self.tell_early(&end.1);
                self.ended = Some(end.1);
            }
        }
    }

    /// Reports at once that the unit's memory was over. What the command wrote to files in memory still fills it, and may be the
    /// end of this process before the whole report.
    fn tell_early(&mut self, end: &End) {
        let counters = self.group.as_ref().map(Group::counted).unwrap_or_default();
        if counters.oom_kills > 0 {
            let report = Report {
                stopped: self.stopped,
                counters,
                ..Report::plain(end.clone())
            };
            // The other report says it again.
            let _ = tell(self.control.get_mut(), &report);
        }
    }

    /// Sleeps until a child ended, the daemon or a signal says something, the starter is done, or the time is over.
    fn wait_for_news(&mut self, time: Option<Duration>) -> io::Result<()> {
        if !self.control.buffer().is_empty() {
            self.hear_daemon();
            return Ok(());
        }
        let timeout = time.map_or(PollTimeout::NONE, |time| {
            // Rounded up, so that the time is over when it wakes.
            PollTimeout::try_from(time + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
        });
        let [control, signals, starter] = {
            fn on(fd: BorrowedFd<'_>) -> PollFd<'_> {
                PollFd::new(fd, PollFlags::POLLIN)
            }
            let signals = self.signals.as_fd();
            // A closed socket would be news for ever; the signals instead are looked at twice, which changes nothing.
            let control = if self.abandoned {
                signals
            } else {
                self.control.get_ref().as_fd()
            };
            let starter = self.starter.as_ref().map_or(signals, AsFd::as_fd);
            let mut fds = [on(control), on(signals), on(starter)];
            match poll(&mut fds, timeout) {
                Ok(_) | Err(Errno::EINTR) => fds.map(|fd| fd.any().unwrap_or(false)),
                Err(error) => return Err(error.into()),
            }
        };
        if signals {
            self.hear_signals()?;
        }
        if starter {
            self.hear_starter();
        }
        if control && !self.abandoned {
            self.hear_daemon();
        }
        Ok(())
    }

    /// A child's end is looked at by `reap`. Any other signal asks for the same as the daemon's word.
    fn hear_signals(&mut self) -> io::Result<()> {
        while let Some(info) = self.signals.read_signal()? {
            if i32::try_from(info.ssi_signo) != Ok(Signal::SIGCHLD as i32) {
                self.stop();
            }
        }
        Ok(())
    }

    fn hear_starter(&mut self) {
        let Some(starter) = &mut self.starter else { return };
        let mut bytes = [0; 512];
        match starter.read(&mut bytes) {
            Ok(read @ 1..) if self.complaint.len() < COMPLAINT_MAX => self.complaint.extend_from_slice(&bytes[..read]),
            Ok(1..) => {}
            // The end: the command runs, or the starter is gone.
            _ => self.starter = None,
        }
    }

    fn hear_daemon(&mut self) {
        let mut line = String::new();
        match self.control.read_line(&mut line) {
            Ok(1..) if line.trim_end() == STOP => self.stop(),
            // It is gone: nobody waits for the end of this command, and the next daemon runs it anew.
            _ => {
                self.abandoned = true;
                self.kill_from_now();
            }
        }
    }

    /// TERM to everything, once. CONT lets those that are stopped see it.
    fn stop(&mut self) {
        if self.stage != Stage::Running {
            return;
        }
        self.stopped |= self.ended.is_none();
        self.stage = Stage::Stopping(Instant::now() + self.grace);
        for signal in [Signal::SIGTERM, Signal::SIGCONT] {
            // Without /proc there is only the end of the grace left.
            let _ = descendants::signal_all(signal);
        }
    }

    fn kill_from_now(&mut self) {
        if !matches!(self.stage, Stage::Killing(_)) {
            self.stopped |= self.ended.is_none();
            self.stage = Stage::Killing(Instant::now() + KILL_PATIENCE);
        }
    }
}
