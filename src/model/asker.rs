//! Who asked for something to be done.

use std::fmt;

/// Who asked. Shown and stored as `user:alice`, `token:ci`, `uid:1000`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asker {
    /// A user who logged in, or whom a trusted proxy named.
    User(String),
    /// A program with the token of that name.
    Token(String),
    /// A process on the control socket with this user id, as the kernel has it.
    Uid(u32),
}

impl fmt::Display for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(f, "user:{name}"),
            Self::Token(name) => write!(f, "token:{name}"),
            Self::Uid(uid) => write!(f, "uid:{uid}"),
        }
    }
}
