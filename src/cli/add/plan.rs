//! What `hookd add` is about to make, all of it known before anything is made.

use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;
use url::Url;

use super::host_key::{git, host_key};
use super::options::Add;
use crate::cli::output::{Code, Failure};
use crate::cli::reload::running;
use crate::config::{self, Config, Repo, Secrets, Transport};
use crate::deploy::access;
use crate::exec;
use crate::git::GitErrorKind;
use crate::machine::{self, Machine};
use crate::model::{RepoName, TargetName};
use crate::setup::{Fragment, Header, Place};

/// Everything that is known before anything is made.
pub(super) struct Plan {
    pub(super) name: RepoName,
    pub(super) target: TargetName,
    pub(super) place: Place,
    pub(super) fragment: Fragment,
    pub(super) config: Config,
    /// Lines for the file of host keys, if it is to be made, and what is told of them.
    pub(super) host_key: Option<(String, String)>,
    /// The drop-in that lets the unit write there.
    pub(super) opening: Option<(PathBuf, String)>,
    /// The polkit rule by which `reload` may ask systemd for what it asks for, and nothing else.
    pub(super) rule: Option<(PathBuf, String)>,
    pub(super) machine: Machine,
}

fn usage(message: impl Into<String>) -> Failure {
    Failure::new(Code::Usage, message)
}

/// `https://github.com/alice/blog.git` is called `blog`, in letters that names have.
fn name_of(url: &str) -> String {
    let path = url.trim_end_matches('/').trim_end_matches(".git").trim_end_matches('/');
    let last = path.rsplit(['/', ':']).next().unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let name: String = last.chars().map(|c| if plain(c) { c } else { '-' }).collect();
    name.trim_start_matches(['-', '.']).to_owned()
}

/// A path of this machine means the place where it was typed.
fn absolute(url: &str) -> String {
    let first = url.split('/').next().unwrap_or_default();
    if url.contains("://") || first.contains(':') {
        return url.to_owned();
    }
    std::path::absolute(url).map_or_else(|_| url.to_owned(), |path| path.display().to_string())
}

/// `https://blog.example.org` gets the path that hookd answers at; one with a path is taken as it is.
fn webhook(base: &str, name: &RepoName) -> Result<String, Failure> {
    let mut url: Url = base.parse().map_err(|e| usage(format!("--hook-url {base}: {e}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(usage(format!(
            "--hook-url {base}: begins neither with https:// nor with http://"
        )));
    }
    if url.path() == "/" {
        url.set_path(&format!("/hook/{name}"));
    }
    Ok(url.to_string())
}

/// The configuration with this drop-in, or everything that is wrong with it.
fn checked(place: &Place, name: &RepoName, text: &str) -> Result<Config, Failure> {
    let loaded = if place.config.exists() {
        config::load_with(&place.config, &place.fragment(name), Some(text))
    } else {
        config::parse(&place.config, text, &|variable| std::env::var_os(variable))
    };
    loaded.map(|loaded| loaded.config).map_err(|report| {
        eprintln!("{report}\n");
        Failure::new(
            Code::Config,
            format!("adding repo {name} makes the configuration invalid; nothing was changed"),
        )
    })
}

pub(super) async fn plan(config: &Path, json: bool, options: &Add) -> Result<Plan, Failure> {
    let url = absolute(&options.url);
    let named = options.name.clone().unwrap_or_else(|| name_of(&url));
    let name: RepoName = named
        .parse()
        .map_err(|e| usage(format!("the repo can't be called {named:?}: {e}")).hint("--name NAME".to_owned()))?;
    let target: TargetName = options
        .target
        .parse()
        .map_err(|e| usage(format!("--target {}: {e}", options.target)))?;
    let machine = Machine::look(config, running(config).await).await;
    let place = Place::new(config, &machine).ok_or_else(|| {
        Failure::failed("the user that the unit runs hookd as does not exist")
            .hint("systemd-sysusers hookd.conf".to_owned())
    })?;
    may_write(&place)?;
    let path = options
        .path
        .clone()
        .unwrap_or_else(|| Path::new("/srv").join(name.as_str()));
    let path = std::path::absolute(&path).unwrap_or(path);
    let options_of_target = [
        ("build", &options.build),
        ("reload", &options.reload),
        ("check", &options.check),
    ];
    let mut fragment = Fragment {
        repo: name.to_string(),
        url,
        forge: options.forge.clone(),
        full_name: options.full_name.clone(),
        secret: place.secret(&name),
        target: target.to_string(),
        follows: match &options.tag {
            Some(tag) => ("tag", tag.clone()),
            None => ("branch", options.branch.clone()),
        },
        path,
        options: options_of_target
            .iter()
            .filter_map(|(key, value)| Some((*key, (*value).clone()?)))
            .collect(),
        webhook: options
            .hook_url
            .as_deref()
            .map(|base| webhook(base, &name))
            .transpose()?,
        ..Fragment::default()
    };
    let before = existing(&place, &name)?;
    if fragment.webhook.is_none() {
        fragment.webhook = before.as_deref().and_then(|text| Header::read(text).webhook);
    }
    let first = checked(&place, &name, &fragment.text())?;
    let mut host_key = None;
    let repo = one(&first, &name)?;
    if repo.remote.transport == Transport::Ssh {
        fragment.ssh_key = Some(place.key(&name));
        host_key = self::host_key(&first, repo, &place, options, json).await?;
        if host_key.is_some() || place.known_hosts(&name).exists() {
            fragment.known_hosts = Some(place.known_hosts(&name));
        }
    } else {
        asked(&first, repo, &fragment).await?;
    }
    let text = fragment.text();
    // One of both is in force while the secret is replaced.
    let mut both = fragment.clone();
    both.next_secret = Some(place.next_secret(&name));
    if before.is_some_and(|before| before != text && before != both.text()) {
        return Err(
            Failure::failed(format!("repo {name} already exists, with other settings")).hint(format!(
                "edit {}, or: hookd remove {name}",
                place.fragment(&name).display()
            )),
        );
    }
    let opening = opening(&machine, &name, &target, &fragment.path);
    let config = checked(&place, &name, &text)?;
    Ok(Plan {
        rule: rule(&machine, one(&config, &name)?),
        config,
        name,
        target,
        place,
        fragment,
        host_key,
        opening,
        machine,
    })
}

pub(super) fn one<'c>(config: &'c Config, name: &RepoName) -> Result<&'c Repo, Failure> {
    let repo = config.repos.get(name).map(AsRef::as_ref);
    repo.ok_or_else(|| Failure::failed(format!("repo {name} is not in the configuration")))
}

/// Whoever may not write beside the configuration learns it before anything else.
pub(in crate::cli) fn may_write(place: &Place) -> Result<(), Failure> {
    let there = place
        .drop_ins
        .ancestors()
        .find(|part| part.exists())
        .unwrap_or(Path::new("/"));
    nix::unistd::access(there, nix::unistd::AccessFlags::W_OK).map_err(|error| {
        Failure::failed(format!("{} can't be written: {}", there.display(), error.desc()))
            .hint("run it with sudo, or name a configuration of your own: --config FILE".to_owned())
    })
}

/// The drop-in of that repo, which must be one of ours.
fn existing(place: &Place, name: &RepoName) -> Result<Option<String>, Failure> {
    let file = place.fragment(name);
    match std::fs::read_to_string(&file) {
        Ok(text) if Header::read(&text).ours => Ok(Some(text)),
        Ok(_) => Err(
            Failure::failed(format!("{} is there, and hookd add did not make it", file.display()))
                .hint("--name NAME gives the new repo another name".to_owned()),
        ),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::failed(format!("{}: {error}", file.display()))),
    }
}

/// The drop-in of the unit that a target outside of what it may write needs.
fn opening(machine: &Machine, name: &RepoName, target: &TargetName, path: &Path) -> Option<(PathBuf, String)> {
    let unit = machine.unit.as_ref()?;
    let block = machine::block(&unit.text, path).filter(|block| *block != machine::Block::Temporary)?;
    let settings = machine::opening(block, path).join("\n");
    Some((
        machine::drop_in_file(&format!("{name}-{target}")),
        format!("[Service]\n{settings}\n"),
    ))
}

/// The polkit rule that a `reload` needs, where there is a polkit to read it.
fn rule(machine: &Machine, repo: &Repo) -> Option<(PathBuf, String)> {
    let needed = machine.root() && machine.managed();
    let daemon = machine.daemon.as_ref().filter(|daemon| needed && daemon.uid != 0)?;
    let mut targets = repo.targets.values();
    let rule = targets.find_map(|target| exec::reload_rule(target, &daemon.name))?;
    rule.path.parent()?.is_dir().then_some((rule.path, rule.text))
}

/// Whether the remote has what is to be followed; it is asked before anything is made.
async fn asked(config: &Config, repo: &Repo, fragment: &Fragment) -> Result<(), Failure> {
    let access = access(config, &Secrets::default(), repo);
    let refs = git()
        .ls_remote(&access, &CancellationToken::new())
        .await
        .map_err(|error| {
            let private = matches!(error.kind, GitErrorKind::Authentication);
            let hint = if private {
                Some("for a private repository give the ssh URL: hookd makes a deploy key for it".to_owned())
            } else {
                error.hint
            };
            Failure::failed(format!("{}: {}", repo.remote.url, error.message)).hint(hint)
        })?;
    let names = || refs.iter().map(|listed| listed.name.as_str());
    let followed = |name: &str| {
        let name = name.parse().ok();
        name.is_some_and(|name| repo.targets.values().any(|target| target.refs.follows(&name)))
    };
    // An empty repository, and one that has no tags yet, will have them.
    if refs.is_empty() || names().any(followed) || fragment.follows.0 == "tag" {
        return Ok(());
    }
    let branches: Vec<&str> = names()
        .filter_map(|name| name.strip_prefix("refs/heads/"))
        .take(10)
        .collect();
    Err(
        Failure::failed(format!("{} has no branch {}", repo.remote.url, fragment.follows.1))
            .hint(format!("it has: {}; --branch says which", branches.join(", "))),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repos_are_called_like_the_last_part_of_their_url() {
        for (url, name) in [
            ("https://github.com/alice/blog.git", "blog"),
            ("git@github.com:alice/my.site", "my.site"),
            ("git@host:blog", "blog"),
            ("/srv/git/a b.git/", "a-b"),
            ("https://h/.github", "github"),
        ] {
            assert_eq!(name_of(url), name, "{url}");
        }
    }

    #[test]
    fn the_webhook_gets_its_path() {
        let name: RepoName = "blog".parse().unwrap();
        let of = |base: &str| webhook(base, &name).unwrap();
        assert_eq!(of("https://a.example"), "https://a.example/hook/blog");
        assert_eq!(of("https://a.example/in/blog"), "https://a.example/in/blog");
        assert!(webhook("ftp://a.example", &name).is_err() && webhook("a.example", &name).is_err());
    }
}
