//! The phase `build`: a new release beside the live one; and the choice of one that is there already.

use crate::clock;
use crate::config::Pattern;
use crate::exec::Ended;
use crate::git::{Fetched, Progress as GitProgress, Reuse};
use crate::model::{CommitId, Phase, tells_of_passing};
use crate::release::{Current, ReleaseError, ReleaseName, keep_times};
use crate::store::{Progress, ReleaseState, Source};

use super::{Change, Run, Stop};

/// What is live before a deployment.
#[derive(Debug, Default)]
pub(super) struct Live {
    /// Its commit, if hookd deployed it.
    pub(super) commit: Option<CommitId>,
    /// The release that `current` points at.
    pub(super) release: Option<ReleaseName>,
    /// Whether that release is what hookd made live, and still there.
    pub(super) intact: bool,
    /// Whether something was live and is gone from the disk.
    pub(super) lost: bool,
}

impl Run<'_> {
    /// Looks at what is live: the link is the truth, the store knows its commit.
    pub(super) async fn live(&mut self) -> Result<Live, Stop> {
        let row = self.world.store.target(&self.site.target.id).await?;
        let commit = row.live_commit;
        if self.site.target.strategy == crate::config::Strategy::InPlace {
            let intact = commit.is_some() && self.site.target.path.is_dir();
            return Ok(Live {
                lost: commit.is_some() && !intact,
                commit,
                release: None,
                intact,
            });
        }
        self.layout.prepare()?;
        match self.layout.current()? {
            Current::None => Ok(Live {
                lost: commit.is_some(),
                ..Live::default()
            }),
            Current::Foreign(what) if row.live_release.is_none() => match self.layout.adopt()? {
                Some((name, commit)) => Ok(self.adopted(name, commit)),
                None => Err(self.foreign(&what)),
            },
            Current::Foreign(what) => Err(self.foreign(&what)),
            Current::Release(name) if row.live_release.as_ref() == Some(&name) => {
                let intact = self.layout.is_intact(&name);
                Ok(Live {
                    commit,
                    release: Some(name),
                    intact,
                    lost: !intact,
                })
            }
            Current::Release(name) => {
                // Nothing was live by hookd yet: it is what an earlier deployment took over.
                if row.live_release.is_some() {
                    let text = format!("`current` was pointed at {name} by somebody else");
                    self.record.warn(Phase::Fetch, &text);
                }
                self.moved_by_hand(name).await
            }
        }
    }

    fn foreign(&self, what: &str) -> Stop {
        let (path, id) = (self.site.target.path.display(), &self.site.target.id);
        Stop::failed(format!(
            "{path}/current is not hookd's ({what}); move it away, then `hookd retry {id}`"
        ))
    }

    /// Another program deployed here before: what it made live stays so until the new release takes its place.
    fn adopted(&mut self, name: ReleaseName, commit: Option<CommitId>) -> Live {
        let text = format!("took over the release that another program made, as {name}");
        self.record.say(Phase::Fetch, &text);
        Live {
            commit,
            release: Some(name),
            intact: false,
            lost: false,
        }
    }

    /// Somebody pointed `current` at another release: that one is what is live.
    async fn moved_by_hand(&mut self, name: ReleaseName) -> Result<Live, Stop> {
        let releases = self.world.store.releases(&self.site.target.id).await?;
        let commit = releases.into_iter().find(|r| r.name == name).map(|r| r.commit);
        Ok(Live {
            commit,
            lost: !self.layout.is_intact(&name),
            release: Some(name),
            intact: false,
        })
    }

    /// Makes the release directory and runs `build` in it.
    pub(super) async fn build_release(&mut self, live: Live, fetched: Fetched) -> Result<Change, Stop> {
        let known = self.world.store.releases(&self.site.target.id).await?;
        let newest = known.iter().map(|row| &row.name).max();
        let name = self.layout.name(clock::now(), &fetched.commit, newest)?;
        let change = Change {
            commit: fetched.commit.clone(),
            git_ref: self.git_ref.clone(),
            release: Some(name.clone()),
            previous_commit: live.commit,
            previous_release: live.release,
        };
        self.enter(Phase::Build, change.progress(Some(fetched.subject))).await?;
        self.previous.clone_from(&change.previous_release);
        self.warn_of_hidden(&change, &fetched.commit).await;
        self.lay_out(&change, &name, &fetched.commit).await?;
        self.lay_out_history(&fetched.commit).await?;
        let built = self.build(&change).await;
        self.remove_history().await;
        built?;
        self.seal(&change, &name).await?;
        Ok(change)
    }

    /// Says which changes of the commit stay without effect, since `shared` has its own version of these files.
    async fn warn_of_hidden(&mut self, change: &Change, commit: &CommitId) {
        let there = |entry: &&String| self.layout.shared().join(entry.trim_end_matches('/')).exists();
        let shared: Vec<String> = self.site.target.shared.iter().filter(there).cloned().collect();
        let (Some(live), false) = (&change.previous_commit, shared.is_empty()) else {
            return;
        };
        // Without the live commit in the mirror there is nothing to compare with.
        let (mirror, git) = (self.mirror(), &self.world.git);
        for entry in shared {
            let Ok(below) = Pattern::of_path(&entry) else { continue };
            let changed = git.changed_paths(&mirror, live, commit, &below, &self.halt.token);
            if let Ok(changed) = changed.await
                && let Some(path) = changed.matching
            {
                let text = format!(
                    "the commit changes {path}, which has no effect: `shared` keeps {}",
                    self.layout.shared().join(&entry).display()
                );
                self.record.warn(Phase::Build, &text);
            }
        }
    }

    /// The tree of the commit, with what is shared linked in, under its final name.
    async fn lay_out(&mut self, change: &Change, name: &ReleaseName, commit: &CommitId) -> Result<(), Stop> {
        let staging = self.layout.staging(self.claim.deployment);
        let (access, mirror, options) = (self.access(), self.mirror(), self.checkout_options());
        let reuse = self.reuse(change, name)?;
        let record = &mut self.record;
        let show = |progress: GitProgress| record.progress(Phase::Build, progress);
        let git = &self.world.git;
        let made = super::space::watched(self.site, &self.halt.token, async |halt| {
            git.checkout(&access, &mirror, commit, &staging, &options, &reuse, &halt, show)
                .await
        })
        .await?;
        let (layout, shared) = (self.layout.clone(), self.site.target.shared.clone());
        let (name, user) = (name.clone(), self.site.target.run_as.clone());
        // Only root gives files away; else the group is let in before `build`.
        let user = user.filter(|_| nix::unistd::geteuid().is_root());
        super::blocking(move || {
            layout.link_shared(&staging, &shared)?;
            if let Some(user) = user {
                layout.give_to(&staging, &user)?;
            }
            layout.publish(&staging, &name)
        })
        .await?;
        let files = if made.files == 1 { "file" } else { "files" };
        let text = format!("{} {files}, {} KiB", made.files, made.bytes.div_ceil(1024));
        self.record.say(Phase::Build, &text);
        let text = format!(
            "{} of {} {files} unchanged since the previous release",
            made.reused, made.files
        );
        self.record.keep(Phase::Build, "hookd", &text);
        Ok(())
    }

    /// What the tree of a change can be made of, besides git.
    fn reuse(&self, change: &Change, name: &ReleaseName) -> Result<Reuse, Stop> {
        let manifests = self.manifests();
        let user = self.site.target.run_as.as_ref();
        let user = user.filter(|_| nix::unistd::geteuid().is_root());
        let previous = change.previous_release.as_ref();
        Ok(Reuse {
            previous: previous.map(|name| self.layout.release(name)),
            previous_manifest: previous.map(|name| manifests.of(name)),
            spare: previous.map(|name| self.layout.spare(name)),
            volume_least: self.site.target.spare.then_some(super::spare::NAMES_MIN),
            manifest: manifests.fresh(name),
            owner: user.map(|user| self.layout.owner(user)).transpose()?.flatten(),
        })
    }

    /// With `history`: what the build may read of git. What a halt leaves of it is swept with the rest.
    async fn lay_out_history(&mut self, commit: &CommitId) -> Result<(), Stop> {
        if !self.has_history() {
            return Ok(());
        }
        let (mirror, directory) = (self.mirror(), self.layout.history(self.claim.deployment));
        let (git, git_ref) = (&self.world.git, &self.git_ref);
        super::space::watched(self.site, &self.halt.token, async |halt| {
            git.lay_out_history(&mirror, git_ref, commit, &directory, &halt).await
        })
        .await?;
        Ok(())
    }

    async fn remove_history(&mut self) {
        if !self.has_history() {
            return;
        }
        let (layout, deployment) = (self.layout.clone(), self.claim.deployment);
        let removed = tokio::task::spawn_blocking(move || layout.remove_history(deployment)).await;
        for problem in removed.unwrap_or_else(|error| vec![error.to_string()]) {
            self.record
                .warn(Phase::Build, &format!("could not remove the history: {problem}"));
        }
    }

    fn has_history(&self) -> bool {
        self.site.target.history && self.site.target.build.is_some()
    }

    /// What is built becomes what can go live: without bits that would give somebody rights, with the times of unchanged
    /// files, and on disk, before it is recorded that it goes live.
    async fn seal(&mut self, change: &Change, name: &ReleaseName) -> Result<(), Stop> {
        let untouched = self.site.target.build.is_none();
        let manifest = untouched.then(|| self.manifests().of(name));
        let previous = change.previous_release.as_ref().map(|name| self.layout.release(name));
        let (layout, shared, name) = (self.layout.clone(), self.site.target.shared.clone(), name.clone());
        let cleared = super::blocking(move || {
            let release = layout.release(&name);
            let cleared = layout.clear_set_ids(&release, &shared, untouched)?;
            if let Some(previous) = previous.filter(|_| !untouched) {
                keep_times(&previous, &release);
            }
            layout.seal(&name, &shared, manifest.as_deref())?;
            Ok::<_, ReleaseError>(cleared)
        });
        if let Some(note) = cleared.await? {
            self.record.warn(Phase::Build, &note);
        }
        Ok(())
    }

    /// Runs `build`, if there is one.
    pub(super) async fn build(&mut self, change: &Change) -> Result<(), Stop> {
        let Some(command) = self.site.target.build.clone() else {
            return Ok(());
        };
        let timeout = self.site.target.timeout;
        let halt = self.halt.token.clone();
        match self.command(Phase::Build, &command, change, timeout, &halt).await? {
            Ended::Exited(0) => Ok(()),
            Ended::Cancelled => Err(Stop::Halted),
            Ended::NotStarted(why) if tells_of_passing(&why) => Err(Stop::Failed {
                reason: format!("build {}", Ended::NotStarted(why)),
                transient: true,
            }),
            ended => Err(Stop::failed(format!("build {ended}"))),
        }
    }

    /// The release that a rollback goes to.
    pub(super) async fn choose_release(&mut self) -> Result<Change, Stop> {
        let live = self.live().await?;
        if self.claim.job.source != Source::Rollback && !live.lost {
            return Err(Stop::Unchanged("what is live is there again".to_owned()));
        }
        let wanted = self.claim.job.release.clone();
        let name = wanted.ok_or_else(|| Stop::failed("the rollback names no release"))?;
        let releases = self.world.store.releases(&self.site.target.id).await?;
        let row = releases
            .into_iter()
            .find(|r| r.name == name && r.state == ReleaseState::Good)
            .ok_or_else(|| Stop::failed(format!("release {name} is no longer kept")))?;
        if !self.layout.is_intact(&name) {
            return Err(Stop::failed(format!("the directory of release {name} is gone")));
        }
        self.previous.clone_from(&live.release);
        Ok(Change {
            commit: row.commit,
            git_ref: row.git_ref,
            release: Some(name),
            previous_commit: live.commit,
            previous_release: live.release,
        })
    }
}

impl Change {
    /// What of it is recorded before it is acted upon.
    pub(super) fn progress(&self, subject: Option<String>) -> Progress {
        Progress {
            commit: Some(self.commit.clone()),
            subject,
            release: self.release.clone(),
            previous_commit: self.previous_commit.clone(),
            previous_release: self.previous_release.clone(),
            rolling_back: None,
            git_ref: Some(self.git_ref.clone()),
        }
    }
}
