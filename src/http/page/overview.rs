//! `GET /`: one sentence, and a card for each target, the gravest first.

use maud::{Markup, html};

use super::lists::{deliveries, repo_of, rows};
use super::parts::{Tone, ago, commit, elapsed, empty, pill, problems, sentence, shown_ref, time, took};
use super::{Page, log};
use crate::api::{Delivery, Deployment, Status, TargetStatus, Waiting};
use crate::clock;
use crate::config::{Config, Repo};
use crate::http::answer::Answer;
use crate::http::visitor::Visitor;

/// How a deployment ended: its number, the outcome, and why.
pub(super) type Ended = (i64, String, Option<String>);

/// What a card shows beside the status of its target.
#[derive(Default)]
pub(super) struct Extra {
    /// The newest deployments that have ended, newest first.
    pub outcomes: Vec<Ended>,
    /// How far the step is that runs.
    pub progress: Option<(String, Option<(u64, u64)>)>,
}

/// Makes the page.
pub(super) fn overview(
    visitor: &Visitor,
    config: &Config,
    status: &Status,
    extras: &[Extra],
    (history, came): (&[Deployment], &[Delivery]),
) -> Answer {
    let (said, tone) = sentence(status);
    // Strangers see what is live where it is public, and nothing of the machine, of failures and of senders.
    let knows_all = !matches!(visitor, Visitor::Stranger(_));
    let page = Page {
        title: &said,
        part: "/",
        tone,
        busy: Some(status.running > 0),
        visitor,
    };
    page.answer(&html! {
        h1.sentence.(tone.as_str()) { span role="status" { (said) } }
        @if knows_all {
            (problems(&status.problems))
            @for warning in unsaid(status) { p.warning { (warning) } }
        }
        @if status.targets.is_empty() {
            (empty("A target is a directory that follows a branch or a tag.", "hookd add URL"))
        }
        div.cards {
            @for (target, extra) in status.targets.iter().zip(extras) { (card(repo_of(config, &target.target), target, extra, knows_all)) }
        }
        @if knows_all {
            section {
                h2 { "Deployments" a.more href="/deployments" { "All deployments" } }
                @if history.is_empty() { (empty("Nothing has been deployed yet.", "hookd deploy TARGET")) } @else { (rows(config, history, true)) }
            }
            section {
                h2 { "Deliveries" a.more href="/deliveries" { "All deliveries" } }
                @if came.is_empty() { (empty("No webhook has been received yet.", "hookd doctor shows what the forge needs to know")) } @else { (deliveries(came)) }
            }
            footer {
                "hookd " (status.version) ", up since " (time(status.started_at)) " · " (status.config) " · "
                a href="/metrics" { "metrics" } " · " a href="/api/v1/status" { "JSON" }
            }
        }
    })
}

/// Warnings that are not among the problems already, of a target or of all.
fn unsaid(status: &Status) -> impl Iterator<Item = &String> {
    let all = || {
        status
            .targets
            .iter()
            .flat_map(|target| &target.problems)
            .chain(&status.problems)
    };
    status
        .warnings
        .iter()
        .filter(move |warning| !all().any(|problem| problem.text == **warning))
}

/// One target.
fn card(repo: Option<&Repo>, target: &TargetStatus, extra: &Extra, knows_all: bool) -> Markup {
    let tone = tone(target);
    html! {
        article.card.(tone.as_str()) data-key=(target.target) aria-label=(target.target) {
            header {
                h2 { a href={ "/targets/" (target.target) } { (target.target) } }
                (pill(&target.state))
                @if let Some(url) = &target.url { a.visit href=(url) { "Visit site" span.sr { " of " (target.target) } } }
            }
            (live(repo, target))
            (running(repo, target, extra))
            (waiting(&target.waiting))
            @if knows_all { (problems(&target.problems)) }
            (strip(&extra.outcomes))
        }
    }
}

/// The tone of a target as a whole.
pub(super) fn tone(target: &TargetStatus) -> Tone {
    let state = Tone::of(&target.state);
    if state != Tone::Busy && !target.problems.is_empty() {
        let grave = |code: &str| Tone::of(code) != Tone::Warn;
        return if target.problems.iter().any(|problem| grave(&problem.code)) {
            Tone::Bad
        } else {
            Tone::Warn
        };
    }
    state
}

/// What is live.
pub(super) fn live(repo: Option<&Repo>, target: &TargetStatus) -> Markup {
    html! {
        div.live {
            @match &target.live {
                Some(live) => {
                    p.subject { (live.subject.as_deref().unwrap_or("(no subject is known)")) }
                    p.dim {
                        (commit(repo, &live.commit))
                        @if let Some(author) = &live.author { " by " (author) }
                        @if let Some(git_ref) = &live.git_ref { " on " (shown_ref(git_ref)) }
                        @if let Some(since) = live.since { ", live " (ago(since)) }
                    }
                }
                None => p.dim { "Nothing is live. It follows " (target.follows) "." },
            }
        }
    }
}

/// What runs, how far it is, and how long that usually takes.
pub(super) fn running(repo: Option<&Repo>, target: &TargetStatus, extra: &Extra) -> Markup {
    let Some(row) = &target.running else { return html! {} };
    let passed = (clock::now().0 - row.started_at).max(0);
    html! {
        div.running data-key="running" {
            p {
                a href={ "/deployments/" (row.id) } { "#" (row.id) " " (row.phase) }
                " for " (elapsed(row.started_at))
                @if let Some(usual) = target.usual_duration { span.dim { ", usually " (took(0, usual)) } }
            }
            @if let Some(id) = &row.commit { p.dim { (commit(repo, id)) " " (row.subject.as_deref().unwrap_or_default()) } }
            @match &extra.progress {
                Some((text, counted)) => {
                    p.dim { (text) }
                    @if let Some((done, total)) = counted { progress max=(total) value=(done) aria-label={ "Progress of " (row.phase) } {} }
                }
                None => @if let Some(usual) = target.usual_duration.filter(|usual| *usual > 0) {
                    progress max=(usual) value=(passed.min(usual * 95 / 100)) data-since=(row.started_at)
                        aria-label="Time passed of the usual duration" {}
                },
            }
        }
    }
}

/// Pending jobs, each with what it waits for.
pub(super) fn waiting(jobs: &[Waiting]) -> Markup {
    let Some(first) = jobs.first() else { return html! {} };
    html! {
        p.queued data-key="queued" {
            @if jobs.len() > 1 { (jobs.len()) " queued" } @else { "Queued" }
            ": waits for " (first.reason.trim_start_matches("waits for "))
            @if let Some(at) = first.next_try.filter(|at| *at > clock::now().0) { ", tried again at " (time(at)) }
        }
    }
}

/// The newest outcomes, the oldest of them first, as a strip of marks.
pub(super) fn strip(outcomes: &[Ended]) -> Markup {
    html! { @if !outcomes.is_empty() {
        ol.strip aria-label={ "Last " (outcomes.len()) " outcomes, oldest first" } {
            @for (id, outcome, reason) in outcomes.iter().rev() {
                li data-key={ "s" (id) } {
                    a.(Tone::of(outcome).as_str()) href={ "/deployments/" (id) }
                        title={ "#" (id) " " (outcome) @if let Some(reason) = reason { ": " (reason) } } {
                        span.sr { "#" (id) " " (outcome) }
                    }
                }
            }
        }
    } }
}

/// The step that runs of each target, and its newest outcomes: at most so many.
pub(super) const STRIP: usize = 20;

/// What the log says of the progress of a running target.
pub(super) fn progress_of(
    book: &crate::logbook::LogBook,
    target: &TargetStatus,
) -> Option<(String, Option<(u64, u64)>)> {
    log::progress(book, target.running.as_ref()?.id)
}
