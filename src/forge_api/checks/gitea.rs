//! Gitea and Forgejo: the combined status of a commit. Source: their API, `GET /repos/{owner}/{repo}/commits/{ref}/status`.

use super::{Api, ApiError, States, list, text, together};
use crate::model::{CheckState, CommitId};

/// What a page holds at most, in their default configuration.
const PER_PAGE: usize = 50;

/// Most pages that are read: more contexts than anybody has.
const PAGES: usize = 20;

/// The states of the checks, by their contexts.
pub(super) async fn ask(api: &Api, commit: &CommitId, names: &[String]) -> Result<States, ApiError> {
    let mut path = api.repository();
    path.extend(["commits", commit.as_str(), "status"]);
    let mut found: Vec<(String, CheckState)> = Vec::new();
    for page in 1..=PAGES {
        let (page, limit) = (page.to_string(), PER_PAGE.to_string());
        let answer = api.get(&path, &[("page", &page), ("limit", &limit)]).await?;
        let statuses = list(&answer, "/statuses");
        // `status` in what they send, `state` in GitHub's words and in old versions.
        found.extend(statuses.iter().map(|status| {
            let word = [text(status, "status"), text(status, "state")];
            let word = word.into_iter().find(|word| !word.is_empty()).unwrap_or_default();
            (text(status, "context").to_owned(), CheckState::of_word(word))
        }));
        if statuses.len() < PER_PAGE {
            break;
        }
    }
    let mut states = States::new();
    for name in names {
        let of_name = found
            .iter()
            .filter(|(context, _)| context == name)
            .map(|(_, state)| *state);
        states.extend(together(of_name).map(|state| (name.clone(), state)));
    }
    Ok(states)
}
