//! Snapshots of btrfs subvolumes. A release that is to have a spare copy is a subvolume where the file system has them, and its spare a
//! snapshot, which shares all with it until one of the two changes: nothing is copied, and nothing read.
//!
//! A snapshot has whatever a build, a program or a person put into the release. So all is removed from it that is not known to be as
//! hookd made it, and where that is not enough, or more work than a copy, there is none.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::libc::{S_IFDIR, S_IFMT, S_ISGID};
use nix::sys::stat::{FileStat, Mode, fchmod};
use nix::sys::statfs::{BTRFS_SUPER_MAGIC, fstatfs};
use nix::unistd::{fchown, getegid, geteuid};
use rustix::fs::{AtFlags, StatxAttributes, StatxFlags, flistxattr, statx};

use super::copy::Near;
use super::folder::Folder;
use super::globals;
use crate::manifest::{Entry, Look, Manifest};

/// The inode number of a subvolume's top directory (`BTRFS_FIRST_FREE_OBJECTID`, Linux, `include/uapi/linux/btrfs_tree.h`).
const TOP_INODE: u64 = 256;

/// What `mkdir` gives the top directory of a release.
const TOP_MODE: u32 = 0o755;

/// Longest list of attributes that is read, bytes: a longer one is none that hookd made.
const ATTRIBUTES_MAX: usize = 1024;

/// Comes from the machine's policy, not from who made the directory.
const LABEL: &[u8] = b"security.selinux";

/// Makes the directory `name`, as a subvolume if snapshots of it can be taken.
pub(super) fn make_volume(parent: &Folder, name: &OsStr) -> Result<(), Errno> {
    if is_btrfs(parent) && is_plain(parent) && globals::make_subvolume(parent, name).is_ok() {
        return Ok(());
    }
    parent.make(Path::new(name))
}

/// Makes the new directory `tree`, whose parent nobody but hookd's user can enter, a snapshot of the release `live` with what is as
/// `original` says, and nothing else. Returns that; `None` if there is no such snapshot, and then there is no `tree`.
pub(super) fn take(original: &Manifest, live: &Folder, tree: &Path) -> Option<Vec<Entry>> {
    let parent = Folder::open_real(tree.parent()?).ok()?;
    let is_volume = is_btrfs(live) && live.stat_itself().is_ok_and(|found| found.st_ino == TOP_INODE);
    if !is_volume || !is_plain(live) || !is_plain(&parent) {
        return None;
    }
    let listed = original.entries.iter().map(|entry| entry.path.as_os_str()).collect();
    let snapshot = Snapshot { original, listed, tree };
    if !snapshot.is_worth_it(live) {
        return None;
    }
    globals::snapshot(live, &parent, tree.file_name()?).ok()?;
    let entries = snapshot.clean();
    if entries.is_err() {
        // What is left of it is in the spare's directory, and swept with it.
        let _ = fs::remove_dir_all(tree);
    }
    entries.ok()
}

fn is_btrfs(folder: &Folder) -> bool {
    fstatfs(folder).is_ok_and(|found| found.filesystem_type() == BTRFS_SUPER_MAGIC)
}

/// Whether a directory made in there by `mkdir` is like any other, and it has nothing that a snapshot would take along: no group or
/// access list that is inherited.
fn is_plain(folder: &Folder) -> bool {
    folder.stat_itself().is_ok_and(|found| found.st_mode & S_ISGID == 0) && has_no_attributes(folder)
}

fn has_no_attributes(folder: &Folder) -> bool {
    let mut names = [0; ATTRIBUTES_MAX];
    match flistxattr(folder, &mut names) {
        Ok(length) => names[..length]
            .split(|byte| *byte == 0)
            .all(|name| name.is_empty() || name == LABEL),
        Err(_) => false,
    }
}

/// What it has in it is looked at by itself.
fn is_same_directory(entry: &Entry, found: &FileStat) -> bool {
    let same = (entry.look.mode, entry.look.uid, entry.look.gid);
    entry.look.mode & S_IFMT == S_IFDIR && same == (found.st_mode, found.st_uid, found.st_gid)
}

struct Snapshot<'m> {
    original: &'m Manifest,
    /// The paths of the manifest.
    listed: HashSet<&'m OsStr>,
    tree: &'m Path,
}

impl Snapshot<'_> {
    fn is_foreign(&self, path: &Path) -> bool {
        !self.listed.contains(path.as_os_str())
    }

    /// Whether removing what is foreign to the release is less work than copying what is its own, and can be done: nobody removes
    /// what is immutable.
    fn is_worth_it(&self, live: &Folder) -> bool {
        let (mut foreign, mut open) = (0, vec![PathBuf::new()]);
        while let Some(path) = open.pop() {
            let Ok(folder) = live.enter(&path) else { return false };
            let Ok(names) = folder.names() else { return false };
            for name in names {
                let below = path.join(&name);
                foreign += usize::from(self.is_foreign(&below));
                let found = statx(&folder, &name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::TYPE);
                let bound = StatxAttributes::IMMUTABLE | StatxAttributes::APPEND;
                let Some(found) = found.ok().filter(|found| !found.stx_attributes.intersects(bound)) else {
                    return false;
                };
                if foreign > self.listed.len() {
                    return false;
                }
                if u32::from(found.stx_mode) & S_IFMT == S_IFDIR {
                    open.push(below);
                }
            }
        }
        true
    }

    /// Removes from the snapshot what is not as the manifest says; returns what stays.
    fn clean(&self) -> io::Result<Vec<Entry>> {
        let root = Folder::open_real(self.tree)?;
        let top = root.stat_itself()?;
        fchmod(&root, Mode::from_bits_truncate(TOP_MODE))?;
        if (top.st_uid, top.st_gid) != (geteuid().as_raw(), getegid().as_raw()) {
            fchown(&root, Some(geteuid()), Some(getegid()))?;
        }
        self.remove_foreign(&root, Path::new(""))?;
        let (mut near, mut entries) = (Near::default(), Vec::with_capacity(self.listed.len() + 1));
        for entry in &self.original.entries {
            let (parent, name) = near.parent(&root, &entry.path)?;
            let found = match parent.stat(name) {
                Err(Errno::ENOENT) if entry.blob.is_some() => continue,
                other => other?,
            };
            let device = top.st_dev;
            let look = Look { device, ..entry.look };
            let is_as_made = entry.look.changed < self.original.closed && Look::of(&found) == Some(look);
            if entry.blob.is_none() {
                let directory = root.enter(&entry.path)?;
                let is_plain = is_as_made || (is_same_directory(entry, &found) && has_no_attributes(&directory));
                if !is_plain {
                    return Err(Errno::EPERM.into());
                }
                self.remove_foreign(&directory, &entry.path)?;
            } else if !is_as_made {
                self.remove(parent, name, &found, &entry.path)?;
                continue;
            }
            let source = entry.blob.map(|_| entry.look);
            let path = entry.path.clone();
            entries.push(Entry {
                path,
                blob: entry.blob,
                look,
                source,
            });
        }
        Ok(entries)
    }

    /// Removes what the manifest does not list of one directory.
    fn remove_foreign(&self, directory: &Folder, path: &Path) -> io::Result<()> {
        for name in directory.names()? {
            let below = path.join(&name);
            if self.is_foreign(&below) {
                self.remove(directory, &name, &directory.stat(&name)?, &below)?;
            }
        }
        Ok(())
    }

    fn remove(&self, parent: &Folder, name: &OsStr, found: &FileStat, path: &Path) -> io::Result<()> {
        if found.st_mode & S_IFMT == S_IFDIR {
            return fs::remove_dir_all(self.tree.join(path));
        }
        let is_gone = parent.remove(name)?;
        if is_gone { Ok(()) } else { Err(Errno::EPERM.into()) }
    }
}
