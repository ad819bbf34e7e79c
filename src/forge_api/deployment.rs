//! Deployments: what a forge shows of an environment. GitHub and GitLab have them.

use http::Method;
use serde_json::{Value, json};

use super::status::DESCRIPTION_MAX;
use super::{Api, ApiError, Call, Purpose, text};
use crate::config::ForgeKind;
use crate::model::CommitId;

/// How far a deployment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeploymentState {
    /// It waits.
    Queued,
    /// It runs.
    InProgress,
    /// It is live.
    Success,
    /// It failed or was rolled back.
    Failure,
    /// Another one took its place.
    Inactive,
}

/// A deployment that the forge does not know yet.
#[derive(Debug, Clone)]
pub struct NewDeployment<'a> {
    /// The commit.
    pub commit: &'a CommitId,
    /// Branch or tag, without `refs/heads/`.
    pub git_ref: &'a str,
    /// True for a tag.
    pub tag: bool,
    /// The environment's name at the forge.
    pub environment: &'a str,
}

/// True if hookd can tell this forge of deployments.
pub fn has_deployments(kind: ForgeKind) -> bool {
    matches!(kind, ForgeKind::GitHub | ForgeKind::GitLab)
}

impl Api {
    /// Tells the forge of a deployment; gives its number there.
    pub async fn create_deployment(&self, new: &NewDeployment<'_>) -> Result<i64, ApiError> {
        let body = match self.kind {
            ForgeKind::GitLab => json!({
                "environment": new.environment, "sha": new.commit.as_str(), "ref": new.git_ref, "tag": new.tag,
                "status": "created",
            }),
            // By default GitHub merges the default branch into what is deployed, and refuses what has no green checks.
            _ => json!({
                "ref": new.commit.as_str(), "environment": new.environment, "auto_merge": false,
                "required_contexts": [], "description": format!("hookd: {}", new.git_ref),
            }),
        };
        let mut path = self.repository();
        path.push("deployments");
        let answer = self.deployment_call(Method::POST, path, &body).await?;
        let id = answer.get("id").and_then(Value::as_i64);
        id.ok_or_else(|| {
            ApiError::unusable(format!(
                "the forge gave the deployment no number: {}",
                text(&answer, "message")
            ))
        })
    }

    /// Tells how far a deployment is.
    pub async fn put_deployment(
        &self,
        id: i64,
        state: DeploymentState,
        description: &str,
        log: Option<&str>,
        site: Option<&str>,
    ) -> Result<(), ApiError> {
        let number = id.to_string();
        let mut path = self.repository();
        path.extend(["deployments", &number]);
        let description: String = description.chars().take(DESCRIPTION_MAX).collect();
        if self.kind == ForgeKind::GitLab {
            let Some(word) = gitlab_word(state) else {
                return Ok(());
            };
            let done = self
                .deployment_call(Method::PUT, path, &json!({ "status": word }))
                .await;
            return match done {
                Err(error) if error.message.contains("Cannot transition status") => Ok(()),
                done => done.map(drop),
            };
        }
        path.push("statuses");
        let mut body = json!({ "state": github_word(state), "description": description, "auto_inactive": true });
        if let Some(log) = log {
            body["log_url"] = json!(log);
        }
        if let Some(site) = site {
            body["environment_url"] = json!(site);
        }
        self.deployment_call(Method::POST, path, &body).await.map(drop)
    }

    async fn deployment_call(&self, method: Method, path: Vec<&str>, body: &Value) -> Result<Value, ApiError> {
        let call = Call {
            method,
            path,
            query: &[],
            body: Some(body),
            purpose: Purpose::Deployment,
        };
        self.call(call).await
    }
}

fn github_word(state: DeploymentState) -> &'static str {
    match state {
        DeploymentState::Queued => "queued",
        DeploymentState::InProgress => "in_progress",
        DeploymentState::Success => "success",
        DeploymentState::Failure => "failure",
        DeploymentState::Inactive => "inactive",
    }
}

/// GitLab finds out by itself what was replaced, and makes every deployment as `created`.
fn gitlab_word(state: DeploymentState) -> Option<&'static str> {
    match state {
        DeploymentState::Queued | DeploymentState::Inactive => None,
        DeploymentState::InProgress => Some("running"),
        DeploymentState::Success => Some("success"),
        DeploymentState::Failure => Some("failed"),
    }
}
