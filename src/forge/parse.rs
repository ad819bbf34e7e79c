//! From a genuine delivery to its events: which dialect, which event, and whether body and event name belong together.

use http::HeaderMap;
use serde_json::Value;

use super::body;
use super::detect::{detect, detect_with_body};
use super::repair::repaired;
use super::verify::Verified;
use crate::dialects::{self, ForgeKind, Generic, Named, ParseError, addresses, header, text};
use crate::model::{DeliveryId, Event, words};

/// Longest event name that is kept, characters; names from a body may be anything.
const EVENT_MAX: usize = 80;

/// What a delivery says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// Whose dialect it was.
    pub forge: ForgeKind,
    /// The forge's own name of the event: `push`, `Tag Push Hook`, `repo:refs_changed` …
    pub event: String,
    /// The forge's id of the delivery, if it has one.
    pub delivery: Option<DeliveryId>,
    /// Full name of the repo as the payload has it.
    pub repo: Option<String>,
    /// Where the payload says that the repo is: to clone it, and its page.
    pub addresses: Vec<String>,
    /// What happened: several ref changes in one delivery for some forges, none in an empty push.
    pub events: Vec<Event>,
}

/// The events of a genuine delivery.
///
/// # Errors
/// What makes it impossible to understand.
pub fn parse(verified: &Verified<'_>) -> Result<Parsed, ParseError> {
    let body = json(&verified.json)?;
    let forge = verified.forge.or_else(|| detect_with_body(verified.headers, &body));
    let forge = forge.ok_or(ParseError::UnknownForge)?;
    let event = event(forge, verified.headers, &body)?;
    read(forge, event, verified.headers, &body, verified.generic.as_ref())
}

/// The events of a delivery **that nobody vouches for**: to explain a file, never to act on it. Does without headers, as
/// far as the shape of the JSON tells forge and event.
///
/// # Errors
/// What makes it impossible to understand.
pub fn parse_unverified(
    headers: &HeaderMap,
    raw: &[u8],
    forge: Option<ForgeKind>,
    pointers: Option<&Generic>,
) -> Result<Parsed, ParseError> {
    let body = json(&body::json_text(headers, raw))?;
    let forge = forge
        .or_else(|| detect_with_body(headers, &body))
        .ok_or(ParseError::UnknownForge)?;
    let event = event(forge, headers, &body).or_else(|missing| inferred(forge, &body).ok_or(missing))?;
    read(forge, event, headers, &body, pointers)
}

/// A genuine delivery of which hookd can tell nothing but its headers.
pub fn not_understood(verified: &Verified<'_>) -> Parsed {
    let claims = claims(verified.headers);
    Parsed {
        forge: verified.forge.unwrap_or(ForgeKind::Generic),
        event: claims.event.map(clipped).unwrap_or_default(),
        delivery: claims.delivery.and_then(|id| id.parse().ok()),
        repo: None,
        addresses: Vec::new(),
        events: Vec::new(),
    }
}

/// True if this is perhaps all that the forge says of a push, although it is none by itself: Pagure sends nothing but
/// `git.branch.creation` for a new branch whose commits are in the default branch, GitLab nothing but `repository_update` for a
/// push of many refs to those who asked for no push events, and Azure DevOps a push without its refs if told to send few details.
pub fn may_stand_for_push(parsed: &Parsed, event: &Event) -> bool {
    (parsed.forge.dialect().may_stand_for_push)(event)
}

/// What a delivery calls itself in its headers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Claims<'a> {
    /// Whose headers they are.
    pub forge: Option<ForgeKind>,
    /// The event.
    pub event: Option<&'a str>,
    /// The delivery's id.
    pub delivery: Option<&'a str>,
}

/// What the headers claim, **for which nobody vouches**: to tell people of a delivery that was not believed.
pub fn claims(headers: &HeaderMap) -> Claims<'_> {
    let Some(forge) = detect(headers) else {
        return Claims::default();
    };
    let dialect = forge.dialect();
    Claims {
        forge: Some(forge),
        event: dialect.event.header().and_then(|name| header(headers, name)),
        delivery: dialect.delivery_in(headers),
    }
}

/// The JSON object in a text. The depth limit of `serde_json` (128) stays.
pub(super) fn json(text: &[u8]) -> Result<Value, ParseError> {
    if text.trim_ascii().is_empty() {
        return Err(ParseError::Empty);
    }
    let malformed = |error: serde_json::Error| ParseError::MalformedJson {
        line: error.line(),
        column: error.column(),
    };
    let value: Value = match serde_json::from_slice(text) {
        Ok(value) => value,
        // Told of the text as it came, if that does not help.
        Err(error) => serde_json::from_slice(&repaired(text)).map_err(|_| malformed(error))?,
    };
    if value.is_object() {
        Ok(value)
    } else {
        Err(ParseError::NotAnObject)
    }
}

/// The event's name.
fn event(forge: ForgeKind, headers: &HeaderMap, body: &Value) -> Result<String, ParseError> {
    let dialect = forge.dialect();
    let (found, name) = match dialect.event {
        Named::Header(name) => (header(headers, name), name),
        Named::Either(name, pointer) => (header(headers, name).or_else(|| text(body, pointer)), name),
        Named::Body(pointer) => {
            let found = text(body, pointer).map(clipped).or_else(|| inferred(forge, body));
            return found.ok_or(ParseError::MissingField(pointer.into()));
        }
    };
    found.map(clipped).ok_or(ParseError::MissingEventHeader(name))
}

/// The event's name, as far as the shape of the body tells it.
fn inferred(forge: ForgeKind, body: &Value) -> Option<String> {
    (forge.dialect().infer)(body).map(|name| clipped(&name))
}

fn read(
    forge: ForgeKind,
    event: String,
    headers: &HeaderMap,
    body: &Value,
    pointers: Option<&Generic>,
) -> Result<Parsed, ParseError> {
    let dialect = forge.dialect();
    let named = |named: &Named| match *named {
        Named::Header(name) => header(headers, name),
        Named::Body(pointer) => text(body, pointer),
        Named::Either(name, pointer) => header(headers, name).or_else(|| text(body, pointer)),
    };
    let (id, repo, events) = match pointers {
        Some(pointers) if forge == ForgeKind::Generic => (
            header(headers, &pointers.delivery_header),
            text(body, &pointers.repo).map(str::to_owned),
            dialects::read_generic(body, pointers)?,
        ),
        _ => (
            dialect.delivery.iter().find_map(named),
            (dialect.repo)(body),
            (dialect.read)(&event, body)?,
        ),
    };
    Ok(Parsed {
        forge,
        event,
        delivery: id.and_then(|id| id.parse().ok()),
        repo,
        addresses: addresses(body),
        events,
    })
}

fn clipped(name: &str) -> String {
    name.chars()
        .filter(|c| !words::is_invisible(*c))
        .take(EVENT_MAX)
        .collect()
}

impl std::fmt::Display for Parsed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.forge, self.event)
    }
}
