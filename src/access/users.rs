//! The file of users: a line `NAME:ROLE:HASH` for each.

use std::fmt::Write;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::password;
use crate::model::{Locked, Role};

/// Largest file of users, bytes: some thousand users.
const FILE_MAX: u64 = 1 << 20;

/// Longest name of a user, characters.
const NAME_MAX: usize = 64;

/// Rights of others, which the file must not give: a hash that is read can be guessed at, and one that is written is a door.
const OPEN_TO_OTHERS: u32 = 0o007;

/// What a new file begins with.
const HEAD: &str = "# NAME:ROLE:HASH, written by hookd user\n";

/// A user who logs in with a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// What the user may.
    pub role: Role,
    /// The hash of the password, a PHC string.
    pub hash: String,
}

/// All users, in the order of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Users {
    all: Vec<User>,
}

/// Why a file of users can't be used.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// It is not there.
    #[error("{0} is not there")]
    Missing(String),
    /// It has no users.
    #[error("{0} has no users")]
    Nobody(String),
    /// It can't be read.
    #[error("{0} can't be read: {1}")]
    Io(String, std::io::Error),
    /// Others have rights on it.
    #[error("{0} is open to every user of this machine")]
    Open(String),
    /// A line is wrong. The line itself is not repeated: it may hold a hash.
    #[error("{0}:{1}: {2}")]
    Line(String, usize, String),
    /// It is too large, or is not text.
    #[error("{0} is not a file of users")]
    Other(String),
}

impl UsersError {
    /// Whether there are just no users yet.
    pub fn is_only_empty(&self) -> bool {
        matches!(self, Self::Missing(_) | Self::Nobody(_))
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing(_) | Self::Nobody(_) => Some("hookd user add NAME --role act".to_owned()),
            Self::Open(path) => Some(format!("chmod 640 {path}")),
            Self::Io(path, error) if error.kind() == std::io::ErrorKind::PermissionDenied => Some(format!(
                "let the daemon's group read it: chown root:hookd {path}; chmod 640 {path}"
            )),
            Self::Line(..) => Some("a line is NAME:ROLE:HASH; hookd user writes it".to_owned()),
            _ => None,
        }
    }
}

/// Whether that can be the name of a user: it stands in a line, in the audit and in headers.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@' | '+');
    if name.is_empty() || name.len() > NAME_MAX {
        return Err("a user's name has 1 to 64 characters");
    }
    if name.starts_with('-') || !name.chars().all(plain) {
        return Err("a user's name has only letters, digits, `-`, `_`, `.`, `@` and `+`, and does not start with `-`");
    }
    Ok(())
}

impl Users {
    /// Reads the file; it is refused if others than its owner and its group have rights on it.
    pub fn read(path: &Path) -> Result<Self, UsersError> {
        let shown = path.display().to_string();
        let failed = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => UsersError::Missing(shown.clone()),
            _ => UsersError::Io(shown.clone(), error),
        };
        // Without blocking: a named pipe would hold up everybody.
        let flags = nix::fcntl::OFlag::O_NONBLOCK.bits();
        let file = File::options()
            .read(true)
            .custom_flags(flags)
            .open(path)
            .map_err(failed)?;
        let about = file.metadata().map_err(failed)?;
        if !about.is_file() || about.len() > FILE_MAX {
            return Err(UsersError::Other(shown));
        }
        if about.mode() & OPEN_TO_OTHERS != 0 {
            return Err(UsersError::Open(shown));
        }
        let mut text = String::new();
        file.take(FILE_MAX).read_to_string(&mut text).map_err(failed)?;
        Self::parse(&text).map_err(|(line, why)| UsersError::Line(shown, line, why))
    }

    fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut users = Self::default();
        for (number, line) in text.lines().enumerate() {
            let wrong = |why: &str| (number + 1, why.to_owned());
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut parts = line.splitn(3, ':');
            let (Some(name), Some(role), Some(hash)) = (parts.next(), parts.next(), parts.next()) else {
                return Err(wrong("the line has no role or no hash"));
            };
            check_name(name).map_err(wrong)?;
            password::check_hash(hash).map_err(wrong)?;
            let role = role.parse::<Role>().map_err(|error| (number + 1, error))?;
            if users.find(name).is_some() {
                return Err((number + 1, format!("{name} is there twice")));
            }
            users.all.push(User {
                name: name.to_owned(),
                role,
                hash: hash.to_owned(),
            });
        }
        Ok(users)
    }

    /// All of them, in the order of the file.
    pub fn all(&self) -> &[User] {
        &self.all
    }

    /// The user of that name.
    pub fn find(&self, name: &str) -> Option<&User> {
        self.all.iter().find(|user| user.name == name)
    }

    /// Adds a user, or gives one another role and password.
    pub fn put(&mut self, user: User) {
        match self.all.iter_mut().find(|known| known.name == user.name) {
            Some(known) => *known = user,
            None => self.all.push(user),
        }
    }

    /// Removes a user; false if there is none of that name.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.all.len();
        self.all.retain(|user| user.name != name);
        self.all.len() < before
    }

    /// The text of the file.
    pub fn text(&self) -> String {
        let mut text = HEAD.to_owned();
        for User { name, role, hash } in &self.all {
            // Writing to a string can't fail.
            let _ = writeln!(text, "{name}:{role}:{hash}");
        }
        text
    }
}

/// What tells that a file was changed: it is written anew, or into.
type Mark = (u64, u64, u64, i64, i64, u32);

fn mark(path: &Path) -> Option<Mark> {
    let about = fs::metadata(path).ok()?;
    let changed = (about.ctime(), about.ctime_nsec());
    Some((
        about.dev(),
        about.ino(),
        about.len(),
        changed.0,
        changed.1,
        about.mode(),
    ))
}

/// The last reading: from which file, its state then, and its users.
struct Last {
    path: PathBuf,
    mark: Option<Mark>,
    users: Arc<Users>,
}

/// The file of users, read again when it changes.
#[derive(Default)]
pub(super) struct UsersFile(Mutex<Option<Last>>);

impl UsersFile {
    /// The users of now. Of a file that can't be used there are none, and the journal says why when that comes about.
    pub(super) fn current(&self, path: &Path) -> Arc<Users> {
        let mut last = self.0.locked();
        let mark = mark(path);
        if let Some(last) = &*last
            && last.path == path
            && last.mark == mark
        {
            return Arc::clone(&last.users);
        }
        let users = Arc::new(Users::read(path).unwrap_or_else(|error| {
            tracing::error!("nobody can log in: {error}");
            Users::default()
        }));
        *last = Some(Last {
            path: path.to_owned(),
            mark,
            users: Arc::clone(&users),
        });
        users
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn user(name: &str, role: Role) -> User {
        let hash = password::hash("x").unwrap();
        User {
            name: name.to_owned(),
            role,
            hash,
        }
    }

    #[test]
    fn a_file_is_written_as_it_is_read() {
        let mut users = Users::default();
        users.put(user("alice", Role::Act));
        users.put(user("bob@example.org", Role::View));
        users.put(user("alice", Role::View));
        assert_eq!(Users::parse(&users.text()), Ok(users.clone()));
        assert_eq!(users.find("alice").unwrap().role, Role::View);
        assert!(users.remove("alice") && !users.remove("alice") && users.all().len() == 1);
    }

    #[test]
    fn each_wrong_line_is_told_with_its_number() {
        let good = user("alice", Role::Act);
        let line = format!("alice:act:{}\n", good.hash);
        for (more, number, why) in [
            ("bob", 2, "no role"),
            ("bob:act", 2, "no hash"),
            ("bob:root:x", 2, "PHC"),
            ("bob:act:plain", 2, "PHC"),
            ("b b:act:x", 2, "letters"),
            (line.as_str(), 2, "twice"),
        ] {
            let (line, said) = Users::parse(&format!("{line}{more}")).unwrap_err();
            assert_eq!(line, number, "{more}");
            assert!(said.contains(why) && !said.contains("plain"), "{more}: {said}");
        }
    }

    #[test]
    fn a_file_that_others_can_use_is_refused_and_a_changed_one_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users");
        let file = UsersFile::default();
        assert!(matches!(Users::read(&path), Err(UsersError::Missing(_))));
        assert!(file.current(&path).all().is_empty());
        let mut users = Users::default();
        users.put(user("alice", Role::Act));
        fs::write(&path, users.text()).unwrap();
        for (mode, is_open) in [
            (0o644, true),
            (0o642, true),
            (0o641, true),
            (0o640, false),
            (0o600, false),
        ] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(
                matches!(Users::read(&path), Err(UsersError::Open(_))),
                is_open,
                "{mode:o}"
            );
            assert_eq!(file.current(&path).all().len(), usize::from(!is_open), "{mode:o}");
        }
        users.put(user("bob", Role::View));
        fs::write(&path, users.text()).unwrap();
        assert_eq!(file.current(&path).all().len(), 2);
        fs::remove_file(&path).unwrap();
        assert!(file.current(&path).all().is_empty());
    }
}
