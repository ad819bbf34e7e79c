//! The remotes: do they answer, with these credentials, and do they have what the targets follow?

use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Scene;
use super::finding::{Area, Findings};
use crate::config::{Repo, Target};
use crate::deploy::access;
use crate::git::{Git, GitError, RemoteRef};
use crate::model::RepoName;

const AREA: Area = Area::Remotes;

/// A person waits: an answer within seconds is worth more than patience with a slow server.
const SILENCE: Duration = Duration::from_secs(20);

/// Longest answer in all.
const TOTAL: Duration = Duration::from_mins(1);

type Answer = Result<Vec<RemoteRef>, GitError>;

/// Asks all remotes at once.
pub async fn look(scene: &Scene<'_>, found: &mut Findings) {
    let git = Git::new("/proc/self/exe".into(), SILENCE, TOTAL);
    let mut asked: JoinSet<(RepoName, Answer)> = JoinSet::new();
    for repo in scene.config.repos.values() {
        if repo.token.is_some() && !scene.secrets.token.contains_key(&repo.name) {
            let text = format!(
                "repo {}: its token can't be read from here, so the remote is not asked",
                repo.name
            );
            found.skipped(AREA, text).hint("sudo hookd doctor");
            continue;
        }
        let (git, access, name) = (
            git.clone(),
            access(scene.config, &scene.secrets, repo),
            repo.name.clone(),
        );
        asked.spawn(async move {
            let answer = git.ls_remote(&access, &CancellationToken::new()).await;
            (name, answer)
        });
    }
    let mut answers: Vec<(RepoName, Answer)> = asked.join_all().await;
    answers.sort_by(|(one, _), (other, _)| one.cmp(other));
    for (name, answer) in answers {
        if let Some(repo) = scene.config.repos.get(&name) {
            judge(repo, answer, found);
        }
    }
}

fn judge(repo: &Repo, answer: Answer, found: &mut Findings) {
    let url = &repo.remote.url;
    match answer {
        Ok(refs) => {
            found.ok(
                AREA,
                format!("repo {}: {url} answers with {} refs", repo.name, refs.len()),
            );
            for target in repo.targets.values() {
                if !refs.iter().any(|listed| follows(target, listed)) {
                    let text = format!("target {}: no ref of {url} is one that it follows", target.id);
                    found
                        .warning(AREA, text)
                        .hint(format!("git ls-remote {url} lists them; `branch` or `tag` says which"));
                }
            }
        }
        Err(error) => {
            let told = found.error(AREA, format!("repo {}: {url}: {}", repo.name, error.message));
            told.hint = error.hint;
        }
    }
}

fn follows(target: &Target, listed: &RemoteRef) -> bool {
    let name = listed.name.parse().ok();
    name.is_some_and(|name| target.refs.follows(&name))
}
