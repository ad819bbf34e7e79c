//! The forges by name.

use std::str::FromStr;

use super::suggest;
use crate::dialects::ForgeKind;

/// A word that names no forge.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown forge `{word}`")]
pub struct UnknownForge {
    /// The word.
    pub word: String,
    /// The forge that may have been meant.
    pub suggestion: Option<ForgeKind>,
}

impl FromStr for ForgeKind {
    type Err = UnknownForge;
    fn from_str(text: &str) -> Result<Self, UnknownForge> {
        let found = Self::ALL.iter().copied().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| {
            let near = suggest::nearest(text, Self::ALL.iter().map(|kind| kind.as_str()));
            let suggestion = Self::ALL.iter().copied().find(|kind| Some(kind.as_str()) == near);
            UnknownForge {
                word: text.to_owned(),
                suggestion,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_back_to_its_forge() {
        for kind in ForgeKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(*kind));
        }
    }

    #[test]
    fn a_misspelt_forge_is_guessed() {
        let error = "gihtub".parse::<ForgeKind>().unwrap_err();
        assert_eq!(error.suggestion, Some(ForgeKind::GitHub));
        assert_eq!("svn".parse::<ForgeKind>().unwrap_err().suggestion, None);
    }
}
