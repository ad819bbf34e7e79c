//! From a genuine delivery to its events: which dialect, which event, and whether body and event name belong together.

use std::borrow::Cow;

use http::HeaderMap;
use serde_json::Value;

use super::delivery::header;
use super::detect::{detect, detect_with_body, word};
use super::fields::{addresses, text};
use super::repair::repaired;
use super::verify::Verified;
use super::{
    azure, bitbucket, bitbucket_server, body, forgejo, generic, gitea, gitee, github, gitlab, gogs, hub, pagure,
    sourcehut, standard,
};
use crate::config::{ForgeKind, Generic};
use crate::model::{DeliveryId, Event, EventKind, words};

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

/// Why a delivery cannot be understood. Says where, never what stands there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// There is nothing in the body, or no `payload` in the form.
    #[error("the body is empty: no JSON, and no form field `payload`")]
    Empty,
    /// The body is not JSON.
    #[error("the body is not valid JSON: an error at line {line}, column {column}")]
    MalformedJson {
        /// Line of the error, from 1.
        line: usize,
        /// Column of the error, from 1.
        column: usize,
    },
    /// JSON, but a list, text or number.
    #[error("the body is JSON, but not an object")]
    NotAnObject,
    /// Neither headers nor body look like a forge that hookd knows.
    #[error("the delivery looks like none of the forges that are known; `forge` in the configuration can name it")]
    UnknownForge,
    /// The header that names the event is missing or empty.
    #[error("the header {0} is missing: it names the event")]
    MissingEventHeader(&'static str),
    /// The body lacks something without which it says nothing.
    #[error("the body has no usable value at {0}")]
    MissingField(Cow<'static, str>),
    /// The event header names one event, the body is another's.
    #[error("the event header does not fit the body: this is not the body of such an event")]
    ShapeMismatch,
}

/// The events of a genuine delivery.
///
/// # Errors
/// What makes it impossible to understand.
pub fn parse(verified: &Verified<'_>) -> Result<Parsed, ParseError> {
    let body = json(&verified.json)?;
    let forge = verified.forge.or_else(|| detect_with_body(verified.headers, &body));
    let forge = forge.ok_or(ParseError::UnknownForge)?;
    let dialect = Dialect::of(forge);
    let event = dialect.event(verified.headers, &body)?;
    dialect.read(event, verified.headers, &body, verified.generic.as_ref())
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
    let dialect = Dialect::of(forge);
    let event = dialect.event(headers, &body).unwrap_or_else(|_| (dialect.infer)(&body));
    dialect.read(event, headers, &body, pointers)
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
    match parsed.forge {
        ForgeKind::Pagure => event.kind == EventKind::Branch && event.name == "create",
        _ => event.kind == EventKind::Other && matches!(event.name.as_str(), "push" | "repository_update"),
    }
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
    let dialect = Dialect::of(forge);
    let of_header = |named: &Named| match *named {
        Named::Header(name) | Named::Either(name, _) => header(headers, &name.to_ascii_lowercase()),
        Named::Body(_) => None,
    };
    Claims {
        forge: Some(forge),
        event: of_header(&dialect.event),
        delivery: dialect.delivery.iter().find_map(of_header),
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

type Read = fn(&str, &Value) -> Result<Vec<Event>, ParseError>;

/// How one forge says things.
pub(super) struct Dialect {
    forge: ForgeKind,
    /// The header that names the event, as the forge writes it; or the pointer to its name in the body.
    event: Named,
    /// Where the delivery's id is.
    delivery: &'static [Named],
    /// The forge's event name that the body alone looks like.
    pub(super) infer: fn(&Value) -> String,
    /// The repo's full name.
    pub(super) repo: fn(&Value) -> Option<String>,
    read: Read,
}

#[derive(Clone, Copy)]
enum Named {
    Header(&'static str),
    Body(&'static str),
    /// The header, or without it the place in the body.
    Either(&'static str, &'static str),
}

impl Dialect {
    pub(super) fn of(forge: ForgeKind) -> Self {
        use Named::{Body, Either, Header};
        type Infer = fn(&Value) -> String;
        type Repo = fn(&Value) -> Option<String>;
        let (event, delivery, infer, repo, read): (_, &'static [Named], Infer, Repo, Read) = match forge {
            ForgeKind::GitHub => (
                Header("X-GitHub-Event"),
                &[Header("x-github-delivery")],
                github::infer,
                hub::repo,
                github::read,
            ),
            ForgeKind::Gitea => (
                Header("X-Gitea-Event"),
                &[Header("x-gitea-delivery")],
                gitea::infer,
                hub::repo,
                gitea::read,
            ),
            ForgeKind::Forgejo => (
                Header("X-Forgejo-Event"),
                &[Header("x-forgejo-delivery"), Header("x-gitea-delivery")],
                forgejo::infer,
                hub::repo,
                forgejo::read,
            ),
            ForgeKind::Gogs => (
                Header("X-Gogs-Event"),
                &[Header("x-gogs-delivery")],
                gogs::infer,
                hub::repo,
                gogs::read,
            ),
            // Not X-Gitlab-Event-UUID and X-Gitlab-Webhook-UUID: the first is inherited, the second new on every request.
            ForgeKind::GitLab => (
                Header("X-Gitlab-Event"),
                &[Header("idempotency-key"), Header("webhook-id")],
                gitlab::infer,
                gitlab::repo,
                gitlab::read,
            ),
            ForgeKind::Bitbucket => (
                Header("X-Event-Key"),
                &[Header("x-request-uuid")],
                bitbucket::infer,
                bitbucket::repo,
                bitbucket::read,
            ),
            ForgeKind::BitbucketServer => (
                Header("X-Event-Key"),
                &[Header("x-request-id")],
                bitbucket_server::infer,
                bitbucket_server::repo,
                bitbucket_server::read,
            ),
            ForgeKind::AzureDevOps => (
                Body("/eventType"),
                &[Body("/id")],
                azure::infer,
                azure::repo,
                azure::read,
            ),
            ForgeKind::SourceHut => (
                Either("X-Webhook-Event", "/data/webhook/event"),
                &[Header("x-webhook-delivery")],
                sourcehut::infer,
                sourcehut::repo,
                sourcehut::read,
            ),
            ForgeKind::Pagure => (
                Header("X-Pagure-Topic"),
                &[Body("/msg_id")],
                pagure::infer,
                pagure::repo,
                pagure::read,
            ),
            // A delivery has no id.
            ForgeKind::Gitee => (Header("X-Gitee-Event"), &[], gitee::infer, gitee::repo, gitee::read),
            ForgeKind::Standard => (
                Body("/type"),
                &[Header("webhook-id")],
                standard::infer,
                standard::repo,
                standard::read,
            ),
            ForgeKind::Generic => (Body("/event"), &[], standard::infer, hub::repo, standard::read),
        };
        Self {
            forge,
            event,
            delivery,
            infer,
            repo,
            read,
        }
    }

    fn event(&self, headers: &HeaderMap, body: &Value) -> Result<String, ParseError> {
        match self.event {
            Named::Header(name) => {
                let found = header(headers, &name.to_ascii_lowercase());
                found.map(clipped).ok_or(ParseError::MissingEventHeader(name))
            }
            Named::Body(pointer) => Ok(text(body, pointer).map_or_else(|| (self.infer)(body), clipped)),
            Named::Either(name, pointer) => {
                let found = header(headers, &name.to_ascii_lowercase()).or_else(|| text(body, pointer));
                found.map(clipped).ok_or(ParseError::MissingEventHeader(name))
            }
        }
    }

    fn read(
        &self,
        event: String,
        headers: &HeaderMap,
        body: &Value,
        pointers: Option<&Generic>,
    ) -> Result<Parsed, ParseError> {
        let named = |named: &Named| match *named {
            Named::Header(name) => header(headers, name),
            Named::Body(pointer) => text(body, pointer),
            Named::Either(name, pointer) => header(headers, name).or_else(|| text(body, pointer)),
        };
        let mut id = self.delivery.iter().find_map(named);
        let events = match pointers {
            Some(pointers) if self.forge == ForgeKind::Generic => {
                id = header(headers, &pointers.delivery_header.to_ascii_lowercase());
                generic::read(body, pointers)?
            }
            _ => (self.read)(&event, body)?,
        };
        let repo = match pointers {
            Some(pointers) if self.forge == ForgeKind::Generic => text(body, &pointers.repo).map(str::to_owned),
            _ => (self.repo)(body),
        };
        Ok(Parsed {
            forge: self.forge,
            event,
            delivery: id.and_then(|id| id.parse().ok()),
            repo,
            addresses: addresses(body),
            events,
        })
    }

    /// The header with which the forge names the event, if it does.
    pub(super) fn event_header(&self) -> Option<&'static str> {
        match self.event {
            Named::Header(name) | Named::Either(name, _) => Some(name),
            Named::Body(_) => None,
        }
    }

    /// The header with the delivery's id, if the forge has one.
    pub(super) fn delivery_header(&self) -> Option<&'static str> {
        self.delivery.iter().find_map(|named| match *named {
            Named::Header(name) | Named::Either(name, _) => Some(name),
            Named::Body(_) => None,
        })
    }
}

fn clipped(name: &str) -> String {
    name.chars()
        .filter(|c| !words::is_invisible(*c))
        .take(EVENT_MAX)
        .collect()
}

impl std::fmt::Display for Parsed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", word(self.forge), self.event)
    }
}
