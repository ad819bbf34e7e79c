//! Patterns: globs of branches, tags, paths and pushers.

use std::fmt;

use globset::{GlobBuilder, GlobMatcher};

/// Longest pattern, in bytes: no ref and few paths are longer, and a glob becomes a program whose size grows with it.
const PATTERN_MAX: usize = 1024;

/// Why a text is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Nothing is left to match, with or without the `!`.
    #[error("an empty pattern matches nothing")]
    Empty,
    /// Longer than 1,024 bytes.
    #[error("a pattern has at most {PATTERN_MAX} bytes")]
    TooLong,
    /// The glob's own rules are broken.
    #[error("not a valid pattern: {0}")]
    Glob(String),
}

/// A glob of branches, tags, paths or pushers. `*` does not match `/`; `**` does; a leading `!` excludes.
#[derive(Clone)]
pub struct Pattern {
    /// As configured.
    pub text: String,
    /// Whether it excludes.
    pub negated: bool,
    /// Compiled, without the `!`.
    pub glob: GlobMatcher,
}

impl Pattern {
    /// Compiles a pattern.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        let bare = text.strip_prefix('!').unwrap_or(text);
        if bare.is_empty() {
            return Err(PatternError::Empty);
        }
        if text.len() > PATTERN_MAX {
            return Err(PatternError::TooLong);
        }
        let glob = GlobBuilder::new(&over_levels(bare)).literal_separator(true).build();
        let glob = glob.map_err(|e| PatternError::Glob(e.kind().to_string()))?;
        Ok(Self {
            text: text.to_owned(),
            negated: bare.len() < text.len(),
            glob: glob.compile_matcher(),
        })
    }

    /// The glob that an entry of `paths` means: a plain path is also everything below it, and so is one that ends in `/`.
    pub fn whole_path(text: &str) -> String {
        let bare = text.strip_prefix('!').unwrap_or(text);
        let not = if bare.len() < text.len() { "!" } else { "" };
        let plain = !bare.is_empty() && !bare.contains(['*', '?', '[', ']', '{', '}', '\\', ',']);
        match bare.strip_suffix('/') {
            Some(_) => format!("{not}{bare}**"),
            None if plain => format!("{not}{{{bare},{bare}/**}}"),
            None => text.to_owned(),
        }
    }

    /// What takes a path and everything below it.
    pub fn of_path(path: &str) -> Result<[Self; 2], PatternError> {
        let path = globset::escape(path.trim_matches('/'));
        Ok([Self::new(&path)?, Self::new(&format!("{path}/**"))?])
    }

    /// Whether it names one thing and nothing else: no wildcard, no `!`.
    pub fn is_exact(&self) -> bool {
        !self.negated && !self.text.contains(['*', '?', '[', ']', '{', '}', '\\'])
    }

    /// The pattern without its `!`.
    pub fn bare(&self) -> &str {
        self.text.strip_prefix('!').unwrap_or(&self.text)
    }
}

/// `**` within a name, as in `release**`, for any text over any levels: to a glob it would be a `*`.
fn over_levels(glob: &str) -> String {
    if glob.contains(['{', '[', '\\', ',']) {
        return glob.to_owned();
    }
    let level = |level: &str| match level.split_once("**") {
        Some((left, right)) if level != "**" && !right.contains("**") => {
            format!("{{{left}*{right},{left}*/**/*{right}}}")
        }
        _ => level.to_owned(),
    };
    glob.split('/').map(level).collect::<Vec<_>>().join("/")
}

/// Shows the text alone: the compiled form is pages long.
impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.text)
    }
}

/// Whether the patterns take `text`. The last one that matches decides, as in `.gitignore`; if all are negated, what
/// none of them excludes is taken. An empty list takes nothing.
pub fn matches(patterns: &[Pattern], text: &str) -> bool {
    let start = !patterns.is_empty() && patterns.iter().all(|p| p.negated);
    patterns
        .iter()
        .rev()
        .find(|p| p.glob.is_match(text))
        .map_or(start, |p| !p.negated)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(texts: &[&str]) -> Vec<Pattern> {
        texts.iter().map(|t| Pattern::new(t).unwrap()).collect()
    }

    #[test]
    fn a_star_stays_within_a_level_and_two_do_not() {
        let one = list(&["release/*"]);
        assert!(matches(&one, "release/1.0"));
        assert!(!matches(&one, "release/1.0/fix"));
        assert!(!matches(&one, "main"));
        let two = list(&["docs/**"]);
        assert!(matches(&two, "docs/a/b.md"));
        assert!(!matches(&two, "src/docs.rs"));
        // Beside other text, too.
        let beside = list(&["a**"]);
        assert!(matches(&beside, "ab") && matches(&beside, "ab/c") && !matches(&beside, "b/ab"));
    }

    #[test]
    fn the_last_match_decides() {
        let patterns = list(&["*", "!wip", "wip"]);
        assert!(matches(&patterns, "wip"));
        let patterns = list(&["v*", "!*-rc*"]);
        assert!(matches(&patterns, "v1.0"));
        assert!(!matches(&patterns, "v1.0-rc1"));
        assert!(!matches(&patterns, "x"));
    }

    #[test]
    fn negations_alone_start_from_everything() {
        let patterns = list(&["!dev", "!wip/*"]);
        assert!(matches(&patterns, "main"));
        assert!(!matches(&patterns, "dev"));
        assert!(!matches(&patterns, "wip/a"));
        assert!(!matches(&[], "main"));
    }

    #[test]
    fn exact_means_one_name() {
        for (text, exact) in [
            ("main", true),
            ("!main", false),
            ("v*", false),
            ("a?", false),
            ("{a,b}", false),
        ] {
            assert_eq!(Pattern::new(text).unwrap().is_exact(), exact, "{text}");
        }
    }

    #[test]
    fn bad_patterns_say_why() {
        assert_eq!(Pattern::new("").unwrap_err(), PatternError::Empty);
        assert_eq!(Pattern::new("!").unwrap_err(), PatternError::Empty);
        assert_eq!(Pattern::new(&"a".repeat(1025)).unwrap_err(), PatternError::TooLong);
        assert!(matches!(Pattern::new("a[b"), Err(PatternError::Glob(_))));
    }

    #[test]
    fn two_stars_cross_levels_wherever_they_stand() {
        for (glob, taken, not_taken) in [
            ("a**", &["a", "ab", "a/b", "ab/c/d"][..], &["ba", "b/a"][..]),
            ("a*", &["a", "ab"], &["a/b"]),
            ("**", &["a", "a/b"], &[]),
            ("release/**", &["release/1", "release/1/x"], &["release", "other/1"]),
            ("**/x", &["x", "a/x", "a/b/x"], &["a/xy"]),
            ("a**z/x", &["az/x", "abz/x", "a/b/z/x"], &["a/x"]),
            ("**-rc", &["v1-rc", "app/v1-rc"], &["v1-rc/x"]),
        ] {
            let pattern = Pattern::new(glob).unwrap();
            for text in taken {
                assert!(pattern.glob.is_match(text), "{glob} takes {text}");
            }
            for text in not_taken {
                assert!(!pattern.glob.is_match(text), "{glob} does not take {text}");
            }
        }
    }
}
