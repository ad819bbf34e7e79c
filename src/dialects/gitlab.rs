//! GitLab: project, group and system hooks.

use serde_json::{Value, json};

use super::dialect::{BASE, Dialect, Named};
use super::error::{ParseError, Rejection};
use super::fields::{
    branch_ref, commit, commit_in_address, first_text, flag, has, list, named_ref, owned, path_of_address, ref_change,
    tag_ref, text,
};
use super::request::{Request, fits};
use super::sample::{Sample, WHO};
use super::scheme::any_equal;
use super::{signing, standard};
use crate::model::{Action, CommitId, Event, EventKind, Secret};

/// GitLab's dialect.
pub(super) static DIALECT: Dialect = Dialect {
    event: Named::Header("X-Gitlab-Event"),
    // Not X-Gitlab-Event-UUID and X-Gitlab-Webhook-UUID: the first is inherited, the second new on every request.
    delivery: &[Named::Header("idempotency-key"), Named::Header("webhook-id")],
    marks: &["x-gitlab-token"],
    kept: &["x-gitlab-event-uuid", "x-gitlab-instance"],
    // `altssh.gitlab.com` answers on port 443, for networks that close port 22.
    hosts: &["gitlab.com", "altssh.gitlab.com"],
    is_body: |body| {
        text(body, "/object_kind").is_some()
            || (text(body, "/event_name").is_some() && !has(body, "/repository/full_name"))
    },
    keys: &["project_path_with_namespace"],
    infer,
    repo,
    read,
    check,
    covers_body: false,
    sample,
    sends: &[("User-Agent", "GitLab/hookd")],
    sign: |secret, body, with| {
        if is_signing_token(secret) {
            standard::sign(secret, body, with)
        } else {
            Ok(signing::one("X-Gitlab-Token", signing::header_text(secret)?.to_owned()))
        }
    },
    // Groups nest.
    name_at: |parts, _| parts.join("/"),
    commit_page: "/-/commit/",
    compare_page: |from, to| Some(format!("/-/compare/{from}...{to}")),
    form: ("Settings > Webhooks > Add new webhook", "Secret token"),
    ..BASE
};

/// Value of `X-Gitlab-Event` and the `object_kind` that such a body has.
const HOOKS: &[(&str, &[&str])] = &[
    ("Push Hook", &["push"]),
    ("Tag Push Hook", &["tag_push"]),
    ("Pipeline Hook", &["pipeline"]),
    ("Job Hook", &["build", "job"]),
    ("Build Hook", &["build", "job"]),
    ("Release Hook", &["release"]),
    ("Deployment Hook", &["deployment"]),
    ("Merge Request Hook", &["merge_request"]),
    ("Issue Hook", &["issue", "work_item"]),
    ("Confidential Issue Hook", &["issue", "work_item"]),
    ("Note Hook", &["note"]),
    ("Confidential Note Hook", &["note"]),
    ("Wiki Page Hook", &["wiki_page"]),
];

/// Where pipelines come from that run on the project's own refs. `merge_request_event` names the source branch, which a
/// fork may call `main`.
const OWN_SOURCES: &[&str] = &[
    "push",
    "web",
    "webide",
    "trigger",
    "schedule",
    "api",
    "chat",
    "pipeline",
    "parent_pipeline",
];

/// What the body says it is.
fn kind(body: &Value) -> Option<&str> {
    first_text(body, &["/object_kind", "/event_name"])
}

/// The `X-Gitlab-Event` that belongs to the body; of system hooks if it is none of a project's.
fn infer(body: &Value) -> Option<String> {
    let kind = kind(body)?;
    let hook = HOOKS.iter().find(|(_, kinds)| kinds.contains(&kind));
    Some(hook.map_or("System Hook", |(name, _)| name).to_owned())
}

/// Full path of the project, through all its groups.
fn repo(body: &Value) -> Option<String> {
    let path = [
        "/project/path_with_namespace",
        "/object_attributes/target/path_with_namespace",
        "/path_with_namespace",
        "/project_path_with_namespace",
    ];
    owned(body, &path).or_else(|| {
        // Job events had no project before GitLab 17.
        let address = first_text(
            body,
            &[
                "/project/web_url",
                "/repository/homepage",
                "/repository/git_http_url",
                "/repository/url",
            ],
        );
        address.and_then(path_of_address)
    })
}

/// The events of one delivery. Source: gitlabhq `doc/user/project/integrations/webhook_events.md`.
fn read(event: &str, body: &Value) -> Result<Vec<Event>, ParseError> {
    let said = kind(body);
    let expected = HOOKS.iter().find(|(name, _)| *name == event).map(|(_, kinds)| *kinds);
    if let (Some(said), Some(expected)) = (said, expected)
        && !expected.contains(&said)
    {
        return Err(ParseError::ShapeMismatch);
    }
    // A custom template may leave out what the body is: then the header says it.
    let kind = said.or_else(|| expected?.first().copied()).unwrap_or(event);
    // What an instance sends of all projects, and what integrations send, has one name for everything.
    let known_hook = expected.is_some() || matches!(event, "System Hook" | "Service Hook");
    let event = match kind {
        _ if !known_hook && matches!(kind, "push" | "tag_push") => return Err(ParseError::ShapeMismatch),
        "push" | "tag_push" => push(body)?,
        "pipeline" => pipeline(body)?,
        "build" | "job" => job(body)?,
        "release" => release(body)?,
        "deployment" => deployment(body),
        "merge_request" => merge_request(body)?,
        _ => other(kind, body),
    };
    Ok(vec![Event {
        repo: repo(body),
        ..event
    }])
}

fn user(body: &Value) -> Option<String> {
    owned(body, &["/user_username", "/user/username", "/user_name", "/user/name"])
}

fn missing(pointer: &'static str) -> ParseError {
    ParseError::MissingField(pointer.into())
}

fn push(body: &Value) -> Result<Event, ParseError> {
    let git_ref = text(body, "/ref").ok_or_else(|| missing("/ref"))?;
    let after = commit(body, "/after").ok_or_else(|| missing("/after"))?;
    let commits = list(body, "/commits");
    // Of an annotated tag `after` is the tag object and `checkout_sha` the commit.
    let tip = commit(body, "/checkout_sha").unwrap_or_else(|| after.clone());
    let head = commits
        .iter()
        .find(|entry| commit(entry, "/id").as_ref() == Some(&tip))
        .or(commits.last());
    let full = if kind(body) == Some("tag_push") {
        tag_ref(git_ref)
    } else {
        branch_ref(git_ref)
    };
    Ok(Event {
        pusher: user(body),
        head_message: head.and_then(|head| owned(head, &["/message"])),
        ..ref_change("push", full, commit(body, "/before"), Some(after))
    })
}

fn pipeline(body: &Value) -> Result<Event, ParseError> {
    let run = body
        .get("object_attributes")
        .filter(|run| run.is_object())
        .ok_or(missing("/object_attributes"))?;
    let status = text(run, "/status").unwrap_or("unknown");
    let side = |name: &str| body.pointer(&format!("/merge_request/{name}_project_id"));
    let of_fork = has(body, "/merge_request") && side("source") != side("target");
    // Old versions do not tell the source.
    let own_source = match text(run, "/source") {
        Some(source) => OWN_SOURCES.contains(&source),
        None => !has(body, "/merge_request"),
    };
    let name = text(run, "/ref").filter(|name| !name.starts_with("refs/merge-requests/"));
    Ok(Event {
        git_ref: name.map(|name| named_ref(name, flag(run, "/tag") == Some(true))),
        before: commit(run, "/before_sha"),
        after: commit(run, "/sha"),
        pusher: user(body),
        head_message: owned(body, &["/commit/message"]),
        foreign: of_fork || !own_source || name.is_none(),
        trigger: owned(run, &["/source"]),
        check: owned(run, &["/name"]),
        success: status == "success",
        ..Event::new(EventKind::Ci, "pipeline", Action::Other(status.to_owned()))
    })
}

fn job(body: &Value) -> Result<Event, ParseError> {
    let status = first_text(body, &["/build_status", "/status"]).ok_or_else(|| missing("/build_status"))?;
    let name = text(body, "/ref").filter(|name| !name.starts_with("refs/merge-requests/"));
    Ok(Event {
        git_ref: name.map(|name| named_ref(name, flag(body, "/tag") == Some(true))),
        before: commit(body, "/before_sha"),
        after: commit(body, "/sha"),
        pusher: user(body),
        head_message: owned(body, &["/commit/message"]),
        foreign: name.is_none(),
        check: owned(body, &["/build_name"]),
        success: status == "success",
        ..Event::new(EventKind::Ci, "job", Action::Other(status.to_owned()))
    })
}

fn release(body: &Value) -> Result<Event, ParseError> {
    let tag = text(body, "/tag").ok_or_else(|| missing("/tag"))?;
    let action = text(body, "/action").unwrap_or("create");
    Ok(Event {
        git_ref: Some(tag_ref(tag)),
        after: commit(body, "/commit/id"),
        head_message: owned(body, &["/commit/message"]),
        success: action == "create",
        ..Event::new(EventKind::Release, "release", Action::Other(action.to_owned()))
    })
}

/// Names the commit in full only in an address.
fn deployment(body: &Value) -> Event {
    let status = text(body, "/status").unwrap_or("unknown");
    let after: Option<CommitId> = text(body, "/commit_url").and_then(commit_in_address);
    Event {
        git_ref: text(body, "/ref").map(branch_ref),
        after,
        pusher: user(body),
        check: owned(body, &["/environment"]),
        success: status == "success",
        ..Event::new(EventKind::Other, "deployment", Action::Other(status.to_owned()))
    }
}

fn merge_request(body: &Value) -> Result<Event, ParseError> {
    let request = body
        .get("object_attributes")
        .filter(|request| request.is_object())
        .ok_or(missing("/object_attributes"))?;
    // System hooks have no action, only a state.
    let action = first_text(request, &["/action", "/state"]).unwrap_or("merge_request");
    let merged = matches!(action, "merge" | "merged");
    Ok(Event {
        git_ref: text(request, "/target_branch").map(branch_ref),
        after: commit(request, "/merge_commit_sha").filter(|_| merged),
        pusher: user(body),
        success: merged,
        foreign: !merged && request.get("source_project_id") != request.get("target_project_id"),
        ..Event::new(
            EventKind::Other,
            "pull_request",
            Action::Other(if merged { "merged" } else { action }.to_owned()),
        )
    })
}

fn other(name: &str, body: &Value) -> Event {
    let action = first_text(body, &["/object_attributes/action", "/action"]).unwrap_or(name);
    Event {
        pusher: user(body),
        ..Event::new(EventKind::Other, name, Action::Other(action.to_owned()))
    }
}

/// The token, which may be any text: GitLab sends its UTF-8 bytes. Its signing token is Standard Webhooks.
fn check(request: &Request<'_>) -> Result<(), Rejection> {
    if request.headers.contains_key("webhook-signature") {
        return standard::check(request);
    }
    let token = request.single_bytes("x-gitlab-token")?;
    request.keys()?;
    fits(any_equal(request.secrets, token))
}

/// GitLab has two ways; the secret tells which one.
fn is_signing_token(secret: &Secret) -> bool {
    let text = secret.expose().trim_ascii();
    text.strip_prefix(b"v1,").unwrap_or(text).starts_with(b"whsec_")
}

fn sample(push: &Sample<'_>) -> Value {
    let kind = if push.is_tag() { "tag_push" } else { "push" };
    let (before, after) = push.ends();
    json!({
        "object_kind": kind, "event_name": kind, "before": before, "after": after, "ref": push.git_ref.as_str(),
        "checkout_sha": push.head().get("id"), "user_username": WHO, "user_name": WHO, "project_id": 1,
        "project": {"name": push.parts().1, "path_with_namespace": push.full_name},
        "commits": push.commits(), "total_commits_count": push.commits().as_array().map(Vec::len),
    })
}
