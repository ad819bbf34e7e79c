//! What all releases of a target have in common: kept in `shared/`, linked into each release.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::prepare::make_readable;
use super::remove::remove_tree;
use super::{GONE_PREFIX, Layout, ReleaseError, SEED_PREFIX, rename_to_new, unique};

/// An entry of `shared`, taken apart.
struct Entry<'a> {
    parents: Vec<&'a str>,
    last: &'a str,
    /// Written with a `/` at the end.
    directory: bool,
}

impl<'a> Entry<'a> {
    fn parse(text: &'a str) -> Result<Self, ReleaseError> {
        let (plain, directory) = text.strip_suffix('/').map_or((text, false), |plain| (plain, true));
        let mut parents: Vec<&str> = plain.split('/').collect();
        if parents.iter().any(|part| matches!(*part, "" | "." | "..")) {
            return Err(ReleaseError::Obstacle(format!(
                "shared = {text:?}: it has to be a path below the release, without `.`, `..` and empty parts"
            )));
        }
        let last = parents.pop().unwrap_or_default();
        Ok(Self {
            parents,
            last,
            directory,
        })
    }

    /// The entry below `root`.
    fn below(&self, root: &Path) -> PathBuf {
        let mut path = root.to_owned();
        path.extend(&self.parents);
        path.join(self.last)
    }

    /// From where the entry is in a release (`releases/NAME/…`), up to `path` and down to `shared/…`.
    fn link(&self) -> PathBuf {
        let mut link: PathBuf = std::iter::repeat_n("..", self.parents.len() + 2).collect();
        link.push("shared");
        self.below(&link)
    }

    /// Whether it is to be a directory if it is nowhere yet.
    fn is_directory(&self) -> bool {
        self.directory || !self.last.contains('.')
    }

    /// Makes the parents below `root`.
    fn make_parents(&self, root: &Path) -> Result<(), ReleaseError> {
        self.check_parents(root)?;
        let parents: PathBuf = self.parents.iter().collect();
        let path = root.join(parents);
        make_readable(&path).map_err(ReleaseError::io("making the directory", &path))
    }

    /// Refuses parents that are no directories. Nothing is ever made through a link: it may lead anywhere.
    fn check_parents(&self, root: &Path) -> Result<(), ReleaseError> {
        let mut path = root.to_owned();
        for part in &self.parents {
            path.push(part);
            match fs::symlink_metadata(&path) {
                Ok(found) if found.is_dir() => {}
                Ok(found) => {
                    let what = if found.is_symlink() { "a link" } else { "a file" };
                    return Err(ReleaseError::Obstacle(format!(
                        "shared = \"{}\": {} is {what}, and hookd makes nothing through it; it has to be a directory",
                        self.below(Path::new("")).display(),
                        path.display()
                    )));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(ReleaseError::io("looking at", &path)(error)),
            }
        }
        Ok(())
    }
}

impl Layout {
    /// Puts a relative link into `shared/` in the place of each entry of `shared` in a release, which has to be a
    /// directory right below `releases/`. What `shared/` does not have yet stays the release's own until
    /// [`Layout::fill_shared`]: a directory is made if the tree has none.
    pub fn link_shared(&self, release: &Path, shared: &[String]) -> Result<(), ReleaseError> {
        for entry in &entries(shared)? {
            let place = entry.below(release);
            if self.has(entry)? {
                entry.make_parents(release)?;
                link(entry, &place)?;
                continue;
            }
            entry.check_parents(&self.shared())?;
            entry.check_parents(release)?;
            // A link of the tree is not kept: from another place it would lead elsewhere.
            if !is_own(&place) {
                clear(&place)?;
                if entry.is_directory() {
                    entry.make_parents(release)?;
                    make_readable(&place).map_err(ReleaseError::io("making the directory", &place))?;
                }
            }
        }
        Ok(())
    }

    /// The entries of `shared` that `shared/` does not have.
    pub fn unfilled(&self, shared: &[String]) -> Result<Vec<String>, ReleaseError> {
        let mut missing = Vec::new();
        for text in shared {
            if !self.has(&Entry::parse(text)?)? {
                missing.push(text.clone());
            }
        }
        Ok(missing)
    }

    /// Moves what `shared/` does not have yet there from a release that is about to go live, puts the links in its place,
    /// and brings all of it to the disk. An entry that is neither there nor in the release and whose name has a `.` and no
    /// `/` at the end is taken for a file that somebody has to put there. May be done again after a crash. Returns what a
    /// person should read in the log.
    pub fn fill_shared(&self, release: &Path, shared: &[String]) -> Result<Vec<String>, ReleaseError> {
        let mut notes = Vec::new();
        let mut changed = false;
        for entry in &entries(shared)? {
            let place = entry.below(release);
            if fs::read_link(&place).is_ok_and(|target| target == entry.link()) && self.has(entry)? {
                continue;
            }
            entry.make_parents(release)?;
            if !self.has(entry)? {
                entry.make_parents(&self.shared())?;
                notes.push(self.fill(entry, &place)?);
            }
            link(entry, &place)?;
            changed = true;
        }
        if changed {
            self.sync(release, shared)?;
        }
        Ok(notes)
    }

    /// Takes back what [`Layout::fill_shared`] moved to `shared/`: the release did not stay live, and the next one is to
    /// bring its own.
    pub fn empty_shared(&self, release: &Path, filled: &[String]) -> Result<(), ReleaseError> {
        for entry in &entries(filled)? {
            let (place, kept) = (entry.below(release), entry.below(&self.shared()));
            if !fs::read_link(&place).is_ok_and(|target| target == entry.link()) || !self.has(entry)? {
                continue;
            }
            clear(&place)?;
            self.transfer(&kept, &place)
                .map_err(ReleaseError::io("taking back to the release", &kept))?;
            // The parents were made for it alone if nothing else is in them.
            let parents = kept.ancestors().skip(1).take(entry.parents.len());
            for parent in parents {
                if fs::remove_dir(parent).is_err() {
                    break;
                }
            }
        }
        Ok(())
    }

    fn has(&self, entry: &Entry<'_>) -> Result<bool, ReleaseError> {
        let kept = entry.below(&self.shared());
        match fs::symlink_metadata(&kept) {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(false),
            Err(error) => Err(ReleaseError::io("looking at", &kept)(error)),
        }
    }

    /// Sees to it that `shared/` has the entry, if that is possible.
    fn fill(&self, entry: &Entry<'_>, place: &Path) -> Result<String, ReleaseError> {
        let kept = entry.below(&self.shared());
        let shown = kept.display();
        if is_own(place) {
            let empty = fs::read_dir(place).is_ok_and(|mut entries| entries.next().is_none());
            self.transfer(place, &kept)
                .map_err(ReleaseError::io("filling from the release", &kept))?;
            let what = if empty {
                "is now an empty directory"
            } else {
                "was filled from the release"
            };
            return Ok(format!("{shown} was missing and {what}"));
        }
        if entry.is_directory() {
            make_readable(&kept).map_err(ReleaseError::io("making the directory", &kept))?;
            return Ok(format!("{shown} was missing and is now an empty directory"));
        }
        Ok(format!(
            "{shown} is missing, and the release's link leads nowhere until you put it there \
             (if it is to be a directory, write it with a `/` at the end)"
        ))
    }

    /// Moves a file or directory; to another file system by a copy under another name first.
    fn transfer(&self, from: &Path, to: &Path) -> io::Result<()> {
        match rename_to_new(from, to) {
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                let directory = if to.starts_with(self.shared()) {
                    self.shared()
                } else {
                    self.releases()
                };
                let prefix = if directory == self.shared() {
                    SEED_PREFIX
                } else {
                    GONE_PREFIX
                };
                let copy = directory.join(unique(prefix)?);
                copy_tree(from, &copy)?;
                rename_to_new(&copy, to)?;
                match remove_tree(from).into_iter().next() {
                    None => Ok(()),
                    Some(problem) => Err(io::Error::other(problem)),
                }
            }
            result => result,
        }
    }
}

/// All entries, none of which may be below another.
fn entries(shared: &[String]) -> Result<Vec<Entry<'_>>, ReleaseError> {
    let all = shared
        .iter()
        .map(|text| Entry::parse(text))
        .collect::<Result<Vec<_>, _>>()?;
    for entry in &all {
        let path = entry.below(Path::new(""));
        let above = |other: &&Entry<'_>| {
            path.ancestors()
                .skip(1)
                .any(|above| above == other.below(Path::new("")))
        };
        if let Some(whole) = all.iter().find(above) {
            return Err(ReleaseError::Obstacle(format!(
                "shared = \"{}\": it is below \"{}\", which is shared as a whole",
                path.display(),
                whole.below(Path::new("")).display()
            )));
        }
    }
    Ok(all)
}

/// Whether a release has a file or directory of its own there.
fn is_own(place: &Path) -> bool {
    fs::symlink_metadata(place).is_ok_and(|found| found.is_dir() || found.is_file())
}

/// Puts the entry's link at `place`, whatever is there.
fn link(entry: &Entry<'_>, place: &Path) -> Result<(), ReleaseError> {
    clear(place)?;
    symlink(entry.link(), place).map_err(ReleaseError::io("making the link", place))
}

/// Copies files with their modes, directories, and links as they are.
fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(from)?;
    if found.is_symlink() {
        return symlink(fs::read_link(from)?, to);
    }
    if !found.is_dir() {
        return fs::copy(from, to).map(drop);
    }
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let name = entry?.file_name();
        copy_tree(&from.join(&name), &to.join(&name))?;
    }
    fs::set_permissions(to, found.permissions())
}

/// Takes away what a release has in the place of a link.
fn clear(place: &Path) -> Result<(), ReleaseError> {
    let clearing = ReleaseError::io("making room for a link at", place);
    match fs::symlink_metadata(place) {
        Ok(found) if found.is_dir() => match remove_tree(place).into_iter().next() {
            None => Ok(()),
            Some(problem) => Err(clearing(io::Error::other(problem))),
        },
        Ok(_) => fs::remove_file(place).map_err(clearing),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(clearing(error)),
    }
}
