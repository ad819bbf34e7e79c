//! Which forges publish the addresses that their webhooks come from, and where.

use super::ForgeKind;
use super::forges::ForgeApi;
use super::value::Published;

/// GitHub's `hooks` ranges. Source: docs.github.com, "About GitHub's IP addresses".
const GITHUB: &str = "https://api.github.com/meta";

/// All ranges of Atlassian. Source: support.atlassian.com, "IP addresses and domains for Atlassian cloud products".
const ATLASSIAN: &str = "https://ip-ranges.atlassian.com/";

/// The published ranges of a forge, which `api` may place elsewhere; or why there are none.
pub(super) fn find(name: &str, kind: ForgeKind, api: Option<&ForgeApi>) -> Result<Published, String> {
    let public = |address: &str| url::Url::parse(address).map_err(|e| e.to_string());
    let own = api.and_then(|api| api.url.as_ref());
    let given = api.and_then(|api| api.ranges.clone());
    let url = match (kind, given, own) {
        (ForgeKind::GitHub | ForgeKind::Bitbucket, Some(given), _) => Some(given),
        // GitHub Enterprise Server answers `/meta` below its API, too.
        (ForgeKind::GitHub, None, Some(own)) => Some(below(own, "meta")),
        (ForgeKind::GitHub, None, None) => Some(public(GITHUB)?),
        (ForgeKind::Bitbucket, None, _) => Some(public(ATLASSIAN)?),
        (ForgeKind::GitLab, None, None) => None,
        (ForgeKind::GitLab, None, Some(_)) => return Err("a GitLab of your own publishes no addresses".to_owned()),
        (ForgeKind::GitLab, Some(_), _) => return Err("gitlab has its addresses in its manual only".to_owned()),
        _ => return Err(format!("{kind} publishes no addresses")),
    };
    Ok(Published {
        name: name.to_owned(),
        kind,
        url,
    })
}

/// A URL with one segment more.
fn below(base: &url::Url, segment: &str) -> url::Url {
    let mut url = base.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().push(segment);
    }
    url
}
