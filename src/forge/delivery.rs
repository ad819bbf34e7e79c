//! A request of a forge as it came, and which of its headers may be kept.

use http::HeaderMap;
use serde_json::{Value, json};

/// One request of a forge: its headers and its raw body, nothing decoded yet.
#[derive(Clone, Copy)]
pub struct Delivery<'a> {
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body, byte for byte as signed.
    pub body: &'a [u8],
}

/// Longest body that can be a connection test of Bitbucket Server (`{"test": true}`), bytes, with room for white space.
const PING_MAX: usize = 64;

/// Headers that are worth keeping with a stored delivery: what it is and who sent it. An allow-list, so that no token,
/// cookie, `Authorization` or self-named secret header can ever reach the store.
const KEPT: &[&str] = &[
    "content-type",
    "idempotency-key",
    "user-agent",
    "webhook-id",
    "webhook-timestamp",
    "x-attempt-number",
    "x-event-key",
    "x-forgejo-delivery",
    "x-forgejo-event",
    "x-forgejo-event-type",
    "x-gitea-delivery",
    "x-gitea-event",
    "x-gitea-event-type",
    "x-gitea-hook-installation-target-type",
    "x-gitee-event",
    "x-github-delivery",
    "x-github-enterprise-host",
    "x-github-enterprise-version",
    "x-github-event",
    "x-github-event-type",
    "x-github-hook-id",
    "x-github-hook-installation-target-id",
    "x-github-hook-installation-target-type",
    "x-gitlab-event",
    "x-gitlab-event-uuid",
    "x-gitlab-instance",
    "x-gogs-delivery",
    "x-gogs-event",
    "x-gogs-event-type",
    "x-hook-uuid",
    "x-pagure",
    "x-pagure-project",
    "x-pagure-topic",
    "x-request-id",
    "x-request-uuid",
    "x-webhook-delivery",
    "x-webhook-event",
];

/// The header's value, trimmed; none if it is absent, empty, or not visible ASCII.
pub fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let value = headers.get(name)?.to_str().ok()?.trim();
    // `to_str` lets tabs pass.
    (!value.is_empty() && !value.contains('\t')).then_some(value)
}

/// The headers that a stored delivery keeps, as (name in lower case, value), sorted by name. Never a secret.
pub fn stored_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let kept = |name: &&str| header(headers, name).map(|value| ((*name).to_owned(), value.to_owned()));
    KEPT.iter().filter_map(kept).collect()
}

/// The headers of a stored delivery, from the JSON that [`stored_headers`] was written as.
pub fn restored_headers(stored: &str) -> HeaderMap {
    let pairs: Vec<(String, String)> = serde_json::from_str(stored).unwrap_or_default();
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        if let (Ok(name), Ok(value)) = (name.parse::<http::HeaderName>(), value.parse()) {
            map.insert(name, value);
        }
    }
    map
}

/// True for "Test connection" of Bitbucket Server and Data Center, which comes without a signature even where a secret
/// is set. Answer it with a pong and do nothing. Told from the request alone, so it is the same for every repo.
pub fn is_unsigned_ping(delivery: &Delivery<'_>) -> bool {
    header(delivery.headers, "x-event-key") == Some("diagnostics:ping")
        && !delivery.headers.contains_key("x-hub-signature")
        && delivery.body.len() <= PING_MAX
        && serde_json::from_slice::<Value>(delivery.body).is_ok_and(|body| body == json!({"test": true}))
}
