//! Outside of the unit: has systemd start it, hands over what the command needs, and says how it ended.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::geteuid;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Interest};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;
use tokio::time::{sleep, sleep_until, timeout};

use super::bus::{Bus, BusError, Settled};
use super::handover::{self, Files};
use super::place::Place;
use super::proxy::{self, Refused};
use super::reload_rule::Asked;
use super::{Unit, verdict};
use crate::config::Command;
use crate::exec::supervisor::KILL_PATIENCE;
use crate::exec::wire::{End, Order, REPORT_MAX, Report, STOP};

/// From the request to the unit's main process: some more than systemd takes on a machine that is overloaded.
const START_TIME: Duration = Duration::from_secs(30);

/// How much longer than grace and [`KILL_PATIENCE`] the inside may take to stop everything before systemd kills all of it.
const INSIDE_SLACK: Duration = Duration::from_secs(1);

/// Between two attempts to hand the order over.
const TRY_AGAIN: Duration = Duration::from_millis(100);

/// Writable for the command's user, so that it can open `/dev/stderr`, as programs do.
const PIPE_MODE: Mode = Mode::from_bits_truncate(0o622);

/// Most memory of this half of the supervisor, bytes: some times what it needs. What a command sends to the bus is read in here.
const MEMORY_MAX: u64 = 512 << 20;

/// What comes of a command in a unit. Nothing is left of the unit when this returns.
pub(in crate::exec) fn run(order: Order, unit: &Unit, daemon: StdStream, lifeline: Option<File>) -> io::Result<Report> {
    setrlimit(Resource::RLIMIT_DATA, MEMORY_MAX, MEMORY_MAX)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match start(order, unit, lifeline).await {
            Ok(running) => running.until_ended(daemon).await,
            Err(why) => Ok(Report::plain(End::NotStarted(why))),
        }
    })
}

/// A unit whose main process has its order.
struct Running {
    bus: Bus,
    /// Goes away with the command.
    _place: Place,
    inside: UnixStream,
    settled: Settled,
    grace: Duration,
    since: Instant,
    notes: Vec<String>,
    /// Answers in the place of the system bus, if the command may ask it for something.
    proxy: Option<AbortOnDrop>,
    refused: Refused,
}

/// A task that ends with this.
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Starts the unit and gives it its order. The error says in words why the command did not run.
async fn start(mut order: Order, unit: &Unit, lifeline: Option<File>) -> Result<Running, String> {
    let told = |error: BusError| error.to_string();
    let bus = Bus::load(&unit.name).await.map_err(told)?;
    let settled = bus.settled().await.map_err(told)?;
    let run_as = order.start.run_as.take();
    if let Some(why) = verdict::refuse(unit, run_as.as_deref(), &settled) {
        return Err(why);
    }
    let lacking = verdict::lacking(unit, order.start.memory_max, &settled);
    if order
        .start
        .memory_max
        .is_some_and(|wanted| settled.memory_max <= wanted)
    {
        order.start.memory_max = None;
    }
    let uid = verdict::uid_of(&settled.user)?;
    let foreign = uid != geteuid().as_raw();
    order.start.group_writes = foreign;
    if bus.is_active().await.map_err(told)? {
        // Left over from a daemon that was killed, by something that kept its supervisor from ending it.
        end(&bus, Duration::ZERO).await.map_err(told)?;
    }
    let place = Place::lay_out(unit, foreign).map_err(|error| format!("laying out its unit: {error}"))?;
    bus.start().await.map_err(told)?;
    let Ok(inside) = timeout(START_TIME, connected(&bus, &place, uid)).await else {
        end(&bus, Duration::ZERO).await.map_err(told)?;
        return Err(format!("the unit {} did not ask for its order", unit.name));
    };
    let handed = hand_over(inside?, &order, lifeline, foreign).await;
    let inside = handed.map_err(|error| format!("handing the order over: {error}"))?;
    let refused = Refused::default();
    let proxy = if order.bus {
        let listener = timeout(START_TIME, bus_of(&inside)).await;
        let listener = listener.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let listener = listener.map_err(|error| format!("answering for the system bus: {error}"))?;
        let asked = Asked::by(&Command::Argv(order.start.argv.clone()));
        Some(AbortOnDrop(tokio::spawn(proxy::serve(
            listener,
            asked,
            refused.clone(),
        ))))
    } else {
        None
    };
    let notes = if unit.explain && !lacking.is_empty() {
        let text = "until root writes the drop-in that `hookd check` prints";
        lacking.iter().map(|lack| format!("{lack}, {text}")).collect()
    } else {
        Vec::new()
    };
    Ok(Running {
        bus,
        _place: place,
        inside,
        settled,
        grace: order.grace,
        since: Instant::now(),
        notes,
        proxy,
        refused,
    })
}

/// The socket at which the command finds the bus. It was made in the unit, where nobody else can connect.
async fn bus_of(inside: &UnixStream) -> io::Result<UnixListener> {
    let received = inside
        .async_io(Interest::READABLE, || handover::receive_one(inside))
        .await?;
    let listener = StdListener::from(received);
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

/// The connection of the unit's main process. Any other is closed: the order has what is not for everybody.
async fn connected(bus: &Bus, place: &Place, uid: u32) -> Result<UnixStream, String> {
    let told = |error: BusError| error.to_string();
    let mut ended = std::pin::pin!(bus.ended());
    let mut main = 0;
    loop {
        let (stream, _) = tokio::select! {
            accepted = place.listener.accept() => accepted.map_err(|error| error.to_string())?,
            ended = &mut ended => {
                ended.map_err(told)?;
                let result = bus.result().await.map_err(told)?;
                let report = verdict::unreported(&result);
                return Err(match report.end {
                    End::NotStarted(why) => why,
                    other => format!("its unit ended at once: {other:?}"),
                });
            }
        };
        let Ok(peer) = stream.peer_cred() else { continue };
        if peer.uid() != uid {
            continue;
        }
        if main == 0 {
            // Once it is there it stays the same: whoever else connects, however often, costs no question to systemd.
            main = bus.main_pid().await.map_err(told)?;
        }
        if peer.pid().is_some_and(|peer| u32::try_from(peer) == Ok(main)) {
            place.close();
            return Ok(stream);
        }
    }
}

async fn hand_over(inside: UnixStream, order: &Order, lifeline: Option<File>, foreign: bool) -> io::Result<UnixStream> {
    let (stdout, stderr) = (io::stdout(), io::stderr());
    if foreign {
        for pipe in [stdout.as_fd(), stderr.as_fd()] {
            fchmod(pipe, PIPE_MODE)?;
        }
    }
    let payload = order.payload.as_deref().map(File::open).transpose()?;
    let files = Files {
        stdout: stdout.as_fd(),
        stderr: stderr.as_fd(),
        lifeline: lifeline.as_ref().map(AsFd::as_fd),
        payload: payload.as_ref().map(AsFd::as_fd),
    };
    inside.writable().await?;
    let give_up = Instant::now() + START_TIME;
    while let Err(error) = handover::send(&inside, &files) {
        // Descriptors on their way count for all processes of the user together: that of others passes.
        if error.raw_os_error() != Some(Errno::ETOOMANYREFS as i32) || Instant::now() >= give_up {
            return Err(error);
        }
        sleep(TRY_AGAIN).await;
    }
    let mut inside = inside;
    let mut line = serde_json::to_vec(&order.for_inside())?;
    line.push(b'\n');
    inside.write_all(&line).await?;
    Ok(inside)
}

/// Waits for the unit's end for that long, and then has systemd kill all of it.
async fn end(bus: &Bus, patience: Duration) -> Result<(), BusError> {
    if let Ok(ended) = timeout(patience, bus.ended()).await {
        return ended;
    }
    bus.kill().await?;
    match timeout(KILL_PATIENCE, bus.ended()).await {
        Ok(ended) => ended,
        Err(_) => Err(BusError::Refused("the unit can't be killed".to_owned())),
    }
}

impl Running {
    async fn until_ended(mut self, daemon: StdStream) -> io::Result<Report> {
        daemon.set_nonblocking(true)?;
        let daemon = UnixStream::from_std(daemon)?;
        let (said, stopping) = self.listen(daemon).await?;
        drop(self.proxy.take());
        // With its report the inside has ended everything; without one it was killed itself, or has to be.
        let patience = if said.is_empty() { Duration::ZERO } else { KILL_PATIENCE };
        let failed = |error: BusError| io::Error::other(error.to_string());
        let took = self.since.elapsed();
        end(&self.bus, patience).await.map_err(failed)?;
        let result = self.bus.result().await.map_err(failed)?;
        // The last one is the whole one.
        let report = said
            .rsplit(|byte| *byte == b'\n')
            .find_map(|line| serde_json::from_slice(line).ok());
        let unreported = report.is_none();
        let mut report = verdict::verdict(report, &result, &self.settled, took);
        report.stopped |= stopping && unreported;
        self.notes.extend(self.refused.take());
        report.notes.splice(0..0, self.notes);
        Ok(report)
    }

    /// Passes the daemon's word on, until the inside is gone or has to go. Comes back with its last words, and with
    /// whether it had been told to stop.
    async fn listen(&mut self, daemon: UnixStream) -> io::Result<(Vec<u8>, bool)> {
        let (inside_reader, mut inside_writer) = self.inside.split();
        let mut daemon = BufReader::new(daemon).lines();
        let mut give_up = None;
        let mut inside = std::pin::pin!(async move {
            let mut said = Vec::new();
            let mut reader = inside_reader.take(REPORT_MAX);
            // Cut off is as good as ended.
            reader
                .read_to_end(&mut said)
                .await
                .map_or_else(|_| Vec::new(), |_| said)
        });
        loop {
            tokio::select! {
                said = &mut inside => return Ok((said, give_up.is_some())),
                line = daemon.next_line(), if give_up.is_none() => {
                    if line?.is_none_or(|line| line != STOP) {
                        return Ok((Vec::new(), false));
                    }
                    // If it ends at this very moment there is nothing to stop.
                    let _ = inside_writer.write_all(format!("{STOP}\n").as_bytes()).await;
                    give_up = Some(tokio::time::Instant::now() + self.grace + KILL_PATIENCE + INSIDE_SLACK);
                }
                () = sleep_until(give_up.unwrap_or_else(tokio::time::Instant::now)), if give_up.is_some() => {
                    return Ok((Vec::new(), true));
                }
            }
        }
    }
}
