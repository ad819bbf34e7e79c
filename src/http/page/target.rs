//! `GET /targets/REPO/TARGET`: one target, its releases and its history.

use maud::{Markup, html};

use super::overview::state;
use super::{deployments, page, short, shown_ref, time, word};
use crate::api::{Deployment, Releases, TargetStatus};
use crate::http::answer::Answer;

/// Makes the page.
pub fn target(target: &TargetStatus, releases: &Releases, history: &[Deployment]) -> Answer {
    let content = html! {
        h1 { (target.target) }
        dl {
            dt { "State" } dd { (state(target)) }
            dt { "Follows" } dd { (target.follows) }
            dt { "Live" } dd { @match &target.commit {
                Some(commit) => { (short(Some(commit))) " of " (target.git_ref.as_deref().map(shown_ref).unwrap_or_default())
                    @if let Some(since) = target.live_since { ", since " (time(since)) } },
                None => "nothing",
            } }
            dt { "Directory" } dd { code { (target.path) } }
            @if let Some(release) = &target.pinned { dt { "Pinned to" } dd { code { (release) } ", until " code { "hookd resume " (target.target) } } }
        }
        h2 { "Releases" }
        (kept(releases))
        h2 { "Deployments" }
        @if history.is_empty() { p.dim { "None yet." } } @else { (deployments(history, false)) }
    };
    page(&target.target, true, &content)
}

fn kept(releases: &Releases) -> Markup {
    if releases.releases.is_empty() {
        return html! { p.dim { "None." } };
    }
    html! {
        div.scroll { table {
            tr { th { "Release" } th { "State" } th { "Commit" } th { "Of" } th { "Made" } th { "Made by" } }
            @for release in &releases.releases {
                tr {
                    td { code { (release.name) } @if releases.current.as_deref() == Some(&release.name) { " " (word("live")) } }
                    td { (word(&release.state)) }
                    td { (short(Some(&release.commit))) }
                    td { (shown_ref(&release.git_ref)) }
                    td.time { (time(release.created_at)) }
                    td { a href={ "/deployments/" (release.deployment) } { "#" (release.deployment) } }
                }
            }
        } }
    }
}
