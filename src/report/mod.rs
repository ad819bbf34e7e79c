//! Tells the forge what became of each push: the status of the commit, and the deployment to an environment.
//!
//! What is to be shown follows from the store (`wanted`), at any time and after any crash; what the forge was told is kept
//! beside it. So only the newest state is sent, one after the other for each commit, and never an older one last.

mod wanted;

use std::collections::HashMap;
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;

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
pub async fn run(world: World, settings: watch::Receiver<Settings>) {
    let mut reporter = Reporter {
        world,
        quiet: HashMap::new(),
        forgot: None,
    };
    loop {
        let now = settings.borrow().clone();
        if let Err(error) = reporter.round(&now).await {
            tracing::warn!(%error, "what the forge is to be told could not be read");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

struct Reporter {
    world: World,
    /// Repos whose forge asked for a pause.
    quiet: HashMap<RepoName, Timestamp>,
    forgot: Option<Timestamp>,
}

impl Reporter {
    async fn round(&mut self, settings: &Settings) -> Result<(), StoreError> {
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
        }
        for row in store.reports_due(now).await? {
            let repo = config.repos.get(&row.key.target.repo);
            match repo.filter(|repo| !kinds(config, repo).is_empty()) {
                Some(repo) if self.quiet.get(&repo.name).is_some_and(|until| *until > now) => {}
                Some(repo) => self.tell(settings, repo, row).await?,
                None => store.report_refused(row.key, "reports are off".to_owned()).await?,
            }
        }
        Ok(())
    }

    async fn tell(&mut self, settings: &Settings, repo: &Repo, row: ReportRow) -> Result<(), StoreError> {
        let store = self.world.store.clone();
        let Ok(shown) = serde_json::from_str::<Shown>(&row.wanted) else {
            return store
                .report_refused(row.key, "written by another version".to_owned())
                .await;
        };
        let done = match self.api(settings, repo).await {
            Ok(api) => send(&api, &row, &shown).await,
            Err(error) => Err(error),
        };
        let what = format!("{} of {}", row.wanted_kind(), repo.name);
        let key = row.key;
        match done {
            Ok(remote_id) => store.reported(key, row.wanted, remote_id).await,
            Err(Failed { error, remote_id }) => {
                if let (Some(id), None) = (remote_id, row.remote_id) {
                    // The deployment is made; only its state is missing.
                    store.reported(key.clone(), json!(null).to_string(), Some(id)).await?;
                }
                self.later(repo, key, &what, row.attempt, &error).await
            }
        }
    }

    async fn later(
        &mut self,
        repo: &Repo,
        key: ReportKey,
        what: &str,
        attempt: u32,
        error: &ApiError,
    ) -> Result<(), StoreError> {
        let store = &self.world.store;
        let hint = error.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
        // The forge may have revoked an App's token before its time: another one is made, once.
        let renewed = error.status == Some(401) && self.world.tokens.forget(&repo.full_name) && attempt == 0;
        let wait = match error.refusal {
            Refusal::Permanent if renewed => FIRST_WAIT,
            Refusal::Permanent => {
                tracing::error!("the {what} is not reported: {error}{hint}");
                return store.report_refused(key, format!("{error}{hint}")).await;
            }
            Refusal::Passing => FIRST_WAIT
                .saturating_mul(2_u32.saturating_pow(attempt))
                .min(LONGEST_WAIT),
            Refusal::Limited(pause) => {
                self.quiet.insert(repo.name.clone(), clock::now().after(pause));
                pause
            }
        };
        tracing::warn!(
            "the {what} is not reported yet: {error}; retrying in {} s",
            wait.as_secs()
        );
        store.report_later(key, clock::now().after(wait)).await
    }

    async fn api(&self, settings: &Settings, repo: &Repo) -> Result<Api, Failed> {
        let token = token(settings, repo, &self.world.tokens).await?;
        let base = settings.config.api_of(repo).and_then(|(_, api)| api.url.as_ref());
        Ok(Api::new(repo, base, token)?)
    }
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

/// The token of the configuration, or one of the App's.
async fn token(settings: &Settings, repo: &Repo, tokens: &Tokens) -> Result<Secret, ApiError> {
    let Some(found) = settings.config.api_of(repo) else {
        return Err(ApiError::unusable("no `[forge.NAME]` has a token".to_owned()));
    };
    let mut permissions = json!({ "statuses": "write" });
    if kinds(&settings.config, repo).contains(&Reporting::Deployment) {
        permissions["deployments"] = json!("write");
    }
    tokens
        .get(found, &settings.secrets, &repo.full_name, &permissions)
        .await
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
    let token = token(settings, repo, &Tokens::default()).await?;
    let base = settings.config.api_of(repo).and_then(|(_, api)| api.url.as_ref());
    let api = Api::new(repo, base, token)?;
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
    Ok(format!("the forge took the status `{context}` on {}", commit.short()))
}
