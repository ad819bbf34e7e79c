//! What a forge's API says of the CI checks of a commit.

mod gitea;
mod github;
mod gitlab;

use std::collections::BTreeMap;

use super::{Api, ApiError, list, text};
use crate::config::ForgeKind;
use crate::model::{CheckState, CommitId};

/// The states of checks, by name.
pub type States = BTreeMap<String, CheckState>;

impl Api {
    /// The states of the named checks of a commit; `None` if hookd knows no way to ask this forge. Checks that the forge does
    /// not know are left out.
    pub async fn checks(&self, commit: &CommitId, names: &[String]) -> Option<Result<States, ApiError>> {
        let answer = match self.kind {
            ForgeKind::GitHub => github::ask(self, commit, names).await,
            ForgeKind::GitLab => gitlab::ask(self, commit, names).await,
            ForgeKind::Gitea | ForgeKind::Forgejo => gitea::ask(self, commit, names).await,
            _ => return None,
        };
        Some(answer)
    }
}

/// Several runs under one name count as one: red if one is, green if all are.
fn together(states: impl Iterator<Item = CheckState>) -> Option<CheckState> {
    states.reduce(|one, other| match (one, other) {
        (CheckState::Red, _) | (_, CheckState::Red) => CheckState::Red,
        (CheckState::Green, CheckState::Green) => CheckState::Green,
        _ => CheckState::Pending,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use CheckState::{Green, Pending, Red};

    #[test]
    fn runs_of_one_name_count_together() {
        assert_eq!(together([].into_iter()), None);
        assert_eq!(together([Green, Green].into_iter()), Some(Green));
        assert_eq!(together([Green, Pending].into_iter()), Some(Pending));
        assert_eq!(together([Pending, Red, Green].into_iter()), Some(Red));
    }
}
