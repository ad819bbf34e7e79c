//! The CI checks of a commit: whether all that are required are green.

use std::time::Duration;

use crate::forge_api::checks::States;
use crate::model::CheckState;

/// First and longest pause between two questions about one commit. GitHub allows 5,000 an hour.
const PAUSE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_mins(1));

/// Whether a commit may be deployed, as far as its checks go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// All that are required are green.
    Green,
    /// One of them is red.
    Red(String),
    /// None is red, and not all are green.
    Pending(String),
}

/// Looks at the required checks among those that are known.
pub fn judge(required: &[String], known: &States) -> Verdict {
    let of = |wanted: CheckState| {
        let state = |name: &String| known.get(name).copied().unwrap_or(CheckState::Pending);
        let names: Vec<&str> = required
            .iter()
            .filter(|name| state(name) == wanted)
            .map(String::as_str)
            .collect();
        (!names.is_empty()).then(|| format!("{} {}", names.join(", "), wanted.as_str()))
    };
    match (of(CheckState::Red), of(CheckState::Pending)) {
        (Some(red), _) => Verdict::Red(red),
        (None, Some(pending)) => Verdict::Pending(pending),
        (None, None) => Verdict::Green,
    }
}

/// When to ask again about a commit that has waited for so long: often at first, once a minute in the end.
pub fn pause(waited: Duration) -> Duration {
    (waited / 5).clamp(PAUSE.0, PAUSE.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use CheckState::{Green, Pending, Red};

    #[test]
    fn all_must_be_green_and_one_red_is_enough() {
        let required = ["build".to_owned(), "lint".to_owned()];
        let known =
            |states: &[(&str, CheckState)]| states.iter().map(|(n, s)| ((*n).to_owned(), *s)).collect::<States>();
        let of = |states: &[(&str, CheckState)]| judge(&required, &known(states));
        assert_eq!(of(&[("build", Green), ("lint", Green), ("other", Red)]), Verdict::Green);
        assert_eq!(of(&[]), Verdict::Pending("build, lint pending".into()));
        assert_eq!(of(&[("build", Green)]), Verdict::Pending("lint pending".into()));
        assert_eq!(
            of(&[("build", Pending), ("lint", Green)]),
            Verdict::Pending("build pending".into())
        );
        assert_eq!(
            of(&[("build", Pending), ("lint", Red)]),
            Verdict::Red("lint red".into())
        );
        assert_eq!(
            of(&[("build", Red), ("lint", Red)]),
            Verdict::Red("build, lint red".into())
        );
        assert_eq!(judge(&[], &known(&[])), Verdict::Green);
    }

    #[test]
    fn questions_become_rare() {
        let seconds = |waited| pause(Duration::from_secs(waited)).as_secs();
        assert_eq!((seconds(0), seconds(20), seconds(100), seconds(3000)), (2, 4, 20, 60));
    }
}
