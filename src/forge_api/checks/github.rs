//! GitHub: check runs (also those of Actions) and commit statuses. Sources: docs.github.com, "REST API endpoints for check
//! runs" and "for commit statuses".

use serde_json::Value;

use super::{Api, ApiError, States, list, text, together};
use crate::model::{CheckState, CommitId};

/// Most that one page may hold.
const PER_PAGE: (&str, &str) = ("per_page", "100");

/// The states of the checks, by the names of check runs and the contexts of statuses.
pub(super) async fn ask(api: &Api, commit: &CommitId, names: &[String]) -> Result<States, ApiError> {
    let mut path = api.repository();
    path.extend(["commits", commit.as_str()]);
    let statuses = api.get(&[&path[..], &["status"]].concat(), &[PER_PAGE]).await?;
    let mut states = States::new();
    for name in names {
        let query = [("check_name", name.as_str()), ("filter", "latest"), PER_PAGE];
        let runs = api.get(&[&path[..], &["check-runs"]].concat(), &query).await?;
        let of_runs = list(&runs, "/check_runs")
            .iter()
            .filter(|run| text(run, "name") == name)
            .map(run_state);
        let of_statuses = list(&statuses, "/statuses")
            .iter()
            .filter(|status| text(status, "context") == name)
            .map(|status| CheckState::of_word(text(status, "state")));
        if let Some(state) = together(of_runs.chain(of_statuses)) {
            states.insert(name.clone(), state);
        }
    }
    Ok(states)
}

fn run_state(run: &Value) -> CheckState {
    if text(run, "status") == "completed" {
        CheckState::of_word(text(run, "conclusion"))
    } else {
        CheckState::Pending
    }
}
