//! Brings a plain directory from one commit to another. Files are staged beside their places first and then change places
//! with the old ones, so that a failure before changes nothing, one in the middle can be undone, and readers see each file
//! whole. Untracked files stay.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::stat::umask;

use super::changes::{Changes, obstacles, staged_name};
use super::folder::{Folder, Found};
use super::materialise::{Blobs, Pointers, UMASK};
use super::report::Reporter;
use super::submodule::Plan;
use super::tree::{Item, Kind};
use super::{Bounds, GitError, GitErrorKind};
use crate::model::{CommitId, Locked};

/// Where new files wait, in the directory itself so that a rename can't cross file systems; 0700, since the directory
/// is often served.
const STAGING: &str = ".hookd-new";

/// What was done.
#[derive(Default)]
pub(super) struct Done {
    pub written: u64,
    pub removed: u64,
    pub bytes: u64,
}

/// The file in the staging directory that names the commits whose files may be there, one a line, until it is recorded
/// which commit the directory holds.
const TO: &str = "to";

/// Makes `directory` hold `new`, the plan of the commit `to`. Of `old`, the plan of the commit that it held, the files that
/// `new` lacks are removed. All obstacles are looked for before anything is changed, and what was done is undone if the rest
/// fails.
pub(super) fn update(
    old: &Plan,
    new: &Plan,
    to: &CommitId,
    directory: &Path,
    refuse_lfs: bool,
    bounds: &Bounds,
    reporter: &Reporter,
) -> Result<Done, GitError> {
    if new.items.iter().any(|i| i.path.starts_with(STAGING)) {
        let message = format!("the commit has `{STAGING}`, a name that in-place deployments need for themselves");
        return Err(GitError::new(GitErrorKind::UnsafeTree, message));
    }
    umask(UMASK);
    fs::create_dir_all(directory).map_err(|e| GitError::disk(directory, &e))?;
    let root = Folder::open(directory)?;
    let staging = Staging::make(directory)?;
    let (staged, bytes) = stage(&root, &staging.folder, new, refuse_lfs, bounds, reporter)?;
    obstacles(&root, old, new, &staged)?;
    let before = cut_off(directory);
    let both: Vec<CommitId> = before.iter().chain([to]).cloned().collect();
    staging.note(&both)?;
    let sync = |folder: &Folder| folder.sync().map_err(|errno| folder.error(Path::new(""), errno));
    sync(&staging.folder)?;

    let mut changes = Changes::new(&root, &staging.folder, new);
    let removed = match changes.make(old, &staged) {
        Ok(removed) => removed,
        Err(error) => return Err(undone(error, changes.undo(), &staging, &before)),
    };
    sync(&root)?;
    Ok(Done {
        written: staged.len() as u64,
        removed,
        bytes,
    })
}

/// The error, with what is left to say if not all could be undone.
fn undone(mut error: GitError, undone: Result<(), GitError>, staging: &Staging, before: &[CommitId]) -> GitError {
    if let Err(more) = undone.and_then(|()| staging.note(before)) {
        error.message = format!("{}; what was changed before could not be undone: {more}", error.message);
    }
    error
}

/// Whether the directory holds the files of `plan` as they are in it, and no update was cut off.
pub(super) fn holds(plan: &Plan, directory: &Path, bounds: &Bounds, reporter: &Reporter) -> Result<bool, GitError> {
    if !directory.is_dir() || !cut_off(directory).is_empty() {
        return Ok(false);
    }
    let root = Folder::open(directory)?;
    let blobs = Blobs::new(plan, bounds, reporter)?;
    let differs = AtomicBool::new(false);
    blobs.each(|_, item, content| {
        let same = match item.kind {
            Kind::File { executable } => same_file(&root, item, executable, content),
            Kind::Link => root
                .parent(&item.path)
                .is_ok_and(|(parent, name)| parent.points_to(name, OsStr::from_bytes(content))),
        };
        differs.fetch_or(!same, Ordering::Relaxed);
        Ok(0)
    })?;
    Ok(!differs.into_inner())
}

/// The commits to which updates were under way when they were cut off, or are not recorded yet.
pub(super) fn cut_off(directory: &Path) -> Vec<CommitId> {
    let text = fs::read_to_string(directory.join(STAGING).join(TO)).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// To be called once it is recorded which commit a plain directory holds, or when it holds the one before again.
pub fn settle(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory.join(STAGING)) {
        Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Err(error),
        _ => Ok(()),
    }
}

/// The staging directory; when the update ends, nothing is left in it but the commits.
struct Staging {
    path: PathBuf,
    folder: Folder,
}

impl Staging {
    /// Removes what a killed update left.
    fn make(directory: &Path) -> Result<Self, GitError> {
        let path = directory.join(STAGING);
        let disk = |e: io::Error| GitError::disk(&path, &e);
        match fs::DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(disk(error)),
            _ => {}
        }
        empty(&path).map_err(disk)?;
        let folder = Folder::open(&path)?;
        Ok(Self { path, folder })
    }

    /// Notes the commits whose files may be there; none is none.
    fn note(&self, commits: &[CommitId]) -> Result<(), GitError> {
        let (file, new) = (self.path.join(TO), self.path.join("to-new"));
        let text = commits
            .iter()
            .fold(String::new(), |text, commit| text + commit.as_str() + "\n");
        let write = || -> io::Result<()> {
            let mut to = fs::File::create(&new)?;
            to.write_all(text.as_bytes())?;
            // A name that reaches the disk before the content would say nothing after a power cut.
            to.sync_all()?;
            fs::rename(&new, &file)
        };
        write().map_err(|e| GitError::disk(&file, &e))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What can't be removed now is removed by the next update.
        let _ = empty(&self.path);
        if fs::read(self.path.join(TO)).is_ok_and(|text| text.is_empty()) {
            let _ = fs::remove_file(self.path.join(TO));
        }
        // It stays while it names commits.
        let _ = fs::remove_dir(&self.path);
    }
}

/// Removes all but the note of the commits.
fn empty(staging: &Path) -> io::Result<()> {
    for entry in fs::read_dir(staging)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else if entry.file_name() != TO {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Writes what differs from the disk into the staging directory, named by index. Returns the indices, files before
/// links, and the bytes.
fn stage(
    root: &Folder,
    staging: &Folder,
    new: &Plan,
    refuse_lfs: bool,
    bounds: &Bounds,
    reporter: &Reporter,
) -> Result<(Vec<usize>, u64), GitError> {
    let pointers = Pointers::new(refuse_lfs);
    let blobs = Blobs::new(new, bounds, reporter)?;
    let differing = Mutex::new(Vec::new());
    let note = |index| {
        differing.locked().push(index);
    };
    let bytes = blobs.each(|index, item, content| {
        let Kind::File { executable } = item.kind else {
            return Ok(0);
        };
        if pointers.found(item, content) || same_file(root, item, executable, content) {
            return Ok(0);
        }
        let name = staged_name(index);
        staging
            .create(Path::new(&name), executable, content)
            .map_err(|e| GitError::disk(&item.path, &e))?;
        note(index);
        Ok(content.len() as u64)
    })?;
    pointers.verdict()?;
    let mut staged = differing
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    staged.sort_unstable();
    let mut reader = blobs.reader();
    for (index, item) in new.items.iter().enumerate().filter(|(_, i)| i.kind == Kind::Link) {
        let target = reader.link_target(item)?;
        let target = OsStr::from_bytes(&target);
        if !root
            .parent(&item.path)
            .is_ok_and(|(parent, name)| parent.points_to(name, target))
        {
            let name = staged_name(index);
            staging
                .link(Path::new(&name), target)
                .map_err(|errno| staging.error(&item.path, errno))?;
            staged.push(index);
        }
    }
    Ok((staged, bytes))
}

/// What can't be read counts as different.
fn same_file(root: &Folder, item: &Item, executable: bool, content: &[u8]) -> bool {
    let Ok((parent, name)) = root.parent(&item.path) else {
        return false;
    };
    let want = Found::File {
        executable,
        size: content.len() as u64,
    };
    parent.look(name).is_ok_and(|found| found == want) && parent.holds(name, content).unwrap_or(false)
}
