//! The spares that are being made.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::model::TargetId;

/// The spares that are being made, one at most for each target; clones share them.
#[derive(Clone, Default)]
pub struct Spares(Arc<Mutex<BTreeMap<TargetId, Making>>>);

/// One that is being made.
pub(super) struct Making {
    pub(super) cancel: CancellationToken,
    pub(super) task: JoinHandle<()>,
}

impl Spares {
    /// Ends the making of a target's spare: its process is gone when this returns. What it leaves is swept with the rest.
    pub(super) async fn stop(&self, target: &TargetId) {
        let making = self.lock().remove(target);
        if let Some(making) = making {
            making.cancel.cancel();
            // A panic of it is no concern of this deployment.
            let _ = making.task.await;
        }
    }

    pub(super) fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<TargetId, Making>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
