//! The daemon's side of a command: starts the supervisor, reads the output, keeps the time.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStderr, ChildStdout};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::lines::Lines;
use super::orphans::end_orphans_within;
use super::supervisor::{KILL_PATIENCE, SUBCOMMAND};
use super::wire::{End, Order, PAYLOAD_VARIABLE, REPORT_MAX, Report, STOP, Start};
use super::{CommandSpec, Ended, ExecError, OutputLine, Stream};
use crate::config::Command;

/// What is read from a pipe at once, bytes.
const CHUNK: usize = 16 * 1024;

/// Most that is taken from a pipe after the supervisor's end: what a pipe holds at most (`/proc/sys/fs/pipe-max-size`).
/// A process that could not be killed may go on writing, and must hold nobody up.
const DRAIN_MAX: usize = 1024 * 1024;

/// How much longer than grace and [`KILL_PATIENCE`] the supervisor may take before it is given up.
const SUPERVISOR_SLACK: Duration = Duration::from_secs(5);

/// Without a `LANG` of the daemon: systemd gives services none, and in the C locale many programs refuse names and texts
/// that are not ASCII.
const LANG_DEFAULT: &str = "C.UTF-8";

/// PATH of commands if the daemon has none.
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs a command to its end, under a supervisor that is `program` (`/proc/self/exe` in the daemon), and hands every line
/// that it prints to `output`. When this returns, nothing that the command started is still running, and if the future is
/// dropped everything is killed.
pub async fn run(
    program: &Path,
    spec: &CommandSpec,
    output: impl FnMut(OutputLine) + Send,
    cancel: &CancellationToken,
) -> Result<Ended, ExecError> {
    if cancel.is_cancelled() {
        return Ok(Ended::Cancelled);
    }
    let deadline = Instant::now() + spec.timeout;
    let (child, control) = start(program, spec).await?;
    let mut running = Running {
        child,
        control,
        stopping: None,
        give_up: None,
    };
    let mut output = Output::new(&mut running.child, output);
    let status = running
        .until_supervisor_ends(spec, deadline, &mut output, cancel)
        .await?;
    output.drain();
    let report = running.report().await?;
    if let (None, None, Some(lifeline)) = (&report, &spec.unit, &spec.lifeline) {
        // Nobody has ended what the command left behind.
        end_orphans_within(lifeline, KILL_PATIENCE).await;
    }
    for survivor in report.iter().flat_map(|report| &report.survivors) {
        output.tell(format!("hookd: process {survivor} could not be killed, and still runs"));
    }
    for note in report.iter().flat_map(|report| &report.notes) {
        output.tell(format!("hookd: {note}"));
    }
    judge(running.stopping, report).ok_or_else(|| ExecError::NoReport(status.to_string()))
}

/// How the command ended; `None` if that is not known.
fn judge(stopping: Option<Ended>, report: Option<Report>) -> Option<Ended> {
    let Some(report) = report else { return stopping };
    match (report.end, stopping) {
        (End::NotStarted(reason), _) => Some(Ended::NotStarted(reason)),
        (_, Some(why)) if report.stopped => Some(why),
        (_, _) if report.killed.is_some() => report.killed.map(Ended::Killed),
        (End::Exited(code), _) => Some(Ended::Exited(code)),
        (End::Signalled(number), _) => Some(Ended::Signalled(number)),
        (End::Unkillable, _) => None,
    }
}

/// Starts the supervisor and gives it its order.
async fn start(program: &Path, spec: &CommandSpec) -> Result<(Child, UnixStream), ExecError> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(ExecError::Supervisor)?;
    // The builder holds `theirs` and is dropped here, so that the end of the supervisor ends the stream.
    let child = tokio::process::Command::new(program)
        .arg0("hookd")
        .arg(SUBCOMMAND)
        .env_clear()
        .process_group(0)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(ExecError::Supervisor)?;
    let control = |doing| move |source| ExecError::Control { doing, source };
    ours.set_nonblocking(true).map_err(control("opening its socket"))?;
    let mut ours = UnixStream::from_std(ours).map_err(control("opening its socket"))?;
    let mut line = serde_json::to_vec(&order(spec)).map_err(|error| control("writing its order")(error.into()))?;
    line.push(b'\n');
    ours.write_all(&line).await.map_err(control("sending its order"))?;
    Ok((child, ours))
}

fn order(spec: &CommandSpec) -> Order {
    let of_daemon = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let mut environment = vec![(
        "PATH".to_owned(),
        of_daemon("PATH").unwrap_or_else(|| PATH_DEFAULT.to_owned()),
    )];
    let language = of_daemon("LANG").unwrap_or_else(|| LANG_DEFAULT.to_owned());
    environment.push(("LANG".to_owned(), language));
    // In a unit `/tmp` is its own.
    let temporary = of_daemon("TMPDIR").filter(|_| spec.unit.is_none());
    environment.extend(temporary.map(|value| ("TMPDIR".to_owned(), value)));
    environment.extend(spec.environment.iter().cloned());
    let mut payload = spec.payload.clone();
    if spec.unit.is_none() {
        let here = payload.take().map(|path| path.to_string_lossy().into_owned());
        environment.extend(here.map(|path| (PAYLOAD_VARIABLE.to_owned(), path)));
    }
    Order {
        unit: spec.unit.clone(),
        payload,
        grace: spec.grace,
        lifeline: spec.lifeline.clone(),
        bus: spec.unit.as_ref().is_some_and(|unit| unit.name.asks_systemd()),
        start: Start {
            argv: match &spec.command {
                Command::Shell(line) => ["/bin/sh", "-e", "-c", line].map(str::to_owned).into(),
                Command::Argv(argv) => argv.clone(),
            },
            directory: spec.directory.clone(),
            environment,
            home: of_daemon("HOME"),
            run_as: spec.run_as.clone(),
            memory_max: spec.memory_max,
            tasks_max: spec.tasks_max.filter(|_| spec.unit.is_none()),
            fenced: spec.unit.is_some(),
            group_writes: false,
            mark: spec.lifeline.clone().filter(|_| spec.unit.is_none()),
            supervisor: 0,
        },
    }
}

struct Running {
    child: Child,
    control: UnixStream,
    /// Why it was told to stop.
    stopping: Option<Ended>,
    /// When the supervisor itself is killed, since it did not end after that.
    give_up: Option<Instant>,
}

impl Running {
    async fn until_supervisor_ends<F: FnMut(OutputLine)>(
        &mut self,
        spec: &CommandSpec,
        deadline: Instant,
        output: &mut Output<F>,
        cancel: &CancellationToken,
    ) -> Result<ExitStatus, ExecError> {
        loop {
            tokio::select! {
                status = self.child.wait() => {
                    return status.map_err(|source| ExecError::Control { doing: "waiting for its end", source });
                }
                () = output.read() => {}
                () = cancel.cancelled(), if self.stopping.is_none() => self.stop(Ended::Cancelled, spec.grace).await,
                () = sleep_until(self.give_up.unwrap_or(deadline)) => self.time_is_over(spec).await,
            }
        }
    }

    async fn time_is_over(&mut self, spec: &CommandSpec) {
        if self.give_up.is_none() {
            self.stop(Ended::TimedOut { after: spec.timeout }, spec.grace).await;
        } else {
            // The supervisor is stuck, which it never should be. Without it the command's main process goes too.
            let _ = self.child.start_kill();
            self.give_up = Some(Instant::now() + SUPERVISOR_SLACK);
        }
    }

    async fn stop(&mut self, why: Ended, grace: Duration) {
        self.stopping = Some(why);
        self.give_up = Some(Instant::now() + grace + KILL_PATIENCE + SUPERVISOR_SLACK);
        // If the supervisor ends at this very moment there is nothing to stop.
        let _ = self.control.write_all(format!("{STOP}\n").as_bytes()).await;
    }

    /// What the supervisor said before it ended; nothing if it did not come to that.
    async fn report(&mut self) -> Result<Option<Report>, ExecError> {
        let mut text = Vec::new();
        let read = (&mut self.control).take(REPORT_MAX).read_to_end(&mut text).await;
        match read {
            Ok(_) if text.is_empty() => Ok(None),
            // It ended before it had read all that was sent to it.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset && text.is_empty() => Ok(None),
            Err(error) if error.kind() != io::ErrorKind::ConnectionReset => Err(ExecError::Control {
                doing: "reading its report",
                source: error,
            }),
            _ => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|error| ExecError::Control {
                    doing: "reading its report",
                    source: error.into(),
                }),
        }
    }
}

/// One pipe of the command's output.
struct Pipe<R> {
    stream: Stream,
    /// None once it has ended.
    reader: Option<R>,
    lines: Lines,
    chunk: Box<[u8]>,
}

impl<R: AsyncRead + Unpin> Pipe<R> {
    fn new(stream: Stream, reader: Option<R>) -> Self {
        Self {
            stream,
            reader,
            lines: Lines::default(),
            chunk: vec![0; CHUNK].into_boxed_slice(),
        }
    }

    /// Reads once, and tells how much is in the chunk. May be dropped at any time without losing anything.
    async fn read(&mut self) -> usize {
        let Some(reader) = &mut self.reader else {
            return std::future::pending().await;
        };
        let read = reader.read(&mut self.chunk).await.unwrap_or(0);
        if read == 0 {
            self.reader = None;
        }
        read
    }

    fn tell(&mut self, read: usize, output: &mut impl FnMut(OutputLine)) {
        let stream = self.stream;
        self.lines
            .push(&self.chunk[..read], |text| output(OutputLine { stream, text }));
    }

    /// Takes what is in the pipe without waiting for more, and tells the last line.
    fn drain(&mut self, into_fd: impl FnOnce(R) -> io::Result<OwnedFd>, output: &mut impl FnMut(OutputLine)) {
        if let Some(mut pipe) = self
            .reader
            .take()
            .and_then(|reader| without_waiting(into_fd(reader)).ok())
        {
            let mut taken = 0;
            while taken < DRAIN_MAX {
                match pipe.read(&mut self.chunk) {
                    Ok(read @ 1..) => {
                        taken += read;
                        self.tell(read, output);
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    // Its end, or a survivor keeps it open.
                    _ => break,
                }
            }
        }
        let stream = self.stream;
        self.lines.finish(|text| output(OutputLine { stream, text }));
    }
}

/// A plain file that is read directly: tokio's readers tell of data only once its reactor has heard of it.
fn without_waiting(pipe: io::Result<OwnedFd>) -> io::Result<File> {
    let pipe = pipe?;
    fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok(File::from(pipe))
}

/// Both pipes of the command's output, and where it goes.
struct Output<F> {
    stdout: Pipe<ChildStdout>,
    stderr: Pipe<ChildStderr>,
    receiver: F,
}

impl<F: FnMut(OutputLine)> Output<F> {
    fn new(child: &mut Child, receiver: F) -> Self {
        Self {
            stdout: Pipe::new(Stream::Stdout, child.stdout.take()),
            stderr: Pipe::new(Stream::Stderr, child.stderr.take()),
            receiver,
        }
    }

    /// Reads once from the pipe that has something.
    async fn read(&mut self) {
        tokio::select! {
            read = self.stdout.read() => self.stdout.tell(read, &mut self.receiver),
            read = self.stderr.read() => self.stderr.tell(read, &mut self.receiver),
        }
    }

    fn drain(&mut self) {
        self.stdout.drain(ChildStdout::into_owned_fd, &mut self.receiver);
        self.stderr.drain(ChildStderr::into_owned_fd, &mut self.receiver);
    }

    /// A line of hookd's own.
    fn tell(&mut self, text: String) {
        (self.receiver)(OutputLine {
            stream: Stream::Stderr,
            text,
        });
    }
}
