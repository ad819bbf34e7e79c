//! What a git worker writes to its parent, line by line.

use std::io::Write;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::wire::Reply;
use super::{Progress, ProgressPhase};
use crate::model::Locked;

/// Shortest time between two progress lines of the same phase.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// Tells the parent how it goes. Its silence is what the parent's idle time-out measures.
#[derive(Default)]
pub(super) struct Reporter(Mutex<Option<(Instant, ProgressPhase)>>);

impl Reporter {
    /// Sends it, unless the last one was a moment ago.
    pub(super) fn progress(&self, progress: Progress) {
        let mut last = self.0.locked();
        let now = Instant::now();
        let soon = |(at, phase): (Instant, ProgressPhase)| phase == progress.phase && now - at < PROGRESS_EVERY;
        if !last.is_some_and(soon) {
            *last = Some((now, progress.phase));
            send(&Reply::<()>::Progress(progress));
        }
    }
}

/// One line. Nobody is there to be told of a failure, since this is the line to the only one.
pub(super) fn send<T: Serialize>(reply: &Reply<T>) {
    let mut line = serde_json::to_vec(reply).unwrap_or_default();
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(&line).and_then(|()| out.flush());
}
