//! The command line: one file per command; the only place that prints.

mod act;
mod add;
mod ansi;
mod arguments;
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

use std::path::Path;
use std::process::ExitCode;

use clap::FromArgMatches;

use crate::config;

use arguments::{Arguments, Command, NotifyAction, ReportAction};
use output::{Code, Failure};
use runtime::block_on;

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
    clap_complete::CompleteEnv::with_factory(help::command)
        .var(complete::VARIABLE)
        .complete();
    paint::choose(std::env::args_os());
    let matches = help::command().color(paint::choice()).try_get_matches();
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
        Command::Notify {
            action: NotifyAction::Test { name },
        } => act::test(&config, json, &format!("/api/v1/notify/{}/test", client::part(&name))),
        Command::Report {
            action: ReportAction::Test { repo },
        } => act::test(
            &config,
            json,
            &format!("/api/v1/repos/{}/report/test", client::part(&repo)),
        ),
        Command::Completions { shell } => complete::script(shell),
        Command::Man { page } => man::run(page),
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
