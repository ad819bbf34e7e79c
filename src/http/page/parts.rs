//! The small parts of all pages: states, times, commits, problems.

use maud::{Markup, html};

use crate::api::{Problem, Status};
use crate::clock;
use crate::config::Repo;
use crate::forge;
use crate::model::{Timestamp, short_commit, spelled};

spelled! {
    /// What a word means.
    pub(super) Tone "tone" {
        Good = "good",
        Bad = "bad",
        Warn = "warn",
        Busy = "busy",
        Off = "off",
    }
}

impl Tone {
    /// Of a state, an outcome, a result, or the code of a problem.
    pub(super) fn of(word: &str) -> Self {
        match word {
            "live" | "accepted" | "good" | "deploy" | "yes" => Self::Good,
            "failed" | "rolled-back" | "nothing-live" | "rejected" | "no" => Self::Bad,
            "paused" | "pinned" | "interrupted" | "cancelled" | "behind" => Self::Warn,
            "running" | "waiting" | "building" => Self::Busy,
            _ => Self::Off,
        }
    }
}

/// A state, an outcome or a result in its colour; its word says the same to who sees none.
pub(super) fn pill(word: &str) -> Markup {
    html! { span.pill.(Tone::of(word).as_str()) { (word.replace('-', " ")) } }
}

/// How all stands, in one sentence, and its tone.
pub(super) fn sentence(status: &Status) -> (String, Tone) {
    let moves = status.targets.iter().any(|target| target.running.is_some());
    match status.sentence() {
        None => ("No target is configured yet".to_owned(), Tone::Off),
        Some((said, false)) => (said, Tone::Bad),
        Some((said, true)) => (said, if moves { Tone::Busy } else { Tone::Good }),
    }
}

/// A point in time; the script writes it in the reader's zone.
pub(super) fn time(milliseconds: i64) -> Markup {
    let time = Timestamp(milliseconds).to_string();
    let text = time.get(..16).unwrap_or(&time).replace('T', " ");
    html! { time datetime=(time) title={ (time.replace('T', " ").replace('Z', " UTC")) } { (text) " UTC" } }
}

/// How long ago something was, with the time itself at hand.
pub(super) fn ago(milliseconds: i64) -> Markup {
    let time = Timestamp(milliseconds).to_string();
    let title = time.replace('T', " ").replace('Z', " UTC");
    html! { time.ago datetime=(time) title=(title) { (ago_text(clock::now().0 - milliseconds)) } }
}

fn ago_text(milliseconds: i64) -> String {
    let seconds = milliseconds.max(0) / 1000;
    match seconds {
        0..45 => "just now".to_owned(),
        45..3600 => format!("{} min ago", (seconds / 60).max(1)),
        3600..86_400 => format!("{} h ago", seconds / 3600),
        _ if seconds < 2 * 86_400 => "1 day ago".to_owned(),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

/// Time that goes on since then; the script counts it up.
pub(super) fn elapsed(since: i64) -> Markup {
    html! { span.elapsed data-since=(since) { (took(since, clock::now().0)) } }
}

/// How long something took: `0.3 s`, `2 m 5 s`.
pub(super) fn took(from: i64, to: i64) -> String {
    let milliseconds = to.saturating_sub(from).max(0);
    let seconds = milliseconds / 1000;
    match seconds {
        0..10 => format!("{seconds}.{} s", milliseconds % 1000 / 100),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} m {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// The first seven characters of a commit, which lead to its page on the forge.
pub(super) fn commit(repo: Option<&Repo>, commit: &str) -> Markup {
    let short = short_commit(commit);
    let page = repo.and_then(|repo| forge::commit_page(repo, commit));
    html! {
        @if let Some(page) = page { a.sha href=(page) title=(commit) { (short) } }
        @else { code.sha title=(commit) { (short) } }
    }
}

/// `main` of `refs/heads/main`.
pub(super) fn shown_ref(git_ref: &str) -> &str {
    git_ref
        .strip_prefix("refs/heads/")
        .or_else(|| git_ref.strip_prefix("refs/tags/"))
        .unwrap_or(git_ref)
}

/// A hint, with the commands in it as code.
pub(super) fn commands(hint: &str) -> Markup {
    html! { @for (number, part) in hint.split(", ").enumerate() {
        @if number > 0 { ", " }
        @match part.find("hookd ") {
            Some(at) if !part.contains('`') && (part[..at].is_empty() || part[..at].ends_with(' ')) => {
                (part[..at]) code { (command(&part[at..])) } (&part[at + command(&part[at..]).len()..])
            }
            _ => (quoted(part)),
        }
    } }
}

/// The command at the start of a text: up to a word that goes on with the sentence.
fn command(text: &str) -> &str {
    let ends = [" lists", " shows", " says", " tells"];
    let end = ends.iter().filter_map(|word| text.find(word)).min();
    &text[..end.unwrap_or(text.len())]
}

/// Text in which what stands between backticks is code.
fn quoted(text: &str) -> Markup {
    html! { @for (number, part) in text.split('`').enumerate() {
        @if number % 2 == 1 { code { (part) } } @else { (part) }
    } }
}

/// Problems that need a person, each with its remedy.
pub(super) fn problems(problems: &[Problem]) -> Markup {
    html! { @if !problems.is_empty() {
        ul.problems {
            @for problem in problems {
                li.problem.(if Tone::of(&problem.code) == Tone::Warn { "warn" } else { "bad" }) data-key=(problem.code) {
                    p { (told(problem)) @if let Some(since) = problem.since { " " span.dim { (ago(since)) } } }
                    @if !problem.hint.is_empty() { p.hint { (commands(&problem.hint)) } }
                }
            }
        }
    } }
}

/// What is wrong; the deployment that failed is at hand.
fn told(problem: &Problem) -> Markup {
    let failed = Some(&problem.text).filter(|_| problem.code == "failed");
    let parts = failed.and_then(|text| text.split_once('#'));
    html! { @match parts {
        Some((before, after)) => {
            @let digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            (before) a href={ "/deployments/" (&after[..digits]) } { "#" (&after[..digits]) } (&after[digits..])
        }
        None => (problem.text),
    } }
}

/// An empty place, and what fills it.
pub(super) fn empty(what: &str, hint: &str) -> Markup {
    html! { div.empty { p { (what) } p.hint { (commands(hint)) } } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_in_words() {
        for (milliseconds, words) in [
            (0, "0.0 s"),
            (340, "0.3 s"),
            (59_999, "59 s"),
            (125_000, "2 m 5 s"),
            (7_260_000, "2 h 1 m"),
        ] {
            assert_eq!(took(1000, 1000 + milliseconds), words);
        }
        // A clock that was set back.
        assert_eq!(took(1000, 0), "0.0 s");
    }

    #[test]
    fn ages_in_words() {
        for (milliseconds, words) in [
            (-5, "just now"),
            (61_000, "1 min ago"),
            (7_200_000, "2 h ago"),
            (100_000_000, "1 day ago"),
            (900_000_000, "10 days ago"),
        ] {
            assert_eq!(ago_text(milliseconds), words);
        }
    }

    #[test]
    fn what_comes_from_outside_stays_text() {
        assert_eq!(
            pill("<script>").into_string(),
            r#"<span class="pill off">&lt;script&gt;</span>"#
        );
    }

    #[test]
    fn commands_in_hints_are_code() {
        for (hint, markup) in [
            ("hookd deploy a/b", "<code>hookd deploy a/b</code>"),
            (
                "hookd logs 3, then hookd retry a/b",
                "<code>hookd logs 3</code>, then <code>hookd retry a/b</code>",
            ),
            (
                "hookd deliveries lists them",
                "<code>hookd deliveries</code> lists them",
            ),
            ("did you mean `main`?", "did you mean <code>main</code>?"),
        ] {
            assert_eq!(commands(hint).into_string(), markup);
        }
    }
}
