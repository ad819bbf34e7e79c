//! `url`: the forms that a remote may have, its host, and the full name that payloads will use.

use std::path::Path;

use super::ForgeKind;
use super::paths;
use super::value::{Remote, Transport};
use crate::model::{GitUrl, GitUrlError};

/// Why a text is not the URL of a remote. None of the messages repeats the text, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum RemoteError {
    #[error("not a URL: {0}")]
    Syntax(String),
    #[error("the scheme `{0}` is not supported")]
    Scheme(String),
    #[error("the URL contains a password or token")]
    Password,
    #[error("the URL has a query or a fragment, which the URL of a repository never has")]
    Query,
    #[error("the URL names no repository")]
    NoPath,
    #[error("the URL names no host")]
    NoHost,
    #[error(transparent)]
    Url(#[from] GitUrlError),
    #[error("a host, user or path that begins with `-` is refused, since commands would take it for an option")]
    OptionLike,
}

impl RemoteError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Syntax(_) => "https://HOST/PATH, ssh://USER@HOST/PATH, USER@HOST:PATH, or a path on this machine",
            Self::Scheme(_) => "https, http, ssh and file are supported",
            Self::Password => "take it out (and replace it, since it was seen), and use `token = \"file:PATH\"`",
            Self::Url(_) | Self::Query | Self::NoPath | Self::NoHost | Self::OptionLike => {
                "use the URL that `git clone` takes"
            }
        }
        .to_owned()
    }
}

/// Begins of access tokens that people put in the place of the user name.
const TOKEN_PREFIXES: &[&str] = &[
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "gldt-",
    "ATBB",
];

/// Hosts on which a repository's path has two parts, so that whatever follows names a page.
const TWO_PARTS: &[&str] = &["github.com", "bitbucket.org", "codeberg.org"];

/// What of a text that is taken for a path or a repository shows that something else was meant: a message and a hint.
pub(super) fn mistaken(text: &str, base: &Path) -> Option<(&'static str, String)> {
    let trimmed = text.trim();
    if trimmed.len() != text.len() {
        return Some(("there is a space before or after it", format!("write \"{trimmed}\"")));
    }
    if let Some(reason) = paths::refuse_unexpanded(text) {
        return Some((reason, "write the path from the root".to_owned()));
    }
    let (first, rest) = text.split_once('/').unwrap_or((text, ""));
    let named = first
        .rsplit_once('.')
        .is_some_and(|(name, top)| !name.is_empty() && top.len() > 1 && top.bytes().all(|b| b.is_ascii_alphabetic()));
    if named && !first.contains([':', '@']) && !rest.is_empty() && !base.join(text).exists() {
        return Some(("the scheme is missing", format!("write \"https://{text}\"")));
    }
    // git takes it for ssh to a path that begins with digits; whoever writes it means the port.
    let port = first.split_once(':').filter(|(host, port)| {
        !host.is_empty() && !host.contains('@') && port.parse::<u16>().is_ok() && !rest.is_empty()
    });
    if port.is_some() {
        return Some(("the scheme is missing", format!("write \"https://{text}\"")));
    }
    if let Some(rest) = text.strip_prefix("//") {
        return Some(("the scheme is missing", format!("write \"https://{rest}\"")));
    }
    let url = url::Url::parse(text).ok()?;
    let parts: Vec<&str> = url.path().split('/').filter(|part| !part.is_empty()).collect();
    let page = match url.host_str() {
        Some(host) if TWO_PARTS.contains(&host) => parts.get(..2).filter(|_| parts.len() > 2),
        Some(_) => parts.iter().position(|part| *part == "-").map(|at| &parts[..at]),
        None => None,
    };
    let mut repository = url.clone();
    repository.set_path(&page?.join("/"));
    Some((
        "it names a page of the forge, not the repository",
        format!("write \"{repository}\""),
    ))
}

/// The full name in a text that has more than that: a URL, `alice/blog.git`, `alice/blog/`.
pub(super) fn meant_name(text: &str) -> Option<String> {
    let path = match text.split_once("://") {
        Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
        None => text
            .split_once('@')
            .and_then(|(_, rest)| rest.split_once(':'))
            .map_or(text, |(_, path)| path),
    };
    let meant = bare(path.trim());
    (meant != text && !meant.is_empty()).then_some(meant)
}

/// Reads a `url`; a relative path begins at `base`.
pub(super) fn parse(text: &str, base: &Path) -> Result<Remote, RemoteError> {
    if text.contains("://") {
        return parse_url(text);
    }
    let first = text.split('/').next().unwrap_or_default();
    if first.contains(':') {
        parse_scp(text)
    } else {
        local(&paths::absolute(base, text))
    }
}

fn parse_url(text: &str) -> Result<Remote, RemoteError> {
    let whole: GitUrl = text.parse()?;
    let url = url::Url::parse(text).map_err(|e| RemoteError::Syntax(e.to_string()))?;
    let transport = match url.scheme() {
        "https" => Transport::Https,
        "http" => Transport::Http,
        "ssh" => Transport::Ssh,
        "file" => Transport::Local,
        other => return Err(RemoteError::Scheme(other.to_owned())),
    };
    let user = url.username();
    let token = transport != Transport::Ssh && TOKEN_PREFIXES.iter().any(|prefix| user.starts_with(prefix));
    if url.password().is_some() || token {
        return Err(RemoteError::Password);
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(RemoteError::Query);
    }
    if transport == Transport::Local {
        let path = url
            .to_file_path()
            .map_err(|()| RemoteError::Syntax("not a path on this machine".to_owned()))?;
        return local(&path);
    }
    let host = url
        .host_str()
        .filter(|host| !host.is_empty())
        .ok_or(RemoteError::NoHost)?;
    let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
    let path = bare(&decode(url.path()));
    check(user, &host, &path)?;
    Ok(Remote {
        url: whole,
        host: Some(host),
        path,
        transport,
    })
}

/// `git@host:path`, as scp(1) takes it.
fn parse_scp(text: &str) -> Result<Remote, RemoteError> {
    let url: GitUrl = text.parse()?;
    let head = text.split('/').next().unwrap_or_default();
    let (user, rest) = head
        .rsplit_once('@')
        .map_or(("", text), |(user, _)| (user, &text[user.len() + 1..]));
    if user.contains(':') {
        return Err(RemoteError::Password);
    }
    let host_end = match rest.find("]:") {
        Some(bracket) if rest.starts_with('[') => bracket + 1,
        _ => rest.find(':').ok_or(RemoteError::NoPath)?,
    };
    let host = rest[..host_end].trim_matches(['[', ']']).to_ascii_lowercase();
    if host.is_empty() {
        return Err(RemoteError::NoHost);
    }
    let path = bare(&rest[host_end + 1..]);
    check(user, &host, &path)?;
    Ok(Remote {
        url,
        host: Some(host),
        path,
        transport: Transport::Ssh,
    })
}

fn check(user: &str, host: &str, path: &str) -> Result<(), RemoteError> {
    if path.is_empty() {
        return Err(RemoteError::NoPath);
    }
    // CVE-2017-1000117 and its kin.
    if [user, host, path].iter().any(|part| part.starts_with('-')) {
        return Err(RemoteError::OptionLike);
    }
    Ok(())
}

fn local(path: &Path) -> Result<Remote, RemoteError> {
    let text = path.to_string_lossy();
    Ok(Remote {
        path: bare(&text),
        url: text.parse()?,
        host: None,
        transport: Transport::Local,
    })
}

/// Without the slashes around it, and without `.git`.
fn bare(path: &str) -> String {
    let path = path.trim_matches('/');
    path.strip_suffix(".git")
        .unwrap_or(path)
        .trim_end_matches('/')
        .to_owned()
}

/// `%20` to a space, where the result is UTF-8.
fn decode(path: &str) -> String {
    percent_encoding::percent_decode_str(path)
        .decode_utf8()
        .map_or_else(|_| path.to_owned(), Into::into)
}

/// The name that the forge's payloads have for the repository, as far as the URL tells.
pub(super) fn full_name(remote: &Remote, forge: Option<ForgeKind>) -> String {
    name_in_payloads(&remote.path, remote.host.as_deref(), forge)
}

/// The name that a forge's payloads have for what is at that path of its URLs: without the path below which the forge itself
/// is served, and without what only URLs have.
pub fn name_in_payloads(path: &str, host: Option<&str>, forge: Option<ForgeKind>) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    match forge {
        Some(forge) => (forge.dialect().name_at)(&parts, host.unwrap_or_default()),
        None => parts.join("/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Remote, RemoteError> {
        parse(text, Path::new("/etc"))
    }

    #[test]
    fn every_form_gives_transport_host_and_path() {
        for (text, transport, host, path) in [
            (
                "https://GitHub.com/alice/blog.git",
                Transport::Https,
                Some("github.com"),
                "alice/blog",
            ),
            ("http://127.0.0.1:3000/a/b", Transport::Http, Some("127.0.0.1"), "a/b"),
            (
                "https://alice@bitbucket.org/alice/blog.git",
                Transport::Https,
                Some("bitbucket.org"),
                "alice/blog",
            ),
            (
                "ssh://git@Git.Example.org:2222/a/b.git/",
                Transport::Ssh,
                Some("git.example.org"),
                "a/b",
            ),
            ("ssh://git@[::1]:2222/a", Transport::Ssh, Some("::1"), "a"),
            (
                "git@github.com:alice/blog.git",
                Transport::Ssh,
                Some("github.com"),
                "alice/blog",
            ),
            ("git@[::1]:a/b", Transport::Ssh, Some("::1"), "a/b"),
            (
                "git@git.sr.ht:~alice/blog",
                Transport::Ssh,
                Some("git.sr.ht"),
                "~alice/blog",
            ),
            (
                "https://git.sr.ht/~alice/blog",
                Transport::Https,
                Some("git.sr.ht"),
                "~alice/blog",
            ),
            ("file:///srv/git/blog.git", Transport::Local, None, "srv/git/blog"),
            ("/srv/git/blog.git", Transport::Local, None, "srv/git/blog"),
            ("git/blog", Transport::Local, None, "etc/git/blog"),
        ] {
            let remote = read(text).unwrap();
            assert_eq!(
                (remote.transport, remote.host.as_deref(), remote.path.as_str()),
                (transport, host, path),
                "{text}"
            );
        }
        assert_eq!(read("git/blog").unwrap().url.as_str(), "/etc/git/blog");
        assert_eq!(read("file:///srv/git/a%20b").unwrap().url.as_str(), "/srv/git/a b");
    }

    #[test]
    fn what_is_refused() {
        for (text, error) in [
            ("https://alice:hunter2@github.com/a/b", RemoteError::Password),
            ("https://ghp_hunter2@github.com/a/b", RemoteError::Password),
            ("git:hunter2@github.com:a/b", RemoteError::Password),
            ("ssh://git:hunter2@github.com/a/b", RemoteError::Password),
            ("git://github.com/a/b", RemoteError::Scheme("git".into())),
            ("ftp://github.com/a/b", RemoteError::Scheme("ftp".into())),
            ("https://github.com/", RemoteError::NoPath),
            ("git@github.com:", RemoteError::NoPath),
            ("https://github.com/a/b?token=x", RemoteError::Query),
            ("ssh:///a/b", RemoteError::NoHost),
            ("ssh://-oProxyCommand=x/a", RemoteError::OptionLike),
            ("-oProxyCommand=x:a", RemoteError::OptionLike),
            ("git@host:-a", RemoteError::OptionLike),
        ] {
            assert_eq!(read(text), Err(error), "{text}");
        }
        assert!(matches!(
            read("ssh://git@github.com:alice/blog"),
            Err(RemoteError::Syntax(_))
        ));
        assert!(matches!(read("https://"), Err(RemoteError::Syntax(_))));
    }

    #[test]
    fn full_names_are_those_of_the_payloads() {
        for (url, forge, name) in [
            (
                "https://github.com/alice/blog.git",
                Some(ForgeKind::GitHub),
                "alice/blog",
            ),
            (
                "https://gitlab.com/group/sub/blog.git",
                Some(ForgeKind::GitLab),
                "group/sub/blog",
            ),
            (
                "https://git.sr.ht/~alice/blog",
                Some(ForgeKind::SourceHut),
                "~alice/blog",
            ),
            (
                "https://dev.azure.com/org/My%20Project/_git/blog",
                Some(ForgeKind::AzureDevOps),
                "My Project/blog",
            ),
            (
                "https://dev.azure.com/org/_git/blog",
                Some(ForgeKind::AzureDevOps),
                "blog/blog",
            ),
            (
                "https://org.visualstudio.com/project/_git/blog",
                Some(ForgeKind::AzureDevOps),
                "project/blog",
            ),
            (
                "git@ssh.dev.azure.com:v3/org/project/blog",
                Some(ForgeKind::AzureDevOps),
                "project/blog",
            ),
            (
                "https://git.corp/scm/PRJ/blog.git",
                Some(ForgeKind::BitbucketServer),
                "PRJ/blog",
            ),
            ("https://git.corp/scm/PRJ/blog.git", None, "scm/PRJ/blog"),
        ] {
            assert_eq!(full_name(&read(url).unwrap(), forge), name, "{url}");
        }
    }

    #[test]
    fn what_only_urls_have_is_no_part_of_a_name() {
        for (url, forge, name) in [
            (
                "https://git.corp/git/alice/blog.git",
                Some(ForgeKind::Gitea),
                "alice/blog",
            ),
            (
                "https://git.corp/scm/MYSCM/blog.git",
                Some(ForgeKind::BitbucketServer),
                "MYSCM/blog",
            ),
            (
                "https://git.corp/bb/scm/~alice/blog.git",
                Some(ForgeKind::BitbucketServer),
                "~alice/blog",
            ),
            (
                "ssh://git@git.corp:7999/prj/blog.git",
                Some(ForgeKind::BitbucketServer),
                "prj/blog",
            ),
            (
                "https://org.visualstudio.com/DefaultCollection/_git/blog",
                Some(ForgeKind::AzureDevOps),
                "blog/blog",
            ),
            (
                "https://org.visualstudio.com/_git/blog",
                Some(ForgeKind::AzureDevOps),
                "blog/blog",
            ),
            (
                "https://org.visualstudio.com/DefaultCollection/proj/_git/blog",
                Some(ForgeKind::AzureDevOps),
                "proj/blog",
            ),
            (
                "https://tfs.example.com/tfs/DefaultCollection/_git/blog",
                Some(ForgeKind::AzureDevOps),
                "blog/blog",
            ),
            (
                "https://tfs.example.com/tfs/DefaultCollection/proj/_git/blog",
                Some(ForgeKind::AzureDevOps),
                "proj/blog",
            ),
            (
                "https://tfs.example.com/Coll/proj/_git/blog",
                Some(ForgeKind::AzureDevOps),
                "proj/blog",
            ),
            (
                "https://dev.azure.com/org/proj/_git/_optimized/blog",
                Some(ForgeKind::AzureDevOps),
                "proj/blog",
            ),
            (
                "https://dev.azure.com/org/_git/_full/blog",
                Some(ForgeKind::AzureDevOps),
                "blog/blog",
            ),
            (
                "https://pagure.io/fork/dev/site.git",
                Some(ForgeKind::Pagure),
                "forks/dev/site",
            ),
        ] {
            assert_eq!(full_name(&read(url).unwrap(), forge), name, "{url}");
        }
    }
}
