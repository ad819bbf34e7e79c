//! Points in time, as stored and shown. Reading the clock is not done here.

use std::fmt;
use std::time::Duration;

/// How release directories are named.
const COMPACT: &str = "%Y%m%dT%H%M%SZ";

/// A span of milliseconds in one unit, rounded down: `5 s`, `3 min`, `2 days`.
pub fn span(milliseconds: i64) -> String {
    let seconds = milliseconds.max(0) / 1000;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// So many seconds after the epoch.
    pub fn of_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Seconds since the epoch.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The time that is `duration` later.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(milliseconds(duration)))
    }

    /// The time that is `duration` earlier.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(milliseconds(duration)))
    }

    /// How long it is from `earlier` to here; zero if it is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    fn civil(self) -> jiff::Timestamp {
        jiff::Timestamp::from_millisecond(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
    }

    /// `20261122T101500Z`: how release directories are named.
    pub fn compact(self) -> String {
        self.civil().strftime(COMPACT).to_string()
    }

    /// The time that [`Timestamp::compact`] shows so. `None` if it is no time of the calendar.
    pub fn from_compact(text: &str) -> Option<Self> {
        let civil = jiff::civil::DateTime::strptime(COMPACT, text).ok()?;
        let zoned = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        Some(Self(zoned.timestamp().as_millisecond()))
    }
}

/// RFC 3339 in UTC, to the second: `2026-11-22T10:15:00Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.civil().strftime("%Y-%m-%dT%H:%M:%SZ"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_in_utc() {
        let t = Timestamp(1_795_342_500_123);
        assert_eq!(t.to_string(), "2026-11-22T10:15:00Z");
        assert_eq!(t.compact(), "20261122T101500Z");
        assert_eq!(
            Timestamp::from_compact("20261122T101500Z"),
            Some(Timestamp(1_795_342_500_000))
        );
        assert_eq!(Timestamp::from_compact("20261322T101500Z"), None);
    }
}
