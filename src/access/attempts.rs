//! Counts failed log-ins, by address and by name.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::model::Locked;

/// Length of the window in which failures are counted.
const WINDOW: Duration = Duration::from_mins(1);

/// Addresses and names counted at once: as many as can fail within a window, since one failure takes some hundredth of a
/// second of hashing. When there are more, nobody gets in until the window is over.
const COUNTED_MAX: usize = 16_384;

/// Failed log-ins that the audit gets within a window; the others are in the counts only, so that strangers do not fill it.
const NOTED: u32 = 30;

/// Who is counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Address(IpAddr),
    Name(String),
    /// What was noted of all.
    Noted,
}

/// Failures of the window that is open; see the module.
#[derive(Default)]
pub(super) struct Attempts(Mutex<HashMap<Key, (Instant, u32)>>);

/// Most failures within a window.
#[derive(Debug, Clone, Copy)]
pub(super) struct Most {
    pub(super) of_address: u32,
    pub(super) of_name: u32,
}

impl Attempts {
    /// Takes one attempt, as if it failed; [`Self::succeeded`] gives it back. The error is the time after which to try again.
    /// Counted before the password is looked at: many at once are no way around the limit.
    pub(super) fn begin(&self, from: IpAddr, name: &str, most: Most) -> Result<(), Duration> {
        let mut counts = self.0.locked();
        let now = Instant::now();
        let keys = [
            (Key::Address(from), most.of_address),
            (Key::Name(name.to_owned()), most.of_name),
        ];
        for (key, most) in &keys {
            if let Some((since, count)) = counts.get(key)
                && now.duration_since(*since) < WINDOW
                && count >= most
            {
                return Err(WINDOW.saturating_sub(now.duration_since(*since)));
            }
        }
        if counts.len() >= COUNTED_MAX {
            counts.retain(|_, (since, _)| now.duration_since(*since) < WINDOW);
            if counts.len() >= COUNTED_MAX {
                return Err(WINDOW);
            }
        }
        for (key, _) in keys {
            count(&mut counts, key, now);
        }
        Ok(())
    }

    /// The attempt was none of a guesser.
    pub(super) fn succeeded(&self, from: IpAddr, name: &str) {
        let mut counts = self.0.locked();
        for key in [Key::Address(from), Key::Name(name.to_owned())] {
            if let Some((_, count)) = counts.get_mut(&key) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    counts.remove(&key);
                }
            }
        }
    }

    /// Whether one more failure may go into the audit.
    pub(super) fn may_note(&self) -> bool {
        let mut counts = self.0.locked();
        count(&mut counts, Key::Noted, Instant::now()) <= NOTED
    }
}

fn count(counts: &mut HashMap<Key, (Instant, u32)>, key: Key, now: Instant) -> u32 {
    let entry = counts.entry(key).or_insert((now, 0));
    if now.duration_since(entry.0) >= WINDOW {
        *entry = (now, 0);
    }
    entry.1 += 1;
    entry.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_limited_by_address_and_by_name() {
        let most = Most {
            of_address: 2,
            of_name: 3,
        };
        let attempts = Attempts::default();
        let from = |last: u8| IpAddr::from([192, 0, 2, last]);
        assert!(attempts.begin(from(1), "alice", most).is_ok());
        assert!(attempts.begin(from(1), "bob", most).is_ok());
        let again = attempts.begin(from(1), "carol", most).unwrap_err();
        assert!(again <= WINDOW && again > Duration::ZERO, "{again:?}");
        assert!(attempts.begin(from(2), "alice", most).is_ok());
        assert!(attempts.begin(from(3), "alice", most).is_ok());
        assert!(attempts.begin(from(4), "alice", most).is_err());
        // Who gets in has not failed.
        attempts.succeeded(from(3), "alice");
        assert!(attempts.begin(from(4), "alice", most).is_ok());
    }

    #[test]
    fn attempts_that_are_none_fill_nothing() {
        let most = Most {
            of_address: 2,
            of_name: 2,
        };
        let (attempts, from) = (Attempts::default(), IpAddr::from([192, 0, 2, 1]));
        for number in 0..=COUNTED_MAX {
            let name = format!("user{number}");
            assert!(attempts.begin(from, &name, most).is_ok());
            attempts.succeeded(from, &name);
        }
        assert!(attempts.begin(from, "alice", most).is_ok());
    }

    #[test]
    fn the_audit_gets_a_part_of_the_failures() {
        let attempts = Attempts::default();
        let noted = (0..100).filter(|_| attempts.may_note()).count();
        assert_eq!(noted, usize::try_from(NOTED).unwrap());
    }
}
