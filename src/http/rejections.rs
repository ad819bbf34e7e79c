//! What strangers tried: counted per address, the newest kept in memory. Nothing of it costs disk.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::clock;
use crate::logging::About;
use crate::store::DeliveryRow;

/// Rejected deliveries that `hookd deliveries` can still show.
const SHOWN: usize = 200;

/// Addresses counted at once: as many as can fail within a window on all connections; the oldest make place.
const ADDRESSES: usize = 4096;

/// Length of the window in which failures are counted.
const WINDOW: Duration = Duration::from_mins(1);

/// Longest text of a stranger that is kept, bytes.
const TEXT_MAX: usize = 100;

#[derive(Default)]
struct Inner {
    newest: VecDeque<DeliveryRow>,
    failures: HashMap<IpAddr, (Instant, u32)>,
}

/// A refused delivery.
#[derive(Debug, Default)]
pub struct Refused<'a> {
    /// What the path or the payload called the repo.
    pub repo: &'a str,
    /// What the delivery called itself.
    pub delivery: &'a str,
    /// Its event, as claimed.
    pub event: &'a str,
    /// Why it was refused.
    pub reason: &'a str,
}

/// Remembers rejections; see the module.
#[derive(Default)]
pub struct Rejections(Mutex<Inner>);

/// Cuts a stranger's text and takes out what a terminal would obey.
fn harmless(text: &str) -> String {
    let end = text.floor_char_boundary(TEXT_MAX);
    text[..end]
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

impl Rejections {
    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a rejection, in the journal and for `hookd deliveries`.
    pub fn note(&self, from: IpAddr, refused: &Refused<'_>) {
        let address = from.to_string();
        let row = DeliveryRow {
            number: None,
            delivery: harmless(refused.delivery),
            repo: harmless(refused.repo),
            forge: String::new(),
            event: harmless(refused.event),
            received_at: clock::now().0,
            remote_addr: address.clone(),
            result: "rejected".to_owned(),
            reason: refused.reason.to_owned(),
            jobs: Vec::new(),
        };
        About {
            repo: (!row.repo.is_empty()).then_some(row.repo.as_str()),
            delivery: (!row.delivery.is_empty()).then_some(row.delivery.as_str()),
            remote_addr: Some(&address),
            reason: Some(refused.reason),
            ..About::default()
        }
        .warn(format!("refused a delivery: {}", refused.reason));
        let mut inner = self.inner();
        if inner.newest.len() == SHOWN {
            inner.newest.pop_front();
        }
        inner.newest.push_back(row);
    }

    /// Counts a failed authentication.
    pub fn failed(&self, from: IpAddr) {
        let now = Instant::now();
        let mut inner = self.inner();
        if inner.failures.len() >= ADDRESSES && !inner.failures.contains_key(&from) {
            inner
                .failures
                .retain(|_, (since, _)| now.duration_since(*since) < WINDOW);
            if inner.failures.len() >= ADDRESSES {
                inner.failures.clear();
            }
        }
        let entry = inner.failures.entry(from).or_insert((now, 0));
        if now.duration_since(entry.0) >= WINDOW {
            *entry = (now, 0);
        }
        entry.1 = entry.1.saturating_add(1);
    }

    /// Seconds until the address may fail again; none while it still may.
    pub fn blocked(&self, from: IpAddr, limit: u32) -> Option<u64> {
        let inner = self.inner();
        let (since, count) = inner.failures.get(&from)?;
        let left = WINDOW.checked_sub(since.elapsed())?;
        (*count >= limit).then(|| left.as_secs() + 1)
    }

    /// The newest rejections first.
    pub fn newest(&self, limit: usize) -> Vec<DeliveryRow> {
        self.inner().newest.iter().rev().take(limit).cloned().collect()
    }
}
