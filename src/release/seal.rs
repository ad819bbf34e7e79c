//! Brings a release to the disk before it is recorded that it goes live, and tells afterwards whether all of it is there.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::libc::{S_IFDIR, S_IFMT};
use sha2::{Digest, Sha256};

use super::walk::walk;
use super::{Layout, ReleaseError, ReleaseName, SEAL_PREFIX, sync_tree};
use crate::manifest::Manifest;

impl Layout {
    /// Syncs a release, and what it shares, to the disk, with a description beside it until [`Layout::unseal`].
    /// If nothing but hookd has written to it, its `manifest` says that.
    pub fn seal(&self, name: &ReleaseName, shared: &[String], manifest: Option<&Path>) -> Result<(), ReleaseError> {
        let (seal, release) = (self.seal_file(name), self.release(name));
        let mut text = match manifest.and_then(Manifest::read) {
            Some(manifest) => fingerprint_by(&manifest, &release, shared)?,
            None => fingerprint(&release, shared)?,
        };
        for entry in self.unfilled(shared)? {
            text.push('\n');
            text.push_str(&entry);
        }
        fs::write(&seal, text).map_err(ReleaseError::io("writing", &seal))?;
        self.sync(&self.release(name), shared)
    }

    /// Whether a release still looks as it did when it was sealed. A release without a seal does not.
    pub fn is_sealed(&self, name: &ReleaseName, shared: &[String]) -> Result<bool, ReleaseError> {
        let text = self.read_seal(name)?;
        Ok(text.lines().next() == Some(&fingerprint(&self.release(name), shared)?))
    }

    /// The entries that `shared/` lacked when the release was sealed, and so may have been filled from it since.
    pub fn filled_by(&self, name: &ReleaseName) -> Result<Vec<String>, ReleaseError> {
        Ok(self.read_seal(name)?.lines().skip(1).map(str::to_owned).collect())
    }

    fn read_seal(&self, name: &ReleaseName) -> Result<String, ReleaseError> {
        let seal = self.seal_file(name);
        match fs::read(&seal) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            text => Ok(String::from_utf8_lossy(&text.map_err(ReleaseError::io("reading", &seal))?).into_owned()),
        }
    }

    /// Removes the seals of all releases: to be called when no deployment of the target runs, nor goes on after a restart.
    pub fn unseal(&self) -> Result<(), ReleaseError> {
        for name in super::names_in(&self.releases())? {
            if name.starts_with(SEAL_PREFIX) {
                let seal = self.releases().join(name);
                fs::remove_file(&seal).map_err(ReleaseError::io("removing", &seal))?;
            }
        }
        Ok(())
    }

    /// Removes the seal of a release that is to be removed.
    pub(super) fn remove_seal(&self, name: &ReleaseName) -> Result<(), ReleaseError> {
        let seal = self.seal_file(name);
        match fs::remove_file(&seal) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(ReleaseError::io("removing", &seal)(error))
            }
            _ => Ok(()),
        }
    }

    fn seal_file(&self, name: &ReleaseName) -> PathBuf {
        self.releases().join(format!("{SEAL_PREFIX}{name}"))
    }

    /// Brings `tree` to the disk, and `shared/` with its entries, which may be on file systems of their own: one `syncfs`
    /// for each file system.
    pub fn sync(&self, tree: &Path, shared: &[String]) -> Result<(), ReleaseError> {
        let kept = shared
            .iter()
            .map(|entry| self.shared().join(entry.trim_end_matches('/')));
        let places = [tree.to_owned(), self.shared()].into_iter().chain(kept);
        let mut synced = BTreeSet::new();
        for place in places {
            let Ok(found) = fs::metadata(&place) else { continue };
            if synced.insert(found.dev()) {
                // A file may be unreadable, or a pipe: its directory is on the same file system, unless it is a link's.
                let directory = if found.is_dir() {
                    place
                } else {
                    fs::canonicalize(&place)
                        .ok()
                        .and_then(|file| Some(file.parent()?.to_owned()))
                        .unwrap_or(place)
                };
                sync_tree(&directory)?;
            }
        }
        Ok(())
    }
}

/// The names, kinds and sizes of all that is in a release, as a digest: after a power cut it is files that are empty or
/// missing which tell that something is lost. What is shared is not the release's own, and so left out.
fn fingerprint(release: &Path, shared: &[String]) -> Result<String, ReleaseError> {
    let shared: BTreeSet<PathBuf> = shared
        .iter()
        .map(|entry| release.join(entry.trim_end_matches('/')))
        .collect();
    // Their parents may be made for them alone.
    let above: BTreeSet<&Path> = shared.iter().flat_map(|entry| entry.ancestors().skip(1)).collect();
    let mut digest = Sha256::new();
    walk(release, &mut |found| {
        let path = found.path;
        if shared.contains(path) {
            return Ok(false);
        }
        if above.contains(path) {
            return Ok(true);
        }
        let below = path.strip_prefix(release).unwrap_or(path);
        add(&mut digest, below, found.is.mode(), found.is.len());
        Ok(true)
    })?;
    Ok(hex::encode(digest.finalize()))
}

/// The same by a manifest.
fn fingerprint_by(manifest: &Manifest, release: &Path, shared: &[String]) -> Result<String, ReleaseError> {
    let shared: BTreeSet<&Path> = shared
        .iter()
        .map(|entry| Path::new(entry.trim_end_matches('/')))
        .collect();
    let above: BTreeSet<&Path> = shared.iter().flat_map(|entry| entry.ancestors().skip(1)).collect();
    let mut digest = Sha256::new();
    if shared.is_empty() {
        let found = fs::symlink_metadata(release).map_err(ReleaseError::io("looking at", release))?;
        add(&mut digest, Path::new(""), found.mode(), found.len());
    }
    for entry in &manifest.entries {
        let is_shared = || entry.path.ancestors().any(|path| shared.contains(path));
        if above.contains(entry.path.as_path()) || (!shared.is_empty() && is_shared()) {
            continue;
        }
        add(&mut digest, &entry.path, entry.look.mode, entry.look.size);
    }
    Ok(hex::encode(digest.finalize()))
}

fn add(digest: &mut Sha256, path: &Path, mode: u32, size: u64) {
    digest.update(path.as_os_str().as_bytes());
    digest.update([0]);
    let is_directory = mode & S_IFMT == S_IFDIR;
    digest.update(mode.to_le_bytes());
    digest.update(if is_directory { 0 } else { size }.to_le_bytes());
}
