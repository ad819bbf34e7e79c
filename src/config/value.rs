//! The values of keys.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;

use super::ForgeKind;
use crate::model::{GitUrl, Secret, spelled};

/// Where a secret comes from. The secret itself is read by [`super::Secrets`], at start and at reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// `credential:NAME`, below `$CREDENTIALS_DIRECTORY`
    Credential(String),
    /// `file:PATH`; one trailing newline is not part of it
    File(PathBuf),
    /// `env:VAR`
    Env(String),
    /// `insecure-none`: no check at all; loopback and unix sockets only
    InsecureNone,
}

impl fmt::Display for SecretSource {
    /// As the configuration writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credential(name) => write!(f, "credential:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Env(variable) => write!(f, "env:{variable}"),
            Self::InsecureNone => f.write_str("insecure-none"),
        }
    }
}

/// A command of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A string: one line for `/bin/sh -c`.
    Shell(String),
    /// A list: a program and its arguments.
    Argv(Vec<String>),
}

/// Where the daemon listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// A TCP address.
    Tcp(SocketAddr),
    /// `unix:PATH`
    Unix(PathBuf),
}

spelled! {
    /// What strangers may see.
    pub Shown "value of `public`" {
        /// The badges of targets.
        Badge = "badge",
        /// The overview.
        Overview = "overview",
    }
}

/// `url`: the only place that is ever fetched from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// As libgit2 takes it: `https://…`, `http://…`, `ssh://…`, `git@host:path`, or an absolute path.
    pub url: GitUrl,
    /// Host in lower case; none for a local path.
    pub host: Option<String>,
    /// `alice/blog`: path without leading `/` and trailing `.git`.
    pub path: String,
    /// Which transport it names.
    pub transport: Transport,
}

/// The URL of an http proxy: `http://[USER:PASSWORD@]HOST[:PORT]`.
#[derive(Clone)]
pub struct Proxy(pub Secret);

/// Shows nothing of it: a password may be in it.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proxy(…)")
    }
}

/// How a remote is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// `https://`
    Https,
    /// `http://`
    Http,
    /// `ssh://` or `user@host:path`
    Ssh,
    /// `file://` or a path
    Local,
}

/// One entry of `allow_from`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowFrom {
    /// A network.
    Net(IpNet),
    /// The ranges that a forge publishes.
    Published(Published),
}

/// Where a forge publishes the addresses that its webhooks come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The word in `allow_from`: the forge's name, or the NAME of a `[forge.NAME]`.
    pub name: String,
    /// Which forge it is, and so how it writes them.
    pub kind: ForgeKind,
    /// Where they are fetched from; `None` if the forge has them in its manual only, and hookd knows them.
    pub url: Option<url::Url>,
}

spelled! {
    /// `order`
    pub TagOrder "value of `order`" {
        /// The newest version, whatever comes last.
        Version = "version",
        /// What is pushed last.
        Pushed = "pushed",
    }
}

spelled! {
    /// `strategy`
    pub Strategy "value of `strategy`" {
        /// A new directory for each commit, and a link that is switched.
        Release = "release",
        /// One plain directory whose files are changed where they are.
        InPlace = "in-place",
    }
}

spelled! {
    /// `queue`
    pub QueueMode "value of `queue`" {
        /// A newer request replaces the waiting one.
        Latest = "latest",
        /// Each pushed commit runs, in order.
        All = "all",
    }
}

spelled! {
    /// `isolation`: what keeps commands from each other and from the machine.
    pub Isolation "value of `isolation`" {
        /// A unit of systemd for each, from a packaged template.
        Systemd = "systemd",
        /// A process group below the daemon, within the daemon's own unit.
        Process = "process",
    }
}

spelled! {
    /// `lfs`: what becomes of a commit with LFS pointer files.
    pub Lfs "value of `lfs`" {
        /// It is not deployed.
        Refuse = "refuse",
        /// The pointers are deployed as they are.
        Keep = "keep",
    }
}

/// `check`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// An http or https URL that must answer 2xx.
    Url(url::Url),
    /// A command that must exit with 0.
    Command(Command),
}

/// An entry of `on`: the name of an event that deploys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnEvent(pub String);
