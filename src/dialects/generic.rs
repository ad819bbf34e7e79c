//! The generic forge: JSON pointers of the configuration say where repo, ref and commit are.

use serde_json::Value;

use super::dialect::{BASE, Dialect, Named};
use super::error::ParseError;
use super::error::{CannotSign, Rejection};
use super::fields::{branch_ref, commit, owned, ref_change, text};
use super::request::{Request, fits};
use super::rule::Encoding;
use super::rule::Generic;
use super::sample::{Sample, put};
use super::scheme::{any_hmac, base64_bytes, base64_text, hmac};
use super::{hub, signing, standard};
use crate::model::Event;

/// The dialect of a sender of one's own, as far as the configuration does not say it.
pub(super) static DIALECT: Dialect = Dialect {
    event: Named::Body("/event"),
    infer: |_| Some("push".to_owned()),
    repo: hub::repo,
    read: standard::read,
    may_be_unnamed: true,
    check,
    sample,
    sign: |secret, body, with| {
        let rule = with.generic.ok_or(CannotSign::NoRule)?;
        let tag = hmac(rule.algorithm, secret.expose(), &[body]);
        let text = match rule.encoding {
            Encoding::Hex => hex::encode(tag),
            Encoding::Base64 => base64_text(&tag),
        };
        Ok(signing::one(&rule.header, format!("{}{text}", rule.prefix)))
    },
    name_at: |parts, _| parts.join("/"),
    page: |_, _, _| None,
    ..BASE
};

/// One push, found by the pointers. Only the ref must be there.
pub fn read(body: &Value, pointers: &Generic) -> Result<Vec<Event>, ParseError> {
    let git_ref =
        text(body, &pointers.git_ref).ok_or_else(|| ParseError::MissingField(pointers.git_ref.clone().into()))?;
    let event = ref_change(
        "push",
        branch_ref(git_ref),
        commit(body, "/before"),
        commit(body, &pointers.commit),
    );
    Ok(vec![Event {
        repo: owned(body, &[&pointers.repo]),
        pusher: owned(body, &["/pusher/name", "/pusher"]),
        ..event
    }])
}

/// An HMAC over the raw body, written as the configuration says.
fn check(request: &Request<'_>) -> Result<(), Rejection> {
    let rule = request.generic.ok_or(Rejection::NoKey)?;
    let value = request.single(&rule.header)?;
    let digest = value.strip_prefix(rule.prefix.as_str()).ok_or(Rejection::Wrong)?;
    if digest.is_empty() {
        return Err(Rejection::Empty);
    }
    let tag = match rule.encoding {
        Encoding::Hex => hex::decode(digest).ok(),
        Encoding::Base64 => base64_bytes(digest),
    };
    let tags = [tag.ok_or(Rejection::Wrong)?];
    fits(any_hmac(rule.algorithm, &request.keys()?, &[request.raw], &tags))
}

fn sample(push: &Sample<'_>) -> Value {
    let mut body = push.plain();
    if let Some(pointers) = push.generic {
        put(&mut body, &pointers.repo, push.full_name);
        put(&mut body, &pointers.git_ref, push.git_ref.as_str());
        put(&mut body, &pointers.commit, push.after.as_str());
    }
    body
}
