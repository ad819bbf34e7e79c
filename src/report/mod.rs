//! Tells the forge what became of each push: the status of the commit, and the deployment to an environment.
//!
//! What is to be shown follows from the store (`wanted`), at any time and after any crash; what the forge was told is kept
//! beside it. So only the newest state is sent, one after the other for each commit, and never an older one last.

mod wanted;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use crate::clock;
use crate::config::{Config, Repo, Reporting};
use crate::deploy::World;
use crate::forge_api::{
    Api, ApiError, CommitStatus, DeploymentState, NewDeployment, Refusal, State, Tokens, has_deployments, has_statuses,
};
use crate::model::{CommitId, GitRef, RefKind, RepoName, Secret, TargetId, Timestamp};
use crate::store::{ReportKey, ReportRow, StoreError};
use crate::worker::Settings;

use wanted::{DEPLOYMENT, STATUS, Shown};

/// Pause between two looks.
const PAUSE: Duration = Duration::from_secs(1);

/// How old an outcome may be that the forge was never told: an outage of a day is made good.
const AGE_MAX: Duration = Duration::from_hours(24);

/// How long what was told is remembered; after that the commit is not told of again.
const KEEP: Duration = Duration::from_hours(90 * 24);

/// How often what is too old is forgotten.
const FORGET_EVERY: Duration = Duration::from_hours(1);

/// First pause before a report is sent again; it doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_secs(2);

/// Longest pause between two tries.
const LONGEST_WAIT: Duration = Duration::from_mins(10);

/// A report is in trouble after so many tries: most hiccups are over by then.
const TROUBLE_AFTER: u32 = 3;

/// Most repos whose reports are sent at once: enough that a few forges that do not answer hold up nobody, and few enough for a small
/// machine's memory, since each connection reads the system's certificates.
const AT_ONCE: usize = 16;

/// What a repo's forge is told, as the configuration has it and the forge can show it.
pub fn kinds(config: &Config, repo: &Repo) -> Vec<Reporting> {
    let Some((_, api)) = config.api_of(repo) else {
        return Vec::new();
    };
    let wanted = repo.report.clone().unwrap_or_else(|| vec![Reporting::Status]);
    let can = |report: &Reporting| match report {
        Reporting::Status => has_statuses(api.kind),
        Reporting::Deployment => has_deployments(api.kind),
    };
    wanted.into_iter().filter(can).collect()
}

/// Tells, for ever.
pub async fn run(world: World, mut settings: watch::Receiver<Settings>) {
    let mut reporter = Reporter {
        world,
        settings: settings.clone(),
        sending: JoinSet::new(),
        busy: HashMap::new(),
        quiet: HashMap::new(),
        forgot: None,
    };
    // What the forge refused may have another token since the last daemon.
    settings.mark_changed();
    loop {
        let (now, is_new) = {
            let seen = settings.borrow_and_update();
            (seen.clone(), seen.has_changed())
        };
        if let Err(error) = reporter.round(&now, is_new).await {
            tracing::warn!(%error, "could not work out which statuses and deployments to report");
            if is_new {
                settings.mark_changed();
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

struct Reporter {
    world: World,
    settings: watch::Receiver<Settings>,
    /// A task for each repo whose reports are being sent; it gives until when the forge asked for a pause.
    sending: JoinSet<(RepoName, Option<Timestamp>)>,
    busy: HashMap<RepoName, AbortHandle>,
    /// Repos whose forge asked for a pause.
    quiet: HashMap<RepoName, Timestamp>,
    forgot: Option<Timestamp>,
}

impl Reporter {
    async fn round(&mut self, settings: &Settings, is_new: bool) -> Result<(), StoreError> {
        let config = &settings.config;
        if config.repos.values().all(|repo| kinds(config, repo).is_empty()) {
            return Ok(());
        }
        let (store, now) = (self.world.store.clone(), clock::now());
        if self.forgot.is_none_or(|last| now.since(last) > FORGET_EVERY) {
            store.forget_reports(now.before(KEEP)).await?;
            self.forgot = Some(now);
        }
        let progress = store.progress_since(now.before(AGE_MAX)).await?;
        for repo in config.repos.values() {
            let kinds = kinds(config, repo);
            let concerned = |id: &TargetId| progress.iter().any(|p| p.target == *id);
            for target in repo
                .targets
                .values()
                .filter(|target| !kinds.is_empty() && concerned(&target.id))
            {
                let known = store.reports(&target.id).await?;
                let wanted = wanted::of_target(config, target, &kinds, &progress, &known);
                store.want_reports(wanted, now).await?;
            }
            if is_new && !kinds.is_empty() {
                let since = now.before(AGE_MAX);
                store
                    .retry_with_access(&repo.name, access(settings, repo), since)
                    .await?;
            }
        }
        self.send_due(now).await
    }

    /// Starts to send the reports of each repo that has some due. A forge that does not answer holds up its own repo alone.
    async fn send_due(&mut self, now: Timestamp) -> Result<(), StoreError> {
        while let Some(ended) = self.sending.try_join_next() {
            if let Ok((repo, Some(until))) = ended {
                self.quiet.insert(repo, until);
            }
        }
        self.busy.retain(|_, task| !task.is_finished());
        self.quiet.retain(|_, until| *until > now);
        for repo in self.world.store.repos_with_reports(now).await? {
            if self.busy.len() >= AT_ONCE {
                break;
            }
            if !self.busy.contains_key(&repo) && !self.quiet.contains_key(&repo) {
                let sender = Sender {
                    world: self.world.clone(),
                    settings: self.settings.clone(),
                    name: repo.clone(),
                };
                let name = repo.clone();
                let task = self.sending.spawn(async move {
                    let until = sender.send_all().await.unwrap_or_else(|error| {
                        tracing::warn!(%error, "a report could not be read or noted");
                        None
                    });
                    (name, until)
                });
                self.busy.insert(repo, task);
            }
        }
        Ok(())
    }
}

/// Sends the reports of one repo.
struct Sender {
    world: World,
    settings: watch::Receiver<Settings>,
    name: RepoName,
}

impl Sender {
    /// One after the other, each as it is wanted by then; gives until when the forge wants to be left alone.
    async fn send_all(&self) -> Result<Option<Timestamp>, StoreError> {
        let store = &self.world.store;
        while let Some(row) = store.next_report(&self.name, clock::now()).await? {
            let settings = self.settings.borrow().clone();
            let config = &settings.config;
            let repo = config.repos.get(&self.name).map(Arc::clone);
            let Some(repo) = repo.filter(|repo| !kinds(config, repo).is_empty()) else {
                // Nobody's access: with any it is told.
                let nobodys = Some(String::new());
                store
                    .report_refused(row.key, "reports are off".to_owned(), nobodys)
                    .await?;
                continue;
            };
            if let Some(until) = self.tell(&settings, &repo, row).await? {
                return Ok(Some(until));
            }
        }
        Ok(None)
    }

    async fn tell(&self, settings: &Settings, repo: &Repo, row: ReportRow) -> Result<Option<Timestamp>, StoreError> {
        let store = &self.world.store;
        let Ok(shown) = serde_json::from_str::<Shown>(&row.wanted) else {
            let why = "written by another version".to_owned();
            store.report_refused(row.key, why, None).await?;
            return Ok(None);
        };
        let done = match self.api(settings, repo).await {
            Ok(api) => send(&api, &row, &shown).await,
            Err(error) => Err(error),
        };
        let what = format!("{} of {}", row.wanted_kind(), repo.name);
        let key = row.key;
        match done {
            Ok(remote_id) => store.reported(key, row.wanted, remote_id).await.map(|()| None),
            Err(Failed { error, remote_id }) => {
                if let (Some(id), None) = (remote_id, row.remote_id) {
                    // The deployment is made; only its state is missing.
                    store.reported(key.clone(), json!(null).to_string(), Some(id)).await?;
                }
                let failed = Tried {
                    what: &what,
                    attempt: row.attempt,
                    error: &error,
                };
                self.later(settings, repo, key, &failed).await
            }
        }
    }

    /// Notes what is to become of a report that was not taken; gives until when the forge wants to be left alone.
    async fn later(
        &self,
        settings: &Settings,
        repo: &Repo,
        key: ReportKey,
        tried: &Tried<'_>,
    ) -> Result<Option<Timestamp>, StoreError> {
        let Tried { what, attempt, error } = *tried;
        let store = &self.world.store;
        let hint = error.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
        // The forge may have revoked an App's token before its time, or the App has other rights by now: another one is made, once.
        let renewed = attempt == 0
            && error.refusal == Refusal::Permanent
            && matches!(error.status, Some(401 | 403))
            && self.world.tokens.forget(&repo.full_name);
        let wait = match error.refusal {
            Refusal::Permanent if renewed => FIRST_WAIT,
            Refusal::Permanent => {
                let used = access(settings, repo);
                // Another token may have come into force meanwhile.
                if error.is_about_access() && used != access(&self.settings.borrow(), repo) {
                    store.report_later(key, clock::now(), None).await?;
                    return Ok(None);
                }
                tracing::error!("the {what} is not reported: {error}{hint}");
                let access = error.is_about_access().then_some(used);
                store.report_refused(key, format!("{error}{hint}"), access).await?;
                return Ok(None);
            }
            Refusal::Passing => FIRST_WAIT
                .saturating_mul(2_u32.saturating_pow(attempt))
                .min(LONGEST_WAIT),
            Refusal::Limited(pause) => pause,
        };
        tracing::warn!(
            "the {what} is not reported yet: {error}; retrying in {} s",
            wait.as_secs()
        );
        let until = clock::now().after(wait);
        let trouble = (attempt + 1 >= TROUBLE_AFTER).then(|| format!("{error}; hookd keeps retrying"));
        store.report_later(key, until, trouble).await?;
        Ok(matches!(error.refusal, Refusal::Limited(_)).then_some(until))
    }

    async fn api(&self, settings: &Settings, repo: &Repo) -> Result<Api, Failed> {
        Ok(api(settings, repo, &self.world.tokens).await?)
    }
}

/// A report that was not taken.
struct Tried<'a> {
    what: &'a str,
    /// How often it was tried before.
    attempt: u32,
    error: &'a ApiError,
}

/// Why a report was not taken, and the deployment's number if it was made all the same.
struct Failed {
    error: ApiError,
    remote_id: Option<i64>,
}

impl From<ApiError> for Failed {
    fn from(error: ApiError) -> Self {
        Self { error, remote_id: None }
    }
}

/// The repo at its forge, as the token of the configuration sees it, or one of the App's.
async fn api(settings: &Settings, repo: &Repo, tokens: &Tokens) -> Result<Api, ApiError> {
    let Some(found) = settings.config.api_of(repo) else {
        return Err(ApiError::unusable("no `[forge.NAME]` has a token".to_owned()));
    };
    let mut permissions = json!({ "statuses": "write" });
    if kinds(&settings.config, repo).contains(&Reporting::Deployment) {
        permissions["deployments"] = json!("write");
    }
    let time = settings.config.limits.api_time;
    let token = tokens
        .get(found, &settings.secrets, &repo.full_name, &permissions, time)
        .await?;
    Api::new(repo, found.1.url.as_ref(), token, time)
}

/// A digest of how the repo's forge is reached: the token, and where it is shown. Only compared, and it tells nothing of the token.
fn access(settings: &Settings, repo: &Repo) -> String {
    let found = settings.config.api_of(repo);
    let token = found.and_then(|(name, _)| settings.secrets.forge.get(name));
    let mut digest = Sha256::new();
    digest.update(format!("{:?} {:?} {:?}", repo.full_name, repo.forge, found));
    digest.update(token.map_or(&[][..], Secret::expose));
    hex::encode(digest.finalize())
}

/// Sends one report; gives the number of the deployment at the forge.
async fn send(api: &Api, row: &ReportRow, shown: &Shown) -> Result<Option<i64>, Failed> {
    let git_ref = shown.git_ref.parse::<GitRef>();
    let (short, tag) = match &git_ref {
        Ok(git_ref) => (git_ref.short(), git_ref.kind() == RefKind::Tag),
        Err(_) => (shown.git_ref.as_str(), false),
    };
    if row.key.kind == STATUS {
        let status = CommitStatus {
            commit: &row.key.commit,
            git_ref: short,
            context: &context(&row.key),
            state: shown.state.as_status(),
            description: &shown.description,
            link: shown.link.as_deref(),
        };
        api.put_status(&status).await?;
        return Ok(None);
    }
    let id = if let Some(id) = row.remote_id {
        id
    } else {
        let new = NewDeployment {
            commit: &row.key.commit,
            git_ref: short,
            tag,
            environment: &shown.environment,
        };
        api.create_deployment(&new).await?
    };
    let state: DeploymentState = shown.state.as_deployment();
    let put = api.put_deployment(
        id,
        state,
        &shown.description,
        shown.link.as_deref(),
        shown.site.as_deref(),
    );
    put.await.map_err(|error| Failed {
        error,
        remote_id: Some(id),
    })?;
    Ok(Some(id))
}

/// `hookd/REPO/TARGET`
fn context(key: &ReportKey) -> String {
    format!("hookd/{}", key.target)
}

impl ReportRow {
    fn wanted_kind(&self) -> &'static str {
        if self.key.kind == DEPLOYMENT {
            "deployment"
        } else {
            "commit status"
        }
    }
}

/// Sets a status of its own on a commit, to try the token: gives what it said.
pub async fn test(settings: &Settings, repo: &Repo, commit: &CommitId, git_ref: &GitRef) -> Result<String, ApiError> {
    let api = api(settings, repo, &Tokens::default()).await?;
    let context = format!("hookd/{}/test", repo.name);
    let status = CommitStatus {
        commit,
        git_ref: git_ref.short(),
        context: &context,
        state: State::Success,
        description: "hookd can report here",
        link: None,
    };
    api.put_status(&status).await?;
    Ok(format!(
        "the forge accepted the status `{context}` on {}",
        commit.short()
    ))
}
