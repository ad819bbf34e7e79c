//! Writes a plan into a new directory. libgit2's own checkout is slower, follows links, keeps setuid bits and knows no
//! submodules in a bare repository; this writes raw blobs, so `.gitattributes` has no say.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::fchown;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::SystemTime;

use git2::Repository;
use nix::libc::{S_IFDIR, S_IFMT, S_IFREG};
use nix::sys::stat::{Mode, fchmod, fstat, umask};
use nix::unistd::geteuid;

use super::copy::{Base, Near, copied, look, set_time, time_of_same};
use super::folder::Folder;
use super::mirror::{Hold, Mirror};
use super::report::Reporter;
use super::snapshot;
use super::spare;
use super::submodule::Plan;
use super::tree::{Item, Kind};
use super::{Bounds, CheckedOut, GitError, GitErrorKind, Progress, ProgressPhase, Reuse};
use crate::manifest::{Entry, Look, Manifest};

/// Inflating is what takes the time; beyond four threads the disk is the limit.
const THREADS_MAX: usize = 4;

/// How many items a thread takes at once.
const AT_ONCE: usize = 16;

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

/// Makes the plan's tree, from what there is of it and the mirrors' blobs. The destination must not exist or be empty; a failure
/// leaves it half-written.
pub(super) fn checkout(
    plan: &Plan,
    destination: &Path,
    refuse_lfs: bool,
    reuse: &Reuse,
    bounds: &Bounds,
    reporter: &Reporter,
) -> Result<CheckedOut, GitError> {
    umask(UMASK);
    let making = Making {
        plan,
        destination,
        reuse,
        bounds,
        base: Base::open(reuse, refuse_lfs),
        pointers: Pointers::new(refuse_lfs),
        blobs: Blobs::new(plan, bounds, reporter)?,
    };
    if let Some(made) = spare::adopt(&making)? {
        return Ok(made);
    }
    let is_volume = reuse.volume_least.is_some_and(|least| plan.items.len() >= least);
    prepare(destination, is_volume)?;
    let root = Folder::open(destination)?;
    let closed = Closed::new(&root)?;
    for directory in &plan.directories {
        root.make(directory).map_err(|errno| root.error(directory, errno))?;
    }
    let all: Vec<usize> = (0..plan.items.len()).collect();
    let mut made = making.write(&root, &all)?;
    making.finish(&root, &mut made)?;
    closed.open()?;
    Ok(made.sum())
}

/// A tree that is being made.
pub(super) struct Making<'p> {
    pub plan: &'p Plan,
    pub destination: &'p Path,
    pub reuse: &'p Reuse,
    pub bounds: &'p Bounds,
    pub base: Option<Base>,
    pub pointers: Pointers,
    pub blobs: Blobs<'p>,
}

/// What was made.
#[derive(Default)]
pub(super) struct Made {
    pub entries: Vec<Entry>,
    pub reused: u64,
}

impl Made {
    pub(super) fn sum(&self) -> CheckedOut {
        let is_file = |entry: &&Entry| entry.look.mode & S_IFMT == S_IFREG;
        let is_directory = |entry: &&Entry| entry.look.mode & S_IFMT == S_IFDIR;
        CheckedOut {
            files: (self.entries.len() - self.entries.iter().filter(is_directory).count()) as u64,
            bytes: self.entries.iter().filter(is_file).map(|entry| entry.look.size).sum(),
            reused: self.reused,
        }
    }
}

/// What a thread has at hand.
#[derive(Default)]
struct Hands {
    near: Near,
    near_base: Near,
    made: Made,
}

impl Making<'_> {
    /// Whose all but the top directory is.
    pub(super) fn uid(&self) -> u32 {
        self.reuse.owner.map_or(geteuid().as_raw(), |owner| owner.0)
    }

    /// Makes these items, which are not there, in directories that are; links last: until then no path of the new directory can
    /// lead out of it.
    pub(super) fn write(&self, root: &Folder, which: &[usize]) -> Result<Made, GitError> {
        let hands = self.blobs.run(which, |hands: &mut Hands, reader, _, item| {
            let Kind::File { executable } = item.kind else {
                return Ok(0);
            };
            let (entry, copied) = self.file(hands, reader, root, item, executable)?;
            let size = entry.as_ref().map_or(0, |entry| entry.look.size);
            hands.made.entries.extend(entry);
            hands.made.reused += u64::from(copied);
            Ok(size)
        })?;
        self.pointers.verdict()?;
        let mut made = Made::default();
        for hands in hands {
            made.entries.extend(hands.made.entries);
            made.reused += hands.made.reused;
        }
        let mut reader = self.blobs.reader();
        let links = which.iter().map(|&at| &self.plan.items[at]);
        for item in links.filter(|item| item.kind == Kind::Link) {
            let target = reader.link_target(item)?;
            let failed = |errno| root.error(&item.path, errno);
            let (parent, name) = root.parent(&item.path).map_err(failed)?;
            parent
                .link(Path::new(name), OsStr::from_bytes(&target))
                .map_err(failed)?;
            if let Some(owner) = self.reuse.owner {
                parent.give(name, owner).map_err(failed)?;
            }
            let look = look(parent.stat(name)).map_err(failed)?;
            made.entries.push(entry_of(item, look));
        }
        Ok(made)
    }

    /// Makes a file; `None` if it is a pointer that is to be refused. Also whether it was copied.
    fn file(
        &self,
        hands: &mut Hands,
        reader: &mut Reader<'_, '_>,
        root: &Folder,
        item: &Item,
        executable: bool,
    ) -> Result<(Option<Entry>, bool), GitError> {
        let failed = |errno| root.error(&item.path, errno);
        let disk = |e: io::Error| GitError::disk(&self.destination.join(&item.path), &e);
        let (parent, name) = hands.near.parent(root, &item.path).map_err(failed)?;
        let mut file = parent.create_empty(Path::new(name), executable).map_err(disk)?;
        let copied = self.copy(&mut hands.near_base, item, &file);
        let is_pointer = !copied
            && reader.read(item, |content| {
                if self.pointers.found(item, content) {
                    return Ok(true);
                }
                let kept = self.time(&mut hands.near_base, &item.path, content);
                let mut write = || -> io::Result<()> {
                    file.set_len(0)?;
                    file.rewind()?;
                    file.write_all(content)?;
                    kept.map_or(Ok(()), |time| set_time(&file, time))
                };
                write().map_err(disk)?;
                Ok(false)
            })?;
        if is_pointer {
            return Ok((None, false));
        }
        if let Some((uid, gid)) = self.reuse.owner {
            fchown(&file, Some(uid), Some(gid)).map_err(disk)?;
        }
        let look = look(fstat(&file)).map_err(failed)?;
        Ok((Some(entry_of(item, look)), copied))
    }

    /// Copies the file from the release before, if it is there as hookd made it.
    fn copy(&self, near: &mut Near, item: &Item, file: &File) -> bool {
        let Some((base, (manifest, entry))) = self.base.as_ref().and_then(|base| Some((base, base.same(item)?))) else {
            return false;
        };
        if entry.look.size > self.bounds.file_size {
            return false;
        }
        let source = near
            .parent(base.folder(), &item.path)
            .and_then(|(parent, name)| parent.open_file(name));
        source.is_ok_and(|source| copied(&source, manifest, entry, file))
    }

    /// The time that the file has in the release before, if it has the same content there.
    pub(super) fn time(&self, near: &mut Near, path: &Path, content: &[u8]) -> Option<SystemTime> {
        let base = self.base.as_ref()?;
        let (parent, name) = near.parent(base.folder(), path).ok()?;
        time_of_same(parent, name, content)
    }

    /// Adds the directories, and writes the manifest if there is to be one.
    pub(super) fn finish(&self, root: &Folder, made: &mut Made) -> Result<(), GitError> {
        for directory in &self.plan.directories {
            let failed = |errno| root.error(directory, errno);
            let (parent, name) = root.parent(directory).map_err(failed)?;
            if let Some(owner) = self.reuse.owner {
                parent.give(name, owner).map_err(failed)?;
            }
            made.entries.push(Entry {
                path: directory.clone(),
                blob: None,
                look: look(parent.stat(name)).map_err(failed)?,
                source: None,
            });
        }
        let Some(path) = &self.reuse.manifest else {
            return Ok(());
        };
        let manifest = Manifest::close(std::mem::take(&mut made.entries), self.pointers.refuse);
        let manifest = manifest.map_err(|e| GitError::disk(path, &e))?;
        if manifest.write(path).is_err() {
            // Without it the next release is written from git alone.
            let _ = fs::remove_file(path);
        }
        made.entries = manifest.entries;
        Ok(())
    }
}

fn entry_of(item: &Item, look: Look) -> Entry {
    Entry {
        path: item.path.clone(),
        blob: item.blob.as_bytes().try_into().ok(),
        look,
        source: None,
    }
}

/// A directory that nobody else may enter until it is opened: what is written in there is known.
pub(super) struct Closed<'f> {
    root: &'f Folder,
    mode: Mode,
}

impl<'f> Closed<'f> {
    pub(super) fn new(root: &'f Folder) -> Result<Self, GitError> {
        let failed = |errno| root.error(Path::new(""), errno);
        let mode = Mode::from_bits_truncate(root.stat_itself().map_err(failed)?.st_mode & 0o7777);
        fchmod(root, Mode::S_IRWXU).map_err(failed)?;
        Ok(Self { root, mode })
    }

    /// Gives it the mode back that it had.
    pub(super) fn open(self) -> Result<(), GitError> {
        fchmod(self.root, self.mode).map_err(|errno| self.root.error(Path::new(""), errno))
    }
}

fn prepare(destination: &Path, is_volume: bool) -> Result<(), GitError> {
    let disk = |e: io::Error| GitError::disk(destination, &e);
    let made = match (destination.parent(), destination.file_name()) {
        (Some(parent), Some(name)) if is_volume => {
            let parent = Folder::open(parent)?;
            snapshot::make_volume(&parent, name).map_err(io::Error::from)
        }
        _ => fs::create_dir(destination),
    };
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
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

    /// Whether pointers are refused.
    pub(super) fn refuses(&self) -> bool {
        self.refuse
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
        let all: Vec<usize> = (0..self.plan.items.len()).collect();
        let sums = self.run(&all, |sum: &mut u64, reader, index, item| {
            let bytes = reader.read(item, |content| work(index, item, content))?;
            *sum += bytes;
            Ok(bytes)
        })?;
        Ok(sums.into_iter().sum())
    }

    /// Hands these items to `work`, on a few threads, each of which has a state and a reader of its own; returns the states.
    /// `work` returns bytes, for the progress. The first error ends it.
    pub(super) fn run<S: Default + Send>(
        &self,
        which: &[usize],
        work: impl Fn(&mut S, &mut Reader<'_, 'p>, usize, &Item) -> Result<u64, GitError> + Sync,
    ) -> Result<Vec<S>, GitError> {
        let (next, failed, sum) = (AtomicUsize::new(0), AtomicBool::new(false), AtomicU64::new(0));
        let error = Mutex::new(None);
        let run = || {
            let (mut reader, mut state) = (self.reader(), S::default());
            while !failed.load(Ordering::Relaxed) {
                // Neighbours, which share a directory.
                let first = next.fetch_add(AT_ONCE, Ordering::Relaxed);
                let Some(some) = which
                    .get(first..which.len().min(first + AT_ONCE))
                    .filter(|some| !some.is_empty())
                else {
                    break;
                };
                for &index in some {
                    match work(&mut state, &mut reader, index, &self.plan.items[index]) {
                        Ok(bytes) => self.report(first, which.len(), sum.fetch_add(bytes, Ordering::Relaxed)),
                        Err(problem) => {
                            failed.store(true, Ordering::Relaxed);
                            locked(&error).get_or_insert(problem);
                            return state;
                        }
                    }
                }
            }
            state
        };
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get().min(THREADS_MAX));
        let threads = threads.min(which.len().div_ceil(AT_ONCE));
        let states = std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(run)).collect();
            let mut states = vec![run()];
            for other in others {
                states.extend(other.join());
            }
            states
        });
        let error = locked(&error).take();
        error.map_or(Ok(states), Err)
    }

    /// A reader for one thread.
    pub(super) fn reader(&self) -> Reader<'_, 'p> {
        Reader {
            blobs: self,
            open: self.mirrors.iter().map(|_| None).collect(),
        }
    }

    fn report(&self, done: usize, total: usize, bytes: u64) {
        self.reporter.progress(Progress {
            phase: ProgressPhase::Writing,
            done: done as u64,
            total: total as u64,
            bytes,
        });
    }
}

/// Reads blobs, with handles of its own: a `Repository` must not be shared.
pub(super) struct Reader<'b, 'p> {
    blobs: &'b Blobs<'p>,
    open: Vec<Option<Repository>>,
}

impl Reader<'_, '_> {
    /// The target that a link's blob names.
    pub(super) fn link_target(&mut self, item: &Item) -> Result<Vec<u8>, GitError> {
        self.read(item, |content| {
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

    /// Hands the content of an item to `work`.
    pub(super) fn read<T>(
        &mut self,
        item: &Item,
        work: impl FnOnce(&[u8]) -> Result<T, GitError>,
    ) -> Result<T, GitError> {
        let slot = &mut self.open[item.source];
        if slot.is_none() {
            *slot = Some(self.blobs.mirrors[item.source].open()?);
        }
        let Some(repo) = slot else {
            return Err(GitError::new(GitErrorKind::Other, "no repository"));
        };
        let failed =
            |e: git2::Error| GitError::from_git2(&e, &format!("reading `{}` from the mirror", item.path.display()));
        let odb = repo.odb().map_err(failed)?;
        let size = odb.read_header(item.blob).map_err(failed)?.0;
        if size as u64 > self.blobs.file_size {
            let message = format!(
                "`{}` has {} MiB, more than the {} MiB that a file may have",
                item.path.display(),
                size >> 20,
                self.blobs.file_size >> 20
            );
            return Err(GitError::new(GitErrorKind::UnsafeTree, message).hint("raise `file_size` in `[limits]`"));
        }
        // One at a time: libgit2 can only inflate a packed blob as a whole.
        let _alone = (size > LARGE).then(|| locked(&self.blobs.large));
        let object = odb.read(item.blob).map_err(failed)?;
        work(object.data())
    }
}

/// A panic of another thread has already decided the outcome.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
