//! Object names of git.

use std::fmt;
use std::str::FromStr;

/// Why a text is not an object name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a commit id: 40 or 64 hexadecimal digits are needed")]
pub struct CommitIdError;

/// A full object name: 40 (SHA-1) or 64 (SHA-256) lower-case hexadecimal digits. May be all zeros ("none").
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitId(String);

impl CommitId {
    /// The object name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first seven digits, as people write commits.
    pub fn short(&self) -> &str {
        short_commit(&self.0)
    }

    /// True for the all-zero name, with which forges say "no commit".
    pub fn is_zero(&self) -> bool {
        self.0.bytes().all(|b| b == b'0')
    }

    /// The all-zero name of SHA-1 repositories.
    pub fn zero() -> Self {
        Self("0".repeat(40))
    }
}

/// The first seven characters of a commit's name, as people write commits.
pub fn short_commit(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}

impl FromStr for CommitId {
    type Err = CommitIdError;
    fn from_str(text: &str) -> Result<Self, CommitIdError> {
        let long_enough = matches!(text.len(), 40 | 64);
        if !long_enough || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(CommitIdError);
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_full_object_names() {
        assert!("0".repeat(40).parse::<CommitId>().unwrap().is_zero());
        assert!("0".repeat(64).parse::<CommitId>().unwrap().is_zero());
        assert!("0".repeat(41).parse::<CommitId>().is_err());
        assert!("g".repeat(40).parse::<CommitId>().is_err());
        let id: CommitId = "ABCDEF0123456789ABCDEF0123456789ABCDEF01".parse().unwrap();
        assert_eq!(id.short(), "abcdef0");
    }
}
