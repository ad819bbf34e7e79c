//! `hookd remove NAME`: removes everything that `hookd add` made.

use std::fs;
use std::io::{BufRead, ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use clap_complete::ArgValueCandidates;

use super::add::{Step, may_write, token};
use super::block_on;
use super::client::Client;
use super::complete;
use super::output::{self, Code, Failure};
use super::reload::{How, Reloaded, reload, running};
use crate::api::Status;
use crate::config::{self, Config, Repo};
use crate::exec;
use crate::forge_api::{Api, ApiError, Change};
use crate::machine::{self, Machine};
use crate::model::{RepoName, Secret};
use crate::release::Layout;
use crate::setup::{Directory, Header, Place};

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

/// Something that goes.
enum Part {
    /// With all that is in it.
    Whole(PathBuf),
    /// If it is empty.
    Empty(PathBuf),
}

impl Part {
    fn path(&self) -> &Path {
        match self {
            Self::Whole(path) | Self::Empty(path) => path,
        }
    }
}

/// What is to go.
struct Plan {
    name: RepoName,
    place: Place,
    config: Config,
    header: Header,
    /// Files besides the drop-in of the configuration.
    files: Vec<PathBuf>,
    /// Drop-ins of units, and polkit's rules.
    openings: Vec<Part>,
    /// What a purge takes away of the site.
    site: Vec<Part>,
}

/// Runs the command.
pub fn run(config: &Path, json: bool, options: &Remove) -> Result<ExitCode, Failure> {
    let token = options.token.as_deref().map(token).transpose()?;
    block_on(async {
        let plan = plan(config, options).await?;
        if options.dry_run {
            return show(&plan, &dry_run(&plan), json, &[]);
        }
        idle(&plan).await?;
        confirm(&plan, options)?;
        let mut steps = Vec::new();
        if let Some(token) = &token {
            steps.extend(at_the_forge(&plan, options, token).await?);
        }
        let reloaded = take_out(&plan, &mut steps).await?;
        for file in &plan.files {
            steps.push(gone(&Part::Whole(file.clone()))?);
        }
        for part in &plan.openings {
            steps.push(gone(part)?);
        }
        if !plan.openings.is_empty() {
            // What is gone opens nothing after the next start of its unit, whatever systemd says.
            drop(exec::ask("systemctl", &["daemon-reload"]).await);
        }
        for part in &plan.site {
            steps.push(gone(part)?);
        }
        let directories = plan.repo()?.targets.values().map(|target| target.path.clone());
        let mut next = left(&plan, &directories.collect::<Vec<_>>(), token.is_some());
        if reloaded == Reloaded::NotAllowed {
            next.insert(0, "let the daemon read it: sudo systemctl reload hookd".to_owned());
        }
        show(&plan, &steps, json, &next)
    })
}

impl Plan {
    fn repo(&self) -> Result<&Repo, Failure> {
        let repo = self.config.repos.get(&self.name).map(AsRef::as_ref);
        repo.ok_or_else(|| Failure::new(Code::NotFound, format!("there is no repo {}", self.name)))
    }
}

async fn plan(config_file: &Path, options: &Remove) -> Result<Plan, Failure> {
    let not_found = || Failure::new(Code::NotFound, format!("there is no repo {}", options.name));
    let name: RepoName = options.name.parse().map_err(|_| not_found())?;
    let machine = Machine::look(config_file, running(config_file).await).await;
    let place = Place::new(config_file, &machine)
        .ok_or_else(|| Failure::failed("the user that the unit runs hookd as does not exist"))?;
    let loaded = config::load(config_file).map_err(|report| {
        eprintln!("{report}\n");
        Failure::new(
            Code::Config,
            "the configuration is invalid, so hookd cannot tell which files belong to the repo",
        )
    })?;
    let repo = loaded.config.repos.get(&name).ok_or_else(|| {
        let known: Vec<&str> = loaded.config.repos.keys().map(RepoName::as_str).collect();
        not_found().hint(format!("there are: {}", known.join(", ")))
    })?;
    let fragment = place.fragment(&name);
    let foreign = || {
        Failure::failed(format!("hookd add did not make repo {name}")).hint(format!(
            "take [repo.{name}] out of the configuration by hand: {}",
            place.config.display()
        ))
    };
    let text = match fs::read_to_string(&fragment) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(foreign()),
        Err(error) => return Err(Failure::failed(format!("{}: {error}", fragment.display()))),
    };
    let header = Header::read(&text);
    if !header.ours {
        return Err(foreign());
    }
    may_write(&place)?;
    // What else stands in the file may be named by others, and what is left must hold without it.
    config::load_with(&place.config, &fragment, None).map_err(|report| {
        eprintln!("{report}\n");
        Failure::new(
            Code::Config,
            format!("removing repo {name} makes the configuration invalid; nothing was changed"),
        )
    })?;
    let own = [
        place.secret(&name),
        place.next_secret(&name),
        place.key(&name),
        place.public_key(&name),
        place.known_hosts(&name),
    ];
    let openings = if machine.managed() {
        openings(&loaded.config, repo)
    } else {
        Vec::new()
    };
    let site = if options.purge {
        site(&loaded.config, repo)
    } else {
        Vec::new()
    };
    Ok(Plan {
        files: own.into_iter().filter(|file| file.exists()).collect(),
        openings,
        site,
        header,
        place,
        config: loaded.config,
        name,
    })
}

/// What root has written for the commands of the repo alone, and for nobody else's.
fn openings(config: &Config, repo: &Repo) -> Vec<Part> {
    let mut files = Vec::new();
    let drop_ins = exec::drop_ins(config);
    for target in repo.targets.values() {
        let id = &target.id;
        files.push(machine::drop_in_file(&format!("{}-{}", id.repo, id.target)));
        files.extend(exec::reload_rule(target, "").map(|rule| rule.path));
        let of_target = format!("@{}@{}.service", id.repo, id.target);
        let own = drop_ins.iter().filter(|drop_in| drop_in.unit.ends_with(&of_target));
        files.extend(own.map(|drop_in| drop_in.path.clone()));
    }
    files.retain(|file| file.exists());
    let mut parts = Vec::new();
    for file in files {
        let directory = file.parent().filter(|parent| parent.to_string_lossy().contains('@'));
        let directory = directory.map(|directory| Part::Empty(directory.to_owned()));
        parts.push(Part::Whole(file));
        parts.extend(directory);
    }
    parts
}

/// What deployments made: releases, what they share, and the mirrors.
fn site(config: &Config, repo: &Repo) -> Vec<Part> {
    let mut all = Vec::new();
    for target in repo.targets.values() {
        let layout = Layout::new(&target.path);
        all.extend([layout.current_link(), layout.releases(), layout.shared()].map(Part::Whole));
        all.push(Part::Empty(target.path.clone()));
    }
    let mirrors = config.state_dir.join("mirrors");
    let of_repo = ["git", "git.lock", "submodules"].map(|kind| mirrors.join(format!("{}.{kind}", repo.name)));
    all.extend(of_repo.map(Part::Whole));
    all.retain(|part| fs::symlink_metadata(part.path()).is_ok());
    all
}

/// What runs has to end first.
async fn idle(plan: &Plan) -> Result<(), Failure> {
    let Ok(status) = Client::new(&plan.place.config).get::<Status>("/api/v1/status").await else {
        return Ok(());
    };
    let of_repo = format!("{}/", plan.name);
    let busy = status
        .targets
        .iter()
        .find(|target| target.target.starts_with(&of_repo) && target.running.is_some());
    match busy {
        Some(target) => Err(Failure::failed(format!("a deployment of {} runs", target.target))
            .hint(format!("wait for it, or: hookd cancel {}", target.target))),
        None => Ok(()),
    }
}

/// What is deleted with the site can't be had back, what people have uploaded included.
fn confirm(plan: &Plan, options: &Remove) -> Result<(), Failure> {
    if plan.site.is_empty() || options.yes {
        return Ok(());
    }
    let shown: Vec<String> = plan.site.iter().map(|part| part.path().display().to_string()).collect();
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(
            Failure::new(Code::Usage, format!("--purge deletes {}", shown.join(", ")))
                .hint("--yes confirms it".to_owned()),
        );
    }
    eprint!(
        "This deletes {}.\nType the name of the repo to go on: ",
        shown.join(", ")
    );
    // Without the question nobody answers; then nothing is deleted.
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    if read.is_ok() && answer.trim() == plan.name.as_str() {
        return Ok(());
    }
    Err(Failure::failed("nothing was changed"))
}

async fn at_the_forge(plan: &Plan, options: &Remove, token: &Secret) -> Result<Vec<Step>, Failure> {
    let failed =
        |error: ApiError| Failure::failed(format!("{}; nothing was changed here", error.message)).hint(error.hint);
    let time = plan.config.limits.api_time;
    let forge = Api::new(plan.repo()?, options.api.as_ref(), token.clone(), time).map_err(failed)?;
    let word = |change| if change == Change::Removed { "removed" } else { "absent" };
    let mut steps = Vec::new();
    if let Some(url) = &plan.header.webhook {
        let change = forge.remove_hook(url).await.map_err(failed)?;
        steps.push(Step::new(word(change), format!("webhook at the forge: {url}")));
    }
    if let Ok(public) = fs::read_to_string(plan.place.public_key(&plan.name)) {
        let change = forge.remove_key(public.trim()).await.map_err(failed)?;
        steps.push(Step::new(word(change), "deploy key at the forge"));
    }
    Ok(steps)
}

/// Takes the repo out of the configuration; puts it back if the daemon does not agree.
async fn take_out(plan: &Plan, steps: &mut Vec<Step>) -> Result<Reloaded, Failure> {
    let fragment = plan.place.fragment(&plan.name);
    // No drop-in by its name, and easily put back.
    let aside = PathBuf::from(format!("{}.removed", plan.name));
    let failed = |e: std::io::Error| Failure::failed(format!("{}: {e}", fragment.display()));
    let (directory, name) = Directory::of(&fragment).map_err(failed)?;
    let (fragment_here, aside_here) = (directory.entry(name), directory.entry(aside.as_os_str()));
    fs::rename(&fragment_here, &aside_here).map_err(failed)?;
    let reloaded = reload(&plan.place.config, How::Signal).await;
    if let Reloaded::Refused(why) = reloaded {
        fs::rename(&aside_here, &fragment_here).map_err(failed)?;
        reload(&plan.place.config, How::Signal).await;
        return Err(Failure::failed(format!(
            "the daemon refused the new configuration; nothing was changed: {why}"
        )));
    }
    fs::remove_file(&aside_here).map_err(failed)?;
    steps.push(Step::new("removed", fragment.display().to_string()));
    Ok(reloaded)
}

/// Deletes one thing, and never what a link on the way leads to: the directories may be hookd's user's, who could make one. The
/// target's own directory stays if something is in it that is not hookd's.
fn gone(part: &Part) -> Result<Step, Failure> {
    let path = part.path();
    let shown = path.display().to_string();
    let found = Directory::of(path).and_then(|(directory, name)| {
        let entry = directory.entry(name);
        fs::symlink_metadata(&entry).map(|about| (directory, entry, about))
    });
    let (_directory, entry, about) = match found {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Step::new("absent", shown)),
        Err(error) => return Err(Failure::failed(format!("{shown}: {error}"))),
    };
    let result = match part {
        Part::Whole(_) if about.is_dir() => fs::remove_dir_all(entry),
        Part::Whole(_) => fs::remove_file(entry),
        Part::Empty(_) => match fs::remove_dir(entry) {
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {
                return Ok(Step::new("there", format!("{shown} (with what hookd did not make)")));
            }
            result => result,
        },
    };
    result.map_err(|e| Failure::failed(format!("{shown}: {e}")))?;
    Ok(Step::new("removed", shown))
}

fn dry_run(plan: &Plan) -> Vec<Step> {
    let fragment = plan.place.fragment(&plan.name);
    let files = std::iter::once(fragment.as_path()).chain(plan.files.iter().map(PathBuf::as_path));
    let all = files
        .chain(plan.openings.iter().map(Part::path))
        .chain(plan.site.iter().map(Part::path));
    all.map(|path| Step::new("would go", path.display().to_string()))
        .collect()
}

fn left(plan: &Plan, directories: &[PathBuf], forge: bool) -> Vec<String> {
    let mut next = Vec::new();
    let there: Vec<String> = directories
        .iter()
        .filter(|path| path.exists())
        .map(|path| path.display().to_string())
        .collect();
    if !there.is_empty() && plan.site.is_empty() {
        next.push(format!("the site stays: {}", there.join(", ")));
    }
    if !forge {
        next.push("the webhook and the deploy key at the forge stay, until somebody takes them away there".to_owned());
    }
    next
}

fn show(plan: &Plan, steps: &[Step], json: bool, next: &[String]) -> Result<ExitCode, Failure> {
    if json {
        let report = serde_json::json!({ "repo": plan.name.as_str(), "steps": steps, "next": next });
        return output::json(&report);
    }
    output::line(&format!("repo {}:", plan.name));
    steps.iter().for_each(Step::show);
    for text in next {
        output::line(text);
    }
    Ok(ExitCode::SUCCESS)
}
