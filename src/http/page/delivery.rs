//! `GET /deliveries/ID`: a webhook delivery, and which rule decided.

use maud::{Markup, html};

use super::asked::Asked;
use super::lists::repo_of;
use super::parts::{Tone, commit, pill, shown_ref, time};
use super::{Page, acts};
use crate::api::Delivery;
use crate::config::{Config, Repo};
use crate::explain::{ExplainedEvent, ExplainedVerdict, Explanation};
use crate::http::answer::Answer;

/// Makes the page. `deployments` are those that came of it, each with its target.
pub(super) fn delivery(
    asked: &Asked<'_>,
    config: &Config,
    row: &Delivery,
    explanation: &Explanation,
    deployments: &[(i64, String)],
) -> Answer {
    let repo = repo_of(config, &row.repo);
    let title = format!("{} delivery of {}", row.result, row.repo);
    let page = Page {
        title: &title,
        part: "/deliveries",
        tone: Tone::of(&row.result),
        busy: None,
        visitor: asked.visitor,
    };
    page.answer(&html! {
        p.kicker { a href="/deliveries" { "Deliveries" } }
        div.heading { h1 { (row.forge) " " (row.event) } (pill(&row.result)) }
        (acts::done(asked.query))
        p.lead { (row.reason) }
        @if let Some(number) = row.number { (acts::of_delivery(asked.visitor, number)) }
        dl.facts {
            div { dt { "Repo" } dd { a href={ "/deployments?target=" (row.repo) } { (row.repo) } } }
            div { dt { "Received" } dd { (time(row.received_at)) " from " (row.remote_addr) } }
            div { dt { "Id" } dd { code { (row.delivery) } } }
            @if !deployments.is_empty() { div { dt { "Deployments" } dd {
                @for (id, target) in deployments { a href={ "/deployments/" (id) } { "#" (id) " " (target) } " " }
            } } }
        }
        section {
            h2 { "What it says" }
            @if let Some(error) = &explanation.error { p.warning { (error) } }
            ul.plain { @for event in &explanation.events { li { (told(repo, event)) } } }
        }
        section {
            h2 { "What today's rules say" }
            @for verdict in &explanation.verdicts { (judged(verdict)) }
            @if explanation.verdicts.is_empty() { p.dim { "No target follows what it is about." } }
        }
    })
}

fn told(repo: Option<&Repo>, event: &ExplainedEvent) -> Markup {
    let end = |id: &str| html! { @if id.trim_matches('0').is_empty() { code { "none" } } @else { (commit(repo, id)) } };
    html! {
        (event.kind) " " (event.action) " " b { (event.git_ref.as_deref().map(shown_ref).unwrap_or_default()) } ": "
        (end(&event.before)) " → " (end(&event.after)) " "
        span.dim { (event.repo.as_deref().unwrap_or_default()) }
    }
}

fn judged(verdict: &ExplainedVerdict) -> Markup {
    html! {
        div.card.verdict {
            header { h3 { a href={ "/targets/" (verdict.target) } { (verdict.target) } } (pill(&verdict.verdict)) }
            p { (verdict.reason) }
            ul.conditions { @for condition in &verdict.conditions {
                li {
                    @if condition.passed { (pill("yes")) } @else { (pill("no")) }
                    span { b { (condition.name) } " " (condition.detail) }
                }
            } }
        }
    }
}
