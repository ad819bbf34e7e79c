//! The URL of a git repository, as far as everything that takes one relies on it.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use super::words::is_invisible;

/// Longest URL, bytes: no server takes a longer request line (8,190 bytes in Apache, 8 KiB in nginx).
const URL_MAX: usize = 4096;

/// Why a text is not the URL of a repository. None of the messages repeats the text, which may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GitUrlError {
    /// Empty, or longer than 4,096 bytes.
    #[error("the URL of a repository has 1 to {URL_MAX} bytes")]
    Length,
    /// A line end or the like, as it is or percent-encoded.
    #[error("the URL contains a control or format character")]
    Control,
    /// A blank where none may be.
    #[error("the URL contains a space")]
    Blank,
    /// A percent sign in the host, which some programs decode and others don't.
    #[error("the host of the URL contains a `%`")]
    EncodedHost,
}

/// A URL, `user@host:path` or absolute path of a repository without control characters or blanks in any part, also once it is
/// percent-decoded: programs that put parts of it into lines of a protocol put one line there. Two blanks are let be, since both
/// occur and neither reaches a wire as such: ` ` in a path of this machine, and `%20` in the path of an http or file URL.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GitUrl(String);

impl GitUrl {
    /// The URL as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for GitUrl {
    type Err = GitUrlError;
    fn from_str(text: &str) -> Result<Self, GitUrlError> {
        if text.is_empty() || text.len() > URL_MAX {
            return Err(GitUrlError::Length);
        }
        let local = text.starts_with('/');
        check(text, |c| local && c == ' ')?;
        if !local {
            let (before, path) = parts(text);
            let decoded = |part: &str| {
                percent_encoding::percent_decode_str(part)
                    .decode_utf8_lossy()
                    .into_owned()
            };
            let may_be = ["http://", "https://", "file://"]
                .iter()
                .any(|scheme| has_prefix(text, scheme));
            check(&decoded(before), |_| false)?;
            check(&decoded(path), |c| may_be && c == ' ')?;
            let host = before.rsplit('@').next().unwrap_or_default();
            if host.contains('%') {
                return Err(GitUrlError::EncodedHost);
            }
        }
        Ok(Self(text.to_owned()))
    }
}

/// Up to the path, and the path.
fn parts(url: &str) -> (&str, &str) {
    let authority = url.find("://").map_or(0, |at| at + 3);
    let end = url[authority..].find('/').map_or(url.len(), |at| authority + at);
    url.split_at(end)
}

fn has_prefix(text: &str, scheme: &str) -> bool {
    text.get(..scheme.len())
        .is_some_and(|begin| begin.eq_ignore_ascii_case(scheme))
}

fn check(text: &str, may_be: impl Fn(char) -> bool) -> Result<(), GitUrlError> {
    for c in text.chars().filter(|c| !may_be(*c)) {
        if is_invisible(c) {
            return Err(GitUrlError::Control);
        }
        if c.is_whitespace() {
            return Err(GitUrlError::Blank);
        }
    }
    Ok(())
}

impl Deref for GitUrl {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for GitUrl {
    type Error = GitUrlError;
    fn try_from(text: String) -> Result<Self, GitUrlError> {
        text.parse()
    }
}

impl From<GitUrl> for String {
    fn from(url: GitUrl) -> Self {
        url.0
    }
}

impl fmt::Display for GitUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for GitUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_of_a_url_can_become_two_lines_or_words() {
        for (url, error) in [
            ("http://127.0.0.1:6379/ HTTP/1.1\nSET a b", GitUrlError::Blank),
            ("http://h/a\nb", GitUrlError::Control),
            ("http://h/a%0d%0aSET", GitUrlError::Control),
            ("https://h/a%00", GitUrlError::Control),
            ("https://h/a%7F", GitUrlError::Control),
            ("https://h/a%e2%80%ae", GitUrlError::Control),
            ("https://h/a\u{202e}", GitUrlError::Control),
            ("https://h/a\u{a0}b", GitUrlError::Blank),
            ("https://u%0a@h/a", GitUrlError::Control),
            ("https://u%20x@h/a", GitUrlError::Blank),
            ("https://h%20x/a", GitUrlError::Blank),
            ("https://%6cocalhost/a", GitUrlError::EncodedHost),
            ("ssh://git@h/a%20b", GitUrlError::Blank),
            ("ssh://git@h/a%0ab", GitUrlError::Control),
            ("git@h:a b", GitUrlError::Blank),
            ("git@h:a\rb", GitUrlError::Control),
            ("/srv/a\nb", GitUrlError::Control),
            ("file:///srv/a%0ab", GitUrlError::Control),
            ("../a\tb", GitUrlError::Control),
            ("", GitUrlError::Length),
        ] {
            assert_eq!(url.parse::<GitUrl>(), Err(error), "{url:?}");
        }
        for good in [
            "https://dev.azure.com/o/My%20Project/_git/a",
            "https://h:8443/a.git",
            "ssh://git@h:22/a/b.git",
            "git@h:a/b.git",
            "/srv/my site/a.git",
            "https://h/%C3%BC.git",
        ] {
            assert_eq!(good.parse::<GitUrl>().as_deref(), Ok(good));
        }
    }
}
