//! Tags as versions: which of two is the newer one, and which are pre-releases.

use std::cmp::Ordering;

use semver::Prerelease;

/// Words that begin a pre-release even where no `-` stands before them: `v2.0rc1`, `1.4.0.beta2`.
const PRERELEASE_WORDS: &[&str] = &["alpha", "beta", "rc", "pre", "preview", "dev", "snapshot"];

/// What of a tag's name is a version: `1.4.0-rc.1` of `v1.4.0-rc.1` and of `blog/v1.4.0-rc.1`.
///
/// Numbers that Semantic Versioning refuses are versions, too: `v2`, `1.4`, `2026.01.05`, `1.2.3.4`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Version {
    /// Without zeros at the end, so that `v2` is `v2.0.0`.
    numbers: Vec<u64>,
    prerelease: Prerelease,
}

impl Version {
    /// The version that a tag names, if it names one.
    fn of(tag: &str) -> Option<Self> {
        let name = tag.rsplit(['/', '@']).next().unwrap_or(tag);
        let text = without_prefix(name)?;
        let text = text.split_once('+').map_or(text, |(version, _build)| version);
        let end = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (core, rest) = text.split_at(end);
        let core = core.strip_suffix('.').filter(|_| !rest.is_empty()).unwrap_or(core);
        let mut numbers: Vec<u64> = core.split('.').map(|n| n.parse().ok()).collect::<Option<_>>()?;
        let prerelease = prerelease(rest, numbers.len())?;
        while numbers.last() == Some(&0) {
            numbers.pop();
        }
        Some(Self { numbers, prerelease })
    }
}

/// The name from its first number on that begins a word, perhaps after a `v`, or that ends one: `1.2` of `release1.2`, and of
/// `k8s-v1.2`.
fn without_prefix(name: &str) -> Option<&str> {
    let digits = name.char_indices().filter(|(_, c)| c.is_ascii_digit());
    let begins = |at: usize| {
        let before = name[..at].strip_suffix(['v', 'V']).unwrap_or(&name[..at]);
        let after = name[at..].trim_start_matches(|c: char| c.is_ascii_digit());
        before.chars().next_back().is_none_or(|c| !c.is_alphanumeric())
            || before.bytes().all(|b| b.is_ascii_alphabetic()) && !after.starts_with(char::is_alphabetic)
    };
    digits.map(|(at, _)| at).find(|at| begins(*at)).map(|at| &name[at..])
}

/// What follows the numbers, as a pre-release; `None` if it makes the whole no version. After fewer than three numbers a
/// pre-release is a word, since `2026-11-27` is a date.
fn prerelease(rest: &str, numbers: usize) -> Option<Prerelease> {
    if rest.is_empty() {
        return Some(Prerelease::EMPTY);
    }
    if let Some(text) = rest.strip_prefix('-')
        && (numbers == 3 || text.starts_with(|c: char| c.is_ascii_alphabetic()))
        && let Ok(prerelease) = Prerelease::new(text)
    {
        return Some(prerelease);
    }
    let text = rest.trim_start_matches(['-', '.', '_']).to_ascii_lowercase();
    let letters = text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (word, number) = text.split_at(letters);
    let number = number.trim_start_matches(['-', '.', '_']);
    // `1.0b2` is the second beta in Python; `1.0.2k` of others is a release.
    let known = PRERELEASE_WORDS.contains(&word) || (matches!(word, "a" | "b") && !number.is_empty());
    if !known || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number = number.trim_start_matches('0');
    Prerelease::new(&format!("{word}.{}", if number.is_empty() { "0" } else { number })).ok()
}

/// Compares two tags by age of their versions: semantic versions by precedence, all else in natural order and below them.
pub fn compare_tags(a: &str, b: &str) -> Ordering {
    let by_version = match (Version::of(a), Version::of(b)) {
        (Some(a), Some(b)) => a.numbers.cmp(&b.numbers).then_with(|| a.prerelease.cmp(&b.prerelease)),
        (a, b) => a.is_some().cmp(&b.is_some()),
    };
    by_version.then_with(|| natural(a, b))
}

/// Whether a tag names a pre-release.
pub fn is_prerelease(tag: &str) -> bool {
    Version::of(tag).is_some_and(|version| !version.prerelease.is_empty())
}

/// Compares as people count: digits as numbers, so that build-10 comes after build-9.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    let number = |part: &str| part.starts_with(|c: char| c.is_ascii_digit());
    loop {
        let (x, y) = (chunk(&mut left), chunk(&mut right));
        let order = if number(x) && number(y) {
            let (x, y) = (x.trim_start_matches('0'), y.trim_start_matches('0'));
            x.len().cmp(&y.len()).then_with(|| x.cmp(y))
        } else {
            x.cmp(y)
        };
        if order.is_ne() || (x.is_empty() && y.is_empty()) {
            return order;
        }
    }
}

/// Takes a run of digits or of other characters from the front.
fn chunk<'a>(text: &mut &'a str) -> &'a str {
    let digit = text.starts_with(|c: char| c.is_ascii_digit());
    let end = text.find(|c: char| c.is_ascii_digit() != digit).unwrap_or(text.len());
    let (head, tail) = text.split_at(end);
    *text = tail;
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_versions_are_greater() {
        for rising in [
            // The order that semver.org gives.
            &[
                "1.0.0-alpha",
                "1.0.0-alpha.1",
                "1.0.0-alpha.beta",
                "1.0.0-beta",
                "1.0.0-beta.2",
                "1.0.0-beta.11",
                "1.0.0-rc.1",
                "1.0.0",
                "2.0.0",
                "2.1.0",
                "2.1.1",
            ][..],
            &[
                "v1.9.9",
                "v1.10.1",
                "v2.9.0",
                "v2.10.0-rc.1",
                "v2.10.0",
                "v2.10.1+build.5",
                "v10",
            ],
            &["v1", "v1.1", "v1.2.0", "v2rc1", "v2", "v2.0.1"],
            &["1.0a1", "1.0b2", "1.0b10", "1.0rc1", "1.0"],
            &["2026.2.28", "2026.11.05", "2026.11.27", "2026.12.01"],
            &["release-2026-02-05", "release-2026-11-27", "release-2026-11-28"],
            &["latest", "vacation", "v0.0.1"],
            &["build-9", "build-10", "build-101"],
            &["1.2.3.4", "1.2.3.10", "1.2.4"],
            &["k8s-v1.9.0", "k8s-v1.10.0-beta.1", "k8s-v1.10.0"],
            &["app2/v1.9.0", "app2/v1.10.0"],
            &["blog@1.9.0", "blog@1.10.0"],
            &["20261126T235959Z", "20261127T000000Z"],
        ] {
            let mut sorted = rising.to_vec();
            sorted.reverse();
            sorted.sort_by(|a, b| compare_tags(a, b));
            assert_eq!(sorted, rising);
        }
    }

    #[test]
    fn pre_releases_are_told_from_releases() {
        for tag in [
            "v1.0.0-rc.1",
            "1.0.0-alpha",
            "v2.0-beta",
            "v2rc1",
            "1.4.0.beta2",
            "1.0b2",
            "app/v1.0.0-next.3",
            "v1.0.0-0",
            "v1.0.0-RC1",
        ] {
            assert!(is_prerelease(tag), "{tag}");
        }
        for tag in [
            "v1.0.0",
            "v1.0.0+rc1",
            "1.0.2k",
            "release-2026-11-27",
            "nightly",
            "rc",
            "build-7",
            "2026.11.27",
            "v2",
            "arch-1.0.0",
        ] {
            assert!(!is_prerelease(tag), "{tag}");
        }
    }
}
