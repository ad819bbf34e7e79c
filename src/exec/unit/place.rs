//! The directory of an instance: where its unit finds what it may write, and the socket at which it asks for its order.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

use super::{INSTANCE_MAX, Unit, UnitName, files_group};

/// Where the templates look, below the daemon's own `RuntimeDirectory=`.
const RUN_DIR: &str = "/run/hookd/run";

/// The socket in an instance's directory.
pub(super) const SOCKET: &str = "order";

/// The instance's directory. Only this user writes there, and nobody in any of the units.
pub(super) fn directory(name: &UnitName) -> PathBuf {
    Path::new(RUN_DIR).join(name.instance())
}

/// An instance's directory, laid out for one command.
pub(super) struct Place {
    directory: PathBuf,
    /// At which the unit asks for its order.
    pub(super) listener: UnixListener,
}

impl Place {
    /// Lays it out. `foreign`: the unit runs as another user than this process.
    pub(super) fn lay_out(unit: &Unit, foreign: bool) -> io::Result<Self> {
        if unit.name.instance().len() > INSTANCE_MAX {
            return Err(io::Error::other("the names of repo and target are too long together"));
        }
        let directory = directory(&unit.name);
        fs::create_dir_all(&directory)?;
        if let Some(group) = foreign.then(files_group).flatten() {
            chown(&directory, None, Some(group))?;
        }
        // Strangers don't even get to the socket.
        fs::set_permissions(
            &directory,
            fs::Permissions::from_mode(if foreign { 0o750 } else { 0o700 }),
        )?;
        for (name, path) in [("release", &unit.release), ("shared", &unit.shared)] {
            let link = directory.join(name);
            remove(&link)?;
            // In place there is no `shared`, and what has no directory yet gets none by being writable.
            symlink(if path.is_dir() { path } else { &unit.release }, link)?;
        }
        let socket = directory.join(SOCKET);
        remove(&socket)?;
        let listener = UnixListener::bind(&socket)?;
        // Whoever else connects is told nothing.
        fs::set_permissions(&socket, fs::Permissions::from_mode(if foreign { 0o666 } else { 0o600 }))?;
        Ok(Self { directory, listener })
    }

    /// The connection was made.
    pub(super) fn close(&self) {
        // What stays goes with the directory.
        let _ = fs::remove_file(self.directory.join(SOCKET));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What stays is replaced by the next command, and gone with the daemon's runtime directory.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
