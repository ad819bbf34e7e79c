//! Who the daemon is, and what the rights of files let it do.

use std::ffi::CString;
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};

/// Right to read.
pub const READ: u32 = 4;
/// Right to write.
pub const WRITE: u32 = 2;
/// Right to pass through a directory.
pub const PASS: u32 = 1;

/// A user of the machine with all its groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name, or its number if it has none.
    pub name: String,
    /// Its number.
    pub uid: u32,
    /// Its groups.
    pub groups: Vec<u32>,
}

/// Whether an account may do something with a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// It may.
    Yes,
    /// This part of the path is the first that is not there.
    Missing(PathBuf),
    /// The rights of this part of the path are in the way.
    No(PathBuf),
    /// Whoever asks may not look there.
    Unknown(PathBuf),
}

impl Account {
    /// The account of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::of(&User::from_name(name).ok().flatten()?)
    }

    /// The account of that number.
    pub fn numbered(uid: Uid) -> Self {
        let user = User::from_uid(uid).ok().flatten();
        user.and_then(|user| Self::of(&user)).unwrap_or_else(|| Self {
            name: uid.to_string(),
            uid: uid.as_raw(),
            groups: Vec::new(),
        })
    }

    fn of(user: &User) -> Option<Self> {
        let name = CString::new(user.name.clone()).ok()?;
        let groups = getgrouplist(&name, user.gid).ok()?;
        Some(Self {
            name: user.name.clone(),
            uid: user.uid.as_raw(),
            groups: groups.into_iter().map(Gid::as_raw).collect(),
        })
    }

    /// `hookd:hookd`, as `chown` takes it; the group is the user's first.
    pub fn owner(&self) -> String {
        let group = self.groups.first().map(|gid| group_name(*gid));
        format!("{}:{}", self.name, group.unwrap_or_default())
    }

    fn has(&self, about: &Metadata, right: u32) -> bool {
        let shift = match (about.uid() == self.uid, self.groups.contains(&about.gid())) {
            (true, _) => 6,
            (false, true) => 3,
            (false, false) => 0,
        };
        self.uid == 0 || (about.mode() >> shift) & right == right
    }

    /// Whether it has that right on a path, and may get there. Access lists beyond the mode are not looked at.
    pub fn may(&self, path: &Path, right: u32) -> Access {
        let mut parts: Vec<&Path> = path.ancestors().collect();
        parts.reverse();
        for part in parts {
            let about = match fs::metadata(part) {
                Ok(about) => about,
                Err(error) if error.kind() == ErrorKind::NotFound => return Access::Missing(part.to_owned()),
                Err(_) => return Access::Unknown(part.to_owned()),
            };
            let needed = if part == path { right } else { PASS };
            if !self.has(&about, needed) {
                return Access::No(part.to_owned());
            }
        }
        Access::Yes
    }
}

/// `root:hookd, mode 0640`
pub fn rights(about: &Metadata) -> String {
    let user = User::from_uid(Uid::from_raw(about.uid())).ok().flatten();
    let user = user.map_or_else(|| about.uid().to_string(), |user| user.name);
    format!("{user}:{}, mode {:04o}", group_name(about.gid()), about.mode() & 0o7777)
}

/// The name of a group, or its number if it has none.
pub fn group_name(gid: u32) -> String {
    let group = Group::from_gid(Gid::from_raw(gid)).ok().flatten();
    group.map_or_else(|| gid.to_string(), |group| group.name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn rights_are_those_of_owner_group_and_others() {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "x").unwrap();
        let about = fs::metadata(&file).unwrap();
        let someone = |uid, groups: &[u32]| Account {
            name: "x".into(),
            uid,
            groups: groups.to_vec(),
        };
        let (owner, member, other) = (
            someone(about.uid(), &[]),
            someone(4_000_000, &[about.gid()]),
            someone(4_000_000, &[4_000_000]),
        );
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(owner.may(&file, READ | WRITE), Access::Yes);
        assert_eq!(member.may(&file, READ), Access::Yes);
        assert_eq!(member.may(&file, WRITE), Access::No(file.clone()));
        assert_eq!(other.may(&file, READ), Access::No(file.clone()));
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(other.may(&file, READ), Access::No(directory.path().to_owned()));
        assert_eq!(
            owner.may(&directory.path().join("a/b"), READ),
            Access::Missing(directory.path().join("a"))
        );
    }
}
