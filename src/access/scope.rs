//! The scope of a token.

use std::fmt;
use std::str::FromStr;

use crate::config::Pattern;
use crate::model::TargetId;

/// What a token may.
#[derive(Debug, Clone)]
pub enum Scope {
    /// Look at everything.
    View,
    /// Have the targets deployed that the pattern matches, and see how their jobs end.
    Deploy(Pattern),
}

/// No scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the scope of a token; write `view`, or `deploy:` and a target, as in `deploy:shop/*`")]
pub struct ScopeError(String);

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        let error = || ScopeError(text.to_owned());
        match text.split_once(':') {
            None if text == "view" => Ok(Self::View),
            Some(("deploy", pattern)) if pattern.split('/').count() == 2 && !pattern.starts_with('!') => {
                Ok(Self::Deploy(Pattern::new(pattern).map_err(|_| error())?))
            }
            _ => Err(error()),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::View => f.write_str("view"),
            Self::Deploy(pattern) => write!(f, "deploy:{}", pattern.text),
        }
    }
}

impl Scope {
    /// Whether it covers the deployment of a target.
    pub fn may_deploy(&self, target: &TargetId) -> bool {
        match self {
            Self::View => false,
            Self::Deploy(pattern) => crate::config::matches(std::slice::from_ref(pattern), &target.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_names_targets_and_nothing_else() {
        let may = |scope: &str, target: &str| scope.parse::<Scope>().unwrap().may_deploy(&target.parse().unwrap());
        assert!(may("deploy:shop/*", "shop/live") && may("deploy:shop/live", "shop/live") && may("deploy:*/*", "a/b"));
        assert!(
            !may("deploy:shop/*", "shopping/live")
                && !may("deploy:shop/live", "shop/test")
                && !may("view", "shop/live")
        );
        for text in [
            "",
            "act",
            "deploy",
            "deploy:",
            "deploy:shop",
            "deploy:!shop/*",
            "deploy:a/b/c",
            "View",
        ] {
            assert!(text.parse::<Scope>().is_err(), "{text}");
        }
        assert_eq!("deploy:shop/*".parse::<Scope>().unwrap().to_string(), "deploy:shop/*");
    }
}
