//! The words of a checked configuration: plain data that is known to be valid.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;

use super::channel::Notify;
use super::check::{Limits, RepoOptions, TargetOptions};
use super::forges::{Dispatch, ForgeApi};
use super::value::{Check, Command, Listen, OnEvent, Proxy, QueueMode, Remote, SecretSource, Shown, TagOrder};
use super::{Diagnostic, ForgeKind, Generic, Pattern};
use crate::model::{GitRef, GitUrl, RefKind, RepoName, Role, Secret, TargetId, TargetName, is_prerelease};

/// Everything that the configuration says, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The main file, absolute.
    pub file: PathBuf,
    /// `listen`; not used under socket activation.
    pub listen: Vec<Listen>,
    /// `state_dir`: store, mirrors, logs.
    pub state_dir: PathBuf,
    /// `control`: path of the control socket.
    pub control: PathBuf,
    /// `max_jobs`: deployments at once, over all repos.
    pub max_jobs: usize,
    /// `[limits]`
    pub limits: Limits,
    /// `[http]`
    pub http: Http,
    /// `[repo.NAME]`
    pub repos: BTreeMap<RepoName, Arc<Repo>>,
    /// `[notify.NAME]`
    pub notify: BTreeMap<String, Notify>,
    /// `[forge.NAME]`
    pub forges: BTreeMap<String, ForgeApi>,
    /// Where keys stand whose values can be judged only on the machine, by their full names, `repo.blog.secret`.
    pub places: Places,
}

/// See [`Config::error_at`].
#[derive(Debug, Clone, Default)]
pub struct Places(pub(super) BTreeMap<String, Vec<Diagnostic>>);

impl Config {
    /// An error at the place of a key, or of one of its values if it is a list.
    pub fn error_at(&self, key: &str, number: usize, message: String, hint: Option<String>) -> Diagnostic {
        match self.places.0.get(key).and_then(|places| places.get(number)) {
            Some(place) => place.clone().saying(message, hint),
            None => Diagnostic::of_file(&self.file, message, hint),
        }
    }

    /// A warning at the place of a key.
    pub fn warning_at(&self, key: &str, message: String, hint: Option<String>) -> Diagnostic {
        self.error_at(key, 0, message, hint).into_warning()
    }

    /// The target of that id, with its repo.
    pub fn target(&self, id: &TargetId) -> Option<(&Arc<Repo>, &Arc<Target>)> {
        let repo = self.repos.get(&id.repo)?;
        Some((repo, repo.targets.get(&id.target)?))
    }

    /// Where people see a deployment, if `public_url` says how they reach the status page.
    pub fn deployment_url(&self, deployment: i64) -> Option<String> {
        let mut url = self.http.public_url.clone()?;
        url.path_segments_mut()
            .ok()?
            .pop_if_empty()
            .extend(["deployments", &deployment.to_string()]);
        Some(url.into())
    }

    /// The `[forge.NAME]` whose API knows a repo, if it has a token: the one on the repo's host, else the only one of the
    /// repo's forge that gives its `url`. One without a `url` stands for the forge's public place, and so for repos there.
    pub fn api_of(&self, repo: &Repo) -> Option<(&str, &ForgeApi)> {
        let kind = repo.forge?;
        let host = repo.remote.host.as_deref();
        let of_kind = || {
            let with_token = self.forges.iter().filter(|(_, api)| api.token.is_some());
            with_token.filter(|(_, api)| api.kind == kind)
        };
        let here = |api: &ForgeApi| match &api.url {
            Some(url) => url.host_str() == host,
            None => host.and_then(ForgeKind::of_host) == Some(kind),
        };
        let elsewhere: Vec<_> = of_kind().filter(|(_, api)| api.url.is_some()).collect();
        let only = || if let [only] = elsewhere[..] { Some(only) } else { None };
        let found = of_kind().find(|(_, api)| here(api)).or_else(only);
        found.map(|(name, api)| (name.as_str(), api))
    }

    /// The `[forge.NAME]` through which a repo's `dispatch` goes: that of the repo if it is at GitHub, else the only one of GitHub.
    pub fn dispatch_api(&self, repo: &Repo) -> Option<(&str, &ForgeApi)> {
        let own = self.api_of(repo).filter(|(_, api)| api.kind == ForgeKind::GitHub);
        let with_token = |api: &ForgeApi| api.kind == ForgeKind::GitHub && api.token.is_some();
        let mut of_github = self.forges.iter().filter(|(_, api)| with_token(api));
        own.or_else(|| match (of_github.next(), of_github.next()) {
            (Some((name, api)), None) => Some((name.as_str(), api)),
            _ => None,
        })
    }
}

/// `[http]`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Http {
    /// Peers whose `X-Forwarded-For`, or if there is none `Forwarded`, is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Address of the status listener, besides the control socket.
    pub status: Option<Listen>,
    /// `public_url`: how people reach the status page; links in statuses and messages begin with it.
    pub public_url: Option<url::Url>,
    /// Built-in TLS of the public listener, and of the status listener where it is not on loopback.
    pub tls: Option<Tls>,
    /// `[http.login]`: who may use the status listener; without it everybody looks and nobody acts.
    pub login: Option<Login>,
}

/// `[http.login]`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Login {
    /// File of the users who log in with a password.
    pub users: Option<PathBuf>,
    /// Header in which a trusted proxy names the user, in lower case.
    pub header: Option<String>,
    /// What the users may whom the header names; `*` stands for all others.
    pub roles: BTreeMap<String, Role>,
    /// What strangers see.
    pub public: Vec<Shown>,
}

impl Login {
    /// What a user may whom a trusted proxy names; `None` if not even to look.
    pub fn role_of(&self, user: &str) -> Option<Role> {
        self.roles.get(user).or_else(|| self.roles.get("*")).copied()
    }
}

/// `[http] tls = {cert, key}`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// PEM file of the certificate chain.
    pub cert: PathBuf,
    /// PEM file of the private key.
    pub key: PathBuf,
}

/// The secrets of all repos, read from their sources.
#[derive(Clone, Default)]
pub struct Secrets {
    /// Webhook secrets, in the order of the configuration. Empty for `insecure-none`, and where a public key is enough.
    pub webhook: BTreeMap<RepoName, Vec<Secret>>,
    /// Access tokens for https remotes.
    pub token: BTreeMap<RepoName, Secret>,
    /// Access tokens for the APIs of forges, by the NAME of `[forge.NAME]`.
    pub forge: BTreeMap<String, Secret>,
    /// URLs of chat hooks that are secrets, by the NAME of `[notify.NAME]`.
    pub notify_url: BTreeMap<String, Secret>,
    /// Secrets, tokens and passwords of channels, by the NAME of `[notify.NAME]`.
    pub notify: BTreeMap<String, Secret>,
}

/// `[repo.NAME]`
#[derive(Debug, Clone)]
pub struct Repo {
    /// Its NAME.
    pub name: RepoName,
    /// `url`
    pub remote: Remote,
    /// `forge`: as configured, or told from the URL's host; none: told from the headers.
    pub forge: Option<ForgeKind>,
    /// `full_name`, or from the URL's path.
    pub full_name: String,
    /// `secret`, one or more.
    pub secret: Vec<SecretSource>,
    /// `token`
    pub token: Option<SecretSource>,
    /// `proxy`, or that of the top level: `http://[USER:PASSWORD@]HOST[:PORT]` through which http and https remotes are reached.
    pub proxy: Option<Proxy>,
    /// `keys`: private keys for submodules, by their URLs.
    pub keys: Vec<(GitUrl, PathBuf)>,
    /// `public_key`: Ed25519 key (`SourceHut`, Standard Webhooks v1a).
    pub public_key: Option<[u8; 32]>,
    /// `auth_header`: custom header that holds the secret (Azure DevOps); default: basic auth.
    pub auth_header: Option<String>,
    /// `[repo.NAME.dispatch]`
    pub dispatch: Option<Dispatch>,
    /// `[repo.NAME.generic]`
    pub generic: Generic,
    /// `[repo.NAME.deploy.TARGET]`
    pub targets: BTreeMap<TargetName, Arc<Target>>,
    /// What `[defaults]` may say, too.
    pub options: RepoOptions,
}

impl Deref for Repo {
    type Target = RepoOptions;
    fn deref(&self) -> &RepoOptions {
        &self.options
    }
}

/// Which refs a target follows.
#[derive(Debug, Clone)]
pub enum RefFilter {
    /// `branch = …`
    Branches(Vec<Pattern>),
    /// `tag = …`
    Tags(Tags),
}

/// Which tags a target follows, and which of them is the one to be at.
#[derive(Debug, Clone)]
pub struct Tags {
    /// `tag`
    pub patterns: Vec<Pattern>,
    /// `order`
    pub order: TagOrder,
    /// `prereleases`: whether tags that a pattern matches may be pre-releases. One that is named in full may.
    pub prereleases: bool,
}

impl Target {
    /// Whether a look at the remote can tell that it is to be deployed. Who pushed, and what else happened on the forge,
    /// only a delivery tells.
    pub fn sees_enough(&self) -> bool {
        let pushes = self.on.is_empty() || self.on.iter().any(|on| on.0 == "push");
        pushes && self.pusher.is_empty()
    }

    /// Whether a newer request leaves the waiting one in its place: with `queue = "all"`, and where the newest version must
    /// be told from the deliveries, since the remote does not show it.
    pub fn keeps_requests(&self) -> bool {
        self.queue == QueueMode::All || (self.refs.by_version() && !self.sees_enough())
    }
}

impl RefFilter {
    /// The patterns, of branches or of tags.
    pub fn patterns(&self) -> &[Pattern] {
        match self {
            Self::Branches(patterns) => patterns,
            Self::Tags(tags) => &tags.patterns,
        }
    }

    /// Whether the target follows this ref.
    pub fn follows(&self, git_ref: &GitRef) -> bool {
        let kind = match self {
            Self::Branches(_) => RefKind::Branch,
            Self::Tags(_) => RefKind::Tag,
        };
        git_ref.kind() == kind
            && super::matches(self.patterns(), git_ref.short())
            && !self.is_unwanted_prerelease(git_ref)
    }

    /// Whether a tag is a pre-release, and the target takes releases only.
    pub fn is_unwanted_prerelease(&self, git_ref: &GitRef) -> bool {
        let Self::Tags(tags) = self else { return false };
        let named = || tags.patterns.iter().any(|p| p.is_exact() && p.text == git_ref.short());
        !tags.prereleases && is_prerelease(git_ref.short()) && !named()
    }

    /// The one ref that the target follows, if it can be only one.
    pub fn single(&self) -> Option<&str> {
        match self.patterns() {
            [only] if only.is_exact() => Some(&only.text),
            _ => None,
        }
    }

    /// Whether of several tags the newest version counts.
    pub fn by_version(&self) -> bool {
        matches!(self, Self::Tags(tags) if tags.order == TagOrder::Version) && self.single().is_none()
    }
}

/// `[repo.NAME.deploy.TARGET]`
#[derive(Debug, Clone)]
pub struct Target {
    /// `repo/target`
    pub id: TargetId,
    /// `branch` or `tag`
    pub refs: RefFilter,
    /// `path`, absolute.
    pub path: PathBuf,
    /// `url`: where people see the site.
    pub url: Option<url::Url>,
    /// `environment`: its name on the forge and in notifications.
    pub environment: String,
    /// `build`
    pub build: Option<Command>,
    /// `reload`
    pub reload: Option<Command>,
    /// `check`
    pub check: Option<Check>,
    /// `paths`; empty: any.
    pub paths: Vec<Pattern>,
    /// `pusher`; empty: anybody.
    pub pusher: Vec<Pattern>,
    /// `on`; empty: pushes alone. A list that is not empty is exhaustive: pushes deploy only if it names `push`.
    pub on: Vec<OnEvent>,
    /// What `[defaults]` may say, too.
    pub options: TargetOptions,
}

impl Deref for Target {
    type Target = TargetOptions;
    fn deref(&self) -> &TargetOptions {
        &self.options
    }
}
