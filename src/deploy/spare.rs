//! The spare copy of what is live, made while nothing of the target runs, so that the next push only changes in it what it changes.

use tokio_util::sync::CancellationToken;

use crate::config::Strategy;
use crate::git::Worth;
use crate::release::{Current, Layout, ReleaseName, free_space};

use super::manifests::Manifests;
use super::spares::Making;
use super::{Run, Site, World};

/// How many times the least free space must be free beside a spare: a spare must never be what makes the disk short.
const FREE: u64 = 2;

/// Below so many names, a release is made from the one before as fast as from a spare.
pub(super) const NAMES_MIN: usize = 500;

impl Run<'_> {
    /// Begins to make a spare of what is live, if the target has none of it, and removes those of other releases. It ends with the
    /// daemon, and with the next deployment of the target.
    pub(super) fn begin_spare(&self) {
        if self.site.target.strategy != Strategy::Release || self.halt.stopping.is_cancelled() {
            return;
        }
        let cancel = self.halt.stopping.child_token();
        let (world, site, layout) = (self.world.clone(), self.site.clone(), self.layout.clone());
        let (token, deployment) = (cancel.clone(), self.claim.deployment);
        let task = tokio::spawn(async move { keep_spare(&world, &site, &layout, deployment, &token).await });
        let making = Making { cancel, task };
        self.world.spares.lock().insert(self.site.target.id.clone(), making);
    }
}

async fn keep_spare(world: &World, site: &Site, layout: &Layout, deployment: i64, halt: &CancellationToken) {
    let manifests = Manifests::new(&site.config, &site.target);
    let wanted = {
        let (layout, manifests, is_wanted) = (layout.clone(), manifests.clone(), site.target.spare);
        tokio::task::spawn_blocking(move || wanted(&layout, &manifests, is_wanted)).await
    };
    let (live, target) = match wanted {
        Ok(Some(live)) => (live, &site.target.id),
        _ => return,
    };
    let Ok((free, _)) = free_space(&layout.releases()) else {
        return;
    };
    let worth = Worth {
        least: NAMES_MIN,
        most: free.saturating_sub(FREE * site.config.limits.free_space),
    };
    let (from, manifest) = (layout.release(&live), manifests.of(&live));
    let (staging, spare) = (layout.staged_spare(deployment), layout.spare(&live));
    let made = super::space::watched(site, halt, async |halt| {
        let git = &world.git;
        git.make_spare(&from, &manifest, &staging, &spare, worth, &halt).await
    });
    match made.await {
        Ok(true) => tracing::debug!("{target}: made a spare copy of {live}"),
        Ok(false) => {}
        // The deployment that follows sweeps it up, or the next start.
        Err(_) if halt.is_cancelled() => {}
        Err(stop) => {
            tracing::info!("{target}: no spare copy of {live}: {stop}");
            let layout = layout.clone();
            let _ = tokio::task::spawn_blocking(move || layout.remove_staged_spare(deployment)).await;
        }
    }
}

/// The release that is live, if a spare of it is to be made; other spares are removed.
fn wanted(layout: &Layout, manifests: &Manifests, is_wanted: bool) -> Option<ReleaseName> {
    let live = match layout.current() {
        Ok(Current::Release(name)) => Some(name),
        _ => None,
    };
    let kept = live.clone().filter(|_| is_wanted);
    for problem in layout.sweep_spares(kept.as_ref()).unwrap_or_default() {
        tracing::warn!("could not remove a spare copy: {problem}");
    }
    manifests.sweep(layout);
    kept.filter(|name| manifests.of(name).exists() && !layout.spare(name).exists())
}
