//! Looks at everything in a tree: each file, directory and link once, never through a link, in the order of the names.

use std::fs::{self, Metadata};
use std::io;
use std::path::Path;

use super::ReleaseError;

/// Calls `visit` for `root` itself and all that is in it, parents first. False ends the descent there. What goes away
/// meanwhile is passed over.
pub(super) fn walk(
    root: &Path,
    visit: &mut dyn FnMut(&Path, &Metadata) -> Result<bool, ReleaseError>,
) -> Result<(), ReleaseError> {
    let Some(found) = unless_gone(fs::symlink_metadata(root)).map_err(ReleaseError::io("looking at", root))? else {
        return Ok(());
    };
    if !visit(root, &found)? || !found.is_dir() {
        return Ok(());
    }
    let reading = || ReleaseError::io("reading the directory", root);
    let Some(entries) = unless_gone(fs::read_dir(root)).map_err(reading())? else {
        return Ok(());
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.map_err(reading())?.file_name());
    }
    names.sort_unstable();
    names.iter().try_for_each(|name| walk(&root.join(name), visit))
}

fn unless_gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}
