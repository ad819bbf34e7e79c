//! Reads the tree of a commit, and refuses what must not reach a disk. What a remote sends is hostile until shown
//! otherwise: git itself takes trees with `..`, `.git`, duplicate names and setuid modes without complaint.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use git2::{Oid, Repository};

use super::history::find_commit;
use super::{GitError, GitErrorKind};
use crate::model::CommitId;

/// `NAME_MAX` of Linux file systems.
const NAME_MAX: usize = 255;

/// Deepest directory; far beyond real trees, and far from the end of the stack.
const DEPTH_MAX: usize = 256;

/// Most files of a tree. A few kilobytes of nested trees can stand for billions of files.
const ITEMS_MAX: usize = 2_000_000;

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
pub(super) fn list(repo: &Repository, commit: &CommitId, prefix: &Path, source: usize) -> Result<Listing, GitError> {
    let root = find_commit(repo, commit)?.tree_id();
    let mut listing = Listing::default();
    add(repo, root, prefix, source, 0, &mut listing)?;
    Ok(listing)
}

fn add(
    repo: &Repository,
    tree: Oid,
    prefix: &Path,
    source: usize,
    depth: usize,
    listing: &mut Listing,
) -> Result<(), GitError> {
    if depth > DEPTH_MAX {
        return Err(unsafe_tree(prefix, "is nested too deeply"));
    }
    let tree = repo
        .find_tree(tree)
        .map_err(|e| GitError::from_git2(&e, "reading a tree"))?;
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
        let kind = match entry.filemode_raw() & 0o170_000 {
            0o040_000 => {
                listing.directories.push(path.clone());
                add(repo, entry.id(), &path, source, depth + 1, listing)?;
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
        if listing.items.len() > ITEMS_MAX {
            return Err(unsafe_tree(prefix, "takes the tree over two million files"));
        }
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

fn unsafe_tree(path: &Path, why: &str) -> GitError {
    let message = format!("the commit is refused: `{}` {why}", path.display());
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
