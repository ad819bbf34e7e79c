//! A request of a forge as it came, and which of its headers may be kept.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use http::HeaderMap;
use serde_json::{Value, json};

use crate::dialects::{ForgeKind, header};

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

/// Headers that are worth keeping whoever sent the delivery.
const KEPT: &[&str] = &["content-type", "user-agent"];

/// The names of the headers that may be kept, in lower case: what a delivery is and who sent it. An allow-list, so that no token,
/// cookie, `Authorization` or self-named secret header can ever reach the store.
static ALLOWED: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let of_forge = |kind: &ForgeKind| {
        let dialect = kind.dialect();
        let named = dialect.delivery.iter().chain([&dialect.event]);
        named
            .filter_map(|named| named.header())
            .chain(dialect.kept.iter().copied())
    };
    let names = ForgeKind::ALL.iter().flat_map(of_forge).chain(KEPT.iter().copied());
    names.map(str::to_ascii_lowercase).collect()
});

/// The headers that a stored delivery keeps, as (name in lower case, value), sorted by name. Never a secret.
pub fn stored_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let kept = |name: &String| Some((name.clone(), header(headers, name)?.to_owned()));
    ALLOWED.iter().filter_map(kept).collect()
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
