//! The status pages: what is live, what ran and what came in, for people with a browser. They change nothing.
//!
//! Each page is whole without its script, which only keeps it up to date. Nothing is loaded from elsewhere, and the browser is
//! told to allow nothing else: what is shown comes from payloads and from the output of builds.

mod delivery;
mod deployment;
mod overview;
mod target;

use http::header::{CONTENT_SECURITY_POLICY, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use http::{HeaderName, StatusCode};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::answer::{self, Answer};
use crate::api::Deployment;
use crate::model::{Timestamp, words};

pub use delivery::delivery;
pub use deployment::deployment;
pub use overview::overview;
pub use target::target;

/// Rows of each table on a page.
pub const ROWS: usize = 20;

/// Most of a log's end that a page shows, bytes: what a person reads; the whole is behind a link.
pub const LOG_END: u64 = 256 * 1024;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("live.js");

/// Only what this listener itself serves, and no frames around it.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'";

/// What the browser is told beside the page.
const HEADERS: &[(HeaderName, &str)] = &[
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
];

/// `GET /style.css`
pub fn style() -> Answer {
    answer::with_type(StatusCode::OK, "text/css; charset=utf-8", STYLE)
}

/// `GET /live.js`
pub fn script() -> Answer {
    answer::with_type(StatusCode::OK, "text/javascript; charset=utf-8", SCRIPT)
}

/// A page around its content. A `live` one is looked at again now and then.
fn page(title: &str, live: bool, content: &Markup) -> Answer {
    let whole = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width";
                title { (title) " · hookd" }
                link rel="stylesheet" href="/style.css";
            }
            body {
                header { a href="/" { "hookd" } span { (title) } }
                main data-live[live] { (content) }
                script src="/live.js" {}
            }
        }
    };
    let whole = words::printable(&whole.into_string(), |c| matches!(c, '\n' | '\t'));
    let mut answer = answer::with_type(StatusCode::OK, "text/html; charset=utf-8", whole);
    for (name, value) in HEADERS {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// A word of hookd's (an outcome, a state, a result) in its colour.
fn word(word: &str) -> Markup {
    html! { span class={ "word " (word) } { (word) } }
}

/// A point in time.
fn time(milliseconds: i64) -> Markup {
    let time = Timestamp(milliseconds).to_string();
    html! { time datetime=(time) { (time.replace('T', " ").replace('Z', " UTC")) } }
}

/// How long something took: `0.3 s`, `2 m 5 s`.
fn took(from: i64, to: i64) -> String {
    let milliseconds = to.saturating_sub(from).max(0);
    let seconds = milliseconds / 1000;
    match seconds {
        0..10 => format!("{seconds}.{} s", milliseconds % 1000 / 100),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} m {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// The first seven characters of a commit.
fn short(commit: Option<&str>) -> Markup {
    match commit {
        Some(commit) => html! { code title=(commit) { (commit.get(..7).unwrap_or(commit)) } },
        None => PreEscaped(String::new()),
    }
}

/// `branch main`, for people.
fn shown_ref(git_ref: &str) -> &str {
    git_ref
        .strip_prefix("refs/heads/")
        .or_else(|| git_ref.strip_prefix("refs/tags/"))
        .unwrap_or(git_ref)
}

/// How a deployment ended, or where it is.
fn state_of(row: &Deployment) -> Markup {
    html! { @if let Some(outcome) = &row.outcome { (word(outcome)) } @else { (word("running")) " " (row.phase) } }
}

/// A table of deployments.
fn deployments(rows: &[Deployment], with_target: bool) -> Markup {
    html! {
        div.scroll { table {
            tr { th { "#" } @if with_target { th { "Target" } } th { "Outcome" } th { "Commit" } th { "Asked for by" } th { "Began" } th { "Took" } th { "Why" } }
            @for row in rows {
                tr {
                    td { a href={ "/deployments/" (row.id) } { "#" (row.id) } }
                    @if with_target { td { a href={ "/targets/" (row.target) } { (row.target) } } }
                    td { (state_of(row)) }
                    td { (short(row.commit.as_deref())) " " span.dim { (row.subject.as_deref().unwrap_or_default()) } }
                    td { (row.source) }
                    td.time { (time(row.started_at)) }
                    td.time { @if let Some(end) = row.finished_at { (took(row.started_at, end)) } }
                    td { (row.reason.as_deref().unwrap_or_default()) }
                }
            }
        } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_in_words() {
        for (milliseconds, words) in [
            (0, "0.0 s"),
            (340, "0.3 s"),
            (59_999, "59 s"),
            (125_000, "2 m 5 s"),
            (7_260_000, "2 h 1 m"),
        ] {
            assert_eq!(took(1000, 1000 + milliseconds), words);
        }
        // A clock that was set back.
        assert_eq!(took(1000, 0), "0.0 s");
    }

    #[test]
    fn what_comes_from_outside_stays_text() {
        assert_eq!(
            word("<script>").into_string(),
            r#"<span class="word &lt;script&gt;">&lt;script&gt;</span>"#
        );
    }
}
