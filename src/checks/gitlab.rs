//! GitLab: jobs and external statuses of a commit, and its newest pipeline. Sources: docs.gitlab.com, "Commits API" and
//! "Pipelines API".

use url::Url;

use super::{Question, States, text, together};
use crate::model::CheckState;

/// The name under which the whole pipeline is required.
const PIPELINE: &str = "pipeline";

/// Pipelines of merge requests may be those of forks.
const FOREIGN: &[&str] = &["merge_request_event", "external_pull_request_event"];

/// The states of the checks, by the names of jobs and statuses.
pub(super) async fn ask(question: &Question<'_>, base: &Url) -> Result<States, String> {
    let commit = question.commit.as_str();
    // The whole path is one segment, its slashes escaped.
    let project = ["projects", question.full_name];
    let mut states = States::new();
    for name in question.names {
        let state = if name == PIPELINE {
            let query = [("sha", commit), ("order_by", "id"), ("sort", "desc")];
            let found = question
                .get(base, &[&project[..], &["pipelines"]].concat(), &query)
                .await?;
            let mut pipelines = found.as_array().map_or(&[][..], Vec::as_slice).iter();
            let own = pipelines.find(|pipeline| !FOREIGN.contains(&text(pipeline, "source")));
            own.map(|pipeline| CheckState::of_word(text(pipeline, "status")))
        } else {
            let path = [&project[..], &["repository", "commits", commit, "statuses"]].concat();
            let query = [("name", name.as_str()), ("per_page", "100")];
            let found = question.get(base, &path, &query).await?;
            let statuses = found.as_array().map_or(&[][..], Vec::as_slice).iter();
            let named = statuses.filter(|status| text(status, "name") == name);
            together(named.map(|status| CheckState::of_word(text(status, "status"))))
        };
        states.extend(state.map(|state| (name.clone(), state)));
    }
    Ok(states)
}
