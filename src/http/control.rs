//! The control listener: what is live, what ran, and what a person wants done.

use std::sync::Arc;

use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;

use super::answer::{self, Answer};
use super::api::{Asked, DeployRequest, Problem, Query, RollbackRequest};
use super::view::follows;
use super::{App, metrics, page, stream};
use crate::clock;
use crate::config::{QueueMode, RefFilter, Strategy, Target};
use crate::intake::NotReplayed;
use crate::model::{GitRef, TargetId};
use crate::store::{AcceptedJob, NewJob, Page, ReleaseState, Source, StoreError};

/// Largest request body on the control socket, bytes: a handful of names.
const BODY_MAX: usize = 64 * 1024;

/// Rows of a listing, if nothing else is asked for, and at most.
const ROWS: (usize, usize) = (20, 1000);

/// What can't be answered with what was asked for.
pub(super) struct Failure {
    status: StatusCode,
    error: String,
    hint: Option<String>,
}

type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self {
            status,
            error: error.into(),
            hint: None,
        }
    }

    pub(super) fn not_found(error: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, error)
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

/// Answers a request on the control listener.
pub async fn answer(app: &Arc<App>, request: Request<Incoming>) -> Answer {
    let method = request.method().clone();
    let path = request.uri().path().trim_start_matches('/').to_owned();
    let parts: Vec<&str> = path.split('/').collect();
    let query: Query = url::form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes())
        .into_owned()
        .collect();
    if method == Method::POST && !same_origin(&request) {
        return answer::error(
            StatusCode::FORBIDDEN,
            "requests of web pages from elsewhere are refused",
        );
    }
    let result = match method {
        Method::GET | Method::HEAD => app.get(&parts, &query).await,
        Method::POST => app.post(&parts, request).await,
        _ => return answer::wrong_method("GET, POST"),
    };
    result.unwrap_or_else(|failure| {
        let problem = Problem {
            status: "error".to_owned(),
            error: failure.error,
            hint: failure.hint,
        };
        answer::json(failure.status, &problem)
    })
}

/// A web page somewhere must not press buttons here through its visitor's browser.
fn same_origin(request: &Request<Incoming>) -> bool {
    request.headers().get("origin").is_none()
        && request
            .headers()
            .get("sec-fetch-site")
            .is_none_or(|site| site == "same-origin" || site == "none")
}

/// What a listener that every user of this machine can reach does not let through: all but looks, under a name of this machine. A
/// web page from elsewhere whose name was made to lead here (DNS rebinding) sees nothing.
pub fn refused_to_strangers(request: &Request<Incoming>) -> Option<Answer> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let error = "this address only shows; acting goes through the control socket: hookd --help";
        return Some(answer::error(StatusCode::FORBIDDEN, error));
    }
    let host = request
        .headers()
        .get(http::header::HOST)
        .and_then(|host| host.to_str().ok());
    let authority = host.and_then(|host| host.parse::<http::uri::Authority>().ok());
    let is_here = authority.is_some_and(|authority| {
        let name = authority.host().trim_matches(['[', ']']);
        name == "localhost" || name.parse::<std::net::IpAddr>().is_ok()
    });
    let error = "not asked for by this address; a proxy in front passes its own Host on, which nginx does by itself";
    (!is_here).then(|| answer::error(StatusCode::FORBIDDEN, error))
}

/// `GET /healthz`: whether the accept path works.
pub async fn healthz(app: &App, method: &Method) -> Answer {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return answer::wrong_method("GET, HEAD");
    }
    match app.world.store.probe().await {
        Ok(()) => answer::with_type(StatusCode::OK, "text/plain; charset=utf-8", "ok\n"),
        Err(_) => answer::later(StatusCode::SERVICE_UNAVAILABLE, "the store can't be written", 10),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "every arm of the routes is a Result")]
fn ok(body: &impl serde::Serialize) -> Result<Answer> {
    Ok(answer::json(StatusCode::OK, body))
}

async fn json_body<T: DeserializeOwned + Default>(request: Request<Incoming>) -> Result<T> {
    let limited = http_body_util::Limited::new(request.into_body(), BODY_MAX);
    let bytes = limited
        .collect()
        .await
        .map_err(|e| Failure::new(StatusCode::BAD_REQUEST, e.to_string()))?
        .to_bytes();
    if bytes.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(&bytes).map_err(|e| Failure::new(StatusCode::BAD_REQUEST, e.to_string()))
}

fn number(text: &str) -> Result<i64> {
    text.parse()
        .map_err(|_| Failure::not_found(format!("{text} is not the number of a deployment")))
}

impl App {
    async fn get(self: &Arc<Self>, parts: &[&str], query: &Query) -> Result<Answer> {
        let limit = query
            .get("limit")
            .and_then(|l| l.parse().ok())
            .unwrap_or(ROWS.0)
            .min(ROWS.1);
        match *parts {
            [""] => {
                let history = self.world.store.history(Page::newest(None, page::ROWS)).await?;
                let came = self.delivery_rows(None, page::ROWS).await?;
                Ok(page::overview(&self.status().await?, &history, &came))
            }
            ["style.css"] => Ok(page::style()),
            ["live.js"] => Ok(page::script()),
            ["targets", repo, target] => {
                let target = self.target(repo, target)?;
                let history = Page::newest(Some(target.id.to_string()), page::ROWS);
                let (releases, history) = (self.releases(&target).await?, self.world.store.history(history).await?);
                Ok(page::target(&self.status_of(&target).await?, &releases, &history))
            }
            ["deployments", id] => {
                let deployment = self.deployment(number(id)?).await?;
                let (lines, cut) = self.world.logs.tail(deployment.row.id, page::LOG_END)?;
                Ok(page::deployment(&deployment, &lines, cut))
            }
            ["deliveries", id] => {
                let (row, explanation) = self.explanation(id).await?;
                Ok(page::delivery(&row, &explanation))
            }
            ["healthz"] => Ok(healthz(self, &Method::GET).await),
            ["readyz"] => Ok(self.readyz().await),
            ["metrics"] => {
                let text = metrics::render(self).await?;
                Ok(answer::with_type(
                    StatusCode::OK,
                    "text/plain; version=0.0.4; charset=utf-8",
                    text,
                ))
            }
            ["api", "v1", "status"] => ok(&self.status().await?),
            ["api", "v1", "deployments"] => {
                let before = query.get("before").and_then(|b| b.parse().ok());
                ok(&self
                    .world
                    .store
                    .history(Page {
                        target: query.get("target").cloned(),
                        before,
                        limit,
                    })
                    .await?)
            }
            ["api", "v1", "deployments", id] => ok(&self.deployment(number(id)?).await?),
            ["api", "v1", "deployments", id, "log"] => self.log(number(id)?, query.contains_key("follow")).await,
            ["api", "v1", "jobs", id] => match self.world.store.job(number(id)?).await? {
                Some(job) => ok(&job),
                None => Err(Failure::not_found(format!("there is no job {id}"))),
            },
            ["api", "v1", "deliveries"] => ok(&self.delivery_rows(query.get("repo").cloned(), limit).await?),
            ["api", "v1", "deliveries", id, "explain"] => ok(&self.explanation(id).await?.1),
            ["api", "v1", "targets", repo, target, "releases"] => {
                ok(&self.releases(&*self.target(repo, target)?).await?)
            }
            _ => Err(Failure::not_found("not found")),
        }
    }

    async fn post(self: &Arc<Self>, parts: &[&str], request: Request<Incoming>) -> Result<Answer> {
        match *parts {
            ["api", "v1", "targets", repo, target, action] => {
                let target = self.target(repo, target)?;
                match action {
                    "deploy" => self.deploy(&target, json_body(request).await?, Source::Deploy).await,
                    "retry" => self.deploy(&target, json_body(request).await?, Source::Retry).await,
                    "rollback" => self.rollback(&target, json_body(request).await?).await,
                    "cancel" => self.cancel(&target).await,
                    "pause" => self.pause(&target, true).await,
                    "resume" => self.pause(&target, false).await,
                    _ => Err(Failure::not_found("not found")),
                }
            }
            ["api", "v1", "deliveries", id, "replay"] => self.replay(id).await,
            _ => Err(Failure::not_found("not found")),
        }
    }

    fn target(&self, repo: &str, target: &str) -> Result<Arc<Target>> {
        let settings = self.settings();
        let id: std::result::Result<TargetId, _> = format!("{repo}/{target}").parse();
        let found = id
            .ok()
            .and_then(|id| settings.config.target(&id).map(|(_, target)| Arc::clone(target)));
        found.ok_or_else(|| {
            let known: Vec<String> = settings
                .config
                .repos
                .values()
                .flat_map(|r| r.targets.values())
                .map(|t| t.id.to_string())
                .collect();
            Failure::not_found(format!("there is no target {repo}/{target}"))
                .hint(format!("there are: {}", known.join(", ")))
        })
    }

    async fn readyz(&self) -> Answer {
        match (self.world.store.probe().await, self.reload_error.borrow().clone()) {
            (Err(error), _) => answer::error(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
            (Ok(()), _) => answer::with_type(StatusCode::OK, "text/plain; charset=utf-8", "ok\n"),
        }
    }

    /// The log of a deployment; of one that never ran it is how it ended.
    async fn log(self: &Arc<Self>, id: i64, follow: bool) -> Result<Answer> {
        let Some((row, _)) = self.world.store.deployment(id).await? else {
            return Err(Failure::not_found(format!("there is no deployment {id}")));
        };
        Ok(stream::log(self, &row, follow).await)
    }

    /// The ref that a person means: the named one, the only one that the target follows, or what was live last.
    async fn chosen_ref(&self, target: &Target, named: Option<&str>) -> Result<GitRef> {
        let (RefFilter::Branches(patterns) | RefFilter::Tags(patterns)) = &target.refs;
        let make = |short: &str| {
            if short.starts_with("refs/") {
                return short.parse();
            }
            if matches!(target.refs, RefFilter::Tags(_)) {
                GitRef::tag(short)
            } else {
                GitRef::branch(short)
            }
        };
        let wrong = |e: crate::model::GitRefError| Failure::new(StatusCode::BAD_REQUEST, e.to_string());
        if let Some(named) = named {
            let git_ref = make(named).map_err(wrong)?;
            if crate::schedule::follows(&target.refs, &git_ref) {
                return Ok(git_ref);
            }
            return Err(Failure::new(
                StatusCode::BAD_REQUEST,
                format!("{} follows {}, not {git_ref}", target.id, follows(&target.refs)),
            ));
        }
        if let [only] = patterns.as_slice()
            && only.is_exact()
        {
            return make(&only.text).map_err(wrong);
        }
        let row = self.world.store.target(&target.id).await?;
        let (last, _) = self.world.store.latest(target.id.to_string()).await?;
        let known = row
            .live_ref
            .or(last.map(|row| row.git_ref))
            .and_then(|r| r.parse().ok());
        known.ok_or_else(|| {
            Failure::new(
                StatusCode::BAD_REQUEST,
                format!("{} follows {}: which one?", target.id, follows(&target.refs)),
            )
            .hint("name it with --ref")
        })
    }

    async fn deploy(&self, target: &Target, request: DeployRequest, source: Source) -> Result<Answer> {
        self.is_free(target).await?;
        let mut named = request.git_ref;
        if source == Source::Retry && named.is_none() {
            named = self
                .world
                .store
                .latest(target.id.to_string())
                .await?
                .0
                .map(|row| row.git_ref);
        }
        let git_ref = self.chosen_ref(target, named.as_deref()).await?;
        let job = NewJob {
            target: target.id.clone(),
            git_ref,
            wanted: None,
            source,
            pusher: None,
            release: None,
            keep_all: target.queue == QueueMode::All,
        };
        self.ask(vec![job]).await
    }

    async fn is_free(&self, target: &Target) -> Result<()> {
        let row = self.world.store.target(&target.id).await?;
        let why = match row.pinned {
            _ if !row.held() => return Ok(()),
            Some(release) => format!("{} is pinned to {release} by a rollback", target.id),
            None => format!("{} is paused", target.id),
        };
        Err(Failure::new(StatusCode::CONFLICT, why).hint(format!("hookd resume {}", target.id)))
    }

    async fn ask(&self, jobs: Vec<NewJob>) -> Result<Answer> {
        Ok(self.asked(self.world.store.request(jobs, clock::now()).await?))
    }

    /// The answer for jobs that wait now.
    fn asked(&self, jobs: Vec<AcceptedJob>) -> Answer {
        self.worker.wake();
        let asked = Asked {
            status: "accepted".to_owned(),
            jobs,
            message: String::new(),
        };
        answer::json(StatusCode::ACCEPTED, &asked)
    }

    async fn rollback(&self, target: &Target, request: RollbackRequest) -> Result<Answer> {
        if target.strategy == Strategy::InPlace {
            return Err(Failure::new(
                StatusCode::CONFLICT,
                format!("{} is deployed in place and keeps no releases", target.id),
            )
            .hint("revert the commit and push"));
        }
        let row = self.world.store.target(&target.id).await?;
        let kept = self.world.store.releases(&target.id).await?;
        let good: Vec<&str> = kept
            .iter()
            .filter(|r| r.state == ReleaseState::Good)
            .map(|r| r.name.as_str())
            .collect();
        let release = if let Some(wanted) = &request.release {
            good.iter().find(|name| *name == wanted).copied()
        } else {
            let live = row
                .live_release
                .as_deref()
                .and_then(|live| good.iter().position(|name| *name == live));
            good.get(live.map_or(0, |at| at + 1)).copied()
        };
        let Some(release) = release.map(ToOwned::to_owned) else {
            let what = request
                .release
                .map_or("there is no good release before the live one".to_owned(), |r| {
                    format!("there is no good release {r}")
                });
            return Err(Failure::not_found(what).hint(format!("kept: {}", good.join(", "))));
        };
        if row.live_release.as_deref() == Some(&release) {
            return Err(Failure::new(
                StatusCode::CONFLICT,
                format!("release {release} is live already"),
            ));
        }
        let git_ref = kept
            .iter()
            .find(|r| r.name == release)
            .and_then(|r| r.git_ref.parse().ok());
        let git_ref = git_ref.ok_or_else(|| Failure::not_found("the release has no ref"))?;
        let job = NewJob {
            target: target.id.clone(),
            git_ref,
            wanted: None,
            source: Source::Rollback,
            pusher: None,
            release: Some(release.clone()),
            keep_all: true,
        };
        let jobs = self.world.store.request_rollback(job, release, clock::now()).await?;
        Ok(self.asked(jobs))
    }

    async fn cancel(&self, target: &Target) -> Result<Answer> {
        let waiting = self.world.store.cancel_waiting(target.id.clone(), clock::now()).await?;
        let running = self.worker.cancel(&target.id);
        let message = match (running, waiting) {
            (None, 0) => return Err(Failure::not_found(format!("nothing runs or waits for {}", target.id))),
            (Some(id), _) => format!("deployment {id} is being stopped"),
            (None, n) => format!("{n} waiting cancelled"),
        };
        ok(&Asked {
            status: "cancelled".to_owned(),
            jobs: Vec::new(),
            message,
        })
    }

    async fn pause(&self, target: &Target, paused: bool) -> Result<Answer> {
        self.world.store.set_paused(&target.id, paused).await?;
        let status = if paused { "paused" } else { "resumed" };
        if !paused {
            self.worker.wake();
            self.poller.look_soon(&target.id.repo);
        }
        ok(&Asked {
            status: status.to_owned(),
            jobs: Vec::new(),
            message: format!("{} is {status}", target.id),
        })
    }

    async fn replay(&self, id: &str) -> Result<Answer> {
        let replayed = self.intake.replay(&self.settings(), id).await?;
        let status = if replayed.jobs.is_empty() {
            "ignored"
        } else {
            "accepted"
        };
        let asked = Asked {
            status: status.to_owned(),
            message: if replayed.jobs.is_empty() {
                replayed.reason
            } else {
                String::new()
            },
            jobs: replayed.jobs,
        };
        let code = if asked.jobs.is_empty() {
            StatusCode::OK
        } else {
            StatusCode::ACCEPTED
        };
        Ok(answer::json(code, &asked))
    }
}

impl From<NotReplayed> for Failure {
    fn from(error: NotReplayed) -> Self {
        match error {
            NotReplayed::Unknown(id) => no_delivery(&id),
            NotReplayed::NoRepo(_) => Self::not_found(error.to_string()),
            NotReplayed::NotUnderstood(why) => Self::new(StatusCode::CONFLICT, why.to_string()),
            NotReplayed::Store(error) => error.into(),
        }
    }
}

pub(super) fn no_delivery(id: &str) -> Failure {
    Failure::not_found(format!("there is no stored delivery {id}")).hint("hookd deliveries lists them")
}
