//! The default ref and release of an act that names none.

use super::{Operator, Result, invalid};
use crate::config::{RefFilter, Target};
use crate::model::{GitRef, Refusal, RefusalKind, ReleaseName};
use crate::overview::follows;
use crate::store::ReleaseState;

impl Operator {
    /// The named ref, the only one that the target follows, or what was live last.
    pub(super) async fn chosen_ref(&self, target: &Target, named: Option<&str>) -> Result<GitRef> {
        let make = |short: &str| {
            if short.starts_with("refs/") {
                return short.parse();
            }
            if matches!(target.refs, RefFilter::Tags(_)) {
                GitRef::tag(short)
            } else {
                GitRef::branch(short)
            }
        };
        if let Some(named) = named {
            let git_ref = make(named).map_err(invalid)?;
            if target.refs.follows(&git_ref) {
                return Ok(git_ref);
            }
            return Err(invalid(format!(
                "{} follows {}, not {git_ref}",
                target.id,
                follows(&target.refs)
            )));
        }
        if let Some(only) = target.refs.single() {
            return make(only).map_err(invalid);
        }
        if target.refs.by_version() && target.sees_enough() {
            let newest = self.poller.newest_version(&self.settings(), target).await;
            let newest = newest.map_err(|error| Refusal::new(RefusalKind::Unavailable, error.message))?;
            let none = || Refusal::not_found(format!("the remote has no {}", follows(&target.refs)));
            return newest.ok_or_else(none);
        }
        let row = self.world.store.target(&target.id).await?;
        let (last, _) = self.world.store.latest(&target.id).await?;
        let known = row.live_ref.or(last.map(|row| row.git_ref));
        known.ok_or_else(|| {
            let question = format!("{} follows {}: which one?", target.id, follows(&target.refs));
            invalid(question).hint("name it with --ref")
        })
    }

    /// The named good release, or the newest good one before the live one that holds another commit; with the ref that it was
    /// made for.
    pub(super) async fn chosen_release(&self, target: &Target, named: Option<String>) -> Result<(ReleaseName, GitRef)> {
        let row = self.world.store.target(&target.id).await?;
        let kept = self.world.store.releases(&target.id).await?;
        let good: Vec<_> = kept.iter().filter(|r| r.state == ReleaseState::Good).collect();
        let chosen = if let Some(wanted) = &named {
            good.iter().find(|release| release.name.as_str() == wanted)
        } else {
            let live = row.live_release.as_ref();
            let at = live.and_then(|live| good.iter().position(|release| release.name == *live));
            let mut before = good.iter().skip(at.map_or(0, |at| at + 1));
            before.find(|release| Some(&release.commit) != row.live_commit.as_ref())
        };
        let Some(release) = chosen else {
            let error = named.map_or(
                "there is no good release of another commit before the live one".to_owned(),
                |name| format!("there is no good release {name}"),
            );
            let kept: Vec<&str> = good.iter().map(|release| release.name.as_str()).collect();
            let refusal = Refusal::not_found(error);
            return Err(if kept.is_empty() {
                refusal
            } else {
                refusal.hint(format!("kept: {}", kept.join(", ")))
            });
        };
        if row.live_release.as_ref() == Some(&release.name) {
            return Err(Refusal::conflict(format!("release {} is live already", release.name)));
        }
        Ok((release.name.clone(), release.git_ref.clone()))
    }
}
