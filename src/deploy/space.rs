//! Free space: required before a deployment begins, and watched while it writes.

use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::git::GitError;
use crate::release::free_space;

use super::{Site, Stop};

/// How often the free space is looked at while git writes: a fast disk takes some hundred MiB meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Of the least free space, what one over this number has to be left while git writes: the rest is for it to use.
const LEFT: u64 = 2;

/// Fails if less than `least` bytes, or no inodes, are free where the mirror and the releases are.
pub(super) fn require(site: &Site, least: u64) -> Result<(), Stop> {
    [&site.config.state_dir, &site.target.path]
        .into_iter()
        .try_for_each(|path| require_at(path, least))
}

fn require_at(path: &Path, least: u64) -> Result<(), Stop> {
    // A directory that is not there yet is on the file system of the nearest one that is.
    let there = path.ancestors().find(|p| p.exists()).unwrap_or(path);
    let (bytes, inodes) =
        free_space(there).map_err(|e| Stop::failed(format!("{}: can't tell the free space: {e}", there.display())))?;
    if bytes >= least && inodes > 0 {
        return Ok(());
    }
    let lacking = if bytes < least {
        format!("only {} MiB are free", bytes >> 20)
    } else {
        "no inodes are free".to_owned()
    };
    Err(Stop::Failed {
        reason: format!(
            "{}: {lacking} (at least {} MiB have to be, by `[limits] free_space`)",
            there.display(),
            least >> 20
        ),
        transient: true,
    })
}

/// Runs git's work, and stops it before the disk is full.
pub(super) async fn watched<T>(
    site: &Site,
    halt: &CancellationToken,
    work: impl AsyncFnOnce(CancellationToken) -> Result<T, GitError>,
) -> Result<T, Stop> {
    let token = halt.child_token();
    let mut work = pin!(work(token.clone()));
    let least = site.config.limits.free_space / LEFT;
    let short = async {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if let Err(stop) = require(site, least) {
                return stop;
            }
        }
    };
    let stop = tokio::select! {
        done = &mut work => return done.map_err(Stop::from),
        stop = short => stop,
    };
    token.cancel();
    // It ends by the token; why it does is known.
    let _ = work.await;
    Err(match stop {
        Stop::Failed { reason, transient } => Stop::Failed {
            reason: format!("stopped before the disk is full: {reason}"),
            transient,
        },
        other => other,
    })
}
