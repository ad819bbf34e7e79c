//! Converts rows of the store to wire types.

use std::collections::{BTreeMap, BTreeSet};

use nix::unistd::{Uid, User};

use crate::api::{Act, Delivery, Deployment, Job, Phase, QueuedJob, Release};
use crate::store::{AcceptedJob, ActRow, DeliveryRow, DeploymentRow, JobStatus, PhaseRow, ReleaseRow};

/// Who asked, as people say it: `alice` for `user:alice`, `token ci` for `token:ci`, and for `uid:1000` the name of that user of the
/// machine; the number where it has none. May block: the machine may ask its directory server.
fn asker_name(who: &str) -> String {
    match who.split_once(':') {
        Some(("user", name)) => name.to_owned(),
        Some(("token", name)) => format!("token {name}"),
        Some(("uid", number)) => {
            let user = number.parse().ok().map(Uid::from_raw).map(User::from_uid);
            let user = user.and_then(|user| user.ok().flatten());
            user.map_or_else(|| format!("uid {number}"), |user| user.name)
        }
        _ => who.to_owned(),
    }
}

/// See [`asker_name`], of all of them.
pub(super) async fn names(askers: BTreeSet<String>) -> BTreeMap<String, String> {
    let look = move || {
        let named = askers.into_iter().map(|who| {
            let name = asker_name(&who);
            (who, name)
        });
        named.collect()
    };
    tokio::task::spawn_blocking(look).await.unwrap_or_default()
}

/// A value of `model`, where there is one, as text.
pub(super) fn text(value: Option<impl ToString>) -> Option<String> {
    value.map(|value| value.to_string())
}

impl From<DeliveryRow> for Delivery {
    fn from(row: DeliveryRow) -> Self {
        Self {
            number: row.number,
            delivery: row.delivery,
            repo: row.repo,
            forge: row.forge,
            event: row.event,
            received_at: row.received_at,
            remote_addr: row.remote_addr,
            result: row.result,
            reason: row.reason,
            jobs: row.jobs,
            secret: row.secret,
            count: 1,
        }
    }
}

impl From<DeploymentRow> for Deployment {
    fn from(row: DeploymentRow) -> Self {
        let phase = row.came_to().to_string();
        Self {
            id: row.id,
            job: row.job,
            target: row.target.to_string(),
            git_ref: row.git_ref.to_string(),
            source: row.source.to_string(),
            delivery: row.delivery,
            commit: text(row.commit.or(row.fetched)),
            subject: row.subject,
            author: row.author,
            previous_commit: text(row.previous_commit),
            release: text(row.release),
            previous_release: text(row.previous_release),
            phase,
            outcome: text(row.outcome),
            reason: row.reason,
            rolling_back: row.rolling_back,
            started_at: row.started_at,
            finished_at: row.finished_at,
            asked_by: row.asked_by,
        }
    }
}

impl From<PhaseRow> for Phase {
    fn from(row: PhaseRow) -> Self {
        Self {
            phase: row.phase.to_string(),
            started_at: row.started_at,
            finished_at: row.finished_at,
        }
    }
}

impl From<ReleaseRow> for Release {
    fn from(row: ReleaseRow) -> Self {
        Self {
            name: row.name.to_string(),
            commit: row.commit.to_string(),
            git_ref: row.git_ref.to_string(),
            deployment: row.deployment,
            state: row.state.to_string(),
            subject: None,
            author: None,
            created_at: row.created_at,
        }
    }
}

impl From<JobStatus> for Job {
    fn from(job: JobStatus) -> Self {
        Self {
            id: job.id,
            target: job.target.to_string(),
            state: job.state.to_string(),
            outcome: text(job.outcome),
            reason: job.reason,
            deployment: job.deployment,
        }
    }
}

impl From<AcceptedJob> for QueuedJob {
    fn from(job: AcceptedJob) -> Self {
        Self {
            id: job.id,
            target: job.target.to_string(),
        }
    }
}

/// An act, with the names of all who asked.
pub(super) fn act(row: ActRow, names: &BTreeMap<String, String>) -> Act {
    Act {
        id: row.id,
        at: row.at,
        name: names.get(&row.who).unwrap_or(&row.who).clone(),
        who: row.who,
        act: row.act,
        object: row.object,
        address: row.address,
        result: row.result,
        outcome: text(row.outcome),
        deployment: row.deployment,
    }
}
