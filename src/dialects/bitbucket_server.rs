//! Bitbucket Server and Data Center: any number of ref changes in one `repo:refs_changed`.

use http::HeaderMap;
use serde_json::{Value, json};

use super::dialect::{BASE, Dialect, Named};
use super::error::ParseError;
use super::fields::{all_by, branch_ref, commit, each, first_text, has, header, list, owned, ref_change, text};
use super::hub;
use super::sample::{Sample, WHO};
use super::signing::{self, Headers};
use crate::model::{Action, Event, EventKind, Secret};

/// Event keys that only Bitbucket Server and Data Center send; all others are Bitbucket Cloud's.
const OWN_KEYS: &[&str] = &[
    "repo:refs_changed",
    "repo:modified",
    "repo:forked",
    "repo:secret_detected",
    "project:modified",
];
/// Beginnings of such keys.
const OWN_PREFIXES: &[&str] = &["pr:", "diagnostics:", "mirror:", "repo:comment:"];
/// Beginnings of keys that only Bitbucket Cloud sends.
const CLOUD_PREFIXES: &[&str] = &["pullrequest:", "issue:", "repo:", "project:"];

/// The dialect of Bitbucket Server and Data Center.
pub(super) static DIALECT: Dialect = Dialect {
    event: Named::Header("X-Event-Key"),
    delivery: &[Named::Header("X-Request-Id")],
    is_sender,
    hex: hub::SIGNATURES,
    is_body: |body| {
        let marked = [
            "/eventKey",
            "/pullRequest",
            "/repository/project/key",
            "/new/project/key",
        ]
        .iter()
        .any(|mark| has(body, mark));
        marked && !has(body, "/repository/full_name") || *body == json!({"test": true})
    },
    infer,
    repo,
    read,
    check: |request| request.hex(hub::SIGNATURES, request.raw),
    sample,
    sign: |secret, body, _| Ok(signature(secret, body)),
    name_at: |parts, _| match parts {
        // https://HOST/projects/KEY/repos/SLUG and /users/NAME/repos/SLUG are pages; https://HOST/scm/KEY/SLUG.git is cloned.
        [.., "projects", key, "repos", slug] => format!("{key}/{slug}"),
        [.., "users", name, "repos", slug] => format!("~{name}/{slug}"),
        [.., owner, name] => format!("{owner}/{name}"),
        other => other.join("/"),
    },
    page: |origin, _, path| {
        let (project, name) = path.strip_prefix("scm/").unwrap_or(path).split_once('/')?;
        let (kind, owner) = match project.strip_prefix('~') {
            Some(user) => ("users", user),
            None => ("projects", project),
        };
        Some(format!("{origin}/{kind}/{owner}/repos/{name}"))
    },
    commit_page: "/commits/",
    compare_page: |from, to| Some(format!("/compare/commits?sourceBranch={to}&targetBranch={from}")),
    ..BASE
};

/// Bitbucket Cloud sends `X-Event-Key` too. The key decides; `X-Request-Id` alone may come from a proxy on the way.
pub(super) fn is_sender(headers: &HeaderMap) -> bool {
    let key = header(headers, "x-event-key").unwrap_or_default();
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| key.starts_with(prefix));
    let of_cloud = headers.contains_key("x-request-uuid") || headers.contains_key("x-hook-uuid");
    OWN_KEYS.contains(&key)
        || begins(OWN_PREFIXES)
        || !(begins(CLOUD_PREFIXES) || of_cloud) && headers.contains_key("x-request-id")
}

/// The header of the signature, as Bitbucket Cloud sends it too.
pub(super) fn signature(secret: &Secret, body: &[u8]) -> Headers {
    signing::one("X-Hub-Signature", format!("sha256={}", signing::sha256(secret, body)))
}

/// The body names its own event, but for the connection test.
fn infer(body: &Value) -> Option<String> {
    let guess = if has(body, "/test") {
        "diagnostics:ping"
    } else if has(body, "/changes") {
        "repo:refs_changed"
    } else if has(body, "/pullRequest") {
        "pr:modified"
    } else if has(body, "/new/slug") && has(body, "/old/slug") {
        "repo:modified"
    } else {
        return owned(body, &["/eventKey"]);
    };
    Some(text(body, "/eventKey").unwrap_or(guess).to_owned())
}

/// Full name, `KEY/slug`; that of the target for a pull request, whose body has no other.
fn repo(body: &Value) -> Option<String> {
    ["/repository", "/pullRequest/toRef/repository", "/new"]
        .into_iter()
        .find_map(|at| {
            let repo = body.pointer(at)?;
            Some(format!("{}/{}", text(repo, "/project/key")?, text(repo, "/slug")?))
        })
}

/// The events of one delivery. Source: Atlassian "Event payload", Bitbucket Server 8 and Data Center 9.
fn read(event: &str, body: &Value) -> Result<Vec<Event>, ParseError> {
    if text(body, "/eventKey").is_some_and(|key| key != event) {
        return Err(ParseError::ShapeMismatch);
    }
    let events = match event {
        // Mirrors tell of the same changes once they have them, and not of which if there are many.
        "mirror:repo_synchronized" if !has(body, "/changes") => {
            vec![Event::new(EventKind::Other, "push", Action::Other(event.to_owned()))]
        }
        "repo:refs_changed" | "mirror:repo_synchronized" => push(body)?,
        "diagnostics:ping" => vec![ping(body)?],
        _ if event.starts_with("pr:") => vec![pull_request(event, body)?],
        _ if has(body, "/changes") => return Err(ParseError::ShapeMismatch),
        _ => vec![Event::new(EventKind::Other, event, Action::Other(event.to_owned()))],
    };
    let actor = owned(body, &["/actor/name", "/actor/slug", "/actor/displayName"]);
    Ok(all_by(events, repo(body).as_deref(), actor.as_deref()))
}

fn ping(body: &Value) -> Result<Event, ParseError> {
    if has(body, "/changes") || has(body, "/pullRequest") {
        return Err(ParseError::ShapeMismatch);
    }
    Ok(Event::new(EventKind::Ping, "ping", Action::Other("ping".into())))
}

fn push(body: &Value) -> Result<Vec<Event>, ParseError> {
    if body.get("changes").is_none_or(|changes| !changes.is_array()) {
        return Err(if has(body, "/repository") {
            ParseError::MissingField("/changes".into())
        } else {
            ParseError::ShapeMismatch
        });
    }
    each(list(body, "/changes"), |one| change(one, body))
}

fn change(change: &Value, body: &Value) -> Result<Event, ParseError> {
    let missing = |pointer: &'static str| ParseError::MissingField(pointer.into());
    let git_ref = first_text(change, &["/ref/id", "/refId"]).ok_or_else(|| missing("/changes/*/ref/id"))?;
    let after = commit(change, "/toHash").ok_or_else(|| missing("/changes/*/toHash"))?;
    let is_head = text(body, "/toCommit/id") == Some(after.as_str());
    let mut event = ref_change("push", git_ref.to_owned(), commit(change, "/fromHash"), Some(after));
    match text(change, "/type") {
        Some("DELETE") => event.action = Action::Delete,
        Some("ADD") if event.action == Action::Update => event.action = Action::Create,
        _ => {}
    }
    event.head_message = owned(body, &["/toCommit/message"]).filter(|_| is_head);
    Ok(event)
}

fn pull_request(key: &str, body: &Value) -> Result<Event, ParseError> {
    if !has(body, "/pullRequest") {
        return Err(ParseError::ShapeMismatch);
    }
    let merged = key == "pr:merged";
    if merged && text(body, "/pullRequest/state").is_some_and(|state| state != "MERGED") {
        return Err(ParseError::ShapeMismatch);
    }
    let side = |name: &str| body.pointer(&format!("/pullRequest/{name}/repository/id"));
    let word = key.trim_start_matches("pr:");
    Ok(Event {
        git_ref: first_text(body, &["/pullRequest/toRef/id", "/pullRequest/toRef/displayId"]).map(branch_ref),
        after: commit(body, "/pullRequest/properties/mergeCommit/id").filter(|_| merged),
        success: merged,
        foreign: !merged && side("fromRef") != side("toRef"),
        ..Event::new(
            EventKind::Other,
            "pull_request",
            Action::Other(if merged { "merged" } else { word }.to_owned()),
        )
    })
}

fn sample(push: &Sample<'_>) -> Value {
    let (project, slug) = push.parts();
    let (before, after) = push.ends();
    let kind = match (push.before.is_zero(), push.after.is_zero()) {
        (_, true) => "DELETE",
        (true, false) => "ADD",
        (false, false) => "UPDATE",
    };
    let git_ref = json!({
        "id": push.git_ref.as_str(), "displayId": push.git_ref.short(), "type": push.ref_type().to_ascii_uppercase(),
    });
    json!({
        "eventKey": "repo:refs_changed", "actor": {"name": WHO, "slug": WHO},
        "repository": {"slug": slug, "name": slug, "project": {"key": project}},
        "changes": [{"ref": git_ref, "refId": push.git_ref.as_str(), "fromHash": before, "toHash": after, "type": kind}],
    })
}
