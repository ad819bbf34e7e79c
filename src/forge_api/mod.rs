//! The one client of the forges' REST APIs: webhooks and deploy keys, CI checks, commit statuses and deployments.
//!
//! Sources, all verified against their manuals: docs.github.com "REST API"; docs.gitlab.com "REST API resources"; the `OpenAPI`
//! description that Gitea and Forgejo serve at `/swagger.v1.json`; Gogs' "API documentation"; developer.atlassian.com "The
//! Bitbucket Cloud REST API" and "Bitbucket Data Center REST API"; learn.microsoft.com "Azure DevOps Services REST API";
//! Pagure's own `/api/0/`.

mod app;
pub mod checks;
mod deliveries;
mod deployment;
mod dispatch;
mod error;
mod hooks;
mod status;
mod tokens;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde_json::Value;
use url::Url;

use crate::config::{ForgeKind, Repo};
use crate::model::Secret;
use crate::web;

pub use app::{App, AppKeyError};
pub use deliveries::{Missed, has_deliveries};
pub use deployment::{DeploymentState, NewDeployment, has_deployments};
pub use dispatch::Event;
pub use error::{ApiError, Refusal};
pub use hooks::{Change, Hook, has_hooks};
pub use status::{CommitStatus, State, has_statuses};
pub use tokens::Tokens;

/// Largest answer, bytes: a hundred check runs with all that GitHub says of them.
const ANSWER_MAX: usize = 4 << 20;

/// One repository at a forge, as somebody with a token sees it.
#[derive(Clone)]
pub struct Api {
    kind: ForgeKind,
    base: Url,
    full_name: String,
    token: Secret,
    time: Duration,
}

/// What a request is for, and so which scopes a refused token lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Read,
    Settings,
    Status,
    Deployment,
    Dispatch,
    Deliveries,
}

/// A request below the base of the API.
struct Call<'a> {
    method: Method,
    path: Vec<&'a str>,
    query: &'a [(&'a str, &'a str)],
    body: Option<&'a Value>,
    purpose: Purpose,
}

/// The base of the public API; none for forges that have no public place.
pub fn public_base(kind: ForgeKind) -> Option<&'static str> {
    match kind {
        ForgeKind::GitHub => Some("https://api.github.com"),
        ForgeKind::GitLab => Some("https://gitlab.com/api/v4"),
        ForgeKind::Forgejo => Some("https://codeberg.org/api/v1"),
        ForgeKind::Bitbucket => Some("https://api.bitbucket.org/2.0"),
        ForgeKind::AzureDevOps => Some("https://dev.azure.com"),
        _ => None,
    }
}

/// The base of a forge's API on the repo's host; `None` if hookd knows no API of that forge.
fn base_of(kind: ForgeKind, host: &str) -> Option<String> {
    let is_public = ForgeKind::of_host(host) == Some(kind);
    match kind {
        ForgeKind::Bitbucket => public_base(kind).map(str::to_owned),
        _ if is_public && public_base(kind).is_some() => public_base(kind).map(str::to_owned),
        ForgeKind::GitHub => Some(format!("https://{host}/api/v3")),
        ForgeKind::GitLab => Some(format!("https://{host}/api/v4")),
        ForgeKind::Gitea | ForgeKind::Forgejo | ForgeKind::Gogs => Some(format!("https://{host}/api/v1")),
        ForgeKind::BitbucketServer | ForgeKind::AzureDevOps => Some(format!("https://{host}")),
        ForgeKind::Pagure => Some(format!("https://{host}/api/0")),
        _ => None,
    }
}

impl Api {
    /// For a repo; `base` is the base of the API where it is not the usual one on the repo's host, `time` the limit of one request.
    pub fn new(repo: &Repo, base: Option<&Url>, token: Secret, time: Duration) -> Result<Self, ApiError> {
        let host = repo.remote.host.as_deref();
        let kind = repo.forge.ok_or_else(|| {
            let host = host.unwrap_or("this machine");
            ApiError::unusable(format!("which forge runs at {host}?")).hint("name it: --forge gitea")
        })?;
        let base = if let Some(url) = base {
            url.clone()
        } else {
            let text = base_of(kind, host.unwrap_or_default()).ok_or_else(|| {
                ApiError::unusable(format!("hookd knows no API of {kind}"))
                    .hint("leave out the token, and type the lines at the forge")
            })?;
            Url::parse(&text).map_err(|e| ApiError::unusable(format!("{text}: {e}")))?
        };
        Ok(Self {
            kind,
            base,
            full_name: repo.full_name.clone(),
            token,
            time,
        })
    }

    /// For any repository at GitHub; `base` is the base of the API where it is not the public one, `time` the limit of one request.
    pub fn github(base: Option<&Url>, full_name: &str, token: Secret, time: Duration) -> Result<Self, ApiError> {
        let public = public_base(ForgeKind::GitHub).unwrap_or_default();
        let base = match base {
            Some(url) => url.clone(),
            None => Url::parse(public).map_err(|e| ApiError::unusable(format!("{public}: {e}")))?,
        };
        Ok(Self {
            kind: ForgeKind::GitHub,
            base,
            full_name: full_name.to_owned(),
            token,
            time,
        })
    }

    /// Path segments of the repository, below which its resources are.
    fn repository(&self) -> Vec<&str> {
        let first = match self.kind {
            // One segment: its slashes are escaped.
            ForgeKind::GitLab => return vec!["projects", &self.full_name],
            ForgeKind::Pagure => return self.pagure_project(),
            ForgeKind::Bitbucket => "repositories",
            _ => "repos",
        };
        std::iter::once(first).chain(self.full_name.split('/')).collect()
    }

    /// One GET; the answer must be 200 and JSON.
    async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Value, ApiError> {
        let call = Call {
            method: Method::GET,
            path: path.to_vec(),
            query,
            body: None,
            purpose: Purpose::Read,
        };
        self.call(call).await
    }

    /// One request. Nothing of the token gets into an error, and of the answer only the forge's own words.
    async fn call(&self, call: Call<'_>) -> Result<Value, ApiError> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(call.path);
        }
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(call.query);
        }
        let shown = format!("{} {}", call.method, web::shown(&url));
        let mut headers = self.headers();
        // Pagure takes forms alone.
        let (kind, body) = match call.body {
            Some(body) if self.kind == ForgeKind::Pagure => ("application/x-www-form-urlencoded", status::form(body)),
            body => ("application/json", body.map(Value::to_string).unwrap_or_default()),
        };
        if !body.is_empty() {
            headers.push(("content-type".to_owned(), kind.to_owned()));
        }
        let request = web::Request {
            method: call.method,
            url: &url,
            headers: &headers,
            body: body.into_bytes(),
            answer_max: ANSWER_MAX,
            timeout: self.time,
        };
        let answer = web::send(request)
            .await
            .map_err(|error| ApiError::unreachable(&shown, &error))?;
        if answer.is_success() {
            return match serde_json::from_slice(&answer.body) {
                Ok(value) => Ok(value),
                Err(_) if answer.body.trim_ascii().is_empty() => Ok(Value::Null),
                Err(_) => Err(ApiError::unusable(format!("{shown}: the answer is not JSON"))),
            };
        }
        Err(ApiError::answered(&shown, &answer, self.scopes(call.purpose)))
    }

    fn headers(&self) -> Vec<(String, String)> {
        let token = String::from_utf8_lossy(self.token.expose()).into_owned();
        let (name, value) = match self.kind {
            ForgeKind::GitLab => ("private-token", token),
            // USER:TOKEN is an API token of a person, anything else an access token of the repository.
            ForgeKind::Bitbucket if token.contains(':') => {
                ("authorization", format!("Basic {}", STANDARD.encode(token)))
            }
            ForgeKind::AzureDevOps => (
                "authorization",
                format!("Basic {}", STANDARD.encode(format!(":{token}"))),
            ),
            ForgeKind::GitHub | ForgeKind::Bitbucket | ForgeKind::BitbucketServer => {
                ("authorization", format!("Bearer {token}"))
            }
            _ => ("authorization", format!("token {token}")),
        };
        let accept = match self.kind {
            ForgeKind::GitHub => "application/vnd.github+json",
            _ => "application/json",
        };
        vec![(name.to_owned(), value), ("accept".to_owned(), accept.to_owned())]
    }

    /// The scopes that a token needs, by the forge's own names.
    fn scopes(&self, purpose: Purpose) -> &'static str {
        match (purpose, self.kind) {
            (Purpose::Read, ForgeKind::GitHub) => {
                "the token needs the permissions Checks: read and Commit statuses: read (classic: repo)"
            }
            (Purpose::Settings, ForgeKind::GitHub) => {
                "the token needs the permissions Webhooks: write and Administration: write (classic: admin:repo_hook and repo)"
            }
            (Purpose::Status, ForgeKind::GitHub) => {
                "the token needs the permission Commit statuses: write (classic: repo:status)"
            }
            (Purpose::Deployment, ForgeKind::GitHub) => {
                "the token needs the permission Deployments: write (classic: repo_deployment)"
            }
            (Purpose::Deliveries, ForgeKind::GitHub) => {
                "the token needs the permission Webhooks: write (classic: admin:repo_hook)"
            }
            (Purpose::Dispatch, ForgeKind::GitHub) => {
                "the token needs the permission Contents: write on the repository that gets the event (classic: repo)"
            }
            (Purpose::Read, ForgeKind::GitLab) => "the token needs the scope read_api",
            (Purpose::Settings | Purpose::Deliveries, ForgeKind::GitLab) => {
                "the token needs the scope api, and its owner the role Maintainer"
            }
            (_, ForgeKind::GitLab) => "the token needs the scope api, and its owner the role Developer",
            (Purpose::Settings, ForgeKind::Bitbucket) => "the token needs the scopes webhook and repository:admin",
            (_, ForgeKind::Bitbucket) => "the token needs the scope repository:write",
            (_, ForgeKind::BitbucketServer) => "the token needs the permission Repository read",
            (_, ForgeKind::AzureDevOps) => "the token needs the scope Code (status)",
            (_, ForgeKind::Pagure) => "the token needs the ACL commit_flag",
            (Purpose::Read, _) => "the token needs the scope read:repository",
            (Purpose::Settings, _) => {
                "the token needs the scope write:repository, and its owner must be an administrator of the repository"
            }
            _ => "the token needs the scope write:repository, and its owner the right to push",
        }
    }
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
