//! The types of keys, with their ranges.

use std::time::Duration as StdDuration;

use super::ForgeKind;
use super::units::{show_duration, show_size};
use crate::model::Happening;

/// A type, and the range in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`
    Boolean,
    /// An integer within these bounds.
    Number(u64, u64),
    /// `"10m"`, within these bounds in milliseconds.
    Duration(u64, u64),
    /// `"25MiB"`, or a number of bytes, within these bounds.
    Size(u64, u64),
    /// `"off"`, or another type.
    OffOr(&'static Self),
    /// One of a few words.
    Words(&'static [&'static str]),
    /// The name of a forge.
    Forge,
    /// The name of a happening.
    Happening,
    /// A string that is not empty.
    Text,
    /// A string that may be empty.
    AnyText,
    /// A path on this machine; a relative one begins at the directory of the file.
    Path,
    /// A path within a release.
    Inside,
    /// A URL with `http` or `https`.
    Url,
    /// The same, or where it is, if it is a secret.
    SecretUrl,
    /// The URL of a mail server.
    Smtp,
    /// A mail address.
    Mail,
    /// The URL of a git repository.
    Remote,
    /// `ADDRESS:PORT`, or `unix:PATH`.
    Listener,
    /// `10.0.0.0/8`
    Network,
    /// A network, or the name of a forge that publishes its own.
    Sender,
    /// Where a secret is.
    Secret,
    /// Where a webhook's secret is, or `insecure-none`.
    WebhookSecret,
    /// An Ed25519 key.
    PublicKey,
    /// The name of a header.
    Header,
    /// A JSON pointer (RFC 6901).
    Pointer,
    /// A pattern of names.
    Pattern,
    /// The name of an event.
    Event,
    /// A name that another table has.
    Name,
    /// The name of a user of this machine.
    User,
    /// A line for the shell, or a program and its arguments.
    Command,
    /// A URL with `http` or `https`, or a command.
    Check,
    /// A table of environment variables.
    Variables,
    /// A table of paths by URLs.
    Paths,
    /// A table of roles by the names of users.
    Roles,
    /// One of another type, or a list of them.
    List(&'static Self),
    /// The same, but the list is not empty.
    OneOrMore(&'static Self),
}

impl Kind {
    /// What may stand there, in words.
    pub fn words(self) -> String {
        match self {
            Self::Boolean => "boolean".to_owned(),
            Self::Number(least, most) => format!("number from {least} to {most}"),
            Self::Duration(least, most) => {
                let shown = |millis| show_duration(StdDuration::from_millis(millis));
                format!("duration from {} to {}", shown(least), shown(most))
            }
            Self::Size(least, most) => format!("size from {} to {}", show_size(least), show_size(most)),
            Self::OffOr(kind) => format!("{}, or \"off\"", kind.words()),
            Self::Words(words) => {
                let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
                let (last, others) = quoted.split_last().map_or(("", &[][..]), |(last, rest)| (last, rest));
                format!("{} or {last}", others.join(", "))
            }
            Self::List(kind) | Self::OneOrMore(kind) => format!("{} or a list of them", kind.words()),
            plain => plain.noun().to_owned(),
        }
    }

    /// The words that may stand there, where they are few and known.
    pub fn choices(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Words(words) => Some(words),
            Self::Forge => Some(ForgeKind::WORDS),
            Self::Happening => Some(Happening::WORDS),
            _ => None,
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Self::Forge => "name of a forge",
            Self::Happening => "happening",
            Self::Path => "path",
            Self::Inside => "path within a release",
            Self::Url => "http(s) URL",
            Self::SecretUrl => "http(s) URL or secret source",
            Self::Smtp => "URL of a mail server",
            Self::Mail => "mail address",
            Self::Remote => "URL of a repository",
            Self::Listener => "address or unix:PATH",
            Self::Network => "network",
            Self::Sender => "network or name of a forge",
            Self::Secret | Self::WebhookSecret => "secret source",
            Self::PublicKey => "Ed25519 key in base64 or hex",
            Self::Header => "header name",
            Self::Pointer => "JSON pointer",
            Self::Pattern => "pattern",
            Self::Event => "event",
            Self::Name => "name",
            Self::User => "user name",
            Self::Command => "command",
            Self::Check => "http(s) URL or command",
            Self::Variables => "table of strings",
            Self::Paths => "table of paths",
            Self::Roles => "table of \"view\" or \"act\"",
            _ => "string",
        }
    }
}
