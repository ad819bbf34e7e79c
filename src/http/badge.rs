//! `GET /badge/REPO/TARGET.svg`: the state of a target as a small picture, for a README.

use http::StatusCode;
use http::header::{CACHE_CONTROL, HeaderValue};
use maud::html;

use super::answer::{self, Answer};
use crate::api::TargetStatus;
use crate::model::short_commit;

/// Width of a character at a size of 11, pixels, on average.
const CHARACTER: usize = 7;

/// Room beside a text, pixels.
const ROOM: usize = 10;

/// The picture of a target.
pub fn badge(target: &TargetStatus) -> Answer {
    let commit = target.live.as_ref().map(|live| live.commit.as_str());
    let short = commit.map_or("", short_commit);
    let state = format!("{} {short}", target.state.replace('-', " "));
    let (name, state) = (target.target.as_str(), state.trim());
    let colour = match target.state.as_str() {
        "live" => "#1a7f37",
        "failed" => "#c62828",
        "nothing-live" => "#6e6e6e",
        _ => "#9a6700",
    };
    let (left, right) = (width(name), width(state));
    let all = left + right;
    let picture = html! {
        svg xmlns="http://www.w3.org/2000/svg" width=(all) height="20" role="img" aria-label={ (name) ": " (state) } {
            title { (name) ": " (state) }
            rect width=(all) height="20" rx="3" fill="#444" {}
            rect x=(left) width=(right) height="20" rx="3" fill=(colour) {}
            g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" {
                text x=(left / 2) y="14" { (name) }
                text x=(left + right / 2) y="14" { (state) }
            }
        }
    };
    let mut answer = answer::with_type(StatusCode::OK, "image/svg+xml; charset=utf-8", picture.into_string());
    let headers = answer.headers_mut();
    // Proxies of pictures, such as GitHub's, ask again before they show it.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(
        http::header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'"),
    );
    answer
}

fn width(text: &str) -> usize {
    text.chars().count() * CHARACTER + 2 * ROOM
}
