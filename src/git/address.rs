//! Remote addresses taken apart: transport, user, host and port; and relative submodule URLs put together.

use std::net::{IpAddr, Ipv6Addr};

use url::Url;

use crate::config::Transport;
use crate::model::GitUrl;

/// The place that credentials and host keys belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// How it is reached.
    pub transport: Transport,
    /// The user, not decoded.
    pub user: Option<String>,
    /// Lower case; empty for a local path.
    pub host: String,
    /// 0 for a local path.
    pub port: u16,
}

impl Address {
    /// Takes `https://…`, `http://…`, `ssh://…`, `file://…`, `user@host:path` and absolute paths.
    pub fn parse(url: &str) -> Option<Self> {
        url.parse::<GitUrl>().ok()?;
        if url.starts_with('/') || url.starts_with("file://") {
            return Some(Self {
                transport: Transport::Local,
                user: None,
                host: String::new(),
                port: 0,
            });
        }
        if let Some((scheme, rest)) = url.split_once("://") {
            if !is_unambiguous(rest) {
                return None;
            }
            let (transport, default) = match scheme.to_ascii_lowercase().as_str() {
                "https" => (Transport::Https, 443),
                "http" => (Transport::Http, 80),
                "ssh" => (Transport::Ssh, 22),
                _ => return None,
            };
            let parsed = Url::parse(url).ok()?;
            let host = parsed.host_str()?.trim_matches(['[', ']']).to_ascii_lowercase();
            let user = (!parsed.username().is_empty()).then(|| parsed.username().to_owned());
            return Some(Self {
                transport,
                user,
                host,
                port: parsed.port().unwrap_or(default),
            });
        }
        let (authority, _path) = scp_like(url)?;
        let (user, host) = match authority.split_once('@') {
            Some((user, host)) => (Some(user.to_owned()), host),
            None => (None, authority),
        };
        let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
        Some(Self {
            transport: Transport::Ssh,
            user,
            host,
            port: 22,
        })
    }

    /// Whether both name the same server process, so that what one may see the other may, too.
    pub fn same_place(&self, other: &Self) -> bool {
        self.transport == other.transport && self.host == other.host && self.port == other.port
    }

    /// The URL of an ssh repository at this address, with a number for the host's name.
    pub(super) fn by_number(&self, url: &str, number: IpAddr) -> Option<String> {
        if url.contains("://") {
            let mut url = Url::parse(url).ok()?;
            url.set_ip_host(number).ok()?;
            return Some(url.into());
        }
        let (_, path) = scp_like(url)?;
        let user = self.user.as_ref().map_or_else(String::new, |user| format!("{user}@"));
        Some(match number {
            IpAddr::V4(v4) => format!("{user}{v4}:{path}"),
            IpAddr::V6(v6) => format!("{user}[{v6}]:{path}"),
        })
    }

    /// `example.org`, `example.org:8443` or `this machine`, for messages. Never the user part, which may hold a
    /// password.
    pub fn display(&self) -> String {
        match (self.transport, self.port) {
            (Transport::Local, _) => "this machine".to_owned(),
            (Transport::Https, 443) | (Transport::Http, 80) | (Transport::Ssh, 22) => self.host.clone(),
            (_, port) => format!("{}:{port}", self.host),
        }
    }
}

/// Whether everybody who reads what follows `://` finds the same host in it. For the `url` crate the authority ends at `/`,
/// `\`, `?` and `#`, and tabs and line ends are not there at all; for libgit2 it ends at `/` alone. A URL such as
/// `https://ours\@theirs/` would be asked for on behalf of one, and sent to the other.
fn is_unambiguous(rest: &str) -> bool {
    let authority = rest.split('/').next().unwrap_or_default();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@%[]".contains(&b);
    !authority.is_empty() && authority.bytes().all(plain)
}

/// `user@host:path` without a scheme, where libgit2 can read it in no other way: the user ends at the first `@`, the host at
/// the first `:`, and brackets are for IPv6 addresses alone.
fn scp_like(url: &str) -> Option<(&str, &str)> {
    let user = url.split([':', '/']).next()?.find('@').map_or(0, |at| at + 1);
    let (name, rest) = url.split_at(user);
    let host = match rest.strip_prefix('[').and_then(|v6| v6.split_once(']')) {
        Some((v6, _)) => v6.parse::<Ipv6Addr>().ok().map(|_| v6.len() + 2)?,
        None => rest.find(':').filter(|end| is_plain(&rest[..*end]))?,
    };
    let (authority, path) = url.split_at(user + host);
    // `ext::command` is git's syntax for remote helpers.
    let path = path
        .strip_prefix(':')
        .filter(|path| !path.is_empty() && !path.starts_with(':'))?;
    let has_user = name.strip_suffix('@').is_none_or(is_plain);
    has_user.then_some((authority, path))
}

/// Whether it can be a user or a host, and no option of a command.
fn is_plain(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._+~".contains(&b);
    !name.is_empty() && !name.starts_with('-') && name.bytes().all(plain)
}

/// The URL of a submodule as `.gitmodules` writes it, seen from the superproject's own URL (gitsubmodules(7): only
/// `./` and `../` are relative). `None` if it climbs over the root.
pub fn resolve(superproject: &str, url: &str) -> Option<String> {
    if !url.starts_with("./") && !url.starts_with("../") {
        return Some(url.to_owned());
    }
    let mut base = superproject.trim_end_matches('/').to_owned();
    let floor = floor(&base);
    let mut rest = url;
    let mut separator = '/';
    loop {
        if let Some(after) = rest.strip_prefix("./") {
            rest = after;
        } else if let Some(after) = rest.strip_prefix("../") {
            rest = after;
            let cut = base[floor..].rfind('/').map(|at| at + floor);
            match cut {
                Some(at) => {
                    base.truncate(at);
                    separator = '/';
                }
                // The last component of `host:path`: what is left is `host`, to be joined by `:` again.
                None if separator == '/' && is_scp(&base) && floor < base.len() => {
                    base.truncate(floor.saturating_sub(1));
                    separator = ':';
                }
                None => return None,
            }
        } else {
            break;
        }
        if separator == ':' && (rest.starts_with("../") || rest.starts_with("./../")) {
            return None;
        }
    }
    // With `host:/path` as base a second slash would make the host a scheme.
    let rest = rest.trim_matches('/');
    (!rest.is_empty()).then(|| format!("{base}{separator}{rest}"))
}

fn is_scp(url: &str) -> bool {
    !url.starts_with('/') && !url.contains("://") && scp_like(url).is_some()
}

/// Where the path of a URL begins: `..` never climbs above it.
fn floor(url: &str) -> usize {
    if let Some(at) = url.find("://") {
        let authority = at + 3;
        return url[authority..].find('/').map_or(url.len(), |slash| authority + slash);
    }
    match scp_like(url) {
        Some((authority, _)) if !url.starts_with('/') => authority.len() + 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let parse = |url: &str| Address::parse(url).map(|a| (a.transport, a.user, a.host, a.port));
        let user = |u: &str| Some(u.to_owned());
        assert_eq!(
            parse("https://Example.org/a.git"),
            Some((Transport::Https, None, "example.org".into(), 443))
        );
        assert_eq!(
            parse("http://x:8080/a"),
            Some((Transport::Http, None, "x".into(), 8080))
        );
        assert_eq!(
            parse("ssh://git@h:2222/a"),
            Some((Transport::Ssh, user("git"), "h".into(), 2222))
        );
        assert_eq!(parse("ssh://h/a"), Some((Transport::Ssh, None, "h".into(), 22)));
        assert_eq!(
            parse("git@github.com:a/b.git"),
            Some((Transport::Ssh, user("git"), "github.com".into(), 22))
        );
        assert_eq!(
            parse("git@[::1]:a/b.git"),
            Some((Transport::Ssh, user("git"), "::1".into(), 22))
        );
        // Where libgit2 goes.
        assert_eq!(
            parse("theirs:x@ours]:a"),
            Some((Transport::Ssh, None, "theirs".into(), 22))
        );
        assert_eq!(
            parse("/srv/git/a.git"),
            Some((Transport::Local, None, String::new(), 0))
        );
        assert_eq!(parse("file:///srv/a.git").map(|a| a.0), Some(Transport::Local));
        for bad in [
            "ext::sh -c id",
            "git://h/a",
            "relative/path",
            "",
            "-oProxyCommand=x:y",
            "ftp://h/a",
            "https://h\\@evil/a",
            "https://h?@evil/a",
            "https://h#@evil/a",
            "https://h\t@evil/a",
            "https://h @evil/a",
            "https://ｈ/a",
            "https:///h/a",
            "a@theirs@ours:a",
            "[git@h:22]:a",
            "@h:a",
            "git@-oX:a",
            "git@[h]:a",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_number_for_the_name_of_an_ssh_host() {
        for (url, number, want) in [
            ("git@h:a/b.git", "10.0.0.1", "git@10.0.0.1:a/b.git"),
            ("h:a", "2606:4700::1111", "[2606:4700::1111]:a"),
            ("ssh://git@h:2222/a/b", "10.0.0.1", "ssh://git@10.0.0.1:2222/a/b"),
            ("ssh://h/~/a", "2606:4700::1111", "ssh://[2606:4700::1111]/~/a"),
        ] {
            let address = Address::parse(url).unwrap();
            let by_number = address.by_number(url, number.parse().unwrap());
            assert_eq!(by_number.as_deref(), Some(want));
            let again = Address::parse(want).unwrap();
            assert_eq!(
                (again.user, again.port, again.host.as_str()),
                (address.user, address.port, number)
            );
        }
    }

    #[test]
    fn relative_submodule_urls() {
        for (base, url, want) in [
            ("https://h/a/b.git", "../c.git", Some("https://h/a/c.git")),
            ("https://h/a/b.git/", "../../c", Some("https://h/c")),
            ("https://h/a/b.git", "./sub", Some("https://h/a/b.git/sub")),
            ("https://h/a", "../../evil", None),
            ("git@h:a/b.git", "../c.git", Some("git@h:a/c.git")),
            ("git@h:b.git", "../c.git", Some("git@h:c.git")),
            ("git@h:b.git", "../../c.git", None),
            ("/srv/a", "../b", Some("/srv/b")),
            ("file:///srv/a", "../b/", Some("file:///srv/b")),
            ("https://h/a", "https://other/x", Some("https://other/x")),
            ("https://h/a", "../", None),
            ("h:a/b", "../c]:d", Some("h:a/c]:d")),
            ("https:/a", "..//evil/x", Some("https:/evil/x")),
        ] {
            assert_eq!(resolve(base, url).as_deref(), want, "{base} + {url}");
        }
    }
}
