//! Brings a plain directory from one commit to another. Files are staged beside their places first and then renamed, so
//! that a failure before the renames changes nothing, and readers see each file whole. Untracked files stay.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use nix::errno::Errno;

use super::folder::{Folder, Found};
use super::materialise::{Blobs, Pointers};
use super::submodule::Plan;
use super::tree::{Item, Kind};
use super::worker::Reporter;
use super::{GitError, GitErrorKind};

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

/// Makes `directory` hold `new`. Of `old`, the plan of the commit that it held, the files that `new` lacks are removed.
pub(super) fn update(
    old: &Plan,
    new: &Plan,
    directory: &Path,
    refuse_lfs: bool,
    reporter: &Reporter,
) -> Result<Done, GitError> {
    if new.items.iter().any(|i| i.path.starts_with(STAGING)) {
        let message = format!("the commit has `{STAGING}`, a name that in-place deployments need for themselves");
        return Err(GitError::new(GitErrorKind::UnsafeTree, message));
    }
    fs::create_dir_all(directory).map_err(|e| GitError::disk(directory, &e))?;
    let root = Folder::open(directory)?;
    let staging = Staging::make(directory)?;
    let (staged, bytes) = stage(&root, &staging.folder, new, refuse_lfs, reporter)?;
    staging
        .folder
        .sync()
        .map_err(|errno| staging.folder.error(Path::new(""), errno))?;

    let (blocking, rest) = obsolete(old, new);
    let mut removed = remove(&root, &blocking)?;
    for path in &new.directories {
        make_directory(&root, path)?;
    }
    for &index in &staged {
        put(&root, &staging.folder, index, &new.items[index])?;
    }
    removed += remove(&root, &rest)?;
    Ok(Done {
        written: staged.len() as u64,
        removed,
        bytes,
    })
}

/// The staging directory; removed with all that is left in it when the update ends, well or not.
struct Staging {
    path: PathBuf,
    folder: Folder,
}

impl Staging {
    /// Removes what a killed update left.
    fn make(directory: &Path) -> Result<Self, GitError> {
        let path = directory.join(STAGING);
        let disk = |e: io::Error| GitError::disk(&path, &e);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(disk(error)),
            _ => {}
        }
        fs::DirBuilder::new().mode(0o700).create(&path).map_err(disk)?;
        let folder = Folder::open(&path)?;
        Ok(Self { path, folder })
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What can't be removed now is removed by the next update.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Writes what differs from the disk into the staging directory, named by index. Returns the indices, files before
/// links, and the bytes.
fn stage(
    root: &Folder,
    staging: &Folder,
    new: &Plan,
    refuse_lfs: bool,
    reporter: &Reporter,
) -> Result<(Vec<usize>, u64), GitError> {
    let pointers = Pointers::new(refuse_lfs);
    let blobs = Blobs::new(new, reporter)?;
    let differing = Mutex::new(Vec::new());
    let note = |index| {
        differing
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .push(index);
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
    for (index, item) in new.items.iter().enumerate().filter(|(_, i)| i.kind == Kind::Link) {
        let target = blobs.link_target(item)?;
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

fn staged_name(index: usize) -> OsString {
    OsString::from(index.to_string())
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

/// Paths that only `old` has: those that stand where `new` needs a directory or a file, and the others.
fn obsolete<'p>(old: &'p Plan, new: &Plan) -> (Vec<&'p Path>, Vec<&'p Path>) {
    let files: BTreeSet<&Path> = new.items.iter().map(|i| i.path.as_path()).collect();
    let directories: BTreeSet<&Path> = new.directories.iter().map(PathBuf::as_path).collect();
    let gone = old
        .items
        .iter()
        .map(|i| i.path.as_path())
        .filter(|p| !files.contains(p));
    gone.partition(|path| directories.contains(path) || path.ancestors().skip(1).any(|a| files.contains(a)))
}

/// Removes files and links, and the directories that become empty by it.
fn remove(root: &Folder, paths: &[&Path]) -> Result<u64, GitError> {
    let mut removed = 0;
    for path in paths {
        let Ok((parent, name)) = root.parent(path) else {
            continue;
        };
        removed += u64::from(parent.remove(name).map_err(|errno| root.error(path, errno))?);
        for directory in path.ancestors().skip(1).take_while(|d| !d.as_os_str().is_empty()) {
            if !root
                .parent(directory)
                .is_ok_and(|(above, name)| above.remove_empty(name))
            {
                break;
            }
        }
    }
    Ok(removed)
}

/// Parents come before children, so one name is made at a time.
fn make_directory(root: &Folder, path: &Path) -> Result<(), GitError> {
    if root.enter(path).is_ok() {
        return Ok(());
    }
    let (parent, name) = root.parent(path).map_err(|errno| root.error(path, errno))?;
    match parent.make(Path::new(name)) {
        Err(Errno::EEXIST) => Err(in_the_way(path, "a directory")),
        other => other.map_err(|errno| root.error(path, errno)),
    }
}

fn put(root: &Folder, staging: &Folder, index: usize, item: &Item) -> Result<(), GitError> {
    let (parent, name) = root.parent(&item.path).map_err(|errno| root.error(&item.path, errno))?;
    match staging.rename_to(&staged_name(index), &parent, name) {
        Err(Errno::EISDIR | Errno::ENOTEMPTY | Errno::EEXIST) => Err(in_the_way(&item.path, "a file")),
        other => other.map_err(|errno| root.error(&item.path, errno)),
    }
}

fn in_the_way(path: &Path, wanted: &str) -> GitError {
    let message = format!(
        "`{}` is in the way: the commit has {wanted} there, the disk something untracked",
        path.display()
    );
    GitError::new(GitErrorKind::Disk, message).hint("move it away")
}
