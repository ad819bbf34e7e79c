//! The command line: one file per command; the only place that prints.

mod act;
mod add;
mod ansi;
mod check;
mod client;
mod complete;
mod demo;
mod doctor;
mod explain;
mod follow;
mod help;
mod import;
mod lists;
mod logs;
mod man;
mod output;
mod paint;
mod plain;
mod reload;
mod remove;
mod runtime;
mod schema;
mod send;
mod serve;
mod status;
mod token;
mod user;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::config;

use output::{Code, Failure};
use runtime::block_on;

/// Deploy git repositories to this machine when their forge reports a push.
#[derive(Debug, Parser)]
#[command(name = "hookd", version, propagate_version = true, max_term_width = 100)]
struct Arguments {
    /// The configuration file.
    #[arg(
        long,
        global = true,
        env = "HOOKD_CONFIG",
        default_value = config::FILE,
        value_name = "FILE"
    )]
    config: PathBuf,
    /// Print JSON instead of text.
    #[arg(long, global = true)]
    json: bool,
    /// When to use colours.
    #[arg(long, global = true, value_enum, default_value_t = paint::Colour::Auto, value_name = "WHEN")]
    color: paint::Colour,
    /// What to do.
    #[command(subcommand)]
    command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon, in the foreground.
    Serve(serve::Serve),
    /// Read the configuration and report every problem.
    Check(check::Check),
    /// Set up a new repo: secret, deploy key, host key, directory and configuration; with a token also at the forge.
    Add(Box<add::Add>),
    /// Remove what `add` set up. The site stays, unless it is purged.
    Remove(Box<remove::Remove>),
    /// Make a configuration of that of another program: webhook, snare, webhookd, Capistrano or Deployer.
    Import(import::Import),
    /// Check everything that can be wrong on this machine, and print how to fix it.
    Doctor(doctor::Doctor),
    /// Show hookd at work on this machine: a site, a push, a signed webhook, a deployment, a rollback.
    Demo(demo::Demo),
    /// Explain what a delivery would do, and why.
    Explain(explain::Explain),
    /// Send a signed push delivery, as the forge would.
    Send(send::Send),
    /// Show what is live, running and pending, and each problem.
    Status(status::Status),
    /// List deployments.
    History(lists::List),
    /// List webhook deliveries.
    Deliveries(lists::Deliveries),
    /// List the releases of a target.
    Releases(act::OneTarget),
    /// Print the log of a deployment.
    Logs(logs::Logs),
    /// Deploy the tip of a target's ref.
    Deploy(act::Deploy),
    /// Retry what failed or was rolled back.
    Retry(act::Deploy),
    /// Roll back to an earlier release at once, and stay there until `resume`.
    Rollback(act::Rollback),
    /// Handle a stored delivery again, as if it had just arrived.
    Replay(act::Replay),
    /// Stop a target's running deployment, and drop pending ones.
    Cancel(act::OneTarget),
    /// Deploy nothing to a target until `resume`.
    Pause(act::OneTarget),
    /// Resume a paused or rolled-back target.
    Resume(act::OneTarget),
    /// Add, list and remove users who may log in on the page.
    User {
        /// What to do.
        #[command(subcommand)]
        command: user::UserCommand,
    },
    /// Make, list and remove tokens for programs that ask the status address.
    Token {
        /// What to do.
        #[command(subcommand)]
        command: token::TokenCommand,
    },
    /// Say who did what.
    Audit(lists::Audit),
    /// Print the JSON Schema of the configuration, for editors.
    Schema(schema::Schema),
    /// Test notifications.
    Notify {
        /// What to do.
        #[command(subcommand)]
        action: act::NotifyAction,
    },
    /// Test commit statuses.
    Report {
        /// What to do.
        #[command(subcommand)]
        action: act::ReportAction,
    },
    /// Print a completion script. It asks the daemon for targets, releases, deployments and deliveries.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print a manual page, in roff.
    Man {
        /// The page.
        #[arg(value_enum, default_value_t = man::ManPage::Hookd)]
        page: man::ManPage,
    },
}

/// What one wants, and the commands for it.
const GROUPS: [help::Group; 5] = [
    (
        "See",
        &[
            "status",
            "history",
            "deliveries",
            "releases",
            "logs",
            "explain",
            "audit",
        ],
    ),
    (
        "Act",
        &[
            "deploy", "retry", "rollback", "replay", "cancel", "pause", "resume", "send",
        ],
    ),
    (
        "Set up",
        &[
            "demo", "add", "remove", "import", "check", "doctor", "notify", "report", "user", "token",
        ],
    ),
    ("Run", &["serve"]),
    ("More", &["schema", "completions", "man", "help"]),
];

/// The command line: the one table from which `--help`, completions and the manual page are made.
fn command() -> clap::Command {
    help::grouped(Arguments::command(), &GROUPS)
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    if let Err(error) = crate::exec::close_memory() {
        return Failure::failed(format!("cannot make the process non-dumpable: {error}")).report();
    }
    // The hidden commands are how hookd starts itself as a child process; they come before anything else is set up.
    match std::env::args_os().nth(1) {
        Some(first) if first == crate::exec::SUBCOMMAND => return crate::exec::supervisor_main(),
        Some(first) if first == crate::git::SUBCOMMAND => return crate::git::worker_main(),
        _ => {}
    }
    clap_complete::CompleteEnv::with_factory(command)
        .var(complete::VARIABLE)
        .complete();
    paint::choose(std::env::args_os());
    let matches = command().color(paint::choice()).try_get_matches();
    let arguments = matches.and_then(|matches| Arguments::from_arg_matches(&matches));
    let arguments = arguments.unwrap_or_else(|error| help::with_one_suggestion(error).exit());
    match run(arguments) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let Arguments {
        config, json, command, ..
    } = arguments;
    require_named_file(&config, &command)?;
    match command {
        Command::Serve(options) => serve::run(&config, &options),
        Command::Check(options) => check::run(&config, json, &options),
        Command::Add(options) => add::run(&config, json, &options),
        Command::Remove(options) => remove::run(&config, json, &options),
        Command::Import(options) => import::run(&options),
        Command::Doctor(options) => doctor::run(&config, json, &options),
        Command::Demo(options) => demo::run(&options),
        Command::Explain(options) => explain::run(&config, json, &options),
        Command::Send(options) => send::run(&config, json, &options),
        Command::Status(options) => status::run(&config, json, &options),
        Command::History(options) => lists::history(&config, json, &options),
        Command::Deliveries(options) => lists::deliveries(&config, json, &options),
        Command::Releases(options) => lists::releases(&config, json, &options),
        Command::Logs(options) => logs::run(&config, json, &options),
        Command::Deploy(options) => act::deploy(&config, json, &options, "deploy"),
        Command::Retry(options) => act::deploy(&config, json, &options, "retry"),
        Command::Rollback(options) => act::rollback(&config, json, &options),
        Command::Replay(options) => act::replay(&config, json, &options),
        Command::Cancel(options) => act::simple(&config, json, &options, "cancel"),
        Command::Pause(options) => act::simple(&config, json, &options, "pause"),
        Command::User { command } => user::run(&config, json, &command),
        Command::Token { command } => token::run(&config, json, &command),
        Command::Audit(options) => lists::audit(&config, json, &options),
        Command::Resume(options) => act::simple(&config, json, &options, "resume"),
        Command::Schema(options) => schema::run(&options),
        Command::Notify { action } => act::notify(&config, json, &action),
        Command::Report { action } => act::report(&config, json, &action),
        Command::Completions { shell } => complete::script(shell),
        Command::Man { page } => man::run(page, Arguments::command()),
    }
}

/// A file that was named and is not there is a slip of the finger, also for commands that need nothing of it but where the
/// daemon is. Those that read all of it say so themselves.
fn require_named_file(file: &Path, command: &Command) -> Result<(), Failure> {
    let own_word = matches!(
        command,
        Command::Serve(_)
            | Command::Check(_)
            | Command::Add(_)
            | Command::Remove(_)
            | Command::Import(_)
            | Command::Doctor(_)
            | Command::Demo(_)
            | Command::User { .. }
            | Command::Schema(_)
            | Command::Completions { .. }
            | Command::Man { .. }
    );
    if own_word || file == Path::new(config::FILE) || file.exists() {
        return Ok(());
    }
    Err(
        Failure::new(Code::Config, format!("there is no configuration {}", file.display()))
            .hint("`--config FILE` or HOOKD_CONFIG names it".to_owned()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_names_each_command_once() {
        let help = command().render_help().to_string();
        for sub in Arguments::command().get_subcommands() {
            let name = format!("\n  {:<14}", sub.get_name());
            assert_eq!(help.matches(&name).count(), 1, "{name} in {help}");
        }
        for text in ["See:", "Act:", "Set up:", "Run:", "Examples:", "--config <FILE>"] {
            assert!(help.contains(text), "{text} is not in {help}");
        }
    }

    #[test]
    fn examples_are_commands_that_exist() {
        for (line, _) in help::EXAMPLES {
            let parsed = command().try_get_matches_from(line.split(' '));
            assert!(parsed.is_ok(), "{line}: {parsed:?}");
        }
    }
}
