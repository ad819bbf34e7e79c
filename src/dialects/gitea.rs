//! Gitea: GitHub's shapes with the newest commit first, a commit in `create`, and no `forced`.

use serde_json::{Value, json};

use super::dialect::{BASE, Dialect, Named};
use super::error::ParseError;
use super::fields::has;
use super::gogs::{FAMILY, described, typed};
use super::hub::{self, Kin};
use super::sample::{Sample, WHO};
use super::signing;
use crate::model::Event;

/// Where the signature is, the most telling header first.
const SIGNATURES: &[&str] = &[
    "x-gitea-signature",
    "x-hub-signature-256",
    "x-gogs-signature",
    "x-hub-signature",
];

/// Gitea's dialect.
pub(super) static DIALECT: Dialect = Dialect {
    event: Named::Header("X-Gitea-Event"),
    delivery: &[Named::Header("X-Gitea-Delivery")],
    marks: &["x-gitea-signature"],
    hex: SIGNATURES,
    kept: &["x-gitea-event-type", "x-gitea-hook-installation-target-type"],
    family: FAMILY,
    is_body: |body| hub::whose(body) == Some(Kin::Gitea),
    infer,
    repo: hub::repo,
    read,
    check: |request| request.hex(SIGNATURES, request.json),
    sample,
    sign: |secret, body, _| Ok(signing::one("X-Gitea-Signature", signing::sha256(secret, body))),
    ..BASE
};

/// Same as GitHub's, but reviews come as comments of a pull request.
pub(super) fn infer(body: &Value) -> Option<String> {
    hub::infer(body).map(|name| match name.as_str() {
        "pull_request_review" => "pull_request_comment".to_owned(),
        _ => name,
    })
}

/// The events of one delivery. A deleted branch comes as `delete` alone, a deleted tag as `push` and `delete`; a new one of
/// either as `push` and `create`. Source: go-gitea/gitea `services/repository/push.go`, `modules/webhook/type.go`.
pub(super) fn read(event: &str, body: &Value) -> Result<Vec<Event>, ParseError> {
    match event {
        "push" => hub::push(body, true),
        "create" => hub::create(body),
        "delete" => hub::delete(body),
        "ping" => hub::ping(body),
        "release" => hub::release(body),
        "workflow_run" => hub::workflow_run(body),
        "workflow_job" => hub::workflow_job(body),
        "status" => hub::status(body),
        // With `"review": null` in newer versions.
        "pull_request" if !has(body, "/review") => hub::pull_request(body),
        "pull_request" => Err(ParseError::ShapeMismatch),
        _ if hub::is_push(body) => Err(ParseError::ShapeMismatch),
        _ => Ok(vec![hub::other(event, body)]),
    }
}

/// A deleted branch comes as `delete`.
pub(super) fn sample(push: &Sample<'_>) -> Value {
    let user = json!({"login": WHO, "username": WHO});
    if push.after.is_zero() && !push.is_tag() {
        return typed(push, &user);
    }
    let (before, after) = push.ends();
    json!({
        "ref": push.git_ref.as_str(), "before": before, "after": after, "compare_url": "", "head_commit": push.head(),
        "commits": push.commits(), "total_commits": push.commits().as_array().map(Vec::len),
        "repository": described(push), "pusher": user, "sender": user,
    })
}
