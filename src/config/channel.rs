//! The words of `[notify.NAME]`: who is notified of deployments, and how.

use super::value::{Command, SecretSource};
use crate::model::{Happening, spelled};

/// `[notify.NAME]`: who is told of deployments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notify {
    /// `kind`, with what it needs.
    pub channel: Channel,
    /// `on`: what is told.
    pub on: Vec<Happening>,
    /// `template`: the text of a message; none is hookd's own.
    pub template: Option<String>,
}

spelled! {
    /// `notify.NAME.kind`: how a message is written and where it goes.
    pub ChannelKind "kind of notification" {
        /// JSON by POST, signed as Standard Webhooks say if there is a `secret`.
        Webhook = "webhook",
        /// An incoming webhook of Slack.
        Slack = "slack",
        /// A webhook of Discord.
        Discord = "discord",
        /// An incoming webhook of Mattermost.
        Mattermost = "mattermost",
        /// A room of Matrix; `url` is the homeserver, `token` that of who writes.
        Matrix = "matrix",
        /// A topic of ntfy, at its URL.
        Ntfy = "ntfy",
        /// Mail.
        Email = "email",
        /// A command, which gets the message as JSON in `HOOKD_MESSAGE`.
        Command = "command",
    }
}

impl ChannelKind {
    /// The keys that it requires, and those that it may have besides those that all have.
    pub(super) fn keys(self) -> [&'static [&'static str]; 2] {
        match self {
            Self::Webhook => [&["url"], &["secret"]],
            Self::Slack | Self::Discord | Self::Mattermost => [&["url"], &[]],
            Self::Matrix => [&["url", "room", "token"], &[]],
            Self::Ntfy => [&["url"], &["token"]],
            Self::Email => [&["smtp", "from", "to"], &["username", "password"]],
            Self::Command => [&["command"], &[]],
        }
    }
}

/// A way to somebody, with what it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Channel {
    /// A request with the message in it.
    Post {
        /// How it is written: neither mail nor command.
        kind: ChannelKind,
        /// Where to.
        url: UrlSource,
        /// `secret` or `token`, as the kind has it.
        key: Option<SecretSource>,
        /// `room`: the id of a room of Matrix, `!abc:example.org`.
        room: Option<String>,
    },
    /// Mail.
    Email(Mail),
    /// A command.
    Command(Command),
}

/// A mail server, and who writes to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// `smtp`: `smtps://HOST[:PORT]` (TLS from the start), `smtp://HOST[:PORT]` (STARTTLS required), or
    /// `smtp+insecure://HOST[:PORT]` (no TLS; loopback only).
    pub smtp: url::Url,
    /// `username`
    pub username: Option<String>,
    /// `password`
    pub password: Option<SecretSource>,
    /// `from`
    pub from: String,
    /// `to`
    pub to: Vec<String>,
}

/// A URL, or where one is that is a secret itself, as those of chat hooks are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UrlSource {
    /// As it stands in the file.
    Plain(url::Url),
    /// Read with the secrets.
    Secret(SecretSource),
}

impl UrlSource {
    /// Where the URL is read from, if it is a secret.
    pub fn secret(&self) -> Option<&SecretSource> {
        match self {
            Self::Plain(_) => None,
            Self::Secret(source) => Some(source),
        }
    }
}
