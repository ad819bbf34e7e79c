//! Times of `valid-after` and `valid-before`, as ssh-keygen(1) writes them.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::model::Timestamp;

/// `YYYYMMDD` or `YYYYMMDDHHMM[SS]`, in the machine's time zone, or in UTC with a `Z` behind it.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    let (digits, zone) = match text.strip_suffix('Z') {
        Some(digits) => (digits, TimeZone::UTC),
        None => (text, TimeZone::system()),
    };
    if !matches!(digits.len(), 8 | 12 | 14) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number = |from: usize, to: usize| digits.get(from..to).map_or(Some(0), |part| part.parse::<i8>().ok());
    let year: i16 = digits[..4].parse().ok()?;
    let civil = DateTime::new(
        year,
        number(4, 6)?,
        number(6, 8)?,
        number(8, 10)?,
        number(10, 12)?,
        number(12, 14)?,
        0,
    );
    let time = civil.ok()?.to_zoned(zone).ok()?.timestamp();
    Some(Timestamp(time.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_lengths_and_nothing_else() {
        let shown = |text| parse(text).map(|time| time.to_string());
        assert_eq!(shown("20240229Z").as_deref(), Some("2024-02-29T00:00:00Z"));
        assert_eq!(shown("202402291530Z").as_deref(), Some("2024-02-29T15:30:00Z"));
        assert_eq!(shown("20240229153059Z").as_deref(), Some("2024-02-29T15:30:59Z"));
        assert!(parse("20240229").is_some());
        for bad in [
            "",
            "Z",
            "2024",
            "20230229Z",
            "20241301Z",
            "202402292530Z",
            "2024022915Z",
            "+2w",
            "2024-02-29",
            "２0240229",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
