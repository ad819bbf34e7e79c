//! A spare copy of the live release: made at leisure after a deployment, so that the next one only has to change in it what the
//! commit changes.
//!
//! ```text
//! SPARE/tree        the copy; nobody but hookd's user can enter SPARE
//! SPARE/manifest    what it looked like when all of it was on the disk
//! ```
//!
//! Each file in it was compared with the hash that git knows it by. A spare to which anything was done is thrown away. A kill or a
//! power cut leaves a `SPARE` that is half made under its staging name, or has no whole manifest: both are swept.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use git2::{ObjectType, Oid};
use nix::errno::Errno;
use nix::libc::{S_IFDIR, S_IFLNK, S_IFMT, S_IFREG};
use nix::sys::stat::{fstat, umask};
use nix::unistd::geteuid;

use super::copy::{Known, Near, copy_all, look, set_time};
use super::folder::Folder;
use super::globals;
use super::materialise::{Closed, Making, UMASK};
use super::report::Reporter;
use super::snapshot;
use super::{CheckedOut, GitError, Progress, ProgressPhase, Worth};
use crate::manifest::{BlobId, Entry, Look, Manifest, is_believed, tick};

/// The copy, in the spare's directory.
const TREE: &str = "tree";

/// Its manifest.
const MANIFEST: &str = "manifest";

/// How long a tick of the clock is waited for: most take 1 to 10 ms.
const TICK: Duration = Duration::from_millis(1);

/// Makes the spare the plan's tree; `None` if there is no spare, or something was done to it: then it is gone, and nothing else is
/// changed.
pub(super) fn adopt(making: &Making<'_>) -> Result<Option<CheckedOut>, GitError> {
    let Some(spare) = &making.reuse.spare else {
        return Ok(None);
    };
    let found = Spare::open(spare, making).or_else(|| Spare::take(spare, making));
    let made = match found {
        Some(spare) if fs::symlink_metadata(making.destination).is_err() => spare.adopt(making),
        _ => Ok(None),
    };
    // What is left of it is of no use; if it can't be removed now, the next sweep removes it.
    let _ = fs::remove_dir_all(spare);
    made
}

/// A spare to which nothing was done.
struct Spare {
    tree: PathBuf,
    known: Known,
    /// Indices of files whose original has changed since.
    strayed: Vec<usize>,
}

impl Spare {
    fn open(path: &Path, making: &Making<'_>) -> Option<Self> {
        let (tree, manifest) = (path.join(TREE), Manifest::read(&path.join(MANIFEST))?);
        let root = Folder::open_real(&tree).ok()?;
        if !is_believed(&root) || (making.pointers.refuses() && !manifest.without_pointers) {
            return None;
        }
        let half = manifest.entries.len() / 2;
        let look = |range: std::ops::Range<usize>| look_through(&manifest, range, &root, making);
        let strayed = std::thread::scope(|scope| {
            let other = scope.spawn(|| look(half..manifest.entries.len()));
            let mut strayed = look(0..half)?;
            strayed.extend(other.join().ok()??);
            Some(strayed)
        })?;
        let known = Known::new(manifest);
        Some(Self { tree, known, strayed })
    }

    /// Makes a spare of the release before, if that takes no more than a snapshot.
    fn take(path: &Path, making: &Making<'_>) -> Option<Self> {
        // Of one to which something was done.
        let _ = fs::remove_dir_all(path);
        making.reuse.volume_least?;
        let original = Manifest::read(making.reuse.previous_manifest.as_deref()?)?;
        let fits = |entry: &Entry| entry.look.uid == making.uid() && entry.look.size <= making.bounds.file_size;
        if (making.pointers.refuses() && !original.without_pointers) || !original.entries.iter().all(fits) {
            return None;
        }
        DirBuilder::new().mode(0o700).create(path).ok()?;
        let tree = path.join(TREE);
        let entries = snapshot::take(&original, making.base.as_ref()?.folder(), &tree)?;
        let known = Known::new(close(entries, original.without_pointers, &tree).ok()?);
        let strayed = Vec::new();
        Some(Self { tree, known, strayed })
    }

    fn adopt(&self, making: &Making<'_>) -> Result<Option<CheckedOut>, GitError> {
        if fs::rename(&self.tree, making.destination).is_err() {
            return Ok(None);
        }
        let disk = |errno: Errno| GitError::disk(making.destination, &errno.into());
        let root = Folder::open_real(making.destination).map_err(disk)?;
        let closed = Closed::new(&root)?;
        let Ok((kept, which)) = self.make_room(&root, making) else {
            // Somebody was quicker than the look at it.
            fs::remove_dir_all(making.destination).map_err(|e| GitError::disk(making.destination, &e))?;
            return Ok(None);
        };
        let mut made = making.write(&root, &which)?;
        made.reused += kept.len() as u64;
        made.entries.extend(kept);
        making.finish(&root, &mut made)?;
        closed.open()?;
        Ok(Some(made.sum()))
    }

    /// Removes what the plan lacks or has otherwise, and makes the directories that it has more. Returns the files that stay, and
    /// what of the plan is to be written.
    fn make_room(&self, root: &Folder, making: &Making<'_>) -> Result<(Vec<Entry>, Vec<usize>), Errno> {
        let entries = &self.known.manifest.entries;
        let (mut stays, mut which) = (vec![false; entries.len()], Vec::new());
        for (index, item) in making.plan.items.iter().enumerate() {
            match self.known.place_of(item) {
                Some(at) => stays[at] = true,
                None => which.push(index),
            }
        }
        let is_directory = |entry: &Entry| entry.look.mode & S_IFMT == S_IFDIR;
        let wanted: HashSet<&OsStr> = making.plan.directories.iter().map(|path| path.as_os_str()).collect();
        let there = entries.iter().filter(|entry| is_directory(entry));
        let there: HashSet<&OsStr> = there.map(|entry| entry.path.as_os_str()).collect();
        let kept = self.keep_times(root, making, &stays)?;
        // Children before parents.
        for (_, entry) in entries.iter().enumerate().rev().filter(|(at, _)| !stays[*at]) {
            if entry.path.as_os_str().is_empty() || (is_directory(entry) && wanted.contains(entry.path.as_os_str())) {
                continue;
            }
            let (parent, name) = root.parent(&entry.path)?;
            let gone = if is_directory(entry) {
                parent.remove_empty(name)
            } else {
                parent.remove(name)?
            };
            if !gone {
                return Err(Errno::ENOTEMPTY);
            }
        }
        let missing = making.plan.directories.iter();
        for directory in missing.filter(|path| !there.contains(path.as_os_str())) {
            let (parent, name) = root.parent(directory)?;
            parent.make(Path::new(name))?;
        }
        Ok((kept, which))
    }

    /// The entries that stay. A file whose original was written to or touched since gets the time that it would have if it were
    /// written anew.
    fn keep_times(&self, root: &Folder, making: &Making<'_>, stays: &[bool]) -> Result<Vec<Entry>, Errno> {
        let entries = self.known.manifest.entries.iter().enumerate();
        let mut kept = Vec::with_capacity(entries.len());
        let (mut near, mut near_base) = (Near::default(), Near::default());
        for (at, entry) in entries.filter(|(at, _)| stays[*at]) {
            let mut entry = Entry {
                source: None,
                ..entry.clone()
            };
            if self.strayed.binary_search(&at).is_ok() && entry.look.mode & S_IFMT == S_IFREG {
                let (parent, name) = near.parent(root, &entry.path)?;
                let file = parent.open_file(name)?;
                let mut content = Vec::new();
                (&file).read_to_end(&mut content).map_err(|_| Errno::EIO)?;
                let time = making.time(&mut near_base, &entry.path, &content);
                set_time(&file, time.unwrap_or_else(SystemTime::now)).map_err(|_| Errno::EIO)?;
                entry.look = look(fstat(&file))?;
            }
            kept.push(entry);
        }
        Ok(kept)
    }
}

/// Looks at some of the names of a spare: none if anything was done to one of them, else those files whose original has changed.
fn look_through(
    manifest: &Manifest,
    range: std::ops::Range<usize>,
    root: &Folder,
    making: &Making<'_>,
) -> Option<Vec<usize>> {
    let (mut near, mut near_base, mut strayed) = (Near::default(), Near::default(), Vec::new());
    let uid = making.uid();
    for at in range {
        let entry = &manifest.entries[at];
        let found = if entry.path.as_os_str().is_empty() {
            root.stat_itself()
        } else {
            let (parent, name) = near.parent(root, &entry.path).ok()?;
            parent.stat(name)
        };
        let is_top = entry.path.as_os_str().is_empty();
        let fits = (entry.look.uid == uid || is_top) && entry.look.size <= making.bounds.file_size;
        if !fits || !manifest.holds(entry, &found.ok()?) {
            return None;
        }
        if let (Some(source), Some(base)) = (entry.source, &making.base) {
            let original = near_base.parent(base.folder(), &entry.path);
            let original = original.and_then(|(parent, name)| parent.stat(name));
            if original.ok().as_ref().and_then(Look::of) != Some(source) {
                strayed.push(at);
            }
        }
    }
    Some(strayed)
}

/// Makes a spare copy of the release `from` as `spare`, by way of `staging`, at idle priority. False if there is no manifest to go by, or
/// the release is too small or too large.
pub(super) fn make(
    from: &Path,
    manifest: &Path,
    staging: &Path,
    spare: &Path,
    worth: Worth,
    reporter: &Reporter,
) -> Result<bool, GitError> {
    globals::be_idle();
    let Some(original) = Manifest::read(manifest) else {
        return Ok(false);
    };
    let bytes: u64 = original.entries.iter().map(|entry| entry.look.size).sum();
    if original.entries.len() < worth.least {
        return Ok(false);
    }
    umask(UMASK);
    let tree = staging.join(TREE);
    let disk = |e: io::Error| GitError::disk(&tree, &e);
    let failed = |errno: Errno| GitError::disk(&tree, &errno.into());
    let live = Folder::open_real(from).map_err(failed)?;
    if !is_believed(&live) {
        return Ok(false);
    }
    DirBuilder::new().mode(0o700).create(staging).map_err(disk)?;
    let place = Folder::open_real(staging).map_err(failed)?;
    let entries = match snapshot::take(&original, &live, &tree) {
        Some(entries) => entries,
        None if bytes > worth.most => {
            fs::remove_dir(staging).map_err(disk)?;
            return Ok(false);
        }
        None => {
            snapshot::make_volume(&place, OsStr::new(TREE)).map_err(failed)?;
            copy_tree(&original, &live, &tree, reporter).map_err(disk)?
        }
    };
    place.sync().map_err(failed)?;
    let copy = close(entries, original.without_pointers, &tree).map_err(disk)?;
    copy.write(&staging.join(MANIFEST)).map_err(disk)?;
    fs::rename(staging, spare).map_err(disk)?;
    Ok(true)
}

/// The manifest of a tree that nobody else can reach.
fn close(mut entries: Vec<Entry>, without_pointers: bool, tree: &Path) -> io::Result<Manifest> {
    look_at_directories(&mut entries, &Folder::open_real(tree)?)?;
    let newest = entries.iter().map(|entry| entry.look.changed).max();
    while newest >= Some(tick()?) {
        std::thread::sleep(TICK);
    }
    Manifest::close(entries, without_pointers)
}

/// Copies what the manifest lists. What is no longer what it was in git is left out.
fn copy_tree(original: &Manifest, live: &Folder, tree: &Path, reporter: &Reporter) -> io::Result<Vec<Entry>> {
    let root = Folder::open_real(tree)?;
    let (mut near, mut near_live) = (Near::default(), Near::default());
    let mut entries = Vec::with_capacity(original.entries.len() + 1);
    for (done, entry) in original.entries.iter().enumerate() {
        reporter.progress(Progress {
            phase: ProgressPhase::Writing,
            done: done as u64,
            total: original.entries.len() as u64,
            bytes: 0,
        });
        let (parent, name) = near.parent(&root, &entry.path)?;
        let made = match (entry.blob, near_live.parent(live, &entry.path)) {
            (None, _) => {
                parent.make(Path::new(name))?;
                let owner = (entry.look.uid, entry.look.gid);
                if geteuid().is_root() {
                    parent.give(name, owner)?;
                }
                None
            }
            (Some(blob), Ok((from, _))) if entry.look.mode & S_IFMT == S_IFLNK => {
                copy_link(from, parent, name, &blob, entry)?
            }
            (Some(blob), Ok((from, _))) => copy_file(from, parent, name, &blob, entry, tree)?,
            (Some(_), Err(_)) => continue,
        };
        if let Some((look, source)) = made {
            entries.push(Entry {
                path: entry.path.clone(),
                blob: entry.blob,
                look,
                source: Some(source),
            });
        } else if entry.blob.is_none() {
            entries.push(entry.clone());
        }
    }
    Ok(entries)
}

fn copy_file(
    from: &Folder,
    to: &Folder,
    name: &OsStr,
    blob: &BlobId,
    entry: &Entry,
    tree: &Path,
) -> io::Result<Option<(Look, Look)>> {
    let Ok(source) = from.open_file(name) else {
        return Ok(None);
    };
    let original = || fstat(&source).ok().as_ref().and_then(Look::of);
    let fits = |look: &Look| look.mode & S_IFMT == S_IFREG && look.size == entry.look.size;
    let Some(before) = original().filter(fits) else {
        return Ok(None);
    };
    let target = to.create_empty(Path::new(name), entry.look.is_executable())?;
    // Read from the copy, which nobody else can change meanwhile.
    let path = tree.join(&entry.path);
    let same = copy_all(&source, &target, before.size)
        && original() == Some(before)
        && Oid::hash_file(ObjectType::Blob, path).is_ok_and(|id| id.as_bytes() == blob);
    if !same {
        to.remove(name)?;
        return Ok(None);
    }
    set_time(&target, before.time())?;
    if geteuid().is_root() {
        fchown(&target, Some(entry.look.uid), Some(entry.look.gid))?;
    }
    Ok(Some((look(fstat(&target))?, before)))
}

fn copy_link(
    from: &Folder,
    to: &Folder,
    name: &OsStr,
    blob: &BlobId,
    entry: &Entry,
) -> io::Result<Option<(Look, Look)>> {
    let target = from.link_target(name);
    let same = Oid::hash_object(ObjectType::Blob, target.as_bytes()).is_ok_and(|id| id.as_bytes() == blob);
    let Some(before) = from.stat(name).ok().as_ref().and_then(Look::of).filter(|_| same) else {
        return Ok(None);
    };
    to.link(Path::new(name), &target)?;
    if geteuid().is_root() {
        to.give(name, (entry.look.uid, entry.look.gid))?;
    }
    Ok(Some((look(to.stat(name))?, before)))
}

/// Directories have the times of the last name that was made in them.
fn look_at_directories(entries: &mut Vec<Entry>, root: &Folder) -> Result<(), Errno> {
    let mut near = Near::default();
    for entry in entries.iter_mut().filter(|entry| entry.blob.is_none()) {
        let (parent, name) = near.parent(root, &entry.path)?;
        entry.look = look(parent.stat(name))?;
    }
    entries.push(Entry {
        path: PathBuf::new(),
        blob: None,
        look: look(root.stat_itself())?,
        source: None,
    });
    Ok(())
}
