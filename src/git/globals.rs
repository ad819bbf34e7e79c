//! libgit2's process-wide settings, the priority of a worker, and subvolumes: what of git takes unsafe code. The settings are made by
//! the worker process, before it has a second thread and before any other call into libgit2.
#![allow(unsafe_code)]

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use git2::{ConfigLevel, Error, opts};
use libgit2_sys as raw;
use nix::errno::Errno;
use nix::{ioctl_write_ptr, libc};

use super::transport::{self, CONNECT};

/// A place where no configuration can be.
const NOWHERE: &str = "/nonexistent";

/// How much of a pack is mapped at once, bytes, and of all packs together: what is mapped counts as the worker's memory, too.
const WINDOW: (usize, usize) = (32 << 20, 256 << 20);

/// The least priority (see setpriority(2)).
const NICEST: libc::c_int = 19;

/// For one thread (see `ioprio_set(2)`).
const IOPRIO_WHO_PROCESS: libc::c_int = 1;

/// Class 3, idle: disk time that nobody else wants.
const IOPRIO_IDLE: libc::c_int = 3 << 13;

/// Room for a name and its final NUL (`BTRFS_PATH_NAME_MAX`).
const VOLUME_NAME: usize = 4088;

/// What the requests for subvolumes take (`struct btrfs_ioctl_vol_args`, Linux, include/uapi/linux/btrfs.h).
#[repr(C)]
struct VolumeArguments {
    fd: i64,
    name: [u8; VOLUME_NAME],
}

ioctl_write_ptr!(snap_create, 0x94, 1, VolumeArguments);
ioctl_write_ptr!(subvol_create, 0x94, 14, VolumeArguments);

/// Sets what is the same for all requests.
pub(super) fn set() -> Result<(), Error> {
    // SHA-1 of every blob read costs a third of a checkout; packs are hashed when they come in, and zlib has a
    // checksum.
    opts::strict_hash_verification(false);
    // SAFETY (both): the setters write plain globals without a lock, so nobody may read or write them meanwhile; the
    // process has this one thread (see the module's first lines). No pack is open yet.
    unsafe { opts::set_mwindow_size(WINDOW.0)? };
    unsafe { opts::set_mwindow_mapped_limit(WINDOW.1)? };
    for scheme in ["http", "https"] {
        // SAFETY: changes a global list of transports, as above; nothing is connected to yet, and nothing is registered later.
        unsafe { git2::transport::register(scheme, transport::open)? };
    }
    for level in [
        ConfigLevel::ProgramData,
        ConfigLevel::System,
        ConfigLevel::XDG,
        ConfigLevel::Global,
    ] {
        // SAFETY: writes a global list of paths, as above. Keeps `url.*.insteadOf`, `core.autocrlf` and the like of the
        // machine's git configuration out.
        unsafe { opts::set_search_path(level, NOWHERE)? };
    }
    // SAFETY: a plain global, as above. The ownership check protects against programs named in a foreign repository's
    // configuration; libgit2 runs none, and local remotes often belong to somebody else.
    unsafe { opts::set_verify_owner_validation(false)? };
    // SAFETY: the option takes one int, which is what is passed; a plain global, as above; libgit2 was initialised by
    // the calls before. Makes the mirror survive a power cut.
    let code = unsafe { raw::git_libgit2_opts(raw::GIT_OPT_ENABLE_FSYNC_GITDIR.cast_signed(), 1 as std::ffi::c_int) };
    if code < 0 {
        return Err(Error::last_error(code));
    }
    Ok(())
}

/// Lets this thread run, and reach the disk, when nobody else wants to. What the kernel refuses it does without.
pub(super) fn be_idle() {
    // SAFETY (both): system calls that take plain numbers and touch no memory of this process; 0 is the calling thread.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICEST) };
    unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_IDLE) };
}

/// Makes a subvolume of that name in a directory of a btrfs, which the caller has made sure of.
pub(super) fn make_subvolume(parent: &impl AsFd, name: &OsStr) -> Result<(), Errno> {
    let arguments = volume(0, name)?;
    // SAFETY: the descriptor is open as long as `parent` is borrowed; the kernel reads the whole structure, which has the size that the
    // request's number says, and keeps nothing of it.
    unsafe { subvol_create(parent.as_fd().as_raw_fd(), &raw const arguments) }.map(drop)
}

/// Makes a snapshot of the subvolume `of`, under that name in a directory of the same btrfs.
pub(super) fn snapshot(of: &impl AsFd, parent: &impl AsFd, name: &OsStr) -> Result<(), Errno> {
    let arguments = volume(of.as_fd().as_raw_fd().into(), name)?;
    // SAFETY: as above; `of`, whose number is in the structure, is borrowed as long.
    unsafe { snap_create(parent.as_fd().as_raw_fd(), &raw const arguments) }.map(drop)
}

fn volume(fd: i64, name: &OsStr) -> Result<VolumeArguments, Errno> {
    let (bytes, mut arguments) = (
        name.as_bytes(),
        VolumeArguments {
            fd,
            name: [0; VOLUME_NAME],
        },
    );
    let place = arguments.name[..VOLUME_NAME - 1].get_mut(..bytes.len());
    place.ok_or(Errno::ENAMETOOLONG)?.copy_from_slice(bytes);
    Ok(arguments)
}

/// How long an ssh server may say nothing. Before the second thread begins, too.
pub(super) fn limit(silence: Duration) -> Result<(), Error> {
    let connect = milliseconds(CONNECT.min(silence));
    let server = milliseconds(silence);
    // SAFETY (both): as for `set`. They go together: the first alone leaves sockets that never wait (libgit2 issue 7072).
    unsafe { opts::set_server_connect_timeout_in_milliseconds(connect)? };
    unsafe { opts::set_server_timeout_in_milliseconds(server)? };
    Ok(())
}

fn milliseconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX).max(1)
}
