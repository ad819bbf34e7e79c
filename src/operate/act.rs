//! Each act by its name, recorded in the audit log with who asked for it and its result.

use super::{Operator, Result};
use crate::api::{Asked, DeployRequest, RollbackRequest};
use crate::clock;
use crate::config::Target;
use crate::model::{Asker, Refusal};
use crate::store::NewAct;

/// What may be done to a target.
#[derive(Debug, Clone)]
pub enum Act {
    /// Bring it to the tip of its ref.
    Deploy(DeployRequest),
    /// Try again what failed or was rolled back.
    Retry(DeployRequest),
    /// Go back to an earlier release.
    Rollback(RollbackRequest),
    /// Stop the running deployment, and drop pending ones.
    Cancel,
    /// Deploy nothing until it is resumed.
    Pause,
    /// Let it go on.
    Resume,
}

impl Act {
    /// The word that the command line, the API and the audit have for it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Deploy(_) => "deploy",
            Self::Retry(_) => "retry",
            Self::Rollback(_) => "rollback",
            Self::Cancel => "cancel",
            Self::Pause => "pause",
            Self::Resume => "resume",
        }
    }
}

/// Who asks, and from where.
#[derive(Debug, Clone)]
pub struct By {
    /// Who.
    pub asker: Asker,
    /// The address of the request; none for the control socket.
    pub address: Option<String>,
}

impl Operator {
    /// Does something to a target.
    pub async fn act(&self, by: &By, target: &Target, act: Act) -> Result<Asked> {
        let (who, word) = (&by.asker, act.word());
        let doing = async {
            match act {
                Act::Deploy(request) => self.deploy(who, target, request).await,
                Act::Retry(request) => self.retry(who, target, request).await,
                Act::Rollback(request) => self.rollback(who, target, request).await,
                Act::Cancel => self.cancel(target).await,
                Act::Pause => self.pause(target).await,
                Act::Resume => self.resume(who, target).await,
            }
        };
        self.noted(by, word, target.id.to_string(), doing).await
    }

    /// Handles a stored delivery as if it had just arrived.
    pub async fn replay(&self, by: &By, id: &str) -> Result<Asked> {
        self.noted(by, "replay", id.to_owned(), self.replay_stored(&by.asker, id))
            .await
    }

    /// Notes an act before it is done, so that none is missing, and afterwards what came of it.
    pub(super) async fn noted(
        &self,
        by: &By,
        act: &'static str,
        object: String,
        doing: impl Future<Output = Result<Asked>>,
    ) -> Result<Asked> {
        let new = NewAct {
            who: by.asker.to_string(),
            act,
            object,
            address: by.address.clone(),
        };
        let number = self.world.store.note_act(new, clock::now()).await?;
        let done = doing.await;
        let job = done.as_ref().ok().and_then(|asked| Some(asked.jobs.first()?.id));
        let noted = self.world.store.note_result(number, in_words(&done), job).await;
        if let Err(error) = noted {
            tracing::warn!(%error, "the audit log lacks the result of act {number}");
        }
        done
    }
}

fn in_words(done: &std::result::Result<Asked, Refusal>) -> String {
    match done {
        Ok(asked) if asked.jobs.is_empty() => asked.message.clone(),
        Ok(asked) => {
            let jobs: Vec<String> = asked.jobs.iter().map(|job| format!("job {}", job.id)).collect();
            format!("queued {}", jobs.join(", "))
        }
        Err(refusal) => format!("refused: {refusal}"),
    }
}
