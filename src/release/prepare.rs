//! Makes a target's directories, and says in full what to do if that is not possible.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use nix::unistd::{Gid, Group, Uid, User, geteuid};

use super::{GONE_PREFIX, LINK_PREFIX, Layout, ReleaseError, unique};

impl Layout {
    /// Makes `path`, `releases/` and `shared/` if they are missing, and tries whether a deployment could write there.
    pub fn prepare(&self) -> Result<(), ReleaseError> {
        for directory in [self.path.clone(), self.releases(), self.shared()] {
            make_readable(&directory).map_err(|error| self.obstacle(&directory, error))?;
        }
        let releases = self.releases();
        if fs::symlink_metadata(&releases).is_ok_and(|found| found.is_symlink()) {
            return Err(ReleaseError::Obstacle(format!(
                "{} is a link, and links from there to `shared` would lead elsewhere; \
                 make it a directory, or let `path` name the place that it points at",
                releases.display()
            )));
        }
        self.refuse_if_no_link()?;
        try_link(&self.path).map_err(|error| self.obstacle(&self.path, error))?;
        try_directory(&releases).map_err(|error| self.obstacle(&releases, error))
    }

    /// Why a deployment cannot write in `directory`, and what to do.
    fn obstacle(&self, directory: &Path, error: io::Error) -> ReleaseError {
        let existing = directory
            .ancestors()
            .find(|parent| fs::symlink_metadata(parent).is_ok());
        let existing = existing.unwrap_or(Path::new("/"));
        let text = match error.kind() {
            io::ErrorKind::PermissionDenied => no_permission(existing, &self.path),
            io::ErrorKind::ReadOnlyFilesystem => read_only(existing, &self.path),
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => no_directory(existing),
            _ => return ReleaseError::io("preparing the directory", directory)(error),
        };
        ReleaseError::Obstacle(text)
    }
}

/// Makes a directory with its parents; a web server has to get through them, whatever this process's umask is.
pub(super) fn make_readable(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    if let Some(parent) = directory.parent() {
        make_readable(parent)?;
    }
    match fs::create_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && directory.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => {
            let made = fs::metadata(directory)?.mode() & 0o7777;
            fs::set_permissions(directory, fs::Permissions::from_mode(made | 0o755))
        }
    }
}

/// What `activate` does first.
fn try_link(directory: &Path) -> io::Result<()> {
    let link = directory.join(unique(LINK_PREFIX)?);
    symlink("releases", &link)?;
    fs::remove_file(link)
}

/// What a deployment does first.
fn try_directory(directory: &Path) -> io::Result<()> {
    let made = directory.join(unique(GONE_PREFIX)?);
    fs::create_dir(&made)?;
    fs::remove_dir(made)
}

fn no_permission(existing: &Path, path: &Path) -> String {
    let me = user_name(geteuid());
    let Ok(found) = fs::metadata(existing) else {
        return format!(
            "{me}, who hookd runs as, may not look at {}; allow it there",
            existing.display()
        );
    };
    let owner = user_name(Uid::from_raw(found.uid()));
    let group = Gid::from_raw(found.gid());
    let group = Group::from_gid(group)
        .ok()
        .flatten()
        .map_or(group.to_string(), |group| group.name);
    let home = ["/home", "/root", "/run/user"]
        .iter()
        .any(|home| path.starts_with(home));
    let hidden = if home {
        "; a systemd unit with ProtectHome= sees nothing there, see `systemctl cat hookd`"
    } else {
        ""
    };
    format!(
        "{me}, who hookd runs as, may not write in {} (it belongs to {owner}:{group}, mode {:04o}); \
         run `sudo mkdir -p {path} && sudo chown {me} {path}`{hidden}",
        existing.display(),
        found.mode() & 0o7777,
        path = path.display(),
    )
}

fn read_only(existing: &Path, path: &Path) -> String {
    format!(
        "{} is read-only for hookd, though perhaps not for others: if hookd runs under systemd, make {path} by hand, add the line \
         `ReadWritePaths={path}` below `[Service]` with `sudo systemctl edit hookd`, and restart it; \
         else the file system is mounted read-only",
        existing.display(),
        path = path.display(),
    )
}

fn no_directory(existing: &Path) -> String {
    let what = match fs::symlink_metadata(existing) {
        Ok(found) if found.is_symlink() => "a link to nothing or to a file",
        _ => "a file",
    };
    format!(
        "{} is {what}, and hookd needs a directory there; move it away, or choose another `path`",
        existing.display()
    )
}

fn user_name(uid: Uid) -> String {
    User::from_uid(uid)
        .ok()
        .flatten()
        .map_or_else(|| uid.to_string(), |user| user.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::errno::Errno;

    #[test]
    fn obstacles_say_what_to_do() {
        let layout = Layout::new("/home/hookd-test/blog");
        let told = |errno: Errno| layout.obstacle(&layout.releases(), errno.into()).to_string();
        let read_only = told(Errno::EROFS);
        assert!(
            read_only.contains("`ReadWritePaths=/home/hookd-test/blog`"),
            "{read_only}"
        );
        let me = user_name(geteuid());
        let refused = told(Errno::EACCES);
        assert!(
            refused.starts_with(&format!(
                "{me}, who hookd runs as, may not write in /home (it belongs to root:root, mode 0755)"
            )),
            "{refused}"
        );
        assert!(
            refused.contains(&format!("chown {me} /home/hookd-test/blog")) && refused.contains("ProtectHome="),
            "{refused}"
        );
        let full = told(Errno::ENOSPC);
        assert_eq!(
            full,
            "preparing the directory /home/hookd-test/blog/releases: No space left on device"
        );
    }
}
