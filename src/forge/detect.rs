//! Which forge a delivery comes from: by its headers, or else by the shape of its JSON.

use http::HeaderMap;
use serde_json::Value;

use crate::dialects::{self, ForgeKind, header};

/// Headers that several forges send, or anybody: they tell the forge if nothing else does.
const SHARED: &[(&str, ForgeKind)] = &[
    ("x-hub-signature-256", ForgeKind::GitHub),
    ("x-hub-signature", ForgeKind::GitHub),
    ("webhook-signature", ForgeKind::Standard),
    // Azure DevOps has no header of its own, just basic authentication.
    ("authorization", ForgeKind::AzureDevOps),
];

/// The forge that the headers speak for; `None` if they say nothing. Never `generic`, which only the configuration can name.
pub fn detect(headers: &HeaderMap) -> Option<ForgeKind> {
    let is_there = |name: &str| headers.contains_key(name);
    by_event(headers)
        // Without an event such a delivery can still be verified, and then be told what it lacks.
        .or_else(|| ForgeKind::found(|dialect| dialect.marks.iter().any(|name| is_there(name))))
        .or_else(|| SHARED.iter().find(|(name, _)| is_there(name)).map(|(_, kind)| *kind))
}

/// The forge whose event header is there.
pub(super) fn by_event(headers: &HeaderMap) -> Option<ForgeKind> {
    ForgeKind::found(|dialect| dialect.names_event(headers))
}

/// The name of a signature algorithm that hookd does not know, taken from the headers alone, so that the answer is the
/// same whatever repo is asked for: `md5` of `X-Hub-Signature: md5=…`, `v2` of `webhook-signature: v2,…`.
pub fn unsupported_algorithm(headers: &HeaderMap) -> Option<&str> {
    let prefixed = ForgeKind::ALL.iter().flat_map(|kind| kind.dialect().hex);
    let prefixed = prefixed.filter_map(|name| header(headers, name));
    let hex = prefixed
        .filter_map(dialects::algorithm_name)
        .find(|name| dialects::algorithm(name).is_none());
    hex.or_else(|| {
        let versions = || {
            header(headers, "webhook-signature")
                .into_iter()
                .flat_map(dialects::versions)
        };
        versions()
            .next()
            .filter(|_| !versions().any(|version| dialects::VERSIONS.contains(&version)))
    })
}

/// The forge that headers and JSON together speak for: the headers if they do, else the shape of the JSON.
pub fn detect_with_body(headers: &HeaderMap, body: &Value) -> Option<ForgeKind> {
    // Signature headers are shared by several forges: the body knows better.
    by_event(headers)
        .or_else(|| ForgeKind::found(|dialect| (dialect.is_body)(body)))
        .or_else(|| detect(headers))
}
