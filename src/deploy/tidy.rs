//! Cleans up after each deployment: keeps the good releases that `keep` allows and the newest failed one, and nothing half
//! made.

use std::path::Path;

use crate::config::{Config, Repo, Strategy, Target};
use crate::model::{CommitId, Outcome, Phase, TargetId};
use crate::release::{Current, Keep, Layout, ReleaseError, ReleaseName};
use crate::store::{Finish, ReleaseRow, ReleaseState};

use super::fetch::submodule_mirrors;
use super::{Halt, Run, Site, Stop, World, mirror};

/// What came of tidying a target.
#[derive(Debug, Default)]
pub(super) struct Tidied {
    /// The releases that are gone.
    removed: Vec<ReleaseName>,
    /// What could not be removed, and why.
    problems: Vec<String>,
}

impl Tidied {
    /// `pruned 20261122T101500Z-1a2b3c4`; `None` if nothing was.
    fn pruned(&self) -> Option<String> {
        let names: Vec<&str> = self.removed.iter().map(ReleaseName::as_str).collect();
        (!names.is_empty()).then(|| format!("pruned {}", names.join(", ")))
    }

    /// Tells the journal.
    pub(super) fn log(&self, target: &TargetId) {
        if let Some(text) = self.pruned() {
            tracing::info!("{target}: {text}");
        }
        for problem in &self.problems {
            tracing::warn!("{target}: could not be removed: {problem}");
        }
    }
}

impl Run<'_> {
    /// The last thing that a deployment does on disk.
    pub(super) async fn tidy(&mut self, finish: &mut Finish) {
        self.sweep_mirrors();
        if self.site.target.strategy == Strategy::InPlace && finish.outcome == Outcome::Live {
            self.settle();
        }
        if self.site.target.strategy != Strategy::Release || !self.layout.releases().is_dir() {
            return;
        }
        self.undo_fill(finish).await;
        // A release that was not even laid out is none.
        let laid_out = |(name, _): &(ReleaseName, ReleaseState)| self.layout.is_intact(name);
        if let Some(made) = finish.release.take_if(|made| !laid_out(made)) {
            let forgotten = self.world.store.forget_releases(&self.site.target.id, vec![made.0]);
            if let Err(error) = forgotten.await {
                self.record.warn(Phase::Finish, &error.to_string());
            }
        }
        self.sweep_up();
        if let Err(error) = self.layout.unseal() {
            self.record.warn(Phase::Finish, &error.to_string());
        }
        let tidied = tidy_releases(
            self.world,
            &self.site.target,
            finish.release.as_ref(),
            self.previous.as_ref(),
        )
        .await;
        let tidied = match tidied {
            Ok(tidied) => tidied,
            Err(stop) => return self.record.warn(Phase::Finish, &stop.to_string()),
        };
        for problem in &tidied.problems {
            let text = format!("could not be removed: {problem}");
            self.record.warn(Phase::Finish, &text);
        }
        if let Some(text) = tidied.pruned() {
            self.record.say(Phase::Finish, &text);
        }
    }

    /// What only this release has brought to `shared/` goes back to it if it did not stay live.
    async fn undo_fill(&mut self, finish: &Finish) {
        let Some((name, ReleaseState::Failed)) = &finish.release else {
            return;
        };
        let name = name.clone();
        if matches!(self.layout.current(), Ok(Current::Release(live)) if live == name) {
            return;
        }
        let layout = self.layout.clone();
        let undone = super::blocking(move || {
            let filled = layout.filled_by(&name)?;
            layout.empty_shared(&layout.release(&name), &filled)
        });
        if let Err(stop) = undone.await {
            let text = format!("`shared` keeps what the failed release brought: {stop}");
            self.record.warn(Phase::Finish, &text);
        }
    }

    /// Removes leftovers of a killed worker from the mirrors: half a pack is as large as the fetch.
    pub(super) fn sweep_mirrors(&mut self) {
        for problem in sweep_mirrors(&self.site.config, &self.site.repo) {
            self.record.warn(Phase::Fetch, &problem);
        }
    }

    /// Removes what this deployment began to make. No other deployment of the target can run now.
    pub(super) fn sweep_up(&mut self) {
        match self.layout.sweep() {
            Ok(problems) => problems
                .iter()
                .for_each(|problem| self.record.warn(Phase::Build, problem)),
            Err(error) => self.record.warn(Phase::Build, &error.to_string()),
        }
    }

    /// Makes room before there is too little of it.
    pub(super) async fn make_room(&mut self) {
        self.sweep_mirrors();
        if self.site.target.strategy == Strategy::Release && self.layout.releases().is_dir() {
            self.sweep_up();
            for problem in self.layout.sweep_spares(None).unwrap_or_default() {
                self.record.warn(Phase::Fetch, &problem);
            }
            if let Err(stop) = tidy_releases(self.world, &self.site.target, None, None).await {
                self.record.warn(Phase::Fetch, &stop.to_string());
            }
            if self.require_space().is_err() {
                self.remove_failed().await;
            }
        }
    }

    /// The newest failed release stays for whoever looks for the fault, but not if it keeps the repair from being deployed.
    async fn remove_failed(&mut self) {
        let (store, target) = (&self.world.store, &self.site.target.id);
        let Ok(live) = self.layout.current() else { return };
        let failed = store.releases(target).await.map(|rows| {
            let failed = rows.into_iter().filter(|row| row.state == ReleaseState::Failed);
            let names = failed.map(|row| row.name);
            names
                .filter(|name| live != Current::Release(name.clone()))
                .collect::<Vec<_>>()
        });
        let forgotten = match failed {
            Ok(failed) => store.forget_releases(target, failed.clone()).await.map(|()| failed),
            Err(error) => Err(error),
        };
        for name in forgotten.unwrap_or_default() {
            match self.layout.remove(&name) {
                Ok(_) => self
                    .record
                    .say(Phase::Fetch, &format!("removed {name}, which failed, to make room")),
                Err(error) => self.record.warn(Phase::Fetch, &error.to_string()),
            }
        }
    }
}

/// Keeps the commits of the releases that are kept in the mirror, so that what they share with the next one need not be fetched
/// again; packs the mirror now and then. For after a release went live and everybody was told: it holds nobody up.
pub async fn keep_commits(world: &World, site: &Site, halt: &Halt) {
    if site.target.strategy != Strategy::Release {
        return;
    }
    let target = &site.target.id;
    let releases = match world.store.releases(target).await {
        Ok(releases) => releases,
        Err(error) => return tracing::warn!("{target}: {error}"),
    };
    let commits: Vec<CommitId> = releases.into_iter().map(|row| row.commit).collect();
    let mirror = mirror(&site.config, &site.repo);
    if let Err(error) = world.git.keep(&mirror, &commits, &halt.token).await {
        tracing::warn!("{target}: the mirror could not be tidied: {}", error.message);
    }
}

/// Sweeps the mirrors of a repo and of its submodules; returns what went wrong.
pub(super) fn sweep_mirrors(config: &Config, repo: &Repo) -> Vec<String> {
    let own = mirror(config, repo);
    let below = std::fs::read_dir(submodule_mirrors(config, repo))
        .into_iter()
        .flatten()
        .flatten();
    let submodules = below
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "git"));
    let sweep = |path: &Path| {
        let swept = crate::git::sweep(path);
        swept.err().map(|error| format!("sweeping {}: {error}", path.display()))
    };
    [own]
        .into_iter()
        .chain(submodules)
        .filter_map(|path| sweep(&path))
        .collect()
}

/// Removes the releases of a target that are not to be kept, and forgets those that are gone. `made` is what a deployment
/// that ends has made, which the store does not know the worth of yet; `previous` what was live before it.
pub(super) async fn tidy_releases(
    world: &World,
    target: &Target,
    made: Option<&(ReleaseName, ReleaseState)>,
    previous: Option<&ReleaseName>,
) -> Result<Tidied, Stop> {
    let layout = Layout::new(&target.path);
    let rows = world.store.releases(&target.id).await?;
    let plan = Plan::new(&layout, &rows, made, previous);
    let keep = Keep {
        count: target.keep,
        ..plan.keep
    };
    let superfluous = {
        let layout = layout.clone();
        super::blocking(move || layout.superfluous(&keep)).await?
    };
    let mut forgotten = plan.lost;
    forgotten.extend(superfluous.iter().cloned());
    if !forgotten.is_empty() {
        world.store.forget_releases(&target.id, forgotten).await?;
    }
    super::blocking(move || {
        let mut tidied = Tidied::default();
        for name in superfluous {
            match layout.remove(&name) {
                Ok(problems) if problems.is_empty() => tidied.removed.push(name),
                Ok(problems) => tidied.problems.extend(problems),
                Err(error) => tidied.problems.push(error.to_string()),
            }
        }
        Ok::<_, ReleaseError>(tidied)
    })
    .await
}

/// What is to become of a target's releases.
struct Plan {
    keep: Keep,
    /// Known, but not there.
    lost: Vec<ReleaseName>,
}

impl Plan {
    /// `rows` are newest first.
    fn new(
        layout: &Layout,
        rows: &[ReleaseRow],
        made: Option<&(ReleaseName, ReleaseState)>,
        previous: Option<&ReleaseName>,
    ) -> Self {
        let state_of = |row: &ReleaseRow| match made {
            Some((name, state)) if *name == row.name => *state,
            _ => row.state,
        };
        let live = match layout.current() {
            Ok(Current::Release(name)) => Some(name),
            _ => None,
        };
        let (mut good, mut known, mut lost) = (Vec::new(), Vec::new(), Vec::new());
        let (mut building, mut failed) = (Vec::new(), None);
        for row in rows {
            let name = row.name.clone();
            known.push(name.clone());
            let state = state_of(row);
            if state != ReleaseState::Building && !layout.is_intact(&name) {
                lost.push(name);
                continue;
            }
            match state {
                ReleaseState::Good => good.push(name),
                ReleaseState::Building if made.is_none() => building.push(name),
                ReleaseState::Building => lost.push(name),
                ReleaseState::Failed if failed.is_none() => failed = Some(name),
                ReleaseState::Failed => {}
            }
        }
        let before = good.iter().find(|name| Some(*name) != live.as_ref()).cloned();
        let protected = building
            .into_iter()
            .chain(failed)
            .chain(before)
            .chain(previous.cloned());
        let protected = protected.collect();
        Self {
            keep: Keep {
                good,
                known,
                protected,
                ..Keep::default()
            },
            lost,
        }
    }
}
