//! Why a forge did not do what it was asked for, and whether to ask again.

use std::time::Duration;

use http::HeaderMap;
use serde_json::Value;

use crate::clock;
use crate::web::{Answer, WebError};

/// Most of a forge's own words in an error, bytes.
const WORDS_MAX: usize = 200;

/// Longest pause that a forge's word is taken for. GitHub's limits are per hour.
const PAUSE_MAX: Duration = Duration::from_hours(2);

/// How GitHub names the limit that may come without any header.
const SECONDARY_LIMIT: &str = "secondary rate limit";

/// How forges say that they have something already: "Hook already exists on this repository" and "key is already in use" at GitHub,
/// "has already been taken" at GitLab, "This key has already been added", "Key content has been used" and "A key with the same name
/// already exists" at Gitea, "Someone has already registered that SSH key" at Bitbucket.
const TAKEN: [&str; 2] = ["already", "has been used"];

/// Pause where a limit comes without one, seconds: "at least one minute" at GitHub.
const UNTOLD_PAUSE: i64 = 60;

/// Whether to ask again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The same request will be refused again: somebody has to change something first.
    Permanent,
    /// It may pass: the network, a server error.
    Passing,
    /// Too many requests: not before this time is over.
    Limited(Duration),
}

/// Why the forge did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// What went wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// Whether to ask again.
    pub refusal: Refusal,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
}

impl ApiError {
    /// Nothing that asking again would change.
    pub fn unusable(message: String) -> Self {
        Self {
            message,
            hint: None,
            refusal: Refusal::Permanent,
            status: None,
        }
    }

    pub(super) fn hint(mut self, hint: &str) -> Self {
        self.hint = Some(hint.to_owned());
        self
    }

    /// Whether another token, or another address of the API, may change a permanent refusal: it is not about what was asked.
    pub fn is_about_access(&self) -> bool {
        matches!(self.status, None | Some(300..=399 | 401 | 403 | 404 | 410))
    }

    /// Whether the forge has that already, here or elsewhere: 422 at GitHub, Gitea and GitLab, 400 at Bitbucket and for GitLab's keys,
    /// 409 at others.
    pub fn is_taken(&self) -> bool {
        matches!(self.status, Some(400 | 409 | 422)) && TAKEN.iter().any(|words| self.message.contains(words))
    }

    /// There was no answer.
    pub(super) fn unreachable(shown: &str, error: &WebError) -> Self {
        Self {
            message: format!("{shown}: {error}"),
            hint: Some("is the address of the API right?".to_owned()),
            refusal: Refusal::Passing,
            status: None,
        }
    }

    /// An answer that is not 2xx. `scopes` says what a token needs for this.
    pub(super) fn answered(shown: &str, answer: &Answer, scopes: &str) -> Self {
        let status = answer.status;
        let said = words(&serde_json::from_slice(&answer.body).unwrap_or_default());
        let limited = limit(status, &answer.headers, &said, clock::now().0 / 1000);
        let (message, hint) = match (limited, status) {
            (Some(pause), _) => (
                format!("{shown}: answered {status}: rate limit, {} s to wait", pause.as_secs()),
                None,
            ),
            (None, 401) => (
                format!("{shown}: answered 401: the forge does not know the token{said}"),
                Some(scopes),
            ),
            (None, 403) => (
                format!("{shown}: answered 403: the token may not do that{said}"),
                Some(scopes),
            ),
            (None, 404) => {
                let message = format!("{shown}: answered 404: not found, or the token may not see it");
                (message, Some(scopes))
            }
            (None, 300..=399) => {
                let message = format!("{shown}: answered {status}; redirects are not followed");
                (
                    message,
                    Some("has the repository moved? then `url` and `full_name` need its new name"),
                )
            }
            (None, _) => (format!("{shown}: answered {status}{said}"), None),
        };
        let refusal = match (limited, status) {
            (Some(pause), _) => Refusal::Limited(pause),
            (None, 300..500) if !matches!(status, 408 | 425) => Refusal::Permanent,
            _ => Refusal::Passing,
        };
        Self {
            message,
            hint: hint.map(str::to_owned),
            refusal,
            status: Some(status),
        }
    }
}

/// How long to wait, if the answer says that there were too many requests. GitHub's primary limit is 403 or 429 with
/// `x-ratelimit-remaining: 0` and a time in `x-ratelimit-reset`, the secondary one comes with `retry-after`, or with its name in the
/// message alone (docs.github.com, "Best practices for using the REST API"); GitLab and Bitbucket answer 429.
fn limit(status: u16, headers: &HeaderMap, said: &str, now: i64) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<i64>().ok();
    let pause = |seconds: i64| Duration::from_secs(seconds.max(1).unsigned_abs()).min(PAUSE_MAX);
    let spent = number("x-ratelimit-remaining") == Some(0);
    let reset = || {
        Some(pause(
            number("x-ratelimit-reset").or_else(|| number("ratelimit-reset"))? - now,
        ))
    };
    match (status, number("retry-after")) {
        (403 | 429 | 503, Some(seconds)) => Some(pause(seconds)),
        (403, None) if spent => reset(),
        (403, None) if said.contains(SECONDARY_LIMIT) => Some(pause(UNTOLD_PAUSE)),
        (429, None) => reset().or(Some(pause(UNTOLD_PAUSE))),
        _ => None,
    }
}

/// What the forge says itself. GitHub's `Validation Failed` has the reason in the first of its errors, GitLab names each field that
/// is wrong, with its reasons.
fn words(answer: &Value) -> String {
    let all = ["/message", "/error", "/error/message", "/errors/0/message", "/errors/0"];
    let said = all.iter().filter_map(|pointer| answer.pointer(pointer)?.as_str());
    let fields = answer.pointer("/message").and_then(Value::as_object);
    let of_field = |(field, reasons): (&String, &Value)| Some(format!("{field} {}", reasons.get(0)?.as_str()?));
    let of_fields = fields.into_iter().flatten().filter_map(of_field);
    let said = said.map(str::to_owned).chain(of_fields);
    said.take(2).fold(String::new(), |mut words, text| {
        let shown = &text[..text.floor_char_boundary(WORDS_MAX)];
        words.push_str(": ");
        words.extend(shown.chars().filter(|c| !c.is_control()));
        words
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let value = |text: &str| text.parse().unwrap();
        fields
            .iter()
            .map(|(name, text)| (http::HeaderName::from_static(name), value(text)))
            .collect()
    }

    #[test]
    fn limits_are_told_from_missing_rights() {
        let seconds =
            |status, fields: &[(&'static str, &str)]| limit(status, &headers(fields), "", 1000).map(|d| d.as_secs());
        assert_eq!(seconds(403, &[]), None);
        assert_eq!(
            seconds(403, &[("x-ratelimit-remaining", "12"), ("x-ratelimit-reset", "1030")]),
            None
        );
        assert_eq!(
            seconds(403, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1030")]),
            Some(30)
        );
        assert_eq!(seconds(403, &[("retry-after", "7")]), Some(7));
        assert_eq!(seconds(429, &[]), Some(60));
        assert_eq!(seconds(429, &[("ratelimit-reset", "1005")]), Some(5));
        assert_eq!(seconds(503, &[("retry-after", "120")]), Some(120));
        assert_eq!(seconds(429, &[("retry-after", "99999999")]), Some(7200));
        assert_eq!(seconds(500, &[]), None);
        let said = words(&serde_json::json!({
            "message": "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
        }));
        assert_eq!(
            limit(403, &headers(&[("x-ratelimit-remaining", "4999")]), &said, 1000),
            Some(Duration::from_mins(1))
        );
    }

    #[test]
    fn what_a_forge_says_is_found_wherever_it_says_it() {
        let said = |text: &str| words(&serde_json::from_str(text).unwrap());
        assert_eq!(
            said(r#"{"message":"Validation Failed","errors":[{"code":"custom","message":"key is already in use"}]}"#),
            ": Validation Failed: key is already in use"
        );
        assert_eq!(
            said(r#"{"message":{"deploy_key.fingerprint":["has already been taken"]}}"#),
            ": deploy_key.fingerprint has already been taken"
        );
        assert_eq!(said(r#"{"error":{"message":"no"}}"#), ": no");
        assert_eq!(said(r#"{"error":"insufficient_scope"}"#), ": insufficient_scope");
        assert_eq!(said("[]"), "");
    }
}
