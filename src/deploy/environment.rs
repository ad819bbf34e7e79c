//! Runs the commands of the configuration, with their environment.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::unistd::{User, geteuid};

use crate::config::{Command, Isolation};
use crate::exec::{self, CommandSpec, Ended, Template, Unit, UnitName};
use crate::model::{CommitId, Phase, RefKind};

use super::{Change, Run, Stop, Why};

impl Run<'_> {
    /// The contract's environment, and the target's own.
    fn environment(&self, phase: Phase, change: &Change) -> Vec<(String, String)> {
        let job = &self.claim.job;
        let target = &self.site.target;
        let git_ref = &change.git_ref;
        let short = |kind| {
            if git_ref.kind() == kind {
                git_ref.short().to_owned()
            } else {
                String::new()
            }
        };
        let release = change.release.as_ref().map(|name| self.layout.release(name));
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let commit = |value: Option<&CommitId>| match value {
            Some(id) if !id.is_zero() => id.to_string(),
            _ => String::new(),
        };
        let path = |value: &Path| value.to_string_lossy().into_owned();
        let mut all: Vec<(String, String)> = [
            ("HOOKD_REPO", target.id.repo.to_string()),
            ("HOOKD_TARGET", target.id.to_string()),
            ("HOOKD_REF", git_ref.to_string()),
            ("HOOKD_BRANCH", short(RefKind::Branch)),
            ("HOOKD_TAG", short(RefKind::Tag)),
            ("HOOKD_COMMIT", commit(Some(&change.commit))),
            ("HOOKD_PREVIOUS_COMMIT", commit(change.previous_commit.as_ref())),
            ("HOOKD_RELEASE", path(release.as_deref().unwrap_or(&target.path))),
            ("HOOKD_PATH", path(&target.path)),
            ("HOOKD_DEPLOYMENT", self.claim.deployment.to_string()),
            ("HOOKD_DELIVERY", text(&job.delivery)),
            ("HOOKD_EVENT", text(&job.event)),
            ("HOOKD_PUSHER", text(&job.pusher)),
            // Named by `exec`, which knows where the command can see it, if there is one.
            ("HOOKD_PAYLOAD_FILE", String::new()),
        ]
        .map(|(name, value)| (name.to_owned(), value.replace('\0', "")))
        .into();
        if let (true, Phase::Build, Some(release)) = (target.history, phase, &release) {
            let git = self.layout.history(self.claim.deployment);
            all.push(("GIT_DIR".to_owned(), path(&git)));
            all.push(("GIT_WORK_TREE".to_owned(), path(release)));
        }
        all.extend(target.env.iter().map(|(name, value)| (name.clone(), value.clone())));
        all
    }

    /// Runs a command in the release, with its output going wherever the deployment's words go.
    pub(super) async fn command(
        &mut self,
        phase: Phase,
        command: &Command,
        change: &Change,
        timeout: std::time::Duration,
        halt: &tokio_util::sync::CancellationToken,
    ) -> Result<Ended, Stop> {
        self.lay_out_payload().await?;
        let unit = self.unit(phase, change).await?;
        if unit.is_none() {
            self.give_shared().await?;
        }
        let target = &self.site.target;
        let directory = change
            .release
            .as_ref()
            .map_or_else(|| target.path.clone(), |name| self.layout.release(name));
        let spec = CommandSpec {
            command: command.clone(),
            directory,
            environment: self.environment(phase, change),
            run_as: target.run_as.clone(),
            unit,
            payload: self.payload_file(),
            memory_max: target.memory_max,
            tasks_max: target.tasks_max,
            timeout,
            grace: target.kill_grace,
            lifeline: Some(self.world.lifeline.clone()),
        };
        let record = &mut self.record;
        let ended = exec::run(
            &self.world.program,
            &spec,
            |line| record.output(phase, line.stream.as_str(), &line.text),
            halt,
        )
        .await;
        if self.is_cut_off(&ended).await {
            self.halt.ask(Why::Shutdown);
            return Ok(Ended::Cancelled);
        }
        Ok(ended?)
    }

    /// Lets `run_as` write the shared directories, as it can in a unit: only root gives files away.
    async fn give_shared(&self) -> Result<(), Stop> {
        let Some(user) = self.site.target.run_as.clone().filter(|_| geteuid().is_root()) else {
            return Ok(());
        };
        let (layout, shared) = (self.layout.clone(), self.site.target.shared.clone());
        let given = tokio::task::spawn_blocking(move || layout.give_shared(&shared, &user)).await;
        Ok(given.map_err(|error| Stop::failed(error.to_string()))??)
    }

    /// The unit that a command runs in; `None` if it runs below the daemon.
    async fn unit(&mut self, phase: Phase, change: &Change) -> Result<Option<Unit>, Stop> {
        let target = &self.site.target;
        let in_unit = match target.isolation {
            Some(Isolation::Systemd) => true,
            Some(Isolation::Process) => false,
            None => self.world.units.available(&self.world.program).await.is_ok(),
        };
        if !in_unit {
            return if target.network {
                Ok(None)
            } else {
                Err(Stop::failed(
                    "`network = false` requires `isolation = \"systemd\"`, see `hookd check`",
                ))
            };
        }
        let template = match phase {
            Phase::Reload => Template::Reload,
            _ => Template::Run,
        };
        let release = change.release.as_ref().map(|name| self.layout.release(name));
        let release = release.unwrap_or_else(|| target.path.clone());
        let group = exec::files_group().filter(|_| phase == Phase::Build && target.run_as.is_some());
        if let Some(group) = group.filter(|_| !geteuid().is_root()) {
            let (layout, tree, shared) = (self.layout.clone(), release.clone(), target.shared.clone());
            let opened = tokio::task::spawn_blocking(move || {
                let kept = shared
                    .iter()
                    .map(|entry| layout.shared().join(entry.trim_end_matches('/')));
                let mut trees = kept.filter(|path| path.exists()).chain([tree]);
                trees.try_for_each(|tree| layout.open_to_group(&tree, group))
            });
            let opened = opened.await;
            opened.map_err(|error| Stop::failed(error.to_string()))??;
        }
        Ok(Some(Unit {
            name: UnitName::new(template, &target.id),
            release,
            shared: self.layout.shared(),
            network: target.network,
            tasks_max: target.tasks_max,
            cpu_weight: target.cpu_weight,
            io_weight: target.io_weight,
            explain: !std::mem::replace(&mut self.explained, true),
        }))
    }

    /// Where the payload is, for jobs that came of a delivery. `None` if it could not be written.
    fn payload_file(&self) -> Option<PathBuf> {
        let path = self.payload_path();
        path.exists().then_some(path)
    }

    fn payload_path(&self) -> PathBuf {
        self.site
            .config
            .state_dir
            .join("payloads")
            .join(format!("{}.json", self.claim.deployment))
    }

    /// Writes the payload to a file that only this user and `run_as` can read, once in a deployment.
    async fn lay_out_payload(&mut self) -> Result<(), Stop> {
        let Some(number) = self.claim.job.delivery_row else {
            return Ok(());
        };
        if self.payload_path().exists() {
            return Ok(());
        }
        let stored = self.world.store.delivery(number.to_string()).await?;
        let Some((_, _, body)) = stored.filter(|(_, _, body)| !body.is_empty()) else {
            return Ok(());
        };
        let path = self.payload_path();
        // Only root gives files away; else the command's unit gets it.
        let owner = self.site.target.run_as.clone().filter(|_| geteuid().is_root());
        let written = tokio::task::spawn_blocking(move || private_file(&path, &body, owner.as_deref())).await;
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Stop::Failed {
                reason: format!("could not write the payload file: {error}"),
                transient: true,
            }),
            Err(error) => Err(Stop::failed(error.to_string())),
        }
    }

    /// Removes the payload file; it is of no use to anybody after the deployment.
    pub(super) fn forget_payload(&self) {
        let path = self.payload_path();
        if path.exists()
            && let Err(error) = std::fs::remove_file(&path)
        {
            tracing::warn!(%error, "could not remove {}", path.display());
        }
    }
}

/// Writes a new file that only its owner can read: `user`, or else this process's.
fn private_file(path: &Path, content: &[u8], user: Option<&str>) -> std::io::Result<()> {
    let mut file = std::fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)?;
    if let Some(user) = user {
        let user = User::from_name(user)?.ok_or_else(|| std::io::Error::other(format!("there is no user {user}")))?;
        std::os::unix::fs::fchown(&file, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
    }
    Ok(())
}
