//! `POST /hook/{repo}` and `POST /hook`: reads the request, lets the intake take the delivery, and answers with a status.

use std::net::IpAddr;

use http::{HeaderMap, Method, Request, StatusCode};
use hyper::body::Incoming;
use serde_json::json;

use super::answer::{self, Answer};
use super::body::{self, BodyError};
use super::{App, peer};
use crate::api::QueuedJob;
use crate::forge::{self, Delivery};
use crate::intake::{Arrival, Refusal, Refused, Taken};
use crate::model::RepoName;
use crate::store::DeliveryResult;

/// Seconds after which a sender may try again when nothing can be stored.
const RETRY_STORE: u64 = 30;

/// Seconds after which a sender may try again whose forge's addresses are not known yet: by then they were asked for again.
const RETRY_RANGES: u64 = 60;

/// Longest name of an encoding that is repeated, characters; the longest registered one is `x-compress`.
const ENCODING_MAX: usize = 20;

/// Answers `POST /hook/{repo}` (with the repo's name) and `POST /hook` (without). `authenticated` is called once the
/// sender has shown that it holds a secret.
pub async fn receive(
    app: &App,
    request: Request<Incoming>,
    name: Option<String>,
    peer: Option<IpAddr>,
    authenticated: impl Fn() + Sync,
) -> Answer {
    if request.method() != Method::POST {
        return answer::wrong_method("POST");
    }
    let settings = app.settings();
    let from = peer::source(peer, request.headers(), &settings.config.http.trusted_proxies);
    let (head, incoming) = request.into_parts();
    let name = name.as_deref();
    let refused = |reason| app.refuse(from, name, &head.headers, reason);
    if !acceptable_type(&head.headers) {
        refused("neither JSON nor form");
        return answer::error(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "send application/json or application/x-www-form-urlencoded",
        );
    }
    if let Some(encoding) = content_encoding(&head.headers) {
        refused("content encoding not supported");
        let error = format!("the body is encoded ({encoding}): send it as it is, without Content-Encoding");
        return answer::error(StatusCode::UNSUPPORTED_MEDIA_TYPE, &error);
    }
    let repo = name
        .and_then(|n| n.parse::<RepoName>().ok())
        .and_then(|n| settings.config.repos.get(&n));
    if let Some(Err(refusal)) = repo.map(|repo| app.intake.admit(repo, from)) {
        refused(refusal.counted());
        return refused_by(&refusal);
    }
    let read = match body::read(incoming, from, &settings.config.limits, &app.bodies).await {
        Ok(read) => read,
        Err(error) => return body_error(error, &refused),
    };
    if read.bytes.is_empty() {
        refused("empty body");
        return answer::error(StatusCode::BAD_REQUEST, "empty body");
    }
    if forge::unsupported_algorithm(&head.headers).is_some() {
        refused("signature algorithm not supported");
        return answer::error(StatusCode::NOT_IMPLEMENTED, "signature algorithm not supported");
    }
    let delivery = Delivery {
        headers: &head.headers,
        body: &read.bytes,
    };
    if forge::is_unsigned_ping(&delivery) {
        let test = Refused::claiming(name, &head.headers, "connection test, which is not signed");
        app.intake.rejections.note_test(from, &test);
        return answer::json(StatusCode::OK, &json!({ "status": "pong" }));
    }
    let arrival = Arrival {
        settings: &settings,
        from,
        repo: name,
        delivery,
        authenticated: &authenticated,
    };
    match app.intake.take(&arrival).await {
        Ok(taken) => app.taken(&taken),
        Err(refusal) => {
            app.metrics.rejected(refusal.counted());
            refused_by(&refusal)
        }
    }
}

/// JSON or a form; no type at all is taken for JSON, since some senders forget it.
fn acceptable_type(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(http::header::CONTENT_TYPE) else {
        return true;
    };
    let Ok(value) = value.to_str() else { return false };
    let kind = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json"
        || kind == "application/x-www-form-urlencoded"
        || (kind.starts_with("application/") && kind.ends_with("+json"))
}

/// The encoding of the body, if it has one. No forge sends any, so hookd reads none: unpacking what strangers send takes memory.
fn content_encoding(headers: &HeaderMap) -> Option<String> {
    let values = headers.get_all(http::header::CONTENT_ENCODING).into_iter();
    let named = values.map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_ascii_lowercase());
    let shown = |name: String| name.chars().filter(char::is_ascii_graphic).take(ENCODING_MAX).collect();
    named
        .filter(|name| !matches!(name.as_str(), "" | "identity"))
        .map(shown)
        .next()
}

fn body_error(error: BodyError, refused: &impl Fn(&'static str)) -> Answer {
    match error {
        BodyError::TooLarge => {
            refused("body too large");
            answer::error(StatusCode::PAYLOAD_TOO_LARGE, "body too large")
        }
        BodyError::NoMemory => {
            refused("too many large bodies at once");
            answer::later(
                StatusCode::SERVICE_UNAVAILABLE,
                "too many large bodies at once",
                RETRY_STORE,
            )
        }
        BodyError::NoSpace => {
            refused("no space for a large body");
            answer::later(StatusCode::SERVICE_UNAVAILABLE, "can't store right now", RETRY_STORE)
        }
        BodyError::Broken => {
            refused("malformed body");
            answer::error(StatusCode::BAD_REQUEST, "malformed body")
        }
        BodyError::TooSlow => {
            refused("body too slow");
            answer::later(StatusCode::REQUEST_TIMEOUT, "the body did not come in time", 1)
        }
    }
}

impl App {
    /// Counts and notes a delivery that does not get as far as the intake.
    fn refuse(&self, from: IpAddr, repo: Option<&str>, headers: &HeaderMap, reason: &'static str) {
        self.metrics.rejected(reason);
        self.intake
            .rejections
            .note(from, &Refused::claiming(repo, headers, reason));
    }

    fn taken(&self, taken: &Taken) -> Answer {
        self.metrics.delivery(taken.repo.name.as_str(), taken.word);
        let mut body = json!({ "status": taken.word, "delivery": taken.delivery });
        match taken.word {
            "accepted" => {
                let jobs: Vec<QueuedJob> = taken.accepted.jobs.iter().cloned().map(QueuedJob::from).collect();
                body["jobs"] = json!(jobs);
            }
            "pong" => {}
            _ => body["reason"] = json!(taken.accepted.reason),
        }
        let status = match taken.accepted.result {
            DeliveryResult::Accepted => StatusCode::ACCEPTED,
            DeliveryResult::Duplicate | DeliveryResult::Ignored => StatusCode::OK,
        };
        answer::json(status, &body)
    }
}

/// The answer to a delivery that the intake refused: one and the same for all that are not believed, whatever the reason.
fn refused_by(refusal: &Refusal) -> Answer {
    let text = refusal.to_string();
    match refusal {
        Refusal::Unauthorized(_) => answer::error(StatusCode::UNAUTHORIZED, "not authorized"),
        Refusal::Blocked(seconds) => answer::later(StatusCode::TOO_MANY_REQUESTS, &text, *seconds),
        Refusal::Forbidden => answer::error(StatusCode::FORBIDDEN, &text),
        Refusal::AddressesUnknown => answer::later(StatusCode::SERVICE_UNAVAILABLE, &text, RETRY_RANGES),
        Refusal::Malformed(_) => answer::error(StatusCode::BAD_REQUEST, &text),
        Refusal::NotStored(_) => answer::later(StatusCode::SERVICE_UNAVAILABLE, "can't store right now", RETRY_STORE),
    }
}
