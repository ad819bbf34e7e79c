//! The control listener: the API, the metrics and the status pages.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, Request, StatusCode};
use hyper::body::Incoming;

use super::answer::{self, Answer};
use super::visitor::{self, Visitor};
use super::{App, badge, metrics, page};
use crate::api::Query;
use crate::api::routes::{self, Found};
use crate::config::Http;
use crate::model::{Refusal, RefusalKind};
use crate::store::Store;

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
    let path = request.uri().path().to_owned();
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let query: Query = url::form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes())
        .into_owned()
        .collect();
    let settings = app.settings();
    let http = &settings.config.http;
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let for_people = parts[0] != "api" && header("accept").is_some_and(|types| types.starts_with("text/html"));
    let told = |refusal: Refusal| {
        if for_people {
            let status = status_of(refusal.kind);
            return page::error(visitor, status, &refusal.error, refusal.hint.as_deref());
        }
        refused(refusal)
    };
    if method == Method::POST && !visitor::same_origin(request.headers(), http) {
        let error = "requests of web pages from elsewhere are refused";
        return told(Refusal::new(RefusalKind::Forbidden, error));
    }
    if app.keeps_out(visitor, &method, &parts).await {
        return answer::problem(StatusCode::FORBIDDEN, &visitor.limits(), None);
    }
    if let (Visitor::Stranger(_), Some(login)) = (visitor, &http.login)
        && let Some(answer) = page::asks_to_log_in(login, &request, &parts)
    {
        return answer;
    }
    if parts[0] == "api" {
        return app.api(request, &path, &query, visitor).await;
    }
    let result = match method {
        Method::GET | Method::HEAD => {
            let asked = page::Asked {
                parts: &parts,
                query: &query,
                last_event: header("last-event-id"),
                visitor,
            };
            match app.page(&asked).await {
                Ok(Some(page)) => Ok(page),
                Ok(None) => app.other(&parts).await,
                Err(refusal) => Err(refusal),
            }
        }
        Method::POST => app.page_post(&parts, request, visitor).await,
        _ => return answer::wrong_method("GET, HEAD"),
    };
    result.unwrap_or_else(told)
}

/// The answer for a refusal, for programs.
pub(super) fn refused(refusal: Refusal) -> Answer {
    answer::problem(status_of(refusal.kind), &refusal.error, refusal.hint)
}

/// What a listener that every user of this machine can reach does not let through: all but looks, under a name of this machine. A
/// web page from elsewhere whose name was made to lead here (DNS rebinding) sees nothing.
pub fn refused_to_onlookers(request: &Request<Incoming>, http: &Http) -> Option<Answer> {
    if !visitor::is_addressed_here(request.headers(), http) {
        let error = "the Host header does not match this address; a proxy in front passes its own Host on, which nginx does by itself";
        return Some(answer::problem(StatusCode::FORBIDDEN, error, None));
    }
    let acts = *request.method() == Method::POST
        && !matches!(routes::find(request.method(), request.uri().path()), Found::Other(_));
    let error = "this address only shows; acting goes through the control socket: hookd --help";
    acts.then(|| answer::problem(StatusCode::FORBIDDEN, error, None))
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

pub(super) fn number(text: &str) -> Result<i64> {
    text.parse()
        .map_err(|_| Refusal::not_found(format!("{text} is not the number of a deployment")))
}

impl App {
    /// What is neither a page nor of the API.
    async fn other(&self, parts: &[&str]) -> Result<Answer> {
        match *parts {
            ["badge", repo, file] => {
                let target = file
                    .strip_suffix(".svg")
                    .ok_or_else(|| Refusal::not_found("not found"))?;
                let target = self.operator.target(repo, target)?;
                let status = self.overview.status_of(&target).await?;
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
            _ => Err(Refusal::not_found("there is no such page")),
        }
    }

    async fn readyz(&self) -> Answer {
        match self.world.store.probe().await {
            Err(error) => answer::problem(StatusCode::SERVICE_UNAVAILABLE, &error.to_string(), None),
            Ok(()) => answer::with_type(StatusCode::OK, "text/plain; charset=utf-8", "ok\n"),
        }
    }
}
