//! The commits and files that a deployment brought, as git tells them.

use std::collections::VecDeque;
use std::sync::Mutex;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::deploy::World;
use crate::git::{Changed, Fetched};
use crate::model::{CommitId, Locked};

/// Most commits that a page lists.
pub(super) const SHOWN: usize = 20;

/// Answers that are kept: what many people look at is asked of git once.
const KEPT: usize = 16;

/// Questions to git at once, each a process of its own: more wait.
const AT_ONCE: usize = 2;

/// What lies between two commits.
#[derive(Debug, Clone, Default)]
pub struct Brought {
    /// Commit, subject and author of the newest.
    pub commits: Vec<(String, String, String)>,
    /// How many there are.
    pub count: usize,
    /// The files that differ; `None` if git can't tell.
    pub files: Option<Changed>,
}

/// Asks git what deployments brought.
pub struct Changes {
    known: Mutex<VecDeque<(String, Brought)>>,
    asking: Semaphore,
}

impl Default for Changes {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            asking: Semaphore::new(AT_ONCE),
        }
    }
}

impl Changes {
    /// What `to` has and `from` has not; `None` if the mirror can no longer tell.
    pub(super) async fn between(
        &self,
        world: &World,
        mirror: &std::path::Path,
        from: &str,
        to: &str,
    ) -> Option<Brought> {
        let name = format!("{}:{from}..{to}", mirror.display());
        let known = || self.known.locked();
        if let Some((_, brought)) = known().iter().find(|(known, _)| *known == name) {
            return Some(brought.clone());
        }
        let (from, to) = (from.parse::<CommitId>().ok()?, to.parse::<CommitId>().ok()?);
        let _place = self.asking.acquire().await.ok()?;
        let cancel = CancellationToken::new();
        let asked = world.git.since(mirror, Some(&from), &to, SHOWN, &cancel).await;
        let (commits, count) = asked.ok()?;
        let told = |commit: Fetched| (commit.commit.to_string(), commit.subject, commit.author);
        let brought = Brought {
            commits: commits.into_iter().map(told).collect(),
            count,
            files: world.git.changed_paths(mirror, &from, &to, &[], &cancel).await.ok(),
        };
        let mut known = known();
        known.push_front((name, brought.clone()));
        known.truncate(KEPT);
        Some(brought)
    }
}
