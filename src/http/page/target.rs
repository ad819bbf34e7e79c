//! `GET /targets/REPO/TARGET`: one target, its releases, its history, and its configuration as hookd understands it.

use maud::{Markup, html};

use super::asked::Asked;
use super::lists::{History, deployments};
use super::overview::{Extra, live, running, strip, tone, waiting};
use super::parts::{ago, commit, empty, pill, problems, shown_ref};
use super::{Page, acts};
use crate::api::{Releases, TargetStatus};
use crate::config::{Check, Command, Config, Repo, Strategy, Target};
use crate::http::answer::Answer;
use crate::http::visitor::Visitor;

/// Makes the page.
pub(super) fn target(
    asked: &Asked<'_>,
    config: &Config,
    (repo, target): (&Repo, &Target),
    status: &TargetStatus,
    releases: &Releases,
    extra: &Extra,
    history: &History<'_>,
) -> Answer {
    let title = format!("{}: {}", status.target, status.state.replace('-', " "));
    let page = Page {
        title: &title,
        part: "/",
        tone: tone(status),
        busy: Some(status.running.is_some()),
        visitor: asked.visitor,
    };
    page.answer(&html! {
        p.kicker { a href="/" { "Targets" } }
        div.heading {
            h1 { (status.target) }
            (pill(&status.state))
            @if let Some(url) = &status.url { a.visit href=(url) { "Visit site" } }
        }
        (acts::done(asked.query))
        (acts::buttons(asked.visitor, status, target, releases))
        div.card.(tone(status).as_str()) {
            (live(Some(repo), status))
            (running(Some(repo), status, extra))
            (waiting(&status.waiting))
            (problems(&status.problems))
            (strip(&extra.outcomes))
        }
        section { h2 { "Releases" } (kept(asked.visitor, repo, target, releases)) }
        section { h2 #history { "Deployments" } (deployments(config, history, false)) }
        section { h2 { "Configuration" } (settings(repo, target)) }
    })
}

fn kept(visitor: &Visitor, repo: &Repo, target: &Target, releases: &Releases) -> Markup {
    if target.strategy == Strategy::InPlace {
        return empty(
            "An in-place target has one directory and no releases.",
            "`strategy = \"release\"` keeps some",
        );
    }
    if releases.releases.is_empty() {
        return empty("No release has been made yet.", &format!("hookd deploy {}", target.id));
    }
    html! { ol.list.releases {
        @for release in &releases.releases {
            @let current = releases.current.as_deref() == Some(&release.name);
            li data-key={ "r" (release.name) } {
                span.what { (pill(if current { "live" } else { &release.state })) }
                span.text {
                    span.subject { (release.subject.as_deref().unwrap_or("(no subject is known)")) }
                    " " (commit(Some(repo), &release.commit))
                    @if let Some(author) = &release.author { " " span.dim { (author) } }
                    span.reason { code { (release.name) } }
                }
                span.target { (shown_ref(&release.git_ref)) }
                span.when { (ago(release.created_at)) " · " a href={ "/deployments/" (release.deployment) } { "#" (release.deployment) } }
                @if !current && release.state == "good" { (acts::back_button(visitor, &target.id, &release.name)) }
            }
        }
    } }
}

/// The configuration of the target, defaults included. Values of `env` may be secrets, so only their names are shown.
fn settings(repo: &Repo, target: &Target) -> Markup {
    let yes = |yes: bool| Some(if yes { "yes" } else { "no" }.to_owned());
    let some = |items: Vec<&str>| (!items.is_empty()).then(|| items.join(", "));
    let command = |command: &Option<Command>| command.as_ref().map(shown_command);
    let time = |duration: std::time::Duration| Some(format!("{} s", duration.as_secs()));
    let env: Vec<&str> = target.env.keys().map(String::as_str).collect();
    let rows: Vec<(&str, Option<String>)> = vec![
        (
            "repository",
            Some(
                repo.remote
                    .host
                    .iter()
                    .map(String::as_str)
                    .chain([&*repo.remote.path])
                    .collect::<Vec<_>>()
                    .join("/"),
            ),
        ),
        ("forge", repo.forge.map(|forge| forge.as_str().to_owned())),
        ("follows", Some(crate::overview::follows(&target.refs))),
        ("path", Some(target.path.display().to_string())),
        (
            "strategy",
            Some(
                if target.strategy == Strategy::InPlace {
                    "in-place"
                } else {
                    "release"
                }
                .to_owned(),
            ),
        ),
        (
            "paths",
            some(target.paths.iter().map(|pattern| &*pattern.text).collect()),
        ),
        (
            "pusher",
            some(target.pusher.iter().map(|pattern| &*pattern.text).collect()),
        ),
        ("on", some(target.on.iter().map(|event| &*event.0).collect())),
        (
            "require_checks",
            some(target.require_checks.iter().map(String::as_str).collect()),
        ),
        (
            "require_signed",
            target.require_signed.as_ref().map(|file| file.display().to_string()),
        ),
        ("build", command(&target.build)),
        ("reload", command(&target.reload)),
        (
            "check",
            target.check.as_ref().map(|check| match check {
                Check::Url(url) => format!("{}{}", url.origin().ascii_serialization(), url.path()),
                Check::Command(command) => shown_command(command),
            }),
        ),
        ("run_as", target.run_as.clone()),
        ("env", some(env).map(|names| format!("{names} (values are not shown)"))),
        ("shared", some(target.shared.iter().map(String::as_str).collect())),
        ("keep", Some(target.keep.to_string())),
        ("timeout", time(target.timeout)),
        ("network", yes(target.network)),
        ("notify", some(target.notify.iter().map(String::as_str).collect())),
        (
            "poll",
            Some(
                repo.poll
                    .map_or("off".to_owned(), |every| format!("{} s", every.as_secs())),
            ),
        ),
    ];
    html! { dl.settings { @for (name, value) in rows { @if let Some(value) = value { div { dt { (name) } dd { code { (value) } } } } } } }
}

fn shown_command(command: &Command) -> String {
    match command {
        Command::Shell(line) => line.clone(),
        Command::Argv(words) => format!("{words:?}"),
    }
}
