//! `GET /deployments` and `GET /deliveries`, and the same rows on other pages.

use maud::{Markup, html};

use super::Page;
use super::parts::{Tone, ago, commands, commit, elapsed, empty, pill, shown_ref, took};
use crate::api::{Delivery, Deployment};
use crate::config::{Config, Repo};
use crate::http::answer::Answer;
use crate::http::visitor::Visitor;
use crate::model::Outcome;

/// What a list of deployments shows, and where it goes on.
pub(super) struct History<'a> {
    /// The rows, newest first.
    pub rows: &'a [Deployment],
    /// Only those with this outcome.
    pub outcome: Option<Outcome>,
    /// The number that the rows are older than.
    pub before: Option<i64>,
    /// The number that the next page begins below, if there is one.
    pub older: Option<i64>,
}

/// The repo of a target's name.
pub(super) fn repo_of<'a>(config: &'a Config, target: &str) -> Option<&'a Repo> {
    let name = target.split('/').next()?.parse().ok()?;
    config.repos.get(&name).map(|repo| &**repo)
}

/// The page of all deployments.
pub(super) fn all_deployments(visitor: &Visitor, config: &Config, history: &History<'_>) -> Answer {
    let page = Page {
        title: "deployments",
        part: "/deployments",
        tone: history.rows.first().map_or(Tone::Off, tone_of),
        busy: Some(history.rows.iter().any(|row| row.outcome.is_none())),
        visitor,
    };
    page.answer(&html! {
        h1 { "Deployments" }
        (deployments(config, history, true))
    })
}

fn tone_of(row: &Deployment) -> Tone {
    Tone::of(row.outcome.as_deref().unwrap_or("running"))
}

/// The list with its filters and the way to older rows.
pub(super) fn deployments(config: &Config, history: &History<'_>, with_target: bool) -> Markup {
    let of = |outcome: Option<Outcome>| outcome.map(|outcome| format!("outcome={outcome}")).unwrap_or_default();
    let shown = [Outcome::Live, Outcome::Failed, Outcome::RolledBack, Outcome::Cancelled];
    html! {
        nav.filters aria-label="Filter deployments" {
            a href="?" aria-current=[history.outcome.is_none().then_some("true")] { "all" }
            @for outcome in shown {
                a href={ "?" (of(Some(outcome))) } aria-current=[(history.outcome == Some(outcome)).then_some("true")] {
                    (outcome.as_str().replace('-', " "))
                }
            }
        }
        @if history.rows.is_empty() {
            @match history.outcome {
                Some(outcome) => div.empty { p { "No deployment here ended " (outcome.as_str().replace('-', " ")) "." } },
                None => (empty("Nothing has been deployed yet.", "Push, or type hookd deploy TARGET")),
            }
        } @else {
            (rows(config, history.rows, with_target))
        }
        (pages("Pages of the history", &of(history.outcome), history.before, history.older))
    }
}

/// The ways to the newest and to older rows of a list; `filter` is what the query says besides.
pub(super) fn pages(label: &str, filter: &str, before: Option<i64>, older: Option<i64>) -> Markup {
    let more = if filter.is_empty() { "" } else { "&" };
    html! { @if before.is_some() || older.is_some() {
        nav.pages aria-label=(label) {
            @if before.is_some() { a rel="first" href={ "?" (filter) } { "Newest" } }
            @if let Some(older) = older { a rel="next" href={ "?" (filter) (more) "before=" (older) } { "Older" } }
        }
    } }
}

/// Deployments, one line each.
pub(super) fn rows(config: &Config, rows: &[Deployment], with_target: bool) -> Markup {
    html! { ol.list {
        @for row in rows {
            li data-key={ "d" (row.id) } {
                span.what {
                    a.number href={ "/deployments/" (row.id) } { "#" (row.id) }
                    (pill(row.outcome.as_deref().unwrap_or("running")))
                }
                span.text {
                    @if let Some(subject) = &row.subject { a.subject href={ "/deployments/" (row.id) } tabindex="-1" { (subject) } }
                    @else { span.dim { (shown_ref(&row.git_ref)) } }
                    @if let Some(id) = &row.commit { " " (commit(repo_of(config, &row.target), id)) }
                    @if let Some(author) = &row.author { " " span.dim { (author) } }
                    @if let Some(reason) = reason_of(row) { span.reason { (commands(reason)) } }
                }
                @if with_target { a.target href={ "/targets/" (row.target) } { (row.target) } }
                span.when {
                    (ago(row.started_at)) span.dim {
                        " · " @match row.finished_at { Some(end) => (took(row.started_at, end)), None => (elapsed(row.started_at)) }
                    }
                }
            }
        }
    } }
}

/// Why a deployment ended as it did, where its outcome does not say all.
fn reason_of(row: &Deployment) -> Option<&str> {
    let outcome = row.outcome.as_deref()?;
    row.reason.as_deref().filter(|_| outcome != "live")
}

/// The page of all deliveries.
pub(super) fn all_deliveries(
    visitor: &Visitor,
    came: &[Delivery],
    result: Option<&str>,
    (before, older): (Option<i64>, Option<i64>),
) -> Answer {
    let page = Page {
        title: "deliveries",
        part: "/deliveries",
        tone: came.first().map_or(Tone::Off, |row| Tone::of(&row.result)),
        busy: Some(false),
        visitor,
    };
    page.answer(&html! {
        h1 { "Deliveries" }
        nav.filters aria-label="Filter deliveries" {
            a href="?" aria-current=[result.is_none().then_some("true")] { "all" }
            @for word in ["accepted", "ignored", "pong", "duplicate", "rejected"] {
                a href={ "?result=" (word) } aria-current=[(result == Some(word)).then_some("true")] { (word) }
            }
        }
        @match (came.is_empty(), result) {
            (false, _) => (deliveries(came)),
            (true, Some(result)) => div.empty { p { "No delivery here is one of: " (result) "." } },
            (true, None) if before.is_some() => div.empty { p { "There are no older ones." } },
            (true, None) => (empty("No webhook has been received yet.", "hookd doctor shows what the forge needs to know")),
        }
        (pages("Pages of the deliveries", &result.map(|result| format!("result={result}")).unwrap_or_default(), before, older))
    })
}

/// Deliveries, one line each.
pub(super) fn deliveries(came: &[Delivery]) -> Markup {
    html! { ol.list {
        @for row in came {
            li data-key={ "w" (row.received_at) (row.delivery) } {
                span.what {
                    (pill(&row.result))
                    @if row.count > 1 { span.dim { "×" (row.count) } }
                }
                span.text {
                    @match row.number {
                        Some(number) => a.subject href={ "/deliveries/" (number) } { (row.forge) " " (row.event) },
                        None => span { (row.forge) " " (row.event) },
                    }
                    span.reason { (commands(&row.reason)) }
                }
                span.target { (row.repo) }
                span.when { (ago(row.received_at)) span.dim { " · " (row.remote_addr) } }
            }
        }
    } }
}
