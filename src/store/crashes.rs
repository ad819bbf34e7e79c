//! Jobs that ran when the daemon was killed, and how often.

use std::fmt;

use rusqlite::{Connection, params};

use super::StoreError;
use super::rows::DeploymentRow;
use crate::model::Phase;

/// So often the daemon may be killed in one phase of a job; more is taken for the job's doing.
const CRASHES: u32 = 3;

/// The same in `reload`, which may reach the daemon by systemd, and by signals with kernels before Linux 6.12.
const CRASHES_IN_RELOAD: u32 = 2;

/// The daemon was killed too often in a phase of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GivenUp {
    /// Which phase.
    pub phase: Phase,
    /// How often.
    pub crashes: u32,
}

impl fmt::Display for GivenUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { phase, crashes } = self;
        write!(
            f,
            "hookd was killed {crashes} times while this was in {phase}, so it was given up"
        )
    }
}

/// Counts that the daemon was killed while this deployment ran, unless it stopped in an orderly way.
pub(super) fn count_crash(c: &Connection, job: i64, row: &DeploymentRow) -> Result<Option<GivenUp>, StoreError> {
    let orderly = c.execute("UPDATE jobs SET left_open = 0 WHERE id = ?1 AND left_open", [job])?;
    if orderly > 0 {
        return Ok(None);
    }
    let phase = row.phase;
    let crashes: u32 = c.query_row(
        "UPDATE jobs SET crashes = CASE WHEN crash_phase IS ?2 THEN crashes + 1 ELSE 1 END, crash_phase = ?2 \
         WHERE id = ?1 RETURNING crashes",
        params![job, phase],
        |row| row.get(0),
    )?;
    let most = if phase == Phase::Reload {
        CRASHES_IN_RELOAD
    } else {
        CRASHES
    };
    Ok((crashes >= most).then_some(GivenUp { phase, crashes }))
}
