//! Standard Webhooks: a signature and an envelope; what is in `data` is the sender's own affair.

use serde_json::{Value, json};

use super::dialect::{BASE, Dialect, Named};
use super::error::ParseError;
use super::error::{CannotSign, Rejection};
use super::fields::{branch_ref, commit, flag, has, owned, ref_change, text};
use super::request::{Request, fits};
use super::rule::HashAlgorithm;
use super::scheme::{self, any_hmac, base64_bytes, base64_text, hmac, standard_key};
use super::signing::{Headers, Signing};
use crate::model::{Action, Event, EventKind, Secret};

/// Most entries of a `webhook-signature` list that are tried; a sender in rotation has two.
const SIGNATURES_MAX: usize = 8;

/// The dialect of Standard Webhooks.
pub(super) static DIALECT: Dialect = Dialect {
    event: Named::Body("/type"),
    delivery: &[Named::Header("webhook-id")],
    kept: &["webhook-timestamp"],
    is_body: |body| has(body, "/type") && (has(body, "/data") || has(body, "/timestamp")) && !has(body, "/repository"),
    infer,
    repo,
    read,
    may_be_unnamed: true,
    check,
    sample: |push| json!({"type": "push", "timestamp": "2026-01-01T00:00:00Z", "data": push.plain()}),
    sign,
    name_at: |parts, _| parts.join("/"),
    page: |_, _, _| None,
    ..BASE
};

/// The body names its own type; with a ref it is a push without one, too.
fn infer(body: &Value) -> Option<String> {
    let push = ["/ref", "/data/ref"].iter().any(|place| has(body, place));
    owned(body, &["/type", "/event"]).or_else(|| push.then(|| "push".to_owned()))
}

/// Full name, at the top or in `data`.
fn repo(body: &Value) -> Option<String> {
    owned(
        body,
        &[
            "/data/repository/full_name",
            "/data/repo",
            "/repository/full_name",
            "/repo",
        ],
    )
}

/// The events of one delivery: with a ref, at the top or in `data`, it is a push, whatever its type is called.
pub(super) fn read(event: &str, body: &Value) -> Result<Vec<Event>, ParseError> {
    let data = if text(body, "/data/ref").is_some() {
        &body["data"]
    } else {
        body
    };
    let read = match text(data, "/ref") {
        Some(git_ref) => {
            let event = ref_change(
                "push",
                branch_ref(git_ref),
                commit(data, "/before"),
                commit(data, "/after"),
            );
            Event {
                forced: flag(data, "/forced"),
                head_message: owned(data, &["/head_commit/message"]),
                ..event
            }
        }
        None if matches!(event, "ping" | "test") => {
            Event::new(EventKind::Ping, "ping", Action::Other(event.to_owned()))
        }
        None if text(body, "/type").is_none() => return Err(ParseError::MissingField("/type".into())),
        None => Event::new(EventKind::Other, event, Action::Other(event.to_owned())),
    };
    let pusher = owned(data, &["/pusher/name", "/pusher", "/sender/login"]);
    Ok(vec![Event {
        repo: repo(body),
        pusher,
        ..read
    }])
}

/// Standard Webhooks 1.0.0.
pub(super) fn check(request: &Request<'_>) -> Result<(), Rejection> {
    let list = request.single("webhook-signature")?;
    let id = request.single("webhook-id")?;
    let sent = request.single("webhook-timestamp")?;
    let parts: [&[u8]; 5] = [id.as_bytes(), b".", sent.as_bytes(), b".", request.raw];
    let listed = standard_signatures(list)?;
    let by_owner = |tag: &Vec<u8>| request.public_key.is_some_and(|key| scheme::ed25519(&key, &parts, tag));
    let decoded: Vec<_> = request.secrets.iter().filter_map(standard_key).collect();
    let keys: Vec<&[u8]> = decoded.iter().map(|key| key.as_slice()).collect();
    let genuine =
        any_hmac(HashAlgorithm::Sha256, &keys, &parts, &listed.symmetric) | listed.asymmetric.iter().any(by_owner);
    fits(genuine)?;
    let seconds = sent.parse::<i64>().ok();
    request.require_recent(seconds.and_then(|seconds| seconds.checked_mul(1000)))
}

/// The signatures of a `webhook-signature` header.
#[derive(Default)]
struct Listed {
    symmetric: Vec<Vec<u8>>,
    asymmetric: Vec<Vec<u8>>,
}

/// The `v1` (HMAC) and the `v1a` (Ed25519) signatures of a list.
fn standard_signatures(list: &str) -> Result<Listed, Rejection> {
    let mut listed = Listed::default();
    for (version, text) in list
        .split_ascii_whitespace()
        .take(SIGNATURES_MAX)
        .filter_map(|entry| entry.split_once(','))
    {
        let tag = base64_bytes(text).filter(|tag| !tag.is_empty());
        match version {
            "v1" => listed.symmetric.extend(tag),
            "v1a" => listed.asymmetric.extend(tag),
            _ => {}
        }
    }
    if listed.symmetric.is_empty() && listed.asymmetric.is_empty() {
        let unknown = scheme::versions(list).find(|version| !scheme::VERSIONS.contains(version));
        return Err(unknown.map_or(Rejection::Wrong, |version| Rejection::Unsupported(version.to_owned())));
    }
    Ok(listed)
}

/// The headers of a delivery with a `v1` signature.
pub(super) fn sign(secret: &Secret, body: &[u8], with: &Signing<'_>) -> Result<Headers, CannotSign> {
    let key = standard_key(secret).ok_or(CannotSign::NoKey)?;
    let (id, sent) = (with.id.as_str(), with.now.seconds().to_string());
    let parts: [&[u8]; 5] = [id.as_bytes(), b".", sent.as_bytes(), b".", body];
    let tag = base64_text(&hmac(HashAlgorithm::Sha256, &key, &parts));
    let headers = [
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", sent),
        ("webhook-signature", format!("v1,{tag}")),
    ];
    Ok(headers
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect())
}
