//! `GET /login`: where users type their name and password; and what strangers see instead of all other pages.

use http::header::{HeaderValue, RETRY_AFTER, SET_COOKIE, WWW_AUTHENTICATE};
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use maud::html;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::Zeroizing;

use super::asked::Asked;
use super::forms::{Form, redirect};
use super::parts::Tone;
use super::{LOG_IN, Page, html_answer};
use crate::access::{LoginError, SESSION_TIME};
use crate::config::{Login, Shown};
use crate::http::App;
use crate::http::answer::{self, Answer};
use crate::http::visitor::{Guest, Visitor, Way};
use crate::intake::counted_with;
use crate::model::Refusal;

type Result<T> = std::result::Result<T, Refusal>;

/// What there is for people; a stranger is sent to the log-in page there, and elsewhere told that there is none.
fn is_for_programs(parts: &[&str]) -> bool {
    matches!(parts[0], "api" | "metrics" | "readyz" | "badge")
}

/// The answer to a stranger; `None` if what is asked for is public.
pub fn asks_to_log_in(login: &Login, request: &Request<Incoming>, parts: &[&str]) -> Option<Answer> {
    let looks = matches!(*request.method(), Method::GET | Method::HEAD);
    let is_public = match parts {
        ["login"] => true,
        ["healthz"] => looks,
        ["badge", ..] => looks && login.public.contains(&Shown::Badge),
        [""] => looks && login.public.contains(&Shown::Overview),
        [name] => looks && super::asset(name).is_some(),
        _ => false,
    };
    if is_public {
        return None;
    }
    if is_for_programs(parts) {
        let hint = "log in on the page, or show a token: Authorization: Bearer TOKEN".to_owned();
        let mut refusal = answer::problem(StatusCode::UNAUTHORIZED, "not logged in", Some(hint));
        let scheme = HeaderValue::from_static("Bearer realm=\"hookd\"");
        refusal.headers_mut().insert(WWW_AUTHENTICATE, scheme);
        return Some(refusal);
    }
    let here = request.uri().path_and_query().map_or("/", |here| here.as_str());
    let from_elsewhere = request
        .headers()
        .get("sec-fetch-site")
        .is_some_and(|site| site == "cross-site");
    if looks && from_elsewhere {
        return Some(come_again(local(Some(here))));
    }
    let next = utf8_percent_encode(here, NON_ALPHANUMERIC);
    Some(redirect(&format!("{LOG_IN}?next={next}")))
}

/// Who follows a link from elsewhere is not known by the cookie, which browsers send only from pages of its own site: this is
/// one, and leads there once more.
fn come_again(here: &str) -> Answer {
    let again = format!("0;url={here}");
    let page = html! {
        (maud::DOCTYPE)
        html lang="en" {
            head { meta charset="utf-8"; title { "hookd" } meta http-equiv="refresh" content=(again); }
            body { main { p { a href=(here) { "Go on" } } } }
        }
    };
    html_answer(StatusCode::OK, &page.into_string())
}

/// A path of this page to go to, and no other place.
fn local(next: Option<&str>) -> &str {
    let is_local = |next: &&str| {
        next.starts_with('/')
            && !next[1..].starts_with(['/', '\\'])
            && next.chars().all(|c| c.is_ascii_graphic())
            && !next.starts_with(LOG_IN)
    };
    next.filter(is_local).unwrap_or("/")
}

/// The page, with what went wrong.
fn page(visitor: &Visitor, login: &Login, next: &str, name: &str, wrong: Option<&(StatusCode, String)>) -> Answer {
    let page = Page {
        title: "log in",
        part: LOG_IN,
        tone: Tone::Off,
        busy: None,
        visitor,
    };
    let status = wrong.map_or(StatusCode::OK, |(status, _)| *status);
    page.with_status(
        status,
        &html! {
            div.narrow.log-in {
                h1 { "Log in" }
                @if let Some((_, text)) = wrong { p.problem.bad role="alert" { (text) } }
                @if login.users.is_some() {
                    form.card method="post" action=(LOG_IN) {
                        input type="hidden" name="next" value=(next);
                        label for="username" { "Name" }
                        input #username type="text" name="username" value=(name) autocomplete="username" autocapitalize="none"
                            spellcheck="false" required autofocus[name.is_empty()];
                        label for="password" { "Password" }
                        input #password type="password" name="password" autocomplete="current-password" required
                            autofocus[!name.is_empty()];
                        button.button.primary type="submit" { "Log in" }
                    }
                } @else {
                    p { "The proxy in front of this page logs users in, and named none." }
                }
            }
        },
    )
}

impl App {
    /// `GET /login`
    pub(super) fn log_in_page(&self, asked: &Asked<'_>) -> Result<Answer> {
        let settings = self.settings();
        let next = local(asked.query.get("next").map(String::as_str));
        match (&settings.config.http.login, asked.visitor) {
            (_, Visitor::User(_)) => Ok(redirect(next)),
            (Some(login), Visitor::Stranger(_)) => Ok(page(asked.visitor, login, next, "", None)),
            _ => Err(Refusal::not_found("nobody logs in here").hint("`[http.login]` says who may")),
        }
    }

    /// `POST /login`
    pub(super) async fn log_in(&self, form: &Form, visitor: &Visitor) -> Result<Answer> {
        let settings = self.settings();
        let (Some(login), Visitor::Stranger(way)) = (&settings.config.http.login, visitor) else {
            return Ok(redirect("/"));
        };
        let Some(users) = &login.users else {
            return Err(Refusal::not_found("nobody logs in with a password here"));
        };
        let (name, password) = (form.get("username").trim(), form.get("password"));
        let from = (way.from, counted_with(way.from));
        let password = Zeroizing::new(password.to_owned());
        let next = local(Some(form.get("next")));
        match self.operator.log_in(users, from, name, password).await {
            Ok(cookie) => {
                let mut answer = redirect(next);
                set_cookie(&mut answer, way, &cookie, SESSION_TIME.as_secs());
                Ok(answer)
            }
            Err(error) => {
                let status = match &error {
                    LoginError::Wrong => StatusCode::UNAUTHORIZED,
                    LoginError::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
                    LoginError::Busy | LoginError::Store(_) | LoginError::Random(_) => StatusCode::SERVICE_UNAVAILABLE,
                };
                let wrong = (status, sentence(&error.to_string()));
                let mut answer = page(visitor, login, next, name, Some(&wrong));
                if let LoginError::TooMany(after) = error {
                    let seconds = HeaderValue::from(after.as_secs() + 1);
                    answer.headers_mut().insert(RETRY_AFTER, seconds);
                }
                Ok(answer)
            }
        }
    }

    /// `POST /logout`
    pub(super) async fn log_out(&self, guest: &Guest) -> Result<Answer> {
        if let Some(cookie) = &guest.cookie {
            let (user, from) = (&guest.signed.user, guest.way.from);
            self.operator.log_out(user, from, cookie).await?;
        }
        let mut answer = redirect(LOG_IN);
        set_cookie(&mut answer, &guest.way, "", 0);
        Ok(answer)
    }
}

fn set_cookie(answer: &mut Answer, way: &Way, value: &str, seconds: u64) {
    let secure = if way.is_secret { "; Secure" } else { "" };
    let name = way.cookie();
    let text = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    if let Ok(mut value) = HeaderValue::from_str(&text) {
        value.set_sensitive(true);
        answer.headers_mut().insert(SET_COOKIE, value);
    }
}

/// `Too many log-ins failed.` of `too many log-ins failed`
fn sentence(text: &str) -> String {
    let mut rest = text.chars();
    let first = rest.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(rest).chain(['.']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_leads_nowhere_else() {
        for next in ["/", "/targets/a/b?done=deploy", "/deployments/3?line=5"] {
            assert_eq!(local(Some(next)), next);
        }
        for next in [
            "",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/a b",
            "/a\r\nb",
            "/login",
            "/login?next=/x",
        ] {
            assert_eq!(local(Some(next)), "/", "{next:?}");
        }
    }
}
