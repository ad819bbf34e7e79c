//! What a repository says of others, and what a file says of hosts: URLs of submodules, signed objects, known hosts.

use std::path::Path;

use hookd::config::{ForgeKind, Transport};
use hookd::git::address::{Address, resolve};
use hookd::git::known_hosts::KnownHosts;
use hookd::git::{split_commit, split_tag};
use hookd::ranges::read;
use sha2::{Digest, Sha256};

/// Anything of these.
pub fn run(data: &[u8]) {
    objects(data);
    let _ = read::read(ForgeKind::GitHub, data);
    let _ = read::read(ForgeKind::Bitbucket, data);
    let text = String::from_utf8_lossy(data);
    hosts(data, &text);
    let mut lines = text.lines();
    let (base, url) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    one_host(base);
    one_host(url);
    relative(base, url);
}

/// What is signed and the signature are all that there is, and nothing is lost that has none.
fn objects(raw: &[u8]) {
    let (payload, signature) = split_tag(raw);
    assert_eq!([payload, signature.unwrap_or_default()].concat(), raw);
    if let Ok((payload, signature)) = split_commit(raw) {
        assert!(payload.len() + signature.map_or(0, |s| s.len()) <= raw.len());
        if !raw.windows(6).any(|part| part == b"gpgsig") {
            assert_eq!(payload, raw);
        }
    }
}

/// Credentials are for the host to which libgit2 goes, see `util/net.c` there.
fn one_host(url: &str) {
    let Some(address) = Address::parse(url) else { return };
    if address.transport == Transport::Local {
        return;
    }
    let place = match url.split_once("://") {
        // The host ends at the first `/`, and begins behind the last `@` before that.
        Some((_, rest)) => rest
            .split('/')
            .next()
            .and_then(|authority| authority.rsplit('@').next())
            .unwrap_or_default(),
        // The user ends at the first `@`, if there is one before the first `:`.
        None => match url.split_once('@') {
            Some((user, rest)) if !user.contains(':') => rest,
            _ => url,
        },
    };
    let host = match place.strip_prefix('[').and_then(|v6| v6.split_once(']')) {
        Some((v6, _)) => v6,
        None => place.split(':').next().unwrap_or_default(),
    };
    let decoded = percent_encoding::percent_decode_str(host)
        .decode_utf8_lossy()
        .to_ascii_lowercase();
    // Numbers and IPv6 addresses may be written in several ways, which mean the same.
    let number = address.host.parse::<std::net::IpAddr>().is_ok();
    assert!(
        number || decoded == address.host || host.to_ascii_lowercase() == address.host,
        "{url:?}: {address:?}"
    );
}

/// A relative URL stays at the place that it is relative to.
fn relative(base: &str, url: &str) {
    let relative = url.starts_with("./") || url.starts_with("../");
    if let (Some(full), Some(from), true) = (resolve(base, url), Address::parse(base), relative) {
        let to = Address::parse(&full);
        assert!(
            to.is_none_or(|to| to.same_place(&from)),
            "{base:?} + {url:?} = {full:?}"
        );
    }
}

/// No text makes a key known that is not in it.
fn hosts(data: &[u8], text: &str) {
    let key = Sha256::digest(data);
    for port in [22, 2222] {
        let mut known = KnownHosts::of_host("git.example.org", port);
        known.add(Path::new("known_hosts"), text);
        assert!(known.check(&key).is_err());
        // What libgit2 is given is read again as the same.
        let plain = known.plain_lines("git.example.org", port);
        let mut again = KnownHosts::of_host("git.example.org", port);
        again.add(Path::new("known_hosts"), &plain);
        assert_eq!(again.plain_lines("git.example.org", port), plain);
    }
}
