//! Gitee: GitHub's shapes under GitLab's names of events.

use serde_json::Value;

use super::dialect::{BASE, Dialect, Named};
use super::error::{ParseError, Rejection};
use super::fields::{branch_ref, commit, flag, has_object, header, owned, text};
use super::github;
use super::hub;
use super::request::{Request, fits};
use super::rule::HashAlgorithm;
use super::sample::Sample;
use super::scheme::{any_equal, any_hmac, base64_bytes, base64_text, hmac};
use crate::model::{Action, Event, EventKind};

/// Gitee's dialect.
pub(super) static DIALECT: Dialect = Dialect {
    // A delivery has no id.
    event: Named::Header("X-Gitee-Event"),
    marks: &["x-gitee-token"],
    hosts: &["gitee.com"],
    is_body: |body| text(body, "/hook_name").is_some_and(|name| name.ends_with("_hooks")),
    keys: &["hook_name"],
    infer,
    repo,
    read,
    check,
    covers_body: false,
    sample,
    sends: &[("User-Agent", "git-oschina-hook")],
    sign: |secret, _, with| {
        let (key, sent) = (secret.expose(), with.now.0.to_string());
        let tag = hmac(HashAlgorithm::Sha256, key, &[sent.as_bytes(), b"\n", key]);
        Ok(vec![
            ("X-Gitee-Token".to_owned(), base64_text(&tag)),
            ("X-Gitee-Timestamp".to_owned(), sent),
        ])
    },
    form: ("Management > WebHooks > Add webHook", "Signature key"),
    ..BASE
};

/// Value of `X-Gitee-Event` and the `hook_name` that such a body has.
const HOOKS: &[(&str, &str)] = &[
    ("Push Hook", "push_hooks"),
    ("Tag Push Hook", "tag_push_hooks"),
    ("Merge Request Hook", "merge_request_hooks"),
    ("Issue Hook", "issue_hooks"),
    ("Note Hook", "note_hooks"),
];

/// The `X-Gitee-Event` that belongs to the body.
fn infer(body: &Value) -> Option<String> {
    let name = text(body, "/hook_name")?;
    let hook = HOOKS.iter().find(|(_, hook)| *hook == name);
    Some(hook.map_or(name, |(event, _)| event).to_owned())
}

/// Full name, `owner/repo`.
fn repo(body: &Value) -> Option<String> {
    let places = [
        "/repository/full_name",
        "/repository/path_with_namespace",
        "/project/full_name",
        "/project/path_with_namespace",
    ];
    owned(body, &places)
}

/// The events of one delivery. Source: gitee.com/help/articles/4186, "Data format of push webhooks".
fn read(event: &str, body: &Value) -> Result<Vec<Event>, ParseError> {
    if infer(body).is_some_and(|said| said != event) {
        return Err(ParseError::ShapeMismatch);
    }
    let events = match event {
        "Push Hook" | "Tag Push Hook" => hub::push(body, false)?,
        "Merge Request Hook" => vec![merge_request(body)?],
        _ if hub::is_push(body) => return Err(ParseError::ShapeMismatch),
        _ => vec![hub::other(event, body)],
    };
    Ok(events
        .into_iter()
        .map(|event| Event {
            repo: repo(body),
            ..event
        })
        .collect())
}

fn merge_request(body: &Value) -> Result<Event, ParseError> {
    if !has_object(body, "/pull_request") {
        return Err(ParseError::ShapeMismatch);
    }
    let merged = text(body, "/action") == Some("merge") || flag(body, "/pull_request/merged") == Some(true);
    let side = |name: &str| text(body, &format!("/pull_request/{name}/repo/full_name"));
    let action = if merged {
        "merged"
    } else {
        text(body, "/action").unwrap_or("pull_request")
    };
    Ok(Event {
        git_ref: text(body, "/pull_request/base/ref").map(branch_ref),
        after: commit(body, "/pull_request/merge_commit_sha").filter(|_| merged),
        pusher: owned(body, &["/sender/username", "/sender/login"]),
        success: merged,
        foreign: !merged && side("head") != side("base"),
        ..Event::new(EventKind::Other, "pull_request", Action::Other(action.to_owned()))
    })
}

/// Gitee sends the password itself, or signs the time with the key. Neither covers the body.
fn check(request: &Request<'_>) -> Result<(), Rejection> {
    let token = request.single_bytes("x-gitee-token")?;
    let keys = request.keys()?;
    let is_password = any_equal(request.secrets, token);
    let sent = header(request.headers, "x-gitee-timestamp").unwrap_or_default();
    let decoded: Vec<u8> = percent_encoding::percent_decode(token).collect();
    let tag = std::str::from_utf8(&decoded).ok().and_then(base64_bytes);
    let tags = [tag.unwrap_or_default()];
    let mut is_signed = false;
    for key in keys {
        is_signed |= any_hmac(HashAlgorithm::Sha256, &[key], &[sent.as_bytes(), b"\n", key], &tags);
    }
    if is_password {
        return Ok(());
    }
    fits(is_signed)?;
    request.require_recent(sent.parse().ok())
}

/// What Gitee adds to it: the hook's own name.
fn sample(push: &Sample<'_>) -> Value {
    let mut body = github::sample(push);
    body["hook_name"] = if push.is_tag() { "tag_push_hooks" } else { "push_hooks" }.into();
    body["repository"]["path_with_namespace"] = push.full_name.into();
    body["repository"]["url"] = format!("https://gitee.com/{}", push.full_name).into();
    body
}
