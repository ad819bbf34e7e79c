//! The token for a request: the one of the configuration, or one that is made from a GitHub App's key and kept while it is good.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use super::{ApiError, App};
use crate::clock;
use crate::config::{ForgeApi, Secrets};
use crate::model::{Locked, Secret, Timestamp};

/// Which token it is: of which `[forge.NAME]`, for which repository, with which permissions.
type Key = (String, String, String);

/// Tokens of Apps, shared by everything that speaks to forges.
#[derive(Clone, Default)]
pub struct Tokens {
    made: Arc<Mutex<HashMap<Key, (Secret, Timestamp)>>>,
}

impl Tokens {
    /// The token of `[forge.NAME]` for a repository; an App's may do `permissions` (an object of GitHub's names) there;
    /// `time` is the limit of one request.
    pub async fn get(
        &self,
        (name, api): (&str, &ForgeApi),
        secrets: &Secrets,
        full_name: &str,
        permissions: &Value,
        time: Duration,
    ) -> Result<Secret, ApiError> {
        let Some(secret) = secrets.forge.get(name) else {
            return Err(ApiError::unusable(format!("`[forge.{name}]` has no token")));
        };
        let Some(id) = &api.app_id else {
            return Ok(secret.clone());
        };
        let key = (name.to_owned(), full_name.to_owned(), permissions.to_string());
        let known = self.made.locked().get(&key).cloned();
        if let Some((token, _)) = known.filter(|(_, until)| *until > clock::now()) {
            return Ok(token);
        }
        let app = App::new(id.clone(), secret).map_err(|e| ApiError::unusable(format!("`[forge.{name}]`: {e}")))?;
        let made = app.token(api.url.as_ref(), full_name, permissions, time).await?;
        self.made.locked().insert(key, made.clone());
        Ok(made.0)
    }

    /// Forgets the App's tokens for a repository, which the forge no longer accepts; false if there were none.
    pub fn forget(&self, full_name: &str) -> bool {
        let mut made = self.made.locked();
        let before = made.len();
        made.retain(|(_, of, _), _| of != full_name);
        made.len() < before
    }
}
