//! Names that the configuration gives: of a repo, of a target, of both together.

use std::fmt;
use std::str::FromStr;

/// Longest name, in bytes: names become directory names and journal fields.
const NAME_MAX: usize = 64;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text is empty.
    #[error("a name must not be empty")]
    Empty,
    /// The text is longer than 64 bytes.
    #[error("a name has at most {NAME_MAX} characters")]
    TooLong,
    /// A character that names do not have.
    #[error("a name has only letters, digits, `-`, `_` and `.`, and does not start with `-` or `.`")]
    Character,
}

fn valid(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > NAME_MAX {
        return Err(NameError::TooLong);
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.starts_with(['-', '.']) || !text.chars().all(plain) {
        return Err(NameError::Character);
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                valid(text)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// The NAME of a `[repo.NAME]`.
    RepoName
}
name! {
    /// The TARGET of a `[repo.NAME.deploy.TARGET]`.
    TargetName
}

/// A target with its repo, written `repo/target`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetId {
    /// The repo that the target belongs to.
    pub repo: RepoName,
    /// The target within the repo.
    pub target: TargetName,
}

impl FromStr for TargetId {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let (repo, target) = text.split_once('/').ok_or(NameError::Character)?;
        Ok(Self {
            repo: repo.parse()?,
            target: target.parse()?,
        })
    }
}

impl fmt::Display for TargetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.repo, self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_as_directory_names() {
        for good in ["blog", "a", "my-site_2.0", "9"] {
            assert_eq!(good.parse::<RepoName>().unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", "-rf", "../x", "a/b", "a b", "é", "a\n", ".git"] {
            assert!(bad.parse::<RepoName>().is_err(), "{bad:?}");
        }
        assert_eq!("x".repeat(65).parse::<RepoName>(), Err(NameError::TooLong));
    }

    #[test]
    fn target_id_is_two_names() {
        let id: TargetId = "blog/production".parse().unwrap();
        assert_eq!(id.to_string(), "blog/production");
        assert!("blog".parse::<TargetId>().is_err());
        assert!("a/b/c".parse::<TargetId>().is_err());
    }
}
