//! The CI checks of a commit: whether all that are required are green, and what a forge's API says of them.
//!
//! Only forges with an API for it are asked, and only if a `[forge.NAME]` has a token; for all others the events tell.

mod gitea;
mod github;
mod gitlab;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use url::Url;

use crate::config::{ForgeApi, ForgeKind};
use crate::model::{CheckState, CommitId, Secret};
use crate::web;

/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Largest answer, bytes: a hundred check runs with all that GitHub says of them.
const ANSWER_MAX: usize = 4 << 20;

/// First and longest pause between two questions about one commit. GitHub allows 5,000 an hour.
const PAUSE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_mins(1));

/// The states of checks, by name.
pub type States = BTreeMap<String, CheckState>;

/// Whether a commit may be deployed, as far as its checks go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// All that are required are green.
    Green,
    /// One of them is red.
    Red(String),
    /// None is red, and not all are green.
    Pending(String),
}

/// Looks at the required checks among those that are known.
pub fn judge(required: &[String], known: &States) -> Verdict {
    let of = |wanted: CheckState| {
        let state = |name: &String| known.get(name).copied().unwrap_or(CheckState::Pending);
        let names: Vec<&str> = required
            .iter()
            .filter(|name| state(name) == wanted)
            .map(String::as_str)
            .collect();
        (!names.is_empty()).then(|| format!("{} {}", names.join(", "), wanted.as_str()))
    };
    match (of(CheckState::Red), of(CheckState::Pending)) {
        (Some(red), _) => Verdict::Red(red),
        (None, Some(pending)) => Verdict::Pending(pending),
        (None, None) => Verdict::Green,
    }
}

/// When to ask again about a commit that has waited for so long: often at first, once a minute in the end.
pub fn pause(waited: Duration) -> Duration {
    (waited / 5).clamp(PAUSE.0, PAUSE.1)
}

/// A question to a forge's API.
pub struct Question<'a> {
    /// The API.
    pub api: &'a ForgeApi,
    /// Its token.
    pub token: &'a Secret,
    /// The repo's name there.
    pub full_name: &'a str,
    /// The commit.
    pub commit: &'a CommitId,
    /// The checks.
    pub names: &'a [String],
}

/// The API's base where nothing else is configured; none for forges that have no public place.
pub fn public_api(kind: ForgeKind) -> Option<&'static str> {
    match kind {
        ForgeKind::GitHub => Some("https://api.github.com"),
        ForgeKind::GitLab => Some("https://gitlab.com/api/v4"),
        ForgeKind::Forgejo => Some("https://codeberg.org/api/v1"),
        _ => None,
    }
}

impl Question<'_> {
    /// Asks; none if nobody knows how to ask this forge. Checks that the forge does not know are left out.
    pub async fn ask(&self) -> Option<Result<States, String>> {
        let base = match &self.api.url {
            Some(url) => url.clone(),
            None => Url::parse(public_api(self.api.kind)?).ok()?,
        };
        let answer = match self.api.kind {
            ForgeKind::GitHub => github::ask(self, &base).await,
            ForgeKind::GitLab => gitlab::ask(self, &base).await,
            ForgeKind::Gitea | ForgeKind::Forgejo => gitea::ask(self, &base).await,
            _ => return None,
        };
        Some(answer)
    }

    /// One GET below the base; the segments are escaped. Nothing that is answered gets into an error.
    async fn get(&self, base: &Url, path: &[&str], query: &[(&str, &str)]) -> Result<Value, String> {
        let mut url = base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let shown = web::shown(&url);
        let token = String::from_utf8_lossy(self.token.expose()).into_owned();
        let (name, value) = match self.api.kind {
            ForgeKind::GitLab => ("private-token", token),
            ForgeKind::GitHub => ("authorization", format!("Bearer {token}")),
            _ => ("authorization", format!("token {token}")),
        };
        let accept = match self.api.kind {
            ForgeKind::GitHub => "application/vnd.github+json",
            _ => "application/json",
        };
        let headers = [(name.to_owned(), value), ("accept".to_owned(), accept.to_owned())];
        let answer = web::fetch(&url, &headers, ANSWER_MAX, TIMEOUT).await;
        let answer = answer.map_err(|e| format!("{shown}: {e}"))?;
        match answer.status {
            200 => serde_json::from_slice(&answer.body).map_err(|_| format!("{shown}: the answer is no JSON")),
            status @ (401 | 403) => Err(format!(
                "{shown}: answered {status}; is the token of `[forge.NAME]` right?"
            )),
            status => Err(format!("{shown}: answered {status}")),
        }
    }
}

/// Several runs under one name count as one: red if one is, green if all are.
fn together(states: impl Iterator<Item = CheckState>) -> Option<CheckState> {
    states.reduce(|one, other| match (one, other) {
        (CheckState::Red, _) | (_, CheckState::Red) => CheckState::Red,
        (CheckState::Green, CheckState::Green) => CheckState::Green,
        _ => CheckState::Pending,
    })
}

/// The list at a pointer, or an empty one.
fn list<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The text under a key, or an empty one.
fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use CheckState::{Green, Pending, Red};

    #[test]
    fn all_must_be_green_and_one_red_is_enough() {
        let required = ["build".to_owned(), "lint".to_owned()];
        let known =
            |states: &[(&str, CheckState)]| states.iter().map(|(n, s)| ((*n).to_owned(), *s)).collect::<States>();
        let of = |states: &[(&str, CheckState)]| judge(&required, &known(states));
        assert_eq!(of(&[("build", Green), ("lint", Green), ("other", Red)]), Verdict::Green);
        assert_eq!(of(&[]), Verdict::Pending("build, lint pending".into()));
        assert_eq!(of(&[("build", Green)]), Verdict::Pending("lint pending".into()));
        assert_eq!(
            of(&[("build", Pending), ("lint", Green)]),
            Verdict::Pending("build pending".into())
        );
        assert_eq!(
            of(&[("build", Pending), ("lint", Red)]),
            Verdict::Red("lint red".into())
        );
        assert_eq!(
            of(&[("build", Red), ("lint", Red)]),
            Verdict::Red("build, lint red".into())
        );
        assert_eq!(judge(&[], &known(&[])), Verdict::Green);
    }

    #[test]
    fn runs_of_one_name_count_together() {
        assert_eq!(together([].into_iter()), None);
        assert_eq!(together([Green, Green].into_iter()), Some(Green));
        assert_eq!(together([Green, Pending].into_iter()), Some(Pending));
        assert_eq!(together([Pending, Red, Green].into_iter()), Some(Red));
    }

    #[test]
    fn questions_become_rare() {
        let seconds = |waited| pause(Duration::from_secs(waited)).as_secs();
        assert_eq!((seconds(0), seconds(20), seconds(100), seconds(3000)), (2, 4, 20, 60));
    }
}
