//! A commit with its submodules as one flat plan. Each submodule has a mirror of its own; its URL comes from
//! `.gitmodules` at that commit, so it is the pusher's choice and treated as such.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use git2::{Config, Repository};
use sha2::{Digest, Sha256};

use super::address::{Address, resolve};
use super::fetch::parse_id;
use super::history::find_commit;
use super::mirror::{Hold, Mirror, discard, open, tip_ref};
use super::remote::{Remote, Spec, redacted};
use super::tree::{Item, Kind, list};
use super::wire::RemoteSpec;
use super::{CheckoutOptions, GitError, GitErrorKind};
use crate::config::Transport;
use crate::model::CommitId;

/// Submodules of submodules: real ones nest two or three deep.
const DEPTH_MAX: usize = 8;

/// Most submodules in all, nested ones included.
const COUNT_MAX: usize = 256;

/// Everything that a commit puts on disk.
#[derive(Default)]
pub(super) struct Plan {
    /// Mirrors that have the blobs; [`Item::source`] is an index into it.
    pub sources: Vec<PathBuf>,
    /// Parents before children.
    pub directories: Vec<PathBuf>,
    pub items: Vec<Item>,
}

/// Whether submodules that aren't in their mirrors are fetched, or left out of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    Fetch,
    LeaveOut,
}

/// One commit of the recursion.
struct Level<'a> {
    remote: &'a Remote<'a>,
    mirror: &'a Path,
    commit: &'a CommitId,
    prefix: &'a Path,
    depth: usize,
}

/// Plans a commit.
pub(super) fn plan(
    remote: &Remote<'_>,
    mirror: &Path,
    commit: &CommitId,
    options: &CheckoutOptions,
    missing: Missing,
) -> Result<Plan, GitError> {
    let mut plan = Plan::default();
    let level = Level {
        remote,
        mirror,
        commit,
        prefix: Path::new(""),
        depth: 0,
    };
    add(&level, remote, options, missing, &mut plan)?;
    Ok(plan)
}

fn add(
    level: &Level<'_>,
    top: &Remote<'_>,
    options: &CheckoutOptions,
    missing: Missing,
    plan: &mut Plan,
) -> Result<(), GitError> {
    let source = plan.sources.len();
    plan.sources.push(level.mirror.to_owned());
    let lock = Mirror::lock(level.mirror, Hold::Read)?;
    let repo = lock.open()?;
    let listing = list(&repo, level.commit, level.prefix, source)?;
    let urls = if listing.gitlinks.is_empty() || !options.submodules {
        BTreeMap::new()
    } else {
        let place = level.prefix.join(".gitmodules");
        urls(
            &repo,
            listing.items.iter().find(|i| i.path == place),
            level.remote.scratch,
        )?
    };
    plan.directories.extend(listing.directories);
    plan.items.extend(listing.items);
    // The same mirror may come again further down, to be written to.
    drop(repo);
    drop(lock);
    for (path, commit) in listing.gitlinks {
        plan.directories.push(path.clone());
        if !options.submodules {
            continue;
        }
        let inner = path.strip_prefix(level.prefix).unwrap_or(&path);
        let done = parse_id(commit)
            .and_then(|commit| add_submodule(level, top, urls.get(inner), &path, &commit, options, missing, plan));
        match done {
            Err(error) if missing == Missing::Fetch => return Err(about(&path, error)),
            _ => {}
        }
    }
    Ok(())
}

#[allow(clippy::too_many_arguments)] // one step of the recursion above, which has all of these anyway
fn add_submodule(
    level: &Level<'_>,
    top: &Remote<'_>,
    url: Option<&String>,
    path: &Path,
    commit: &CommitId,
    options: &CheckoutOptions,
    missing: Missing,
    plan: &mut Plan,
) -> Result<(), GitError> {
    let refuse = |message: String| Err(GitError::new(GitErrorKind::Submodule, message));
    if level.depth + 1 > DEPTH_MAX || plan.sources.len() > COUNT_MAX {
        return refuse("submodules are nested too deeply, or there are too many".to_owned());
    }
    let Some(url) = url else {
        return refuse("it has no URL in .gitmodules".to_owned());
    };
    let Some(full) = resolve(&level.remote.spec.url, url) else {
        return refuse(format!("its URL {} leads out of the remote", redacted(url)));
    };
    let remote = Remote::new(spec(&full, top)?, level.remote.scratch, level.remote.reporter)?;
    let mirror = options
        .submodule_mirrors
        .join(format!("{}.git", hex::encode(Sha256::digest(full.as_bytes()))));
    if missing == Missing::Fetch {
        provide(&remote, &mirror, commit)?;
    }
    let below = Level {
        remote: &remote,
        mirror: &mirror,
        commit,
        prefix: path,
        depth: level.depth + 1,
    };
    add(&below, top, options, missing, plan).map_err(|error| discard(error, std::slice::from_ref(&mirror)))
}

/// How to reach a submodule: by https, http or ssh, from local remotes also locally; with the credentials of the repo
/// only where they belong.
fn spec(url: &str, top: &Remote<'_>) -> Result<RemoteSpec, GitError> {
    let refuse = |why: &str| GitError::new(GitErrorKind::Submodule, format!("its URL {} {why}", redacted(url)));
    let address = Address::parse(url).ok_or_else(|| refuse("is of no kind that hookd fetches from"))?;
    if address.transport == Transport::Local && top.address.transport != Transport::Local {
        return Err(refuse("is a local path, which the repository of a remote may not name"));
    }
    let same_host = address.host == top.address.host;
    Ok(RemoteSpec {
        url: url.to_owned(),
        ssh_key: top.spec.ssh_key.clone().filter(|_| same_host),
        known_hosts: top.spec.known_hosts.clone(),
        token: top.spec.token.clone().filter(|_| address.same_place(&top.address)),
    })
}

/// Sees to it that the mirror has the commit: all heads, which any server gives out, then the commit by its name.
fn provide(remote: &Remote<'_>, path: &Path, commit: &CommitId) -> Result<(), GitError> {
    let mirror = Mirror::lock(path, Hold::Write)?;
    mirror.sweep()?;
    let attempt = |at: &Path| {
        if has(at, commit)? {
            return Ok(());
        }
        let heads = remote.list()?.into_iter().filter(|a| a.name.starts_with("refs/heads/"));
        let specs: Vec<Spec> = heads
            .map(|a| Spec {
                to: tip_ref(&a.name),
                from: a.name,
            })
            .collect();
        if !specs.is_empty() {
            remote.download(at, &specs, 0)?;
        }
        if has(at, commit)? {
            return Ok(());
        }
        let name = commit.to_string();
        let by_name = remote.download(
            at,
            &[Spec {
                to: tip_ref(&name),
                from: name,
            }],
            0,
        );
        if by_name.is_ok() && has(at, commit)? {
            return Ok(());
        }
        let message = format!("commit {commit} is in no branch of {}", redacted(&remote.spec.url));
        Err(GitError::new(GitErrorKind::Submodule, message)
            .hint("push the submodule's commit before the superproject's"))
    };
    let opened = mirror.open_or_make().map(drop);
    match opened.and_then(|()| attempt(path)) {
        Err(error) if error.kind == GitErrorKind::Corrupt => mirror.renew(attempt),
        other => other,
    }
}

fn has(mirror: &Path, commit: &CommitId) -> Result<bool, GitError> {
    let repo = open(mirror)?;
    match find_commit(&repo, commit) {
        Ok(_) => Ok(true),
        Err(error) if error.kind == GitErrorKind::RefMissing => Ok(false),
        Err(error) => Err(error),
    }
}

/// `path` to `url` of a `.gitmodules`.
fn urls(repo: &Repository, file: Option<&Item>, scratch: &Path) -> Result<BTreeMap<PathBuf, String>, GitError> {
    let failed = |e: git2::Error| {
        GitError::new(
            GitErrorKind::Submodule,
            format!(".gitmodules can't be read: {}", e.message()),
        )
    };
    let Some(item) = file.filter(|i| i.kind != Kind::Link) else {
        return Ok(BTreeMap::new());
    };
    let blob = repo
        .find_blob(item.blob)
        .map_err(|e| GitError::from_git2(&e, "reading .gitmodules"))?;
    // The parser is that of configuration files, which can include others; .gitmodules can't.
    if String::from_utf8_lossy(blob.content())
        .to_ascii_lowercase()
        .contains("[include")
    {
        return Err(GitError::new(
            GitErrorKind::Submodule,
            ".gitmodules includes other files, which is refused",
        ));
    }
    let copy = scratch.join("gitmodules");
    std::fs::write(&copy, blob.content()).map_err(|e| GitError::disk(&copy, &e))?;
    let config = Config::open(&copy).map_err(failed)?;
    let mut found: BTreeMap<String, (Option<String>, Option<String>)> = BTreeMap::new();
    let entries = config.entries(None).map_err(failed)?;
    let read = entries.for_each(|entry| {
        let (Ok(key), Ok(value)) = (entry.name(), entry.value()) else {
            return;
        };
        let Some((name, field)) = key.strip_prefix("submodule.").and_then(|k| k.rsplit_once('.')) else {
            return;
        };
        let both = found.entry(name.to_owned()).or_default();
        match field {
            "path" => both.0 = Some(value.to_owned()),
            "url" => both.1 = Some(value.to_owned()),
            _ => {}
        }
    });
    read.map_err(failed)?;
    Ok(found
        .into_values()
        .filter_map(|(path, url)| Some((PathBuf::from(path?.trim_end_matches('/')), url?)))
        .collect())
}

/// Names the submodule. What is wrong with its remote is a wrong submodule; what may pass keeps its kind.
fn about(path: &Path, mut error: GitError) -> GitError {
    error.message = format!("submodule `{}`: {}", path.display(), error.message);
    if matches!(
        error.kind,
        GitErrorKind::NotFound | GitErrorKind::RefMissing | GitErrorKind::Unsupported
    ) {
        error.kind = GitErrorKind::Submodule;
    }
    error
}
