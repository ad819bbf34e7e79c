//! Reads the tree of a commit, and refuses entries that must not reach a disk. What a remote sends is hostile until shown
//! otherwise: git itself takes trees with `..`, `.git`, duplicate names and setuid modes without complaint.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use git2::{Oid, Repository};

use super::history::find_commit;
use super::{Bounds, GitError, GitErrorKind};
use crate::model::{CommitId, words};

/// `NAME_MAX` of Linux file systems.
const NAME_MAX: usize = 255;

/// Most of a path that a message shows, characters.
const PATH_SHOWN: usize = 200;

/// Deepest directory; far beyond real trees, and far from the end of the stack.
const DEPTH_MAX: usize = 256;

/// Longest path, bytes: `PATH_MAX` of Linux, with the directory that the tree is written to.
const PATH_MAX: usize = 4096;

/// Paths of all entries together, bytes for each entry that may be: real trees have half of it.
const PATH_MEAN_MAX: usize = 128;

/// Largest tree object, bytes: one directory with a million files.
const TREE_MAX: usize = 64 << 20;

/// What is left of what a commit and its submodules may have together. A few kilobytes of nested trees can stand for billions
/// of entries, so all that costs memory or inodes counts: files, directories, submodules, and the length of their paths.
#[derive(Default)]
pub(super) struct Budget {
    limit: usize,
    entries: usize,
    path_bytes: usize,
}

impl Budget {
    pub(super) fn new(bounds: &Bounds) -> Self {
        Self {
            limit: bounds.files,
            entries: bounds.files,
            path_bytes: bounds.files.max(10_000) * PATH_MEAN_MAX,
        }
    }

    fn take(&mut self, path: &Path) -> Result<(), GitError> {
        let length = path.as_os_str().len();
        if length > PATH_MAX {
            return Err(unsafe_tree(
                path.parent().unwrap_or(path),
                "has paths of more than 4096 bytes",
            ));
        }
        let left = (self.entries.checked_sub(1), self.path_bytes.checked_sub(length));
        let (Some(entries), Some(path_bytes)) = left else {
            let limit = self.limit;
            let message = format!(
                "the commit is refused: `{}` takes it over {limit} files, directories and submodules",
                cut(path)
            );
            return Err(GitError::new(GitErrorKind::UnsafeTree, message)
                .hint("if it is meant, raise `files` in `[limits]`; long paths count more than once"));
        };
        (self.entries, self.path_bytes) = (entries, path_bytes);
        Ok(())
    }
}

/// A file or symbolic link of a tree.
#[derive(Debug, Clone)]
pub(super) struct Item {
    /// Relative; each component is a safe name.
    pub path: PathBuf,
    pub kind: Kind,
    pub blob: Oid,
    /// Index of the mirror that has the blob, see [`super::submodule::Plan`].
    pub source: usize,
}

/// What an item becomes on disk. Of a file's mode only the executable bit counts, as git has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File { executable: bool },
    Link,
}

/// A tree, flat, in the tree's order: parents before children.
#[derive(Default)]
pub(super) struct Listing {
    pub directories: Vec<PathBuf>,
    pub items: Vec<Item>,
    /// Submodules: where, and at which commit.
    pub gitlinks: Vec<(PathBuf, Oid)>,
}

/// Lists the tree of a commit, with all paths below `prefix`.
pub(super) fn list(
    repo: &Repository,
    commit: &CommitId,
    prefix: &Path,
    source: usize,
    budget: &mut Budget,
) -> Result<Listing, GitError> {
    let root = find_commit(repo, commit)?.tree_id();
    let mut listing = Listing::default();
    add(repo, root, prefix, source, 0, budget, &mut listing)?;
    Ok(listing)
}

fn add(
    repo: &Repository,
    tree: Oid,
    prefix: &Path,
    source: usize,
    depth: usize,
    budget: &mut Budget,
    listing: &mut Listing,
) -> Result<(), GitError> {
    if depth > DEPTH_MAX {
        return Err(unsafe_tree(prefix, "is nested too deeply"));
    }
    let failed = |e: git2::Error| GitError::from_git2(&e, "reading a tree");
    if repo.odb().and_then(|odb| odb.read_header(tree)).map_err(failed)?.0 > TREE_MAX {
        return Err(unsafe_tree(prefix, "is one directory of more than 64 MiB of names"));
    }
    let tree = repo.find_tree(tree).map_err(failed)?;
    let mut names = HashSet::new();
    for entry in &tree {
        let name = entry.name_bytes();
        let path = prefix.join(OsStr::from_bytes(name));
        if let Some(why) = unsafe_name(name) {
            let at = prefix.join(String::from_utf8_lossy(name).escape_debug().to_string());
            return Err(unsafe_tree(&at, why));
        }
        if !names.insert(name.to_vec()) {
            return Err(unsafe_tree(&path, "is there twice"));
        }
        budget.take(&path)?;
        let kind = match entry.filemode_raw() & 0o170_000 {
            0o040_000 => {
                listing.directories.push(path.clone());
                add(repo, entry.id(), &path, source, depth + 1, budget, listing)?;
                continue;
            }
            0o160_000 => {
                listing.gitlinks.push((path, entry.id()));
                continue;
            }
            0o100_000 => Kind::File {
                executable: entry.filemode_raw() & 0o111 != 0,
            },
            0o120_000 if name.eq_ignore_ascii_case(b".gitmodules") => {
                return Err(unsafe_tree(&path, "is a symbolic link"));
            }
            0o120_000 => Kind::Link,
            _ => {
                return Err(unsafe_tree(
                    &path,
                    "has a mode that is neither file, link, directory nor submodule",
                ));
            }
        };
        listing.items.push(Item {
            path,
            kind,
            blob: entry.id(),
            source,
        });
    }
    Ok(())
}

/// Why a name must not become a file's.
fn unsafe_name(name: &[u8]) -> Option<&'static str> {
    match name {
        b"" => Some("has an empty name"),
        b"." | b".." => Some("is a name that leaves its directory"),
        _ if name.contains(&b'/') || name.contains(&0) => Some("has a slash or a NUL in its name"),
        _ if name.len() > NAME_MAX => Some("has a name of more than 255 bytes"),
        _ if name.eq_ignore_ascii_case(b".git") || name.eq_ignore_ascii_case(b"git~1") => {
            Some("would make the directory a git repository of its own")
        }
        _ => None,
    }
}

/// A path as messages have it.
fn cut(path: &Path) -> String {
    words::shown(&path.to_string_lossy(), PATH_SHOWN)
}

fn unsafe_tree(path: &Path, why: &str) -> GitError {
    let message = format!("the commit is refused: `{}` {why}", cut(path));
    GitError::new(GitErrorKind::UnsafeTree, message).hint("no git client makes such a tree; find out who did")
}

#[cfg(test)]
mod tests {
    use super::unsafe_name;

    #[test]
    fn names_that_must_not_reach_a_disk() {
        for bad in [
            "",
            ".",
            "..",
            ".git",
            ".GIT",
            "git~1",
            "GIT~1",
            "a/b",
            "/",
            "a\0b",
            &"x".repeat(256),
        ] {
            assert!(unsafe_name(bad.as_bytes()).is_some(), "{bad:?}");
        }
        for good in [
            "a",
            "...",
            ".gitignore",
            ".gitmodules",
            "git",
            "a b",
            "-rf",
            "a\\b",
            "\u{fc}",
            &"x".repeat(255),
        ] {
            assert!(unsafe_name(good.as_bytes()).is_none(), "{good:?}");
        }
        assert!(unsafe_name(b"\xff\xfe").is_none());
    }
}
