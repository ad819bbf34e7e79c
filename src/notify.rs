//! What is told of a deployment's end, and to whom.

use std::path::Path;

use serde_json::json;

use crate::config::{Command, Config, Notify, Target};
use crate::exec::{self, CommandSpec};
use crate::model::Outcome;
use crate::store::{Claim, Finish};

/// Messages for the outbox: name of the `[notify.NAME]` and JSON.
pub fn messages(config: &Config, target: &Target, claim: &Claim, finish: &Finish) -> Vec<(String, String)> {
    let wanted = |notify: &Notify| match notify.on.as_slice() {
        [] => !matches!(finish.outcome, Outcome::Unchanged | Outcome::Superseded),
        on => on.contains(&finish.outcome),
    };
    let body = json!({
        "target": target.id.to_string(),
        "environment": target.environment,
        "url": target.url.as_ref().map(url::Url::as_str),
        "deployment": claim.deployment,
        "outcome": finish.outcome.as_str(),
        "reason": finish.reason,
        "ref": finish.tip.as_ref().map_or(claim.job.git_ref.as_str(), |tip| tip.git_ref.as_str()),
        "commit": finish.tip.as_ref().map(|tip| tip.commit.as_str()),
        "pusher": claim.job.pusher,
        "delivery": claim.job.delivery,
    });
    target
        .notify
        .iter()
        .filter(|name| config.notify.get(*name).is_some_and(wanted))
        .map(|name| (name.clone(), body.to_string()))
        .collect()
}

/// Longest time for one message.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(20);

/// Time from TERM to KILL for a command that does not end in time.
const GRACE: std::time::Duration = std::time::Duration::from_secs(5);

/// Sends one message: a POST of the JSON to a URL, or a command that is given it.
pub async fn send(program: &Path, channel: &Notify, body: &str) -> Result<(), String> {
    if let Some(url) = &channel.url {
        let headers = [("content-type".to_owned(), "application/json".to_owned())];
        let answer = crate::web::post(url, &headers, body.as_bytes().to_vec(), TIMEOUT)
            .await
            .map_err(|e| e.to_string())?;
        if !answer.is_success() {
            return Err(format!("answered {}", answer.status));
        }
    }
    match &channel.command {
        Some(command) => run(program, command, body).await,
        None => Ok(()),
    }
}

/// Runs a command that is given the message as `HOOKD_MESSAGE`.
async fn run(program: &Path, command: &Command, body: &str) -> Result<(), String> {
    let spec = CommandSpec {
        command: command.clone(),
        directory: "/".into(),
        environment: vec![("HOOKD_MESSAGE".to_owned(), body.to_owned())],
        run_as: None,
        unit: None,
        payload: None,
        memory_max: None,
        tasks_max: None,
        timeout: TIMEOUT,
        grace: GRACE,
        lifeline: None,
    };
    let never = tokio_util::sync::CancellationToken::new();
    let said = |line: exec::OutputLine| tracing::info!("notify: {}", line.text);
    match exec::run(program, &spec, said, &never).await {
        Ok(ended) if ended.success() => Ok(()),
        Ok(ended) => Err(format!("the command {ended}")),
        Err(error) => Err(error.to_string()),
    }
}
