//! Paths: compared as text, and with their links resolved.

use std::path::{Component, Path, PathBuf};

/// `text` from `base` on, without `.`, `..` and doubled or trailing slashes.
pub(super) fn absolute(base: &Path, text: &str) -> PathBuf {
    let mut path = PathBuf::from("/");
    for component in base.join(text).components() {
        match component {
            Component::ParentDir => {
                path.pop();
            }
            Component::Normal(name) => path.push(name),
            _ => {}
        }
    }
    path
}

/// Why a text holds what only a shell would replace.
pub(super) fn refuse_unexpanded(text: &str) -> Option<&'static str> {
    if text.starts_with('~') {
        return Some("`~` is not replaced by a home directory");
    }
    has_variable(text).then_some("variables are not replaced")
}

/// Whether a shell would find a variable in a text: `$NAME` or `${NAME`.
pub(super) fn has_variable(text: &str) -> bool {
    let begins = |c: char| c.is_ascii_alphabetic() || c == '_';
    text.split('$')
        .skip(1)
        .any(|rest| rest.strip_prefix('{').unwrap_or(rest).starts_with(begins))
}

/// Where a path leads once every link in it is followed, as far as it exists.
pub(super) fn real(path: &Path) -> PathBuf {
    for there in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (there.canonicalize(), path.strip_prefix(there)) {
            return real.components().chain(rest.components()).collect();
        }
    }
    path.to_owned()
}

/// Why a text can't be a path within a release.
pub(super) fn refuse_within(text: &str) -> Option<&'static str> {
    if let Some(reason) = refuse_unexpanded(text) {
        return Some(reason);
    }
    let path = Path::new(text);
    if path.is_absolute() {
        return Some("is absolute; it must be relative to the release");
    }
    if path.components().any(|c| c == Component::ParentDir) {
        return Some("leads out of the release by `..`");
    }
    let named = path.components().any(|c| matches!(c, Component::Normal(_)));
    (!named).then_some("names no file or directory")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_begin_at_the_base() {
        let base = Path::new("/etc/hookd.d");
        for (text, path) in [
            ("a", "/etc/hookd.d/a"),
            ("../a/./b//c/", "/etc/a/b/c"),
            ("/srv/blog/", "/srv/blog"),
            ("/../..", "/"),
            ("/srv/../etc", "/etc"),
        ] {
            assert_eq!(absolute(base, text), Path::new(path), "{text}");
        }
    }

    #[test]
    fn what_stays_within_a_release() {
        for good in ["uploads", ".env", "a/b", "./a", "..a"] {
            assert_eq!(refuse_within(good), None, "{good}");
        }
        for bad in ["/a", "..", "a/../b", ".", "./", ""] {
            assert!(refuse_within(bad).is_some(), "{bad}");
        }
    }
}
