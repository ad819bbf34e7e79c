//! What is told of a deployment's end, and to whom.

use serde_json::json;

use crate::config::{Config, Notify, Target};
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
        "deployment": claim.deployment,
        "outcome": finish.outcome.as_str(),
        "reason": finish.reason,
        "ref": claim.job.git_ref.as_str(),
        "commit": finish.tip.as_ref().map(|tip| &tip.1),
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

/// Sends one message: a POST of the JSON to a URL, or the JSON on a command's standard input.
pub async fn send(channel: &Notify, body: &str) -> Result<(), String> {
    if let Some(url) = &channel.url {
        let headers = [("content-type".to_owned(), "application/json".to_owned())];
        let (status, _) = crate::probe::post(url, &headers, body.as_bytes().to_vec(), TIMEOUT)
            .await
            .map_err(|e| e.to_string())?;
        if !(200..300).contains(&status) {
            return Err(format!("answered {status}"));
        }
    }
    Ok(())
}
