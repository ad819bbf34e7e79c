//! The webhook and the deploy key of a repository.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::{Api, ApiError, Call, Purpose};
use crate::config::ForgeKind;
use crate::model::Secret;

/// Entries that a page is asked for: the most that all of these forges give.
const PAGE: usize = 50;

/// Most pages that are read.
const PAGES: usize = 20;

/// Pauses before each further look for what the forge says that it has.
const LOOKS: [Duration; 2] = [Duration::ZERO, Duration::from_secs(1)];

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

/// True if hookd can make webhooks at this forge.
pub fn has_hooks(kind: ForgeKind) -> bool {
    matches!(
        kind,
        ForgeKind::GitHub
            | ForgeKind::GitLab
            | ForgeKind::Gitea
            | ForgeKind::Forgejo
            | ForgeKind::Gogs
            | ForgeKind::Bitbucket
    )
}

/// What hooks and keys have in common: a list, and entries with an id.
#[derive(Clone, Copy)]
pub(super) enum Thing {
    Hook,
    Key,
}

impl Api {
    /// Sees to it that the forge delivers pushes. A hook with that URL is brought up to date: whether its secret is the right
    /// one is what no forge tells.
    pub async fn put_hook(&self, hook: &Hook<'_>) -> Result<Change, ApiError> {
        let mut body = self.hook_body(hook);
        let is_it = |entry: &Value| self.hook_url(entry) == Some(hook.url);
        let Some(id) = self.find_or_make(Thing::Hook, &body, is_it).await? else {
            return Ok(Change::Made);
        };
        let method = match self.kind {
            ForgeKind::GitLab | ForgeKind::Bitbucket => Method::PUT,
            _ => Method::PATCH,
        };
        // What kind of hook it is can't be changed, and GitHub's description has no word for it there.
        if let (ForgeKind::GitHub, Some(fields)) = (self.kind, body.as_object_mut()) {
            fields.remove("name");
        }
        let path = self.path(Thing::Hook, Some(&id));
        self.settings(method, &path, &[], Some(&body)).await?;
        Ok(Change::Updated)
    }

    /// Whether the forge's hook with that URL is as it has to be, as far as the forge tells: none tells the secret. None if there is
    /// no such hook.
    pub async fn looks_right(&self, hook: &Hook<'_>) -> Result<Option<bool>, ApiError> {
        let entries = self.entries(Thing::Hook).await?;
        let found = entries.iter().find(|entry| self.hook_url(entry) == Some(hook.url));
        Ok(found.map(|found| holds(found, &self.hook_body(hook))))
    }

    /// Has the forge send a test delivery; false if it has no such request.
    pub async fn test_hook(&self, url: &str) -> Result<bool, ApiError> {
        let test: &[&str] = match self.kind {
            ForgeKind::GitHub => &["pings"],
            ForgeKind::GitLab => &["test", "push_events"],
            ForgeKind::Gitea | ForgeKind::Forgejo => &["tests"],
            _ => return Ok(false),
        };
        let Some(id) = self
            .find(Thing::Hook, |entry| self.hook_url(entry) == Some(url))
            .await?
        else {
            return Ok(false);
        };
        let mut path = self.path(Thing::Hook, Some(&id));
        path.extend(test.iter().map(|part| (*part).to_owned()));
        self.settings(Method::POST, &path, &[], None).await?;
        Ok(true)
    }

    /// Takes the hook with that URL away.
    pub async fn remove_hook(&self, url: &str) -> Result<Change, ApiError> {
        self.remove(Thing::Hook, |entry| self.hook_url(entry) == Some(url))
            .await
    }

    /// Sees to it that the key may read the repository, and no more.
    pub async fn put_key(&self, public: &str, title: &str) -> Result<Change, ApiError> {
        let body = match self.kind {
            ForgeKind::GitLab => json!({ "title": title, "key": public, "can_push": false }),
            ForgeKind::Bitbucket => json!({ "label": title, "key": public }),
            _ => json!({ "title": title, "key": public, "read_only": true }),
        };
        let found = self.find_or_make(Thing::Key, &body, |entry| same_key(entry, public));
        Ok(found.await?.map_or(Change::Made, |_| Change::Same))
    }

    /// Takes the key away.
    pub async fn remove_key(&self, public: &str) -> Result<Change, ApiError> {
        self.remove(Thing::Key, |entry| same_key(entry, public)).await
    }

    /// All that are meant: two runs at the same time may have made one each.
    async fn remove(&self, thing: Thing, is_it: impl Fn(&Value) -> bool) -> Result<Change, ApiError> {
        let mut change = Change::Absent;
        for entry in self.entries(thing).await?.iter().filter(|entry| is_it(entry)) {
            let path = self.path(thing, id(entry).as_deref());
            self.settings(Method::DELETE, &path, &[], None).await?;
            change = Change::Removed;
        }
        Ok(change)
    }

    /// The id of the entry that is meant; none if it is made. What the forge does not list and yet says that it has is looked for
    /// again: another run may have made it meanwhile, and lists may be some moments old.
    async fn find_or_make(
        &self,
        thing: Thing,
        body: &Value,
        is_it: impl Fn(&Value) -> bool,
    ) -> Result<Option<String>, ApiError> {
        if let Some(id) = self.find(thing, &is_it).await? {
            return Ok(Some(id));
        }
        let path = self.path(thing, None);
        let Err(refused) = self.settings(Method::POST, &path, &[], Some(body)).await else {
            return Ok(None);
        };
        if refused.is_taken() {
            for pause in LOOKS {
                tokio::time::sleep(pause).await;
                if let Some(id) = self.find(thing, &is_it).await? {
                    return Ok(Some(id));
                }
            }
        }
        Err(refused)
    }

    /// The id of the first entry that is meant.
    async fn find(&self, thing: Thing, is_it: impl Fn(&Value) -> bool) -> Result<Option<String>, ApiError> {
        let entries = self.entries(thing).await?;
        Ok(entries.iter().find(|entry| is_it(entry)).and_then(id))
    }

    /// All hooks or keys.
    pub(super) async fn entries(&self, thing: Thing) -> Result<Vec<Value>, ApiError> {
        let size = match self.kind {
            ForgeKind::Bitbucket => "pagelen",
            ForgeKind::GitHub | ForgeKind::GitLab => "per_page",
            _ => "limit",
        };
        let (mut all, mut before) = (Vec::new(), Value::Null);
        for page in 1..=PAGES {
            let (page, limit) = (page.to_string(), PAGE.to_string());
            let query = [(size, limit.as_str()), ("page", page.as_str())];
            let answer = self
                .settings(Method::GET, &self.path(thing, None), &query, None)
                .await?;
            let list = answer.get("values").unwrap_or(&answer);
            // Gogs has no pages and gives the same list again.
            if *list == before {
                break;
            }
            let entries = list.as_array().cloned().unwrap_or_default();
            let is_last = entries.len() < PAGE;
            all.extend(entries);
            if is_last {
                break;
            }
            before = list.clone();
        }
        Ok(all)
    }

    fn path(&self, thing: Thing, id: Option<&str>) -> Vec<String> {
        let what = match (thing, self.kind) {
            (Thing::Hook, _) => "hooks",
            (Thing::Key, ForgeKind::GitLab) => "deploy_keys",
            (Thing::Key, ForgeKind::Bitbucket) => "deploy-keys",
            (Thing::Key, _) => "keys",
        };
        let path = self.repository().into_iter().chain([what]).chain(id);
        path.map(str::to_owned).collect()
    }

    async fn settings(
        &self,
        method: Method,
        path: &[String],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Value, ApiError> {
        if !has_hooks(self.kind) {
            let message = format!("hookd makes no webhooks at {}", self.kind);
            return Err(ApiError::unusable(message).hint("leave out the token, and type the lines at the forge"));
        }
        let call = Call {
            method,
            path: path.iter().map(String::as_str).collect(),
            query,
            body,
            purpose: Purpose::Settings,
        };
        self.call(call).await
    }

    pub(super) fn hook_url<'v>(&self, entry: &'v Value) -> Option<&'v str> {
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
}

/// Whether an entry has what is wanted, where it tells of it. Lists may hold more.
fn holds(entry: &Value, wanted: &Value) -> bool {
    match (entry, wanted) {
        (Value::Object(entry), Value::Object(wanted)) => wanted
            .iter()
            .filter(|(key, _)| !matches!(key.as_str(), "secret" | "token"))
            .all(|(key, value)| entry.get(key).is_none_or(|entry| holds(entry, value))),
        (Value::Array(entry), Value::Array(wanted)) => wanted.iter().all(|value| entry.contains(value)),
        _ => entry == wanted,
    }
}

/// Numbers, and Bitbucket's `{uuid}`.
pub(super) fn id(entry: &Value) -> Option<String> {
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
