//! How a deployment ends when the daemon or the machine stops, and when hookd gives up one that crashes it repeatedly.

use std::time::Duration;

use crate::config::Strategy;
use crate::exec::{self, Ended, ExecError};
use crate::model::{Outcome, Phase};
use crate::store::{DeploymentRow, GivenUp};

use super::{Change, End, Run, Stop, Why};

/// Longest wait for the restart that comes with a new program, from its file to the end of the package's installation.
const RESTART_TIME: Duration = Duration::from_mins(1);

impl Run<'_> {
    /// Whether that command's end says nothing about the command, since hookd is about to stop: then the next start runs it again.
    pub(super) async fn is_cut_off(&self, ended: &Result<Ended, ExecError>) -> bool {
        match ended {
            Ok(Ended::NotStarted(_)) if is_replaced() => {
                // The unit's half of the supervisor is of another version by now.
                let stop = self.halt.stopping.cancelled();
                tokio::time::timeout(RESTART_TIME, stop).await.is_ok()
            }
            Ok(Ended::NotStarted(_) | Ended::Signalled(_)) | Err(_) => self.halt.stopping.is_cancelled(),
            Ok(_) => false,
        }
    }

    /// A failure while the machine goes down says nothing about the commit: the site, the network and systemd go down, too.
    pub(super) async fn believe(&self, stop: Stop) -> Stop {
        if matches!(stop, Stop::Failed { .. }) && exec::machine_stops().await {
            self.halt.ask(Why::Shutdown);
            return Stop::Halted;
        }
        stop
    }

    /// The end of a deployment in which the daemon was killed again and again.
    pub(super) async fn give_up(&mut self, change: Change, row: &DeploymentRow, given_up: &GivenUp) -> End {
        let reason = given_up.to_string();
        match given_up.phase {
            Phase::Fetch | Phase::Build => {
                if self.site.target.strategy == Strategy::InPlace {
                    self.undo_in_place(row).await;
                }
                self.before_live(Stop::failed(reason))
            }
            // It is live and healthy; only old releases are left, which the next deployment removes.
            Phase::Finish => self.live_at_last(change).await,
            Phase::Activate | Phase::Reload | Phase::Check => {
                let reason = row.rolling_back.clone().unwrap_or(reason);
                self.roll_back(change, reason, Outcome::RolledBack).await
            }
        }
    }

    async fn undo_in_place(&mut self, row: &DeploymentRow) {
        if let (Some(from), Some(to)) = (&row.commit, &row.previous_commit) {
            self.bring_back(from, to).await;
        }
    }

    /// Whether this run may do what a phase does: not if the daemon was killed in it too often.
    pub(super) fn may(&self, phase: Phase) -> bool {
        self.claim
            .given_up
            .as_ref()
            .is_none_or(|given_up| given_up.phase != phase)
    }
}

/// Whether the file of this program was replaced, by an upgrade say.
fn is_replaced() -> bool {
    std::fs::read_link("/proc/self/exe").is_ok_and(|path| path.as_os_str().as_encoded_bytes().ends_with(b" (deleted)"))
}
