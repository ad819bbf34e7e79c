//! Whether a payload's repo and the configured one are the same.

use percent_encoding::percent_decode_str;

use crate::config::{ForgeKind, Repo, name_in_payloads};

/// True if the payload is about that repo: by `full_name` where the configuration sets it; else by the path of the URL, with or
/// without the path below which the forge is served, or by one of the payload's own addresses. Forges ignore case.
pub fn is_about(repo: &Repo, forge: ForgeKind, claimed: Option<&str>, addresses: &[String]) -> bool {
    let (path, host) = (&repo.remote.path, repo.remote.host.as_deref());
    let is_set = ![repo.forge, Some(forge), None]
        .into_iter()
        .any(|forge| repo.full_name == name_in_payloads(path, host, forge));
    let by_name = claimed.is_some_and(|claimed| {
        let ours = [
            repo.full_name.clone(),
            name_in_payloads(&repo.full_name, host, Some(forge)),
        ];
        alike(&ours, claimed)
    });
    if by_name || is_set {
        return by_name;
    }
    let ours = [path.clone(), name_in_payloads(path, host, Some(forge))];
    if claimed.is_some_and(|claimed| alike(&ours, claimed)) {
        return true;
    }
    let paths: Vec<&str> = addresses.iter().filter_map(|address| path_of(address)).collect();
    if !paths.is_empty() {
        return paths.iter().any(|path| alike(&ours[..1], path));
    }
    // Nested groups look like a forge below a path; only what is nobody's own server can't be.
    claimed.is_some_and(|claimed| {
        let (ours, claimed) = (plain(path), plain(claimed));
        claimed.contains('/')
            && ours.strip_suffix(&claimed).is_some_and(|above| above.ends_with('/'))
            && host.and_then(ForgeKind::of_host).is_none()
    })
}

fn alike(ours: &[String], claimed: &str) -> bool {
    let claimed = plain(claimed);
    ours.iter().any(|ours| plain(ours) == claimed)
}

/// A name or path without what means nothing: slashes at its ends, `.git`, percent signs, case.
fn plain(name: &str) -> String {
    let decoded = percent_decode_str(name).decode_utf8_lossy();
    let name = decoded.trim_matches('/');
    name.strip_suffix(".git").unwrap_or(name).to_lowercase()
}

/// The path of an http, https, ssh or scp-like address.
fn path_of(address: &str) -> Option<&str> {
    let path = match address.split_once("://") {
        Some((_, rest)) => rest.split_once('/')?.1,
        None => address.split_once(':')?.1,
    };
    let path = path.split(['?', '#']).next().unwrap_or_default();
    (!path.is_empty()).then_some(path)
}
