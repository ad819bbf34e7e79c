//! `hookd check`: every problem of the configuration; with `--remote` also of remotes, keys and directories.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use nix::unistd::{AccessFlags, eaccess};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::block_on;
use super::output::{self, Code, Failure};
use super::paint::{Tone, paint, width, wrapped};
use crate::access::{Users, UsersError};
use crate::config::{self, Config, Isolation, Repo, Secrets, Strategy, Target};
use crate::deploy::access;
use crate::doctor;
use crate::exec::{self, Units};
use crate::git::{Git, RemoteRef};
use crate::machine::{Account, Machine};

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

/// What `hookd check` found.
#[derive(Default, Serialize)]
struct Report {
    /// Whether the daemon would start with it.
    ok: bool,
    /// What keeps it from that.
    errors: Vec<Finding>,
    /// What it would start with all the same.
    warnings: Vec<Finding>,
    /// What was looked at and is well.
    passed: Vec<String>,
}

/// One finding.
#[derive(Serialize)]
struct Finding {
    /// In words, as shown.
    text: String,
    /// Where in the file, if it is about the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    diagnostic: Option<config::Diagnostic>,
}

impl From<config::Diagnostic> for Finding {
    fn from(diagnostic: config::Diagnostic) -> Self {
        Self {
            text: diagnostic.to_string(),
            diagnostic: Some(diagnostic),
        }
    }
}

impl From<String> for Finding {
    fn from(text: String) -> Self {
        Self { text, diagnostic: None }
    }
}

/// Runs the command.
pub fn run(file: &Path, json: bool, options: &Check) -> Result<ExitCode, Failure> {
    let mut report = Report::default();
    let found = config::examine(file);
    report.errors.extend(found.errors.into_iter().map(Finding::from));
    report.warnings.extend(found.warnings.into_iter().map(Finding::from));
    let mut bad_file = true;
    if let Some((config, secrets)) = found.usable {
        report.passed.push(summary(&config));
        look_at_isolation(&config, &mut report);
        look_at_users(&config, &mut report);
        bad_file = look_at_logins(&config, &mut report);
        bad_file |= look_at_reloads(file, &config, &mut report)?;
        let unsigned = crate::signature::problems(&config);
        report.errors.extend(unsigned.into_iter().map(Finding::from));
        if options.remote {
            block_on(async {
                look_around(&config, &secrets, &mut report).await;
                Ok(())
            })?;
        }
    }
    report.ok = report.errors.is_empty();
    show(&report, json, options.verbose)?;
    Ok(match (report.ok, bad_file) {
        (true, _) => ExitCode::SUCCESS,
        (false, true) => ExitCode::from(Code::Config as u8),
        (false, false) => ExitCode::from(Code::Failed as u8),
    })
}

fn summary(config: &Config) -> String {
    let targets: usize = config.repos.values().map(|repo| repo.targets.len()).sum();
    format!(
        "{}: {}, {}",
        config.file.display(),
        counted(config.repos.len(), "repo"),
        counted(targets, "target")
    )
}

/// `1 repo`, `2 repos`
fn counted(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// What commands will run as, as far as files tell; the daemon tries it, and says what came of it.
fn look_at_isolation(config: &Config, report: &mut Report) {
    let targets = || config.repos.values().flat_map(|repo| repo.targets.values());
    let Some(obstacle) = Units::obstacle() else {
        report
            .passed
            .push("commands run in units of systemd, if hookd's user may start them".to_owned());
        for drop_in in exec::drop_ins(config) {
            if std::fs::read_to_string(&drop_in.path).is_ok_and(|text| text == drop_in.text) {
                continue;
            }
            let text = format!(
                "the units {} lack what the configuration says of them; as root, write to {}\n\n{}\nand then run \
                 systemctl daemon-reload",
                drop_in.unit,
                drop_in.path.display(),
                drop_in.text
            );
            report.warnings.push(text.into());
        }
        return;
    };
    report
        .passed
        .push(format!("commands run as processes of the daemon: {obstacle}"));
    for target in targets() {
        if target.isolation == Some(Isolation::Systemd) {
            let text = format!("target {}: isolation = \"systemd\", but {obstacle}", target.id);
            report.warnings.push(text.into());
        } else if !target.network {
            let text = format!(
                "target {}: `network = false` requires `isolation = \"systemd\"`, but {obstacle}",
                target.id
            );
            report.warnings.push(text.into());
        }
    }
}

/// Whether those who may log in can; true if the file of users can't be used.
fn look_at_logins(config: &Config, report: &mut Report) -> bool {
    let users = config.http.login.as_ref().and_then(|login| login.users.as_ref());
    let Some(file) = users else { return false };
    let error = match Users::read(file) {
        Ok(users) if users.all().is_empty() => UsersError::Nobody(file.display().to_string()),
        Ok(users) => {
            report
                .passed
                .push(format!("{}: {}", file.display(), counted(users.all().len(), "user")));
            return false;
        }
        Err(error) => error,
    };
    let (message, hint) = (format!("nobody can log in: {error}"), error.hint());
    if error.is_only_empty() {
        let warning = config.warning_at("http.login.users", message, hint);
        report.warnings.push(warning.into());
        return false;
    }
    report
        .errors
        .push(config.error_at("http.login.users", 0, message, hint).into());
    true
}

/// A `run_as` that is no user of this machine fails each deployment.
fn look_at_users(config: &Config, report: &mut Report) {
    let targets = config.repos.values().flat_map(|repo| repo.targets.values());
    for (target, user) in targets.filter_map(|target| Some((target, target.run_as.as_ref()?))) {
        if Account::named(user).is_none() {
            let message = format!("`run_as`: there is no user {user} on this machine");
            let hint = format!("as root, type: useradd --system --shell /usr/sbin/nologin {user}");
            let key = format!("repo.{}.deploy.{}.run_as", target.id.repo, target.id.target);
            report
                .warnings
                .push(config.warning_at(&key, message, Some(hint)).into());
        }
    }
}

/// What each `reload` asks systemd for must be allowed to the daemon's user; says whether one is not.
fn look_at_reloads(file: &Path, config: &Config, report: &mut Report) -> Result<bool, Failure> {
    let machine = block_on(async { Ok(Machine::look(file, None).await) })?;
    let targets = config.repos.values().flat_map(|repo| repo.targets.values());
    for target in targets.filter(|target| !machine.systemd && exec::reload_rule(target, &machine.me.name).is_some()) {
        let message = "`reload` asks systemd, which does not run this machine".to_owned();
        let key = format!("repo.{}.deploy.{}.reload", target.id.repo, target.id.target);
        report.warnings.push(config.warning_at(&key, message, None).into());
    }
    let mut refused = false;
    for reload in doctor::reloads(config, &machine)
        .into_iter()
        .filter(|r| r.allowed == Some(false))
    {
        let message = format!(
            "`reload` asks systemd for {}, and no polkit rule lets {} do that",
            reload.units, reload.user
        );
        let hint = format!("as root, type\n    {}", reload.fix.join("\n    "));
        let key = format!("repo.{}.deploy.{}.reload", reload.target.repo, reload.target.target);
        report.errors.push(config.error_at(&key, 0, message, Some(hint)).into());
        refused = true;
    }
    Ok(refused)
}

/// Problems; what is well beside the file itself only with `verbose`.
fn show(report: &Report, json: bool, verbose: bool) -> Result<(), Failure> {
    if json {
        return output::json(report).map(|_| ());
    }
    for finding in report.errors.iter().chain(&report.warnings) {
        for line in finding.text.lines() {
            // What editors read, and what stands above carets, stays in one piece.
            let room = if line.starts_with("hint: ") { width() } else { None };
            for line in wrapped(line, "", room) {
                eprintln!("{line}");
            }
        }
        eprintln!();
    }
    let shown = if verbose { report.passed.len() } else { 1 };
    for text in report.passed.iter().take(shown) {
        output::line(&format!("{} {text}", paint(Tone::Good, "ok:")));
    }
    if !report.ok {
        anstream::eprintln!("hookd: error: {} found", counted(report.errors.len(), "problem"));
    }
    Ok(())
}

async fn look_around(config: &Config, secrets: &Secrets, report: &mut Report) {
    // A person waits: an answer within seconds is worth more than patience with a slow server.
    let git = Git::new("/proc/self/exe".into(), Duration::from_secs(20), Duration::from_mins(1));
    for repo in config.repos.values() {
        match git
            .ls_remote(&access(config, secrets, repo), &CancellationToken::new())
            .await
        {
            Ok(refs) => {
                report.passed.push(format!(
                    "repo {}: {} answers with {} refs",
                    repo.name,
                    repo.remote.url,
                    refs.len()
                ));
                for target in repo.targets.values() {
                    look_at_ref(repo, target, &refs, report);
                }
            }
            Err(error) => {
                let hint = error.hint.map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
                report
                    .errors
                    .push(format!("repo {}: {}: {}{hint}", repo.name, repo.remote.url, error.message).into());
            }
        }
        for target in repo.targets.values() {
            look_at_directory(target, report);
        }
    }
}

fn look_at_ref(repo: &Repo, target: &Target, refs: &[RemoteRef], report: &mut Report) {
    let found = refs
        .iter()
        .filter_map(|r| r.name.parse().ok())
        .filter(|r| target.refs.follows(r))
        .count();
    if found == 0 {
        report.warnings.push(
            format!(
                "target {}: no ref of {} is one that it follows",
                target.id, repo.remote.url
            )
            .into(),
        );
    }
}

fn look_at_directory(target: &Target, report: &mut Report) {
    if target.strategy == Strategy::InPlace {
        return;
    }
    // Nothing is made: what is not there yet is made by the daemon, as its own user.
    let there = target
        .path
        .ancestors()
        .find(|path| path.exists())
        .unwrap_or(&target.path);
    let rights = AccessFlags::W_OK | AccessFlags::X_OK;
    let found = match there.metadata() {
        Ok(about) if !about.is_dir() => Err(std::io::ErrorKind::NotADirectory.into()),
        Ok(_) => eaccess(there, rights).map_err(std::io::Error::from),
        Err(error) => Err(error),
    };
    match found {
        Ok(()) => report.passed.push(format!(
            "target {}: {} can be written",
            target.id,
            target.path.display()
        )),
        Err(error) => report
            .errors
            .push(format!("target {}: {}: {error}", target.id, there.display()).into()),
    }
}
