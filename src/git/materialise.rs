//! Writes a plan into a new directory. libgit2's own checkout is slower, follows links, keeps setuid bits and knows no
//! submodules in a bare repository; this writes raw blobs, so `.gitattributes` has no say.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use git2::Repository;
use nix::sys::stat::{Mode, umask};

use super::folder::Folder;
use super::mirror::{Hold, Mirror};
use super::submodule::Plan;
use super::tree::{Item, Kind};
use super::worker::Reporter;
use super::{Bounds, GitError, GitErrorKind, Progress, ProgressPhase};

/// Inflating is what takes the time; beyond four threads the disk is the limit.
const THREADS_MAX: usize = 4;

/// Blobs above this size, bytes, are in memory one at a time; with their deltas they take up to three times as much.
const LARGE: usize = 8 << 20;

/// `PATH_MAX` of Linux: a longer target can't be a link's.
const LINK_MAX: usize = 4095;

/// Pointer files are shorter than this (git-lfs, docs/spec.md).
const LFS_MAX: usize = 1024;

/// First line of every pointer file (git-lfs, docs/spec.md).
const LFS_MARK: &[u8] = b"version https://git-lfs.github.com/spec/v1";

/// What commands of a deployment have, too: whatever the daemon was started with, a web server can read what is deployed.
pub(super) const UMASK: Mode = Mode::from_bits_truncate(0o022);

/// Writes the plan. The destination must not exist or be empty; a failure leaves it half-written. Returns files and
/// bytes.
pub(super) fn checkout(
    plan: &Plan,
    destination: &Path,
    refuse_lfs: bool,
    bounds: &Bounds,
    reporter: &Reporter,
) -> Result<(u64, u64), GitError> {
    umask(UMASK);
    prepare(destination)?;
    let root = Folder::open(destination)?;
    for directory in &plan.directories {
        root.make(directory).map_err(|errno| root.error(directory, errno))?;
    }
    let pointers = Pointers::new(refuse_lfs);
    let blobs = Blobs::new(plan, bounds, reporter)?;
    let bytes = blobs.each(|_, item, content| {
        let Kind::File { executable } = item.kind else {
            return Ok(0);
        };
        if pointers.found(item, content) {
            return Ok(0);
        }
        root.create(&item.path, executable, content)
            .map_err(|e| GitError::disk(&destination.join(&item.path), &e))?;
        Ok(content.len() as u64)
    })?;
    pointers.verdict()?;
    // Links come last: until here no path of the new directory can lead out of it.
    for item in plan.items.iter().filter(|i| i.kind == Kind::Link) {
        let target = blobs.link_target(item)?;
        root.link(&item.path, OsStr::from_bytes(&target))
            .map_err(|errno| root.error(&item.path, errno))?;
    }
    Ok((plan.items.len() as u64, bytes))
}

fn prepare(destination: &Path) -> Result<(), GitError> {
    let disk = |e: std::io::Error| GitError::disk(destination, &e);
    match fs::create_dir(destination) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        other => return other.map_err(disk),
    }
    let real = fs::symlink_metadata(destination).map_err(disk)?.is_dir();
    if !real || fs::read_dir(destination).map_err(disk)?.next().is_some() {
        let message = format!(
            "{} is in the way: a release needs a new or empty directory",
            destination.display()
        );
        return Err(GitError::new(GitErrorKind::Disk, message));
    }
    Ok(())
}

/// LFS pointers seen so far.
pub(super) struct Pointers {
    refuse: bool,
    seen: Mutex<Vec<PathBuf>>,
}

impl Pointers {
    pub(super) fn new(refuse: bool) -> Self {
        Self {
            refuse,
            seen: Mutex::new(Vec::new()),
        }
    }

    /// Notes a pointer; true if there was one that is to be refused.
    pub(super) fn found(&self, item: &Item, content: &[u8]) -> bool {
        let pointer = self.refuse && content.len() < LFS_MAX && content.starts_with(LFS_MARK);
        if pointer {
            locked(&self.seen).push(item.path.clone());
        }
        pointer
    }

    pub(super) fn verdict(&self) -> Result<(), GitError> {
        let seen = locked(&self.seen);
        let Some(first) = seen.iter().min() else { return Ok(()) };
        let message = match seen.len() {
            1 => format!("`{}` is a Git LFS pointer, not the file itself", first.display()),
            count => format!(
                "`{}` and {} more are Git LFS pointers, not the files themselves",
                first.display(),
                count - 1
            ),
        };
        Err(GitError::new(GitErrorKind::Lfs, message).hint(
            "hookd does not fetch LFS objects: commit the files themselves, \
                or set `lfs = \"keep\"` and fetch them in `build`",
        ))
    }
}

/// Reads the blobs of a plan, the mirrors being locked against change meanwhile.
pub(super) struct Blobs<'p> {
    plan: &'p Plan,
    reporter: &'p Reporter,
    mirrors: Vec<Mirror>,
    file_size: u64,
    /// Held while a large blob is in memory.
    large: Mutex<()>,
}

impl<'p> Blobs<'p> {
    pub(super) fn new(plan: &'p Plan, bounds: &Bounds, reporter: &'p Reporter) -> Result<Self, GitError> {
        // Once per file: a second lock of the same one by the same process would not fail, but need not be either.
        let mirrors = plan
            .sources
            .iter()
            .map(|path| Mirror::lock(path, Hold::Read))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            plan,
            reporter,
            mirrors,
            file_size: bounds.file_size,
            large: Mutex::new(()),
        })
    }

    /// Hands every item's content, with its index, to `work`, on a few threads; adds up what `work` returns. The first
    /// error ends it.
    pub(super) fn each(
        &self,
        work: impl Fn(usize, &Item, &[u8]) -> Result<u64, GitError> + Sync,
    ) -> Result<u64, GitError> {
        let (next, failed, sum) = (AtomicUsize::new(0), AtomicBool::new(false), AtomicU64::new(0));
        let error = Mutex::new(None);
        let run = || {
            let mut open: Vec<Option<Repository>> = self.mirrors.iter().map(|_| None).collect();
            while !failed.load(Ordering::Relaxed) {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(item) = self.plan.items.get(index) else { break };
                match self.read(&mut open, item, |content| work(index, item, content)) {
                    Ok(bytes) => self.report(index, sum.fetch_add(bytes, Ordering::Relaxed)),
                    Err(problem) => {
                        failed.store(true, Ordering::Relaxed);
                        locked(&error).get_or_insert(problem);
                    }
                }
            }
        };
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get().min(THREADS_MAX));
        std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(run))));
        let error = locked(&error).take();
        error.map_or(Ok(sum.into_inner()), Err)
    }

    /// The target that a link's blob names.
    pub(super) fn link_target(&self, item: &Item) -> Result<Vec<u8>, GitError> {
        let mut open: Vec<Option<Repository>> = self.mirrors.iter().map(|_| None).collect();
        self.read(&mut open, item, |content| {
            if content.is_empty() || content.len() > LINK_MAX || content.contains(&0) {
                let message = format!(
                    "the commit is refused: the target of the link `{}` is none",
                    item.path.display()
                );
                return Err(GitError::new(GitErrorKind::UnsafeTree, message));
            }
            Ok(content.to_vec())
        })
    }

    /// `open` has this thread's handles: a `Repository` must not be shared.
    fn read<T>(
        &self,
        open: &mut [Option<Repository>],
        item: &Item,
        work: impl FnOnce(&[u8]) -> Result<T, GitError>,
    ) -> Result<T, GitError> {
        let slot = &mut open[item.source];
        if slot.is_none() {
            *slot = Some(self.mirrors[item.source].open()?);
        }
        let Some(repo) = slot else {
            return Err(GitError::new(GitErrorKind::Other, "no repository"));
        };
        let failed =
            |e: git2::Error| GitError::from_git2(&e, &format!("reading `{}` from the mirror", item.path.display()));
        let odb = repo.odb().map_err(failed)?;
        let size = odb.read_header(item.blob).map_err(failed)?.0;
        if size as u64 > self.file_size {
            let message = format!(
                "`{}` has {} MiB, more than the {} MiB that a file may have",
                item.path.display(),
                size >> 20,
                self.file_size >> 20
            );
            return Err(GitError::new(GitErrorKind::UnsafeTree, message).hint("raise `file_size` in `[limits]`"));
        }
        // One at a time: libgit2 can only inflate a packed blob as a whole.
        let _alone = (size > LARGE).then(|| locked(&self.large));
        let object = odb.read(item.blob).map_err(failed)?;
        work(object.data())
    }

    fn report(&self, done: usize, bytes: u64) {
        let total = self.plan.items.len() as u64;
        self.reporter.progress(Progress {
            phase: ProgressPhase::Writing,
            done: done as u64,
            total,
            bytes,
        });
    }
}

/// A panic of another thread has already decided the outcome.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
