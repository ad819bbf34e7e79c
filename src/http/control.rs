//! The control listener: what is live, what ran, and what a person wants done.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;

use super::answer::{self, Answer};
use super::visitor::Visitor;
use super::{App, badge, etag, metrics, page, stream, wait};
use crate::api::{DeployRequest, Deployment, Query};
use crate::model::{Refusal, RefusalKind, TargetId};
use crate::operate::Act;
use crate::store::{Page, Store};

/// Largest request body on the control socket, bytes: a handful of names.
const BODY_MAX: usize = 64 * 1024;

/// Rows of a listing, if nothing else is asked for, and at most.
const ROWS: (usize, usize) = (20, 1000);

type Result<T> = std::result::Result<T, Refusal>;

/// The status of an error response.
fn status_of(kind: RefusalKind) -> StatusCode {
    match kind {
        RefusalKind::NotFound => StatusCode::NOT_FOUND,
        RefusalKind::Invalid => StatusCode::BAD_REQUEST,
        RefusalKind::Conflict => StatusCode::CONFLICT,
        RefusalKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        RefusalKind::Forbidden => StatusCode::FORBIDDEN,
    }
}

/// Answers a request on the control listener.
pub async fn answer(app: &Arc<App>, request: Request<Incoming>, visitor: &Visitor) -> Answer {
    let method = request.method().clone();
    let path = request.uri().path().trim_start_matches('/').to_owned();
    let parts: Vec<&str> = path.split('/').collect();
    let query: Query = url::form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes())
        .into_owned()
        .collect();
    if method == Method::POST && !same_origin(&request) {
        let error = "requests of web pages from elsewhere are refused";
        return answer::problem(StatusCode::FORBIDDEN, error, None);
    }
    if app.keeps_out(visitor, &method, &parts).await {
        return answer::problem(StatusCode::FORBIDDEN, &visitor.limits(), None);
    }
    let accepts = request.headers().get(http::header::ACCEPT);
    let for_people = parts[0] != "api" && accepts.is_some_and(|types| types.as_bytes().starts_with(b"text/html"));
    let result = match method {
        Method::GET | Method::HEAD => {
            let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
            let asked = page::Asked {
                parts: &parts,
                query: &query,
                last_event: header("last-event-id"),
            };
            match app.page(&asked).await {
                Ok(Some(page)) => Ok(page),
                Ok(None) => {
                    let found = app.get(&parts, &query).await;
                    found.map(|answer| etag::unless_known(request.headers(), answer))
                }
                Err(refusal) => Err(refusal),
            }
        }
        Method::POST => app.post(&parts, &query, request, visitor).await,
        _ => return answer::wrong_method("GET, POST"),
    };
    result.unwrap_or_else(|refusal| {
        let status = status_of(refusal.kind);
        if for_people {
            return page::error(status, &refusal.error, refusal.hint.as_deref());
        }
        answer::problem(status, &refusal.error, refusal.hint)
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
        return Some(answer::problem(StatusCode::FORBIDDEN, error, None));
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
    (!is_here).then(|| answer::problem(StatusCode::FORBIDDEN, error, None))
}

/// `GET /healthz`: whether the accept path works.
pub async fn healthz(app: &App, method: &Method) -> Answer {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return answer::wrong_method("GET, HEAD");
    }
    if app.health.is_well(&app.world.store).await {
        answer::with_type(StatusCode::OK, "text/plain; charset=utf-8", "ok\n")
    } else {
        answer::later(StatusCode::SERVICE_UNAVAILABLE, "the store can't be written", 10)
    }
}

/// How long the answer to whether the store can be written holds: each look is a write, and anybody may ask.
const HEALTH_HOLDS: Duration = Duration::from_secs(1);

/// The last look whether the store can be written. Who asks meanwhile waits for it, and has its answer, too.
#[derive(Default)]
pub struct Health(tokio::sync::Mutex<Option<(Instant, bool)>>);

impl Health {
    async fn is_well(&self, store: &Store) -> bool {
        let mut last = self.0.lock().await;
        if let Some((at, well)) = *last
            && at.elapsed() < HEALTH_HOLDS
        {
            return well;
        }
        let well = store.probe().await.is_ok();
        *last = Some((Instant::now(), well));
        well
    }
}

#[expect(clippy::unnecessary_wraps, reason = "every arm of the routes is a Result")]
fn ok(body: &impl serde::Serialize) -> Result<Answer> {
    Ok(etag::json(body, None))
}

async fn json_body<T: DeserializeOwned + Default>(request: Request<Incoming>) -> Result<T> {
    let limited = http_body_util::Limited::new(request.into_body(), BODY_MAX);
    let bytes = limited
        .collect()
        .await
        .map_err(|e| Refusal::new(RefusalKind::Invalid, e.to_string()))?
        .to_bytes();
    if bytes.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(&bytes).map_err(|e| Refusal::new(RefusalKind::Invalid, e.to_string()))
}

/// Where a list goes on, if it may: the same request, for what is older than the last row shown.
fn next(path: &str, query: &Query, before: Option<i64>) -> Option<String> {
    let before = before?.to_string();
    let mut link = url::form_urlencoded::Serializer::new(String::new());
    link.extend_pairs(query.iter().filter(|(name, _)| *name != "before"));
    link.append_pair("before", &before);
    Some(format!("{path}?{}", link.finish()))
}

pub(super) fn number(text: &str) -> Result<i64> {
    text.parse()
        .map_err(|_| Refusal::not_found(format!("{text} is not the number of a deployment")))
}

impl App {
    async fn get(self: &Arc<Self>, parts: &[&str], query: &Query) -> Result<Answer> {
        let overview = &self.overview;
        let limit = query
            .get("limit")
            .and_then(|l| l.parse().ok())
            .unwrap_or(ROWS.0)
            .min(ROWS.1);
        let before = query.get("before").and_then(|b| b.parse().ok());
        match *parts {
            ["badge", repo, file] => {
                let target = file
                    .strip_suffix(".svg")
                    .ok_or_else(|| Refusal::not_found("not found"))?;
                let target = self.operator.target(repo, target)?;
                let status = overview.status_of(&target).await?;
                let status = status.ok_or_else(|| Refusal::not_found(format!("there is no target {}", target.id)))?;
                Ok(badge::badge(&status))
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
            ["api", "v1", "status"] => ok(&overview.status().await?),
            ["api", "v1", "deployments"] => {
                let page = Page {
                    target: query.get("target").cloned(),
                    before,
                    limit,
                    ..Page::default()
                };
                let rows: Vec<Deployment> = overview.history(page).await?;
                let older = rows.last().filter(|_| rows.len() == limit).map(|row| row.id);
                Ok(etag::json(&rows, next("/api/v1/deployments", query, older).as_deref()))
            }
            ["api", "v1", "deployments", id] => ok(&overview.deployment(number(id)?).await?),
            ["api", "v1", "deployments", id, "log"] => self.log(number(id)?, query.contains_key("follow")).await,
            ["api", "v1", "jobs", id] => ok(&overview.job(number(id)?).await?),
            ["api", "v1", "deliveries"] => {
                let (repo, result) = (query.get("repo").cloned(), query.get("result").map(String::as_str));
                let (rows, older) = overview.deliveries(repo, result, before, limit).await?;
                Ok(etag::json(&rows, next("/api/v1/deliveries", query, older).as_deref()))
            }
            ["api", "v1", "tokens"] => ok(&self.operator.tokens().await?),
            ["api", "v1", "audit"] => {
                let rows = overview.audit(before, limit).await?;
                let older = rows.last().filter(|_| rows.len() == limit).map(|row| row.id);
                Ok(etag::json(&rows, next("/api/v1/audit", query, older).as_deref()))
            }
            ["api", "v1", "deliveries", id, "explain"] => ok(&overview.explanation(id).await?.1),
            ["api", "v1", "targets", repo, target, "releases"] => {
                ok(&overview.releases(&*self.operator.target(repo, target)?).await?)
            }
            _ => Err(Refusal::not_found("there is no such page")),
        }
    }

    async fn post(
        &self,
        parts: &[&str],
        query: &Query,
        request: Request<Incoming>,
        visitor: &Visitor,
    ) -> Result<Answer> {
        let operator = &self.operator;
        let wait = wait::asked_for(query)?;
        let forbidden = || Refusal::new(RefusalKind::Forbidden, visitor.limits());
        if let (["api", "v1", "targets", repo, target, "deploy"], Visitor::Token(..)) = (parts, visitor) {
            let target = format!("{repo}/{target}").parse::<TargetId>().ok();
            let by = target
                .as_ref()
                .and_then(|target| visitor.by(Some(target)))
                .ok_or_else(forbidden)?;
            let request: DeployRequest = json_body(request).await?;
            if request.git_ref.is_some() {
                let error = "a token chooses a target, and not what is deployed to it";
                return Err(Refusal::new(RefusalKind::Forbidden, error));
            }
            let target = operator.target(parts[3], parts[4])?;
            return self
                .awaited(operator.act(&by, &target, Act::Deploy(request)).await?, wait)
                .await;
        }
        let by = visitor.by(None).ok_or_else(forbidden)?;
        let asked = match *parts {
            ["api", "v1", "targets", repo, target, action] => {
                let target = operator.target(repo, target)?;
                let act = match action {
                    "deploy" => Act::Deploy(json_body(request).await?),
                    "retry" => Act::Retry(json_body(request).await?),
                    "rollback" => Act::Rollback(json_body(request).await?),
                    "cancel" => Act::Cancel,
                    "pause" => Act::Pause,
                    "resume" => Act::Resume,
                    _ => return Err(Refusal::not_found("not found")),
                };
                operator.act(&by, &target, act).await?
            }
            ["api", "v1", "notify", name, "test"] => operator.test_notify(name).await?,
            ["api", "v1", "repos", name, "report", "test"] => operator.test_report(name).await?,
            ["api", "v1", "deliveries", id, "replay"] => operator.replay(&by, id).await?,
            ["api", "v1", "tokens"] => {
                let token = operator.add_token(&by, json_body(request).await?).await?;
                return Ok(answer::json(StatusCode::CREATED, &token));
            }
            ["api", "v1", "tokens", name, "remove"] => operator.remove_token(&by, name).await?,
            _ => return Err(Refusal::not_found("not found")),
        };
        self.awaited(asked, wait).await
    }

    async fn readyz(&self) -> Answer {
        match self.world.store.probe().await {
            Err(error) => answer::problem(StatusCode::SERVICE_UNAVAILABLE, &error.to_string(), None),
            Ok(()) => answer::with_type(StatusCode::OK, "text/plain; charset=utf-8", "ok\n"),
        }
    }

    /// The log of a deployment; of one that never ran it is how it ended.
    async fn log(self: &Arc<Self>, id: i64, follow: bool) -> Result<Answer> {
        let deployment = self.overview.deployment(id).await?;
        let Some(place) = self.streams.place() else {
            return Ok(stream::too_many());
        };
        Ok(stream::log(&self.world, &deployment.row, follow, place).await)
    }
}
