//! Acts of people on the page: a button leads to a page that says what will be done, and its form does it.

use maud::{Markup, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::asked::Asked;
use super::forms::{Form, redirect};
use super::parts::{Tone, commit, shown_ref};
use super::{Page, form_token};
use crate::api::{DeployRequest, Query, Releases, RollbackRequest, TargetStatus};
use crate::config::{Repo, Strategy, Target};
use crate::http::App;
use crate::http::answer::Answer;
use crate::http::visitor::{Deed, Guest, Visitor};
use crate::model::{Refusal, RefusalKind, TargetId, short_commit};
use crate::operate::Act;

type Result<T> = std::result::Result<T, Refusal>;

/// Each act on a target: its word in paths, on its button, and what is said once it is done.
const ACTS: &[(&str, &str, &str)] = &[
    ("deploy", "Deploy", "The deployment is queued."),
    ("retry", "Retry", "It is queued for another try."),
    ("rollback", "Roll back", "The rollback is queued."),
    (
        "cancel",
        "Cancel",
        "The running deployment is being stopped, and the queued one is dropped.",
    ),
    (
        "pause",
        "Pause",
        "The target is paused: nothing is deployed to it until it is resumed.",
    ),
    ("resume", "Resume", "The target is resumed."),
];

fn known(word: &str) -> Option<&'static (&'static str, &'static str, &'static str)> {
    ACTS.iter().find(|(known, ..)| *known == word)
}

/// What was just done, after the way back from a form. The words are these alone: an address can't make the page say others.
pub(super) fn done(query: &Query) -> Markup {
    let said = query.get("done").and_then(|word| match word.as_str() {
        "replay" => Some("The delivery was handled again: what it asks for is queued."),
        "ignored" => Some("The delivery was handled again, and asks for nothing."),
        word => known(word).map(|(.., said)| *said),
    });
    html! { @if let Some(said) = said { p.done role="status" data-key="done" { (said) } } }
}

/// The buttons of a target, for who may act: what helps now comes first.
pub(super) fn buttons(visitor: &Visitor, status: &TargetStatus, target: &Target, releases: &Releases) -> Markup {
    if visitor.actor().is_none() {
        return html! {};
    }
    let busy = status.running.is_some() || !status.waiting.is_empty();
    let held = status.paused || status.pinned.is_some();
    let failed = status
        .last
        .as_ref()
        .is_some_and(|last| matches!(last.outcome.as_deref(), Some("failed" | "rolled-back")));
    let goes_back = target.strategy == Strategy::Release && back_to(releases, None).is_some();
    let shown = [
        ("resume", held),
        ("deploy", !held),
        ("retry", failed && !held && !busy),
        ("cancel", busy),
        ("rollback", goes_back),
        ("pause", !status.paused),
    ];
    html! { div.acts role="group" aria-label={ "Acts on " (status.target) } {
        @for (word, _) in shown.iter().filter(|(_, shown)| *shown) { (button(&status.target, word, "")) }
    } }
}

/// The link to the page that asks whether it is meant.
fn button(target: &str, word: &str, query: &str) -> Markup {
    let label = known(word).map_or("", |(_, label, _)| *label);
    html! { a.button.(word) href={ "/targets/" (target) "/" (word) (query) } data-key={ "act-" (word) } { (label) } }
}

/// The link that rolls back to one release.
pub(super) fn back_button(visitor: &Visitor, target: &TargetId, release: &str) -> Markup {
    html! { @if visitor.actor().is_some() {
        span.act { a.button.small href={ "/targets/" (target) "/rollback?release=" (release) } {
            "Roll back" span.sr { " to " (release) }
        } }
    } }
}

/// The buttons of a deployment.
pub(super) fn of_deployment(visitor: &Visitor, target: &str, git_ref: &str, outcome: Option<&str>) -> Markup {
    if visitor.actor().is_none() {
        return html! {};
    }
    let query = format!("?ref={}", utf8_percent_encode(git_ref, NON_ALPHANUMERIC));
    html! { div.acts role="group" aria-label="Acts" {
        @match outcome {
            None => (button(target, "cancel", "")),
            Some("failed" | "rolled-back" | "cancelled" | "interrupted") => (button(target, "retry", &query)),
            Some(_) => {}
        }
    } }
}

/// The button of a delivery.
pub(super) fn of_delivery(visitor: &Visitor, number: i64) -> Markup {
    html! { @if visitor.actor().is_some() {
        div.acts role="group" aria-label="Acts" { a.button href={ "/deliveries/" (number) "/replay" } { "Replay" } }
    } }
}

/// The release that a rollback goes to: the named one, or the newest good one before the live one that holds another commit.
fn back_to<'a>(releases: &'a Releases, named: Option<&str>) -> Option<&'a crate::api::Release> {
    let good = || releases.releases.iter().filter(|release| release.state == "good");
    if let Some(named) = named {
        return good().find(|release| release.name == named);
    }
    let live = good().position(|release| Some(&release.name) == releases.current.as_ref());
    let commit = live.and_then(|at| Some(&good().nth(at)?.commit));
    good()
        .skip(live.map_or(0, |at| at + 1))
        .find(|release| Some(&release.commit) != commit)
}

/// What the page says of an act.
struct Plan {
    /// The question.
    title: String,
    /// From where to where, and what happens besides.
    says: Markup,
    /// What the button is called.
    verb: &'static str,
    /// What else the form sends.
    fields: Vec<(&'static str, String)>,
}

impl App {
    fn require_actor(visitor: &Visitor) -> Result<&Guest> {
        visitor
            .actor()
            .ok_or_else(|| Refusal::new(RefusalKind::Forbidden, visitor.limits()))
    }

    /// `GET /targets/REPO/TARGET/ACT`: says what the act will do.
    pub(super) async fn act_page(&self, (repo, target, word): (&str, &str, &str), asked: &Asked<'_>) -> Result<Answer> {
        let act = known(word).ok_or_else(|| Refusal::not_found("there is no such page"))?;
        let guest = Self::require_actor(asked.visitor)?;
        let target = self.operator.target(repo, target)?;
        let gone = || Refusal::not_found(format!("there is no target {}", target.id));
        let status = self.overview.status_of(&target).await?.ok_or_else(gone)?;
        let releases = self.overview.releases(&target).await?;
        let config = self.settings().config;
        let repo = config.repos.get(&target.id.repo).ok_or_else(gone)?;
        let plan = plan(act, repo, &status, &releases, asked.query)?;
        let back = format!("/targets/{}", target.id);
        Ok(confirm(asked.visitor, guest, &plan, (&back, &status.target)))
    }

    /// `GET /deliveries/N/replay`
    pub(super) async fn replay_page(&self, id: &str, visitor: &Visitor) -> Result<Answer> {
        let guest = Self::require_actor(visitor)?;
        let (row, explanation) = self.overview.explanation(id).await?;
        let deploys = explanation
            .verdicts
            .iter()
            .filter(|verdict| verdict.verdict == "deploy");
        let deploys: Vec<&str> = deploys.map(|verdict| verdict.target.as_str()).collect();
        let plan = Plan {
            title: "Replay this delivery?".to_owned(),
            says: html! {
                p { "It is handled as if it had just come in: " (row.forge) " " (row.event) " of " b { (row.repo) } "." }
                @if deploys.is_empty() { p { "By today's rules it asks for nothing." } }
                @else { p { "It deploys " b { (deploys.join(", ")) } ", to what the ref is at now." } }
            },
            verb: "Replay",
            fields: Vec::new(),
        };
        let back = format!("/deliveries/{id}");
        Ok(confirm(visitor, guest, &plan, (&back, "Delivery")))
    }

    /// Does what a form asks for, and leads back.
    pub(super) async fn act(&self, parts: &[&str], form: &Form, visitor: &Visitor) -> Result<Answer> {
        let forbidden = || Refusal::new(RefusalKind::Forbidden, visitor.limits());
        let by = visitor.by(Deed::Act).ok_or_else(forbidden)?;
        let given = |name: &str| Some(form.get(name).to_owned()).filter(|value| !value.is_empty());
        match *parts {
            ["targets", repo, target, word] => {
                let target = self.operator.target(repo, target)?;
                let request = || DeployRequest { git_ref: given("ref") };
                let act = match word {
                    "deploy" => Act::Deploy(request()),
                    "retry" => Act::Retry(request()),
                    "rollback" => Act::Rollback(RollbackRequest {
                        release: given("release"),
                    }),
                    "cancel" => Act::Cancel,
                    "pause" => Act::Pause,
                    "resume" => Act::Resume,
                    _ => return Err(Refusal::not_found("there is no such page")),
                };
                self.operator.act(&by, &target, act).await?;
                Ok(redirect(&format!("/targets/{}?done={word}", target.id)))
            }
            ["deliveries", id, "replay"] => {
                let asked = self.operator.replay(&by, id).await?;
                let done = if asked.jobs.is_empty() { "ignored" } else { "replay" };
                Ok(redirect(&format!("/deliveries/{id}?done={done}")))
            }
            _ => Err(Refusal::not_found("there is no such page")),
        }
    }
}

/// The page that asks.
fn confirm(visitor: &Visitor, guest: &Guest, plan: &Plan, (back, name): (&str, &str)) -> Answer {
    let page = Page {
        title: &plan.title,
        part: "",
        tone: Tone::Off,
        busy: None,
        visitor,
    };
    page.answer(&html! {
        p.kicker { a href="/" { "Targets" } " / " a href=(back) { (name) } }
        div.narrow {
            h1 { (plan.title) }
            form.card method="post" {
                div.plan { (plan.says) }
                (form_token(guest))
                @for (name, value) in &plan.fields { input type="hidden" name=(name) value=(value); }
                div.acts {
                    button.button.primary type="submit" autofocus { (plan.verb) }
                    a.button href=(back) { "Back" }
                }
            }
        }
    })
}

/// What an act will do, as far as it is known now.
fn plan(
    (word, verb, _): &(&str, &'static str, &str),
    repo: &Repo,
    status: &TargetStatus,
    releases: &Releases,
    query: &Query,
) -> Result<Plan> {
    let name = &status.target;
    let mut fields = Vec::new();
    let named_ref = query.get("ref").cloned();
    let says = match *word {
        "deploy" | "retry" => {
            fields.extend(named_ref.clone().map(|named| ("ref", named)));
            deploys(repo, status, named_ref.as_deref(), *word == "retry")
        }
        "rollback" => {
            let named = query.get("release").map(String::as_str);
            let release = back_to(releases, named);
            let release = release.ok_or_else(|| {
                let what = named.map_or("of another commit before the live one".to_owned(), ToOwned::to_owned);
                Refusal::not_found(format!("there is no good release {what}"))
            })?;
            fields.push(("release", release.name.clone()));
            let subject = release.subject.as_deref();
            html! {
                (change(repo, status, Some((&release.commit, subject))))
                p { "The release " code { (release.name) } " is still there: no fetch and no build. The target stays at it until it is resumed." }
            }
        }
        "cancel" => html! {
            @match &status.running {
                Some(row) => p { "Deployment " b { "#" (row.id) } " is stopped in its phase " b { (row.phase) } ". What is live stays, or comes back." },
                None => p { "Nothing runs." },
            }
            @if !status.waiting.is_empty() { p { (status.waiting.len()) " queued " (if status.waiting.len() == 1 { "job is" } else { "jobs are" }) " dropped." } }
        },
        "pause" => html! {
            p { "Nothing is deployed to " b { (name) } " until it is resumed. What is pushed meanwhile waits." }
            @if status.running.is_some() { p { "What runs goes on to its end." } }
        },
        _ => html! {
            @if status.pinned.is_some() {
                (change(repo, status, tip(status)))
                p { "The target is no longer held at its release, and deploys the tip of its ref." }
            } @else {
                p { b { (name) } " deploys again; what was pushed meanwhile comes first." }
            }
        },
    };
    Ok(Plan {
        title: format!("{verb} {name}?"),
        says,
        verb,
        fields,
    })
}

fn tip(status: &TargetStatus) -> Option<(&str, Option<&str>)> {
    status
        .tip
        .as_ref()
        .map(|tip| (tip.commit.as_str(), tip.subject.as_deref()))
}

fn deploys(repo: &Repo, status: &TargetStatus, named: Option<&str>, again: bool) -> Markup {
    let known = status
        .tip
        .as_ref()
        .filter(|tip| named.is_none_or(|named| tip.git_ref == named));
    let target = known.map(|tip| (tip.commit.as_str(), tip.subject.as_deref()));
    html! {
        (change(repo, status, target))
        p {
            @match named.map(shown_ref).or(known.map(|tip| shown_ref(&tip.git_ref))) {
                Some(name) => { "It fetches what " b { (name) } " is at now, builds it, and puts it live if it is well." },
                None => { "It fetches what the target follows, builds it, and puts it live if it is well." },
            }
            @if again { " What failed before is tried again." }
        }
    }
}

/// `03b3e09 → 24340d3`, with their subjects.
fn change(repo: &Repo, status: &TargetStatus, to: Option<(&str, Option<&str>)>) -> Markup {
    let end = |label: &str, end: Option<(&str, Option<&str>)>| {
        html! {
            div {
                dt { (label) }
                dd { @match end {
                    Some((id, subject)) => { (commit(Some(repo), id)) " " span.subject { (subject.unwrap_or_default()) } },
                    None => span.dim { "not known yet" },
                } }
            }
        }
    };
    let live = status
        .live
        .as_ref()
        .map(|live| (live.commit.as_str(), live.subject.as_deref()));
    html! {
        @if let (Some((from, _)), Some((to, _))) = (live, to) {
            p.change { code { (short_commit(from)) } " → " code { (short_commit(to)) } @if from == to { " (the same commit)" } }
        }
        dl.facts {
            @if live.is_some() { (end("Live now", live)) }
            (end("After it", to))
        }
    }
}
