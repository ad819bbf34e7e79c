//! `[notify.NAME]`: who is notified of deployments, and how.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::apis::{check_name, web_url};
use super::command;
use super::source_of_secret;
use crate::config::channel::{Channel, Mail, Notify, UrlSource};
use crate::config::section::Section;
use crate::config::source::At;
use crate::config::suggest;
use crate::config::types::SecretSource;
use crate::model::Happening;

/// What is told unless `on` says otherwise: changes of state.
const ON: &[Happening] = &[
    Happening::Failed,
    Happening::RolledBack,
    Happening::Recovered,
    Happening::FirstLive,
];

/// What a template may name.
pub const FIELDS: &[&str] = &[
    "target",
    "happening",
    "outcome",
    "reason",
    "ref",
    "commit",
    "subject",
    "author",
    "changes",
    "duration",
    "output",
    "link",
    "site",
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Webhook,
    Slack,
    Discord,
    Mattermost,
    Matrix,
    Ntfy,
    Email,
    Command,
}

const KINDS: &[(&str, Kind)] = &[
    ("webhook", Kind::Webhook),
    ("slack", Kind::Slack),
    ("discord", Kind::Discord),
    ("mattermost", Kind::Mattermost),
    ("matrix", Kind::Matrix),
    ("ntfy", Kind::Ntfy),
    ("email", Kind::Email),
    ("command", Kind::Command),
];

/// Keys that mean something for some kinds alone.
const ONLY_FOR: &[(&str, &[Kind])] = &[
    ("secret", &[Kind::Webhook]),
    ("token", &[Kind::Matrix, Kind::Ntfy]),
    ("room", &[Kind::Matrix]),
    ("smtp", &[Kind::Email]),
    ("username", &[Kind::Email]),
    ("password", &[Kind::Email]),
    ("from", &[Kind::Email]),
    ("to", &[Kind::Email]),
    ("command", &[Kind::Command]),
];

/// All `[notify.NAME]`: the names, also of those that are wrong, and those that are right.
pub(super) fn channels<'a>(root: &Section<'a>) -> (Vec<&'a str>, BTreeMap<String, Notify>) {
    let tables = root.tables("notify", "notify.NAME", None);
    let names = tables.iter().map(|(name, _)| name.value).collect();
    let mut all = BTreeMap::new();
    for (name, section) in tables {
        check_name(&section, name);
        let happenings: Vec<_> = Happening::ALL.iter().map(|h| (h.as_str(), *h)).collect();
        let on = section.each("on", |word| section.chosen("on", word, &happenings));
        let template = section.string("template").and_then(|text| template(&section, text));
        if let Some(channel) = channel(&section) {
            let on = if on.is_empty() { ON.to_vec() } else { on };
            all.insert(name.value.to_owned(), Notify { channel, on, template });
        }
    }
    (names, all)
}

fn channel(section: &Section) -> Option<Channel> {
    let kind = kind(section);
    let secret = |key: &str| {
        section
            .string(key)
            .and_then(|text| source_of_secret::parse(section, key, text))
    };
    // All keys are read, whatever the kind, so that each is told what is wrong with it.
    let (signing, token, url) = (secret("secret"), secret("token"), url_source(section));
    let (room, mail) = (section.string("room"), mail(section, kind, secret("password")));
    let command = command::read(section, "command");
    refuse_foreign_keys(section, kind);
    require(section, kind);
    match kind {
        Kind::Email => mail.map(Channel::Email),
        Kind::Command => command.map(Channel::Command),
        Kind::Matrix => Some(Channel::Matrix {
            url: url?,
            room: room?.value.to_owned(),
            token: token?,
        }),
        Kind::Ntfy => Some(Channel::Ntfy { url: url?, token }),
        Kind::Slack => url.map(Channel::Slack),
        Kind::Discord => url.map(Channel::Discord),
        Kind::Mattermost => url.map(Channel::Mattermost),
        Kind::Webhook => Some(Channel::Webhook {
            url: url?,
            secret: signing,
        }),
    }
}

/// As `kind` says; else what the keys that are there mean.
fn kind(section: &Section) -> Kind {
    let given = section
        .string("kind")
        .and_then(|text| section.chosen("kind", text, KINDS));
    let has = |key: &str| section.own(key).is_some() && section.own("url").is_none();
    match given {
        Some(kind) => kind,
        None if has("command") => Kind::Command,
        None if has("smtp") => Kind::Email,
        None => Kind::Webhook,
    }
}

/// What a kind can't do without.
fn require(section: &Section, kind: Kind) {
    match kind {
        Kind::Email => {
            section.require("smtp", "the mail server, such as \"smtps://mail.example.org\"");
            section.require("from", "who the mail is from, such as \"hookd@example.org\"");
            section.require("to", "who gets the mail, such as \"ops@example.org\"");
        }
        Kind::Command => section.require("command", "what to run, such as [\"/usr/local/bin/tell\"]"),
        Kind::Webhook if section.own("kind").is_none() && section.own("url").is_none() => {
            let message = format!("`[{}]` has neither `url` nor `command`", section.name);
            section.wrong(section.place, message, None);
        }
        _ => section.require(
            "url",
            "where messages are posted: a URL, or \"credential:NAME\" if it is a secret",
        ),
    }
    if kind == Kind::Matrix {
        section.require("room", "the id of the room, such as \"!abc:example.org\"");
        section.require("token", source_of_secret::HINT);
    }
}

fn refuse_foreign_keys(section: &Section, kind: Kind) {
    let word = |wanted: Kind| {
        KINDS
            .iter()
            .find(|(_, kind)| *kind == wanted)
            .map_or("", |(word, _)| word)
    };
    for (key, kinds) in ONLY_FOR {
        if let Some(entry) = section.own(key)
            && !kinds.contains(&kind)
        {
            let message = format!("`{key}` has no meaning for `kind = \"{}\"`", word(kind));
            let meant = kinds
                .iter()
                .map(|kind| format!("`{}`", word(*kind)))
                .collect::<Vec<_>>()
                .join(" and ");
            section.wrong(entry.key, message, format!("it is for {meant}"));
        }
    }
    if let Some(entry) = section.own("url")
        && matches!(kind, Kind::Email | Kind::Command)
    {
        let message = format!("`url` has no meaning for `kind = \"{}\"`", word(kind));
        section.wrong(entry.key, message, "make another `[notify.NAME]` of it".to_owned());
    }
}

/// A URL, or the source of one that is a secret.
fn url_source(section: &Section) -> Option<UrlSource> {
    let text = section.string("url")?;
    if ["credential:", "file:", "env:"]
        .iter()
        .any(|form| text.value.starts_with(form))
    {
        return source_of_secret::parse(section, "url", text).map(UrlSource::Secret);
    }
    web_url(section, text).map(UrlSource::Plain)
}

fn mail(section: &Section, kind: Kind, password: Option<SecretSource>) -> Option<Mail> {
    let smtp = section.string("smtp").and_then(|text| smtp(section, text));
    let username = section.string("username").map(|text| text.value.to_owned());
    if let (Some(entry), None, Kind::Email) = (section.own("password"), &username, kind) {
        section.wrong(entry.key, "`password` without `username`", None);
    }
    let address = |key: &str, text: At<&str>| {
        let good = text.value.parse::<lettre::message::Mailbox>().is_ok();
        if !good {
            let message = format!("`{key}`: `{}` is not a mail address", text.value.escape_debug());
            section.wrong(
                text.place,
                message,
                "write \"NAME <name@example.org>\" or \"name@example.org\"".to_owned(),
            );
        }
        good.then(|| text.value.to_owned())
    };
    let from = section.string("from").and_then(|text| address("from", text));
    let to = section.each("to", |text| address("to", text));
    if let Some(url) = smtp.as_ref().filter(|url| url.scheme() == "smtp+insecure")
        && !url.host().is_some_and(|host| is_this_machine(&host))
        && let Some(entry) = section.own("smtp")
    {
        let message = "`smtp+insecure` is for a mail server on this machine only";
        section.wrong(
            entry.node.place,
            message,
            "use smtp:// (STARTTLS) or smtps://".to_owned(),
        );
    }
    Some(Mail {
        smtp: smtp?,
        username,
        password,
        from: from?,
        to,
    })
}

fn is_this_machine(host: &url::Host<&str>) -> bool {
    match host {
        // Of a URL that is not http, a dotted address is a name.
        url::Host::Domain(name) => *name == "localhost" || name.parse().is_ok_and(|ip: Ipv4Addr| ip.is_loopback()),
        url::Host::Ipv4(ip) => ip.is_loopback(),
        url::Host::Ipv6(ip) => ip.is_loopback(),
    }
}

fn smtp(section: &Section, text: At<&str>) -> Option<url::Url> {
    let url = url::Url::parse(text.value).ok();
    let known = |url: &url::Url| matches!(url.scheme(), "smtp" | "smtps" | "smtp+insecure") && url.has_host();
    let plain = |url: &url::Url| url.username().is_empty() && url.password().is_none();
    match url {
        Some(url) if known(&url) && plain(&url) => Some(url),
        Some(url) if known(&url) => {
            let hint = "give `username`, and `password` as a secret source".to_owned();
            section.wrong(text.place, "`smtp` holds a name or password", hint);
            None
        }
        _ => {
            let hint = "write \"smtps://mail.example.org\" or \"smtp://mail.example.org:587\"".to_owned();
            section.wrong(text.place, "`smtp` is not the URL of a mail server", hint);
            None
        }
    }
}

/// A text in which every `{name}` is known.
fn template(section: &Section, text: At<&str>) -> Option<String> {
    let mut rest = text.value;
    while let Some((_, behind)) = rest.split_once('{') {
        let name = behind.split_once('}').map_or(behind, |(name, _)| name);
        if !FIELDS.contains(&name) {
            let message = format!("`template` names `{{{}}}`, which is not known", name.escape_debug());
            section.wrong(text.place, message, suggest::hint(name, FIELDS.iter().copied()));
            return None;
        }
        rest = behind;
    }
    Some(text.value.to_owned())
}

/// Names of `[notify.NAME]`, all of which exist.
pub(super) fn names(section: &Section, known: &[&str]) -> Vec<String> {
    section.each("notify", |name| {
        if !known.contains(&name.value) {
            let message = format!("there is no `[notify.{}]`", name.value.escape_debug());
            section.wrong(name.place, message, suggest::hint(name.value, known.iter().copied()));
        }
        Some(name.value.to_owned())
    })
}
