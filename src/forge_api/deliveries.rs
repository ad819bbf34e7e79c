//! Deliveries that the forge made and hookd did not take: which they are, and having them made again. GitHub and GitLab keep them.
//!
//! Sources: docs.github.com, "REST API endpoints for repository webhooks" (three days are kept); docs.gitlab.com, "Project webhooks
//! API" (seven days).

use std::collections::BTreeMap;

use http::Method;
use serde_json::Value;

use super::hooks::Thing;
use super::{Api, ApiError, Call, Purpose, text};
use crate::config::ForgeKind;

/// Newest deliveries that are looked at: one page. Each has its payload in it at GitLab, so its page is short.
const NEWEST: [(ForgeKind, &str); 2] = [(ForgeKind::GitHub, "100"), (ForgeKind::GitLab, "20")];

/// Most that are made again in one go: GitLab takes five a minute, and one is enough to bring a target to its tip.
const AGAIN_MAX: usize = 5;

/// A delivery that failed, and that nobody asked for again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missed {
    /// Its number at the forge.
    pub number: String,
    /// Its id, which is the same whenever it is made again.
    pub id: String,
}

/// True if hookd can ask this forge what it could not deliver.
pub fn has_deliveries(kind: ForgeKind) -> bool {
    NEWEST.iter().any(|(of, _)| *of == kind)
}

impl Api {
    /// The webhook that delivers to this path of this host; `None` if there is none, or several.
    pub async fn hook_to(&self, path: &str, host: Option<&str>) -> Result<Option<String>, ApiError> {
        let entries = self.entries(Thing::Hook).await?;
        let ours = |entry: &&Value| {
            let url = self.hook_url(entry).and_then(|url| url::Url::parse(url).ok());
            url.is_some_and(|url| url.path().ends_with(path) && (host.is_none() || url.host_str() == host))
        };
        let mut found = entries.iter().filter(ours);
        match (found.next(), found.next()) {
            (Some(only), None) => Ok(super::hooks::id(only)),
            _ => Ok(None),
        }
    }

    /// What failed of the newest deliveries of a hook, the oldest first. What arrived later, or was made again already, is left out.
    pub async fn missed(&self, hook: &str) -> Result<Vec<Missed>, ApiError> {
        let count = NEWEST
            .iter()
            .find(|(of, _)| *of == self.kind)
            .map_or("20", |(_, count)| *count);
        let mut path = self.repository();
        path.extend(["hooks", hook, self.list()]);
        let call = Call {
            method: Method::GET,
            path,
            query: &[("per_page", count)],
            body: None,
            purpose: Purpose::Deliveries,
        };
        let answer = self.call(call).await?;
        let mut by_id: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
        for entry in answer.as_array().into_iter().flatten() {
            by_id.entry(self.id_of(entry)).or_default().push(entry);
        }
        let failed = by_id.into_iter().filter_map(|(id, tries)| match tries[..] {
            [only] if !self.arrived(only) && only.get("redelivery") != Some(&Value::Bool(true)) => {
                Some((only.get("id")?.as_i64()?, id))
            }
            _ => None,
        });
        let mut failed: Vec<(i64, String)> = failed.collect();
        failed.sort_unstable();
        let newest = failed.len().saturating_sub(AGAIN_MAX);
        let missed = failed.into_iter().skip(newest);
        Ok(missed
            .map(|(number, id)| Missed {
                number: number.to_string(),
                id,
            })
            .collect())
    }

    /// Has a delivery made again.
    pub async fn redeliver(&self, hook: &str, missed: &Missed) -> Result<(), ApiError> {
        let mut path = self.repository();
        let again = if self.kind == ForgeKind::GitLab {
            "resend"
        } else {
            "attempts"
        };
        path.extend(["hooks", hook, self.list(), &missed.number, again]);
        let call = Call {
            method: Method::POST,
            path,
            query: &[],
            body: None,
            purpose: Purpose::Deliveries,
        };
        self.call(call).await.map(drop)
    }

    fn list(&self) -> &'static str {
        if self.kind == ForgeKind::GitLab {
            "events"
        } else {
            "deliveries"
        }
    }

    /// What is the same of all tries of one delivery.
    fn id_of(&self, entry: &Value) -> String {
        if self.kind == ForgeKind::GitHub {
            return text(entry, "guid").to_owned();
        }
        let headers = entry.get("request_headers").and_then(Value::as_object);
        let header = |name: &str| {
            let found = headers
                .into_iter()
                .flatten()
                .find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.and_then(|(_, value)| value.as_str()).map(str::to_owned)
        };
        let id = header("idempotency-key").or_else(|| header("x-gitlab-event-uuid"));
        id.unwrap_or_else(|| entry.get("id").map(Value::to_string).unwrap_or_default())
    }

    fn arrived(&self, entry: &Value) -> bool {
        let status = match self.kind {
            ForgeKind::GitHub => entry.get("status_code").and_then(Value::as_i64).unwrap_or_default(),
            _ => text(entry, "response_status").parse().unwrap_or_default(),
        };
        (200..300).contains(&status)
    }
}
