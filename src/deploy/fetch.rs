//! The phase `fetch`: the ref's tip, as it is now, into the mirror of the repo.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::config::{Config, QueueMode, Repo, Secrets, Strategy};
use crate::git::{Access, CheckoutOptions, Fetched, GitError, GitErrorKind, Progress as GitProgress};
use crate::model::{CommitId, Outcome, Phase};
use crate::rules;
use crate::schedule;
use crate::store::{CommitText, Progress, Source, StoreError};

use super::prepare::Live;
use super::{Run, Stop};

/// How often the progress of a fetch is worth a line.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// Where hookd's own known hosts are, below the state directory, besides the system's.
const SYSTEM_KNOWN_HOSTS: &str = "/etc/ssh/ssh_known_hosts";

/// How a repo's remote is reached, by its configuration.
pub fn access(config: &Config, secrets: &Secrets, repo: &Repo) -> Access {
    let known_hosts = match &repo.known_hosts {
        Some(path) => vec![path.clone()],
        None => vec![config.state_dir.join("known_hosts"), PathBuf::from(SYSTEM_KNOWN_HOSTS)],
    };
    Access {
        url: repo.remote.url.clone(),
        transport: repo.remote.transport,
        host: repo.remote.host.clone(),
        ssh_key: repo.ssh_key.clone(),
        known_hosts,
        token: secrets.token.get(&repo.name).cloned(),
        ca_file: repo.ca_file.clone(),
        proxy: repo.proxy.clone(),
        keys: repo.keys.clone(),
        submodule_hosts: repo.submodule_hosts.clone(),
        follows: Some(repo.targets.values().map(|target| target.refs.clone()).collect()),
    }
}

/// The bare mirror of a repo.
pub fn mirror(config: &Config, repo: &Repo) -> PathBuf {
    config.state_dir.join("mirrors").join(format!("{}.git", repo.name))
}

/// Where the mirrors of a repo's submodules are.
pub(super) fn submodule_mirrors(config: &Config, repo: &Repo) -> PathBuf {
    let name = format!("{}.submodules", repo.name);
    config.state_dir.join("mirrors").join(name)
}

impl From<GitError> for Stop {
    fn from(error: GitError) -> Self {
        if error.kind == GitErrorKind::Cancelled {
            return Self::Halted;
        }
        let transient = error.is_transient();
        let hint = error.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
        Self::Failed {
            reason: format!("{}{hint}", error.message),
            transient,
        }
    }
}

impl Run<'_> {
    pub(super) fn access(&self) -> Access {
        access(&self.site.config, &self.site.secrets, &self.site.repo)
    }

    pub(super) fn mirror(&self) -> PathBuf {
        mirror(&self.site.config, &self.site.repo)
    }

    pub(super) fn checkout_options(&self) -> CheckoutOptions {
        CheckoutOptions {
            submodules: self.site.repo.submodules,
            refuse_lfs: self.site.repo.refuse_lfs,
            submodule_mirrors: submodule_mirrors(&self.site.config, &self.site.repo),
        }
    }

    /// Fetches, and says which commit is to be deployed.
    pub(super) async fn fetch(&mut self) -> Result<Fetched, Stop> {
        self.enter(Phase::Fetch, Progress::default()).await?;
        if self.require_space().is_err() {
            self.make_room().await;
        }
        self.require_space()?;
        let (access, mirror) = (self.access(), self.mirror());
        self.prefer_newest_version(&access).await?;
        let record = &mut self.record;
        let mut last = Instant::now();
        let show = |progress: GitProgress| {
            if last.elapsed() >= PROGRESS_EVERY {
                last = Instant::now();
                record.progress(Phase::Fetch, progress);
            }
        };
        let depth = self.site.repo.depth;
        let (git, git_ref) = (&self.world.git, &self.git_ref);
        let mut fetched = super::space::watched(self.site, &self.halt.token, async |halt| {
            git.fetch(&access, &mirror, git_ref, depth, &halt, show).await
        })
        .await?;
        let job = &self.claim.job;
        if let (QueueMode::All, Some(wanted)) = (self.site.target.queue, &job.wanted)
            && *wanted != fetched.commit
            && job.source != Source::Poll
        {
            self.require_reachable(wanted, &fetched.commit).await?;
            fetched = git.describe(&mirror, wanted, &self.halt.token).await?;
        }
        self.record.learn(&Progress {
            commit: Some(fetched.commit.clone()),
            ..Progress::default()
        });
        self.describe(&fetched).await?;
        let text = format!("fetched {} “{}”", fetched.commit.short(), fetched.subject);
        self.say_once(&fetched.commit, &text);
        Ok(fetched)
    }

    /// Of tags, the newest version is deployed, whichever of them was pushed last or asked for.
    async fn prefer_newest_version(&mut self, access: &Access) -> Result<(), Stop> {
        let target = &self.site.target;
        if !target.refs.by_version() {
            return Ok(());
        }
        if !target.sees_enough() {
            let row = self.world.store.target(&target.id).await?;
            return match row.live_ref {
                Some(live) if schedule::is_older(target, &self.git_ref, &live) => Err(Stop::Unchanged(format!(
                    "{} is older than {}, which is live",
                    self.git_ref.short(),
                    live.short()
                ))),
                _ => Ok(()),
            };
        }
        let remote = self.world.git.ls_remote(access, &self.halt.token).await?;
        let Some(newest) = schedule::newest_version(target, &remote).filter(|newest| *newest != self.git_ref) else {
            return Ok(());
        };
        let text = format!(
            "{} is the newest version, so it is deployed instead of {} (`order = \"version\"`)",
            newest.short(),
            self.git_ref.short()
        );
        self.record.say(Phase::Fetch, &text);
        self.record.learn(&Progress {
            git_ref: Some(newest.clone()),
            ..Progress::default()
        });
        self.git_ref = newest;
        Ok(())
    }

    /// Notes what the deployment is about, for who looks at it meanwhile.
    pub(super) async fn describe(&self, fetched: &Fetched) -> Result<(), StoreError> {
        let text = CommitText {
            subject: Some(fetched.subject.clone()),
            author: Some(fetched.author.clone()).filter(|author| !author.is_empty()),
        };
        let commit = fetched.commit.to_string();
        self.world.store.describe(self.claim.deployment, commit, text).await
    }

    /// Says something about a commit, unless the deployment has waited for that commit's checks and so has said it before.
    pub(super) fn say_once(&mut self, commit: &CommitId, text: &str) {
        let waited = self.claim.job.held.as_ref().filter(|_| self.claim.continues);
        if waited.is_none_or(|held| held.commit != *commit) {
            self.record.say(Phase::Fetch, text);
        }
    }

    /// Fails if the wanted commit is no longer part of the branch.
    async fn require_reachable(&self, wanted: &CommitId, tip: &CommitId) -> Result<(), Stop> {
        if self
            .world
            .git
            .contains(&self.mirror(), wanted, tip, &self.halt.token)
            .await?
        {
            return Ok(());
        }
        let git_ref = &self.git_ref;
        Err(Stop::failed(format!(
            "commit {} can no longer be reached from {git_ref}; was it force-pushed away?",
            wanted.short()
        )))
    }

    /// Fails unless there is the least free space where the mirror and the releases are.
    pub(super) fn require_space(&self) -> Result<(), Stop> {
        super::space::require(self.site, self.site.config.limits.free_space)
    }

    /// Fails if there is nothing to do for this commit.
    pub(super) async fn require_wanted(&mut self, live: &Live, fetched: &Fetched) -> Result<(), Stop> {
        let job = &self.claim.job;
        let commit = &fetched.commit;
        if job.source == Source::Retry {
            return Ok(());
        }
        if live.commit.as_ref() == Some(commit) && live.intact && self.is_held(commit).await {
            return Err(Stop::Unchanged(format!("{} is live already", commit.short())));
        }
        if !live.lost
            && matches!(job.source, Source::Webhook | Source::Poll)
            && let Some(mark) = rules::skip_mark(&fetched.whole_message)
        {
            return Err(Stop::Unchanged(format!("{mark} in the message of {}", commit.short())));
        }
        self.not_failed_before(commit).await?;
        self.touches_paths(live, commit).await
    }

    /// Whether a directory that is changed in place still holds the commit. Releases are hookd's own, and as they were made.
    async fn is_held(&mut self, commit: &CommitId) -> bool {
        if self.site.target.strategy != Strategy::InPlace {
            return true;
        }
        let (access, mirror, options) = (self.access(), self.mirror(), self.checkout_options());
        let (git, path) = (&self.world.git, &self.site.target.path);
        let held = git
            .holds(&access, &mirror, commit, path, &options, &self.halt.token)
            .await;
        if !matches!(held, Ok(true)) {
            let text = format!("{} no longer holds {} as it is in git", path.display(), commit.short());
            self.record.warn(Phase::Fetch, &text);
        }
        matches!(held, Ok(true))
    }

    /// A commit that was rolled back is tried again only by a person; one that failed or was cancelled, by a person or by
    /// the forge.
    async fn not_failed_before(&self, commit: &CommitId) -> Result<(), Stop> {
        // Its own attempt before this one failed for a reason that may have passed.
        if self.claim.job.attempt > 0 {
            return Ok(());
        }
        let target = &self.site.target.id;
        let word = match self.world.store.ended_badly(target, commit).await? {
            Some(Outcome::RolledBack) if matches!(self.claim.job.source, Source::Poll | Source::Webhook) => {
                "was rolled back"
            }
            Some(Outcome::Failed) if self.claim.job.source == Source::Poll => "failed",
            Some(Outcome::Cancelled) if self.claim.job.source == Source::Poll => "was cancelled",
            _ => return Ok(()),
        };
        let short = commit.short();
        Err(Stop::Unchanged(format!(
            "{short} {word} before; push a new commit, or `hookd retry {target}`"
        )))
    }

    /// With `paths`: whether one of them differs between the live commit and the new one.
    async fn touches_paths(&mut self, live: &Live, commit: &CommitId) -> Result<(), Stop> {
        let patterns = &self.site.target.paths;
        let (Some(from), false) = (&live.commit, patterns.is_empty() || live.lost) else {
            return Ok(());
        };
        match self
            .world
            .git
            .changed_paths(&self.mirror(), from, commit, patterns, &self.halt.token)
            .await
        {
            Ok(changed) => match changed.matching {
                Some(path) => {
                    let text = format!("`paths`: {path} changed");
                    self.say_once(commit, &text);
                    Ok(())
                }
                None => Err(Stop::Unchanged(match changed.count {
                    1 => "the changed file does not match `paths`".to_owned(),
                    count => format!("none of the {count} changed files matches `paths`"),
                })),
            },
            Err(error) if error.kind == GitErrorKind::Cancelled => Err(Stop::Halted),
            Err(error) => {
                // The live commit may be gone from the mirror (force push, depth): deploying is the safe answer.
                let text = format!(
                    "`paths` can't be compared with what is live, so it is deployed: {}",
                    error.message
                );
                self.record.warn(Phase::Fetch, &text);
                Ok(())
            }
        }
    }
}
