//! What is said to systemd, the sockets that it hands over, and those that it keeps from one start to the next.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use listenfd::ListenFd;
use sd_notify::NotifyState;
use tokio::net::{TcpListener, UnixListener};

use crate::http::listener::Socket;

/// The name of the sockets that systemd keeps for the next start.
const KEPT: &str = "kept";

/// What is said again and again while the daemon runs.
enum Sign {
    Status(String),
    Watchdog,
    /// With the monotonic time at which it began.
    Reloading(NotifyState<'static>),
    Ready(String),
    /// With the status, and the microseconds that it may take.
    Stopping(String, u32),
}

/// Most signs that wait for systemd to read before status and watchdog are left out. States of the daemon never are: who reloads
/// or stops it makes them, so they are few, and a missing one would leave the unit `reloading`.
const SIGNS_MAX: usize = 4;

/// Signs that systemd has not read.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// Sends signs on a thread of its own: a reader that does not read would hold up whoever writes, and nothing here may wait for that.
static SIGNS: LazyLock<Option<Sender<Sign>>> = LazyLock::new(|| {
    let (sender, signs) = channel::<Sign>();
    let send = move || {
        for sign in signs {
            match sign {
                Sign::Status(status) => tell(&[NotifyState::Status(&status)]),
                Sign::Watchdog => tell(&[NotifyState::Watchdog]),
                Sign::Reloading(since) => tell(&[NotifyState::Reloading, since]),
                Sign::Ready(status) => tell(&[NotifyState::Ready, NotifyState::Status(&status)]),
                Sign::Stopping(status, micros) => tell(&[
                    NotifyState::Stopping,
                    NotifyState::Status(&status),
                    NotifyState::ExtendTimeoutUsec(micros),
                ]),
            }
            WAITING.fetch_sub(1, Ordering::Relaxed);
        }
    };
    let thread = std::thread::Builder::new().name("systemd".to_owned()).spawn(send);
    thread
        .inspect_err(|error| tracing::warn!(%error, "systemd cannot be notified"))
        .ok()
        .map(|_| sender)
});

/// Gives a sign.
fn sign(sign: Sign) -> bool {
    WAITING.fetch_add(1, Ordering::Relaxed);
    SIGNS.as_ref().is_some_and(|signs| signs.send(sign).is_ok())
}

/// Gives a sign, unless systemd has not read those before it.
fn passing(one: Sign) -> bool {
    WAITING.load(Ordering::Relaxed) < SIGNS_MAX && sign(one)
}

/// Tells systemd; a message that can't be delivered is worth a line, not a failure.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd could not be notified");
    }
}

/// The daemon accepts.
pub fn ready(status: &str) {
    sign(Sign::Ready(status.to_owned()));
}

/// What goes on now. False if systemd does not read: then it is to be said again.
pub fn status(status: &str) -> bool {
    passing(Sign::Status(status.to_owned()))
}

/// The configuration is being read again.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => {
            sign(Sign::Reloading(now));
        }
        Err(error) => tracing::warn!(%error, "systemd could not be notified"),
    }
}

/// The daemon stops, and needs up to `time` for it.
pub fn stopping(status: &str, time: Duration) {
    let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
    sign(Sign::Stopping(status.to_owned(), micros));
}

/// The daemon is alive.
pub fn watchdog() {
    passing(Sign::Watchdog);
}

/// How often systemd wants to hear that the daemon is alive; `None` if it doesn't.
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

/// Has systemd keep these sockets and no others from before: it hands them over when the daemon is restarted, and who connects
/// meanwhile waits. Nothing happens if the unit has no `FileDescriptorStoreMax=`, or there is no systemd.
pub fn keep(sockets: &[&Socket]) {
    tell(&[NotifyState::FdStoreRemove, NotifyState::FdName(KEPT)]);
    let descriptors: Vec<BorrowedFd<'_>> = sockets.iter().map(|socket| socket.as_fd()).collect();
    if descriptors.is_empty() {
        return;
    }
    let states = [NotifyState::FdStore, NotifyState::FdName(KEPT)];
    if let Err(error) = sd_notify::notify_with_fds(&states, &descriptors) {
        tracing::warn!(%error, "systemd could not be given the sockets; a restart will refuse connections");
    }
}

/// Whether a file is below the unit's `RuntimeDirectory=`, which systemd removes when the unit is stopped for good.
pub fn removes(path: &std::path::Path) -> bool {
    std::env::var_os("RUNTIME_DIRECTORY")
        .is_some_and(|all| std::env::split_paths(&all).any(|directory| path.starts_with(directory)))
}

/// The sockets that systemd hands over: those for forges, and the control socket.
#[derive(Default)]
pub struct Handed {
    /// For forges.
    pub public: Vec<Socket>,
    /// For people and their tools.
    pub control: Option<Socket>,
    /// Those that the last start gave it to keep; the configuration may have changed since.
    pub kept: Vec<Socket>,
}

/// Takes the sockets of socket activation, and those that were kept. Of the former, a unix socket whose `FileDescriptorName=` is
/// `control`, or whose path is the control path, is the control socket; everything else is public.
pub fn handed_over(control: &std::path::Path) -> std::io::Result<Handed> {
    let names: Vec<String> = std::env::var("LISTEN_FDNAMES")
        .unwrap_or_default()
        .split(':')
        .map(ToOwned::to_owned)
        .collect();
    let mut sockets = ListenFd::from_env();
    let mut found = Handed::default();
    for index in 0..sockets.len() {
        let was_kept = names.get(index).is_some_and(|name| name == KEPT);
        if let Ok(Some(listener)) = sockets.take_unix_listener(index) {
            let is_control = names.get(index).is_some_and(|name| name == "control");
            let there = listener
                .local_addr()
                .is_ok_and(|address| address.as_pathname() == Some(control));
            listener.set_nonblocking(true)?;
            let socket = Socket::Unix(UnixListener::from_std(listener)?);
            if was_kept {
                found.kept.push(socket);
            } else if is_control || there {
                found.control = Some(socket);
            } else {
                found.public.push(socket);
            }
        } else if let Some(listener) = sockets.take_tcp_listener(index)? {
            listener.set_nonblocking(true)?;
            let socket = Socket::Tcp(TcpListener::from_std(listener)?);
            if was_kept {
                found.kept.push(socket);
            } else {
                found.public.push(socket);
            }
        }
    }
    Ok(found)
}
