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
use super::reach::Reach;
use super::remote::{Remote, redacted};
use super::spec::Spec;
use super::tree::{Budget, Item, Kind, list};
use super::wire::RemoteSpec;
use super::{Bounds, CheckoutOptions, GitError, GitErrorKind};
use crate::config::Transport;
use crate::model::{CommitId, GitUrl, words};

/// Submodules of submodules: real ones nest two or three deep.
const DEPTH_MAX: usize = 8;

/// Most submodules in all, nested ones included.
const COUNT_MAX: usize = 256;

/// Largest `.gitmodules` that is read, bytes: [`COUNT_MAX`] entries have a tenth of it.
const MODULES_MAX: usize = 1 << 20;

/// Most of a pusher's URL that a message shows, characters.
const URL_SHOWN: usize = 200;

/// Everything that a commit puts on disk.
#[derive(Default)]
pub(super) struct Plan {
    /// Mirrors that have the blobs; [`Item::source`] is an index into it.
    pub sources: Vec<PathBuf>,
    /// Parents before children.
    pub directories: Vec<PathBuf>,
    pub items: Vec<Item>,
    /// What of it is left to be listed.
    pub budget: Budget,
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
    bounds: &Bounds,
    missing: Missing,
) -> Result<Plan, GitError> {
    let mut plan = Plan {
        budget: Budget::new(bounds),
        ..Plan::default()
    };
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
    let listing = list(&repo, level.commit, level.prefix, source, &mut plan.budget)?;
    let modules = if listing.gitlinks.is_empty() || !options.submodules {
        BTreeMap::new()
    } else {
        let place = level.prefix.join(".gitmodules");
        modules(
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
        let module = modules.get(path.strip_prefix(level.prefix).unwrap_or(&path));
        if module.is_some_and(|module| module.skipped) {
            continue;
        }
        let url = module.and_then(|module| module.url.as_ref());
        let done =
            parse_id(commit).and_then(|commit| add_submodule(level, top, url, &path, &commit, options, missing, plan));
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
        return refuse(".gitmodules of the same commit gives no URL for it".to_owned());
    };
    let Some(full) = resolve(&level.remote.spec.url, url) else {
        return refuse(format!("its URL {} leads out of the remote", shown(url)));
    };
    let full: GitUrl = match full.parse() {
        Ok(full) => full,
        Err(error) => return refuse(format!("its URL {} is refused: {error}", shown(&full))),
    };
    let reach = reach(&full, top)?;
    let remote = top.submodule(spec(&full, top)?, reach)?;
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

/// A URL of a pusher, for messages.
fn shown(url: &str) -> String {
    words::shown(&redacted(url), URL_SHOWN)
}

/// Whether a submodule may be at this URL, and what is left to judge of its addresses: by https, http or ssh, from local remotes
/// also locally.
fn reach(url: &GitUrl, top: &Remote<'_>) -> Result<Option<Reach>, GitError> {
    let refuse = |why: &str| GitError::new(GitErrorKind::Submodule, format!("its URL {} {why}", shown(url)));
    let address = Address::parse(url).ok_or_else(|| refuse("is not of a kind that hookd supports"))?;
    let is_local = |address: &Address| address.transport == Transport::Local;
    match (is_local(&address), is_local(&top.address)) {
        (true, false) => Err(refuse("is a local path, which the repository of a remote may not name")),
        (false, false) => {
            let by_proxy = top.spec.proxy.is_some() && address.transport != Transport::Ssh;
            Reach::judge(&address, &top.address, &top.spec.submodule_hosts, by_proxy)
        }
        (_, true) => Ok(None),
    }
}

/// How to reach a submodule, with the credentials of the repo only where they belong.
fn spec(url: &GitUrl, top: &Remote<'_>) -> Result<RemoteSpec, GitError> {
    let refuse = |why: &str| GitError::new(GitErrorKind::Submodule, format!("its URL {} {why}", shown(url)));
    let address = Address::parse(url).ok_or_else(|| refuse("is not of a kind that hookd supports"))?;
    let own_key = top.spec.ssh_key.clone().filter(|_| address.host == top.address.host);
    let listed = top.spec.keys.iter().find(|(listed, _)| same_repository(listed, url));
    Ok(RemoteSpec {
        url: url.clone(),
        ssh_key: listed.map(|(_, file)| file.clone()).or(own_key),
        token: top.spec.token.clone().filter(|_| address.same_place(&top.address)),
        ..top.spec.clone()
    })
}

/// Whether two URLs name one repository of an ssh server: `git@host:a/b.git` and `ssh://git@host/a/b` do.
fn same_repository(one: &str, other: &str) -> bool {
    let place = |url: &str| {
        let address = Address::parse(url).filter(|address| address.transport == Transport::Ssh)?;
        let path = match url.split_once("://") {
            Some((_, rest)) => rest.split_once('/')?.1,
            None => url.rsplit_once(':')?.1,
        };
        let path = path.trim_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path).to_owned();
        Some((address.user, address.host, address.port, path))
    };
    place(one).is_some_and(|found| Some(found) == place(other))
}

/// Sees to it that the mirror has the commit: all heads, which any server gives out, then all tags, then the commit by its name.
fn provide(remote: &Remote<'_>, path: &Path, commit: &CommitId) -> Result<(), GitError> {
    let mirror = Mirror::lock(path, Hold::Write)?;
    mirror.sweep()?;
    let attempt = |at: &Path| {
        if has(at, commit)? {
            return Ok(());
        }
        let listed = remote.list()?;
        for prefix in ["refs/heads/", "refs/tags/"] {
            let names = listed.iter().map(|a| &a.name);
            let names = names.filter(|name| name.starts_with(prefix) && !name.ends_with("^{}"));
            let specs: Vec<Spec> = names
                .map(|name| Spec {
                    to: tip_ref(name),
                    from: name.clone(),
                })
                .collect();
            if !specs.is_empty() {
                remote.download(at, &specs, 0)?;
            }
            if has(at, commit)? {
                return Ok(());
            }
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
        let message = format!(
            "commit {commit} is in no branch and under no tag of {}",
            shown(&remote.spec.url)
        );
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

/// What `.gitmodules` says of a submodule (gitmodules(5)).
#[derive(Default)]
struct Module {
    path: Option<PathBuf>,
    url: Option<String>,
    /// `update = none`: git leaves it out, unless somebody asks for it by name.
    skipped: bool,
}

/// The submodules of a `.gitmodules`, by their paths.
fn modules(repo: &Repository, file: Option<&Item>, scratch: &Path) -> Result<BTreeMap<PathBuf, Module>, GitError> {
    let failed = |e: git2::Error| {
        GitError::new(
            GitErrorKind::Submodule,
            format!(".gitmodules can't be read: {}", e.message()),
        )
    };
    let Some(item) = file.filter(|i| i.kind != Kind::Link) else {
        return Ok(BTreeMap::new());
    };
    let reading = |e: git2::Error| GitError::from_git2(&e, "reading .gitmodules");
    let size = repo
        .odb()
        .and_then(|odb| odb.read_header(item.blob))
        .map_err(reading)?
        .0;
    if size > MODULES_MAX {
        let message = format!(".gitmodules has {size} bytes, and {MODULES_MAX} are the most that is read");
        return Err(GitError::new(GitErrorKind::Submodule, message));
    }
    let blob = repo.find_blob(item.blob).map_err(reading)?;
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
    let mut found: BTreeMap<String, Module> = BTreeMap::new();
    let entries = config.entries(None).map_err(failed)?;
    let read = entries.for_each(|entry| {
        let (Ok(key), Ok(value)) = (entry.name(), entry.value()) else {
            return;
        };
        let Some((name, field)) = key.strip_prefix("submodule.").and_then(|k| k.rsplit_once('.')) else {
            return;
        };
        let module = found.entry(name.to_owned()).or_default();
        match field {
            "path" => module.path = Some(PathBuf::from(value.trim_end_matches('/'))),
            "url" => module.url = Some(value.to_owned()),
            "update" => module.skipped = value == "none",
            _ => {}
        }
    });
    read.map_err(failed)?;
    let by_path = |module: Module| Some((module.path.clone()?, module));
    Ok(found.into_values().filter_map(by_path).collect())
}

/// Names the submodule. An error of its remote becomes an error of the submodule; a temporary one keeps its kind.
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
