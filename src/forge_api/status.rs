//! Commit statuses: what a forge shows beside a commit.

use http::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Api, ApiError, Call, Purpose};
use crate::config::ForgeKind;
use crate::model::CommitId;

/// Longest description, characters. GitHub refuses longer ones, the others cut them.
pub const DESCRIPTION_MAX: usize = 140;

/// Longest key of a build status at Bitbucket, characters.
const KEY_MAX: usize = 40;

/// Longest id of a flag at Pagure, characters.
const FLAG_ID: usize = 32;

/// How far a commit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It waits.
    Pending,
    /// It is being deployed.
    Running,
    /// It is live, and its check has passed.
    Success,
    /// It failed, or was rolled back.
    Failure,
    /// Somebody stopped it, or a newer push took its place.
    Canceled,
    /// There was nothing to deploy.
    Skipped,
}

/// A status as it is to be shown.
#[derive(Debug, Clone)]
pub struct CommitStatus<'a> {
    /// The commit.
    pub commit: &'a CommitId,
    /// Branch or tag, without `refs/heads/`.
    pub git_ref: &'a str,
    /// What it is about: `hookd/REPO/TARGET`.
    pub context: &'a str,
    /// How far it is.
    pub state: State,
    /// The reason, of which at most [`DESCRIPTION_MAX`] characters are shown.
    pub description: &'a str,
    /// Where more is to be seen.
    pub link: Option<&'a str>,
}

/// True if hookd can set commit statuses at this forge.
pub fn has_statuses(kind: ForgeKind) -> bool {
    matches!(
        kind,
        ForgeKind::GitHub
            | ForgeKind::GitLab
            | ForgeKind::Gitea
            | ForgeKind::Forgejo
            | ForgeKind::Bitbucket
            | ForgeKind::BitbucketServer
            | ForgeKind::AzureDevOps
            | ForgeKind::Pagure
    )
}

impl Api {
    /// Sets the status of a commit. Setting the same one again changes nothing.
    pub async fn put_status(&self, status: &CommitStatus<'_>) -> Result<(), ApiError> {
        let commit = status.commit.as_str();
        let (mut path, query): (Vec<&str>, &[(&str, &str)]) = match self.kind {
            ForgeKind::BitbucketServer => (vec!["rest", "build-status", "1.0", "commits", commit], &[]),
            ForgeKind::AzureDevOps => (self.azure_repository(), &[("api-version", "7.1")]),
            _ => (self.repository(), &[]),
        };
        match self.kind {
            ForgeKind::Bitbucket => path.extend(["commit", commit, "statuses", "build"]),
            ForgeKind::BitbucketServer => {}
            ForgeKind::AzureDevOps => path.extend(["commits", commit, "statuses"]),
            ForgeKind::Pagure => path.extend(["c", commit, "flag"]),
            _ => path.extend(["statuses", commit]),
        }
        let body = self.status_body(status);
        let call = Call {
            method: Method::POST,
            path,
            query,
            body: Some(&body),
            purpose: Purpose::Status,
        };
        match self.call(call).await {
            // GitLab refuses a state that the status already has.
            Err(error) if self.kind == ForgeKind::GitLab && error.message.contains("Cannot transition status") => {
                Ok(())
            }
            done => done.map(drop),
        }
    }

    /// `ORG/PROJECT/_apis/git/repositories/NAME`; a repository may have the name of its project.
    fn azure_repository(&self) -> Vec<&str> {
        let parts: Vec<&str> = self.full_name.split('/').filter(|part| *part != "_git").collect();
        let name = parts.last().copied().unwrap_or_default();
        let mut path = match parts.len() {
            0..=2 => parts.clone(),
            more => parts[..more - 1].to_vec(),
        };
        path.extend(["_apis", "git", "repositories", name]);
        path
    }

    /// `[NAMESPACE/]NAME`, or `fork/USER/[NAMESPACE/]NAME`; payloads call the first part of a fork `forks`.
    pub(super) fn pagure_project(&self) -> Vec<&str> {
        let mut parts: Vec<&str> = self.full_name.split('/').collect();
        if let Some(first) = parts.first_mut().filter(|first| **first == "forks") {
            *first = "fork";
        }
        parts
    }

    fn status_body(&self, status: &CommitStatus<'_>) -> Value {
        let description: String = shortened(status.description);
        let CommitStatus { context, link, .. } = status;
        match self.kind {
            ForgeKind::GitLab => json!({
                "state": gitlab_state(status.state), "name": context, "ref": status.git_ref,
                "description": description, "target_url": link,
            }),
            ForgeKind::Bitbucket | ForgeKind::BitbucketServer => json!({
                "key": key(context), "state": bitbucket_state(self.kind, status.state), "name": context,
                "description": description,
                // A URL is required; without one of our own, that of the commit does no harm.
                "url": link.map_or_else(|| self.commit_page(status.commit), str::to_owned),
            }),
            ForgeKind::AzureDevOps => json!({
                "state": azure_state(status.state), "description": description, "targetUrl": link,
                "context": azure_context(context),
            }),
            ForgeKind::Pagure => json!({
                "username": context, "status": pagure_state(status.state), "comment": description,
                "percent": if matches!(status.state, State::Pending | State::Running) { "0" } else { "100" },
                "url": link.map_or_else(|| self.commit_page(status.commit), str::to_owned),
                // One flag for each context; a fork has the same commits.
                "uid": digest(&format!("{} {context}", self.full_name), FLAG_ID),
            }),
            _ => json!({
                "state": hub_state(status.state), "context": context, "description": description, "target_url": link,
            }),
        }
    }

    fn commit_page(&self, commit: &CommitId) -> String {
        match self.kind {
            ForgeKind::Bitbucket => format!("https://bitbucket.org/{}/commits/{commit}", self.full_name),
            ForgeKind::Pagure => {
                let project = self.pagure_project().join("/");
                format!("{}/{project}/c/{commit}", self.base.origin().ascii_serialization())
            }
            _ => self.base.to_string(),
        }
    }
}

/// At most [`DESCRIPTION_MAX`] characters of one line.
fn shortened(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.chars().count() <= DESCRIPTION_MAX {
        return line;
    }
    line.chars().take(DESCRIPTION_MAX - 1).chain(['…']).collect()
}

/// GitHub's words, which Gitea and Forgejo share. None of them means that something was left out: what was not needed is no
/// failure, and what was stopped is no success.
fn hub_state(state: State) -> &'static str {
    match state {
        State::Pending | State::Running => "pending",
        State::Success | State::Skipped => "success",
        State::Failure => "failure",
        State::Canceled => "error",
    }
}

fn gitlab_state(state: State) -> &'static str {
    match state {
        State::Pending => "pending",
        State::Running => "running",
        State::Success => "success",
        State::Failure => "failed",
        State::Canceled => "canceled",
        State::Skipped => "skipped",
    }
}

fn bitbucket_state(kind: ForgeKind, state: State) -> &'static str {
    match state {
        State::Pending | State::Running => "INPROGRESS",
        State::Success | State::Skipped => "SUCCESSFUL",
        // Data Center below 8 knows no other word for what ended.
        State::Canceled if kind == ForgeKind::Bitbucket => "STOPPED",
        State::Failure | State::Canceled => "FAILED",
    }
}

fn azure_state(state: State) -> &'static str {
    match state {
        State::Pending | State::Running => "pending",
        State::Success => "succeeded",
        State::Failure => "failed",
        State::Canceled => "error",
        State::Skipped => "notApplicable",
    }
}

fn pagure_state(state: State) -> &'static str {
    match state {
        State::Pending | State::Running => "pending",
        State::Success | State::Skipped => "success",
        State::Failure => "failure",
        State::Canceled => "canceled",
    }
}

/// `hookd/blog/live`: the genre before the last slash, the name behind it.
fn azure_context(context: &str) -> Value {
    let (genre, name) = context.rsplit_once('/').unwrap_or(("hookd", context));
    json!({ "genre": genre, "name": name })
}

/// The context, or what stands for it where it is too long.
fn key(context: &str) -> String {
    if context.len() <= KEY_MAX {
        return context.to_owned();
    }
    digest(context, KEY_MAX)
}

/// So many characters that stand for a text.
fn digest(text: &str, length: usize) -> String {
    hex::encode(&Sha256::digest(text)[..length / 2])
}

/// An object of texts as a form.
pub(super) fn form(body: &Value) -> String {
    let fields = body.as_object().into_iter().flatten();
    let pairs = fields.map(|(name, value)| (name, value.as_str().unwrap_or_default()));
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_are_one_short_line() {
        assert_eq!(shortened("build failed:\nexit status 1"), "build failed: exit status 1");
        let long = shortened(&"ä".repeat(500));
        assert_eq!((long.chars().count(), long.ends_with('…')), (DESCRIPTION_MAX, true));
    }

    #[test]
    fn keys_are_short_and_their_own() {
        assert_eq!(key("hookd/blog/live"), "hookd/blog/live");
        let (one, other) = (key(&"a".repeat(60)), key(&"a".repeat(61)));
        assert!(one.len() == KEY_MAX && other.len() == KEY_MAX && one != other);
    }

    #[test]
    fn nothing_but_a_passed_check_is_a_success_that_was_deployed() {
        for state in [State::Pending, State::Running, State::Failure, State::Canceled] {
            assert_ne!(hub_state(state), "success");
            assert_ne!(gitlab_state(state), "success");
            assert_ne!(azure_state(state), "succeeded");
            assert_ne!(bitbucket_state(ForgeKind::Bitbucket, state), "SUCCESSFUL");
        }
    }
}
