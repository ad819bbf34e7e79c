//! Answers: a status and a small JSON object.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use serde::Serialize;
use serde_json::json;

use crate::api::ErrorBody;

/// Body of an answer, whole or streamed.
pub type Body = UnsyncBoxBody<Bytes, std::convert::Infallible>;
/// An answer.
pub type Answer = Response<Body>;

/// A body that is there as a whole.
pub fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed_unsync()
}

/// An answer with a body of a given type.
pub fn with_type(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(whole(body));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// A JSON answer.
pub fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    let text = serde_json::to_vec(body).unwrap_or_default();
    with_type(status, "application/json", text)
}

/// An error answer: `{"status":"error","error":…}`.
pub fn error(status: StatusCode, what: &str) -> Answer {
    json(status, &json!({ "status": "error", "error": what }))
}

/// An error response of the API: an RFC 9457 problem.
pub fn problem(status: StatusCode, error: &str, hint: Option<String>) -> Answer {
    let detail = hint
        .as_ref()
        .map_or_else(|| error.to_owned(), |hint| format!("{error}; {hint}"));
    let problem = ErrorBody {
        kind: "about:blank".to_owned(),
        title: status.canonical_reason().unwrap_or_default().to_owned(),
        status: status.as_u16(),
        detail,
        error: error.to_owned(),
        hint,
    };
    let mut answer = json(status, &problem);
    let kind = HeaderValue::from_static("application/problem+json");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

/// 405, with the method that would do.
pub fn wrong_method(allow: &'static str) -> Answer {
    let mut answer = error(StatusCode::METHOD_NOT_ALLOWED, "method not allowed");
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    answer
}

/// An error that passes: with the seconds after which to try again.
pub fn later(status: StatusCode, what: &str, seconds: u64) -> Answer {
    let mut answer = error(status, what);
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    answer
}

/// A problem that passes, in the same way.
pub fn problem_later(status: StatusCode, what: &str, seconds: u64) -> Answer {
    let mut answer = problem(status, what, None);
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    answer
}
