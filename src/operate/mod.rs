//! What a person or a program can have done to a target, wherever they ask: deploy, retry, roll back, cancel, pause, resume,
//! replay.
//!
//! An act only asks for a job or changes what may start; the worker does the rest. Each returns when it is on disk.

mod act;
mod choose;
mod log_in;
mod tokens;
mod try_out;

use std::sync::Arc;

use tokio::sync::watch;

use crate::access::Logins;
use crate::api::{Asked, DeployRequest, QueuedJob, RollbackRequest};
use crate::clock;
use crate::config::{Strategy, Target};
use crate::deploy::World;
use crate::intake::{Intake, NotReplayed};
use crate::model::{Asker, Refusal, RefusalKind, TargetId};
use crate::overview::no_delivery;
use crate::poll::Poller;
use crate::store::{AcceptedJob, NewJob, Source};
use crate::worker::{Settings, Worker};

pub use act::{Act, By};

type Result<T> = std::result::Result<T, Refusal>;

/// Does what it is told; clones share it.
#[derive(Clone)]
pub struct Operator {
    /// The doors to the outside.
    pub world: World,
    /// Runs them, and is told when there are new ones.
    pub worker: Worker,
    /// Looks at the remote after `resume`.
    pub poller: Poller,
    /// Runs stored deliveries again.
    pub intake: Arc<Intake>,
    /// Lets users in.
    pub logins: Arc<Logins>,
    /// The configuration in force.
    pub settings: watch::Receiver<Settings>,
}

impl Operator {
    fn settings(&self) -> Settings {
        self.settings.borrow().clone()
    }

    /// The target of that name.
    pub fn target(&self, repo: &str, target: &str) -> Result<Arc<Target>> {
        let settings = self.settings();
        let id = format!("{repo}/{target}").parse::<TargetId>().ok();
        let found = id.and_then(|id| settings.config.target(&id).map(|(_, target)| Arc::clone(target)));
        found.ok_or_else(|| {
            let targets = settings.config.repos.values().flat_map(|repo| repo.targets.values());
            let known: Vec<String> = targets.map(|target| target.id.to_string()).collect();
            let refusal = Refusal::not_found(format!("there is no target {repo}/{target}"));
            if known.is_empty() {
                refusal.hint("the configuration has no targets: see hookd add")
            } else {
                refusal.hint(format!("there are: {}", known.join(", ")))
            }
        })
    }

    /// Brings a target to the tip of its ref.
    async fn deploy(&self, by: &Asker, target: &Target, request: DeployRequest) -> Result<Asked> {
        self.require_free(target).await?;
        self.run(by, target, request.git_ref.as_deref(), Source::Deploy).await
    }

    /// Retries a failed or rolled-back deployment.
    async fn retry(&self, by: &Asker, target: &Target, request: DeployRequest) -> Result<Asked> {
        self.require_free(target).await?;
        let mut named = request.git_ref;
        if named.is_none() {
            let (last, _) = self.world.store.latest(&target.id).await?;
            named = last.map(|row| row.git_ref.to_string());
        }
        self.run(by, target, named.as_deref(), Source::Retry).await
    }

    async fn run(&self, by: &Asker, target: &Target, named: Option<&str>, source: Source) -> Result<Asked> {
        let git_ref = self.chosen_ref(target, named).await?;
        let job = NewJob {
            target: target.id.clone(),
            git_ref,
            wanted: None,
            source,
            pusher: None,
            release: None,
            keep_all: target.keeps_requests(),
            asked_by: Some(by.to_string()),
        };
        Ok(self.queued(self.world.store.request(vec![job], clock::now()).await?))
    }

    async fn require_free(&self, target: &Target) -> Result<()> {
        let row = self.world.store.target(&target.id).await?;
        let why = match row.pinned {
            _ if !row.held() => return Ok(()),
            Some(release) => format!("{} is pinned to {release} by a rollback", target.id),
            None => format!("{} is paused", target.id),
        };
        Err(Refusal::conflict(why).hint(format!("hookd resume {}", target.id)))
    }

    /// The answer for jobs that are queued now.
    fn queued(&self, jobs: Vec<AcceptedJob>) -> Asked {
        self.worker.wake();
        Asked {
            status: "accepted".to_owned(),
            jobs: jobs.into_iter().map(QueuedJob::from).collect(),
            ..Asked::default()
        }
    }

    /// Goes back to an earlier release, and stays there until `resume`.
    async fn rollback(&self, by: &Asker, target: &Target, request: RollbackRequest) -> Result<Asked> {
        if target.strategy == Strategy::InPlace {
            let error = format!("{} is deployed in place and keeps no releases", target.id);
            return Err(Refusal::conflict(error).hint("revert the commit and push"));
        }
        let (release, git_ref) = self.chosen_release(target, request.release).await?;
        let job = NewJob {
            target: target.id.clone(),
            git_ref,
            wanted: None,
            source: Source::Rollback,
            pusher: None,
            release: Some(release.clone()),
            keep_all: true,
            asked_by: Some(by.to_string()),
        };
        let jobs = self.world.store.request_rollback(job, release, clock::now()).await?;
        Ok(self.queued(jobs))
    }

    /// Stops a target's running deployment, and drops pending ones.
    async fn cancel(&self, target: &Target) -> Result<Asked> {
        let waiting = self.world.store.cancel_waiting(target.id.clone(), clock::now()).await?;
        let running = self.worker.cancel(&target.id);
        let message = match (running, waiting) {
            (None, 0) => return Err(Refusal::not_found(format!("nothing runs or waits for {}", target.id))),
            (Some(id), _) => format!("deployment {id} is being stopped"),
            (None, n) => format!("{n} waiting cancelled"),
        };
        Ok(done("cancelled", message))
    }

    /// Deploys nothing to a target until [`Operator::resume`].
    async fn pause(&self, target: &Target) -> Result<Asked> {
        self.world.store.set_paused(&target.id, true).await?;
        Ok(done("paused", format!("{} is paused", target.id)))
    }

    /// Resumes a paused or pinned target. After a rollback, the tip that it went away from is deployed anew: no look at
    /// the remote would find it, since it was dealt with once.
    async fn resume(&self, by: &Asker, target: &Target) -> Result<Asked> {
        let was_pinned = self.world.store.target(&target.id).await?.pinned.is_some();
        self.world.store.set_paused(&target.id, false).await?;
        self.worker.wake();
        self.poller.look_soon(&target.id.repo);
        let name = &target.id;
        if !was_pinned {
            let message = format!("{name} is resumed; what was pushed meanwhile is deployed");
            return Ok(done("resumed", message));
        }
        let mut asked = match self.run(by, target, None, Source::Deploy).await {
            Ok(asked) => asked,
            Err(refusal) => {
                let message = format!("{name} is resumed, and stays where it is until the next push: {refusal}");
                return Ok(done("resumed", message));
            }
        };
        "resumed".clone_into(&mut asked.status);
        asked.message =
            format!("{name} is resumed, and deploys the tip of its ref; follow it with: hookd logs -f {name}");
        Ok(asked)
    }

    /// Handles a stored delivery as if it had just arrived.
    async fn replay_stored(&self, by: &Asker, id: &str) -> Result<Asked> {
        let replayed = self
            .intake
            .replay(&self.settings(), id, by)
            .await
            .map_err(not_replayed)?;
        if replayed.jobs.is_empty() {
            return Ok(done("ignored", replayed.reason));
        }
        Ok(self.queued(replayed.jobs))
    }
}

fn not_replayed(error: NotReplayed) -> Refusal {
    match error {
        NotReplayed::Unknown(id) => no_delivery(&id),
        NotReplayed::NoRepo(_) | NotReplayed::Emptied(_) => Refusal::not_found(error.to_string()),
        NotReplayed::NotUnderstood(why) => Refusal::conflict(why.to_string()),
        NotReplayed::Store(error) => error.into(),
    }
}

fn done(status: &str, message: String) -> Asked {
    Asked {
        status: status.to_owned(),
        message,
        ..Asked::default()
    }
}

fn invalid(error: impl std::fmt::Display) -> Refusal {
    Refusal::new(RefusalKind::Invalid, error.to_string())
}
