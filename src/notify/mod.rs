//! Notifications of a deployment's end: to whom, and in which words.
//!
//! | step | file |
//! |---|---|
//! | which happening it is, and which channels want it | here |
//! | what there is to say | [`Notice`], [`Details`] in `notice` |
//! | how each chat wants it | `chat` |
//! | mail | `mail` |
//! | sending, and whether to send again | `send` |

mod chat;
mod heard;
mod mail;
mod notice;
mod send;

use crate::config::{Config, Target};
use crate::model::{Happening, Outcome, RepoName};
use crate::store::{Claim, Finish, Standing};

pub use heard::{Heard, SendError};
pub use notice::{Change, Details, Notice, OUTPUT_LINES};
pub use send::{Sending, send};

/// What stands before the name of a repo in the outbox, for its `dispatch`. No `[notify.NAME]` has a colon in its name.
const DISPATCH: &str = "dispatch:";

/// The channel in the outbox of a repo's `dispatch`.
pub fn dispatch_channel(repo: &RepoName) -> String {
    format!("{DISPATCH}{repo}")
}

/// The repo whose `dispatch` a channel is.
pub fn dispatching(channel: &str) -> Option<RepoName> {
    channel.strip_prefix(DISPATCH)?.parse().ok()
}

/// Messages for the outbox: its channel (name of the `[notify.NAME]`, or the repo's `dispatch`) and JSON. `before` is how the target stood before this deployment.
pub fn messages(
    config: &Config,
    target: &Target,
    claim: &Claim,
    finish: &Finish,
    before: &Standing,
    now: i64,
) -> Vec<(String, String)> {
    // It is tried again: what becomes of it is not known yet.
    if finish.retry_at.is_some() {
        return Vec::new();
    }
    let happenings = happenings(finish.outcome, before);
    let chosen = |name: &String| {
        let wanted = &config.notify.get(name)?.on;
        happenings.iter().find(|happening| wanted.contains(happening)).copied()
    };
    let told = target.notify.iter().filter_map(|name| Some((name, chosen(name)?)));
    let repo = config.repos.get(&target.id.repo);
    let dispatch = repo.filter(|repo| repo.dispatch.is_some() && finish.outcome == Outcome::Live);
    let dispatch = dispatch.map(|repo| (dispatch_channel(&repo.name), Happening::Live));
    let all = told.map(|(name, happening)| (name.clone(), happening)).chain(dispatch);
    all.map(|(channel, happening)| {
        let notice = Notice::new(target, claim, finish, happening, now);
        (channel, notice.to_json())
    })
    .collect()
}

/// What an outcome means, the most telling word first. A failure after a failure is no change of state: `still-failing` tells it,
/// once an hour.
fn happenings(outcome: Outcome, before: &Standing) -> Vec<Happening> {
    let failing = before.failing_since.is_some();
    match outcome {
        Outcome::Live if failing => vec![Happening::Recovered, Happening::Live],
        Outcome::Live if !before.ever_live => vec![Happening::FirstLive, Happening::Live],
        Outcome::Live => vec![Happening::Live],
        Outcome::Failed | Outcome::RolledBack if failing => Vec::new(),
        Outcome::Failed => vec![Happening::Failed],
        Outcome::RolledBack => vec![Happening::RolledBack],
        Outcome::Cancelled => vec![Happening::Cancelled],
        Outcome::Interrupted => vec![Happening::Interrupted],
        Outcome::Unchanged => vec![Happening::Unchanged],
        Outcome::Superseded => vec![Happening::Superseded],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    #[test]
    fn changes_of_state_are_told_and_repetitions_are_not() {
        let standing = |ever_live, failing: bool| Standing {
            ever_live,
            failing_since: failing.then_some(Timestamp(1)),
            failing: None,
        };
        let first = |outcome, ever_live, failing| happenings(outcome, &standing(ever_live, failing)).first().copied();
        assert_eq!(first(Outcome::Live, false, false), Some(Happening::FirstLive));
        assert_eq!(first(Outcome::Live, true, false), Some(Happening::Live));
        assert_eq!(first(Outcome::Live, true, true), Some(Happening::Recovered));
        assert_eq!(first(Outcome::Failed, false, false), Some(Happening::Failed));
        assert_eq!(first(Outcome::Failed, true, true), None);
        assert_eq!(first(Outcome::RolledBack, true, true), None);
        assert_eq!(first(Outcome::RolledBack, true, false), Some(Happening::RolledBack));
    }
}
