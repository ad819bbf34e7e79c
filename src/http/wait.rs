//! `?wait=50s`: the answer to a request comes when its job has ended, or the wait is over.

use std::time::Duration;

use http::StatusCode;

use super::App;
use super::answer::{self, Answer};
use crate::api::{Asked, Query};
use crate::config::units;
use crate::model::{Refusal, RefusalKind};

/// Longest wait: proxies cut a request that is silent for longer anyway.
const WAIT_MAX: Duration = Duration::from_mins(10);

/// Pause between two looks at the job: at first, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// How long a request wants to wait.
pub fn asked_for(query: &Query) -> Result<Option<Duration>, Refusal> {
    let Some(text) = query.get("wait") else { return Ok(None) };
    let wait = units::parse_duration(text).ok().filter(|wait| *wait <= WAIT_MAX);
    let refusal = || Refusal::new(RefusalKind::Invalid, "`wait` is not a duration up to 10m").hint("?wait=50s");
    wait.map(Some).ok_or_else(refusal)
}

impl App {
    /// The answer to what was asked for: 202 while the job waits or runs, 200 with its outcome once it has ended.
    pub(super) async fn awaited(&self, mut asked: Asked, wait: Option<Duration>) -> Result<Answer, Refusal> {
        let Some(first) = asked.jobs.first().map(|job| job.id) else {
            return Ok(answer::json(StatusCode::OK, &asked));
        };
        let Some(wait) = wait else {
            return Ok(answer::json(StatusCode::ACCEPTED, &asked));
        };
        let end = tokio::time::Instant::now() + wait;
        let mut pause = PAUSES.0;
        loop {
            let job = self.overview.job(first).await?;
            asked.deployment = job.deployment;
            if job.state == "done" {
                asked.outcome = job.outcome;
                asked.reason = job.reason;
                return Ok(answer::json(StatusCode::OK, &asked));
            }
            if tokio::time::Instant::now() >= end {
                return Ok(answer::json(StatusCode::ACCEPTED, &asked));
            }
            tokio::time::sleep_until(end.min(tokio::time::Instant::now() + pause)).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }
}
