//! Rejected requests: counted per address, the newest kept in memory, never in the store.

use std::cmp::Ordering;
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::HeaderMap;

use crate::clock;
use crate::forge;
use crate::logging::About;
use crate::model::{Locked, words};
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

/// Rejections of all addresses together that the journal gets within a second: a few lines of a person's mistake, and no flood.
const LINES: u32 = 20;

/// Length of the window in which lines are counted.
const LINES_WINDOW: Duration = Duration::from_secs(1);

/// Whom an address is counted with: whoever has one IPv6 address has its /64 (RFC 6177).
pub fn counted_with(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[derive(Default)]
struct Inner {
    newest: VecDeque<DeliveryRow>,
    addresses: HashMap<IpAddr, Recent>,
    /// The windows of `addresses`, the oldest first; also such as are gone by now.
    order: VecDeque<(IpAddr, Instant)>,
    /// Since when lines are counted, how many were written, and how many were not.
    lines: Option<(Instant, u32, u64)>,
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
    /// What the address, or its network, did in the window that is open for it. If there are too many, the oldest goes.
    fn recent(&mut self, from: IpAddr) -> &mut Recent {
        let (from, now) = (counted_with(from), Instant::now());
        let known = self.addresses.get(&from);
        if known.is_none_or(|recent| now.duration_since(recent.since) >= WINDOW) {
            while self.addresses.len() >= ADDRESSES {
                let Some((oldest, since)) = self.order.pop_front() else {
                    break;
                };
                if self.addresses.get(&oldest).is_some_and(|recent| recent.since == since) {
                    self.addresses.remove(&oldest);
                }
            }
            while self.order.len() >= 2 * ADDRESSES {
                self.order.pop_front();
            }
            self.order.push_back((from, now));
            self.addresses.insert(from, Recent::new(now));
        }
        self.addresses.entry(from).or_insert_with(|| Recent::new(now))
    }

    /// Whether one more line may be written; and how many were left out before it.
    fn may_log(&mut self) -> (bool, u64) {
        let now = Instant::now();
        let open = self
            .lines
            .filter(|(since, ..)| now.duration_since(*since) < LINES_WINDOW);
        let Some((since, written, left_out)) = open else {
            let left_out = self.lines.map_or(0, |(.., left_out)| left_out);
            self.lines = Some((now, 1, 0));
            return (true, left_out);
        };
        let may = written < LINES;
        self.lines = Some((since, written + u32::from(may), left_out + u64::from(!may)));
        (may, 0)
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
            forge: claims.forge.map_or("", |forge| forge.as_str()),
            delivery: claims.delivery.unwrap_or_default(),
            event: claims.event.unwrap_or_default(),
            reason,
        }
    }
}

/// Remembers rejections; see the module. Clones share it.
#[derive(Default, Clone)]
pub struct Rejections(Arc<Mutex<Inner>>);

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

fn say_left_out(count: u64) {
    if count > 0 {
        tracing::warn!("refused {count} more deliveries, which are not in the log: it gets {LINES} a second");
    }
}

impl Rejections {
    /// Writes a line, unless there were too many within the second; then their number is written when it is over.
    fn log(&self, write: impl FnOnce()) {
        let (may, left_out) = self.0.locked().may_log();
        say_left_out(left_out);
        if may {
            write();
        } else if self.0.locked().lines.is_some_and(|(.., left_out)| left_out == 1)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let rejections = self.clone();
            runtime.spawn(async move {
                tokio::time::sleep(LINES_WINDOW).await;
                let lines = rejections.0.locked().lines.take();
                say_left_out(lines.map_or(0, |(.., left_out)| left_out));
            });
        }
    }

    /// Notes a rejection, in the journal and for `hookd deliveries`.
    pub fn note(&self, from: IpAddr, refused: &Refused<'_>) {
        let noted = {
            let mut inner = self.0.locked();
            let recent = inner.recent(from);
            recent.noted = recent.noted.saturating_add(1);
            recent.noted
        };
        let address = from.to_string();
        match noted.cmp(&LISTED) {
            Ordering::Less => {
                let row = self.list(&address, "rejected", refused);
                self.log(|| about(&row).warn(format!("refused a delivery: {}", refused.reason)));
            }
            Ordering::Equal => {
                let reason = format!("refused {LISTED} within a minute: the next ones of this address are not listed");
                let last = Refused {
                    reason: &reason,
                    ..Refused::default()
                };
                let row = self.list(&address, "rejected", &last);
                self.log(|| about(&row).warn(&reason));
            }
            Ordering::Greater => {}
        }
    }

    /// Notes the connection test of a forge that does not sign it: answered, and of no consequence.
    pub fn note_test(&self, from: IpAddr, test: &Refused<'_>) {
        let mut inner = self.0.locked();
        let recent = inner.recent(from);
        recent.noted = recent.noted.saturating_add(1);
        let listed = recent.noted < LISTED;
        drop(inner);
        if listed {
            let row = self.list(&from.to_string(), "pong", test);
            self.log(|| about(&row).info(format!("pong: {}", test.reason)));
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
            secret: None,
        };
        let mut inner = self.0.locked();
        if inner.newest.len() == SHOWN {
            inner.newest.pop_front();
        }
        inner.newest.push_back(row.clone());
        row
    }

    /// Counts a failed authentication, unless the address has failed `limit` times already: then the seconds until it may fail
    /// again.
    pub fn failed(&self, from: IpAddr, limit: u32) -> Option<u64> {
        let mut inner = self.0.locked();
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
        self.0.locked().newest.iter().rev().take(limit).cloned().collect()
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
    fn an_ipv6_network_is_one_address_and_the_oldest_goes() {
        let rejections = Rejections::default();
        let within = |last: u128| IpAddr::from(Ipv6Addr::from_bits(0x2001_0db8_0000_0001_u128 << 64 | last));
        for last in 0..5 {
            assert_eq!(rejections.failed(within(last), 5), None);
        }
        assert!(rejections.failed(within(99), 5).is_some());
        let beside = IpAddr::from(Ipv6Addr::from_bits(0x2001_0db8_0000_0002_u128 << 64));
        assert_eq!(rejections.failed(beside, 5), None);
        // Others fill the table up to the last place: who was there stays blocked; one more, and the first goes.
        for number in 0..u32::try_from(ADDRESSES - 2).unwrap() {
            rejections.failed(IpAddr::from(number.to_be_bytes()), 5);
        }
        assert!(rejections.failed(within(7), 5).is_some());
        rejections.failed("198.51.100.1".parse().unwrap(), 5);
        assert_eq!(rejections.failed(within(7), 5), None);
    }

    #[test]
    fn the_log_gets_some_lines_a_second() {
        let mut inner = Inner::default();
        let written = (0..1000).filter(|_| inner.may_log().0).count();
        assert_eq!(written, LINES as usize);
        let (since, written, left_out) = inner.lines.unwrap();
        assert_eq!(left_out, 1000 - u64::from(LINES));
        inner.lines = since.checked_sub(LINES_WINDOW).map(|since| (since, written, left_out));
        assert_eq!(inner.may_log(), (true, left_out));
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
        assert!(rejections.0.locked().addresses.len() <= ADDRESSES);
    }
}
