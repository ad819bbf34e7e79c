//! Full names of branches and tags.

use std::fmt;
use std::str::FromStr;

/// Longest ref, in bytes: a file name of the remote, so the file system's path limit is above it.
const REF_MAX: usize = 1024;

/// What a ref names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RefKind {
    /// `refs/heads/…`
    Branch,
    /// `refs/tags/…`
    Tag,
}

/// Why a text is not a ref that can be deployed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GitRefError {
    /// It is neither under `refs/heads/` nor under `refs/tags/`.
    #[error("not a full branch or tag name (refs/heads/… or refs/tags/…)")]
    Namespace,
    /// `git check-ref-format` would refuse it.
    #[error("not a name that git allows (see git-check-ref-format)")]
    Format,
    /// The short name starts with `-`, which commands would take for an option.
    #[error("a branch or tag name that starts with `-` is refused, since commands would take it for an option")]
    OptionLike,
}

/// A full ref name under `refs/heads/` or `refs/tags/` that git allows and that no command can take for an option.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GitRef(String);

impl GitRef {
    /// The ref of a branch, from its short name.
    pub fn branch(short: &str) -> Result<Self, GitRefError> {
        format!("refs/heads/{short}").parse()
    }

    /// The ref of a tag, from its short name.
    pub fn tag(short: &str) -> Result<Self, GitRefError> {
        format!("refs/tags/{short}").parse()
    }

    /// The full name, `refs/heads/main`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name without `refs/heads/` or `refs/tags/`.
    pub fn short(&self) -> &str {
        self.0.splitn(3, '/').nth(2).unwrap_or_default()
    }

    /// Whether it names a branch or a tag.
    pub fn kind(&self) -> RefKind {
        if self.0.starts_with("refs/tags/") {
            RefKind::Tag
        } else {
            RefKind::Branch
        }
    }
}

/// The rules of git-check-ref-format(1) for what follows `refs/heads/`.
fn allowed_by_git(short: &str) -> bool {
    let part = |p: &str| {
        !p.is_empty() && !p.starts_with('.') && std::path::Path::new(p).extension().is_none_or(|e| e != "lock")
    };
    let character = |c: char| !c.is_control() && !matches!(c, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\');
    short.chars().all(character)
        && short.split('/').all(part)
        && !short.contains("..")
        && !short.contains("@{")
        && !short.ends_with('.')
}

impl FromStr for GitRef {
    type Err = GitRefError;
    fn from_str(text: &str) -> Result<Self, GitRefError> {
        let short = text
            .strip_prefix("refs/heads/")
            .or_else(|| text.strip_prefix("refs/tags/"))
            .ok_or(GitRefError::Namespace)?;
        if text.len() > REF_MAX || !allowed_by_git(short) {
            return Err(GitRefError::Format);
        }
        if short.starts_with('-') {
            return Err(GitRefError::OptionLike);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for GitRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_git_takes() {
        for good in [
            "main",
            "feature/x",
            "ümläut",
            "a$b",
            "x;y&z|(w)",
            "quote\"'",
            "@",
            "a@b",
            "#1",
            "rel-1.0",
        ] {
            let r = GitRef::branch(good).unwrap();
            assert_eq!((r.short(), r.kind()), (good, RefKind::Branch));
        }
        assert_eq!(GitRef::tag("v1").unwrap().kind(), RefKind::Tag);
    }

    #[test]
    fn refuses_what_git_refuses_and_options() {
        for bad in [
            "", "a b", "a..b", "a~1", "a^", "a:b", "a?", "a*", "a[", "a\\b", "a/", "/a", "a//b", ".a", "x/.b",
            "a.lock", "x.lock/y", "a.", "a@{1}", "a\u{7f}", "a\nb",
        ] {
            assert_eq!(GitRef::branch(bad), Err(GitRefError::Format), "{bad:?}");
        }
        assert_eq!(GitRef::branch("-rf"), Err(GitRefError::OptionLike));
        assert_eq!("refs/pull/1/head".parse::<GitRef>(), Err(GitRefError::Namespace));
        assert_eq!("main".parse::<GitRef>(), Err(GitRefError::Namespace));
    }
}
