//! A gate that a command of the configuration stops at: the test knows when it got there, and lets it go on.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;

use super::world::wait_until;

/// What `$DIR/gate NAME` does: nothing, unless that gate is shut; then it waits for the word.
const SCRIPT: &str = r#"#!/bin/sh
[ -e "${0%/*}/$1.shut" ] || exit 0
read -r word < "${0%/*}/$1.gate"
[ "$word" = go ]
"#;

/// Writes the program that commands call.
pub fn write_script(directory: &Path) {
    let path = directory.join("gate");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o755)
        .open(path)
        .unwrap();
    file.write_all(SCRIPT.as_bytes()).unwrap();
}

/// A gate, shut when it is made.
pub struct Gate {
    fifo: PathBuf,
    shut: PathBuf,
}

/// A command that stands at a gate.
pub struct Waiting<'a> {
    gate: &'a Gate,
    end: File,
}

impl Gate {
    pub fn new(directory: &Path, name: &str) -> Self {
        let gate = Self {
            fifo: directory.join(format!("{name}.gate")),
            shut: directory.join(format!("{name}.shut")),
        };
        nix::unistd::mkfifo(&gate.fifo, Mode::S_IRWXU).unwrap();
        gate.close();
        gate
    }

    /// Whoever comes now goes through.
    pub fn open(&self) {
        fs::remove_file(&self.shut).unwrap();
    }

    /// Whoever comes now has to wait.
    pub fn close(&self) {
        fs::write(&self.shut, "").unwrap();
    }

    /// Waits until a command stands at the gate.
    #[track_caller]
    pub fn reached(&self) -> Waiting<'_> {
        let mut end = None;
        wait_until("a command reaches the gate", || {
            // Without a reader this fails with ENXIO.
            let open = OpenOptions::new()
                .write(true)
                .custom_flags(OFlag::O_NONBLOCK.bits())
                .open(&self.fifo);
            match open {
                Ok(file) => end = Some(file),
                Err(error) => assert_eq!(error.raw_os_error(), Some(Errno::ENXIO as i32), "{error}"),
            }
            end.is_some()
        });
        Waiting {
            gate: self,
            end: end.unwrap(),
        }
    }
}

impl Waiting<'_> {
    /// Lets the command go on; the next one has to wait, too.
    #[track_caller]
    pub fn pass(mut self) {
        self.end.write_all(b"go\n").unwrap();
        // Otherwise the next call of `reached` could still find this one there.
        self.gone("the command at the gate goes on");
    }

    /// Lets the command go on, and whoever comes later.
    pub fn open(self) {
        self.gate.open();
        self.pass();
    }

    /// Waits until the command is no more, because somebody killed it.
    #[track_caller]
    pub fn killed(self) {
        self.gone("the command at the gate is killed");
    }

    #[track_caller]
    fn gone(&self, what: &str) {
        wait_until(what, || {
            let mut fds = [PollFd::new(self.end.as_fd(), PollFlags::empty())];
            poll(&mut fds, PollTimeout::ZERO).unwrap();
            fds[0]
                .revents()
                .is_some_and(|events| events.contains(PollFlags::POLLERR))
        });
    }
}
