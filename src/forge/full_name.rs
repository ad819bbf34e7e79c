//! The repo's full name in a delivery that nobody vouches for yet: to find the repo, and with it the secret to check with.

use std::borrow::Cow;
use std::fmt;

use http::HeaderMap;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::body;
use super::detect::detect_with_body;
use crate::dialects::{ForgeKind, addresses};

/// Longest text that is kept, bytes: longer than any full name or address of a repo.
const TEXT_MAX: usize = 1024;
/// How deep a name can be: `pullRequest.toRef.repository.project.key`, `data.webhook.repository.owner.canonicalName`.
const DEPTH_MAX: usize = 5;
/// Most keys that are kept in all. Real payloads have a few dozen of them.
const KEYS_MAX: usize = 256;

/// Keys on the way to a name, and those that tell the forges apart; some forges have more. All else is skipped without being kept.
const KEYS: &[&str] = &[
    "actor",
    "canonicalName",
    "canonical_name",
    "clone_url",
    "data",
    "destination",
    "eventKey",
    "eventType",
    "event_name",
    "full_name",
    "git_url",
    "git_ssh_url",
    "full_url",
    "git_http_url",
    "fullname",
    "homepage",
    "html_url",
    "http_url",
    "key",
    "login",
    "msg",
    "name",
    "new",
    "object_attributes",
    "object_kind",
    "owner",
    "path_with_namespace",
    "prior_status",
    "project",
    "project_fullname",
    "publisherId",
    "remoteUrl",
    "pullRequest",
    "pullrequest",
    "repo",
    "repository",
    "resource",
    "run",
    "sender",
    "slug",
    "sshUrl",
    "ssh_url",
    "target",
    "toRef",
    "topic",
    "type",
    "url",
    "username",
    "uuid",
    "web_url",
    "webhook",
];

fn is_kept(key: &str) -> bool {
    KEYS.contains(&key) || ForgeKind::ALL.iter().any(|kind| kind.dialect().keys.contains(&key))
}

/// What a payload that nobody vouches for says of its repo.
pub struct ClaimedRepo {
    /// The forge that writes so.
    pub forge: ForgeKind,
    /// Its full name.
    pub name: Option<String>,
    /// Where it is.
    pub addresses: Vec<String>,
}

/// The repo that the payload claims to be about. Reads the body once and keeps no more of it than names; `None` if it is no JSON.
pub fn claimed_repo(headers: &HeaderMap, raw: &[u8]) -> Option<ClaimedRepo> {
    let text = body::json_text(headers, raw);
    let mut left = KEYS_MAX;
    let mut reader = serde_json::Deserializer::from_slice(&text);
    let body = Skeleton {
        depth: 0,
        left: &mut left,
    }
    .deserialize(&mut reader)
    .ok()?;
    let forge = detect_with_body(headers, &body)?;
    Some(ClaimedRepo {
        forge,
        name: (forge.dialect().repo)(&body),
        addresses: addresses(&body),
    })
}

/// The full name that the payload claims, and the forge that writes names so.
pub fn full_name(headers: &HeaderMap, raw: &[u8]) -> Option<(ForgeKind, String)> {
    let claimed = claimed_repo(headers, raw)?;
    Some((claimed.forge, claimed.name?))
}

/// Reads JSON into a `Value` that has only the [`KEYS`].
struct Skeleton<'l> {
    depth: usize,
    left: &'l mut usize,
}

impl<'de> DeserializeSeed<'de> for Skeleton<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if self.depth > DEPTH_MAX {
            return deserializer.deserialize_ignored_any(IgnoredAny).map(|_| Value::Null);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Skeleton<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut kept = Map::new();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if *self.left == 0 || !is_kept(&key) {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            *self.left -= 1;
            let value = map.next_value_seed(Skeleton {
                depth: self.depth + 1,
                left: self.left,
            })?;
            kept.insert(key.into_owned(), value);
        }
        Ok(Value::Object(kept))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Array(Vec::new()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        let fits = text.len() <= TEXT_MAX;
        Ok(if fits {
            Value::String(text.to_owned())
        } else {
            Value::Null
        })
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
}
