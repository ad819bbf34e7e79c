//! Azure DevOps: no signature, no headers of its own, several ref updates in one `git.push`.

use serde_json::{Value, json};

use super::dialect::{BASE, Dialect, Named};
use super::error::{ParseError, Rejection};
use super::fields::{all_by, commit, each, first_text, has, list, owned, ref_change, text};
use super::request::{Request, fits};
use super::sample::{Sample, WHO};
use super::scheme::{any_equal, base64_bytes, base64_text};
use super::signing;
use crate::model::{Action, Event, EventKind};

/// The dialect of Azure DevOps.
pub(super) static DIALECT: Dialect = Dialect {
    event: Named::Body("/eventType"),
    delivery: &[Named::Body("/id")],
    hosts: &["dev.azure.com", "ssh.dev.azure.com"],
    domains: &["visualstudio.com"],
    is_body: |body| {
        let mut places = ["/resource", "/publisherId", "/subscriptionId"].iter();
        text(body, "/eventType").is_some() && places.any(|place| has(body, place))
    },
    infer,
    repo,
    read,
    may_be_unnamed: true,
    check,
    covers_body: false,
    sample,
    sign: |secret, _, with| {
        if let Some(name) = with.auth_header {
            return Ok(signing::one(name, signing::header_text(secret)?.to_owned()));
        }
        let pair = [b"hookd:", secret.expose()].concat();
        Ok(signing::one("Authorization", format!("Basic {}", base64_text(&pair))))
    },
    name_at,
    page: |origin, host, path| {
        if host != "ssh.dev.azure.com" {
            return Some(format!("{origin}/{path}"));
        }
        let [organisation, project, name] = path.strip_prefix("v3/")?.split('/').collect::<Vec<_>>()[..] else {
            return None;
        };
        Some(format!("https://dev.azure.com/{organisation}/{project}/_git/{name}"))
    },
    compare_page: |from, to| Some(format!("/branchCompare?baseVersion=GC{from}&targetVersion=GC{to}")),
    ..BASE
};

/// The body names its own event.
fn infer(body: &Value) -> Option<String> {
    owned(body, &["/eventType"])
}

/// Full name, `project/repository`; both may hold spaces.
fn repo(body: &Value) -> Option<String> {
    let project = first_text(body, &["/resource/repository/project/name", "/resource/project/name"])?;
    Some(format!("{project}/{}", text(body, "/resource/repository/name")?))
}

/// The events of one delivery. Source: azure-devops-docs `docs/service-hooks/events.md`.
fn read(event: &str, body: &Value) -> Result<Vec<Event>, ParseError> {
    if text(body, "/eventType").is_none() {
        return Err(ParseError::MissingField("/eventType".into()));
    }
    let events = match event {
        "git.push" => push(body)?,
        "build.complete" => vec![build(body)],
        "git.pullrequest.merged" => vec![pull_request(body)],
        _ => vec![Event::new(EventKind::Other, event, Action::Other(event.to_owned()))],
    };
    let people = [
        "/resource/pushedBy/uniqueName",
        "/resource/pushedBy/displayName",
        "/resource/requestedFor/uniqueName",
    ];
    let pusher = owned(body, &people);
    Ok(all_by(events, repo(body).as_deref(), pusher.as_deref()))
}

fn push(body: &Value) -> Result<Vec<Event>, ParseError> {
    // "Resource details to send: Minimal" leaves the updates out: a push, but nobody knows of what.
    if !has(body, "/resource/refUpdates") {
        return Ok(vec![Event::new(
            EventKind::Other,
            "push",
            Action::Other("git.push".into()),
        )]);
    }
    let missing = |pointer: &'static str| ParseError::MissingField(pointer.into());
    let update = |update: &Value| {
        let name = text(update, "/name").ok_or_else(|| missing("/resource/refUpdates/*/name"))?;
        let after = commit(update, "/newObjectId").ok_or_else(|| missing("/resource/refUpdates/*/newObjectId"))?;
        let head = list(body, "/resource/commits")
            .iter()
            .find(|entry| commit(entry, "/commitId").as_ref() == Some(&after));
        let message = head.and_then(|head| owned(head, &["/comment"]));
        let event = ref_change("push", name.to_owned(), commit(update, "/oldObjectId"), Some(after));
        Ok(Event {
            head_message: message,
            ..event
        })
    };
    each(list(body, "/resource/refUpdates"), update)
}

fn build(body: &Value) -> Event {
    let result = first_text(body, &["/resource/result", "/resource/status"]).unwrap_or("unknown");
    // XAML builds write `LG:refs/heads/main:<commit>`; newer ones have `sourceBranch` and `sourceVersion`.
    let old: Vec<&str> = text(body, "/resource/sourceGetVersion")
        .map(|text| text.split(':').collect())
        .unwrap_or_default();
    let git_ref = text(body, "/resource/sourceBranch").or(old.get(1).copied());
    let after = commit(body, "/resource/sourceVersion").or_else(|| old.get(2)?.parse().ok());
    let is_own = |name: &str| name.starts_with("refs/heads/") || name.starts_with("refs/tags/");
    Event {
        git_ref: git_ref.filter(|name| is_own(name)).map(str::to_owned),
        after,
        foreign: text(body, "/resource/reason") == Some("pullRequest") || git_ref.is_some_and(|name| !is_own(name)),
        check: owned(body, &["/resource/definition/name"]),
        success: result == "succeeded",
        ..Event::new(EventKind::Ci, "pipeline", Action::Other(result.to_owned()))
    }
}

/// Sent for every attempt to merge; only a completed request is merged.
fn pull_request(body: &Value) -> Event {
    let merged = text(body, "/resource/status") == Some("completed");
    Event {
        git_ref: owned(body, &["/resource/targetRefName"]),
        after: commit(body, "/resource/lastMergeCommit/commitId").filter(|_| merged),
        success: merged,
        foreign: !merged && has(body, "/resource/forkSource"),
        ..Event::new(
            EventKind::Other,
            "pull_request",
            Action::Other(if merged { "merged" } else { "merge" }.to_owned()),
        )
    }
}

/// Azure DevOps signs nothing: the secret is the password of basic authentication, or the value of a header.
fn check(request: &Request<'_>) -> Result<(), Rejection> {
    request.keys()?;
    let is_secret = |text: &[u8]| any_equal(request.secrets, text);
    if let Some(name) = request.auth_header {
        let value = request.single(name)?;
        let bare = value.strip_prefix("Bearer ").unwrap_or(value);
        return fits(is_secret(value.as_bytes()) | is_secret(bare.as_bytes()));
    }
    let value = request.single("authorization")?;
    let encoded = value.strip_prefix("Basic ").ok_or(Rejection::Wrong)?;
    let pair = zeroize::Zeroizing::new(base64_bytes(encoded.trim()).ok_or(Rejection::Wrong)?);
    let colon = pair.iter().position(|byte| *byte == b':').ok_or(Rejection::Wrong)?;
    let password = &pair[colon + 1..];
    if password.is_empty() {
        return Err(Rejection::Empty);
    }
    fits(is_secret(password) | is_secret(&pair))
}

/// `PROJECT/REPO`. URLs leave the project out if it is named like the repository, and have more besides: the organisation or
/// collection, and how much of a clone is wanted.
fn name_at(parts: &[&str], host: &str) -> String {
    let is_default = |part: &str| part.eq_ignore_ascii_case("DefaultCollection");
    let marker = parts.iter().rposition(|part| matches!(*part, "_git" | "_ssh"));
    let Some(marker) = marker else {
        return match parts {
            // git@ssh.dev.azure.com:v3/ORG/PROJECT/REPO
            [.., _, project, repo] => format!("{project}/{repo}"),
            other => other.join("/"),
        };
    };
    let repo = parts.last().copied().unwrap_or_default();
    // Segments before the project: the organisation, unless the host names it; or a collection, perhaps below a path.
    let before = &parts[..marker];
    let fixed = if host == "dev.azure.com" || host.ends_with(".dev.azure.com") {
        1
    } else if host.ends_with(".visualstudio.com") {
        usize::from(before.first().is_some_and(|part| is_default(part)))
    } else {
        1 + usize::from(before.len() > 1 && (before[0].eq_ignore_ascii_case("tfs") || is_default(before[1])))
    };
    let project = before.get(fixed..).and_then(<[&str]>::last).copied().unwrap_or(repo);
    format!("{project}/{repo}")
}

fn sample(push: &Sample<'_>) -> Value {
    let (project, name) = push.parts();
    let (before, after) = push.ends();
    json!({
        "id": push.id.as_str(), "eventType": "git.push", "publisherId": "tfs",
        "resource": {
            "refUpdates": [{"name": push.git_ref.as_str(), "oldObjectId": before, "newObjectId": after}],
            "commits": [], "repository": {"name": name, "project": {"name": project}},
            "pushedBy": {"displayName": WHO, "uniqueName": WHO},
        },
        "resourceVersion": "1.0",
    })
}
