//! `[notify.NAME]`: who is notified of deployments, and how.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::apis::{check_name, web_url};
use super::command;
use super::source_of_secret;
use crate::config::channel::{Channel, ChannelKind as Kind, Mail, Notify, UrlSource};
use crate::config::section::Section;
use crate::config::source::At;
use crate::config::suggest;
use crate::config::value::SecretSource;
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

/// The keys that a kind may require, each with what it says.
const REQUIRED: &[(&str, &str)] = &[
    (
        "url",
        "where messages are posted: a URL, or \"credential:NAME\" if it is a secret",
    ),
    ("room", "the id of the room, such as \"!abc:example.org\""),
    ("token", source_of_secret::HINT),
    ("smtp", "the mail server, such as \"smtps://mail.example.org\""),
    ("from", "who the mail is from, such as \"hookd@example.org\""),
    ("to", "who gets the mail, such as \"ops@example.org\""),
    ("command", "what to run, such as [\"/usr/local/bin/tell\"]"),
];

/// All `[notify.NAME]`: the names, also of those that are wrong, and those that are right.
pub(super) fn channels<'a>(root: &Section<'a>) -> (Vec<&'a str>, BTreeMap<String, Notify>) {
    let tables = root.tables("notify", "notify.NAME", None);
    let names = tables.iter().map(|(name, _)| name.value).collect();
    let mut all = BTreeMap::new();
    for (name, section) in tables {
        check_name(&section, name);
        let on = section.each("on", |word| section.chosen("on", word));
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
        _ => Some(Channel::Post {
            kind,
            url: url?,
            key: signing.or(token),
            room: room.map(|room| room.value.to_owned()),
        }),
    }
}

/// As `kind` says; else what the keys that are there mean.
fn kind(section: &Section) -> Kind {
    let given = section.some_choice("kind");
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
    if kind == Kind::Webhook && section.own("kind").is_none() && section.own("url").is_none() {
        let message = format!("`[{}]` has neither `url` nor `command`", section.name);
        section.wrong(section.place, message, None);
        return;
    }
    let [required, _] = kind.keys();
    for (key, hint) in REQUIRED.iter().filter(|(key, _)| required.contains(key)) {
        section.require(key, hint);
    }
}

fn refuse_foreign_keys(section: &Section, kind: Kind) {
    let is_for = |kind: &&Kind, key: &str| kind.keys().concat().contains(&key);
    let all: BTreeSet<&str> = Kind::ALL.iter().flat_map(|kind| kind.keys().concat()).collect();
    for key in all {
        if let (Some(entry), false) = (section.own(key), is_for(&&kind, key)) {
            let meant = Kind::ALL.iter().filter(|kind| is_for(kind, key));
            let meant: Vec<_> = meant.map(|kind| format!("`{kind}`")).collect();
            let hint = match key {
                "url" => "make another `[notify.NAME]` of it".to_owned(),
                _ => format!("it is for {}", meant.join(" and ")),
            };
            let message = format!("`{key}` has no meaning for `kind = \"{kind}\"`");
            section.wrong(entry.key, message, hint);
        }
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
                "write \"NAME <name@example.org>\" or \"name@example.org\"",
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
        section.wrong(entry.node.place, message, "use smtp:// (STARTTLS) or smtps://");
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
