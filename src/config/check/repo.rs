//! `[repo.NAME]`

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::across::Seen;
use super::repo_options::{Forges, RepoOptions};
use super::{server, source_of_secret, target};
use crate::config::forges::{Dispatch, ForgeApi};
use crate::config::raw::Table;
use crate::config::section::Section;
use crate::config::source::At;
use crate::config::types::{Repo, Target};
use crate::config::value::{AllowFrom, Proxy, QueueMode, Remote, SecretSource, Transport};
use crate::config::{ForgeKind, Generic, remote};
use crate::model::{GitUrl, RepoName, TargetName};

/// Longest `event_type` of a `repository_dispatch`, characters (GitHub's `OpenAPI` description).
const EVENT_MAX: usize = 100;

pub(super) fn read(
    name: At<&str>,
    section: &Section,
    notify_names: &[&str],
    forges: &Forges,
    proxy: Option<&Proxy>,
    seen: &mut Seen,
) -> Option<Repo> {
    let repo_name = name.value.parse::<RepoName>();
    if let Err(e) = &repo_name {
        let last = name
            .value
            .rsplit('/')
            .next()
            .filter(|last| last.parse::<RepoName>().is_ok());
        let hint = last.map(|last| format!("write `[repo.{last}]`"));
        section.wrong(name.place, format!("`{}`: {e}", name.value.escape_debug()), hint);
    }
    let remote = url(section);
    let forge = match section.string("forge") {
        Some(text) => section.chosen("forge", text),
        None => remote.as_ref().and_then(|r| ForgeKind::of_host(r.host.as_deref()?)),
    };
    let full_name = full_name(section, remote.as_ref(), forge);
    let secret = secrets(section, forge, seen);
    let token = section
        .string("token")
        .and_then(|text| source_of_secret::parse(section, "token", text));
    if let (Some(entry), Some(remote)) = (section.own("token"), &remote)
        && !matches!(remote.transport, Transport::Https | Transport::Http)
    {
        section.wrong(
            entry.key,
            "`token` is for https remotes",
            "an ssh remote uses `ssh_key`",
        );
    }
    if let (Some(entry), Some(remote)) = (section.own("ssh_key"), &remote)
        && matches!(remote.transport, Transport::Https | Transport::Http)
    {
        let host = remote.host.as_deref().unwrap_or_default();
        let message = "`ssh_key` is not used for `url`, which is no ssh remote";
        let hint = format!("write `url = \"git@{host}:{}.git\"`", remote.path);
        section.problems.warning(entry.key, message, hint);
    }
    let options = RepoOptions::read(section, forges);
    let other = |allowed: &&AllowFrom| matches!(allowed, AllowFrom::Published(published) if forge.is_some_and(|kind| kind != published.kind));
    if let (Some(AllowFrom::Published(published)), Some(entry), Some(kind)) =
        (options.allow_from.iter().find(other), section.own("allow_from"), forge)
    {
        let message = format!(
            "`allow_from` lets in {}, and the webhooks come from {kind}",
            published.name
        );
        section.problems.warning(entry.node.place, message, None);
    }
    let generic = generic(section, forge);
    let public_key = section.string("public_key").and_then(|text| public_key(section, text));
    let auth_header = header(section, "auth_header");
    let targets = targets(name.value, repo_name.as_ref().ok(), section, notify_names, seen);
    depth_is_enough(section, &options, &targets);
    let (repo_name, remote) = (repo_name.ok()?, remote?);
    let full = At {
        value: full_name.clone(),
        place: section.own("full_name").map_or(section.place, |e| e.key),
    };
    seen.full_names.push((name.value.to_owned(), full));
    Some(Repo {
        name: repo_name,
        remote,
        forge,
        full_name,
        secret,
        token,
        proxy: server::proxy(section, proxy),
        keys: keys(section),
        public_key,
        auth_header,
        dispatch: dispatch(section, forges),
        generic,
        targets,
        options,
    })
}

/// `queue = "all"` deploys commits that a fetch with a `depth` may leave out, and `history` shows no more than was fetched.
fn depth_is_enough(section: &Section, options: &RepoOptions, targets: &BTreeMap<TargetName, Arc<Target>>) {
    let all = targets.values().find(|target| target.queue == QueueMode::All);
    if let (Some(target), Some(entry), true) = (all, section.find("depth"), options.depth > 0) {
        let message = format!(
            "`depth` and the `queue = \"all\"` of {} contradict each other: a commit may be missing",
            target.id
        );
        section.wrong(entry.key, message, "leave `depth` out");
    }
    let reads = targets.values().find(|target| target.history);
    if let (Some(target), Some(entry), true) = (reads, section.find("depth"), options.depth > 0) {
        let message = format!(
            "the `history` of {} goes back no further than `depth` fetches",
            target.id
        );
        let hint = "leave `depth` out for the whole history".to_owned();
        section.problems.warning(entry.key, message, hint);
    }
}

/// Private keys by the URLs of submodules.
fn keys(section: &Section) -> Vec<(GitUrl, PathBuf)> {
    let mut keys = Vec::new();
    for (url, file) in section.pairs("keys") {
        let remote = remote::parse(url.value, section.problems.directory(url.place));
        match remote {
            Ok(remote) if remote.transport == Transport::Ssh => {
                keys.extend(section.as_path("keys", file).map(|file| (remote.url, file)));
            }
            Ok(_) => section.wrong(
                url.place,
                "`keys`: only ssh remotes have keys",
                "write \"USER@HOST:PATH\" = \"FILE\"",
            ),
            Err(error) => section.wrong(url.place, format!("`keys`: {error}"), error.hint()),
        }
    }
    keys
}

fn url(section: &Section) -> Option<Remote> {
    section.require(
        "url",
        "the URL that the repository is fetched from, such as https://github.com/alice/blog.git",
    );
    let text = section.string("url")?;
    if let Some((message, hint)) = remote::mistaken(text.value, section.problems.directory(text.place)) {
        section.wrong(text.place, format!("`url`: {message}"), hint);
        return None;
    }
    let remote = remote::parse(text.value, section.problems.directory(text.place));
    let remote = remote
        .map_err(|e| section.wrong(text.place, format!("`url`: {e}"), e.hint()))
        .ok()?;
    if remote.transport == Transport::Http && !remote.host.as_deref().is_some_and(is_loopback) {
        let message = "plain http: whoever sits between can change what is deployed";
        section.problems.warning(text.place, message, "use https or ssh");
    }
    Some(remote)
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn full_name(section: &Section, remote: Option<&Remote>, forge: Option<ForgeKind>) -> String {
    if let Some(text) = section.string("full_name") {
        if text.value.contains(char::is_control) || text.value.starts_with('/') {
            let hint = "the name that the forge shows, such as alice/blog".to_owned();
            section.wrong(text.place, "`full_name` is not the name of a repository", hint);
        } else if let Some(meant) = remote::meant_name(text.value) {
            section.wrong(
                text.place,
                "`full_name` is the name alone, as the forge shows it",
                format!("write \"{meant}\""),
            );
        }
        return text.value.to_owned();
    }
    remote
        .map(|remote| remote::full_name(remote, forge))
        .unwrap_or_default()
}

fn secrets(section: &Section, forge: Option<ForgeKind>, seen: &mut Seen) -> Vec<SecretSource> {
    // A sender with a key pair shares no secret with anybody; without one of the two nothing is believed.
    if section.own("public_key").is_none() && forge != Some(ForgeKind::SourceHut) {
        section.require(
            "secret",
            "a repo is never open to everybody; write \"credential:NAME\", \"file:PATH\" or \"env:VAR\"",
        );
    }
    if let Some(repo) = section.name.strip_prefix("repo.") {
        seen.note(
            &format!("repo.{repo}.secret"),
            section.strings("secret").into_iter().flat_map(|list| list.value),
        );
        seen.note(&format!("repo.{repo}.token"), section.string("token"));
    }
    let texts = section
        .some_strings("secret")
        .map(|list| list.value)
        .unwrap_or_default();
    let open = texts.iter().find(|text| text.value == "insecure-none");
    if let Some(open) = open {
        seen.insecure.push(open.place);
        if texts.len() > 1 {
            section.wrong(
                open.place,
                "`insecure-none` cannot be combined with another secret",
                None,
            );
        }
    }
    texts
        .iter()
        .filter_map(|text| source_of_secret::parse(section, "secret", *text))
        .collect()
}

fn header(section: &Section, key: &str) -> Option<String> {
    let text = section.string(key)?;
    if http::HeaderName::from_bytes(text.value.as_bytes()).is_err() {
        let message = format!("`{key}`: `{}` is not the name of a header", text.value.escape_debug());
        section.wrong(text.place, message, None);
    }
    Some(text.value.to_owned())
}

/// 32 bytes in base64, with or without the `whpk_` of Standard Webhooks, or in hexadecimal, that are a point of the curve.
fn public_key(section: &Section, text: At<&str>) -> Option<[u8; 32]> {
    let bare = text.value.strip_prefix("whpk_").unwrap_or(text.value);
    let bytes = hex::decode(bare).ok().or_else(|| STANDARD.decode(bare).ok());
    let key: Option<[u8; 32]> = bytes.and_then(|bytes| bytes.try_into().ok());
    let key = key.filter(|key| ed25519_dalek::VerifyingKey::from_bytes(key).is_ok());
    if key.is_none() {
        let hint = "it has 32 bytes, which are 44 characters of base64 or 64 of hexadecimal".to_owned();
        section.wrong(text.place, "`public_key` is not an Ed25519 key", hint);
    }
    key
}

fn dispatch(section: &Section, forges: &Forges) -> Option<Dispatch> {
    let s = section.sub("dispatch", "repo.NAME.dispatch")?;
    s.require("repo", "the repository that gets the event, such as alice/docs");
    let may_send = |api: &ForgeApi| api.kind == ForgeKind::GitHub && api.token.is_some();
    if !forges.values().any(may_send) {
        let hint = "[forge.github] token = \"file:/etc/hookd/github.token\"".to_owned();
        let message = "`dispatch` sends nothing: no `[forge.NAME]` of GitHub has a token";
        s.problems.warning(s.place, message, hint);
    }
    let (repo, event) = (s.string("repo"), s.string("event"));
    if let Some(event) = event.filter(|text| text.value.chars().count() > EVENT_MAX) {
        s.wrong(
            event.place,
            format!("`event` is longer than {EVENT_MAX} characters"),
            None,
        );
    }
    let repo = repo?;
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if !repo
        .value
        .split_once('/')
        .is_some_and(|(owner, name)| plain(owner) && plain(name))
    {
        let hint = "write OWNER/NAME, as GitHub shows it, such as alice/docs".to_owned();
        s.wrong(repo.place, "`repo` is not the name of a repository at GitHub", hint);
    }
    Some(Dispatch {
        repo: repo.value.to_owned(),
        event: event.map_or_else(|| s.usual("event"), |text| text.value.to_owned()),
    })
}

fn generic(section: &Section, forge: Option<ForgeKind>) -> Generic {
    let empty = Table::new();
    let given = section.sub("generic", "repo.NAME.generic");
    let s = given.unwrap_or_else(|| Section::empty("repo.NAME.generic", &empty, section.problems));
    let header = |key| header(&s, key).unwrap_or_else(|| s.usual(key));
    let pointer = |key| pointer(&s, key).unwrap_or_else(|| s.usual(key));
    if forge != Some(ForgeKind::Generic) && section.own("generic").is_some() {
        let told = forge.map_or("not given".to_owned(), |kind| format!("`{kind}`"));
        let message = format!("`[{}]` is for `forge = \"generic\"`, and the forge is {told}", s.name);
        s.wrong(s.place, message, None);
    }
    Generic {
        header: header("header"),
        algorithm: s.choice("algorithm"),
        encoding: s.choice("encoding"),
        prefix: s
            .text("prefix")
            .map_or_else(|| s.usual("prefix"), |text| text.value.to_owned()),
        repo: pointer("repo"),
        git_ref: pointer("ref"),
        commit: pointer("commit"),
        delivery_header: header("delivery_header"),
    }
}

/// A JSON pointer (RFC 6901) to something within the payload.
fn pointer(section: &Section, key: &str) -> Option<String> {
    let text = section.string(key)?;
    if !text.value.starts_with('/') {
        let hint = "it begins with `/`, such as /repository/full_name".to_owned();
        section.wrong(text.place, format!("`{key}` is not a JSON pointer"), hint);
    }
    Some(text.value.to_owned())
}

fn targets(
    repo: &str,
    repo_name: Option<&RepoName>,
    section: &Section,
    notify_names: &[&str],
    seen: &mut Seen,
) -> BTreeMap<TargetName, Arc<Target>> {
    let sections = section.targets();
    if sections.is_empty() {
        let message = format!("`{repo}` has no target: nothing is ever deployed");
        section
            .problems
            .warning(section.place, message, format!("add `[repo.{repo}.deploy.NAME]`"));
    }
    let mut targets = BTreeMap::new();
    for (name, section) in sections {
        if let Some(target) = target::read(repo, repo_name, name, &section, notify_names, seen) {
            targets.insert(target.id.target.clone(), Arc::new(target));
        }
    }
    targets
}
