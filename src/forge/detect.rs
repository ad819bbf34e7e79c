//! Which forge a delivery comes from: by its headers, in an order that counts, or else by the shape of its JSON.

use http::HeaderMap;
use serde_json::Value;

use super::delivery::header;
use super::fields::{first_text, has, has_object, text};
use super::scheme;
use crate::config::ForgeKind;

/// Event headers in the order in which they are looked for. Forgejo sends those of Gitea, Gogs and GitHub too, Gitea those
/// of Gogs and GitHub, Gogs that of GitHub: the first that is there tells.
const EVENT_HEADERS: &[(&str, ForgeKind)] = &[
    ("x-gitee-event", ForgeKind::Gitee),
    ("x-forgejo-event", ForgeKind::Forgejo),
    ("x-gitea-event", ForgeKind::Gitea),
    ("x-gogs-event", ForgeKind::Gogs),
    ("x-github-event", ForgeKind::GitHub),
    ("x-gitlab-event", ForgeKind::GitLab),
    ("x-event-key", ForgeKind::Bitbucket),
    ("x-webhook-event", ForgeKind::SourceHut),
    ("x-pagure-topic", ForgeKind::Pagure),
];

/// What is left when no event header is there: such a delivery can still be verified, and then be told what it lacks.
const SIGNATURE_HEADERS: &[(&str, ForgeKind)] = &[
    ("x-gitee-token", ForgeKind::Gitee),
    ("x-forgejo-signature", ForgeKind::Forgejo),
    ("x-gitea-signature", ForgeKind::Gitea),
    ("x-gogs-signature", ForgeKind::Gogs),
    ("x-hub-signature-256", ForgeKind::GitHub),
    ("x-hub-signature", ForgeKind::GitHub),
    ("x-gitlab-token", ForgeKind::GitLab),
    ("x-payload-signature", ForgeKind::SourceHut),
    ("x-pagure-signature-256", ForgeKind::Pagure),
    ("x-pagure-signature", ForgeKind::Pagure),
    ("webhook-signature", ForgeKind::Standard),
    // Azure DevOps has no header of its own, just basic authentication.
    ("authorization", ForgeKind::AzureDevOps),
];

/// Event keys that only Bitbucket Server and Data Center send; all others are Bitbucket Cloud's.
const SERVER_KEYS: &[&str] = &[
    "repo:refs_changed",
    "repo:modified",
    "repo:forked",
    "repo:secret_detected",
];
/// Beginnings of such keys.
const SERVER_PREFIXES: &[&str] = &["pr:", "diagnostics:", "mirror:", "project:", "repo:comment:"];
/// Beginnings of keys that only Bitbucket Cloud sends.
const CLOUD_PREFIXES: &[&str] = &["pullrequest:", "issue:", "repo:"];

/// The forge's name in the configuration and in every output.
pub fn word(kind: ForgeKind) -> &'static str {
    match kind {
        ForgeKind::GitHub => "github",
        ForgeKind::GitLab => "gitlab",
        ForgeKind::Gitea => "gitea",
        ForgeKind::Forgejo => "forgejo",
        ForgeKind::Gogs => "gogs",
        ForgeKind::Bitbucket => "bitbucket",
        ForgeKind::BitbucketServer => "bitbucket-server",
        ForgeKind::AzureDevOps => "azure-devops",
        ForgeKind::SourceHut => "sourcehut",
        ForgeKind::Pagure => "pagure",
        ForgeKind::Gitee => "gitee",
        ForgeKind::Standard => "standard",
        ForgeKind::Generic => "generic",
    }
}

/// The forge that the headers speak for; none if they say nothing. Never `generic`, which only the configuration can name.
pub fn detect(headers: &HeaderMap) -> Option<ForgeKind> {
    by_event(headers).or_else(|| first_of(SIGNATURE_HEADERS, headers))
}

/// The forge whose event header is there.
pub(super) fn by_event(headers: &HeaderMap) -> Option<ForgeKind> {
    match first_of(EVENT_HEADERS, headers)? {
        ForgeKind::Bitbucket => Some(which_bitbucket(headers)),
        other => Some(other),
    }
}

fn first_of(table: &[(&str, ForgeKind)], headers: &HeaderMap) -> Option<ForgeKind> {
    let found = table.iter().find(|(name, _)| headers.contains_key(*name));
    found.map(|(_, kind)| *kind)
}

/// Bitbucket Cloud and Server share `X-Event-Key`. The key decides; `X-Request-Id` alone may come from a proxy on the way.
fn which_bitbucket(headers: &HeaderMap) -> ForgeKind {
    let key = header(headers, "x-event-key").unwrap_or_default();
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| key.starts_with(prefix));
    let of_cloud = headers.contains_key("x-request-uuid") || headers.contains_key("x-hook-uuid");
    if SERVER_KEYS.contains(&key) || begins(SERVER_PREFIXES) {
        ForgeKind::BitbucketServer
    } else if begins(CLOUD_PREFIXES) || of_cloud || !headers.contains_key("x-request-id") {
        ForgeKind::Bitbucket
    } else {
        ForgeKind::BitbucketServer
    }
}

/// The name of a signature algorithm that hookd does not know, taken from the headers alone, so that the answer is the
/// same whatever repo is asked for: `md5` of `X-Hub-Signature: md5=…`, `v2` of `webhook-signature: v2,…`.
pub fn unsupported_algorithm(headers: &HeaderMap) -> Option<&str> {
    let prefixed = scheme::HEX_HEADERS.iter().filter_map(|name| header(headers, name));
    let hex = prefixed
        .filter_map(scheme::algorithm_name)
        .find(|name| scheme::algorithm(name).is_none());
    hex.or_else(|| {
        let versions = || {
            header(headers, "webhook-signature")
                .into_iter()
                .flat_map(scheme::versions)
        };
        versions()
            .next()
            .filter(|_| !versions().any(|version| scheme::VERSIONS.contains(&version)))
    })
}

/// The forge that headers and JSON together speak for: the headers if they do, else the shape of the JSON.
pub fn detect_with_body(headers: &HeaderMap, body: &Value) -> Option<ForgeKind> {
    // Signature headers are shared by several forges: the body knows better.
    by_event(headers).or_else(|| by_shape(body)).or_else(|| detect(headers))
}

fn by_shape(body: &Value) -> Option<ForgeKind> {
    body.as_object()?;
    let any = |pointers: &[&str]| pointers.iter().any(|pointer| has(body, pointer));
    if text(body, "/eventType").is_some() && any(&["/resource", "/publisherId", "/subscriptionId"]) {
        Some(ForgeKind::AzureDevOps)
    } else if text(body, "/hook_name").is_some_and(|name| name.ends_with("_hooks")) {
        Some(ForgeKind::Gitee)
    } else if text(body, "/topic").is_some() && has_object(body, "/msg") {
        Some(ForgeKind::Pagure)
    } else if text(body, "/object_kind").is_some()
        || (text(body, "/event_name").is_some() && !has(body, "/repository/full_name"))
    {
        Some(ForgeKind::GitLab)
    } else if any(&["/data/webhook/event"]) || (any(&["/refs/0/name"]) && any(&["/pusher/canonical_name", "/push"])) {
        Some(ForgeKind::SourceHut)
    } else if any(&["/eventKey", "/pullRequest", "/repository/project/key"]) && !has(body, "/repository/full_name")
        || *body == serde_json::json!({"test": true})
    {
        Some(ForgeKind::BitbucketServer)
    } else if any(&["/push/changes", "/pullrequest", "/commit_status"])
        || (has(body, "/repository/uuid") && has(body, "/actor"))
    {
        Some(ForgeKind::Bitbucket)
    } else if any(&["/type"]) && any(&["/data", "/timestamp"]) && !has(body, "/repository") {
        Some(ForgeKind::Standard)
    } else {
        hub_like(body)
    }
}

/// GitHub, Gitea, Forgejo and Gogs: one family, told apart by what only one of them writes.
fn hub_like(body: &Value) -> Option<ForgeKind> {
    if has_object(body, "/run") && has(body, "/prior_status") {
        return Some(ForgeKind::Forgejo);
    }
    let marks = [
        "repository",
        "sender",
        "hook",
        "installation",
        "zen",
        "ref",
        "organization",
        "security_advisory",
    ];
    if !marks
        .iter()
        .any(|mark| body.get(mark).is_some_and(|found| !found.is_null()))
    {
        return None;
    }
    if is_github(body) {
        return Some(ForgeKind::GitHub);
    }
    let hosts = [
        "/repository/html_url",
        "/repository/clone_url",
        "/repository/ssh_url",
        "/compare_url",
        "/sender/avatar_url",
    ];
    let named = |word: &str| {
        let host = |address: &str| address.split('/').nth(2).unwrap_or(address).to_ascii_lowercase();
        hosts
            .iter()
            .filter_map(|pointer| text(body, pointer))
            .any(|address| host(address).contains(word))
    };
    let of_forgejo = [
        "wiki_branch",
        "globally_editable_wiki",
        "default_update_style",
        "has_wiki_contents",
    ];
    if named("forgejo") || named("codeberg") || of_forgejo.iter().any(|key| has(body, &format!("/repository/{key}"))) {
        return Some(ForgeKind::Forgejo);
    }
    let of_gitea = [
        "/head_commit",
        "/total_commits",
        "/repository/internal",
        "/repository/permissions",
        "/repository/has_issues",
    ];
    if named("gogs") {
        return Some(ForgeKind::Gogs);
    }
    if named("gitea") || of_gitea.iter().any(|pointer| has(body, pointer)) && first_text(body, GITEA_USER).is_some() {
        return Some(ForgeKind::Gitea);
    }
    // What is left tells little. Gitea has had the permissions in `repository` for long, Gogs has a few of its fields, or
    // none but the name and addresses.
    let of_kin =
        first_text(body, GITEA_USER).is_some() || has(body, "/compare_url") || has(body, "/repository/stars_count");
    Some(match of_kin {
        true if has(body, "/repository/stars_count") => ForgeKind::Gogs,
        true => ForgeKind::Gitea,
        false if is_bare(body) => ForgeKind::Gogs,
        false => ForgeKind::GitHub,
    })
}

/// Gitea and its kin name users twice, as `login` and as `username`; GitHub never has the second.
const GITEA_USER: &[&str] = &["/sender/username", "/pusher/username", "/repository/owner/username"];

fn is_github(body: &Value) -> bool {
    let own = [
        "/zen",
        "/installation/id",
        "/repository/node_id",
        "/sender/node_id",
        "/repository/keys_url",
        "/sender/gists_url",
    ];
    let address = first_text(body, &["/repository/url", "/repository/html_url"]).unwrap_or_default();
    let here = ["https://github.com/", "https://api.github.com/", "http://github.com/"];
    own.iter().any(|pointer| has(body, pointer)) || here.iter().any(|prefix| address.starts_with(prefix))
}

/// Name, full name and addresses, and neither id nor owner.
fn is_bare(body: &Value) -> bool {
    has(body, "/repository/clone_url") && !has(body, "/repository/id") && !has(body, "/repository/owner")
}
