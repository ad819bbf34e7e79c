//! The status pages: what is live, what is wrong, what ran and what came in, for people with a browser.
//!
//! Each page is whole without its script, which only keeps it up to date. Nothing is loaded from elsewhere, and the browser is
//! told to allow nothing else: what is shown comes from payloads and from the output of builds.

mod acts;
mod ansi;
mod asked;
mod audit;
mod changes;
mod delivery;
mod deployment;
mod forms;
mod lists;
mod log;
mod log_in;
mod overview;
mod parts;
mod routes;
mod target;

use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderName, StatusCode};
use maud::{DOCTYPE, Markup, html};

use super::answer::{self, Answer};
use super::visitor::{Guest, Visitor};
use crate::model::words;

pub use asked::Asked;
pub use changes::Changes;
pub use log_in::asks_to_log_in;
use parts::Tone;

/// Rows of a list on one page.
const ROWS: usize = 20;

/// The pages that the navigation leads to.
const PARTS: &[(&str, &str)] = &[
    ("/", "Targets"),
    ("/deployments", "Deployments"),
    ("/deliveries", "Deliveries"),
    ("/audit", "Audit"),
];

/// The page on which users log in.
const LOG_IN: &str = "/login";

/// Seconds between two looks of a page at a daemon that works, and at one that rests.
const EVERY: (u32, u32) = (1, 4);

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("live.js");

/// Only what this listener itself serves, and no frames around it.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
     base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// What the browser is told beside the page.
const HEADERS: &[(HeaderName, &str)] = &[
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    // With `no-referrer`, browsers would leave out who sends a form, too.
    (REFERRER_POLICY, "same-origin"),
];

/// A page, around its content.
struct Page<'a> {
    /// What stands in the title of the window before the program's name.
    title: &'a str,
    /// Which part of the navigation it belongs to: `/`, `/deployments`, `/deliveries`, `/audit`.
    part: &'a str,
    /// How things stand with what it shows: the colour of the icon.
    tone: Tone,
    /// Whether something goes on that it shows; `None` if nothing on it ever changes.
    busy: Option<bool>,
    /// Who looks at it.
    visitor: &'a Visitor,
}

impl Page<'_> {
    fn answer(&self, content: &Markup) -> Answer {
        self.with_status(StatusCode::OK, content)
    }

    fn with_status(&self, status: StatusCode, content: &Markup) -> Answer {
        let every = self.busy.map(|busy| if busy { EVERY.0 } else { EVERY.1 });
        let icon = format!("/icon-{}.svg", self.tone.as_str());
        let whole = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) " · hookd" }
                    link rel="icon" type="image/svg+xml" href=(icon);
                    link rel="stylesheet" href="/style.css";
                    script src="/live.js" defer {}
                    @if self.busy == Some(true) { noscript { meta http-equiv="refresh" content="5"; } }
                }
                body data-every=[every] {
                    a.skip href="#main" { "Skip to content" }
                    header.top {
                        a.brand href="/" { span.mark aria-hidden="true" {} "hookd" }
                        @if !matches!(self.visitor, Visitor::Stranger(_)) { nav aria-label="Pages" {
                            @for (path, name) in PARTS {
                                a href=(path) aria-current=[(self.part == *path).then_some("page")] { (name) }
                            }
                        } }
                        (self.who())
                    }
                    p #offline role="status" hidden { }
                    main #main tabindex="-1" { (content) }
                }
            }
        };
        html_answer(status, &whole.into_string())
    }

    /// Who is logged in, and the way out or in.
    fn who(&self) -> Markup {
        html! { @match self.visitor {
            Visitor::User(guest) => div.who {
                span.user title={ "role " (guest.signed.role) } { (guest.signed.user) }
                @if guest.cookie.is_some() {
                    form method="post" action="/logout" { (form_token(guest)) button.quiet type="submit" { "Log out" } }
                }
            },
            Visitor::Stranger(_) if self.part != LOG_IN => div.who { a.button href=(LOG_IN) { "Log in" } },
            _ => {}
        } }
    }
}

/// What makes a form one of this session.
fn form_token(guest: &Guest) -> Markup {
    html! { input type="hidden" name="token" value=(guest.signed.form_token); }
}

/// HTML with its headers, free of what acts on its surroundings instead of showing itself.
fn html_answer(status: StatusCode, text: &str) -> Answer {
    let text = words::printable(text, |c| matches!(c, '\n' | '\t'));
    let mut answer = answer::with_type(status, "text/html; charset=utf-8", text);
    for (name, value) in HEADERS {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// An error, for somebody who looks at it in a browser.
pub fn error(visitor: &Visitor, status: StatusCode, what: &str, hint: Option<&str>) -> Answer {
    let page = Page {
        title: what,
        part: "",
        tone: Tone::Bad,
        busy: None,
        visitor,
    };
    let content = html! {
        div.empty {
            p.kicker { (status.as_u16()) " " (status.canonical_reason().unwrap_or_default()) }
            h1 { (what) }
            @if let Some(hint) = hint { p { (parts::commands(hint)) } }
            p { a href="/" { "All targets" } }
        }
    };
    page.with_status(status, &content)
}

/// `GET /style.css`, `/live.js`, `/icon-TONE.svg`
fn asset(name: &str) -> Option<Answer> {
    let (kind, text) = match name {
        "style.css" => ("text/css; charset=utf-8", STYLE.to_owned()),
        "live.js" => ("text/javascript; charset=utf-8", SCRIPT.to_owned()),
        "favicon.ico" => ("image/svg+xml", icon(Tone::Off)),
        icon_name => {
            let tone = icon_name.strip_prefix("icon-")?.strip_suffix(".svg")?;
            ("image/svg+xml", icon(tone.parse().ok()?))
        }
    };
    let mut answer = answer::with_type(StatusCode::OK, kind, text);
    let headers = answer.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Another version of hookd has other ones under the same names.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Some(answer)
}

/// The icon of the window: a hook's dot in the colour of how things stand.
fn icon(tone: Tone) -> String {
    let colour = match tone {
        Tone::Good => "#16a34a",
        Tone::Bad => "#dc2626",
        Tone::Warn => "#d97706",
        Tone::Busy => "#4f46e5",
        Tone::Off => "#6b7280",
    };
    let sign = match tone {
        Tone::Good => "M10 16.5l4 4 8-9",
        Tone::Bad => "M16 9v9M16 22v1",
        Tone::Warn => "M12.5 11v10M19.5 11v10",
        Tone::Busy => "M16 9v7l5 3",
        Tone::Off => "M11 16h10",
    };
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><circle cx="16" cy="16" r="15" fill="{colour}"/><path d="{sign}" fill="none" stroke="#fff" stroke-width="3.2" stroke-linecap="round" stroke-linejoin="round"/></svg>"##
    )
}
