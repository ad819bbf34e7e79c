//! Entity tags and cursors of the JSON API.

use http::header::{CACHE_CONTROL, ETAG, HeaderValue, IF_NONE_MATCH, LINK};
use http::{HeaderMap, StatusCode};
use sha2::{Digest, Sha256};

use super::answer::{self, Answer};

/// A JSON answer that can be asked for again with `If-None-Match`. `next` is where the rest of a list is.
pub fn json(body: &impl serde::Serialize, next: Option<&str>) -> Answer {
    let text = serde_json::to_vec(body).unwrap_or_default();
    let mut hash = Sha256::new();
    hash.update(&text);
    hash.update(next.unwrap_or_default());
    let tag = format!("\"{}\"", &hex::encode(hash.finalize())[..32]);
    let mut answer = answer::with_type(StatusCode::OK, "application/json", text);
    let headers = answer.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    let link = next.map(|next| format!("<{next}>; rel=\"next\""));
    for (name, value) in [(ETAG, Some(tag)), (LINK, link)] {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
            headers.insert(name, value);
        }
    }
    answer
}

/// 304 in the place of an answer that the client has already.
pub fn unless_known(asked: &HeaderMap, answer: Answer) -> Answer {
    let known = |tag: &str| {
        let lines = asked.get_all(IF_NONE_MATCH).iter();
        let mut tags = lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(','));
        tags.any(|known| known.trim() == "*" || known.trim().trim_start_matches("W/") == tag)
    };
    let tag = answer.headers().get(ETAG).and_then(|tag| tag.to_str().ok());
    if answer.status() != StatusCode::OK || !tag.is_some_and(known) {
        return answer;
    }
    let (mut head, _) = answer.into_parts();
    head.status = StatusCode::NOT_MODIFIED;
    head.headers.remove(http::header::CONTENT_TYPE);
    Answer::from_parts(head, answer::whole(Vec::new()))
}
