//! Durations (`"1h30m"`) and sizes (`"25MiB"`) as the configuration writes them.

use std::time::Duration;

/// Milliseconds of each unit of time, from the longest to the shortest.
const TIME_UNITS: &[(&str, u64)] = &[
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// Bytes of each unit of size, from the largest to the smallest.
const SIZE_UNITS: &[(&str, u64)] = &[
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// Why a text is not a duration or a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// It is not made of numbers and units.
    #[error("not a duration")]
    Duration,
    /// It is not a number and a unit.
    #[error("not a size")]
    Size,
    /// A number without a unit.
    #[error("a unit is missing")]
    NoUnit,
    /// A larger unit stands after a smaller one, or one stands twice.
    #[error("the units must be in descending order")]
    Order,
    /// More than 64 bits can count.
    #[error("too large")]
    TooLarge,
}

/// Takes the number at the head of `text`, and gives the rest.
fn number(text: &str) -> Option<(Result<u64, UnitError>, &str)> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (head, rest) = text.split_at(digits);
    (digits > 0).then(|| (head.parse().map_err(|_| UnitError::TooLarge), rest))
}

/// Reads `"90s"`, `"10m"`, `"1h30m"`, `"250ms"`, `"90d"`.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let mut rest = text;
    let mut units = TIME_UNITS.iter();
    let mut total: u64 = 0;
    loop {
        let (count, after) = number(rest).ok_or(UnitError::Duration)?;
        let count = count?;
        let letters = after.len() - after.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let (word, after) = after.split_at(letters);
        if word.is_empty() {
            return Err(if after.is_empty() {
                UnitError::NoUnit
            } else {
                UnitError::Duration
            });
        }
        if !TIME_UNITS.iter().any(|(unit, _)| *unit == word) {
            return Err(UnitError::Duration);
        }
        let (_, factor) = units.find(|(unit, _)| *unit == word).ok_or(UnitError::Order)?;
        let part = count.checked_mul(*factor).ok_or(UnitError::TooLarge)?;
        total = total.checked_add(part).ok_or(UnitError::TooLarge)?;
        if after.is_empty() {
            return Ok(Duration::from_millis(total));
        }
        rest = after;
    }
}

/// Reads `"25MiB"`, `"512KiB"`, `"1GiB"`, `"100B"`: bytes.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let (count, word) = number(text).ok_or(UnitError::Size)?;
    if word.is_empty() {
        return Err(UnitError::NoUnit);
    }
    let (_, factor) = SIZE_UNITS
        .iter()
        .find(|(unit, _)| *unit == word)
        .ok_or(UnitError::Size)?;
    count?.checked_mul(*factor).ok_or(UnitError::TooLarge)
}

/// Common words for units of time, with hookd's own.
const TIME_WORDS: &[(&str, &str)] = &[
    ("day", "d"),
    ("hour", "h"),
    ("hr", "h"),
    ("minute", "m"),
    ("min", "m"),
    ("second", "s"),
    ("sec", "s"),
    ("millisecond", "ms"),
    ("msec", "ms"),
];

/// The duration that was meant by a text that is none: `10 min` is `10m`.
pub fn meant_duration(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase().replace(' ', "");
    let letters = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (count, word) = text.split_at(letters);
    let singular = word.strip_suffix('s').filter(|rest| rest.len() > 1).unwrap_or(word);
    let known = TIME_WORDS.iter().find(|(name, _)| *name == singular);
    let meant = match known.map_or(word, |(_, unit)| *unit) {
        "" => format!("{count}s"),
        "w" | "week" | "weeks" => format!("{}d", count.parse::<u64>().ok()?.checked_mul(7)?),
        unit => format!("{count}{unit}"),
    };
    parse_duration(&meant).ok().map(|_| meant)
}

/// The size that was meant by a text that is none: `25 MB` is `25MiB`.
pub fn meant_size(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase().replace(' ', "");
    let letters = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (count, word) = text.split_at(letters);
    let unit = match word.strip_suffix("ib").or(word.strip_suffix('b')).unwrap_or(word) {
        "" => "B",
        "k" => "KiB",
        "m" => "MiB",
        "g" => "GiB",
        "t" => "TiB",
        _ => return None,
    };
    let meant = format!("{count}{unit}");
    parse_size(&meant).ok().map(|_| meant)
}

/// Writes a duration as [`parse_duration`] reads it: `1h30m`; below a millisecond is cut off.
pub fn show_duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, factor) in TIME_UNITS {
        if rest >= *factor {
            text = format!("{text}{}{unit}", rest / factor);
            rest %= factor;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// Writes a size as [`parse_size`] reads it, in the largest unit that leaves no remainder: `25MiB`.
pub fn show_size(bytes: u64) -> String {
    let unit = SIZE_UNITS
        .iter()
        .find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor));
    let (unit, factor) = unit.unwrap_or(&("B", 1));
    format!("{}{unit}", bytes / factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, millis) in [
            ("90s", 90_000),
            ("10m", 600_000),
            ("1h30m", 5_400_000),
            ("250ms", 250),
            ("1m250ms", 60_250),
            ("90d", 7_776_000_000),
            ("0s", 0),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration() {
        for (text, error) in [
            ("", UnitError::Duration),
            ("90", UnitError::NoUnit),
            ("1h30", UnitError::NoUnit),
            ("s", UnitError::Duration),
            ("-1s", UnitError::Duration),
            ("1.5h", UnitError::Duration),
            ("1 s", UnitError::Duration),
            ("1y", UnitError::Duration),
            ("30m1h", UnitError::Order),
            ("1m1m", UnitError::Order),
            ("99999999999999999999s", UnitError::TooLarge),
            ("18446744073709551615s", UnitError::TooLarge),
        ] {
            assert_eq!(parse_duration(text), Err(error), "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("25MiB", 26_214_400),
            ("512KiB", 524_288),
            ("1GiB", 1 << 30),
            ("7B", 7),
            ("0B", 0),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for (text, error) in [
            ("", UnitError::Size),
            ("25", UnitError::NoUnit),
            ("25MB", UnitError::Size),
            ("25M", UnitError::Size),
            ("MiB", UnitError::Size),
            ("99999999TiB", UnitError::TooLarge),
        ] {
            assert_eq!(parse_size(text), Err(error), "{text}");
        }
    }

    #[test]
    fn what_was_meant() {
        for (text, meant) in [
            ("10 m", Some("10m")),
            ("10min", Some("10m")),
            ("2 Hours", Some("2h")),
            ("90 secs", Some("90s")),
            ("2weeks", Some("14d")),
            ("90", Some("90s")),
            ("soon", None),
        ] {
            assert_eq!(meant_duration(text).as_deref(), meant, "{text}");
        }
        for (text, meant) in [
            ("1GB", Some("1GiB")),
            ("25 mb", Some("25MiB")),
            ("512k", Some("512KiB")),
            ("7 bytes", None),
            ("much", None),
        ] {
            assert_eq!(meant_size(text).as_deref(), meant, "{text}");
        }
    }

    #[test]
    fn shown_as_they_are_read() {
        for text in ["1h30m", "10m", "250ms", "90d", "1d1h1m1s1ms", "0s"] {
            assert_eq!(show_duration(parse_duration(text).unwrap()), text);
        }
        for text in ["25MiB", "1GiB", "1025B", "0B", "1536KiB"] {
            assert_eq!(show_size(parse_size(text).unwrap()), text);
        }
    }
}
