//! A target with its repo: what is deployed, and where.

use std::path::PathBuf;
use std::sync::Arc;

use super::spares::Spares;
use crate::config::{Config, Repo, Secrets, Target};
use crate::exec::Units;
use crate::forge_api::Tokens;
use crate::git::Git;
use crate::logbook::LogBook;
use crate::store::Store;

/// The doors to the outside that a deployment goes through.
#[derive(Clone)]
pub struct World {
    /// The store.
    pub store: Store,
    /// Git, in child processes.
    pub git: Git,
    /// Logs of the deployments.
    pub logs: LogBook,
    /// This program, to be run as the supervisor of a command.
    pub program: PathBuf,
    /// Whether commands can run in units of systemd.
    pub units: Arc<Units>,
    /// Lock held (shared) by every process of a deployment, so that the next daemon can tell when all of them are gone.
    pub lifeline: PathBuf,
    /// Spare copies of releases that are being made.
    pub spares: Spares,
    /// Tokens of GitHub Apps.
    pub tokens: Tokens,
}

/// What is deployed where.
#[derive(Clone)]
pub struct Site {
    /// The configuration that the deployment runs under, to its end, even if it is reloaded meanwhile.
    pub config: Arc<Config>,
    /// The secrets that go with it.
    pub secrets: Arc<Secrets>,
    /// The repo.
    pub repo: Arc<Repo>,
    /// The target.
    pub target: Arc<Target>,
}
