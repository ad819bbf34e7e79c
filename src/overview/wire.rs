//! Rows of the store as the wire tells of them.

use crate::api::{Delivery, Deployment, Job, Phase, QueuedJob, Release};
use crate::store::{AcceptedJob, DeliveryRow, DeploymentRow, JobStatus, PhaseRow, ReleaseRow, ReleaseState};

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
        }
    }
}

impl From<DeploymentRow> for Deployment {
    fn from(row: DeploymentRow) -> Self {
        Self {
            id: row.id,
            job: row.job,
            target: row.target,
            git_ref: row.git_ref,
            source: row.source,
            delivery: row.delivery,
            commit: row.commit,
            subject: row.subject,
            previous_commit: row.previous_commit,
            release: row.release,
            previous_release: row.previous_release,
            phase: row.phase,
            outcome: row.outcome,
            reason: row.reason,
            rolling_back: row.rolling_back,
            started_at: row.started_at,
            finished_at: row.finished_at,
        }
    }
}

impl From<PhaseRow> for Phase {
    fn from(row: PhaseRow) -> Self {
        Self {
            phase: row.phase,
            started_at: row.started_at,
            finished_at: row.finished_at,
        }
    }
}

impl From<ReleaseRow> for Release {
    fn from(row: ReleaseRow) -> Self {
        let state = match row.state {
            ReleaseState::Building => "building",
            ReleaseState::Good => "good",
            ReleaseState::Failed => "failed",
        };
        Self {
            name: row.name,
            commit: row.commit,
            git_ref: row.git_ref,
            deployment: row.deployment,
            state: state.to_owned(),
            created_at: row.created_at,
        }
    }
}

impl From<JobStatus> for Job {
    fn from(job: JobStatus) -> Self {
        Self {
            id: job.id,
            target: job.target,
            state: job.state,
            outcome: job.outcome,
            reason: job.reason,
            deployment: job.deployment,
        }
    }
}

impl From<AcceptedJob> for QueuedJob {
    fn from(job: AcceptedJob) -> Self {
        Self {
            id: job.id,
            target: job.target,
        }
    }
}
