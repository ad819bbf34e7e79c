//! `GET /audit`: who did what, when, from where, and what came of it. Whoever sees the other pages sees it.

use maud::{Markup, html};

use super::Page;
use super::lists::pages;
use super::parts::{Tone, ago, commands, empty, pill};
use crate::api::Act;
use crate::http::answer::Answer;
use crate::http::visitor::Visitor;

/// Makes the page.
pub(super) fn audit(visitor: &Visitor, rows: &[Act], (before, older): (Option<i64>, Option<i64>)) -> Answer {
    let page = Page {
        title: "audit",
        part: "/audit",
        tone: Tone::Off,
        busy: Some(false),
        visitor,
    };
    page.answer(&html! {
        h1 { "Audit" }
        p.lead { "Who did what. What the forges sent is among the " a href="/deliveries" { "deliveries" } "." }
        @if rows.is_empty() && before.is_some() { div.empty { p { "There are no older acts." } } }
        @else if rows.is_empty() { (empty("Nobody has done anything yet.", "hookd deploy TARGET")) }
        @else { ol.list.audit { @for row in rows { (act(row)) } } }
        (pages("Pages of the audit", "", before, older))
    })
}

fn act(row: &Act) -> Markup {
    html! {
        li data-key={ "a" (row.id) } {
            span.what { b title=(row.who) { (row.name) } }
            span.text {
                span.subject { (row.act) } " " (object(&row.object))
                (result(row))
            }
            span.when {
                (ago(row.at)) span.dim { " · " (row.address.as_deref().unwrap_or("this machine")) }
            }
        }
    }
}

/// What it was done to; a target and a delivery have pages.
fn object(object: &str) -> Markup {
    let is_number = !object.is_empty() && object.bytes().all(|byte| byte.is_ascii_digit());
    html! {
        @if is_number { a href={ "/deliveries/" (object) } { "delivery " (object) } }
        @else if object.split('/').count() == 2 && object.parse::<crate::model::TargetId>().is_ok() { a href={ "/targets/" (object) } { (object) } }
        @else { (object) }
    }
}

/// The result: how its deployment ended, or the immediate answer.
fn result(row: &Act) -> Markup {
    html! {
        @if let Some(deployment) = row.deployment {
            " " a.number href={ "/deployments/" (deployment) } { "#" (deployment) }
            " " (pill(row.outcome.as_deref().unwrap_or("running")))
        } @else if let Some(outcome) = &row.outcome {
            " " (pill(outcome))
        } @else {
            span.reason { (commands(row.result.as_deref().unwrap_or("hookd ended before it was known what came of it"))) }
        }
    }
}
