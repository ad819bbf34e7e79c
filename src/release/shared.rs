//! What all releases of a target have in common: kept in `shared/`, linked into each release.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::remove::remove_tree;
use super::{Layout, ReleaseError, SEED_PREFIX, rename_to_new, unique};

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

    /// Makes the parents below `root`. Never through a link: it may lead anywhere.
    fn make_parents(&self, root: &Path) -> Result<(), ReleaseError> {
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
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    fs::create_dir(&path).map_err(ReleaseError::io("making the directory", &path))?;
                }
                Err(error) => return Err(ReleaseError::io("looking at", &path)(error)),
            }
        }
        Ok(())
    }
}

impl Layout {
    /// Puts a relative link into `shared/` in the place of each entry of `shared` in a release, which has to be a
    /// directory right below `releases/`. What `shared/` does not have yet comes from the tree, or is made as an empty
    /// directory, or, if its name has a `.` and no `/` at the end, is taken for a file that somebody has to put there.
    /// Returns what a person should read in the log.
    pub fn link_shared(&self, release: &Path, shared: &[String]) -> Result<Vec<String>, ReleaseError> {
        let mut notes = Vec::new();
        for text in shared {
            let entry = Entry::parse(text)?;
            entry.make_parents(release)?;
            notes.extend(self.fill(&entry, release)?);
            let place = entry.below(release);
            clear(&place)?;
            symlink(entry.link(), &place).map_err(ReleaseError::io("making the link", &place))?;
        }
        Ok(notes)
    }

    /// Sees to it that `shared/` has the entry, if that is possible.
    fn fill(&self, entry: &Entry<'_>, release: &Path) -> Result<Option<String>, ReleaseError> {
        let kept = entry.below(&self.shared());
        match fs::symlink_metadata(&kept) {
            Ok(_) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(ReleaseError::io("looking at", &kept)(error)),
        }
        entry.make_parents(&self.shared())?;
        let shown = kept.display();
        let in_tree = entry.below(release);
        // A link of the tree is not kept: from another place it would lead elsewhere.
        if fs::symlink_metadata(&in_tree).is_ok_and(|found| found.is_dir() || found.is_file()) {
            self.seed(&in_tree, &kept)?;
            return Ok(Some(format!("{shown} was missing and was filled from the commit")));
        }
        if entry.directory || !entry.last.contains('.') {
            fs::create_dir(&kept).map_err(ReleaseError::io("making the directory", &kept))?;
            return Ok(Some(format!("{shown} was missing and is now an empty directory")));
        }
        Ok(Some(format!(
            "{shown} is missing, and the release's link leads nowhere until you put it there \
             (if it is to be a directory, write it with a `/` at the end)"
        )))
    }

    /// Moves what the tree has to `shared/`; if that is another file system, copies it under another name first.
    fn seed(&self, from: &Path, to: &Path) -> Result<(), ReleaseError> {
        let moved = match rename_to_new(from, to) {
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => unique(SEED_PREFIX).and_then(|name| {
                let copy = self.shared().join(name);
                copy_tree(from, &copy)?;
                rename_to_new(&copy, to)
            }),
            result => result,
        };
        moved.map_err(ReleaseError::io("filling from the commit", to))
    }
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
