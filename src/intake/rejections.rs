//! What strangers tried: counted per address, the newest kept in memory. The store has nothing of it.

use std::cmp::Ordering;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderMap;

use crate::clock;
use crate::forge;
use crate::logging::About;
use crate::model::words;
use crate::store::DeliveryRow;

/// Rejected deliveries that `hookd deliveries` can still show.
const SHOWN: usize = 200;

/// Addresses counted at once: as many as can fail within a window on all connections; the oldest make place.
const ADDRESSES: usize = 4096;

/// Length of the window in which failures are counted.
const WINDOW: Duration = Duration::from_mins(1);

/// Rejections of one address that are listed within a window, in the journal and for `hookd deliveries`: more than fail
/// before they are told to wait, and few enough that nobody fills the journal or drives all others out of the list.
const LISTED: u32 = 100;

/// Longest text of a stranger that is kept, characters.
const TEXT_MAX: usize = 100;

#[derive(Default)]
struct Inner {
    newest: VecDeque<DeliveryRow>,
    addresses: HashMap<IpAddr, Recent>,
}

/// What an address did within its window.
struct Recent {
    since: Instant,
    /// Failed authentications.
    failures: u32,
    /// Deliveries that were noted.
    noted: u32,
}

impl Recent {
    fn new(since: Instant) -> Self {
        Self {
            since,
            failures: 0,
            noted: 0,
        }
    }
}

impl Inner {
    /// What the address did in the window that is open for it.
    fn recent(&mut self, from: IpAddr) -> &mut Recent {
        let now = Instant::now();
        let is_over = |recent: &Recent| now.duration_since(recent.since) >= WINDOW;
        if self.addresses.len() >= ADDRESSES && !self.addresses.contains_key(&from) {
            self.addresses.retain(|_, recent| !is_over(recent));
            if self.addresses.len() >= ADDRESSES {
                self.addresses.clear();
            }
        }
        let recent = self.addresses.entry(from).or_insert_with(|| Recent::new(now));
        if is_over(recent) {
            *recent = Recent::new(now);
        }
        recent
    }
}

/// A delivery that nobody vouches for, by what it claims, and why it was not taken.
#[derive(Debug, Default)]
pub struct Refused<'a> {
    /// What the path or the payload called the repo.
    pub repo: &'a str,
    /// Whose headers it has.
    pub forge: &'a str,
    /// What the delivery called itself.
    pub delivery: &'a str,
    /// Its event, as claimed.
    pub event: &'a str,
    /// Why it was refused.
    pub reason: &'a str,
}

impl<'a> Refused<'a> {
    /// A delivery as its headers describe it, and what is said of it.
    pub fn claiming(repo: Option<&'a str>, headers: &'a HeaderMap, reason: &'a str) -> Self {
        let claims = forge::claims(headers);
        Self {
            repo: repo.unwrap_or_default(),
            forge: claims.forge.map_or("", forge::word),
            delivery: claims.delivery.unwrap_or_default(),
            event: claims.event.unwrap_or_default(),
            reason,
        }
    }
}

/// Remembers rejections; see the module.
#[derive(Default)]
pub struct Rejections(Mutex<Inner>);

/// A stranger's text as it is kept and shown.
fn harmless(text: &str) -> String {
    words::shown(text, TEXT_MAX)
}

/// The fields that the journal gets.
fn about(row: &DeliveryRow) -> About<'_> {
    About {
        repo: (!row.repo.is_empty()).then_some(row.repo.as_str()),
        delivery: (!row.delivery.is_empty()).then_some(row.delivery.as_str()),
        remote_addr: Some(&row.remote_addr),
        reason: Some(&row.reason),
        ..About::default()
    }
}

impl Rejections {
    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a rejection, in the journal and for `hookd deliveries`.
    pub fn note(&self, from: IpAddr, refused: &Refused<'_>) {
        let noted = {
            let mut inner = self.inner();
            let recent = inner.recent(from);
            recent.noted = recent.noted.saturating_add(1);
            recent.noted
        };
        let address = from.to_string();
        match noted.cmp(&LISTED) {
            Ordering::Less => {
                let row = self.list(&address, "rejected", refused);
                about(&row).warn(format!("refused a delivery: {}", refused.reason));
            }
            Ordering::Equal => {
                let reason = format!("refused {LISTED} within a minute: the next ones of this address are not listed");
                let last = Refused {
                    reason: &reason,
                    ..Refused::default()
                };
                about(&self.list(&address, "rejected", &last)).warn(reason.clone());
            }
            Ordering::Greater => {}
        }
    }

    /// Notes the connection test of a forge that does not sign it: answered, and of no consequence.
    pub fn note_test(&self, from: IpAddr, test: &Refused<'_>) {
        let mut inner = self.inner();
        let recent = inner.recent(from);
        recent.noted = recent.noted.saturating_add(1);
        let listed = recent.noted < LISTED;
        drop(inner);
        if listed {
            let row = self.list(&from.to_string(), "pong", test);
            about(&row).info(format!("pong: {}", test.reason));
        }
    }

    /// Keeps a row, and lets the oldest go.
    fn list(&self, address: &str, result: &str, refused: &Refused<'_>) -> DeliveryRow {
        let row = DeliveryRow {
            number: None,
            delivery: harmless(refused.delivery),
            repo: harmless(refused.repo),
            forge: refused.forge.to_owned(),
            event: harmless(refused.event),
            received_at: clock::now().0,
            remote_addr: address.to_owned(),
            result: result.to_owned(),
            reason: refused.reason.to_owned(),
            jobs: Vec::new(),
        };
        let mut inner = self.inner();
        if inner.newest.len() == SHOWN {
            inner.newest.pop_front();
        }
        inner.newest.push_back(row.clone());
        row
    }

    /// Counts a failed authentication, unless the address has failed `limit` times already: then the seconds until it may fail
    /// again.
    pub fn failed(&self, from: IpAddr, limit: u32) -> Option<u64> {
        let mut inner = self.inner();
        let recent = inner.recent(from);
        if recent.failures >= limit {
            let left = WINDOW.saturating_sub(recent.since.elapsed());
            return Some(left.as_secs() + 1);
        }
        recent.failures += 1;
        None
    }

    /// The newest rejections first.
    pub fn newest(&self, limit: usize) -> Vec<DeliveryRow> {
        self.inner().newest.iter().rev().take(limit).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_does_not_fill_the_list() {
        let rejections = Rejections::default();
        let (loud, quiet) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let refused = Refused {
            reason: "signature-wrong",
            repo: "blog\x1b[31m",
            ..Refused::default()
        };
        rejections.note(quiet, &refused);
        for _ in 0..10 * SHOWN {
            rejections.note(loud, &refused);
        }
        let rows = rejections.newest(usize::MAX);
        assert_eq!(rows.len(), 1 + LISTED as usize);
        assert!(rows[0].reason.contains("not listed"), "{}", rows[0].reason);
        let last = rows.last().unwrap();
        assert_eq!(
            (last.remote_addr.as_str(), last.repo.as_str()),
            ("192.0.2.2", "blog\u{fffd}[31m")
        );
    }

    #[test]
    fn the_list_and_the_table_of_addresses_end() {
        let rejections = Rejections::default();
        for number in 0..u32::try_from(2 * ADDRESSES).unwrap() {
            let from = IpAddr::from(number.to_be_bytes());
            rejections.note(from, &Refused::default());
            rejections.failed(from, 60);
        }
        assert_eq!(rejections.newest(usize::MAX).len(), SHOWN);
        assert!(rejections.inner().addresses.len() <= ADDRESSES);
    }
}
