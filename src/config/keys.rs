//! Every key of the configuration, once: its type and range, its default, and the sentence of the manual. The reader, the
//! reference, the example and the schema come from this table.

use super::channel::ChannelKind;
use super::forges::Reporting;
use super::kind::Kind::{
    self, AnyText, Boolean, Check, Command, Duration, Event, Forge, Happening, Header, Inside, List, Listener, Mail,
    Name, Network, Number, OffOr, OneOrMore, Path, Paths, Pattern, Pointer, PublicKey, Remote, Roles, Secret,
    SecretUrl, Sender, Size, Smtp, Text, Url, User, Variables, WebhookSecret, Words,
};
use super::value::{Isolation, Lfs, QueueMode, Shown, Strategy, TagOrder};
use crate::dialects::{Encoding, HashAlgorithm};

/// One key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The full path with dots. `NAME` and `TARGET` stand for names that the user chooses.
    pub path: &'static str,
    /// What may stand there.
    pub kind: Kind,
    /// What holds without it.
    pub unset: Unset,
    /// What it means, in a sentence.
    pub meaning: &'static str,
    /// Whether `[defaults]` may give it, too.
    pub in_defaults: bool,
}

/// What holds without a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unset {
    /// This value, as it would be written.
    Is(&'static str),
    /// What these words say; and a value for the example.
    Absent(&'static str, &'static str),
    /// Nothing: it must be given; and a value for the example.
    Required(&'static str),
}

use Unset::{Absent, Is, Required};

impl Unset {
    /// What holds without the key, as it would be written; or in words, in parentheses.
    pub fn words(&self) -> String {
        match self {
            Is(value) => (*value).to_owned(),
            Absent(words, _) => format!("({words})"),
            Required(_) => "(required)".to_owned(),
        }
    }
}

impl Key {
    /// The last word of the path: the key as it is typed.
    pub fn name(&self) -> &'static str {
        self.path.rsplit('.').next().unwrap_or(self.path)
    }

    /// The table that it stands in, `""` for the top level.
    pub fn table(&self) -> &'static str {
        self.path.rsplit_once('.').map_or("", |(table, _)| table)
    }

    /// What it is set to in the example: the default, if it has one.
    pub fn example(&self) -> &'static str {
        let (Is(value) | Absent(_, value) | Required(value)) = self.unset;
        value
    }
}

const fn key(path: &'static str, kind: Kind, unset: Unset, meaning: &'static str) -> Key {
    Key {
        path,
        kind,
        unset,
        meaning,
        in_defaults: false,
    }
}

/// A key that `[defaults]` may give, too.
const fn inherited(path: &'static str, kind: Kind, unset: Unset, meaning: &'static str) -> Key {
    Key {
        in_defaults: true,
        ..key(path, kind, unset, meaning)
    }
}

/// The name of the table of defaults.
pub(super) const DEFAULTS: &str = "defaults";

/// Milliseconds.
const SECOND: u64 = 1000;
const HOUR: u64 = 3600 * SECOND;
const DAY: u64 = 24 * HOUR;
/// Bytes.
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// What libgit2 can count.
const DEPTH_MAX: u64 = i32::MAX.unsigned_abs() as u64;
/// Below, no shell starts.
const MEMORY_MIN: u64 = MIB;
/// What the kernel and systemd count at most is far above; this only keeps typing errors out.
const MEMORY_MAX: u64 = MIB * GIB;
/// A shell with a command in a pipe.
const TASKS_MIN: u64 = 4;
/// The most that Linux can have (`/proc/sys/kernel/pid_max`).
const TASKS_MAX: u64 = 1 << 22;
/// What systemd takes for `CPUWeight=` and `IOWeight=`.
const WEIGHT_MAX: u64 = 10_000;

/// All keys, in the order of the reference. What `[defaults]` takes is marked, and not listed a second time.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    key("listen", OneOrMore(&Listener), Is(r#""127.0.0.1:9000""#),
        "Where webhooks are received: `ADDRESS:PORT` or `unix:PATH`; not used under socket activation."),
    key("state_dir", Path, Absent("`$STATE_DIRECTORY`, else `/var/lib/hookd`", r#""/var/lib/hookd""#),
        "Where deliveries, mirrors and logs are kept."),
    key("control", Path, Absent("`$RUNTIME_DIRECTORY/control.sock`, else `/run/hookd/control.sock`", r#""/run/hookd/control.sock""#),
        "The unix socket that the command line talks to."),
    key("max_jobs", Number(1, 1000), Is("2"),
        "Deployments at once, over all repos; one repo never has two at once."),

    key("proxy", OffOr(&Url), Is(r#""off""#),
        "The http proxy through which http and https remotes are fetched: `http://HOST:PORT`, with `USER:PASSWORD@` before the host if it asks for one."),

    key("limits.body", Size(KIB, GIB), Is(r#""25MiB""#),
        "Largest request body."),
    key("limits.headers", Size(KIB, MIB), Is(r#""64KiB""#),
        "Largest request head."),
    key("limits.header_count", Number(10, 1000), Is("100"),
        "Most header fields of a request."),
    key("limits.header_time", Duration(100, HOUR), Is(r#""10s""#),
        "Longest wait for the head of a request."),
    key("limits.body_time", Duration(100, HOUR), Is(r#""30s""#),
        "Longest wait for the body of a request."),
    key("limits.body_rate", Size(0, GIB), Is(r#""1KiB""#),
        "Slowest body, in bytes a second; 0 for no such limit."),
    key("limits.connections", Number(1, 100_000), Is("512"),
        "Connections at once."),
    key("limits.connections_per_address", Number(1, 100_000), Is("32"),
        "Connections at once from one address."),
    key("limits.auth_failures", Number(1, 1_000_000), Is("60"),
        "Unauthenticated failures a minute from one address."),
    key("limits.login_failures", Number(1, 1_000_000), Is("10"),
        "Failed log-ins a minute from one address; a /64 of IPv6 counts as one."),
    key("limits.login_failures_per_user", Number(1, 1_000_000), Is("30"),
        "Failed log-ins a minute with one user name, from wherever they come."),
    key("limits.queue", Number(1, 1_000_000), Is("1000"),
        "Deliveries that are not yet stored and decided."),
    key("limits.output", Size(KIB, 4 * GIB), Is(r#""16MiB""#),
        "Output that is kept of each deployment."),
    key("limits.history_age", Duration(HOUR, 3650 * DAY), Is(r#""90d""#),
        "How long the history is kept."),
    key("limits.history_count", Number(1, 10_000_000), Is("10000"),
        "How many deployments the history keeps."),
    key("limits.deliveries", Size(MIB, MIB * MIB), Is(r#""1GiB""#),
        "Space for stored deliveries; beyond it the payloads of those that led to nothing go first, then the oldest."),
    key("limits.fetch_idle", Duration(SECOND, HOUR), Is(r#""1m""#),
        "Silence after which a fetch is given up."),
    key("limits.fetch_total", Duration(SECOND, 7 * DAY), Is(r#""30m""#),
        "Longest fetch in all."),
    key("limits.api_time", Duration(100, HOUR), Is(r#""20s""#),
        "Longest request to a forge's API, until the whole answer is there; what timed out is tried again."),
    key("limits.message_time", Duration(100, HOUR), Is(r#""30s""#),
        "Longest delivery of one message of `[notify.NAME]`, to a chat, a mail server or a command."),
    key("limits.free_space", Size(0, MIB * MIB), Is(r#""64MiB""#),
        "Free space that must be left before a fetch or a release is begun."),
    key("limits.stop_grace", Duration(0, DAY), Is(r#""1m""#),
        "How long running deployments may go on when the daemon is stopped."),
    key("limits.file_size", Size(KIB, 4 * GIB), Is(r#""100MiB""#),
        "Largest file of a commit; the memory that a git worker may take grows with it."),
    key("limits.files", Number(1, 10_000_000), Is("1000000"),
        "Most files, directories and submodules of a commit together."),

    key("http.trusted_proxies", List(&Network), Is("[]"),
        "Proxies whose `X-Forwarded-For`, or if there is none `Forwarded`, is believed."),
    key("http.status", Listener, Absent("none", r#""127.0.0.1:9001""#),
        "Where the status pages, the API and the metrics are: a loopback address or `unix:PATH`; any other address requires `[http.tls]` and `[http.login]`. Without `[http.login]` one can look there, and a program with a token (`hookd token add`) can have its targets deployed; everything else requires the control socket."),

    key("http.public_url", Url, Absent("none", r#""https://deploy.example.org/""#),
        "How people reach the status page: commit statuses and messages link there."),
    key("http.tls.cert", Path, Absent("none", r#""/etc/hookd/cert.pem""#),
        "PEM file of the certificate chain, for a public listener that speaks TLS itself. Read again when it changes."),
    key("http.tls.key", Path, Absent("none", r#""/etc/hookd/key.pem""#),
        "PEM file of the certificate's private key. Read again when it changes."),
    key("http.login.users", Path, Absent("none", r#""/etc/hookd/users""#),
        "File of the users who may log in, a line `NAME:ROLE:HASH` for each; `hookd user` writes it. Others than its owner and group must not have rights on it. Read again when it changes."),
    key("http.login.header", Header, Absent("none", r#""X-Forwarded-User""#),
        "Header in which a proxy of `http.trusted_proxies` names the user whom it let in; from anybody else it is not believed."),
    key("http.login.roles", Roles, Is("{}"),
        "What the users may whom `header` names: `view` or `act`; `\"*\"` stands for all others. Whoever is not listed has the role of the file `users`; others get in nowhere."),
    key("http.login.public", List(&Words(Shown::WORDS)), Is("[]"),
        "What strangers see: the badges of targets, the overview. The rest requires a log-in."),

    key("notify.NAME.kind", Words(ChannelKind::WORDS), Is(r#""webhook""#),
        "How messages are written and sent: as JSON, to a chat, by mail, or by a command. With `command` or `smtp` and no `url` it need not be given."),
    key("notify.NAME.url", SecretUrl, Absent("required, but for `email` and `command`", r#""credential:slack-url""#),
        "Where messages are posted: the URL of the hook, of the ntfy topic, or of the Matrix homeserver; or where it is, if it is a secret, as those of chats are."),
    key("notify.NAME.secret", Secret, Absent("none", r#""file:/etc/hookd/notify.secret""#),
        "Signs the messages of a `webhook` as Standard Webhooks say."),
    key("notify.NAME.token", Secret, Absent("none; required for `matrix`", r#""credential:matrix-token""#),
        "The access token for `matrix` and `ntfy`."),
    key("notify.NAME.room", Text, Absent("required for `matrix`", r#""!abc:example.org""#),
        "The id of the Matrix room."),
    key("notify.NAME.smtp", Smtp, Absent("required for `email`", r#""smtps://mail.example.org""#),
        "The mail server: `smtps://HOST` speaks TLS from the start, `smtp://HOST` requires STARTTLS, `smtp+insecure://HOST` has no TLS and is for this machine only."),
    key("notify.NAME.username", Text, Absent("none", r#""hookd""#),
        "The name at the mail server."),
    key("notify.NAME.password", Secret, Absent("none", r#""credential:mail-password""#),
        "The password at the mail server."),
    key("notify.NAME.from", Mail, Absent("required for `email`", r#""hookd <hookd@example.org>""#),
        "Who the mail is from."),
    key("notify.NAME.to", List(&Mail), Absent("required for `email`", r#"["ops@example.org"]"#),
        "Who gets the mail."),
    key("notify.NAME.command", Command, Absent("none", r#"["/usr/local/bin/tell", "ops"]"#),
        "Is run for each message, with its JSON in HOOKD_MESSAGE and its text in HOOKD_TEXT."),
    key("notify.NAME.on", List(&Happening), Is(r#"["failed", "rolled-back", "recovered", "first-live"]"#),
        "Which outcomes are sent: `failed` and `rolled-back` if the deployment before had not failed, `recovered`, `first-live`, `still-failing` (once an hour), and each `live`, `cancelled`, `interrupted`, `unchanged`, `superseded`."),
    key("notify.NAME.template", Text, Absent("hookd's own text", r#""{target} {happening}: {subject}""#),
        "The text of a message, with {target}, {happening}, {outcome}, {reason}, {ref}, {commit}, {subject}, {author}, {changes}, {duration}, {output}, {link} and {site} filled in."),

    key("forge.NAME.kind", Forge, Absent("NAME, if it is the name of a forge", r#""gitlab""#),
        "Which forge the API belongs to."),
    key("forge.NAME.url", Url, Absent("the forge's public API", r#""https://git.example.org/api/v4""#),
        "Base of the API, for a forge of your own."),
    key("forge.NAME.token", Secret, Absent("required, unless `ranges` is given", r#""file:/etc/hookd/gitlab.token""#),
        "The access token for the API, for the checks of `require_checks` and for `report`; it needs to read checks, to write commit statuses and deployments as far as they are reported, and to write webhooks if failed deliveries are to be asked for."),
    key("forge.NAME.app_id", Text, Absent("none", r#""123456""#),
        "The id of a GitHub App, whose private key `token` then is: tokens made from it may set statuses and deployments of one repository, and nothing else."),
    key("forge.NAME.ranges", Url, Absent("the forge's public place", r#""https://github.example.org/api/v3/meta""#),
        r#"Where the forge publishes the addresses of its webhooks, for `allow_from = "NAME"`; GitHub and Bitbucket only."#),

    key("repo.NAME.url", Remote, Required(r#""https://github.com/alice/blog.git""#),
        "The repository's URL, the only place that hookd ever fetches from."),
    key("repo.NAME.secret", OneOrMore(&WebhookSecret), Required(r#""file:/etc/hookd/blog.secret""#),
        "What deliveries are signed with: `credential:NAME`, `file:PATH` or `env:VAR`; several while one is replaced; `insecure-none` for no check. SourceHut, and senders with a `public_key`, need none."),
    inherited("repo.NAME.poll", OffOr(&Duration(SECOND, 365 * DAY)), Is(r#""10m""#),
        "How often the remote is looked at even if no webhook came."),
    inherited("repo.NAME.report", OffOr(&List(&Words(Reporting::WORDS))), Is(r#"["status"]"#),
        "What hookd reports of each push to the forge, if a `[forge.NAME]` has a token: the status of the commit, and at GitHub and GitLab the deployment to `environment`. What the forge refused to a token is sent again once another one is in force, up to a day later."),
    key("repo.NAME.forge", Forge, Absent("told from the URL, else from the headers", r#""github""#),
        "Which forge sends the webhooks."),
    key("repo.NAME.full_name", Text, Absent("from the URL", r#""alice/blog""#),
        "The repository's name in payloads, `alice/blog`."),
    inherited("repo.NAME.ssh_key", Path, Absent("none", r#""/etc/hookd/deploy.key""#),
        "The private key for ssh remotes."),
    inherited("repo.NAME.known_hosts", Path, Absent("`known_hosts` in the state directory, and `/etc/ssh/ssh_known_hosts`", r#""/etc/hookd/known_hosts""#),
        "The host keys that ssh remotes may have."),
    key("repo.NAME.token", Secret, Absent("none", r#""file:/etc/hookd/blog.token""#),
        "The access token for https remotes."),
    inherited("repo.NAME.ca_file", Path, Absent("none", r#""/etc/hookd/ca.pem""#),
        "PEM file of authorities that https remotes may have, besides the system's."),
    key("repo.NAME.proxy", OffOr(&Url), Absent("that of the top level", r#""off""#),
        "The http proxy through which this repo is fetched."),
    key("repo.NAME.keys", Paths, Absent("none", r#"{ "git@git.example.org:alice/theme.git" = "/etc/hookd/theme.key" }"#),
        "Private keys for submodules, by their ssh URLs; what is not listed uses `ssh_key`, on the repo's own host alone."),
    inherited("repo.NAME.submodule_hosts", List(&Text), Is("[]"),
        "What submodules may name although it is this machine or in a private network: hosts, addresses and networks. The repo's own host needs no entry."),
    inherited("repo.NAME.allow_from", List(&Sender), Is("[]"),
        "Addresses that deliveries may come from; `github`, `gitlab`, `bitbucket` or the NAME of a `[forge.NAME]` stands for the ranges that it publishes; empty is everybody."),
    inherited("repo.NAME.allow_sha1", Boolean, Is("false"),
        "Takes GitHub's old `X-Hub-Signature`, too."),
    inherited("repo.NAME.timestamp_tolerance", Duration(SECOND, DAY), Is(r#""5m""#),
        "How old a signed time stamp may be."),
    key("repo.NAME.public_key", PublicKey, Absent("none", r#""uX7KWyyDNMaBma4aVbJ/cbUQpdjqczuCyK/HxzV/u+4=""#),
        "The key of forges that sign with one (SourceHut, Standard Webhooks)."),
    key("repo.NAME.auth_header", Header, Absent("basic auth", r#""X-Hookd-Key""#),
        "The header that holds the secret, for forges that don't sign (Azure DevOps)."),
    inherited("repo.NAME.submodules", Boolean, Is("true"),
        "Whether submodules are checked out."),
    inherited("repo.NAME.depth", Number(0, DEPTH_MAX), Is("0"),
        "How many commits a fetch goes back; 0 is the whole history."),
    inherited("repo.NAME.lfs", Words(Lfs::WORDS), Is(r#""refuse""#),
        "Whether a tree with LFS pointers is refused, or deployed with the pointers in it."),

    key("repo.NAME.dispatch.repo", Text, Required(r#""alice/docs""#),
        "The repository at GitHub that gets a `repository_dispatch` each time that a target of this repo went live, OWNER/NAME."),
    key("repo.NAME.dispatch.event", Text, Is(r#""deployed""#),
        "Its `event_type`, for `on: repository_dispatch: types:` of a workflow there; at most 100 characters."),
    key("repo.NAME.generic.header", Header, Is(r#""X-Signature""#),
        "The header of the signature."),
    key("repo.NAME.generic.algorithm", Words(HashAlgorithm::WORDS), Is(r#""sha256""#),
        "The hash below the HMAC over the raw body."),
    key("repo.NAME.generic.encoding", Words(Encoding::WORDS), Is(r#""hex""#),
        "How the header writes the signature."),
    key("repo.NAME.generic.prefix", AnyText, Is(r#""""#),
        "What stands before the signature, such as `sha256=`."),
    key("repo.NAME.generic.repo", Pointer, Is(r#""/repository/full_name""#),
        "Where the payload has the full name."),
    key("repo.NAME.generic.ref", Pointer, Is(r#""/ref""#),
        "Where the payload has the ref or the branch."),
    key("repo.NAME.generic.commit", Pointer, Is(r#""/after""#),
        "Where the payload has the commit."),
    key("repo.NAME.generic.delivery_header", Header, Is(r#""X-Delivery""#),
        "The header of the delivery's id."),

    key("repo.NAME.deploy.TARGET.branch", OneOrMore(&Pattern), Absent("this or `tag` is required", r#""main""#),
        "The branches that are deployed."),
    key("repo.NAME.deploy.TARGET.tag", OneOrMore(&Pattern), Absent("this or `branch` is required", r#""v*""#),
        "The tags that are deployed."),
    inherited("repo.NAME.deploy.TARGET.order", Words(TagOrder::WORDS), Is(r#""version""#),
        "Which of the tags is deployed: the newest version (semantic versions by precedence, others in natural order), in whatever order they arrive; or the one that was pushed last."),
    inherited("repo.NAME.deploy.TARGET.prereleases", Boolean, Is("false"),
        "Whether tags that are pre-releases (`v2.0.0-rc.1`) are deployed, too. A tag that `tag` names in full always is."),
    key("repo.NAME.deploy.TARGET.path", Path, Required(r#""/srv/blog""#),
        "The directory that gets `releases`, `shared` and `current`."),
    key("repo.NAME.deploy.TARGET.build", Command, Absent("none", r#""hugo --minify""#),
        "Runs in the new release before it is live; a string is a shell line, a list is a program and its arguments."),
    key("repo.NAME.deploy.TARGET.reload", Command, Absent("none", r#""touch /run/hookd/blog.reloaded""#),
        "Runs after the release went live, and again after a rollback."),
    key("repo.NAME.deploy.TARGET.check", Check, Absent("none", r#""http://127.0.0.1:8080/""#),
        "Must answer 2xx, or exit with 0; else the release before it is made live again."),
    key("repo.NAME.deploy.TARGET.paths", List(&Pattern), Is("[]"),
        "Deploys only if one of these files changed; empty is any."),
    key("repo.NAME.deploy.TARGET.pusher", List(&Pattern), Is("[]"),
        "Deploys only what these people pushed, as the forge names them; empty is anybody."),
    key("repo.NAME.deploy.TARGET.on", List(&Event), Is("[]"),
        "The events that deploy: `push`, `release`, `workflow_run` and others; empty is pushes alone."),
    key("repo.NAME.deploy.TARGET.url", Url, Absent("none", r#""https://blog.example.org/""#),
        "Where people see the site; status and notifications link there."),
    key("repo.NAME.deploy.TARGET.environment", Text, Absent("TARGET", r#""production""#),
        "What the forge and notifications call the place that it is deployed to."),
    inherited("repo.NAME.deploy.TARGET.strategy", Words(Strategy::WORDS), Is(r#""release""#),
        "A new directory for each commit and a link that is switched, or one directory whose files are changed."),
    inherited("repo.NAME.deploy.TARGET.keep", Number(1, 1000), Is("5"),
        "How many good releases stay."),
    inherited("repo.NAME.deploy.TARGET.shared", List(&Inside), Is("[]"),
        "Paths that all releases share."),
    inherited("repo.NAME.deploy.TARGET.spare", Boolean, Is("true"),
        "Whether a copy of a large live release is kept ready for the next one to begin with; it takes the space of one more release, and nothing where space is short. On btrfs such releases are subvolumes and the copy is a snapshot; backups that stop at subvolumes leave them out."),
    inherited("repo.NAME.deploy.TARGET.env", Variables, Is("{}"),
        "Environment of the commands; added to that of `[defaults]`."),
    inherited("repo.NAME.deploy.TARGET.history", Boolean, Is("false"),
        "Whether `build` can read the history with `git log`, by GIT_DIR and GIT_WORK_TREE; each build gets a copy of it."),
    inherited("repo.NAME.deploy.TARGET.timeout", Duration(1, DAY), Is(r#""10m""#),
        "Longest run of `build`, and of each `reload`."),
    inherited("repo.NAME.deploy.TARGET.kill_grace", Duration(0, HOUR), Is(r#""10s""#),
        "From TERM to KILL, for commands that are stopped."),
    inherited("repo.NAME.deploy.TARGET.check_timeout", Duration(1, HOUR), Is(r#""30s""#),
        "How long `check` may go on failing."),
    inherited("repo.NAME.deploy.TARGET.run_as", User, Absent("the daemon's user", r#""blog""#),
        "The user that commands run as."),
    inherited("repo.NAME.deploy.TARGET.isolation", Words(Isolation::WORDS), Absent("`systemd` where the packaged units may be started, else `process`", r#""systemd""#),
        "Whether each command runs in a systemd unit of its own, or as a process below the daemon."),
    inherited("repo.NAME.deploy.TARGET.memory_max", Size(MEMORY_MIN, MEMORY_MAX), Absent("none", r#""1GiB""#),
        "Most memory of the commands."),
    inherited("repo.NAME.deploy.TARGET.tasks_max", Number(TASKS_MIN, TASKS_MAX), Absent("1024 in a unit, else none", "1024"),
        "Most processes and threads of a command at once."),
    inherited("repo.NAME.deploy.TARGET.cpu_weight", Number(1, WEIGHT_MAX), Absent("50 in a unit", "50"),
        "Share of the processors when they are short, 1 to 10000, where 100 is what a service has; units only."),
    inherited("repo.NAME.deploy.TARGET.io_weight", Number(1, WEIGHT_MAX), Absent("50 in a unit", "50"),
        "Share of the disks when they are short, likewise; units only."),
    inherited("repo.NAME.deploy.TARGET.network", Boolean, Is("true"),
        "Whether `build` and a `check` command have a network; `false` requires `isolation = \"systemd\"`."),
    inherited("repo.NAME.deploy.TARGET.notify", List(&Name), Is("[]"),
        "Which `[notify.NAME]` are sent the outcome."),
    inherited("repo.NAME.deploy.TARGET.require_signed", Path, Absent("none", r#""/etc/hookd/allowed_signers""#),
        "File of allowed signers (of ssh-keygen, armoured OpenPGP keys, or both); deploys only commits or tags that one of them signed."),
    inherited("repo.NAME.deploy.TARGET.require_checks", List(&Text), Is("[]"),
        "CI checks that must be green first, by the names that the forge gives them: of a job or check run, the context of a commit status, a workflow; `pipeline` for GitLab's whole pipeline."),
    inherited("repo.NAME.deploy.TARGET.checks_timeout", Duration(SECOND, 7 * DAY), Is(r#""1h""#),
        "How long a commit waits for them."),
    inherited("repo.NAME.deploy.TARGET.queue", Words(QueueMode::WORDS), Is(r#""latest""#),
        "Whether a newer push replaces the waiting one, or each pushed commit is deployed in order."),
];

/// The words that may stand in a table, `repo.NAME` say: its keys and the tables within it.
pub(super) fn words(table: &str) -> Vec<&'static str> {
    let mut words: Vec<&'static str> = if table == DEFAULTS {
        KEYS.iter().filter(|key| key.in_defaults).map(Key::name).collect()
    } else {
        let below = |key: &Key| {
            let rest = if table.is_empty() {
                key.path
            } else {
                key.path.strip_prefix(table)?.strip_prefix('.')?
            };
            rest.split('.').next()
        };
        KEYS.iter().filter_map(below).collect()
    };
    if table.is_empty() {
        words.push(DEFAULTS);
    }
    words.dedup();
    words
}

/// Whether a key of that table may be given by `[defaults]`.
pub(super) fn has_default(table: &str, name: &str) -> bool {
    KEYS.iter()
        .any(|key| key.in_defaults && key.table() == table && key.name() == name)
}

/// The key of that name in a table.
pub(super) fn find(table: &str, name: &str) -> Option<&'static Key> {
    KEYS.iter()
        .find(|key| key.name() == name && (key.table() == table || (table == DEFAULTS && key.in_defaults)))
}

/// The table in which a key of that name does belong: the one of repos, if it has such a key, since that is what people write.
pub(super) fn home_of(name: &str) -> Option<&'static str> {
    let of_name = || KEYS.iter().filter(|key| key.name() == name).map(Key::table);
    of_name()
        .find(|table| *table == "repo.NAME")
        .or_else(|| of_name().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_know_their_words() {
        assert_eq!(
            words("http"),
            ["trusted_proxies", "status", "public_url", "tls", "login"]
        );
        assert_eq!(words("http.tls"), ["cert", "key"]);
        let top = words("");
        assert_eq!(
            top,
            [
                "listen",
                "state_dir",
                "control",
                "max_jobs",
                "proxy",
                "limits",
                "http",
                "notify",
                "forge",
                "repo",
                "defaults"
            ]
        );
        assert!(words("repo.NAME").contains(&"deploy"));
        assert!(words(DEFAULTS).contains(&"timeout") && !words(DEFAULTS).contains(&"secret"));
    }

    #[test]
    fn every_key_is_listed_once_and_explained() {
        for (number, key) in KEYS.iter().enumerate() {
            assert!(
                KEYS[..number].iter().all(|other| other.path != key.path),
                "{} twice",
                key.path
            );
            assert!(
                key.meaning.ends_with('.') && !key.kind.words().is_empty() && !key.example().is_empty(),
                "{}",
                key.path
            );
        }
        // [defaults] is flat: a name in it must not mean two things.
        let shared: Vec<_> = words(DEFAULTS);
        assert!(
            shared
                .iter()
                .all(|name| KEYS.iter().filter(|k| k.in_defaults && k.name() == *name).count() == 1)
        );
    }
}
