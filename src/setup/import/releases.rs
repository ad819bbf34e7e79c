//! A directory of Capistrano or Deployer: `releases/`, `shared/` and `current` are where hookd has them, too.

use std::fs;
use std::path::{Path, PathBuf};

use super::draft::{Draft, RepoDraft};
use super::{Bad, Place, origin, text_of};

/// Deepest place in a release that is looked at for links into `shared`.
const DEPTH_MAX: usize = 8;

/// Most entries of a release that are looked at.
const ENTRIES_MAX: usize = 200_000;

/// Directories that hold what a package manager fetched; no tool links out of them.
const SKIPPED: [&str; 3] = ["node_modules", "vendor", ".git"];

/// Reads the directory; nothing in it is changed.
pub(super) fn read(directory: &Path) -> Result<Draft, Bad> {
    let nowhere = Place::default();
    let failed = |e: std::io::Error| Bad::new(nowhere, e.to_string());
    let path = fs::canonicalize(directory).map_err(failed)?;
    if !path.join("releases").is_dir() {
        let bad = Bad::new(nowhere, "there is no `releases` in this directory");
        return Err(bad.hint("name the directory that Capistrano or Deployer deploys to"));
    }
    let mut draft = Draft::default();
    let current = fs::canonicalize(path.join("current"));
    let live = current
        .ok()
        .filter(|live| live.parent() == Some(&path.join("releases")));
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let mut repo = RepoDraft {
        name: name.trim_start_matches('.').to_owned(),
        path: Some(path.clone()),
        url: [path.join("repo"), path.join(".dep/repo")]
            .iter()
            .find_map(|mirror| origin(mirror)),
        ..RepoDraft::default()
    };
    match &live {
        Some(live) => {
            repo.shared = shared(&path, live, &mut draft);
            let release = live.file_name().unwrap_or_default().to_string_lossy();
            draft.note(
                nowhere,
                format!("`current` points at {release}: it stays live until hookd's first release takes its place"),
            );
        }
        None => draft.note(nowhere, "`current` leads to no release: nothing is live"),
    }
    match branch(&path) {
        Some(branch) => repo.branches.push(branch),
        None => draft.note(
            nowhere,
            "no log says which branch was deployed: hookd follows main, or what `branch` says",
        ),
    }
    of_url(&repo, &mut draft);
    draft.note(nowhere, "tasks of Capfile, deploy.rb or deploy.php are not carried over: `build` runs in a new release, `reload` once it is live");
    draft.note(
        nowhere,
        "the releases that are there stay, and hookd prunes its own alone",
    );
    draft.note(nowhere, "there was no webhook: a new secret is made");
    draft.repos.push(repo);
    Ok(draft)
}

fn of_url(repo: &RepoDraft, draft: &mut Draft) {
    let nowhere = Place::default();
    let Some(url) = &repo.url else {
        return draft.note(nowhere, "no mirror says where the repository is: write its `url`");
    };
    let short = url.contains(':') && !url.contains("://") && !url.starts_with('/');
    if short || url.starts_with("ssh://") {
        draft.note(
            nowhere,
            "the remote is reached by ssh: write `ssh_key`, for a key that may read it",
        );
    }
}

/// What the live release links from `shared`, by the paths that both have it under.
fn shared(path: &Path, live: &Path, draft: &mut Draft) -> Vec<String> {
    let root = path.join("shared");
    let (mut found, mut left) = (Vec::new(), ENTRIES_MAX);
    let mut waiting = vec![(live.to_owned(), 0)];
    while let Some((directory, depth)) = waiting.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            left -= 1;
            if left == 0 {
                draft.note(
                    Place::default(),
                    format!("only {ENTRIES_MAX} files of the live release were looked at for `shared`"),
                );
                return sorted(found);
            }
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_symlink() {
                found.extend(link(&root, live, &entry.path(), draft));
            } else if kind.is_dir() && depth < DEPTH_MAX && !SKIPPED.iter().any(|name| entry.file_name() == *name) {
                waiting.push((entry.path(), depth + 1));
            }
        }
    }
    sorted(found)
}

fn sorted(mut paths: Vec<String>) -> Vec<String> {
    paths.sort();
    paths
}

/// A link into `shared`; one to another place in it than its own has no word in hookd.
fn link(root: &Path, live: &Path, link: &Path, draft: &mut Draft) -> Option<String> {
    let target = fs::read_link(link).ok()?;
    let target = normal(&link.parent()?.join(target));
    let below = target.strip_prefix(root).ok()?;
    let own = link.strip_prefix(live).ok()?;
    if below != own {
        let text = format!(
            "the link {} to shared/{} is not carried over: hookd shares by the same path",
            own.display(),
            below.display()
        );
        draft.note(Place::default(), text);
        return None;
    }
    let text = own.to_str()?.to_owned();
    Some(if target.is_dir() { format!("{text}/") } else { text })
}

/// A path without `.` and `..`, by its text.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => drop(normal.pop()),
            std::path::Component::CurDir => {}
            part => normal.push(part),
        }
    }
    normal
}

/// The branch of the last deployment: Capistrano's revisions.log, or Deployer's `.dep/releases_log`.
fn branch(path: &Path) -> Option<String> {
    let capistrano = text_of(&path.join("revisions.log")).unwrap_or_default();
    let of_line = |line: &str| Some(line.strip_prefix("Branch ")?.split_once(" (at ")?.0.to_owned());
    let deployer = text_of(&path.join(".dep/releases_log")).unwrap_or_default();
    let of_json = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        let branch = ["branch", "target"].iter().find_map(|key| line.get(key)?.as_str());
        branch
            .filter(|branch| !matches!(*branch, "" | "HEAD"))
            .map(str::to_owned)
    };
    let last = capistrano.lines().rev().find_map(of_line);
    last.or_else(|| deployer.lines().rev().find_map(of_json))
}
