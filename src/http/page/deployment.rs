//! `GET /deployments/N`: one deployment, its phases, what it brought and what it printed; live while it runs.

use maud::{Markup, html};

use super::changes::{Brought, SHOWN};
use super::log::{LINES, Part, Window, folds};
use super::parts::{Tone, commands, commit, elapsed, pill, shown_ref, time, took};
use super::{Page, acts};
use crate::api::{Deployment, DeploymentDetail, Phase};
use crate::clock;
use crate::config::{Repo, Target};
use crate::forge;
use crate::http::answer::Answer;
use crate::http::visitor::Visitor;
use crate::model::Phase as Name;

/// What is shown of a deployment.
pub(super) struct Shown<'a> {
    /// Who looks at it.
    pub visitor: &'a Visitor,
    /// The deployment with its phases.
    pub detail: &'a DeploymentDetail,
    /// Its repo and target, if the configuration still has them.
    pub site: Option<(&'a Repo, &'a Target)>,
    /// The commits that it brought.
    pub brought: Option<&'a Brought>,
    /// Who asked for it, if somebody did.
    pub asker: Option<&'a str>,
    /// How far the step is that runs.
    pub progress: Option<(String, Option<(u64, u64)>)>,
    /// How long one usually takes, milliseconds.
    pub usual: Option<i64>,
    /// A part of its log.
    pub window: &'a Window,
    /// Which part.
    pub part: &'a Part,
}

/// Makes the page.
pub(super) fn deployment(shown: &Shown<'_>) -> Answer {
    let row = &shown.detail.row;
    let word = row.outcome.as_deref().unwrap_or("running");
    let title = format!("{} #{} {}", word.replace('-', " "), row.id, row.target);
    let page = Page {
        title: &title,
        part: "/deployments",
        tone: Tone::of(word),
        busy: Some(row.outcome.is_none()),
        visitor: shown.visitor,
    };
    let repo = shown.site.map(|(repo, _)| repo);
    page.answer(&html! {
        p.kicker { a href="/" { "Targets" } " / " a href={ "/targets/" (row.target) } { (row.target) } }
        div.heading {
            h1 { (row.subject.as_deref().unwrap_or_else(|| shown_ref(&row.git_ref))) }
            span.number { "#" (row.id) }
            (pill(word))
            @if let Some(url) = shown.site.and_then(|(_, target)| target.url.as_ref()) { a.visit href=(url) { "Visit site" } }
        }
        (facts(repo, row, shown.asker))
        (acts::of_deployment(shown.visitor, &row.target, &row.git_ref, row.outcome.as_deref()))
        (verdict(shown))
        (timeline(shown))
        (brought(repo, row, shown.brought))
        (log(shown))
    })
}

/// Which commit, for which ref, and who asked.
fn facts(repo: Option<&Repo>, row: &Deployment, asker: Option<&str>) -> Markup {
    html! {
        p.lead {
            @if let Some(id) = &row.commit { (commit(repo, id)) " " }
            @if let Some(author) = &row.author { "by " (author) " " }
            "on " b { (shown_ref(&row.git_ref)) } " · " (asked(row, asker)) " · " (time(row.started_at)) " · "
            @match row.finished_at {
                Some(end) => { "took " (took(row.started_at, end)) }
                None => { "running for " (elapsed(row.started_at)) }
            }
        }
    }
}

/// Who asked for it.
fn asked(row: &Deployment, asker: Option<&str>) -> Markup {
    html! { @match (row.source.as_str(), &row.delivery) {
        (source, None) if asker.is_some() => { (source) " by " b { (asker.unwrap_or_default()) } }
        (source, Some(delivery)) => { "by " a href={ "/deliveries/" (delivery) } { (source) } }
        ("poll", None) => "found by polling",
        (source, None) => { "by hookd " (source) }
    } }
}

/// How it ended and why, or what goes on.
fn verdict(shown: &Shown<'_>) -> Markup {
    let row = &shown.detail.row;
    let bad = matches!(row.outcome.as_deref(), Some("failed" | "rolled-back"));
    let tone = if bad { "bad" } else { "plain" };
    html! {
        div role="status" {
            @if let Some(reason) = &row.rolling_back { @if row.outcome.is_none() { p.verdict.bad { "Rolling back: " (reason) } } }
            @if let Some(reason) = &row.reason {
                div.verdict.(tone) {
                    p { b { (row.outcome.as_deref().unwrap_or_default().replace('-', " ")) ": " } (reason) }
                    @if bad { p.hint { (commands(&format!("hookd retry {}", row.target))) } }
                }
            }
        }
    }
}

/// The phases: done, going on, and to come.
fn timeline(shown: &Shown<'_>) -> Markup {
    let detail = shown.detail;
    let running = detail.row.outcome.is_none();
    let failed = failed_phase(detail);
    html! {
        ol.timeline aria-label="Phases" {
            @for phase in &detail.phases {
                @let tone = if failed == Some(&*phase.phase) { Tone::Bad } else if phase.finished_at.is_none() && running { Tone::Busy } else { Tone::Good };
                li.(tone.as_str()) data-key=(phase.phase) aria-current=[(tone == Tone::Busy).then_some("step")] {
                    (step(phase, running))
                    @if tone == Tone::Busy { (going_on(shown)) }
                }
            }
            @if running { @for name in to_come(detail, shown.site.map(|(_, target)| target)) {
                li.off data-key=(name) { b { (name) } span.dim { "to come" } }
            } }
        }
        @if let (true, Some(usual)) = (running, shown.usual.filter(|usual| *usual > 0)) {
            @let passed = (clock::now().0 - detail.row.started_at).max(0);
            div.usual {
                progress max=(usual) value=(passed.min(usual * 95 / 100)) data-since=(detail.row.started_at)
                    aria-label="Time passed of the usual duration" {}
                span.dim { "usually " (took(0, usual)) }
            }
        }
    }
}

fn step(phase: &Phase, running: bool) -> Markup {
    html! {
        a href={ "#" (phase.phase) } { b { (phase.phase) } }
        span.dim { @match phase.finished_at {
            Some(end) => (took(phase.started_at, end)),
            None if running => (elapsed(phase.started_at)),
            None => "not finished",
        } }
    }
}

fn going_on(shown: &Shown<'_>) -> Markup {
    html! { @if let Some((text, counted)) = &shown.progress {
        span.dim { (text) }
        @if let Some((done, total)) = counted { progress max=(total) value=(done) aria-label="Progress" {} }
    } }
}

/// The phase that failed, of a deployment that did.
fn failed_phase(detail: &DeploymentDetail) -> Option<&str> {
    let bad = matches!(
        detail.row.outcome.as_deref(),
        Some("failed" | "rolled-back" | "cancelled" | "interrupted")
    );
    let finish = Name::Finish.as_str();
    let last = || {
        detail
            .phases
            .iter()
            .rev()
            .map(|phase| &*phase.phase)
            .find(|name| *name != finish)
    };
    let known = Some(&*detail.row.phase).filter(|name| *name != finish);
    known.filter(|_| bad).or_else(|| last().filter(|_| bad))
}

/// The phases that are still to come, as far as the target has them.
fn to_come<'a>(detail: &'a DeploymentDetail, target: Option<&'a Target>) -> impl Iterator<Item = &'static str> + 'a {
    let has = move |name: Name| match name {
        Name::Reload => target.is_none_or(|target| target.reload.is_some()),
        Name::Check => target.is_none_or(|target| target.check.is_some()),
        _ => true,
    };
    let begun = |name: Name| detail.phases.iter().any(|phase| phase.phase == name.as_str());
    Name::ALL
        .iter()
        .filter(move |name| has(**name) && !begun(**name))
        .map(|name| name.as_str())
}

/// The commits and files between what was live and this.
fn brought(repo: Option<&Repo>, row: &Deployment, brought: Option<&Brought>) -> Markup {
    let (Some(to), Some(from), Some(brought)) = (&row.commit, &row.previous_commit, brought) else {
        return html! {};
    };
    let compare = repo.and_then(|repo| forge::compare_page(repo, from, to));
    html! {
        section data-key="brought" {
            h2 {
                @match brought.count { 0 => "No new commits", 1 => "1 commit", count => { (count) " commits" } }
                " since " (commit(repo, from))
                @if let Some(page) = compare { a.more href=(page) { "Compare on the forge" } }
            }
            ul.commits { @for (id, subject, author) in &brought.commits {
                li { (commit(repo, id)) span.subject { (subject) } span.dim { (author) } }
            } }
            @if brought.count > brought.commits.len() && !brought.commits.is_empty() { p.dim { "The newest " (SHOWN.min(brought.commits.len())) " are shown." } }
            @if let Some(files) = brought.files.as_ref().filter(|files| files.count > 0) {
                details.files {
                    summary { @match files.count { 1 => "1 changed file", count => { (count) " changed files" } } }
                    ul { @for path in &files.first { li { code { (path) } } } }
                    @if files.count > files.first.len() as u64 { p.dim { "The first " (files.first.len()) " are shown." } }
                }
            }
        }
    }
}

/// The log and its tools.
fn log(shown: &Shown<'_>) -> Markup {
    let (row, window) = (&shown.detail.row, shown.window);
    let here = format!("/deployments/{}", row.id);
    let failed = failed_phase(shown.detail);
    let first = window.lines.front().map_or(0, |(number, _)| *number);
    let last = window.lines.back().map_or(0, |(number, _)| *number);
    let at_end = *shown.part == Part::End && row.outcome.is_none();
    let follow = at_end.then(|| format!("{here}/rows?from={}:{}", window.offset, window.total));
    html! {
        section.log aria-labelledby="log" {
            div.tools {
                h2 #log { "Log" }
                @if failed.is_some() { @if let Some(line) = window.error {
                    a.button href={ (here) "?line=" (line) "#L" (line) } { "First error" }
                } }
                label.follow hidden[!at_end] data-script { input #follow type="checkbox" checked; " Follow" }
                a.button href={ (here) "/log" } { "Raw log" }
                form role="search" action=(here) {
                    input type="search" name="q" aria-label="Search the log" placeholder="Search the log" value=[found(shown.part)];
                }
            }
            @if let Part::Matching(text) = shown.part {
                p.dim role="status" {
                    (window.matches) " of " (window.total) " lines contain “" (text) "”"
                    @if window.matches > LINES as u64 { ", the first " (LINES) " are shown" }
                    " · " a href=(here) { "Show the whole log" }
                }
            } @else if first > 1 {
                p.more-lines { a.earlier href={ (here) "?before=" (first) "#L" (first - 1) } { (first - 1) " earlier lines" } }
            }
            div #lines.lines tabindex="0" role="region" aria-label="Lines of the log" data-follow=[follow] data-keep[at_end] { (folds(window, failed)) }
            @if last < window.total && !matches!(shown.part, Part::Matching(_)) {
                p.more-lines { a href={ (here) "?line=" (last + 1) "#L" (last + 1) } { (window.total - last) " later lines" } }
            }
            @if window.total == 0 { p.dim.silent { "Nothing has been printed yet." } }
        }
    }
}

fn found(part: &Part) -> Option<&str> {
    match part {
        Part::Matching(text) => Some(text),
        _ => None,
    }
}
