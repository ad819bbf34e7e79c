//! Everything that hookd has to know of a forge.

use http::HeaderMap;
use serde_json::Value;

use super::error::{CannotSign, ParseError, Rejection};
use super::fields::header;
use super::request::Request;
use super::sample::Sample;
use super::signing::{Headers, Signing};
use crate::model::{Event, EventKind, Secret};

/// Where a name stands: the event's, or the delivery's.
#[derive(Clone, Copy)]
pub enum Named {
    /// In this header.
    Header(&'static str),
    /// At this JSON pointer.
    Body(&'static str),
    /// In the header, or without it at the pointer.
    Either(&'static str, &'static str),
}

impl Named {
    /// The header, if it may stand in one.
    pub fn header(self) -> Option<&'static str> {
        match self {
            Self::Header(name) | Self::Either(name, _) => Some(name),
            Self::Body(_) => None,
        }
    }
}

/// How one forge says things. What a forge leaves out it has from [`BASE`].
pub struct Dialect {
    /// The event's name.
    pub event: Named,
    /// The delivery's id, the best place first.
    pub delivery: &'static [Named],
    /// What else must be so in headers with the event's: two forges share that header.
    pub is_sender: fn(&HeaderMap) -> bool,
    /// Headers of signatures and tokens that no other forge sends, but for those that descend from it.
    pub marks: &'static [&'static str],
    /// Headers of hexadecimal signatures. The first that is there is checked.
    pub hex: &'static [&'static str],
    /// More headers that may be stored. Never one that holds a secret.
    pub kept: &'static [&'static str],
    /// The forges that descend from one another send each other's headers, and the headers know best which one it is.
    pub family: Option<&'static str>,
    /// Its public hosts, in lower case.
    pub hosts: &'static [&'static str],
    /// Public domains below which each host is one of its.
    pub domains: &'static [&'static str],
    /// Whether a body without an event header looks like its.
    pub is_body: fn(&Value) -> bool,
    /// Keys in bodies that tell it from the others, or lead to the repo's name, beside the common ones.
    pub keys: &'static [&'static str],
    /// The event's name that the body looks like; `None` if it could be any.
    pub infer: fn(&Value) -> Option<String>,
    /// The repo's full name.
    pub repo: fn(&Value) -> Option<String>,
    /// What happened.
    pub read: fn(&str, &Value) -> Result<Vec<Event>, ParseError>,
    /// Whether an event may be all that the forge says of a push, although it is none by itself.
    pub may_stand_for_push: fn(&Event) -> bool,
    /// Whether bodies may leave the repo out.
    pub may_be_unnamed: bool,
    /// Whether the sender holds the secret.
    pub check: fn(&Request<'_>) -> Result<(), Rejection>,
    /// Whether the signature covers the body.
    pub covers_body: bool,
    /// Whether the usual key is that of a service, which proves nothing about a repo.
    pub key_is_shared: bool,
    /// The body of a push.
    pub sample: fn(&Sample<'_>) -> Value,
    /// What else it is known by, such as the `User-Agent`.
    pub sends: &'static [(&'static str, &'static str)],
    /// The headers that prove that the sender holds the secret.
    pub sign: fn(&Secret, &[u8], &Signing<'_>) -> Result<Headers, CannotSign>,
    /// The full name of the repo at that path of a URL, by its segments and the host.
    pub name_at: fn(&[&str], &str) -> String,
    /// The address of the repo's page, by the origin (`https://HOST`), the host and the path of its URL.
    pub page: fn(&str, &str, &str) -> Option<String>,
    /// What stands between the repo's page and a commit.
    pub commit_page: &'static str,
    /// What follows the repo's page to compare two commits.
    pub compare_page: fn(&str, &str) -> Option<String>,
    /// Where its form for webhooks is, and what the form calls the secret.
    pub form: (&'static str, &'static str),
}

/// What most forges have in common.
pub const BASE: Dialect = Dialect {
    event: Named::Body("/event"),
    delivery: &[],
    is_sender: |_| true,
    marks: &[],
    hex: &[],
    kept: &[],
    family: None,
    hosts: &[],
    domains: &[],
    is_body: |_| false,
    keys: &[],
    infer: |_| None,
    repo: |_| None,
    read: |_, _| Ok(Vec::new()),
    may_stand_for_push: |event| {
        event.kind == EventKind::Other && matches!(event.name.as_str(), "push" | "repository_update")
    },
    may_be_unnamed: false,
    check: |_| Err(Rejection::Missing),
    covers_body: true,
    key_is_shared: false,
    sample: |push| push.plain(),
    sends: &[("User-Agent", concat!("hookd/", env!("CARGO_PKG_VERSION")))],
    sign: |_, _, _| Err(CannotSign::PrivateKey),
    name_at: |parts, _| match parts {
        [.., owner, name] => format!("{owner}/{name}"),
        other => other.join("/"),
    },
    page: |origin, _, path| Some(format!("{origin}/{path}")),
    commit_page: "/commit/",
    compare_page: |from, to| Some(format!("/compare/{from}...{to}")),
    form: ("Settings > Webhooks > Add webhook", "Secret"),
};

impl Dialect {
    /// Whether the headers name an event as this forge does.
    pub fn names_event(&self, headers: &HeaderMap) -> bool {
        let named = self.event.header().is_some_and(|name| headers.contains_key(name));
        named && (self.is_sender)(headers)
    }

    /// The delivery's id as far as headers say it.
    pub fn delivery_in<'h>(&self, headers: &'h HeaderMap) -> Option<&'h str> {
        let mut places = self.delivery.iter().filter_map(|named| named.header());
        places.find_map(|name| header(headers, name))
    }
}
