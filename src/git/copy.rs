//! The release before, as the source of files: which of them are as hookd made them, by its manifest, and their copying.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{File, FileTimes};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::errno::Errno;
use nix::fcntl::copy_file_range;
use nix::sys::stat::fstat;

use super::Reuse;
use super::folder::Folder;
use super::tree::{Item, Kind};
use crate::manifest::{Entry, Look, Manifest, is_believed};

/// The release before.
pub(super) struct Base {
    folder: Folder,
    known: Option<Known>,
}

/// A manifest, by the hashes of its paths: of two with the same hash one is not found, and is written anew.
pub(super) struct Known {
    pub manifest: Manifest,
    by_path: HashMap<u64, usize>,
    random: RandomState,
}

impl Known {
    pub(super) fn new(manifest: Manifest) -> Self {
        let (entries, random) = (manifest.entries.iter().enumerate(), RandomState::new());
        let by_path = entries
            .map(|(at, entry)| (random.hash_one(entry.path.as_os_str()), at))
            .collect();
        Self {
            manifest,
            by_path,
            random,
        }
    }

    /// Which entry is that of a file or link of a plan, if it is to have the same content and kind.
    pub(super) fn place_of(&self, item: &Item) -> Option<usize> {
        let at = *self.by_path.get(&self.random.hash_one(item.path.as_os_str()))?;
        let entry = &self.manifest.entries[at];
        let kind = entry.look.mode & nix::libc::S_IFMT;
        let fits = match item.kind {
            Kind::File { executable } => kind == nix::libc::S_IFREG && entry.look.is_executable() == executable,
            Kind::Link => kind == nix::libc::S_IFLNK,
        };
        let same =
            entry.path.as_os_str() == item.path.as_os_str() && entry.blob.is_some_and(|id| id == item.blob.as_bytes());
        (fits && same).then_some(at)
    }
}

impl Base {
    /// Opens it; `None` if there is none, or it can't be read. A manifest that can't be used is left out.
    pub(super) fn open(reuse: &Reuse, refuse_lfs: bool) -> Option<Self> {
        let folder = Folder::open_real(reuse.previous.as_deref()?).ok()?;
        let manifest = reuse.previous_manifest.as_deref().and_then(Manifest::read);
        let usable = |manifest: &Manifest| is_believed(&folder) && (manifest.without_pointers || !refuse_lfs);
        let known = manifest.filter(usable).map(Known::new);
        Some(Self { folder, known })
    }

    pub(super) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// What the manifest knows of an item that is to be the same.
    pub(super) fn same(&self, item: &Item) -> Option<(&Manifest, &Entry)> {
        let known = self.known.as_ref()?;
        let at = known.place_of(item)?;
        Some((&known.manifest, &known.manifest.entries[at]))
    }
}

/// Copies a file, if the source is as the manifest says, before and after; false if it is not, or can't be read, and then the
/// target may have any content. The copy gets the time of the source.
pub(super) fn copied(source: &File, manifest: &Manifest, entry: &Entry, target: &File) -> bool {
    let holds = || fstat(source).is_ok_and(|found| manifest.holds(entry, &found));
    holds() && copy_all(source, target, entry.look.size) && holds() && set_time(target, entry.look.time()).is_ok()
}

/// Copies that many bytes within the kernel, and without the bytes where the file system can let files share them.
pub(super) fn copy_all(source: &File, target: &File, size: u64) -> bool {
    let mut left = size;
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX);
        match copy_file_range(source, None, target, None, most) {
            Ok(0) => return false,
            Ok(count) => left = left.saturating_sub(count as u64),
            Err(Errno::EINTR) => {}
            // Some file systems can't, nor can old kernels between two of them.
            Err(_) => return left == size && copy_bytes(source, target, size),
        }
    }
    true
}

fn copy_bytes(mut source: &File, mut target: &File, size: u64) -> bool {
    let rewind = source.seek(SeekFrom::Start(0)).is_ok() && target.seek(SeekFrom::Start(0)).is_ok();
    rewind && io::copy(&mut source.take(size), &mut target).is_ok_and(|count| count == size)
}

/// Sets the modification time.
pub(super) fn set_time(file: &File, time: SystemTime) -> io::Result<()> {
    file.set_times(FileTimes::new().set_modified(time))
}

/// The time of the file of that name, if it has this content.
pub(super) fn time_of_same(folder: &Folder, name: &OsStr, content: &[u8]) -> Option<SystemTime> {
    let file = folder.open_file(name).ok()?;
    let found = file.metadata().ok()?;
    if !found.is_file() || found.len() != content.len() as u64 {
        return None;
    }
    folder.holds(name, content).ok()?.then(|| found.modified().ok())?
}

/// The directory of the last path that was asked for, kept open: neighbours are many.
#[derive(Default)]
pub(super) struct Near {
    parent: PathBuf,
    open: Option<Result<Folder, Errno>>,
}

impl Near {
    /// The directory of a path below `root`, opened without following links, and the last name.
    pub(super) fn parent<'p>(&mut self, root: &Folder, path: &'p Path) -> Result<(&Folder, &'p OsStr), Errno> {
        let parent = path.parent().unwrap_or(Path::new(""));
        let name = path.file_name().ok_or(Errno::EINVAL)?;
        if self.parent.as_os_str() != parent.as_os_str() {
            self.open = None;
            parent.clone_into(&mut self.parent);
        }
        match self.open.get_or_insert_with(|| root.enter(parent)) {
            Ok(folder) => Ok((folder, name)),
            Err(errno) => Err(*errno),
        }
    }
}

/// What an open file or directory looks like.
pub(super) fn look(stat: Result<nix::sys::stat::FileStat, Errno>) -> Result<Look, Errno> {
    Look::of(&stat?).ok_or(Errno::EMLINK)
}
