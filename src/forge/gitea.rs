//! Gitea: GitHub's shapes with the newest commit first, a commit in `create`, and no `forced`.

use serde_json::Value;

use super::fields::has;
use super::hub;
use super::parse::ParseError;
use crate::model::Event;

/// Same as GitHub's, but reviews come as comments of a pull request.
pub(super) fn infer(body: &Value) -> String {
    match hub::infer(body).as_str() {
        "pull_request_review" => "pull_request_comment".to_owned(),
        name => name.to_owned(),
    }
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
