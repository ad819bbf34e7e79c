//! `GET /`: everything on one page.

use maud::{Markup, html};

use super::{deployments, page, short, time, word};
use crate::api::{Delivery, Deployment, Status, TargetStatus};
use crate::http::answer::Answer;

/// Makes the page.
pub fn overview(status: &Status, history: &[Deployment], came: &[Delivery]) -> Answer {
    let content = html! {
        @for warning in &status.warnings { p.warning { (warning) } }
        @for problem in status.problems.iter().filter(|problem| !status.warnings.contains(&problem.text)) {
            p.warning { (problem.text) ": " code { (problem.hint) } }
        }
        h1 { "Targets" }
        (targets(&status.targets))
        h2 { "Deployments" }
        @if history.is_empty() { p.dim { "None yet." } } @else { (deployments(history, true)) }
        h2 { "Deliveries" }
        @if came.is_empty() { p.dim { "None yet." } } @else { (deliveries(came)) }
        footer {
            "hookd " (status.version) " · " (status.running) " running, " (status.waiting) " waiting · "
            (status.config) " · since " (time(status.started_at)) " · "
            a href="/metrics" { "metrics" } " · " a href="/api/v1/status" { "JSON" }
        }
    };
    page("status", true, &content)
}

fn targets(targets: &[TargetStatus]) -> Markup {
    html! {
        div.scroll { table {
            tr { th { "Target" } th { "Follows" } th { "Live" } th { "Since" } th { "State" } th { "Last deployment" } }
            @for target in targets {
                tr {
                    td { a href={ "/targets/" (target.target) } { (target.target) } }
                    td { (target.follows) }
                    td { @if let Some(live) = &target.live { (short(Some(&live.commit))) " " span.dim { (live.subject.as_deref().unwrap_or_default()) @if let Some(author) = &live.author { " · " (author) } } } @else { span.dim { "nothing" } } }
                    td.time { @if let Some(since) = target.live_since { (time(since)) } }
                    td { (state(target)) }
                    td { @if let Some(last) = &target.last {
                        a href={ "/deployments/" (last.id) } { "#" (last.id) } " "
                        (word(last.outcome.as_deref().unwrap_or_default())) " " (last.reason.as_deref().unwrap_or_default())
                    } }
                }
            }
        } }
    }
}

/// What goes on at a target, and what keeps it from going on.
pub(super) fn state(target: &TargetStatus) -> Markup {
    html! {
        @if let Some(running) = &target.running {
            a href={ "/deployments/" (running.id) } { (word("running")) " " (running.phase) }
        } @else {
            (word(&target.state))
        }
        @if let Some(reason) = &target.waits_for { " for " (reason) }
        @if let Some(at) = target.next_try { ", next try " (time(at)) }
        @for problem in &target.problems { div.no { (problem.text) } div.dim { code { (problem.hint) } } }
    }
}

fn deliveries(rows: &[Delivery]) -> Markup {
    html! {
        div.scroll { table {
            tr { th { "Came" } th { "Repo" } th { "Event" } th { "Result" } th { "Why" } th { "From" } }
            @for row in rows {
                tr {
                    td.time { @match row.number {
                        Some(number) => a href={ "/deliveries/" (number) } { (time(row.received_at)) },
                        None => (time(row.received_at)),
                    } }
                    td { (row.repo) }
                    td { (row.forge) " " (row.event) }
                    td { (word(&row.result)) }
                    td { (row.reason) }
                    td { (row.remote_addr) }
                }
            }
        } }
    }
}
