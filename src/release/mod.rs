//! The only mover of `current`: the directories of a target, and what is live.
//!
//! ```text
//! PATH/current                     a relative link to releases/NAME; it changes by one rename(2), so that at any time
//!                                  and after any crash it is the old release or the new one, whole and on disk
//! PATH/releases/20261122T101500Z-1a2b3c4/   a release
//! PATH/releases/.tmp-ID/           what deployment ID is making
//! PATH/releases/.git-ID/           the history that the build of deployment ID may read
//! PATH/releases/.spare-NAME/        a copy of release NAME that the next one begins with
//! PATH/releases/.seal-NAME         what release NAME looked like when it was whole, until its deployment ends
//! PATH/releases/.gone-…/           what is being removed
//! PATH/shared/…                    what all releases share, linked into each
//! ```
//!
//! Whatever else is in there is left alone. One deployment at a time works on a target; that is the caller's business.

mod adopt;
mod current;
mod give;
mod prepare;
mod prune;
mod remove;
mod seal;
mod set_id;
mod shared;
mod times;
mod walk;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use crate::model::{CommitId, Timestamp};

pub use crate::model::{ReleaseName, ReleaseNameError};
pub use current::Current;
pub use prune::Keep;
pub use times::keep_times;

/// How a directory that a deployment is making begins.
const STAGING_PREFIX: &str = ".tmp-";

/// How the git directory for a build begins.
const HISTORY_PREFIX: &str = ".git-";

/// How the seal of a release begins.
const SEAL_PREFIX: &str = ".seal-";

/// How the spare copy of a release begins.
const SPARE_PREFIX: &str = ".spare-";

/// How a directory that is being removed begins.
const GONE_PREFIX: &str = ".gone-";

/// How the link that is about to become `current` begins.
const LINK_PREFIX: &str = ".current-";

/// How a copy that is about to become a shared entry begins.
const SEED_PREFIX: &str = ".seed-";

/// Why something could not be done to a target's directories.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// The system refused.
    #[error("{doing} {path}: {}", reason(cause))]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// The system's reason; it is in the text already, and so is no `source`.
        cause: io::Error,
    },
    /// Something is not as it has to be; the text says what, and what to do.
    #[error("{0}")]
    Obstacle(String),
}

impl ReleaseError {
    /// For `map_err`: the operation that failed, and its path.
    fn io<E: Into<io::Error>>(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(E) -> Self {
        let path = path.into();
        move |error| Self::Io {
            doing,
            path,
            cause: error.into(),
        }
    }
}

/// The system's reason, without Rust's `(os error 2)`.
fn reason(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => Errno::from_raw(number).desc().to_owned(),
        None => error.to_string(),
    }
}

/// The directories of one target.
#[derive(Debug, Clone)]
pub struct Layout {
    path: PathBuf,
}

impl Layout {
    /// The layout below a target's `path`. Nothing is looked at or made yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The target's `path`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `PATH/releases`
    pub fn releases(&self) -> PathBuf {
        self.path.join("releases")
    }

    /// `PATH/shared`
    pub fn shared(&self) -> PathBuf {
        self.path.join("shared")
    }

    /// `PATH/current`
    pub fn current_link(&self) -> PathBuf {
        self.path.join("current")
    }

    /// The directory of a release.
    pub fn release(&self, name: &ReleaseName) -> PathBuf {
        self.releases().join(name.as_str())
    }

    /// Where deployment `deployment` makes its release.
    pub fn staging(&self, deployment: i64) -> PathBuf {
        self.releases().join(format!("{STAGING_PREFIX}{deployment}"))
    }

    /// Where the build of deployment `deployment` finds the history.
    pub fn history(&self, deployment: i64) -> PathBuf {
        self.releases().join(format!("{HISTORY_PREFIX}{deployment}"))
    }

    /// Where the spare copy of a release is made after deployment `deployment`.
    pub fn staged_spare(&self, deployment: i64) -> PathBuf {
        self.releases().join(format!("{STAGING_PREFIX}{deployment}.spare"))
    }

    /// The spare copy of a release.
    pub fn spare(&self, name: &ReleaseName) -> PathBuf {
        self.releases().join(format!("{SPARE_PREFIX}{name}"))
    }

    /// A name for a release of that commit: later than `newest`, the newest that hookd knows of, even if the clock was set
    /// back since; of the next free second if a directory has that second's name already.
    pub fn name(
        &self,
        now: Timestamp,
        commit: &CommitId,
        newest: Option<&ReleaseName>,
    ) -> Result<ReleaseName, ReleaseError> {
        const SECOND: Duration = Duration::from_secs(1);
        let taken = self.list()?;
        let after = newest.and_then(ReleaseName::time).map(|time| time.after(SECOND));
        let mut time = after.map_or(now, |after| after.max(now));
        loop {
            let name = ReleaseName::new(time, commit);
            if taken.iter().all(|other| other.stamp() != name.stamp()) {
                return Ok(name);
            }
            time = time.after(SECOND);
        }
    }

    /// The releases that are there, newest first. Other names are no releases of hookd and are left out.
    pub fn list(&self) -> Result<Vec<ReleaseName>, ReleaseError> {
        let mut names: Vec<ReleaseName> = names_in(&self.releases())?
            .iter()
            .filter_map(|name| name.parse().ok())
            .collect();
        names.sort_unstable_by(|a, b| b.cmp(a));
        Ok(names)
    }

    /// Whether the directory of that release is there, and is a directory.
    pub fn is_intact(&self, name: &ReleaseName) -> bool {
        fs::symlink_metadata(self.release(name)).is_ok_and(|found| found.is_dir())
    }

    /// Gives what was staged its name. Nothing is ever replaced by it. [`Layout::seal`] brings it to the disk.
    pub fn publish(&self, staging: &Path, name: &ReleaseName) -> Result<PathBuf, ReleaseError> {
        let release = self.release(name);
        rename_to_new(staging, &release).map_err(ReleaseError::io("publishing the release as", &release))?;
        Ok(release)
    }
}

/// Renames, unless something has the new name already.
fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat2(AT_FDCWD, from, AT_FDCWD, to, RenameFlags::RENAME_NOREPLACE) {
        // Some network and FUSE file systems know no flags.
        Err(Errno::EINVAL | Errno::ENOSYS) if fs::symlink_metadata(to).is_err() => fs::rename(from, to),
        result => result.map_err(io::Error::from),
    }
}

/// Puts everything below `directory` on disk by one `syncfs`, which also tells of writes that failed since Linux 5.8 and
/// costs a fraction of an `fsync` for each file.
fn sync_tree(directory: &Path) -> Result<(), ReleaseError> {
    let open = File::open(directory).map_err(ReleaseError::io("opening", directory))?;
    nix::unistd::syncfs(&open).map_err(ReleaseError::io("writing to disk what is in", directory))
}

/// Puts the names in `directory` on disk.
fn sync_directory(directory: &Path) -> Result<(), ReleaseError> {
    let sync = || File::open(directory)?.sync_all();
    sync().map_err(ReleaseError::io("writing to disk the directory", directory))
}

/// The names in a directory, as far as they are text; `None` if there is no such directory.
fn names_in(directory: &Path) -> Result<Vec<String>, ReleaseError> {
    let read = || -> io::Result<Vec<String>> {
        let entries: Vec<fs::DirEntry> = match fs::read_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?.collect::<Result<_, _>>()?,
        };
        Ok(entries
            .iter()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect())
    };
    read().map_err(ReleaseError::io("reading the directory", directory))
}

/// A name that nothing else has: `prefix` and 16 random digits.
fn unique(prefix: &str) -> io::Result<String> {
    let random = getrandom::u64().map_err(io::Error::other)?;
    Ok(format!("{prefix}{random:016x}"))
}

/// Free bytes and free inodes for this user on the file system of `path`, or of its nearest parent that exists. File
/// systems without a fixed number of inodes (btrfs) have `u64::MAX` of them.
pub fn free_space(path: &Path) -> io::Result<(u64, u64)> {
    let existing = path
        .ancestors()
        .find(|parent| parent.exists())
        .unwrap_or(Path::new("/"));
    let found = nix::sys::statvfs::statvfs(existing)?;
    let inodes = if found.files() == 0 {
        u64::MAX
    } else {
        found.files_available()
    };
    Ok((found.blocks_available().saturating_mul(found.fragment_size()), inodes))
}
