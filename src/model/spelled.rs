//! Enumerations whose values have a word each.

/// An enumeration, what one of its values is called, and the word of each: `as_str`, `Display` and `FromStr` come from them.
macro_rules! spelled {
    ($(#[$doc:meta])* $vis:vis $name:ident $noun:literal { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        $vis enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Their words, in the same order.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// The word, wherever it is stored or shown.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl $crate::model::Spelled for $name {
            const ALL: &'static [Self] = Self::ALL;
            const WORDS: &'static [&'static str] = Self::WORDS;
        }

        impl std::str::FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                let found = $crate::model::Spelled::spelled(text);
                found.ok_or_else(|| $crate::model::unknown_word(text, $noun, Self::WORDS))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

pub(crate) use spelled;

/// An enumeration made so.
pub trait Spelled: Copy + 'static {
    /// All values.
    const ALL: &'static [Self];

    /// Their words, in the same order.
    const WORDS: &'static [&'static str];

    /// The value with this word.
    fn spelled(word: &str) -> Option<Self> {
        let at = Self::WORDS.iter().position(|known| *known == word)?;
        Self::ALL.get(at).copied()
    }
}

/// Says that a text is none of these words.
pub fn unknown_word(text: &str, noun: &str, words: &[&str]) -> String {
    let (others, last) = words.split_at(words.len().saturating_sub(1));
    let (others, last) = (others.join("`, `"), last.concat());
    format!(
        "`{}` is not a {noun}; there are `{others}` and `{last}`",
        text.escape_debug()
    )
}
