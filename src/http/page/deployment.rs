//! `GET /deployments/N`: one deployment, its phases and what it printed; live while it runs.

use maud::{Markup, html};

use super::{page, short, shown_ref, state_of, time, took};
use crate::api::DeploymentDetail;
use crate::http::answer::Answer;
use crate::logbook::LogLine;
use crate::model::Timestamp;

/// Makes the page. `lines` is the end of its log, and `cut` says that there is more before it.
pub fn deployment(deployment: &DeploymentDetail, lines: &[LogLine], cut: bool) -> Answer {
    let row = &deployment.row;
    let running = row.outcome.is_none();
    let log = format!("/api/v1/deployments/{}/log", row.id);
    let content = html! {
        h1 { "DeploymentDetail #" (row.id) " of " a href={ "/targets/" (row.target) } { (row.target) } }
        dl {
            dt { "Outcome" } dd { (state_of(row)) @if let Some(reason) = &row.reason { ": " (reason) } }
            dt { "Commit" } dd { (short(row.commit.as_deref())) " " (row.subject.as_deref().unwrap_or_default()) }
            dt { "Ref" } dd { (shown_ref(&row.git_ref)) }
            dt { "Asked for by" } dd { (row.source) @if let Some(delivery) = &row.delivery { " " a href={ "/deliveries/" (delivery) } { (delivery) } } }
            @if let Some(release) = &row.release { dt { "Release" } dd { code { (release) } } }
            @if let Some(previous) = &row.previous_release { dt { "Before it" } dd { code { (previous) } } }
            dt { "Began" } dd { (time(row.started_at)) @if let Some(end) = row.finished_at { ", took " (took(row.started_at, end)) } }
        }
        (phases(deployment))
        h2 { "Output" }
        @if cut { p.dim { "The end of it; all of it is " a href=(log) { "here" } "." } }
        pre data-follow=[running.then(|| format!("{log}?follow"))] {
            @for line in lines {
                div class=(line.stream) { time { (Timestamp(line.at).to_string().get(11..19).unwrap_or_default()) } (line.text) }
            }
        }
    };
    page(&format!("deployment #{}", row.id), false, &content)
}

fn phases(deployment: &DeploymentDetail) -> Markup {
    html! {
        @if !deployment.phases.is_empty() {
            h2 { "Phases" }
            table {
                @for phase in &deployment.phases {
                    tr { td { (phase.phase) } td { @match phase.finished_at {
                        Some(end) => (took(phase.started_at, end)),
                        None => "…",
                    } } }
                }
            }
        }
    }
}
