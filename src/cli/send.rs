//! `hookd send`: a push delivery, made and signed as the forge would, and posted.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use clap_complete::ArgValueCandidates;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::client::Client;
use super::complete;
use super::output::{self, Code, Failure};
use super::{act, block_on};
use crate::api::{Asked, Deployment, Job, QueuedJob};
use crate::clock;
use crate::config::{ForgeKind, Listen, RefFilter, Repo, SecretSource};
use crate::daemon::read_settings;
use crate::deploy::access;
use crate::exec::quoted;
use crate::forge::{self, CannotSign, Sample, Signing};
use crate::git::Git;
use crate::model::{CommitId, DeliveryId, GitRef, RepoName};
use crate::worker::Settings;

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

/// Longest wait for the daemon's answer: the shortest that a forge has.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// Deployments among which the commit before the sent one is looked for.
const LOOKED_THROUGH: usize = 50;

/// What is sent where.
struct Delivery {
    url: Url,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// Runs the command.
pub fn run(file: &Path, json: bool, options: &Send) -> Result<ExitCode, Failure> {
    let (settings, _) = read_settings(file).map_err(|text| {
        eprintln!("{text}\n");
        Failure::new(
            Code::Config,
            format!("{} is not a usable configuration", file.display()),
        )
    })?;
    let name = options.repo.parse().ok();
    let repo = name.and_then(|name| settings.config.repos.get(&name)).ok_or_else(|| {
        let known: Vec<&str> = settings.config.repos.keys().map(RepoName::as_str).collect();
        Failure::new(Code::NotFound, format!("there is no repo {}", options.repo))
            .hint(format!("there are: {}", known.join(", ")))
    })?;
    block_on(async {
        let delivery = make(file, &settings, repo, options).await?;
        if options.print {
            output::line(&curl(&delivery));
            return Ok(ExitCode::SUCCESS);
        }
        post(&delivery, &Client::new(file), json).await
    })
}

async fn make(file: &Path, settings: &Settings, repo: &Repo, options: &Send) -> Result<Delivery, Failure> {
    let kind = repo.forge.unwrap_or(ForgeKind::GitHub);
    let id = delivery_id()?;
    let body = if let Some(path) = &options.payload {
        std::fs::read(path).map_err(|e| Failure::failed(format!("{}: {e}", path.display())))?
    } else {
        let git_ref = chosen_ref(repo, options.git_ref.as_deref())?;
        let commit = match &options.commit {
            Some(commit) => commit
                .parse()
                .map_err(|e| Failure::new(Code::Usage, format!("{commit}: {e}")))?,
            None => tip(settings, repo, &git_ref).await?,
        };
        let before = previous(&Client::new(file), repo, &git_ref, &commit).await;
        let push = Sample {
            full_name: &repo.full_name,
            git_ref: &git_ref,
            before: &before,
            after: &commit,
            id: &id,
            generic: Some(&repo.generic),
        };
        forge::sample_push(kind, &push)
    };
    let secret = settings.secrets.webhook.get(&repo.name).and_then(|all| all.first());
    if secret.is_none() && !repo.secret.contains(&SecretSource::InsecureNone) {
        return Err(Failure::failed(CannotSign::PrivateKey.to_string()));
    }
    let with = Signing {
        id: &id,
        now: clock::now(),
        generic: Some(&repo.generic),
        auth_header: repo.auth_header.as_deref(),
    };
    let headers = forge::sign(kind, secret, &body, &with).map_err(|e| Failure::failed(e.to_string()))?;
    Ok(Delivery {
        url: address(settings, repo, options.url.as_deref())?,
        headers,
        body,
    })
}

/// A random UUID, version 4: what GitHub's delivery ids look like.
pub(super) fn delivery_id() -> Result<DeliveryId, Failure> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|e| Failure::failed(format!("no random numbers: {e}")))?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex::encode(bytes);
    let text = format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    );
    text.parse().map_err(|e| Failure::failed(format!("{e}")))
}

fn chosen_ref(repo: &Repo, named: Option<&str>) -> Result<GitRef, Failure> {
    let wrong = |e: crate::model::GitRefError| Failure::new(Code::Usage, e.to_string());
    if let Some(named) = named {
        return if named.starts_with("refs/") {
            named.parse()
        } else {
            GitRef::branch(named)
        }
        .map_err(wrong);
    }
    let exact = repo.targets.values().find_map(|target| match &target.refs {
        RefFilter::Branches(patterns) => patterns.iter().find(|p| p.is_exact()).map(|p| GitRef::branch(&p.text)),
        RefFilter::Tags(tags) => tags
            .patterns
            .iter()
            .find(|p| p.is_exact())
            .map(|p| GitRef::tag(&p.text)),
    });
    exact
        .ok_or_else(|| Failure::new(Code::Usage, "which ref was pushed?").hint("--ref main".to_owned()))?
        .map_err(wrong)
}

/// What the remote has: the push that is announced should be a true one.
async fn tip(settings: &Settings, repo: &Repo, git_ref: &GitRef) -> Result<CommitId, Failure> {
    let git = Git::new("/proc/self/exe".into(), Duration::from_secs(20), Duration::from_mins(1));
    let mut access = access(&settings.config, &settings.secrets, repo);
    access.follows = None;
    let refs = git.ls_remote(&access, &CancellationToken::new()).await.map_err(|e| {
        Failure::failed(format!("{}: {}", repo.remote.url, e.message)).hint("name the commit with --commit".to_owned())
    })?;
    let found = refs.into_iter().find(|r| r.name == git_ref.as_str());
    found
        .map(|r| r.object)
        .ok_or_else(|| Failure::new(Code::NotFound, format!("{} has no {git_ref}", repo.remote.url)))
}

/// Where the ref was before, as far as the daemon's history tells; zeros, as for a new ref, if it does not.
async fn previous(client: &Client, repo: &Repo, git_ref: &GitRef, after: &CommitId) -> CommitId {
    let mut found = Vec::new();
    for target in repo.targets.values() {
        let path = format!("/api/v1/deployments?limit={LOOKED_THROUGH}&target={}", target.id);
        let rows: Vec<Deployment> = client.get(&path).await.unwrap_or_default();
        found.extend(rows.into_iter().filter(|row| row.git_ref == git_ref.as_str()));
    }
    found.sort_by_key(|row| std::cmp::Reverse(row.id));
    let commits = found.into_iter().filter_map(|row| row.commit?.parse::<CommitId>().ok());
    commits
        .into_iter()
        .find(|commit| commit != after)
        .unwrap_or_else(CommitId::zero)
}

fn address(settings: &Settings, repo: &Repo, named: Option<&str>) -> Result<Url, Failure> {
    let base = match named {
        Some(url) => url.to_owned(),
        None => match settings
            .config
            .listen
            .iter()
            .find_map(|l| if let Listen::Tcp(a) = l { Some(a) } else { None })
        {
            Some(address) => format!("http://{address}/hook/{}", repo.name),
            None => {
                return Err(Failure::new(Code::Usage, "the daemon does not listen on TCP").hint("--url URL".to_owned()));
            }
        },
    };
    base.parse()
        .map_err(|e| Failure::new(Code::Usage, format!("{base}: {e}")))
}

/// A curl line that sends the same bytes. The signature in it is good for this body alone.
fn curl(delivery: &Delivery) -> String {
    let headers: Vec<String> = delivery
        .headers
        .iter()
        .map(|(name, value)| format!("-H {}", quoted(&format!("{name}: {value}"))))
        .collect();
    let body = quoted(&String::from_utf8_lossy(&delivery.body));
    format!(
        "curl -sS {} --data-binary {body} {}",
        headers.join(" "),
        quoted(delivery.url.as_str())
    )
}

/// Posts the delivery and tells what was answered; on a terminal, also what becomes of its jobs.
async fn post(delivery: &Delivery, client: &Client, json: bool) -> Result<ExitCode, Failure> {
    let sent = crate::web::post(&delivery.url, &delivery.headers, delivery.body.clone(), ANSWER_TIME).await;
    let answer = sent.map_err(|error| {
        Failure::new(Code::Unreachable, format!("{} can't be reached", delivery.url)).cause(error.to_string())
    })?;
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let status = answer.status;
    if json {
        output::json(&json!({ "http_status": status, "answer": body }))?;
    } else {
        output::line(&format!("{status} {}", output::printable(&body.to_string())));
    }
    if !answer.is_success() {
        return Ok(ExitCode::from(Code::Failed as u8));
    }
    if !json && std::io::stdout().is_terminal() {
        return follow(client, &body).await;
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows what the jobs print and how they end, if the daemon that took them is the one here.
async fn follow(client: &Client, answer: &serde_json::Value) -> Result<ExitCode, Failure> {
    let jobs: Vec<QueuedJob> = serde_json::from_value(answer["jobs"].clone()).unwrap_or_default();
    let [first, ..] = jobs.as_slice() else {
        return Ok(ExitCode::SUCCESS);
    };
    let known: Option<Job> = client.get(&format!("/api/v1/jobs/{}", first.id)).await.ok();
    if known.is_none_or(|job| job.target != first.target) {
        return Ok(ExitCode::SUCCESS);
    }
    let asked = Asked {
        status: "accepted".to_owned(),
        jobs,
        message: String::new(),
        ..Asked::default()
    };
    act::end(client, asked, false, false).await
}
