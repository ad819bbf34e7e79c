//! A repo's `dispatch`: starts workflows of a repository at GitHub once a target went live.

use serde_json::json;

use crate::deploy::World;
use crate::forge_api::{Api, ApiError, Event};
use crate::model::RepoName;
use crate::notify::{Details, Heard, Notice, SendError};
use crate::worker::Settings;

/// Sends the event now.
pub(super) async fn send(
    world: &World,
    settings: &Settings,
    name: &RepoName,
    notice: &Notice,
    details: &Details,
) -> Result<Heard, SendError> {
    let mut sent = post(world, settings, name, notice, details).await;
    // The forge may have revoked an App's token before its time.
    if let Err((error, Some(full_name))) = &sent
        && error.status == Some(401)
        && world.tokens.forget(full_name)
    {
        sent = post(world, settings, name, notice, details).await;
    }
    match sent {
        Ok(answer) => Ok(Heard { answer }),
        Err((error, _)) => Err(SendError {
            refusal: error.refusal,
            reason: match error.hint {
                Some(hint) => format!("{}; {hint}", error.message),
                None => error.message,
            },
        }),
    }
}

/// Gives with an error the repository that the token was for.
async fn post(
    world: &World,
    settings: &Settings,
    name: &RepoName,
    notice: &Notice,
    details: &Details,
) -> Result<String, (ApiError, Option<String>)> {
    let unusable = |text: String| (ApiError::unusable(text), None);
    let repo = settings.config.repos.get(name);
    let Some((repo, dispatch)) = repo.and_then(|repo| Some((repo, repo.dispatch.as_ref()?))) else {
        return Err(unusable(format!("repo {name} has no `dispatch`")));
    };
    let Some(found) = settings.config.dispatch_api(repo) else {
        return Err(unusable("no `[forge.NAME]` of GitHub has a token".to_owned()));
    };
    let of_other = |error| (error, Some(dispatch.repo.clone()));
    let may = json!({ "contents": "write" });
    let time = settings.config.limits.api_time;
    let token = world
        .tokens
        .get(found, &settings.secrets, &dispatch.repo, &may, time)
        .await;
    let token = token.map_err(of_other)?;
    let api = Api::github(found.1.url.as_ref(), &dispatch.repo, token, time).map_err(of_other)?;
    let payload = notice.event_payload(details);
    let event = Event {
        kind: &dispatch.event,
        payload: &payload,
    };
    api.dispatch(&event).await.map_err(of_other)?;
    Ok(format!("{} took the event {}", dispatch.repo, dispatch.event))
}
