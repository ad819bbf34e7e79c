//! `GET /deliveries/ID`: what came in, and which rule decided.

use maud::{Markup, html};

use super::{page, time, word};
use crate::api::Delivery;
use crate::explain::{ExplainedVerdict, Explanation};
use crate::http::answer::Answer;

/// Makes the page.
pub fn delivery(row: &Delivery, explanation: &Explanation) -> Answer {
    let content = html! {
        h1 { "Delivery " (row.delivery) }
        dl {
            dt { "Result" } dd { (word(&row.result)) ": " (row.reason) }
            dt { "Repo" } dd { (row.repo) }
            dt { "Event" } dd { (row.forge) " " (row.event) }
            dt { "Came" } dd { (time(row.received_at)) " from " (row.remote_addr) }
            @if !row.jobs.is_empty() { dt { "Jobs" } dd { @for job in &row.jobs { "#" (job) " " } } }
        }
        h2 { "What it says" }
        @if let Some(error) = &explanation.error { p.no { (error) } }
        table { @for event in &explanation.events {
            tr {
                td { (event.kind) " " (event.action) }
                td { (event.git_ref.as_deref().unwrap_or_default()) }
                td { code { (event.before.get(..7).unwrap_or(&event.before)) } " → " code { (event.after.get(..7).unwrap_or(&event.after)) } }
                td { (event.repo.as_deref().unwrap_or_default()) }
            }
        } }
        h2 { "What the rules of now say of it" }
        @for verdict in &explanation.verdicts { (judged(verdict)) }
    };
    page("delivery", false, &content)
}

fn judged(verdict: &ExplainedVerdict) -> Markup {
    html! {
        p { a href={ "/targets/" (verdict.target) } { (verdict.target) } ": " b { (verdict.verdict) } ", " (verdict.reason) }
        table { @for condition in &verdict.conditions {
            tr {
                td { (condition.name) }
                td { @if condition.passed { span.yes { "yes" } } @else { span.no { "no" } } }
                td { (condition.detail) }
            }
        } }
    }
}
