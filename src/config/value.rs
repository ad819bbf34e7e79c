//! Values that several tables have: where a secret comes from, and a command.

use std::fmt;
use std::path::PathBuf;

/// Where a secret comes from. The secret itself is read by [`super::Secrets`], at start and at reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// `credential:NAME`, below `$CREDENTIALS_DIRECTORY`
    Credential(String),
    /// `file:PATH`; one trailing newline is not part of it
    File(PathBuf),
    /// `env:VAR`
    Env(String),
    /// `insecure-none`: no check at all; loopback and unix sockets only
    InsecureNone,
}

impl fmt::Display for SecretSource {
    /// As the configuration writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credential(name) => write!(f, "credential:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Env(variable) => write!(f, "env:{variable}"),
            Self::InsecureNone => f.write_str("insecure-none"),
        }
    }
}

/// A command of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A string: one line for `/bin/sh -c`.
    Shell(String),
    /// A list: a program and its arguments.
    Argv(Vec<String>),
}
