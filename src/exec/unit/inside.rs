//! Inside of the unit: its main process, sandboxed by systemd, asks for the order and does as the supervisor does.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use super::counters::Group;
use super::handover::{self, Files};
use super::place;
use crate::exec::wire::{Order, PAYLOAD_VARIABLE};

/// The payload's name in the unit's own `/tmp`.
const PAYLOAD_FILE: &str = "hookd-payload.json";

/// Where programs look for the address of the system bus (`sd_bus_open_system(3)`).
const BUS_VARIABLE: &str = "DBUS_SYSTEM_BUS_ADDRESS";

/// Entries can be listed, made and removed by the group.
const GROUP_MODE: u32 = 0o070;

/// The order, and what came with it.
pub(in crate::exec) struct Inside {
    /// The other half of the supervisor.
    pub control: BufReader<UnixStream>,
    /// What to do.
    pub order: Order,
    /// Standard output and error of the command.
    pub output: (OwnedFd, OwnedFd),
    /// Kept open: a lock is on it.
    pub lifeline: Option<OwnedFd>,
    /// Counts what the kernel does to the group.
    pub group: Group,
}

impl Inside {
    /// Asks for it, at the socket in the instance's directory.
    pub fn ask(directory: &Path) -> io::Result<Self> {
        let control = UnixStream::connect(directory.join(place::SOCKET))?;
        let mut files = handover::receive(&control)?;
        let mut control = BufReader::new(control);
        let mut line = String::new();
        control.read_line(&mut line)?;
        let mut order: Order = serde_json::from_str(&line)?;
        if let Some(payload) = files.take_payload() {
            let file = copy(payload)?;
            let name = file.to_string_lossy().into_owned();
            order.start.environment.push((PAYLOAD_VARIABLE.to_owned(), name));
        }
        if order.bus {
            let address = bus(&control)?;
            order.start.environment.push((BUS_VARIABLE.to_owned(), address));
        }
        // `CacheDirectory=`: the only place of its own that outlives the command, and so its home.
        order.start.home = std::env::var("CACHE_DIRECTORY").ok();
        let Files {
            stdout,
            stderr,
            lifeline,
            ..
        } = files;
        Ok(Self {
            control,
            order,
            output: (stdout, stderr),
            lifeline,
            group: Group::own(),
        })
    }
}

/// Lets the group into directories that this user made in the release with a mode of their own, as archives and package
/// managers do: so that the daemon can remove them one day.
pub(in crate::exec) fn open_directories(directory: &Path) {
    let me = geteuid().as_raw();
    let mut left = vec![directory.to_owned()];
    while let Some(directory) = left.pop() {
        // What can't be read or changed is told when it can't be removed.
        let Ok(entries) = fs::read_dir(&directory) else {
            continue;
        };
        for entry in entries.flatten() {
            let Ok(found) = entry.metadata() else { continue };
            if !found.is_dir() {
                continue;
            }
            let mode = found.mode() & 0o7777;
            if found.uid() == me && mode & GROUP_MODE != GROUP_MODE {
                let _ = fs::set_permissions(entry.path(), fs::Permissions::from_mode(mode | GROUP_MODE));
            }
            left.push(entry.path());
        }
    }
}

/// Listens in the place of the system bus, where only this unit finds it, and lets the other half of the supervisor answer.
/// Gives the address.
fn bus(control: &BufReader<UnixStream>) -> io::Result<String> {
    let directory = tempfile::Builder::new().prefix("hookd-").tempdir()?.keep();
    let path = directory.join("bus");
    let listener = UnixListener::bind(&path)?;
    handover::send_one(control.get_ref(), listener.as_fd())?;
    Ok(format!("unix:path={}", path.display()))
}

/// The daemon's file is out of sight in here; what is read of it goes to a file that only this unit sees.
fn copy(mut payload: File) -> io::Result<PathBuf> {
    let path = std::env::temp_dir().join(PAYLOAD_FILE);
    let mut options = File::options();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&path)?;
    io::copy(&mut payload, &mut file)?;
    file.flush()?;
    Ok(path)
}
