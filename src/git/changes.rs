//! The changes that bring a plain directory to a commit: what could be in their way, their making, and their undoing.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::folder::{Folder, Found};
use super::submodule::Plan;
use super::tree::Item;
use super::{GitError, GitErrorKind};

/// Looks for all that would stop the changes midway, and changes nothing.
pub(super) fn obstacles(root: &Folder, old: &Plan, new: &Plan, staged: &[usize]) -> Result<(), GitError> {
    let (blocking, rest) = obsolete(old, new);
    let goes: BTreeSet<&Path> = blocking.iter().chain(&rest).copied().collect();
    for path in &new.directories {
        match look(root, path)? {
            Found::Nothing => {}
            Found::File { .. } | Found::Link if goes.contains(path.as_path()) => {}
            Found::Else if root.enter(path).is_ok() => {}
            _ => return Err(in_the_way(path, "a directory")),
        }
    }
    for &index in staged {
        let path = &new.items[index].path;
        let in_the_way = match look(root, path)? {
            Found::Else => !becomes_empty(root, path, &goes),
            _ => false,
        };
        if in_the_way {
            return Err(self::in_the_way(path, "a file"));
        }
    }
    let changed = staged.iter().map(|&index| new.items[index].path.as_path());
    let made = new.directories.iter().map(PathBuf::as_path);
    let made = made.filter(|path| root.enter(path).is_err());
    let parents: BTreeSet<&Path> = changed.chain(made).chain(goes).filter_map(Path::parent).collect();
    for parent in parents {
        if let Ok(folder) = root.enter(parent) {
            folder.require_writable().map_err(|errno| root.error(parent, errno))?;
        }
    }
    Ok(())
}

/// What is at a path; nothing if its parent is not there, or is no directory, which is looked at by itself.
fn look(root: &Folder, path: &Path) -> Result<Found, GitError> {
    match root.parent(path) {
        Ok((parent, name)) => parent.look(name).map_err(|errno| root.error(path, errno)),
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => Ok(Found::Nothing),
        Err(errno) => Err(root.error(path, errno)),
    }
}

/// Whether all that is in a directory, at any depth, goes.
fn becomes_empty(root: &Folder, path: &Path, goes: &BTreeSet<&Path>) -> bool {
    let Ok(names) = root.enter(path).and_then(|folder| folder.names()) else {
        return false;
    };
    !names.is_empty()
        && names.iter().all(|name| {
            let below = path.join(name);
            goes.contains(below.as_path()) || becomes_empty(root, &below, goes)
        })
}

/// One change that was made.
enum Step {
    /// A new file where nothing was.
    Put(usize),
    /// A new file in the place of an old one, which is now where the new one was staged.
    Swapped(usize),
    /// The same, on a file system that can't do it at once: the old one has a name of its own.
    Replaced(usize, OsString),
    /// A file that was moved aside.
    Removed(PathBuf, OsString),
    /// A new directory.
    Made(PathBuf),
    /// A directory that was empty and is gone.
    Unmade(PathBuf),
}

/// What is changed, and was so far.
pub(super) struct Changes<'c> {
    root: &'c Folder,
    staging: &'c Folder,
    new: &'c Plan,
    steps: Vec<Step>,
}

impl<'c> Changes<'c> {
    pub(super) fn new(root: &'c Folder, staging: &'c Folder, new: &'c Plan) -> Self {
        Self {
            root,
            staging,
            new,
            steps: Vec::new(),
        }
    }

    /// Makes all of them; returns how many files were removed.
    pub(super) fn make(&mut self, old: &Plan, staged: &[usize]) -> Result<u64, GitError> {
        let new = self.new;
        let (blocking, rest) = obsolete(old, new);
        let mut removed = self.remove(&blocking)?;
        for path in &new.directories {
            self.make_directory(path)?;
        }
        for &index in staged {
            self.put(index, &new.items[index])?;
        }
        removed += self.remove(&rest)?;
        Ok(removed)
    }

    /// Moves files and links aside, and removes the directories that become empty by it.
    fn remove(&mut self, paths: &[&Path]) -> Result<u64, GitError> {
        let mut removed = 0;
        for path in paths {
            let Ok((parent, name)) = self.root.parent(path) else {
                continue;
            };
            let found = parent.look(name).map_err(|errno| self.root.error(path, errno))?;
            if matches!(found, Found::File { .. } | Found::Link) {
                let aside = self.aside();
                parent
                    .rename_to(name, self.staging, &aside)
                    .map_err(|errno| self.root.error(path, errno))?;
                self.steps.push(Step::Removed(path.to_path_buf(), aside));
                removed += 1;
            }
            for directory in path.ancestors().skip(1).take_while(|d| !d.as_os_str().is_empty()) {
                if !self
                    .root
                    .parent(directory)
                    .is_ok_and(|(above, name)| above.remove_empty(name))
                {
                    break;
                }
                self.steps.push(Step::Unmade(directory.to_owned()));
            }
        }
        Ok(removed)
    }

    /// A name in the staging directory that nothing has.
    fn aside(&self) -> OsString {
        OsString::from(format!("old-{}", self.steps.len()))
    }

    /// Parents come before children, so one name is made at a time.
    fn make_directory(&mut self, path: &Path) -> Result<(), GitError> {
        if self.root.enter(path).is_ok() {
            return Ok(());
        }
        let (parent, name) = self.root.parent(path).map_err(|errno| self.root.error(path, errno))?;
        match parent.make(Path::new(name)) {
            Err(Errno::EEXIST) => return Err(in_the_way(path, "a directory")),
            other => other.map_err(|errno| self.root.error(path, errno))?,
        }
        self.steps.push(Step::Made(path.to_owned()));
        Ok(())
    }

    fn put(&mut self, index: usize, item: &Item) -> Result<(), GitError> {
        let failed = |errno| self.root.error(&item.path, errno);
        let (parent, name) = self.root.parent(&item.path).map_err(failed)?;
        let staged = staged_name(index);
        let step = match parent.look(name).map_err(failed)? {
            Found::Else => return Err(in_the_way(&item.path, "a file")),
            Found::Nothing => {
                self.staging.rename_to(&staged, &parent, name).map_err(failed)?;
                Step::Put(index)
            }
            Found::File { .. } | Found::Link => match self.staging.swap(&staged, &parent, name) {
                Ok(()) => Step::Swapped(index),
                // Some network and FUSE file systems can't.
                Err(Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP) => {
                    let aside = self.aside();
                    parent.rename_to(name, self.staging, &aside).map_err(failed)?;
                    if let Err(errno) = self.staging.rename_to(&staged, &parent, name) {
                        let _ = self.staging.rename_to(&aside, &parent, name);
                        return Err(failed(errno));
                    }
                    Step::Replaced(index, aside)
                }
                Err(errno) => return Err(failed(errno)),
            },
        };
        self.steps.push(step);
        Ok(())
    }

    /// Undoes all of them, the last one first; goes on after a failure, and gives the first.
    pub(super) fn undo(mut self) -> Result<(), GitError> {
        let mut result = Ok(());
        while let Some(step) = self.steps.pop() {
            result = result.and(self.undo_step(&step));
        }
        result
    }

    fn undo_step(&self, step: &Step) -> Result<(), GitError> {
        let path = match step {
            Step::Put(index) | Step::Swapped(index) | Step::Replaced(index, _) => &self.new.items[*index].path,
            Step::Removed(path, _) | Step::Made(path) | Step::Unmade(path) => path,
        };
        let failed = |errno| self.root.error(path, errno);
        let (parent, name) = self.root.parent(path).map_err(failed)?;
        let undone = match step {
            Step::Put(_) => parent.remove(name).map(drop),
            Step::Swapped(index) => self.staging.swap(&staged_name(*index), &parent, name),
            Step::Replaced(_, aside) | Step::Removed(_, aside) => self.staging.rename_to(aside, &parent, name),
            Step::Made(_) => {
                // What somebody has put in there meanwhile stays.
                parent.remove_empty(name);
                Ok(())
            }
            Step::Unmade(_) => parent.make(Path::new(name)),
        };
        undone.map_err(failed)
    }
}

fn in_the_way(path: &Path, wanted: &str) -> GitError {
    let message = format!(
        "`{}` is in the way: the commit has {wanted} there, the disk something untracked",
        path.display()
    );
    GitError::new(GitErrorKind::Disk, message).hint("move it away")
}

pub(super) fn staged_name(index: usize) -> OsString {
    OsString::from(index.to_string())
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
