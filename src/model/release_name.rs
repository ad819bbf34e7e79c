//! Names of release directories: `20261122T101500Z-1a2b3c4`.

use std::fmt;
use std::str::FromStr;

use super::{CommitId, Timestamp};

/// Length of `20261122T101500Z`.
const STAMP: usize = 16;

/// Digits of the commit in a name, as `git log --oneline` mostly shows them.
const SHORT: usize = 7;

/// Why a text is not the name of a release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a release: it would look like 20261122T101500Z-1a2b3c4")]
pub struct ReleaseNameError;

/// The name of a release directory: the UTC time and the commit. It sorts by age, and is one plain file name, so that
/// nothing that comes from outside can point anywhere else.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReleaseName(String);

impl ReleaseName {
    /// The name of a release of that commit, made at that time.
    pub fn new(time: Timestamp, commit: &CommitId) -> Self {
        Self(format!("{}-{}", time.compact(), commit.short()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// When it was made, to the second. `None` if it is no time of the calendar.
    pub fn time(&self) -> Option<Timestamp> {
        Timestamp::from_compact(self.stamp())
    }

    /// The time, `20261122T101500Z`.
    pub fn stamp(&self) -> &str {
        &self.0[..STAMP]
    }
}

impl FromStr for ReleaseName {
    type Err = ReleaseNameError;
    fn from_str(text: &str) -> Result<Self, ReleaseNameError> {
        let shape = |(at, byte): (usize, u8)| match at {
            8 => byte == b'T',
            15 => byte == b'Z',
            STAMP => byte == b'-',
            0..STAMP => byte.is_ascii_digit(),
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        };
        if text.len() != STAMP + 1 + SHORT || !text.bytes().enumerate().all(shape) {
            return Err(ReleaseNameError);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ReleaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_can_be_read() {
        let commit = "ABCDEF0123456789abcdef0123456789abcdef01".parse().unwrap();
        let name = ReleaseName::new(Timestamp(1_795_342_500_123), &commit);
        assert_eq!(name.as_str(), "20261122T101500Z-abcdef0");
        assert_eq!(name.as_str().parse(), Ok(name.clone()));
        assert_eq!(name.stamp(), "20261122T101500Z");
    }

    #[test]
    fn nothing_else_is_a_name() {
        for bad in [
            "",
            "..",
            "../../etc",
            "current",
            ".tmp-1",
            "20261122T101500Z-ABCDEF0",
            "20261122T101500Z-abcdef",
            "20261122T101500Z-abcdef01",
            "20261122T101500Z/abcdef0",
            "20261122T101500Z-../abc",
            "2026112xT101500Z-abcdef0",
            "20261122T101500Z-abcdef\u{e9}",
            "/srv/blog/releases/20261122T101500Z-abcdef0",
        ] {
            assert_eq!(bad.parse::<ReleaseName>(), Err(ReleaseNameError), "{bad:?}");
        }
    }
}
