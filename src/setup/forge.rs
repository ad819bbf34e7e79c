//! The webhook and the deploy key at the forge, by its API. Sources: docs.github.com, "REST API endpoints for repository
//! webhooks" and "for deploy keys"; docs.gitlab.com, "Project webhooks API" and "Deploy keys API"; the `OpenAPI` description
//! that Gitea and Forgejo serve at `/swagger.v1.json`; Gogs' "API documentation"; developer.atlassian.com, "The Bitbucket
//! Cloud REST API", groups "Repositories" and "Deployments".

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde_json::{Value, json};
use url::Url;

use crate::checks::public_api;
use crate::config::{ForgeKind, Repo};
use crate::model::Secret;
use crate::web;

/// Longest wait for one answer: a person waits for it.
const TIME: Duration = Duration::from_secs(20);

/// Most of an answer: a page of a hundred hooks.
const ANSWER_MAX: usize = 4 << 20;

/// Entries that a page is asked for: the most that all of these forges give.
const PAGE: usize = 50;

/// Most pages that are read.
const PAGES: usize = 20;

/// Most of a forge's own words in an error, bytes.
const WORDS_MAX: usize = 200;

/// Why the forge did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ForgeError {
    /// What went wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl ForgeError {
    fn new(message: String, hint: impl Into<Option<&'static str>>) -> Self {
        Self {
            message,
            hint: hint.into().map(str::to_owned),
        }
    }
}

/// What became of something at the forge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It was not there.
    Made,
    /// It was there, and was brought up to date.
    Updated,
    /// It was there, just so.
    Same,
    /// It was taken away.
    Removed,
    /// There was nothing to take away.
    Absent,
}

/// A webhook.
pub struct Hook<'a> {
    /// Where the forge delivers.
    pub url: &'a str,
    /// What it signs with.
    pub secret: &'a Secret,
}

/// One repository at a forge, and the right to change its settings.
pub struct Forge<'a> {
    kind: ForgeKind,
    base: Url,
    full_name: &'a str,
    token: &'a Secret,
}

/// What hooks and keys have in common: a list, and entries with an id.
#[derive(Clone, Copy)]
enum Thing {
    Hook,
    Key,
}

impl<'a> Forge<'a> {
    /// For a repo; `api` is the base of the API where it is not the forge's public one.
    pub fn new(repo: &'a Repo, api: Option<&Url>, token: &'a Secret) -> Result<Self, ForgeError> {
        let kind = repo.forge.ok_or_else(|| {
            let host = repo.remote.host.as_deref().unwrap_or("this machine");
            ForgeError::new(format!("which forge runs at {host}?"), "say it: --forge gitea, say")
        })?;
        let base = match api {
            Some(url) => url.clone(),
            None => base(kind, repo)?,
        };
        Ok(Self {
            kind,
            base,
            full_name: &repo.full_name,
            token,
        })
    }

    /// Sees to it that the forge delivers pushes. A hook with that URL is brought up to date: whether its secret is the right
    /// one is what no forge tells.
    pub async fn put_hook(&self, hook: &Hook<'_>) -> Result<Change, ForgeError> {
        let body = self.hook_body(hook);
        let found = self.find(Thing::Hook, |entry| self.hook_url(entry) == Some(hook.url));
        let Some(id) = found.await? else {
            let path = self.path(Thing::Hook, None);
            self.call(Method::POST, &path, &[], Some(&body)).await?;
            return Ok(Change::Made);
        };
        let method = match self.kind {
            ForgeKind::GitLab | ForgeKind::Bitbucket => Method::PUT,
            _ => Method::PATCH,
        };
        let path = self.path(Thing::Hook, Some(&id));
        self.call(method, &path, &[], Some(&body)).await?;
        Ok(Change::Updated)
    }

    /// Takes the hook with that URL away.
    pub async fn remove_hook(&self, url: &str) -> Result<Change, ForgeError> {
        self.remove(Thing::Hook, |entry| self.hook_url(entry) == Some(url))
            .await
    }

    /// Sees to it that the key may read the repository, and no more.
    pub async fn put_key(&self, public: &str, title: &str) -> Result<Change, ForgeError> {
        if self.find(Thing::Key, |entry| same_key(entry, public)).await?.is_some() {
            return Ok(Change::Same);
        }
        let body = match self.kind {
            ForgeKind::GitLab => json!({ "title": title, "key": public, "can_push": false }),
            ForgeKind::Bitbucket => json!({ "label": title, "key": public }),
            _ => json!({ "title": title, "key": public, "read_only": true }),
        };
        self.call(Method::POST, &self.path(Thing::Key, None), &[], Some(&body))
            .await?;
        Ok(Change::Made)
    }

    /// Takes the key away.
    pub async fn remove_key(&self, public: &str) -> Result<Change, ForgeError> {
        self.remove(Thing::Key, |entry| same_key(entry, public)).await
    }

    async fn remove(&self, thing: Thing, is_it: impl Fn(&Value) -> bool) -> Result<Change, ForgeError> {
        match self.find(thing, is_it).await? {
            Some(id) => {
                self.call(Method::DELETE, &self.path(thing, Some(&id)), &[], None)
                    .await?;
                Ok(Change::Removed)
            }
            None => Ok(Change::Absent),
        }
    }

    /// The id of the first entry that is meant.
    async fn find(&self, thing: Thing, is_it: impl Fn(&Value) -> bool) -> Result<Option<String>, ForgeError> {
        let size = match self.kind {
            ForgeKind::Bitbucket => "pagelen",
            ForgeKind::GitHub | ForgeKind::GitLab => "per_page",
            _ => "limit",
        };
        let mut first = Value::Null;
        for page in 1..=PAGES {
            let (page, limit) = (page.to_string(), PAGE.to_string());
            let query = [(size, limit.as_str()), ("page", page.as_str())];
            let answer = self.call(Method::GET, &self.path(thing, None), &query, None).await?;
            let list = answer.get("values").unwrap_or(&answer);
            let entries = list.as_array().map(Vec::as_slice).unwrap_or_default();
            if let Some(found) = entries.iter().find(|entry| is_it(entry)) {
                return Ok(id(found));
            }
            // Gogs has no pages and gives the same list again.
            if entries.len() < PAGE || *list == first {
                break;
            }
            first = list.clone();
        }
        Ok(None)
    }

    fn path(&self, thing: Thing, id: Option<&str>) -> Vec<String> {
        let what = match (thing, self.kind) {
            (Thing::Hook, _) => "hooks",
            (Thing::Key, ForgeKind::GitLab) => "deploy_keys",
            (Thing::Key, ForgeKind::Bitbucket) => "deploy-keys",
            (Thing::Key, _) => "keys",
        };
        let mut path: Vec<String> = match self.kind {
            // One segment: its slashes are escaped.
            ForgeKind::GitLab => vec!["projects".into(), self.full_name.into()],
            ForgeKind::Bitbucket => std::iter::once("repositories")
                .chain(self.full_name.split('/'))
                .map(Into::into)
                .collect(),
            _ => std::iter::once("repos")
                .chain(self.full_name.split('/'))
                .map(Into::into)
                .collect(),
        };
        path.push(what.into());
        path.extend(id.map(str::to_owned));
        path
    }

    fn hook_url<'v>(&self, entry: &'v Value) -> Option<&'v str> {
        let pointer = match self.kind {
            ForgeKind::GitLab | ForgeKind::Bitbucket => "/url",
            _ => "/config/url",
        };
        entry.pointer(pointer)?.as_str()
    }

    fn hook_body(&self, hook: &Hook<'_>) -> Value {
        let secret = String::from_utf8_lossy(hook.secret.expose());
        let config = json!({ "url": hook.url, "content_type": "json", "secret": secret });
        match self.kind {
            ForgeKind::GitHub => json!({
                "name": "web", "active": true, "events": ["push"],
                "config": { "url": hook.url, "content_type": "json", "secret": secret, "insecure_ssl": "0" },
            }),
            ForgeKind::GitLab => json!({
                "url": hook.url, "token": secret, "push_events": true, "tag_push_events": true,
                "enable_ssl_verification": true,
            }),
            ForgeKind::Bitbucket => json!({
                "description": "hookd", "url": hook.url, "active": true, "secret": secret, "events": ["repo:push"],
                "skip_cert_verification": false,
            }),
            // Tags never make a push there.
            ForgeKind::Gogs => {
                json!({ "type": "gogs", "config": config, "events": ["push", "create"], "active": true })
            }
            kind => json!({ "type": kind.as_str(), "config": config, "events": ["push"], "active": true }),
        }
    }

    /// One request. Nothing of the token gets into an error, and of the answer only the forge's own words.
    async fn call(
        &self,
        method: Method,
        path: &[String],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Value, ForgeError> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let shown = format!("{method} {}", web::shown(&url));
        let mut headers = self.headers();
        let body = body.map(Value::to_string).unwrap_or_default();
        if !body.is_empty() {
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
        }
        let request = web::Request {
            method,
            url: &url,
            headers: &headers,
            body: body.into_bytes(),
            answer_max: ANSWER_MAX,
            timeout: TIME,
        };
        let answer = web::send(request).await;
        let answer = answer.map_err(|e| ForgeError::new(format!("{shown}: {e}"), "--api URL says where the API is"))?;
        let status = answer.status;
        let answer: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        match status {
            200..300 => Ok(answer),
            401 => Err(ForgeError::new(
                format!("{shown}: the forge does not know the token"),
                self.scopes(),
            )),
            403 => Err(ForgeError::new(
                format!("{shown}: the token may not do that"),
                self.scopes(),
            )),
            404 => Err(ForgeError::new(
                format!("{shown}: there is no {} that the token may change", self.full_name),
                self.scopes(),
            )),
            _ => Err(ForgeError::new(
                format!("{shown}: answered {status}{}", words(&answer)),
                None,
            )),
        }
    }

    fn headers(&self) -> Vec<(String, String)> {
        let token = String::from_utf8_lossy(self.token.expose()).into_owned();
        let (name, value) = match self.kind {
            ForgeKind::GitLab => ("private-token", token),
            // USER:TOKEN is an API token of a person, anything else an access token of the repository.
            ForgeKind::Bitbucket if token.contains(':') => {
                ("authorization", format!("Basic {}", STANDARD.encode(token)))
            }
            ForgeKind::GitHub | ForgeKind::Bitbucket => ("authorization", format!("Bearer {token}")),
            _ => ("authorization", format!("token {token}")),
        };
        let accept = match self.kind {
            ForgeKind::GitHub => "application/vnd.github+json",
            _ => "application/json",
        };
        vec![(name.to_owned(), value), ("accept".to_owned(), accept.to_owned())]
    }

    /// What a token needs.
    fn scopes(&self) -> &'static str {
        match self.kind {
            ForgeKind::GitHub => {
                "the token needs the repository's permissions Webhooks and Administration (classic: admin:repo_hook and repo)"
            }
            ForgeKind::GitLab => "the token needs the scope api, and its owner the role Maintainer",
            ForgeKind::Bitbucket => "the token needs the scopes webhook and repository:admin",
            _ => "the token needs the scope write:repository, and its owner must be an administrator of the repository",
        }
    }
}

/// The base of a forge's API on the repo's host.
fn base(kind: ForgeKind, repo: &Repo) -> Result<Url, ForgeError> {
    let host = repo.remote.host.as_deref().unwrap_or_default();
    let public = ForgeKind::of_host(host) == Some(kind);
    let text = match kind {
        ForgeKind::Bitbucket => "https://api.bitbucket.org/2.0".to_owned(),
        _ if public && public_api(kind).is_some() => public_api(kind).unwrap_or_default().to_owned(),
        ForgeKind::GitHub => format!("https://{host}/api/v3"),
        ForgeKind::GitLab => format!("https://{host}/api/v4"),
        ForgeKind::Gitea | ForgeKind::Forgejo | ForgeKind::Gogs => format!("https://{host}/api/v1"),
        other => {
            let message = format!("hookd makes no webhooks at {other}");
            return Err(ForgeError::new(
                message,
                "leave out the token, and type the three lines at the forge",
            ));
        }
    };
    Url::parse(&text).map_err(|e| ForgeError::new(format!("{text}: {e}"), "--api URL says where the API is"))
}

/// Numbers, and Bitbucket's `{uuid}`.
fn id(entry: &Value) -> Option<String> {
    match (entry.get("uuid"), entry.get("id")) {
        (Some(Value::String(uuid)), _) => Some(uuid.clone()),
        (_, Some(Value::Number(number))) => Some(number.to_string()),
        (_, Some(Value::String(text))) => Some(text.clone()),
        _ => None,
    }
}

/// Type and key count, and not the comment, which forges change.
fn same_key(entry: &Value, public: &str) -> bool {
    let parts = |text: &str| -> Vec<String> { text.split_whitespace().take(2).map(str::to_owned).collect() };
    entry
        .get("key")
        .and_then(Value::as_str)
        .is_some_and(|key| parts(key) == parts(public))
}

/// What the forge says itself.
fn words(answer: &Value) -> String {
    let said = [
        answer.get("message"),
        answer.get("error"),
        answer.pointer("/error/message"),
    ];
    let said = said.into_iter().flatten().find_map(|value| match value {
        Value::String(text) => Some(text.clone()),
        _ => None,
    });
    said.map_or_else(String::new, |text| {
        format!(": {}", &text[..text.floor_char_boundary(WORDS_MAX)])
    })
}
