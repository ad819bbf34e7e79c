//! The phases `activate`, `reload`, `check` and `finish`; and the rollback.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::config::{Check, Command, Strategy};
use crate::exec::{self, Ended};
use crate::model::{CommitId, Outcome, Phase};
use crate::release::ReleaseName;
use crate::store::{Finish, Progress, ReleaseState, Source, Tip, WentLive};

use super::{Change, End, Passed, Run, Stop, Why};

/// Pause between two runs of a `check` command: at first, and at most.
const CHECK_PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));

/// Why a deployment did not get back to what was live before.
enum NoWayBack {
    /// The daemon stops; the next start goes on with it.
    CutOff,
    /// It can't, and this is what is live instead.
    Failed(String),
}

impl NoWayBack {
    fn of(what: &str, stop: &Stop) -> Self {
        match stop {
            Stop::Halted => Self::CutOff,
            stop => Self::Failed(format!("{what}: {stop}")),
        }
    }
}

impl From<&str> for NoWayBack {
    fn from(why: &str) -> Self {
        Self::Failed(why.to_owned())
    }
}

impl Run<'_> {
    /// From the switch to the end.
    pub(super) async fn go_live(&mut self, change: Change) -> End {
        if let Some(why) = self.claim.resumed.as_ref().and_then(|row| row.rolling_back.clone()) {
            return self.roll_back(change, why, Outcome::RolledBack).await;
        }
        if let Err(why) = self.require_whole(&change).await {
            return self.give_up_damaged(change, why).await;
        }
        match self.switch_and_check(&change).await {
            Ok(()) => self.live_at_last(change).await,
            Err(stop) => self.not_live(change, stop).await,
        }
    }

    async fn not_live(&mut self, change: Change, stop: Stop) -> End {
        match self.believe(stop).await {
            Stop::Halted if self.halt.why() == Why::Shutdown => End::LeftOpen,
            Stop::Halted => self.roll_back(change, "cancelled".to_owned(), Outcome::Cancelled).await,
            Stop::Failed { reason, .. } | Stop::Unchanged(reason) | Stop::Unchecked(reason) => {
                self.roll_back(change, reason, Outcome::RolledBack).await
            }
            Stop::Held(hold) => self.roll_back(change, hold.reason, Outcome::RolledBack).await,
        }
    }

    /// Fails unless the release that a restart takes up is complete: a power cut may have taken files that were not on disk yet.
    async fn require_whole(&mut self, change: &Change) -> Result<(), String> {
        let phase = match &self.claim.resumed {
            Some(row) if !self.claim.job.goes_back() => row.phase,
            _ => return Ok(()),
        };
        let Some(name) = change.release.clone() else {
            return self.renew_in_place(change).await;
        };
        if phase != Phase::Activate {
            return Ok(());
        }
        let (layout, shared, sealed) = (self.layout.clone(), self.site.target.shared.clone(), name.clone());
        match super::blocking(move || layout.is_sealed(&sealed, &shared)).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(format!("release {name} is incomplete after the restart")),
            Err(stop) => Err(stop.to_string()),
        }
    }

    /// Goes back from a release that a power cut damaged, and has it made again.
    async fn give_up_damaged(&mut self, change: Change, why: String) -> End {
        let mut end = self.roll_back(change, why, Outcome::Failed).await;
        if let End::Finished(finish) = &mut end {
            finish.tip = None;
            finish.retry_at = crate::schedule::retry_at(self.claim.job.attempt, crate::clock::now());
        }
        end
    }

    async fn switch_and_check(&mut self, change: &Change) -> Result<(), Stop> {
        let from = self.claim.resumed.as_ref().map_or(Phase::Activate, |row| row.phase);
        if from <= Phase::Activate {
            self.enter(Phase::Activate, change.progress(None)).await?;
            self.fill_shared(change).await?;
            self.activate(change.release.as_ref())?;
        }
        if from <= Phase::Reload {
            self.enter(Phase::Reload, Progress::default()).await?;
            self.reload(change, &self.halt.token.clone()).await?;
        }
        if from <= Phase::Check {
            self.enter(Phase::Check, Progress::default()).await?;
            self.check(change).await?;
        }
        Ok(())
    }

    /// What `shared` lacks comes from the release that goes live. One that is gone back to has its links.
    async fn fill_shared(&mut self, change: &Change) -> Result<(), Stop> {
        let Some(name) = change.release.clone().filter(|_| !self.claim.job.goes_back()) else {
            return Ok(());
        };
        let (layout, shared) = (self.layout.clone(), self.site.target.shared.clone());
        let notes = super::blocking(move || layout.fill_shared(&layout.release(&name), &shared)).await?;
        for note in notes {
            self.record.warn(Phase::Activate, &note);
        }
        Ok(())
    }

    fn activate(&mut self, release: Option<&ReleaseName>) -> Result<(), Stop> {
        let Some(name) = release else { return Ok(()) };
        self.layout
            .activate(name)
            .map_err(|e| Stop::failed(format!("could not switch `current`: {e}")))?;
        let text = format!("`current` points at {name}");
        self.record.say(Phase::Activate, &text);
        Ok(())
    }

    async fn reload(&mut self, change: &Change, halt: &CancellationToken) -> Result<(), Stop> {
        let Some(command) = self.site.target.reload.clone() else {
            return Ok(());
        };
        let timeout = self.site.target.timeout;
        match self.command(Phase::Reload, &command, change, timeout, halt).await? {
            Ended::Exited(0) => Ok(()),
            Ended::Cancelled => Err(Stop::Halted),
            ended => Err(Stop::failed(format!("reload {ended}{}", self.missing_rights()))),
        }
    }

    /// Added to the reason of a failed `reload` if systemd refused its request; the log has the lines to type.
    fn missing_rights(&mut self) -> String {
        let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten();
        let user = user.map_or_else(|| "hookd".to_owned(), |user| user.name);
        let rule = exec::reload_rule(&self.site.target, &user).filter(|_| self.record.was_refused());
        let Some(rule) = rule else {
            return String::new();
        };
        let text = format!(
            "no polkit rule lets {user} do that; as root, type\n{}",
            rule.writing().join("\n")
        );
        text.lines().for_each(|line| self.record.warn(Phase::Reload, line));
        format!("; no polkit rule lets {user} do that, and `hookd doctor` prints what to type")
    }

    async fn check(&mut self, change: &Change) -> Result<(), Stop> {
        let timeout = self.site.target.check_timeout;
        match self.site.target.check.clone() {
            None => Ok(()),
            Some(Check::Command(command)) => self.check_command(&command, change, timeout).await,
            Some(Check::Url(url)) => {
                let record = &mut self.record;
                let note = |text: &str| record.keep(Phase::Check, "hookd", text);
                let healthy = crate::probe::until_healthy(&url, timeout, &self.halt.token, note).await;
                if self.halt.token.is_cancelled() {
                    return Err(Stop::Halted);
                }
                healthy.map_err(|reason| Stop::failed(format!("check failed: {reason}")))?;
                let text = format!("{url} is healthy");
                self.record.say(Phase::Check, &text);
                Ok(())
            }
        }
    }

    /// Runs the command until it passes or the time is over. What it failed with says more than that a last attempt was cut short.
    async fn check_command(&mut self, command: &Command, change: &Change, timeout: Duration) -> Result<(), Stop> {
        let end = Instant::now() + timeout;
        let mut pause = CHECK_PAUSE.0;
        let mut before = None;
        let halt = self.halt.token.clone();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let ended = self.command(Phase::Check, command, change, left, &halt).await?;
            let ended = match ended {
                Ended::TimedOut { .. } => before.take().unwrap_or(ended),
                other => other,
            };
            match ended {
                Ended::Exited(0) => return Ok(()),
                Ended::Cancelled => return Err(Stop::Halted),
                _ if Instant::now() + pause >= end => return Err(Stop::failed(format!("check {ended}"))),
                _ => {}
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = halt.cancelled() => return Err(Stop::Halted),
            }
            before = Some(ended);
            pause = (pause * 2).min(CHECK_PAUSE.1);
        }
    }

    pub(super) async fn live_at_last(&mut self, change: Change) -> End {
        if let Err(error) = self.enter(Phase::Finish, Progress::default()).await {
            // The release is live; only the record of it lacks. The next start writes it.
            tracing::error!(%error, "could not record the end of deployment {}", self.claim.deployment);
            return End::LeftOpen;
        }
        let rollback = self.claim.job.goes_back();
        let verb = match self.claim.job.source {
            Source::Rollback => "rolled back to",
            _ if rollback => "restored",
            _ => "deployed",
        };
        let commit = change.commit.short();
        let what = change
            .release
            .as_ref()
            .map(|name| format!(" as {name}"))
            .unwrap_or_default();
        let mut finish = Finish::plain(Outcome::Live, format!("{verb} {commit}{what}"));
        let tip = |commit: &CommitId| Tip {
            git_ref: change.git_ref.clone(),
            commit: commit.clone(),
        };
        finish.release = change.release.clone().map(|name| (name, ReleaseState::Good));
        match &self.passed {
            _ if rollback => {}
            None => finish.tip = Some(tip(&change.commit)),
            Some(Passed { tip: newest, red: true }) => {
                finish.tip = Some(tip(newest));
                finish.unchecked = true;
            }
            Some(Passed { red: false, .. }) => finish.again = true,
        }
        finish.live = Some(WentLive {
            commit: change.commit,
            git_ref: change.git_ref,
            release: change.release,
        });
        End::Finished(Box::new(finish))
    }

    /// Back to what was live before. That it is decided is recorded first, so that a crash can't leave it half done.
    pub(super) async fn roll_back(&mut self, change: Change, reason: String, outcome: Outcome) -> End {
        let decided = Progress {
            rolling_back: Some(reason.clone()),
            ..Progress::default()
        };
        if let Err(error) = self.enter(Phase::Reload, decided).await {
            tracing::error!(%error, "could not record the rollback of deployment {}", self.claim.deployment);
        }
        let text = format!("{reason}; going back");
        self.record.warn(Phase::Reload, &text);
        let rollback_job = self.claim.job.goes_back();
        let finish = match self.way_back(&change).await {
            Ok(()) => Finish::plain(outcome, reason),
            Err(NoWayBack::CutOff) => return End::LeftOpen,
            Err(NoWayBack::Failed(why)) => {
                let mut finish = Finish::plain(Outcome::Failed, format!("{reason}; {why}"));
                finish.nothing_live =
                    change.previous_release.is_none() && self.site.target.strategy == Strategy::Release;
                finish
            }
        };
        let good_before = rollback_job || change.previous_release == change.release;
        let state = if good_before {
            ReleaseState::Good
        } else {
            ReleaseState::Failed
        };
        End::Finished(Box::new(Finish {
            tip: (!rollback_job).then_some(Tip {
                git_ref: change.git_ref,
                commit: change.commit,
            }),
            release: change.release.map(|name| (name, state)),
            ..finish
        }))
    }

    /// Puts the previous release back and reloads; the error says what is live instead.
    async fn way_back(&mut self, change: &Change) -> Result<(), NoWayBack> {
        // What was live may have no commit that is known, and is then told to the commands as no commit.
        let back = Change {
            commit: change.previous_commit.clone().unwrap_or_else(CommitId::zero),
            git_ref: change.git_ref.clone(),
            release: change.previous_release.clone(),
            previous_commit: Some(change.commit.clone()),
            previous_release: change.release.clone(),
        };
        match (
            self.site.target.strategy,
            &change.previous_release,
            &change.previous_commit,
        ) {
            (Strategy::Release, Some(previous), _) => {
                if !self.layout.is_intact(previous) {
                    let why = format!("the previous release, {previous}, is gone, so this one stays live");
                    return Err(NoWayBack::Failed(why));
                }
                self.activate(Some(previous))
                    .map_err(|stop| NoWayBack::of("going back failed", &stop))?;
            }
            (Strategy::Release, None, _) => {
                self.layout
                    .deactivate()
                    .map_err(|e| NoWayBack::Failed(format!("`current` could not be removed: {e}")))?;
                return Err("there is no previous release to go back to, so `current` was removed".into());
            }
            (Strategy::InPlace, _, Some(previous)) => {
                self.bring_back(&change.commit, previous).await;
                if self.may(Phase::Reload) {
                    self.build(&back)
                        .await
                        .map_err(|stop| NoWayBack::of("building the previous commit failed", &stop))?;
                }
            }
            (Strategy::InPlace, _, None) => return Err("there is no previous commit to go back to".into()),
        }
        self.reload_back(&back).await
    }

    async fn reload_back(&mut self, back: &Change) -> Result<(), NoWayBack> {
        if !self.may(Phase::Reload) {
            let text = "the previous release is live again, but was not reloaded: hookd was killed while a reload ran";
            self.record.warn(Phase::Reload, text);
            return Ok(());
        }
        let stop = match self.reload(back, &CancellationToken::new()).await {
            Ok(()) => return Ok(()),
            Err(stop) => self.believe(stop).await,
        };
        if matches!(stop, Stop::Halted) {
            return Err(NoWayBack::CutOff);
        }
        let text = format!("the previous release is live again, but its reload failed: {stop}");
        self.record.warn(Phase::Reload, &text);
        Ok(())
    }
}
