//! What all releases of a target have in common: kept in `shared/`, linked into each release.
//!
//! Programs that run as others may write in a release meanwhile, and exchange a directory for a link to somewhere else. So the
//! directory of an entry is held while anything is done to it.

use std::fs::{self, DirBuilder, File, FileTimes, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown, lchown, symlink};
use std::path::{Path, PathBuf};

use nix::libc::{ELOOP, ENOTDIR, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK};
use nix::unistd::geteuid;

use super::remove::remove_tree;
use super::walk::{held, open};
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

    /// Holds the entry's directory below `root`, and makes what is missing of it if `make`; `None` if it is missing. Fails if a
    /// parent is no directory: nothing is ever made through a link, which may lead anywhere.
    fn hold(&self, root: &Path, make: bool) -> Result<Option<Place>, ReleaseError> {
        let mut path = root.to_owned();
        let mut directory = match open(root, 0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !make => return Ok(None),
            opened => opened.map_err(ReleaseError::io("opening", root))?,
        };
        for part in &self.parents {
            path.push(part);
            let below = held(&directory).join(part);
            if make {
                make_directory(&below).map_err(ReleaseError::io("making the directory", &path))?;
            }
            directory = match open(&below, O_NOFOLLOW) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) if matches!(error.raw_os_error(), Some(ENOTDIR | ELOOP)) => {
                    return Err(self.no_directory(&path, &below));
                }
                other => other.map_err(ReleaseError::io("opening", &path))?,
            };
        }
        Ok(Some(Place {
            path: path.join(self.last),
            held: held(&directory).join(self.last),
            _directory: directory,
        }))
    }

    fn no_directory(&self, path: &Path, held: &Path) -> ReleaseError {
        let what = match fs::symlink_metadata(held) {
            Ok(found) if found.is_symlink() => "a link",
            _ => "a file",
        };
        ReleaseError::Obstacle(format!(
            "shared = \"{}\": {} is {what}, and hookd makes nothing through it; it has to be a directory",
            self.below(Path::new("")).display(),
            path.display()
        ))
    }

    /// The same where it is made if it is missing.
    fn make(&self, root: &Path) -> Result<Place, ReleaseError> {
        let gone = || {
            let gone = io::Error::from(io::ErrorKind::NotFound);
            ReleaseError::io("making the directory of", self.below(root))(gone)
        };
        self.hold(root, true)?.ok_or_else(gone)
    }
}

/// An entry in a release or in `shared`, whose directory is held.
struct Place {
    /// Its path, by which people know it.
    path: PathBuf,
    /// The same by way of the directory that is held. Only what does not follow a link may be done with it.
    held: PathBuf,
    _directory: File,
}

impl Place {
    /// Whether there is a file or directory.
    fn is_own(&self) -> bool {
        fs::symlink_metadata(&self.held).is_ok_and(|found| found.is_dir() || found.is_file())
    }

    /// Whether it is the entry's link.
    fn is_link_of(&self, entry: &Entry<'_>) -> bool {
        fs::read_link(&self.held).is_ok_and(|target| target == entry.link())
    }

    /// Puts the entry's link there, whatever is there.
    fn link(&self, entry: &Entry<'_>) -> Result<(), ReleaseError> {
        self.clear()?;
        symlink(entry.link(), &self.held).map_err(ReleaseError::io("making the link", &self.path))
    }

    /// Takes away what is there.
    fn clear(&self) -> Result<(), ReleaseError> {
        let clearing = ReleaseError::io("making room for a link at", &self.path);
        match fs::symlink_metadata(&self.held) {
            Ok(found) if found.is_dir() => self.remove().map_err(clearing),
            Ok(_) => fs::remove_file(&self.held).map_err(clearing),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(clearing(error)),
        }
    }

    fn remove(&self) -> io::Result<()> {
        let (held, path) = (self.held.to_string_lossy(), self.path.to_string_lossy());
        match remove_tree(&self.held).into_iter().next() {
            None => Ok(()),
            Some(problem) => Err(io::Error::other(problem.replace(&*held, &path))),
        }
    }
}

impl Layout {
    /// Puts a relative link into `shared/` in the place of each entry of `shared` in a release, which has to be a
    /// directory right below `releases/`. What `shared/` does not have yet stays the release's own until
    /// [`Layout::fill_shared`]: a directory is made if the tree has none.
    pub fn link_shared(&self, release: &Path, shared: &[String]) -> Result<(), ReleaseError> {
        for entry in &entries(shared)? {
            if self.has(entry)? {
                entry.make(release)?.link(entry)?;
                continue;
            }
            entry.hold(&self.shared(), false)?;
            let place = entry.hold(release, false)?;
            if place.as_ref().is_some_and(Place::is_own) {
                continue;
            }
            // A link of the tree is not kept: from another place it would lead elsewhere.
            place.map_or(Ok(()), |place| place.clear())?;
            if entry.is_directory() {
                let place = entry.make(release)?;
                make_directory(&place.held).map_err(ReleaseError::io("making the directory", &place.path))?;
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
            let place = entry.make(release)?;
            if place.is_link_of(entry) && self.has(entry)? {
                continue;
            }
            if !self.has(entry)? {
                notes.push(self.fill(entry, &place)?);
            }
            place.link(entry)?;
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
            let (place, kept) = (entry.hold(release, false)?, entry.hold(&self.shared(), false)?);
            let (Some(place), Some(kept)) = (place, kept) else {
                continue;
            };
            if !place.is_link_of(entry) || !self.has(entry)? {
                continue;
            }
            place.clear()?;
            self.transfer(&kept, &place)
                .map_err(ReleaseError::io("taking back to the release", &kept.path))?;
            // The parents were made for it alone if nothing else is in them.
            let parents = kept.path.ancestors().skip(1).take(entry.parents.len());
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
    fn fill(&self, entry: &Entry<'_>, place: &Place) -> Result<String, ReleaseError> {
        let kept = entry.make(&self.shared())?;
        let shown = kept.path.display();
        if place.is_own() {
            let empty = fs::read_dir(&place.held).is_ok_and(|mut entries| entries.next().is_none());
            self.transfer(place, &kept)
                .map_err(ReleaseError::io("filling from the release", &kept.path))?;
            let what = if empty {
                "is now an empty directory"
            } else {
                "was filled from the release"
            };
            return Ok(format!("{shown} was missing and {what}"));
        }
        if entry.is_directory() {
            make_directory(&kept.held).map_err(ReleaseError::io("making the directory", &kept.path))?;
            return Ok(format!("{shown} was missing and is now an empty directory"));
        }
        Ok(format!(
            "{shown} is missing, and the release's link leads nowhere until you put it there \
             (if it is to be a directory, write it with a `/` at the end)"
        ))
    }

    /// Moves a file or directory; to another file system by a copy under another name first.
    fn transfer(&self, from: &Place, to: &Place) -> io::Result<()> {
        match rename_to_new(&from.held, &to.held) {
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                let (directory, prefix) = if to.path.starts_with(self.shared()) {
                    (self.shared(), SEED_PREFIX)
                } else {
                    (self.releases(), GONE_PREFIX)
                };
                let copy = directory.join(unique(prefix)?);
                copy_tree(&from.held, &copy)?;
                rename_to_new(&copy, &to.held)?;
                from.remove()
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

/// Copies files, directories, and links as they are, with owners, modes and times. What is copied is opened first and looked at
/// then: whoever may write there can exchange it for a link to a file that is not theirs. Nothing becomes set-user-ID.
fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    let opened = File::options()
        .read(true)
        .custom_flags(O_NOFOLLOW | O_NONBLOCK)
        .open(from);
    let mut source = match opened {
        Err(error) if error.raw_os_error() == Some(ELOOP) => return copy_link(from, to),
        opened => opened?,
    };
    let found = source.metadata()?;
    if found.is_file() {
        let mut target = File::options().write(true).create_new(true).mode(0o600).open(to)?;
        io::copy(&mut source, &mut target)?;
        return finish_copy(&target, &found, found.mode() & 0o777);
    }
    if !found.is_dir() {
        return Err(io::Error::other(
            "it has something that is neither a file, a directory nor a link",
        ));
    }
    DirBuilder::new().mode(0o700).create(to)?;
    let target = open_new(to)?;
    for entry in fs::read_dir(held(&source))? {
        let name = entry?.file_name();
        copy_tree(&held(&source).join(&name), &held(&target).join(&name))?;
    }
    finish_copy(&target, &found, found.mode() & 0o7777)
}

/// Makes a directory that a web server gets through, whatever this process's umask is, if nothing has that name.
fn make_directory(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        made => made?,
    }
    let directory = open_new(path)?;
    let mode = directory.metadata()?.mode() & 0o7777;
    directory.set_permissions(Permissions::from_mode(mode | 0o755))
}

/// Opens a directory that was just made.
fn open_new(directory: &Path) -> io::Result<File> {
    let flags = O_NOFOLLOW | O_DIRECTORY;
    File::options().read(true).custom_flags(flags).open(directory)
}

fn copy_link(from: &Path, to: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(from)?;
    symlink(fs::read_link(from)?, to)?;
    if geteuid().is_root() {
        lchown(to, Some(found.uid()), Some(found.gid()))?;
    }
    Ok(())
}

fn finish_copy(target: &File, found: &Metadata, mode: u32) -> io::Result<()> {
    if geteuid().is_root() {
        fchown(target, Some(found.uid()), Some(found.gid()))?;
    }
    target.set_permissions(Permissions::from_mode(mode))?;
    target.set_times(FileTimes::new().set_modified(found.modified()?))
}
