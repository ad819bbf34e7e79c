//! Every key of the configuration, once: the reader, the reference and the example are held against this table.

/// One key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The full path with dots. `NAME` and `TARGET` stand for names that the user chooses.
    pub path: &'static str,
    /// What may stand there, in words.
    pub kind: &'static str,
    /// What holds without it, as it would be written; or in words, in parentheses.
    pub default: &'static str,
    /// What it means, in a sentence.
    pub meaning: &'static str,
    /// Whether `[defaults]` may give it, too.
    pub in_defaults: bool,
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
}

const fn key(path: &'static str, kind: &'static str, default: &'static str, meaning: &'static str) -> Key {
    Key {
        path,
        kind,
        default,
        meaning,
        in_defaults: false,
    }
}

/// A key that `[defaults]` may give, too.
const fn inherited(path: &'static str, kind: &'static str, default: &'static str, meaning: &'static str) -> Key {
    Key {
        path,
        kind,
        default,
        meaning,
        in_defaults: true,
    }
}

/// The name of the table of defaults.
pub(super) const DEFAULTS: &str = "defaults";

/// All keys, in the order of the reference. What `[defaults]` takes is marked, and not listed a second time.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    key("listen", "address or list of addresses", "\"127.0.0.1:9000\"", "Where webhooks are received: `ADDRESS:PORT` or `unix:PATH`; not used under socket activation."),
    key("state_dir", "path", "(`$STATE_DIRECTORY`, else `/var/lib/hookd`)", "Where deliveries, mirrors and logs are kept."),
    key("control", "path", "(`$RUNTIME_DIRECTORY/control.sock`, else `/run/hookd/control.sock`)", "The unix socket that the command line talks to."),
    key("max_jobs", "number", "2", "Deployments at once, over all repos; one repo never has two at once."),

    key("limits.body", "size", "\"25MiB\"", "Largest request body."),
    key("limits.headers", "size", "\"64KiB\"", "Largest request head."),
    key("limits.header_count", "number", "100", "Most header fields of a request."),
    key("limits.header_time", "duration", "\"10s\"", "Until the head must be there."),
    key("limits.body_time", "duration", "\"30s\"", "Until the body must be there."),
    key("limits.body_rate", "size", "\"1KiB\"", "Slowest body, in bytes a second; 0 for no such limit."),
    key("limits.connections", "number", "512", "Connections at once."),
    key("limits.connections_per_address", "number", "32", "Connections at once from one address."),
    key("limits.auth_failures", "number", "60", "Unauthenticated failures a minute from one address."),
    key("limits.queue", "number", "1000", "Deliveries that are not yet stored and decided."),
    key("limits.output", "size", "\"16MiB\"", "Output that is kept of each deployment."),
    key("limits.history_age", "duration", "\"90d\"", "How long the history is kept."),
    key("limits.history_count", "number", "10000", "How many deployments the history keeps."),
    key("limits.fetch_idle", "duration", "\"1m\"", "Silence after which a fetch is given up."),
    key("limits.fetch_total", "duration", "\"30m\"", "Longest fetch in all."),
    key("limits.free_space", "size", "\"64MiB\"", "Free space that must be left before a fetch or a release is begun."),
    key("limits.stop_grace", "duration", "\"1m\"", "How long running deployments may go on when the daemon is stopped."),

    key("http.trusted_proxies", "network or list of networks", "[]", "Proxies whose `X-Forwarded-For`, or if there is none `Forwarded`, is believed."),
    key("http.status", "address", "(none)", "A loopback address for the status pages, the API and the metrics, where one can look but not act: acting takes the control socket."),
    key("http.tls.cert", "path", "(none)", "PEM file of the certificate chain, for a public listener that speaks TLS itself. Read again when it changes."),
    key("http.tls.key", "path", "(none)", "PEM file of the certificate's private key. Read again when it changes."),

    key("notify.NAME.url", "URL", "(none)", "Gets each outcome as a JSON POST."),
    key("notify.NAME.command", "command", "(none)", "Is run for each outcome, with the JSON in HOOKD_MESSAGE."),
    key("notify.NAME.on", "outcome or list of outcomes", "[\"live\", \"failed\", \"rolled-back\", \"cancelled\", \"interrupted\"]", "Which outcomes are told."),

    key("forge.NAME.kind", "name of a forge", "(NAME, if it is the name of a forge)", "Which forge the API belongs to."),
    key("forge.NAME.url", "URL", "(the forge's public API)", "Base of the API, for a forge of your own."),
    key("forge.NAME.token", "secret source", "(required, unless `ranges` is given)", "The access token for the API, which is asked for the checks of `require_checks`; it needs to read checks and commit statuses, and nothing else."),
    key("forge.NAME.ranges", "URL", "(the forge's public place)", "Where the forge publishes the addresses of its webhooks, for `allow_from = \"NAME\"`; GitHub and Bitbucket only."),

    key("repo.NAME.url", "URL", "(required)", "The only place that is ever fetched from."),
    key("repo.NAME.secret", "secret source or list of them", "(required)", "What deliveries are signed with: `credential:NAME`, `file:PATH` or `env:VAR`; several while one is replaced; `insecure-none` for no check. SourceHut, and senders with a `public_key`, need none."),
    inherited("repo.NAME.poll", "duration or \"off\"", "\"10m\"", "How often the remote is looked at even if no webhook came."),
    key("repo.NAME.forge", "name of a forge", "(told from the URL, else from the headers)", "Whose webhooks they are."),
    key("repo.NAME.full_name", "string", "(from the URL)", "The repository's name in payloads, `alice/blog`."),
    inherited("repo.NAME.ssh_key", "path", "(none)", "The private key for ssh remotes."),
    inherited("repo.NAME.known_hosts", "path", "(`known_hosts` in the state directory, and `/etc/ssh/ssh_known_hosts`)", "The host keys that ssh remotes may have."),
    key("repo.NAME.token", "secret source", "(none)", "The access token for https remotes."),
    inherited("repo.NAME.ca_file", "path", "(the system's)", "PEM file of the authorities that https remotes are checked against."),
    inherited("repo.NAME.allow_from", "network, name of a forge, or list of them", "[]", "Addresses that deliveries may come from; `github`, `gitlab`, `bitbucket` or the NAME of a `[forge.NAME]` stands for the ranges that it publishes; empty is everybody."),
    inherited("repo.NAME.allow_sha1", "boolean", "false", "Takes GitHub's old `X-Hub-Signature`, too."),
    inherited("repo.NAME.timestamp_tolerance", "duration", "\"5m\"", "How old a signed time stamp may be."),
    key("repo.NAME.public_key", "Ed25519 key in base64 or hex", "(none)", "The key of forges that sign with one (SourceHut, Standard Webhooks)."),
    key("repo.NAME.auth_header", "header name", "(basic auth)", "The header that holds the secret, for forges that don't sign (Azure DevOps)."),
    inherited("repo.NAME.submodules", "boolean", "true", "Whether submodules are checked out."),
    inherited("repo.NAME.depth", "number", "0", "How many commits a fetch goes back; 0 is the whole history."),
    inherited("repo.NAME.lfs", "\"refuse\" or \"keep\"", "\"refuse\"", "Whether a tree with LFS pointers is refused, or deployed with the pointers in it."),

    key("repo.NAME.generic.header", "header name", "\"X-Signature\"", "The header of the signature."),
    key("repo.NAME.generic.algorithm", "\"sha1\", \"sha256\" or \"sha512\"", "\"sha256\"", "The hash below the HMAC over the raw body."),
    key("repo.NAME.generic.encoding", "\"hex\" or \"base64\"", "\"hex\"", "How the header writes the signature."),
    key("repo.NAME.generic.prefix", "string", "\"\"", "What stands before the signature, such as `sha256=`."),
    key("repo.NAME.generic.repo", "JSON pointer", "\"/repository/full_name\"", "Where the payload has the full name."),
    key("repo.NAME.generic.ref", "JSON pointer", "\"/ref\"", "Where the payload has the ref or the branch."),
    key("repo.NAME.generic.commit", "JSON pointer", "\"/after\"", "Where the payload has the commit."),
    key("repo.NAME.generic.delivery_header", "header name", "\"X-Delivery\"", "The header of the delivery's id."),

    key("repo.NAME.deploy.TARGET.branch", "pattern or list of patterns", "(this or `tag` is required)", "The branches that are deployed."),
    key("repo.NAME.deploy.TARGET.tag", "pattern or list of patterns", "(this or `branch` is required)", "The tags that are deployed."),
    inherited("repo.NAME.deploy.TARGET.order", "\"version\" or \"pushed\"", "\"version\"", "Which of the tags is deployed: the newest version (semantic versions by precedence, others in natural order), in whatever order they arrive; or the one that was pushed last."),
    inherited("repo.NAME.deploy.TARGET.prereleases", "boolean", "false", "Whether tags that are pre-releases (`v2.0.0-rc.1`) are deployed, too. A tag that `tag` names in full always is."),
    key("repo.NAME.deploy.TARGET.path", "path", "(required)", "The directory that gets `releases`, `shared` and `current`."),
    key("repo.NAME.deploy.TARGET.build", "command", "(none)", "Runs in the new release before it is live; a string is a shell line, a list is a program and its arguments."),
    key("repo.NAME.deploy.TARGET.reload", "command", "(none)", "Runs after the release went live, and again after a rollback."),
    key("repo.NAME.deploy.TARGET.check", "http(s) URL or command", "(none)", "Must answer 2xx, or exit with 0; else the release before it is made live again."),
    key("repo.NAME.deploy.TARGET.paths", "pattern or list of patterns", "[]", "Deploys only if one of these files changed; empty is any."),
    key("repo.NAME.deploy.TARGET.pusher", "pattern or list of patterns", "[]", "Deploys only what these people pushed, as the forge names them; empty is anybody."),
    key("repo.NAME.deploy.TARGET.on", "event or list of events", "[]", "The events that deploy: `push`, `release`, `workflow_run` and others; empty is pushes alone."),
    inherited("repo.NAME.deploy.TARGET.strategy", "\"release\" or \"in-place\"", "\"release\"", "A new directory for each commit and a link that is switched, or one directory whose files are changed."),
    inherited("repo.NAME.deploy.TARGET.keep", "number", "5", "How many good releases stay."),
    inherited("repo.NAME.deploy.TARGET.shared", "path or list of paths", "[]", "Paths that all releases share."),
    inherited("repo.NAME.deploy.TARGET.env", "table of strings", "{}", "Environment of the commands; added to that of `[defaults]`."),
    inherited("repo.NAME.deploy.TARGET.timeout", "duration", "\"10m\"", "Longest run of `build`, and of each `reload`."),
    inherited("repo.NAME.deploy.TARGET.kill_grace", "duration", "\"10s\"", "From TERM to KILL, for commands that are stopped."),
    inherited("repo.NAME.deploy.TARGET.check_timeout", "duration", "\"30s\"", "How long `check` may go on failing."),
    inherited("repo.NAME.deploy.TARGET.run_as", "user name", "(the daemon's user)", "The user that commands run as."),
    inherited("repo.NAME.deploy.TARGET.isolation", "\"systemd\" or \"process\"", "(`systemd` where the packaged units may be started, else `process`)", "Whether each command runs in a systemd unit of its own, or as a process below the daemon."),
    inherited("repo.NAME.deploy.TARGET.memory_max", "size", "(none)", "Most memory of the commands."),
    inherited("repo.NAME.deploy.TARGET.tasks_max", "number", "(1024 in a unit, else none)", "Most processes and threads of a command at once."),
    inherited("repo.NAME.deploy.TARGET.cpu_weight", "number", "(50 in a unit)", "Share of the processors when they are short, 1 to 10000, where 100 is what a service has; units only."),
    inherited("repo.NAME.deploy.TARGET.io_weight", "number", "(50 in a unit)", "Share of the disks when they are short, likewise; units only."),
    inherited("repo.NAME.deploy.TARGET.network", "boolean", "true", "Whether `build` and a `check` command have a network; `false` takes units."),
    inherited("repo.NAME.deploy.TARGET.notify", "name or list of names", "[]", "Which `[notify.NAME]` are told the outcome."),
    inherited("repo.NAME.deploy.TARGET.require_signed", "path", "(none)", "File of allowed signers (of ssh-keygen, armoured OpenPGP keys, or both); deploys only commits or tags that one of them signed."),
    inherited("repo.NAME.deploy.TARGET.require_checks", "name or list of names", "[]", "CI checks that must be green first, by the names that the forge gives them: of a job or check run, the context of a commit status, a workflow; `pipeline` for GitLab's whole pipeline."),
    inherited("repo.NAME.deploy.TARGET.checks_timeout", "duration", "\"1h\"", "How long a commit waits for them."),
    inherited("repo.NAME.deploy.TARGET.queue", "\"latest\" or \"all\"", "\"latest\"", "Whether a newer push replaces the waiting one, or each pushed commit is deployed in order."),
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

/// The table in which a key of that name does belong.
pub(super) fn home_of(name: &str) -> Option<&'static str> {
    KEYS.iter().find(|key| key.name() == name).map(Key::table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_know_their_words() {
        assert_eq!(words("http"), ["trusted_proxies", "status", "tls"]);
        assert_eq!(words("http.tls"), ["cert", "key"]);
        let top = words("");
        assert_eq!(
            top,
            [
                "listen",
                "state_dir",
                "control",
                "max_jobs",
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
                key.meaning.ends_with('.') && !key.kind.is_empty() && !key.default.is_empty(),
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
