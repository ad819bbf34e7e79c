//! The words of a checked configuration: plain data that is known to be valid.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::channel::Notify;
use super::forges::{Dispatch, ForgeApi, Reporting};
pub use super::value::{Command, SecretSource};
use super::{Diagnostic, ForgeKind, Generic, Pattern};
use crate::model::{GitRef, GitUrl, RefKind, RepoName, Role, Secret, TargetId, TargetName, is_prerelease, spelled};

/// Where the daemon listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// A TCP address.
    Tcp(SocketAddr),
    /// `unix:PATH`
    Unix(PathBuf),
}

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

/// `[limits]`: every limit has a default here, and says why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest request body, bytes (25 MiB: GitHub's and GitLab's own cap).
    pub body: u64,
    /// Largest request head, bytes (64 KiB).
    pub headers: u64,
    /// Most header fields of a request (100).
    pub header_count: usize,
    /// Until the head must be there (10 s).
    pub header_time: Duration,
    /// Until the body must be there (30 s).
    pub body_time: Duration,
    /// Slowest body, bytes a second, after a grace of a few seconds (1 KiB).
    pub body_rate: u64,
    /// Connections at once (512).
    pub connections: usize,
    /// Connections at once from one address (32).
    pub connections_per_address: usize,
    /// Unauthenticated failures a minute from one address (60).
    pub auth_failures: u32,
    /// Failed log-ins a minute from one address (10: a person who mistypes has enough, and a guesser a day for 14,400).
    pub login_failures: u32,
    /// Failed log-ins a minute with one user name (30: above the limit of an address, so that nobody locks another one out alone).
    pub login_failures_per_user: u32,
    /// Deliveries not yet stored and decided (1,000).
    pub queue: usize,
    /// Output kept per deployment, bytes (16 MiB).
    pub output: u64,
    /// How long history is kept (90 days).
    pub history_age: Duration,
    /// How many deployments are kept in the history (10,000).
    pub history_count: u64,
    /// Space for stored deliveries, bytes (1 GiB: weeks of an organisation's webhooks, and a small part of a small disk).
    pub deliveries: u64,
    /// Silence after which a fetch is given up (60 s).
    pub fetch_idle: Duration,
    /// Longest fetch in all (30 min).
    pub fetch_total: Duration,
    /// Longest request to a forge's API (20 s: GitHub ends what takes longer than 10 s by itself, GitLab after 60 s).
    pub api_time: Duration,
    /// Longest delivery of one message (30 s: mail servers may look up who connects before they greet).
    pub message_time: Duration,
    /// Free space that must be left before a fetch or a release is begun, bytes (64 MiB).
    pub free_space: u64,
    /// How long running deployments may go on when the daemon is stopped (60 s).
    pub stop_grace: Duration,
    /// Largest file of a commit, bytes (100 MiB: GitHub's own cap).
    pub file_size: u64,
    /// Most files, directories and submodules of a commit together (1,000,000: ten times those of Linux).
    pub files: usize,
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

spelled! {
    /// What strangers may see.
    pub Shown "value of `public`" {
        /// The badges of targets.
        Badge = "badge",
        /// The overview.
        Overview = "overview",
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
impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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
    /// `poll`; none is `"off"`.
    pub poll: Option<Duration>,
    /// `ssh_key`
    pub ssh_key: Option<PathBuf>,
    /// `known_hosts`; default: `STATE_DIR/known_hosts` and `/etc/ssh/ssh_known_hosts`.
    pub known_hosts: Option<PathBuf>,
    /// `token`
    pub token: Option<SecretSource>,
    /// `ca_file`: PEM file of authorities that an https remote may have, besides the system's.
    pub ca_file: Option<PathBuf>,
    /// `proxy`, or that of the top level: `http://[USER:PASSWORD@]HOST[:PORT]` through which http and https remotes are reached.
    pub proxy: Option<Proxy>,
    /// `keys`: private keys for submodules, by their URLs.
    pub keys: Vec<(GitUrl, PathBuf)>,
    /// `submodule_hosts`: hosts and networks that submodules may name although they are private.
    pub submodule_hosts: Vec<String>,
    /// `allow_from`; empty: everybody.
    pub allow_from: Vec<AllowFrom>,
    /// `allow_sha1`: take GitHub's legacy `X-Hub-Signature: sha1=…`.
    pub allow_sha1: bool,
    /// `timestamp_tolerance`: how old a signed time stamp may be (5 min).
    pub timestamp_tolerance: Duration,
    /// `public_key`: Ed25519 key (`SourceHut`, Standard Webhooks v1a).
    pub public_key: Option<[u8; 32]>,
    /// `auth_header`: custom header that holds the secret (Azure DevOps); default: basic auth.
    pub auth_header: Option<String>,
    /// `submodules` (default true)
    pub submodules: bool,
    /// `depth` of fetches; 0 is full history (default 0).
    pub depth: u32,
    /// `lfs`: whether a commit with LFS pointer files is refused.
    pub refuse_lfs: bool,
    /// `report`: what the forge is told; none is the default, the status where there is a token.
    pub report: Option<Vec<Reporting>>,
    /// `[repo.NAME.dispatch]`
    pub dispatch: Option<Dispatch>,
    /// `[repo.NAME.generic]`
    pub generic: Generic,
    /// `[repo.NAME.deploy.TARGET]`
    pub targets: BTreeMap<TargetName, Arc<Target>>,
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

spelled! {
    /// `order`
    pub TagOrder "value of `order`" {
        /// The newest version, whatever comes last.
        Version = "version",
        /// What is pushed last.
        Pushed = "pushed",
    }
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

/// `check`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// An http or https URL that must answer 2xx.
    Url(url::Url),
    /// A command that must exit with 0.
    Command(Command),
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

/// An entry of `on`: the name of an event that deploys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnEvent(pub String);

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

/// The keys of a target that `[defaults]` may give, too. A [`Target`] has them as its own.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools)] // one for each key that is yes or no
pub struct TargetOptions {
    /// `strategy`
    pub strategy: Strategy,
    /// `keep`: good releases that stay (5).
    pub keep: usize,
    /// `shared`: relative paths, without `..`.
    pub shared: Vec<String>,
    /// `env`
    pub env: BTreeMap<String, String>,
    /// `timeout` of build, and of each run of reload (10 min).
    pub timeout: Duration,
    /// `kill_grace`: from TERM to KILL (10 s).
    pub kill_grace: Duration,
    /// `check_timeout`: how long `check` may go on failing (30 s).
    pub check_timeout: Duration,
    /// `run_as`: user that commands run as.
    pub run_as: Option<String>,
    /// `isolation`; none: units of systemd where that is possible, else processes.
    pub isolation: Option<Isolation>,
    /// `memory_max`, bytes.
    pub memory_max: Option<u64>,
    /// `tasks_max`: processes and threads at once.
    pub tasks_max: Option<u64>,
    /// `cpu_weight`, 1 to 10000.
    pub cpu_weight: Option<u64>,
    /// `io_weight`, 1 to 10000.
    pub io_weight: Option<u64>,
    /// `network`: whether `build` and a `check` command have one.
    pub network: bool,
    /// `notify`: names of `[notify.NAME]`.
    pub notify: Vec<String>,
    /// `require_signed`: file of allowed signers.
    pub require_signed: Option<PathBuf>,
    /// `require_checks`: names of CI checks that must be green.
    pub require_checks: Vec<String>,
    /// `checks_timeout`: how long a commit waits for them (1 h).
    pub checks_timeout: Duration,
    /// `queue`
    pub queue: QueueMode,
    /// `history`: whether `build` can read the history of the commit.
    pub history: bool,
    /// `spare`: whether a copy of the live release is kept ready for the next one.
    pub spare: bool,
}

impl Deref for Target {
    type Target = TargetOptions;
    fn deref(&self) -> &TargetOptions {
        &self.options
    }
}
