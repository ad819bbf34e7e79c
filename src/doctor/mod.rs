//! What can be wrong on this machine, each with its fix: `hookd doctor`.
//!
//! Each area has a file, and in it what gathers stands apart from what judges. Nothing here changes anything, and nothing
//! here prints. What can't be looked at is a finding, too: [`Level::Skipped`] with the reason.
//!
//! The order is that of the fixes: what the daemon needs at its start comes before the unit, what needs a running daemon
//! after it.

mod clock;
mod daemon;
mod directories;
mod fence;
mod finding;
mod hooks;
mod isolation;
mod remotes;
mod settings;
mod sockets;
mod ssh;
mod unit;
mod web;
mod webhooks;

use std::path::Path;

pub use finding::{Area, Finding, Findings, Level};
pub use isolation::{Reload, reloads};
pub use webhooks::three_lines;

use crate::api::{Delivery, Status};
use crate::config::{Config, Secrets};
use crate::machine::Machine;

/// What the daemon said on its control socket, as far as it answered.
#[derive(Debug, Default)]
pub struct Told {
    /// What goes on.
    pub status: Option<Status>,
    /// Webhook deliveries, newest first.
    pub deliveries: Option<Vec<Delivery>>,
}

/// What all looks begin with.
struct Scene<'a> {
    config: &'a Config,
    /// The tokens for the remotes, as far as whoever asks may read them.
    secrets: Secrets,
    machine: &'a Machine,
    told: &'a Told,
}

/// Looks at everything. What is found stands in the order of the areas.
pub async fn examine(file: &Path, told: &Told) -> Findings {
    let mut found = look(file, told).await;
    found.0.sort_by_key(|finding| finding.area);
    found
}

async fn look(file: &Path, told: &Told) -> Findings {
    let mut found = Findings::default();
    let config = settings::read(file, &mut found);
    let machine = Machine::look(file, told.status.as_ref().map(|status| status.pid)).await;
    let Some(config) = &config else {
        unit::look(&machine, None, &mut found);
        found.skipped(
            Area::Configuration,
            "the other looks need a configuration that can be read",
        );
        return found;
    };
    let scene = Scene {
        config,
        secrets: tokens(config),
        machine: &machine,
        told,
    };
    settings::files(&scene, &mut found);
    settings::secrets(&scene, &mut found);
    ssh::look(&scene, &mut found);
    directories::look(&scene, &mut found);
    unit::look(&machine, Some(config), &mut found);
    isolation::look(&scene, &mut found);
    isolation::look_at_reloads(&scene, &mut found);
    fence::look(&scene, &mut found).await;
    daemon::control(&scene, &mut found);
    if let Some(status) = &told.status {
        daemon::status(status, machine.managed(), &mut found);
    }
    daemon::journal(&scene, &mut found).await;
    sockets::look(&scene, &mut found).await;
    remotes::look(&scene, &mut found).await;
    let web = web::look(&scene, &mut found).await;
    webhooks::look(&scene, &web, &mut found);
    hooks::look(&scene, &web, &mut found).await;
    clock::look(&machine, &mut found).await;
    found
}

/// The tokens that can be read from here.
fn tokens(config: &Config) -> Secrets {
    let mut secrets = Secrets::default();
    let read = |source: &crate::config::SecretSource| source.read(&|name| std::env::var_os(name)).ok().flatten();
    for repo in config.repos.values() {
        if let Some(token) = repo.token.as_ref().and_then(read) {
            secrets.token.insert(repo.name.clone(), token);
        }
    }
    for (name, api) in &config.forges {
        secrets
            .forge
            .extend(api.token.as_ref().and_then(read).map(|token| (name.clone(), token)));
    }
    secrets
}
