//! Removes what a crash left half done: staged trees, half-made releases, stale locks of git.

use crate::config::{Config, Strategy, Target};
use crate::release::{Current, Layout, ReleaseName};

use super::World;
use super::tidy::{sweep_mirrors, tidy_releases};

/// Cleans up after a crash. Must run before any deployment starts, and after the store has said which ones go on.
pub async fn clean_up(world: &World, config: &Config) {
    for repo in config.repos.values() {
        for problem in sweep_mirrors(config, repo) {
            tracing::warn!("{}: {problem}", repo.name);
        }
        for target in repo.targets.values().filter(|t| t.strategy == Strategy::Release) {
            clean_target(world, target).await;
        }
    }
    if let Ok(entries) = std::fs::read_dir(config.state_dir.join("payloads")) {
        for entry in entries.flatten() {
            if let Err(error) = std::fs::remove_file(entry.path()) {
                tracing::warn!(%error, "{} is left over", entry.path().display());
            }
        }
    }
}

async fn clean_target(world: &World, target: &Target) {
    let layout = Layout::new(&target.path);
    if !layout.releases().is_dir() {
        return;
    }
    match layout.sweep() {
        Ok(notes) => notes.iter().for_each(|note| tracing::warn!("{}: {note}", target.id)),
        Err(error) => tracing::warn!(%error, "{}: could not remove what a crash left", target.id),
    }
    let live = match layout.current() {
        Ok(Current::Release(name)) => Some(name),
        _ => None,
    };
    match layout.sweep_spares(live.as_ref().filter(|_| target.spare)) {
        Ok(notes) => notes.iter().for_each(|note| tracing::warn!("{}: {note}", target.id)),
        Err(error) => tracing::warn!(%error, "{}: could not remove spare copies", target.id),
    }
    let Ok(half_made) = world.store.half_made(&target.id).await else {
        return;
    };
    let mut gone = Vec::new();
    if !half_made.is_empty()
        && let Err(error) = world.store.forget_releases(&target.id, half_made.clone()).await
    {
        tracing::warn!(%error, "{}: half-made releases are still in the store", target.id);
        return;
    }
    for name in half_made {
        match layout.remove(&name) {
            Ok(_) => gone.push(name),
            Err(error) => tracing::warn!(%error, "{}: half-made release {name} is left over", target.id),
        }
    }
    if !gone.is_empty() {
        let names: Vec<&str> = gone.iter().map(ReleaseName::as_str).collect();
        tracing::info!("{}: removed half-made {}", target.id, names.join(", "));
    }
    match tidy_releases(world, target, None, None).await {
        Ok(tidied) => tidied.log(&target.id),
        Err(stop) => tracing::warn!("{}: {stop}", target.id),
    }
}
