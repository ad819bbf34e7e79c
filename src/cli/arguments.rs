//! The arguments: the one table from which `--help`, completions and the man page are made.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::ArgValueCandidates;

use super::complete;
use crate::config;

/// Deploy git repositories to this machine when their forge reports a push.
#[derive(Debug, Parser)]
#[command(name = "hookd", version, propagate_version = true, max_term_width = 100)]
pub struct Arguments {
    /// The configuration file.
    #[arg(
        long,
        global = true,
        env = "HOOKD_CONFIG",
        default_value = config::FILE,
        value_name = "FILE"
    )]
    pub config: PathBuf,
    /// Print JSON instead of text.
    #[arg(long, global = true)]
    pub json: bool,
    /// When to use colours.
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto, value_name = "WHEN")]
    pub color: Colour,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// When output has colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon, in the foreground.
    Serve(Serve),
    /// Read the configuration and report every problem.
    Check(Check),
    /// Set up a new repo: secret, deploy key, host key, directory and configuration; with a token also at the forge.
    Add(Box<Add>),
    /// Remove what `add` set up. The site stays, unless it is purged.
    Remove(Box<Remove>),
    /// Make a configuration of that of another program: webhook, snare, webhookd, Capistrano or Deployer.
    Import(Import),
    /// Check everything that can be wrong on this machine, and print how to fix it.
    Doctor(Doctor),
    /// Show hookd at work on this machine: a site, a push, a signed webhook, a deployment, a rollback.
    Demo(Demo),
    /// Explain what a delivery would do, and why.
    Explain(Explain),
    /// Send a signed push delivery, as the forge would.
    Send(Send),
    /// Show what is live, running and pending, and each problem.
    Status(Status),
    /// List deployments.
    History(List),
    /// List webhook deliveries.
    Deliveries(Deliveries),
    /// List the releases of a target.
    Releases(OneTarget),
    /// Print the log of a deployment.
    Logs(Logs),
    /// Deploy the tip of a target's ref.
    Deploy(Deploy),
    /// Retry what failed or was rolled back.
    Retry(Deploy),
    /// Roll back to an earlier release at once, and stay there until `resume`.
    Rollback(Rollback),
    /// Handle a stored delivery again, as if it had just arrived.
    Replay(Replay),
    /// Stop a target's running deployment, and drop pending ones.
    Cancel(OneTarget),
    /// Deploy nothing to a target until `resume`.
    Pause(OneTarget),
    /// Resume a paused or rolled-back target.
    Resume(OneTarget),
    /// Add, list and remove users who may log in on the page.
    User {
        /// What to do.
        #[command(subcommand)]
        command: UserCommand,
    },
    /// Make, list and remove tokens for programs that ask the status address.
    Token {
        /// What to do.
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// Say who did what.
    Audit(Audit),
    /// Print the JSON Schema of the configuration, for editors.
    Schema(Schema),
    /// Test notifications.
    Notify {
        /// What to do.
        #[command(subcommand)]
        action: NotifyAction,
    },
    /// Test commit statuses.
    Report {
        /// What to do.
        #[command(subcommand)]
        action: ReportAction,
    },
    /// Print a completion script. It asks the daemon for targets, releases, deployments and deliveries.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print a manual page, in roff.
    Man {
        /// The page.
        #[arg(value_enum, default_value_t = ManPage::Hookd)]
        page: ManPage,
    },
}

/// Arguments of `hookd schema`.
#[derive(Debug, Args)]
pub struct Schema {
    /// Print a configuration with every key and its default instead.
    #[arg(long)]
    pub example: bool,
}

/// `hookd notify`
#[derive(Debug, Subcommand)]
pub enum NotifyAction {
    /// Send a sample message and say what came back.
    Test {
        /// The NAME of `[notify.NAME]`.
        name: String,
    },
}

/// `hookd report`
#[derive(Debug, Subcommand)]
pub enum ReportAction {
    /// Set a sample status on the live commit and say what came back.
    Test {
        /// The NAME of `[repo.NAME]`.
        #[arg(add = ArgValueCandidates::new(complete::repos))]
        repo: String,
    },
}

/// The manual pages.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum ManPage {
    /// The commands: hookd(1).
    Hookd,
    /// The configuration: hookd.toml(5).
    #[value(name = "hookd.toml")]
    Toml,
    /// What happens in a deployment: hookd-deploy(7).
    #[value(name = "hookd-deploy")]
    Deploy,
    /// What to type into each forge: hookd-forges(7).
    #[value(name = "hookd-forges")]
    Forges,
    /// The API for programs: hookd-api(7).
    #[value(name = "hookd-api")]
    Api,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum LogFormat {
    /// One readable line each, on stderr.
    Text,
    /// One JSON object each, on stderr.
    Json,
    /// To systemd's journal.
    Journal,
}

/// `hookd serve`
#[derive(Debug, Args)]
pub struct Serve {
    /// Format of log lines; default: journal under systemd, else text.
    #[arg(long, value_enum)]
    pub log_format: Option<LogFormat>,
}

/// `hookd doctor`
#[derive(Debug, Args)]
pub struct Doctor {
    /// Also show what is well.
    #[arg(short, long)]
    pub verbose: bool,
}

/// `hookd check`
#[derive(Debug, Args)]
pub struct Check {
    /// Also show what is well.
    #[arg(short, long)]
    pub verbose: bool,
    /// Also ask each remote, and check keys, permissions and directories.
    #[arg(long)]
    pub remote: bool,
}

/// `hookd add`
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Add {
    /// The repository, as `git clone` takes it. An ssh URL gets a deploy key.
    pub url: String,
    /// Name of the repo; default: the last part of the URL.
    #[arg(long)]
    pub name: Option<String>,
    /// The branch to follow.
    #[arg(long, default_value = "main")]
    pub branch: String,
    /// Follow the tags of this pattern instead: `v*`.
    #[arg(long, value_name = "PATTERN", conflicts_with = "branch")]
    pub tag: Option<String>,
    /// Name of the target.
    #[arg(long, default_value = "production")]
    pub target: String,
    /// The target's directory; default: /srv/NAME.
    #[arg(long, value_name = "DIRECTORY")]
    pub path: Option<PathBuf>,
    /// Shell line that builds a release, before it is live.
    #[arg(long, value_name = "LINE")]
    pub build: Option<String>,
    /// Shell line that runs after a release went live.
    #[arg(long, value_name = "LINE")]
    pub reload: Option<String>,
    /// URL that must answer 2xx, or shell line that must succeed; else the previous release comes back.
    #[arg(long, value_name = "URL|LINE")]
    pub check: Option<String>,
    /// The forge: github, gitlab, gitea, …; default: detected from the URL.
    #[arg(long)]
    pub forge: Option<String>,
    /// Name at the forge, `alice/blog`, if it is not the path of the URL.
    #[arg(long, value_name = "OWNER/NAME")]
    pub full_name: Option<String>,
    /// URL by which the forge reaches hookd: `https://blog.example.org`, with the path if it is not /hook/NAME.
    #[arg(long, value_name = "URL")]
    pub hook_url: Option<String>,
    /// Create webhook and deploy key at the forge with this token: `file:PATH` or `env:VARIABLE`. It is not kept.
    #[arg(long, value_name = "SOURCE")]
    pub token: Option<String>,
    /// Base URL of the forge's API; default: derived from forge and host.
    #[arg(long, value_name = "URL")]
    pub api: Option<url::Url>,
    /// Fingerprint of the remote's host key, `SHA256:…`, if no forge publishes it.
    #[arg(long, value_name = "FINGERPRINT")]
    pub accept_host_key: Option<String>,
    /// Replace the webhook's secret, here and at the forge; both are good until a delivery with the new one came. Needs `--token`.
    #[arg(long, requires = "token")]
    pub rotate: bool,
    /// Don't wait for the forge's test delivery and the first deployment.
    #[arg(long)]
    pub no_wait: bool,
    /// Print the webhook's secret; on a terminal only.
    #[arg(long)]
    pub show_secret: bool,
    /// Only print what would be created.
    #[arg(long)]
    pub dry_run: bool,
}

/// `hookd remove`
#[derive(Debug, Args)]
pub struct Remove {
    /// The repo, by its name in the configuration.
    #[arg(add = ArgValueCandidates::new(complete::repos))]
    pub name: String,
    /// Also delete releases, shared files and mirrors.
    #[arg(long)]
    pub purge: bool,
    /// Don't ask before a purge.
    #[arg(long)]
    pub yes: bool,
    /// Delete webhook and deploy key at the forge with this token: `file:PATH` or `env:VARIABLE`. It is not kept.
    #[arg(long, value_name = "SOURCE")]
    pub token: Option<String>,
    /// Base URL of the forge's API; default: derived from forge and host.
    #[arg(long, value_name = "URL")]
    pub api: Option<url::Url>,
    /// Only print what would be removed.
    #[arg(long)]
    pub dry_run: bool,
}

/// `hookd import`
#[derive(Debug, Args)]
pub struct Import {
    /// hooks.json, hooks.yaml, snare.conf, webhookd's TOML, or the directory that Capistrano or Deployer deploys to.
    pub file: PathBuf,
    /// Write the configuration to this new file; default: standard output.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Write the secrets into this directory, mode 0600; default: `hookd` beside the output.
    #[arg(long, value_name = "DIRECTORY")]
    pub secrets: Option<PathBuf>,
    /// Where sites belong of which the file does not say where they are.
    #[arg(long, value_name = "DIRECTORY", default_value = "/srv")]
    pub sites: PathBuf,
    /// URL of the repository, if the file is about one and does not say it.
    #[arg(long)]
    pub url: Option<String>,
    /// What the file is; default: detected from its name and content.
    #[arg(long, value_enum)]
    pub format: Option<ImportFormat>,
}

/// What `hookd import` reads.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum ImportFormat {
    /// adnanh/webhook's hooks.json.
    WebhookJson,
    /// adnanh/webhook's hooks.yaml.
    WebhookYaml,
    /// snare.conf.
    Snare,
    /// webhookd's TOML.
    Webhookd,
    /// A directory of Capistrano or Deployer.
    Releases,
}

/// `hookd demo`
#[derive(Debug, Args)]
pub struct Demo {
    /// Exit after everything was shown once.
    #[arg(long)]
    pub once: bool,
}

/// `hookd explain`
#[derive(Debug, Args)]
pub struct Explain {
    /// File with the payload, `-` for standard input, or the id of a stored delivery.
    pub payload: String,
    /// A header of the delivery.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub headers: Vec<String>,
    /// The forge that sent it; default: detected from headers and payload.
    #[arg(long)]
    pub forge: Option<String>,
}

/// `hookd send`
#[derive(Debug, Args)]
pub struct Send {
    /// The repo, by its name in the configuration.
    #[arg(add = ArgValueCandidates::new(complete::repos))]
    pub repo: String,
    /// URL to send to; default: the address that hookd listens on.
    #[arg(long)]
    pub url: Option<String>,
    /// The ref that was pushed; default: the first that a target follows.
    #[arg(long = "ref")]
    pub git_ref: Option<String>,
    /// The commit that was pushed; default: the remote's tip.
    #[arg(long)]
    pub commit: Option<String>,
    /// Send this payload instead of a generated one.
    #[arg(long, value_name = "FILE")]
    pub payload: Option<PathBuf>,
    /// Print a curl line instead of sending.
    #[arg(long)]
    pub print: bool,
}

/// `hookd status`
#[derive(Debug, Args)]
pub struct Status {
    /// Exit with 1 if a target has a problem.
    #[arg(long)]
    pub check: bool,
    /// Refresh it until Ctrl-C.
    #[arg(short, long)]
    pub watch: bool,
}

/// Commands that list.
#[derive(Debug, Args)]
pub struct List {
    /// Only this target, `repo/target`, or all targets of this repo.
    #[arg(add = ArgValueCandidates::new(complete::repos_and_targets))]
    pub target: Option<String>,
    /// Most entries to list.
    #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
}

/// `hookd deliveries`
#[derive(Debug, Args)]
pub struct Deliveries {
    /// Only this repo.
    #[arg(add = ArgValueCandidates::new(complete::repos))]
    pub repo: Option<String>,
    /// Only those with this result.
    #[arg(long, value_parser = ["accepted", "ignored", "pong", "duplicate", "rejected"])]
    pub result: Option<String>,
    /// Also show the forge's ids.
    #[arg(long)]
    pub ids: bool,
    /// Most entries to list.
    #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
}

/// `hookd logs`
#[derive(Debug, Args)]
pub struct Logs {
    /// Number of a deployment, or a target for its newest.
    #[arg(add = ArgValueCandidates::new(complete::deployments_and_targets))]
    pub what: Option<String>,
    /// Follow the log until the deployment ends.
    #[arg(short, long)]
    pub follow: bool,
}

/// Commands on one target.
#[derive(Debug, Args)]
pub struct OneTarget {
    /// `repo/target`, or `repo` if it has one target.
    #[arg(add = ArgValueCandidates::new(complete::targets))]
    pub target: String,
}

/// `hookd deploy`, `hookd retry`
#[derive(Debug, Args)]
pub struct Deploy {
    /// `repo/target`, or `repo` if it has one target.
    #[arg(add = ArgValueCandidates::new(complete::targets))]
    pub target: String,
    /// The branch or tag, for targets that follow a pattern.
    #[arg(long = "ref")]
    pub git_ref: Option<String>,
    /// Don't wait for the deployment to end.
    #[arg(long)]
    pub no_wait: bool,
}

/// `hookd rollback`
#[derive(Debug, Args)]
pub struct Rollback {
    /// `repo/target`, or `repo` if it has one target.
    #[arg(add = ArgValueCandidates::new(complete::targets))]
    pub target: String,
    /// The release; default: the previous good one.
    #[arg(add = ArgValueCandidates::new(complete::releases))]
    pub release: Option<String>,
    /// Don't wait for the deployment to end.
    #[arg(long)]
    pub no_wait: bool,
}

/// `hookd replay`
#[derive(Debug, Args)]
pub struct Replay {
    /// The forge's id of the delivery, or its number in `hookd deliveries`.
    #[arg(add = ArgValueCandidates::new(complete::deliveries))]
    pub delivery: String,
    /// Don't wait for the deployment to end.
    #[arg(long)]
    pub no_wait: bool,
}

/// `hookd user`
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add a user. The password is asked for on a terminal, and read from standard input elsewhere.
    Add {
        /// The name to log in with.
        name: String,
        /// What the user may: `view` looks at everything, `act` also deploys, rolls back, pauses and the like.
        #[arg(long, value_parser = ["view", "act"])]
        role: String,
    },
    /// List the users.
    List,
    /// Give a user another password, which ends the sessions of the old one.
    Password {
        /// The name.
        name: String,
    },
    /// Remove a user, and end the sessions.
    Remove {
        /// The name.
        name: String,
    },
}

/// `hookd token`
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token, and print it alone on the last line; only its hash is kept.
    Add {
        /// What to call it.
        name: String,
        /// What it may: `view`, or `deploy:` and a target, as in `deploy:shop/*`.
        #[arg(long, value_name = "SCOPE")]
        may: String,
    },
    /// List the tokens.
    List,
    /// Remove a token: it stops working at once.
    Remove {
        /// Its name.
        name: String,
    },
}

/// `hookd audit`
#[derive(Debug, Args)]
pub struct Audit {
    /// At most so many.
    #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
}
