//! The bare mirror of a remote: made, locked, swept, packed, thrown away. It is a cache that hookd alone writes, and
//! its refs are private, flat names, so that no ref of the remote can be in another one's way.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use git2::{Repository, RepositoryInitOptions};
use sha2::{Digest, Sha256};

use super::program::Program;
use super::report::Reporter;
use super::{GitError, GitErrorKind};
use crate::model::{CommitId, tells_of_passing};

/// Each fetch adds a pack, and each pack costs a descriptor and time. Above this many, a deployment's end packs them.
const PACKS_MAX: usize = 50;

/// Above this many, a fetch packs them itself: there were many fetches and no deployment that came to its end.
const PACKS_TOO_MANY: usize = 4 * PACKS_MAX;

/// Says that hookd made the directory, and so may remove it.
const MARKER: &str = "hookd-mirror";

/// How many bytes the mirror had when all of it was packed last.
const PACKED: &str = "hookd-packed";

/// How the `HEAD` of a mirror begins: git makes it a link to a branch, and nobody changes it.
const HEAD: &[u8] = b"ref: refs/";

/// Refs of the remote's refs, named by the SHA-256 of the full name.
const TIPS: &str = "refs/hookd/tip/";

/// Refs of commits that are still deployed somewhere, named by the commits.
const KEPT: &str = "refs/hookd/keep/";

/// What the holder of the lock does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    Read,
    Write,
}

/// A mirror, locked. The lock is a file beside it, since the mirror itself may be replaced.
pub(super) struct Mirror {
    path: PathBuf,
    _lock: File,
}

impl Mirror {
    /// Waits for the lock, and makes the parent directories.
    pub(super) fn lock(path: &Path, hold: Hold) -> Result<Self, GitError> {
        let file = lock_file(path).map_err(|e| GitError::disk(path, &e))?;
        let taken = if hold == Hold::Read {
            file.lock_shared()
        } else {
            file.lock()
        };
        taken.map_err(|e| GitError::disk(path, &e))?;
        Ok(Self {
            path: path.to_owned(),
            _lock: file,
        })
    }

    /// A handle of its own for each job: a long-lived one keeps two mappings and a descriptor per pack.
    pub(super) fn open(&self) -> Result<Repository, GitError> {
        open(&self.path)
    }

    /// Opens it; makes it if there is none. `Corrupt` if it is not as hookd made it.
    pub(super) fn open_or_make(&self) -> Result<Repository, GitError> {
        let head = self.path.join("HEAD");
        if !head.exists() {
            self.destroy()?;
            make(&self.path)?;
        } else if !fs::read(&head).is_ok_and(|text| text.starts_with(HEAD)) {
            let message = format!("the mirror {} is damaged: its HEAD is not one", self.path.display());
            return Err(GitError::new(GitErrorKind::Corrupt, message));
        }
        self.open()
    }

    /// Whether all its objects and refs can be read, as far as the `git` program can tell: after a failure that may be the
    /// remote's or the mirror's own.
    pub(super) fn is_sound(&self, reporter: &Reporter) -> bool {
        Program::find().is_none_or(|git| git.is_sound(&self.path, reporter))
    }

    /// Brings it to the disk: what a power cut leaves of files that were not, git takes for damage.
    pub(super) fn sync(&self) -> Result<(), GitError> {
        sync(&self.path)
    }

    /// Fills a new mirror beside the old one and puts it in its place.
    pub(super) fn renew<T>(&self, fill: impl FnOnce(&Path) -> Result<T, GitError>) -> Result<T, GitError> {
        let (new, old) = (beside(&self.path, "new"), beside(&self.path, "old"));
        remove_own(&new)?;
        remove_own(&old)?;
        make(&new)?;
        let result = fill(&new)?;
        sync(&new)?;
        let disk = |e: io::Error| GitError::disk(&self.path, &e);
        if self.path.exists() {
            check_own(&self.path)?;
            fs::rename(&self.path, &old).map_err(disk)?;
        }
        fs::rename(&new, &self.path).map_err(disk)?;
        remove_own(&old)?;
        Ok(result)
    }

    /// Removes it. The next fetch makes it anew.
    pub(super) fn destroy(&self) -> Result<(), GitError> {
        remove_own(&self.path)
    }

    /// Removes what a killed worker or git left, the lock being held.
    pub(super) fn sweep(&self) -> Result<(), GitError> {
        sweep_unlocked(&self.path).map_err(|e| GitError::disk(&self.path, &e))
    }

    /// Marks the commits as still in use, and no others. Those that the mirror lacks are passed over.
    pub(super) fn keep(&self, commits: &[CommitId]) -> Result<(), GitError> {
        let failed = |e: git2::Error| GitError::from_git2(&e, "marking kept commits");
        let repo = self.open()?;
        for commit in commits {
            let Ok(found) = repo.find_commit(oid(commit)?) else {
                continue;
            };
            let name = format!("{KEPT}{commit}");
            // Each ref that is written is synced, so those that are there stay as they are.
            if repo.refname_to_id(&name).ok() != Some(found.id()) {
                repo.reference(&name, found.id(), true, "").map_err(failed)?;
            }
        }
        for reference in repo.references_glob(&format!("{KEPT}*")).map_err(failed)? {
            let mut reference = reference.map_err(failed)?;
            let commit = reference.name().ok().and_then(|name| name.strip_prefix(KEPT));
            if !commits.iter().any(|kept| Some(kept.as_str()) == commit) {
                reference.delete().map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Packs the mirror if a deployment has just ended and it has grown too many packs: the small ones, and all of it once it has
    /// grown to twice its size, which also drops what nobody needs.
    pub(super) fn pack_if_many(&self, reporter: &Reporter) {
        let (count, bytes) = packs(&self.path);
        let Some(git) = Program::find().filter(|_| count > PACKS_MAX) else {
            return;
        };
        let note = self.path.join(PACKED);
        let packed = fs::read_to_string(&note)
            .ok()
            .and_then(|text| text.trim().parse::<u64>().ok());
        let grown = packed.is_none_or(|packed| bytes > packed.saturating_mul(2));
        if !grown && git.join(&self.path, reporter) && packs(&self.path).0 <= PACKS_MAX {
            return;
        }
        if git.pack(&self.path, reporter) {
            // Without it, all is packed the next time, too.
            let _ = fs::write(note, packs(&self.path).1.to_string());
        }
    }

    /// Whether a fetch has to begin by making the mirror anew, because nothing here can pack it. May pack it.
    pub(super) fn outgrown(&self, reporter: &Reporter) -> bool {
        let (packs, _) = packs(&self.path);
        match Program::find() {
            Some(git) if packs > PACKS_TOO_MANY => !git.pack(&self.path, reporter),
            Some(_) => false,
            None => packs > PACKS_MAX,
        }
    }
}

/// The private ref of a ref of the remote. Flat and of fixed length: a branch `feat` that becomes `feat/x` is in
/// nobody's way, and no name is too long for a file.
pub(super) fn tip_ref(name: &str) -> String {
    format!("{TIPS}{}", hex::encode(Sha256::digest(name.as_bytes())))
}

/// libgit2's object name of a commit id.
pub(super) fn oid(commit: &CommitId) -> Result<git2::Oid, GitError> {
    git2::Oid::from_str(commit.as_str()).map_err(|_| {
        GitError::new(
            GitErrorKind::Unsupported,
            format!("{commit} is not a SHA-1 object name"),
        )
    })
}

/// `open_bare` does not look at the owner, nor outside of the directory.
pub(super) fn open(path: &Path) -> Result<Repository, GitError> {
    if !path.exists() {
        return Err(GitError::new(
            GitErrorKind::RefMissing,
            format!("nothing was fetched to {} yet", path.display()),
        ));
    }
    Repository::open_bare(path).map_err(|e| {
        let message = format!("the mirror {} can't be opened: {}", path.display(), e.message());
        GitError::new(GitErrorKind::Corrupt, message)
    })
}

/// Mirrors whose objects can't be read look complete to a fetch, so they are removed: the next fetch makes them anew.
/// To be called without holding their locks.
pub(super) fn discard(error: GitError, mirrors: &[PathBuf]) -> GitError {
    if error.kind != GitErrorKind::Corrupt {
        return error;
    }
    let destroy = |path: &PathBuf| Mirror::lock(path, Hold::Write).and_then(|mirror| mirror.destroy());
    match mirrors.iter().try_for_each(destroy) {
        Ok(()) => error.hint("the damaged mirror was removed; the next attempt fetches everything again"),
        Err(_) => error,
    }
}

/// Removes what a killed worker left in a mirror: `*.lock` files, over which every later fetch would fail, and
/// `pack_git2_*`, as large as a pack each, which not even `git gc` removes. To be called at start; does nothing if
/// there is no mirror or if a worker is at it.
pub fn sweep(mirror: &Path) -> io::Result<()> {
    if !mirror.exists() {
        return Ok(());
    }
    let lock = lock_file(mirror)?;
    match lock.try_lock() {
        Ok(()) => sweep_unlocked(mirror),
        Err(fs::TryLockError::WouldBlock) => Ok(()),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

fn lock_file(mirror: &Path) -> io::Result<File> {
    if let Some(parent) = mirror.parent() {
        fs::create_dir_all(parent)?;
    }
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(beside(mirror, "lock"))
}

/// `blog.git` to `blog.git.lock`.
fn beside(mirror: &Path, suffix: &str) -> PathBuf {
    let mut name = mirror.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

fn make(path: &Path) -> Result<(), GitError> {
    let disk = |e: io::Error| GitError::disk(path, &e);
    fs::create_dir_all(path).map_err(disk)?;
    let marker = path.join(MARKER);
    let text = "hookd made this directory, and may remove it at any time.\n";
    fs::write(&marker, text)
        .and_then(|()| File::open(path)?.sync_all())
        .map_err(disk)?;
    init_bare(path).map(drop).map_err(|e| {
        let message = format!("the mirror {} can't be made: {}", path.display(), e.message());
        let kind = if tells_of_passing(&message) {
            GitErrorKind::Passing
        } else {
            GitErrorKind::Disk
        };
        GitError::new(kind, message)
    })?;
    sync(path)
}

/// One `syncfs` for all of it.
fn sync(path: &Path) -> Result<(), GitError> {
    let synced = File::open(path).and_then(|open| Ok(nix::unistd::syncfs(&open)?));
    synced.map_err(|e| GitError::disk(path, &e))
}

/// Only what hookd made, or an empty directory, is ever removed.
fn check_own(path: &Path) -> Result<(), GitError> {
    let empty = || fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
    if path.join(MARKER).exists() || empty() {
        return Ok(());
    }
    let message = format!("{} is in the way: it is not a mirror that hookd made", path.display());
    Err(GitError::new(GitErrorKind::Disk, message).hint("move it away"))
}

fn remove_own(path: &Path) -> Result<(), GitError> {
    let disk = |e: io::Error| GitError::disk(path, &e);
    if !path.is_dir() {
        // A file, or a link to nothing: no mirror, in a directory that has nothing else.
        return match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(disk(error)),
            _ => Ok(()),
        };
    }
    check_own(path)?;
    // The marker goes last, so that a removal that was interrupted can go on.
    for entry in fs::read_dir(path).map_err(disk)? {
        let entry = entry.map_err(disk)?;
        if entry.file_name() == MARKER {
            continue;
        }
        let kind = entry.file_type().map_err(disk)?;
        let target = entry.path();
        if kind.is_dir() {
            fs::remove_dir_all(&target)
        } else {
            fs::remove_file(&target)
        }
        .map_err(disk)?;
    }
    fs::remove_dir_all(path).map_err(disk)
}

/// How many packs there are, and their bytes.
fn packs(mirror: &Path) -> (usize, u64) {
    let is_pack = |entry: &fs::DirEntry| entry.path().extension().is_some_and(|e| e == "pack");
    let files = fs::read_dir(mirror.join("objects/pack"))
        .into_iter()
        .flatten()
        .flatten();
    let sizes = files
        .filter(is_pack)
        .map(|entry| entry.metadata().map_or(0, |about| about.len()));
    sizes.fold((0, 0), |(count, bytes), size| (count + 1, bytes + size))
}

fn sweep_unlocked(mirror: &Path) -> io::Result<()> {
    remove_matching(mirror, &|name| has_extension(name, "lock"), false)?;
    remove_matching(&mirror.join("refs"), &|name| has_extension(name, "lock"), true)?;
    // libgit2's temporary packs, and those of git's index-pack and repack.
    let temporary = |name: &str| ["pack_git2_", "tmp_", ".tmp-"].iter().any(|p| name.starts_with(p));
    remove_matching(
        &mirror.join("objects/pack"),
        &|name| temporary(name) || has_extension(name, "lock"),
        false,
    )?;
    for suffix in ["new", "old"] {
        let leftover = beside(mirror, suffix);
        if leftover.join(MARKER).exists() {
            fs::remove_dir_all(leftover)?;
        }
    }
    Ok(())
}

fn has_extension(name: &str, extension: &str) -> bool {
    Path::new(name).extension().is_some_and(|e| e == extension)
}

fn remove_matching(directory: &Path, matches: &dyn Fn(&str) -> bool, deep: bool) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        // A file where a directory should be is damage that opening the mirror tells of.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() && deep {
            remove_matching(&entry.path(), matches, deep)?;
        } else if kind.is_file() && matches(&entry.file_name().to_string_lossy()) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// A bare repository without templates.
pub(super) fn init_bare(path: &Path) -> Result<Repository, git2::Error> {
    let mut options = RepositoryInitOptions::new();
    Repository::init_opts(path, options.bare(true).mkpath(true).external_template(false))
}
