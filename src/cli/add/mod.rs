//! `hookd add URL`: a new repo in one go.

mod confirm;
mod host_key;
mod make;
mod options;
mod plan;
mod rotate;
mod step;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;

use super::block_on;
use super::output::{self, Code, Failure};
use super::reload::{How, Reloaded, reload};
use crate::config::SecretSource;
use crate::doctor::three_lines;
use crate::forge_api::{Api, ApiError, Change, Hook};
use crate::model::Secret;
use crate::setup::{self, Made};
use confirm::{Arrivals, Confirmed, TEST_TIME};
use make::{dry_run, make, public_key};
pub(super) use options::Add;
pub(super) use plan::may_write;
use plan::{Plan, one, plan};
pub(super) use step::Step;

/// Where the forge delivers, as long as nobody has said it.
const NO_ADDRESS: &str = "https://YOUR.SERVER/hook/";

/// What `hookd add --json` prints.
#[derive(Serialize)]
struct Report {
    repo: String,
    target: String,
    /// Whether anything was not there before.
    changed: bool,
    /// Whether the daemon has it; null if none runs.
    in_force: Option<bool>,
    fragment: PathBuf,
    secret_file: PathBuf,
    public_key: Option<String>,
    host_key: Option<String>,
    webhook_url: String,
    steps: Vec<Step>,
    /// What is left to do, in words.
    next: Vec<String>,
}

/// Runs the command.
pub fn run(config: &Path, json: bool, options: &Add) -> Result<ExitCode, Failure> {
    if options.show_secret && (json || !std::io::stdout().is_terminal()) {
        return Err(
            Failure::new(Code::Usage, "--show-secret shows the secret on a terminal only")
                .hint("the file of the secret is named in the output".to_owned()),
        );
    }
    let token = options.token.as_deref().map(token).transpose()?;
    block_on(async {
        let plan = plan(config, json, options).await?;
        if token.is_some() && plan.fragment.webhook.is_none() {
            return Err(Failure::new(
                Code::Usage,
                "--token requires --hook-url, the address that the forge delivers to",
            )
            .hint("--hook-url https://blog.example.org".to_owned()));
        }
        if options.dry_run {
            return dry_run(&plan, json);
        }
        let (steps, changed) = make(&plan)?;
        finish(&plan, options, token, steps, changed, json).await
    })
}

/// `file:PATH` or `env:VAR`, as the configuration writes it; read, used and not kept.
pub(super) fn token(source: &str) -> Result<Secret, Failure> {
    let usage = || {
        Failure::new(Code::Usage, "--token says where the token is, not what it is")
            .hint("--token file:PATH, or --token env:VARIABLE".to_owned())
    };
    let parsed = match source.split_once(':') {
        Some(("file", path)) => SecretSource::File(path.into()),
        Some(("env", name)) => SecretSource::Env(name.to_owned()),
        _ => return Err(usage()),
    };
    let read = parsed.read(&|name| std::env::var_os(name)).map_err(Failure::failed)?;
    read.ok_or_else(usage)
}

/// The daemon, the forge, and what is told in the end.
async fn finish(
    plan: &Plan,
    options: &Add,
    token: Option<Secret>,
    mut steps: Vec<Step>,
    made: Made,
    json: bool,
) -> Result<ExitCode, Failure> {
    let name = plan.name.as_str();
    let changed = steps.iter().any(|step| step.state == "made");
    let how = if plan.opening.is_some() {
        How::Restart
    } else {
        How::Signal
    };
    let reloaded = reload(&plan.place.config, how).await;
    if let Reloaded::Refused(why) = reloaded {
        drop(made);
        // Back to what it was; the daemon kept that in force all the time.
        reload(&plan.place.config, how).await;
        return Err(Failure::failed(format!(
            "the daemon refused the new configuration; nothing was changed: {why}"
        )));
    }
    made.keep();
    let mut next = next(plan, &reloaded);
    let repo = one(&plan.config, &plan.name)?;
    let public = plan.fragment.ssh_key.as_deref().map(public_key).transpose()?;
    let time = plan.config.limits.api_time;
    let forge = token.map(|token| Api::new(repo, options.api.as_ref(), token, time));
    let forge = forge.transpose().map_err(|error| incomplete(name, error))?;
    let at_forge = forge.is_some();
    if let Some(forge) = &forge {
        let done = at_the_forge(plan, options, forge, public.as_deref()).await;
        // What is on this machine stays: once the token is right, the same command goes on.
        steps.extend(done.map_err(|error| incomplete(name, error))?);
    }
    if let (true, Some(forge), Some(url)) = (options.rotate, &forge, &plan.fragment.webhook) {
        steps.extend(rotate::rotate(plan, forge, url).await?);
    }
    let url = plan
        .fragment
        .webhook
        .clone()
        .unwrap_or_else(|| format!("{NO_ADDRESS}{name}"));
    if !at_forge {
        if let Some(public) = &public {
            next.push(format!(
                "at the forge, Settings > Deploy keys > Add deploy key, to read only:\n  Key           {public}"
            ));
        }
        next.push(three_lines(repo, &url));
    }
    let mut report = Report {
        repo: name.to_owned(),
        target: plan.target.to_string(),
        changed: changed || options.rotate,
        in_force: match reloaded {
            Reloaded::Yes => Some(true),
            Reloaded::NotAllowed => Some(false),
            _ => None,
        },
        fragment: plan.place.fragment(&plan.name),
        secret_file: plan.place.secret(&plan.name),
        public_key: public,
        host_key: plan.host_key.as_ref().map(|(line, _)| line.trim_end().to_owned()),
        webhook_url: url,
        steps,
        next,
    };
    let url = report.webhook_url.clone();
    let wait = reloaded == Reloaded::Yes && !options.no_wait;
    if json {
        if wait {
            let confirmed = confirm(plan, forge.as_ref(), &url, changed, true).await?;
            report.steps.extend(confirmed.steps);
            report.next.extend(confirmed.next);
        }
        return output::json(&report);
    }
    show(&report, options.show_secret)?;
    if wait {
        let confirmed = confirm(plan, forge.as_ref(), &url, changed, false).await?;
        confirmed.steps.iter().for_each(Step::show);
        confirmed.next.iter().for_each(|text| output::line(text));
    }
    output::line("\nwhat comes of it: hookd status; what may be missing: hookd doctor");
    Ok(ExitCode::SUCCESS)
}

fn next(plan: &Plan, reloaded: &Reloaded) -> Vec<String> {
    match reloaded {
        Reloaded::NotAllowed => vec!["let the daemon read it: sudo systemctl reload hookd".to_owned()],
        Reloaded::NotRunning if plan.machine.managed() => {
            vec!["start the daemon: systemctl enable --now hookd".to_owned()]
        }
        Reloaded::NotRunning => vec![format!(
            "start the daemon: hookd serve --config {}",
            plan.place.config.display()
        )],
        _ => Vec::new(),
    }
}

/// What is told if the forge refuses: what is on this machine stays.
fn incomplete(name: &str, error: ApiError) -> Failure {
    let hint = error.hint.unwrap_or_else(|| "run the same command again".to_owned());
    Failure::failed(format!(
        "repo {name} is set up here, but not at the forge: {}",
        error.message
    ))
    .hint(hint)
}

async fn at_the_forge(plan: &Plan, options: &Add, forge: &Api, public: Option<&str>) -> Result<Vec<Step>, ApiError> {
    let mut steps = Vec::new();
    let mut key_is_new = false;
    if let Some(public) = public {
        let change = key_at_the_forge(plan, forge, public).await?;
        key_is_new = change == Change::Made;
        steps.push(Step::new(word(change), "deploy key at the forge"));
    }
    if let Some(url) = &plan.fragment.webhook {
        let change = webhook_at_the_forge(plan, options, forge, url).await;
        if let (Err(_), true, Some(public)) = (&change, key_is_new, public) {
            // All or nothing: the next run makes it again. What is told is why there is no webhook.
            drop(forge.remove_key(public).await);
        }
        steps.push(Step::new(word(change?), format!("webhook at the forge: {url}")));
    }
    Ok(steps)
}

fn word(change: Change) -> &'static str {
    match change {
        Change::Made => "made",
        Change::Updated => "updated",
        _ => "there",
    }
}

async fn key_at_the_forge(plan: &Plan, forge: &Api, public: &str) -> Result<Change, ApiError> {
    let host = nix::unistd::gethostname().unwrap_or_default();
    // Some forges take a title once, and an older key may still be there.
    let print = setup::fingerprint(public).map_err(|error| ApiError::unusable(error.to_string()))?;
    let title = format!("hookd on {} ({}, {print})", host.to_string_lossy(), plan.name);
    forge.put_key(public, &title).await.map_err(|mut error| {
        if error.is_taken() {
            let (private, public) = (plan.place.key(&plan.name), plan.place.public_key(&plan.name));
            error.hint = Some(format!(
                "another repository or account has that key, and the forge takes each once: remove it there; or have another one made: \
                 rm {} {}, and run the same command again",
                private.display(),
                public.display()
            ));
        }
        error
    })
}

async fn webhook_at_the_forge(plan: &Plan, options: &Add, forge: &Api, url: &str) -> Result<Change, ApiError> {
    let file = plan.place.secret(&plan.name);
    let failed = |error| ApiError::unusable(format!("{}: {error}", file.display()));
    let secret = setup::read(&file).map_err(failed)?;
    let secret = Secret::new(secret.trim_end().as_bytes().to_vec());
    let hook = Hook { url, secret: &secret };
    // Whether the forge has the right secret shows in what it delivers.
    let is_right = !options.no_wait
        && !options.rotate
        && forge.looks_right(&hook).await? == Some(true)
        && delivers(plan, forge, url).await;
    if is_right {
        return Ok(Change::Same);
    }
    forge.put_hook(&hook).await.map_err(|mut error| {
        if error.is_taken() {
            error.hint = Some(format!(
                "the forge has a webhook to {url} and does not list it: delete it there, and run the same command again"
            ));
        }
        error
    })
}

/// Whether a test delivery of the forge is taken.
async fn delivers(plan: &Plan, forge: &Api, url: &str) -> bool {
    let mut arrivals = Arrivals::now(&plan.place.config, &plan.name);
    forge.test_hook(url).await.unwrap_or(false) && arrivals.one_within(TEST_TIME).await
}

/// Waits for what the set-up leads to; a second run finds it done.
async fn confirm(
    plan: &Plan,
    forge: Option<&Api>,
    url: &str,
    changed: bool,
    quiet: bool,
) -> Result<Confirmed, Failure> {
    let mut confirmed = Confirmed::default();
    if let Some(forge) = forge.filter(|_| changed) {
        confirm::delivery(plan, forge, url, &mut confirmed).await;
    }
    // A deploy key that nobody has let in yet reaches nothing.
    let reaches = plan.fragment.ssh_key.is_none() || forge.is_some();
    if changed && reaches {
        confirm::deployment(plan, quiet, &mut confirmed).await?;
        confirm::status(plan, &mut confirmed).await?;
    }
    Ok(confirmed)
}

fn show(report: &Report, secret: bool) -> Result<(), Failure> {
    output::line(&format!("repo {}:", report.repo));
    report.steps.iter().for_each(Step::show);
    if !report.changed {
        output::line("nothing was changed here: it is all there");
    } else if report.in_force == Some(true) {
        output::line("the daemon has read it");
    }
    for text in &report.next {
        output::line(&format!("\n{text}"));
    }
    if secret {
        let text = setup::read(&report.secret_file);
        let text = text.map_err(|e| Failure::failed(format!("{}: {e}", report.secret_file.display())))?;
        output::line(&format!("\nthe secret: {}", text.trim_end()));
    }
    Ok(())
}
