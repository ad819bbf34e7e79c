//! Where people see a repository on its forge: the pages of commits and comparisons.
//!
//! The addresses are those that each forge's own pages link to.

use crate::config::{Remote, Repo, Transport};
use crate::dialects::{Dialect, ForgeKind};

/// The address of a commit's page; none for repositories that are no forge's.
pub fn commit_page(repo: &Repo, commit: &str) -> Option<String> {
    let (dialect, page) = page(repo)?;
    Some(format!("{page}{}{commit}", dialect.commit_page))
}

/// The address of the page that compares two commits.
pub fn compare_page(repo: &Repo, from: &str, to: &str) -> Option<String> {
    let (dialect, page) = page(repo)?;
    Some(page + &(dialect.compare_page)(from, to)?)
}

/// The forge, and the address of the repository there.
fn page(repo: &Repo) -> Option<(&'static Dialect, String)> {
    let remote = &repo.remote;
    let host = remote.host.as_deref()?;
    let dialect = repo.forge.or_else(|| ForgeKind::of_host(host))?.dialect();
    let page = (dialect.page)(&origin(remote, host), host, remote.path.trim_matches('/'))?;
    Some((dialect, page))
}

/// Scheme, host and port of the forge's pages: those of the remote if it is reached by HTTP, else HTTPS on its host.
fn origin(remote: &Remote, host: &str) -> String {
    let by_http = matches!(remote.transport, Transport::Https | Transport::Http);
    let url = url::Url::parse(remote.url.as_str()).ok().filter(|_| by_http);
    match url.and_then(|url| Some((url.scheme().to_owned(), url.port()?))) {
        Some((scheme, port)) => format!("{scheme}://{host}:{port}"),
        None if remote.transport == Transport::Http => format!("http://{host}"),
        None => format!("https://{host}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repo(url: &str, forge: &str) -> std::sync::Arc<Repo> {
        let text = format!(
            "[repo.blog]\nurl = \"{url}\"\n{forge}\nsecret = \"file:/s\"\n[repo.blog.deploy.live]\nbranch = \"main\"\npath = \"/srv/blog\"\n"
        );
        let loaded = crate::config::parse(std::path::Path::new("/etc/hookd.toml"), &text, &|_| None).unwrap();
        loaded.config.repos.values().next().unwrap().clone()
    }

    #[test]
    fn each_forge_has_its_own_addresses() {
        for (url, forge, commit, compare) in [
            (
                "https://github.com/a/b.git",
                "",
                "https://github.com/a/b/commit/2",
                "https://github.com/a/b/compare/1...2",
            ),
            (
                "git@github.com:a/b.git",
                "",
                "https://github.com/a/b/commit/2",
                "https://github.com/a/b/compare/1...2",
            ),
            (
                "https://gitlab.com/g/s/b.git",
                "",
                "https://gitlab.com/g/s/b/-/commit/2",
                "https://gitlab.com/g/s/b/-/compare/1...2",
            ),
            (
                "http://git.lan:3000/a/b",
                "forge = \"gitea\"",
                "http://git.lan:3000/a/b/commit/2",
                "http://git.lan:3000/a/b/compare/1...2",
            ),
            (
                "http://git.lan/a/b",
                "forge = \"gitea\"",
                "http://git.lan/a/b/commit/2",
                "http://git.lan/a/b/compare/1...2",
            ),
            (
                "ssh://git@git.lan:2222/a/b",
                "forge = \"forgejo\"",
                "https://git.lan/a/b/commit/2",
                "https://git.lan/a/b/compare/1...2",
            ),
            (
                "https://bitbucket.org/a/b",
                "",
                "https://bitbucket.org/a/b/commits/2",
                "https://bitbucket.org/a/b/branches/compare/2..1",
            ),
            (
                "https://bb.lan/scm/P/b.git",
                "forge = \"bitbucket-server\"",
                "https://bb.lan/projects/P/repos/b/commits/2",
                "https://bb.lan/projects/P/repos/b/compare/commits?sourceBranch=2&targetBranch=1",
            ),
        ] {
            let repo = repo(url, forge);
            assert_eq!(commit_page(&repo, "2").as_deref(), Some(commit));
            assert_eq!(compare_page(&repo, "1", "2").as_deref(), Some(compare));
        }
        assert_eq!(commit_page(&repo("/srv/git/b.git", ""), "2"), None);
        assert_eq!(commit_page(&repo("https://git.lan/a/b", ""), "2"), None);
    }
}
