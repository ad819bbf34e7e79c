//! The JSON API: each operation of the table of routes, with what it does.

use std::str::FromStr;
use std::sync::Arc;

use http::header::{ALLOW, HeaderValue};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;

use super::answer::{self, Answer};
use super::control::{self, number};
use super::visitor::{Deed, Visitor};
use super::{App, etag, stream, wait};
use crate::api::routes::{self, Change, Found, Kind, Look, NUMBER_MAX, Operation, Route};
use crate::api::{Asked, DeployRequest, Deployment, Query, description};
use crate::model::{Refusal, RefusalKind, TargetId};
use crate::operate::{Act, By};
use crate::store::Page;

/// Largest request body, bytes: a handful of names.
const BODY_MAX: usize = 64 * 1024;

/// Rows of a list, if nothing else is asked for, and at most.
const ROWS: (usize, usize) = (20, 1000);

type Result<T> = std::result::Result<T, Refusal>;

/// A request, as far as its route has been found.
struct Asks<'a> {
    route: &'static Route,
    /// What stands at the parameters of the path.
    values: Vec<String>,
    query: &'a Query,
    visitor: &'a Visitor,
}

impl Asks<'_> {
    fn value(&self, at: usize) -> &str {
        self.values.get(at).map_or("", String::as_str)
    }

    /// A parameter of the query, which [`checked`] has judged.
    fn parameter<T: FromStr>(&self, name: &str) -> Option<T> {
        self.query.get(name)?.parse().ok()
    }

    fn limit(&self) -> usize {
        self.parameter("limit").unwrap_or(ROWS.0).min(ROWS.1)
    }

    /// Where a list goes on, if it may: the same request, for what is older than the last row shown.
    fn next(&self, before: Option<i64>) -> Option<String> {
        let before = before?.to_string();
        let mut link = url::form_urlencoded::Serializer::new(String::new());
        link.extend_pairs(self.query.iter().filter(|(name, _)| *name != "before"));
        link.append_pair("before", &before);
        Some(format!("{}{}?{}", routes::BASE, self.route.path, link.finish()))
    }

    /// Under whose name an act is noted.
    fn by(&self, deed: Deed<'_>) -> Result<By> {
        let forbidden = || Refusal::new(RefusalKind::Forbidden, self.visitor.limits());
        self.visitor.by(deed).ok_or_else(forbidden)
    }
}

#[expect(clippy::unnecessary_wraps, reason = "every arm of the operations is a Result")]
fn ok(body: &impl serde::Serialize) -> Result<Answer> {
    Ok(etag::json(body, None))
}

fn invalid(error: impl Into<String>) -> Refusal {
    Refusal::new(RefusalKind::Invalid, error)
}

/// Refuses a parameter that is not as described.
fn checked(route: &Route, query: &Query) -> Result<()> {
    for parameter in route.query {
        let Some(text) = query.get(parameter.name) else {
            continue;
        };
        let wrong = match parameter.kind {
            Kind::Number => {
                let number = text.parse::<i64>().ok();
                (!number.is_some_and(|number| (1..=NUMBER_MAX).contains(&number)))
                    .then(|| format!("a whole number from 1 to {NUMBER_MAX}"))
            }
            Kind::Words(words) => (!words.contains(&text.as_str())).then(|| format!("one of: {}", words.join(", "))),
            Kind::Text | Kind::Pattern(_) => text.is_empty().then(|| "not empty".to_owned()),
        };
        if let Some(expected) = wrong {
            return Err(invalid(format!("`{}` must be {expected}", parameter.name)));
        }
    }
    Ok(())
}

/// What stands at the parameters of a path, decoded.
fn decoded(parts: Vec<&str>) -> Result<Vec<String>> {
    let decode = |part| {
        percent_decode_str(part)
            .decode_utf8()
            .ok()
            .map(std::borrow::Cow::into_owned)
    };
    let values: Option<Vec<String>> = parts.into_iter().map(decode).collect();
    values.ok_or_else(|| Refusal::not_found("the path is not UTF-8"))
}

impl App {
    /// Answers a request below `/api`.
    pub(super) async fn api(
        self: &Arc<Self>,
        request: Request<Incoming>,
        path: &str,
        query: &Query,
        visitor: &Visitor,
    ) -> Answer {
        let (route, parts) = match routes::find(request.method(), path) {
            Found::Route(route, parts) => (route, parts),
            Found::Other(allowed) => {
                let error = "this path takes other methods only";
                let mut answer = answer::problem(StatusCode::METHOD_NOT_ALLOWED, error, None);
                answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
                return answer;
            }
            Found::Nothing => {
                let hint = format!("{}/openapi.json describes all paths", routes::BASE);
                return answer::problem(StatusCode::NOT_FOUND, "the API has no such path", Some(hint));
            }
        };
        let asks = checked(route, query).and_then(|()| {
            let values = decoded(parts)?;
            Ok(Asks {
                route,
                values,
                query,
                visitor,
            })
        });
        let headers = request.headers().clone();
        let answered = match (asks, route.operation) {
            (Ok(asks), Operation::Look(look)) => self.look(look, &asks).await,
            (Ok(asks), Operation::Change(change)) => self.change(change, &asks, request).await,
            (Err(refusal), _) => Err(refusal),
        };
        answered.map_or_else(control::refused, |answer| etag::unless_known(&headers, answer))
    }

    /// The whole body of a request, within [`BODY_MAX`] and the time that any body has.
    pub(super) async fn body(&self, request: Request<Incoming>) -> Result<bytes::Bytes> {
        let limited = http_body_util::Limited::new(request.into_body(), BODY_MAX);
        let read = tokio::time::timeout(self.limits().body_time, limited.collect()).await;
        let read = read.map_err(|_| invalid("the body did not come in time"))?;
        Ok(read.map_err(|e| invalid(e.to_string()))?.to_bytes())
    }

    async fn json_body<T: DeserializeOwned + Default>(&self, request: Request<Incoming>) -> Result<T> {
        let bytes = self.body(request).await?;
        if bytes.is_empty() {
            return Ok(T::default());
        }
        // Serde takes a list for an object, field by field.
        let object: serde_json::Map<_, _> = serde_json::from_slice(&bytes).map_err(|e| invalid(e.to_string()))?;
        T::deserialize(serde_json::Value::Object(object)).map_err(|e| invalid(e.to_string()))
    }

    async fn look(self: &Arc<Self>, look: Look, asks: &Asks<'_>) -> Result<Answer> {
        let overview = &self.overview;
        let (before, limit) = (asks.parameter("before"), asks.limit());
        match look {
            Look::Description => ok(&description::document()),
            Look::Status => ok(&overview.status().await?),
            Look::Deployments => {
                let page = Page {
                    target: asks.parameter("target"),
                    before,
                    outcome: asks.parameter("outcome"),
                    limit,
                };
                let rows: Vec<Deployment> = overview.history(page).await?;
                let older = rows.last().filter(|_| rows.len() == limit).map(|row| row.id);
                Ok(etag::json(&rows, asks.next(older).as_deref()))
            }
            Look::Deployment => ok(&overview.deployment(number(asks.value(0))?).await?),
            Look::Log => {
                let follow = asks
                    .query
                    .get("follow")
                    .is_some_and(|follow| follow != "0" && follow != "false");
                self.log(number(asks.value(0))?, follow).await
            }
            Look::Job => ok(&overview.job(number(asks.value(0))?).await?),
            Look::Deliveries => {
                let result = asks.query.get("result").map(String::as_str);
                let (rows, older) = overview
                    .deliveries(asks.parameter("repo"), result, before, limit)
                    .await?;
                Ok(etag::json(&rows, asks.next(older).as_deref()))
            }
            Look::Explanation => ok(&overview.explanation(asks.value(0)).await?.1),
            Look::Releases => {
                let target = self.operator.target(asks.value(0), asks.value(1))?;
                ok(&overview.releases(&target).await?)
            }
            Look::Tokens => ok(&self.operator.tokens().await?),
            Look::Audit => {
                let rows = overview.audit(before, limit).await?;
                let older = rows.last().filter(|_| rows.len() == limit).map(|row| row.id);
                Ok(etag::json(&rows, asks.next(older).as_deref()))
            }
        }
    }

    async fn change(&self, change: Change, asks: &Asks<'_>, request: Request<Incoming>) -> Result<Answer> {
        let operator = &self.operator;
        let may_wait = asks.route.query.iter().any(|parameter| parameter.name == "wait");
        let wait = if may_wait { wait::asked_for(asks.query)? } else { None };
        let asked = match change {
            Change::Deploy => self.deploy(asks, request).await?,
            Change::Retry => {
                let by = asks.by(Deed::Act)?;
                self.on_target(asks, &by, Act::Retry(self.json_body(request).await?))
                    .await?
            }
            Change::Rollback => {
                let by = asks.by(Deed::Act)?;
                self.on_target(asks, &by, Act::Rollback(self.json_body(request).await?))
                    .await?
            }
            Change::Cancel => self.on_target(asks, &asks.by(Deed::Act)?, Act::Cancel).await?,
            Change::Pause => self.on_target(asks, &asks.by(Deed::Act)?, Act::Pause).await?,
            Change::Resume => self.on_target(asks, &asks.by(Deed::Act)?, Act::Resume).await?,
            Change::Replay => operator.replay(&asks.by(Deed::Act)?, asks.value(0)).await?,
            Change::TestNotify => operator.test_notify(&asks.by(Deed::Manage)?, asks.value(0)).await?,
            Change::TestReport => operator.test_report(&asks.by(Deed::Manage)?, asks.value(0)).await?,
            Change::AddToken => {
                let token = operator
                    .add_token(&asks.by(Deed::Manage)?, self.json_body(request).await?)
                    .await?;
                return Ok(answer::json(StatusCode::CREATED, &token));
            }
            Change::RemoveToken => operator.remove_token(&asks.by(Deed::Manage)?, asks.value(0)).await?,
        };
        self.awaited(asked, wait).await
    }

    async fn on_target(&self, asks: &Asks<'_>, by: &By, act: Act) -> Result<Asked> {
        let target = self.operator.target(asks.value(0), asks.value(1))?;
        self.operator.act(by, &target, act).await
    }

    /// The one act that a token may. Whether the target is there is nobody's business whose token does not cover it.
    async fn deploy(&self, asks: &Asks<'_>, request: Request<Incoming>) -> Result<Asked> {
        let named = format!("{}/{}", asks.value(0), asks.value(1)).parse::<TargetId>().ok();
        let by = match &named {
            Some(target) => asks.by(Deed::Deploy(target))?,
            None => asks.by(Deed::Act)?,
        };
        let request: DeployRequest = self.json_body(request).await?;
        if request.git_ref.is_some() && matches!(asks.visitor, Visitor::Token(..)) {
            let error = "a token chooses a target, and not what is deployed to it";
            return Err(Refusal::new(RefusalKind::Forbidden, error));
        }
        self.on_target(asks, &by, Act::Deploy(request)).await
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
