//! What a forge is to show of a target's commits. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{Config, Reporting, Target, units};
use crate::forge_api::{DeploymentState, State};
use crate::model::{CommitId, Outcome};
use crate::store::{Progressed, ReportKey, ReportRow, Stage};

/// The kind of a report about a commit.
pub(super) const STATUS: &str = "status";

/// The kind of a report about an environment.
pub(super) const DEPLOYMENT: &str = "deployment";

/// How far it is, in the words of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Condition {
    Waiting,
    Running,
    Live,
    Failed,
    Stopped,
    Skipped,
    Replaced,
}

/// What the forge is to show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Shown {
    pub state: Condition,
    pub description: String,
    pub git_ref: String,
    pub environment: String,
    pub link: Option<String>,
    pub site: Option<String>,
}

impl Condition {
    pub(super) fn as_status(self) -> State {
        match self {
            Self::Waiting => State::Pending,
            Self::Running => State::Running,
            Self::Live | Self::Replaced => State::Success,
            Self::Failed => State::Failure,
            Self::Stopped => State::Canceled,
            Self::Skipped => State::Skipped,
        }
    }

    pub(super) fn as_deployment(self) -> DeploymentState {
        match self {
            Self::Waiting => DeploymentState::Queued,
            Self::Running => DeploymentState::InProgress,
            Self::Live => DeploymentState::Success,
            Self::Failed | Self::Stopped => DeploymentState::Failure,
            Self::Skipped | Self::Replaced => DeploymentState::Inactive,
        }
    }
}

/// What is to be reported of a target, as far as it is not wanted already.
pub(super) fn of_target(
    config: &Config,
    target: &Target,
    kinds: &[Reporting],
    progress: &[Progressed],
    known: &[ReportRow],
) -> Vec<(ReportKey, String)> {
    let known: BTreeMap<&ReportKey, Option<Shown>> = known
        .iter()
        .map(|row| (&row.key, serde_json::from_str(&row.wanted).ok()))
        .collect();
    let here: BTreeMap<&CommitId, &Progressed> = progress
        .iter()
        .filter(|p| p.target == target.id)
        .map(|p| (&p.commit, p))
        .collect();
    let mut wanted = Vec::new();
    for progressed in here.values() {
        for report in kinds {
            let key = key(target, &progressed.commit, *report);
            let before = known.get(&key).and_then(Option::as_ref);
            if let Some(shown) = shown(config, target, progressed, *report, before)
                && before != Some(&shown)
            {
                wanted.push((key, shown));
            }
        }
    }
    let replaced = known.iter().filter_map(|(key, shown)| {
        let shown = shown.as_ref().filter(|_| key.kind == DEPLOYMENT)?;
        let live = here.values().find(|p| p.is_live)?;
        (shown.state == Condition::Live && live.commit != key.commit).then(|| {
            let description = format!("replaced by {}", live.commit.short());
            let state = Condition::Replaced;
            (
                (*key).clone(),
                Shown {
                    state,
                    description,
                    ..shown.clone()
                },
            )
        })
    });
    let replaced: Vec<_> = replaced.collect();
    wanted.retain(|(key, _)| !replaced.iter().any(|(other, _)| other == key));
    wanted.extend(replaced);
    let json = |shown: Shown| serde_json::to_string(&shown).unwrap_or_default();
    wanted.into_iter().map(|(key, shown)| (key, json(shown))).collect()
}

fn key(target: &Target, commit: &CommitId, report: Reporting) -> ReportKey {
    let kind = match report {
        Reporting::Status => STATUS,
        Reporting::Deployment => DEPLOYMENT,
    };
    ReportKey {
        target: target.id.clone(),
        commit: commit.clone(),
        kind: kind.to_owned(),
    }
}

fn shown(
    config: &Config,
    target: &Target,
    progressed: &Progressed,
    report: Reporting,
    before: Option<&Shown>,
) -> Option<Shown> {
    let reason = progressed.reason.clone().unwrap_or_default();
    let (state, description) = match progressed.stage {
        Stage::Waiting if reason.is_empty() => (Condition::Waiting, "waiting to be deployed".to_owned()),
        Stage::Waiting => (Condition::Waiting, reason),
        Stage::Running => (Condition::Running, "deploying".to_owned()),
        Stage::Done(outcome) => match (outcome, report) {
            (Outcome::Live, _) => (Condition::Live, live_words(progressed)),
            // What was told of its deployment stays true.
            (Outcome::Unchanged, _)
                if before.is_some_and(|b| matches!(b.state, Condition::Live | Condition::Replaced)) =>
            {
                return None;
            }
            (Outcome::Unchanged, _) if progressed.is_live => (Condition::Live, "live".to_owned()),
            (Outcome::Unchanged, Reporting::Status) => (Condition::Skipped, reason),
            (Outcome::Unchanged, Reporting::Deployment) => {
                before.filter(|b| matches!(b.state, Condition::Waiting | Condition::Running))?;
                (Condition::Skipped, reason)
            }
            (Outcome::Failed, _) => (Condition::Failed, reason),
            (Outcome::RolledBack, _) => (Condition::Failed, format!("rolled back: {reason}")),
            // Nobody has to learn of what the forge was never told.
            (Outcome::Superseded, _) => {
                before?;
                (Condition::Stopped, reason)
            }
            (Outcome::Cancelled, _) => (Condition::Stopped, reason),
            (Outcome::Interrupted, _) => (Condition::Waiting, reason),
        },
    };
    // Once live and then replaced it stays replaced, until it is deployed again.
    if let Some(before) = before
        && before.state == Condition::Replaced
        && state == Condition::Live
        && !progressed.is_live
    {
        return None;
    }
    Some(Shown {
        state,
        description,
        git_ref: progressed.git_ref.to_string(),
        environment: target.environment.clone(),
        link: progressed.deployment.and_then(|id| config.deployment_url(id)),
        site: target.url.as_ref().map(ToString::to_string),
    })
}

fn live_words(progressed: &Progressed) -> String {
    match progressed.took {
        Some(ms) => {
            let took = Duration::from_secs(ms.max(0).unsigned_abs().div_ceil(1000));
            format!("live after {}", units::show_duration(took))
        }
        None => "live".to_owned(),
    }
}
