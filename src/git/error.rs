//! What can go wrong with git, in words that a person can act on.

use serde::{Deserialize, Serialize};

use crate::model::{is_passing, tells_of_passing};

/// The kinds of trouble that callers tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum GitErrorKind {
    /// The remote does not let us in: no, wrong or insufficient credentials, or a key that can't be used.
    Authentication,
    /// The ssh server's key is unknown, changed or revoked, or the TLS certificate is not trusted.
    HostKey,
    /// There is no repository at the address.
    NotFound,
    /// The repository lacks the wanted ref, or the mirror the wanted commit.
    RefMissing,
    /// The remote can't be reached, or answers that it can't serve right now.
    Connect,
    /// Nothing came for the idle time, or the whole took longer than the total time.
    Timeout,
    /// The connection broke in the middle, or the worker process died.
    Cut,
    /// The caller cancelled it.
    Cancelled,
    /// The mirror on disk is damaged; the next fetch makes it anew.
    Corrupt,
    /// The tree has LFS pointers where files should be.
    Lfs,
    /// A submodule can't be resolved or fetched.
    Submodule,
    /// The tree has names or modes that must not reach a disk.
    UnsafeTree,
    /// The local disk refused: full, read-only, no permission, or something in the way.
    Disk,
    /// A kind of repository, key or URL that hookd does not do.
    Unsupported,
    /// The local machine lacks something for now: space, open files, memory, processes.
    Passing,
    /// Anything else.
    Other,
}

/// A failed git operation. No secret is ever in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct GitError {
    /// Which kind it is.
    pub kind: GitErrorKind,
    /// What happened, where.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl GitError {
    /// An error without a hint.
    pub(super) fn new(kind: GitErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
        }
    }

    /// The same error with advice.
    #[must_use]
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Something needs more memory than a worker may take.
    pub(super) fn too_large() -> Self {
        Self::new(
            GitErrorKind::Unsupported,
            "the repository has an object, or so many files, that a git worker needs more memory than it may use",
        )
        .hint("if it is meant to be so large, raise `file_size` in `[limits]`: a worker may use three times that, and 180 MiB")
    }

    /// A failure of the local disk, from the path that it was about.
    pub(super) fn disk(path: &std::path::Path, error: &std::io::Error) -> Self {
        let kind = if is_passing(error) {
            GitErrorKind::Passing
        } else {
            GitErrorKind::Disk
        };
        Self::new(kind, format!("{}: {error}", path.display()))
    }

    /// True if the same call may well succeed a little later, without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        use GitErrorKind::{Connect, Corrupt, Cut, Passing, Timeout};
        matches!(self.kind, Connect | Timeout | Cut | Corrupt | Passing)
    }

    /// What libgit2 reports, while doing `doing` (`fetching from example.org`), in hookd's words.
    pub(super) fn from_git2(error: &git2::Error, doing: &str) -> Self {
        if error.class() == git2::ErrorClass::NoMemory || error.message().eq_ignore_ascii_case("out of memory") {
            return Self::too_large();
        }
        let (kind, hint) = classify(error);
        Self {
            kind,
            message: format!("{doing}: {}", error.message()),
            hint: hint.map(str::to_owned),
        }
    }
}

/// Maps libgit2's classes, codes and, where these say nothing, its texts (libgit2 1.9, `src/libgit2/transports`).
fn classify(error: &git2::Error) -> (GitErrorKind, Option<&'static str>) {
    use git2::{ErrorClass as Class, ErrorCode as Code};
    let text = error.message().to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|w| text.contains(w));
    let missing = "check `url`; forges also answer \"not found\" for a private repository without credentials";
    let authority = "for a private certificate authority set `ca_file` of the repo to its PEM file";
    match (error.class(), error.code()) {
        _ if tells_of_passing(&text) => (GitErrorKind::Passing, None),
        _ if says(&["read-only file system"]) => (GitErrorKind::Disk, None),
        (_, Code::Timeout) => (GitErrorKind::Timeout, None),
        _ if says(&["timed out", "timeout"]) => (GitErrorKind::Timeout, None),
        (_, Code::Auth) => (GitErrorKind::Authentication, None),
        (_, Code::Certificate) => (GitErrorKind::HostKey, Some(authority)),
        (Class::Ssl, _) if says(&["certificate"]) => (GitErrorKind::HostKey, Some(authority)),
        (Class::Http, _) if says(&["code: 404", "code: 410"]) => (GitErrorKind::NotFound, Some(missing)),
        (Class::Http, _) if says(&["code: 401", "code: 403", "authentication"]) => (GitErrorKind::Authentication, None),
        (Class::Http, _) if says(&["code: 429", "code: 5"]) => (GitErrorKind::Connect, None),
        _ if says(&["invalid content-type"]) => (
            GitErrorKind::Unsupported,
            Some(
                "the server answers with plain files or pages: git's \"dumb\" HTTP is not supported; check `url`, or serve the \
                 repository by git-http-backend or a forge",
            ),
        ),
        _ if says(&["cannot redirect"]) => (
            GitErrorKind::Unsupported,
            Some("the remote redirects to another host, which is never followed: write the final address into `url`"),
        ),
        _ if says(&["object format", "objectformat", "refstorage", "unsupported extension"]) => {
            (GitErrorKind::Unsupported, Some("hookd fetches SHA-1 repositories"))
        }
        _ if says(&[
            "does not appear to be a git repository",
            "repository not found",
            "could not find repository",
            // What libgit2 says of a path where nothing is; the kinds of URLs have been checked before.
            "unsupported url protocol",
        ]) =>
        {
            (GitErrorKind::NotFound, Some(missing))
        }
        (_, Code::Eof) => (GitErrorKind::Cut, None),
        (Class::Net | Class::Os, _) if says(&["resolve", "connect", "refused", "unreachable", "no route"]) => {
            (GitErrorKind::Connect, None)
        }
        // A thin pack leans on objects that the mirror should have.
        (Class::Indexer, _) if says(&["delta"]) => (GitErrorKind::Corrupt, None),
        (Class::Net | Class::Indexer | Class::Http | Class::Ssl | Class::Ssh, _) => (GitErrorKind::Cut, None),
        (
            Class::Odb
            | Class::Zlib
            | Class::Config
            | Class::Reference
            | Class::Object
            | Class::Repository
            | Class::Tree,
            _,
        ) => (GitErrorKind::Corrupt, None),
        (Class::Os, _) => (GitErrorKind::Disk, None),
        _ => (GitErrorKind::Other, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use git2::{Error, ErrorClass, ErrorCode};

    #[test]
    fn libgit2_texts_become_kinds() {
        for (class, code, text, kind) in [
            (
                ErrorClass::Http,
                ErrorCode::GenericError,
                "unexpected http status code: 404",
                GitErrorKind::NotFound,
            ),
            (
                ErrorClass::Http,
                ErrorCode::GenericError,
                "invalid content-type: 'text/plain'",
                GitErrorKind::Unsupported,
            ),
            (
                ErrorClass::Http,
                ErrorCode::GenericError,
                "unexpected http status code: 502",
                GitErrorKind::Connect,
            ),
            (
                ErrorClass::Http,
                ErrorCode::Auth,
                "too many redirects or authentication replays",
                GitErrorKind::Authentication,
            ),
            (
                ErrorClass::Net,
                ErrorCode::GenericError,
                "failed to resolve address for x",
                GitErrorKind::Connect,
            ),
            (
                ErrorClass::Os,
                ErrorCode::GenericError,
                "failed to connect to x: Connection refused",
                GitErrorKind::Connect,
            ),
            (
                ErrorClass::Ssl,
                ErrorCode::Certificate,
                "the SSL certificate is invalid",
                GitErrorKind::HostKey,
            ),
            (
                ErrorClass::Net,
                ErrorCode::Eof,
                "the connection broke: Connection reset by peer",
                GitErrorKind::Cut,
            ),
            (
                ErrorClass::Odb,
                ErrorCode::NotFound,
                "object not found",
                GitErrorKind::Corrupt,
            ),
            (
                ErrorClass::Os,
                ErrorCode::GenericError,
                "failed to write: No space left on device",
                GitErrorKind::Passing,
            ),
        ] {
            let got = GitError::from_git2(&Error::new(code, class, text), "fetching");
            assert_eq!(got.kind, kind, "{text}");
            assert!(got.message.contains(text));
        }
    }
}
