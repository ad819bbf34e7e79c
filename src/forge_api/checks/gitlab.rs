//! GitLab: jobs and external statuses of a commit, and its newest pipeline. Sources: docs.gitlab.com, "Commits API" and
//! "Pipelines API".

use super::{Api, ApiError, States, text, together};
use crate::model::{CheckState, CommitId};

/// The name under which the whole pipeline is required.
const PIPELINE: &str = "pipeline";

/// Pipelines of merge requests may be those of forks.
const FOREIGN: &[&str] = &["merge_request_event", "external_pull_request_event"];

/// The states of the checks, by the names of jobs and statuses.
pub(super) async fn ask(api: &Api, commit: &CommitId, names: &[String]) -> Result<States, ApiError> {
    let commit = commit.as_str();
    let project = api.repository();
    let mut states = States::new();
    for name in names {
        let state = if name == PIPELINE {
            let query = [("sha", commit), ("order_by", "id"), ("sort", "desc")];
            let found = api.get(&[&project[..], &["pipelines"]].concat(), &query).await?;
            let mut pipelines = found.as_array().map_or(&[][..], Vec::as_slice).iter();
            let own = pipelines.find(|pipeline| !FOREIGN.contains(&text(pipeline, "source")));
            own.map(|pipeline| CheckState::of_word(text(pipeline, "status")))
        } else {
            let path = [&project[..], &["repository", "commits", commit, "statuses"]].concat();
            let query = [("name", name.as_str()), ("per_page", "100")];
            let found = api.get(&path, &query).await?;
            let statuses = found.as_array().map_or(&[][..], Vec::as_slice).iter();
            let of_name = statuses.filter(|status| text(status, "name") == name);
            together(of_name.map(|status| CheckState::of_word(text(status, "status"))))
        };
        states.extend(state.map(|state| (name.clone(), state)));
    }
    Ok(states)
}
