//! The words of `[notify.NAME]`: who is notified of deployments, and how.

use super::value::{Command, SecretSource};
use crate::model::Happening;

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

/// `notify.NAME.kind`: how a message is written and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Channel {
    /// JSON by POST, signed as Standard Webhooks say if there is a `secret`.
    Webhook {
        /// Where to.
        url: UrlSource,
        /// `secret`
        secret: Option<SecretSource>,
    },
    /// An incoming webhook of Slack.
    Slack(UrlSource),
    /// A webhook of Discord.
    Discord(UrlSource),
    /// An incoming webhook of Mattermost.
    Mattermost(UrlSource),
    /// A room of Matrix.
    Matrix {
        /// The homeserver.
        url: UrlSource,
        /// `room`: its id, `!abc:example.org`.
        room: String,
        /// `token`: the access token of who writes.
        token: SecretSource,
    },
    /// A topic of ntfy.
    Ntfy {
        /// The topic's URL.
        url: UrlSource,
        /// `token`
        token: Option<SecretSource>,
    },
    /// Mail.
    Email(Mail),
    /// A command, which gets the message as JSON in `HOOKD_MESSAGE`.
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
