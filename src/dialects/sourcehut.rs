//! `SourceHut`: Ed25519 by the service, several refs in one delivery, and often no repo in the body.

use serde_json::{Value, json};

use super::dialect::{BASE, Dialect, Named};
use super::error::{ParseError, Rejection};
use super::fields::{
    all_by, branch_ref, commit, each, first_text, has, header, list, owned, ref_change, text, zero_like,
};
use super::request::{Request, fits};
use super::sample::{MESSAGE, Sample, WHO};
use super::scheme::{self, base64_bytes};
use crate::model::{Action, CommitId, Event, EventKind};

/// `SourceHut`'s dialect.
pub(super) static DIALECT: Dialect = Dialect {
    event: Named::Either("X-Webhook-Event", "/data/webhook/event"),
    delivery: &[Named::Header("X-Webhook-Delivery")],
    marks: &["x-payload-signature"],
    hosts: &["git.sr.ht"],
    is_body: |body| {
        let any = |places: &[&str]| places.iter().any(|place| has(body, place));
        any(&["/data/webhook/event"]) || (any(&["/refs/0/name"]) && any(&["/pusher/canonical_name", "/push"]))
    },
    infer,
    repo,
    read,
    may_be_unnamed: true,
    check,
    key_is_shared: true,
    sample,
    compare_page: |_, _| None,
    ..BASE
};

/// The key of the hosted sr.ht (`uX7KWyyDNMaBma4aVbJ/cbUQpdjqczuCyK/HxzV/u+4=`); instances of one's own have another.
const PUBLIC_KEY: [u8; 32] = [
    0xb9, 0x7e, 0xca, 0x5b, 0x2c, 0x83, 0x34, 0xc6, 0x81, 0x99, 0xae, 0x1a, 0x55, 0xb2, 0x7f, 0x71, 0xb5, 0x10, 0xa5,
    0xd8, 0xea, 0x73, 0x3b, 0x82, 0xc8, 0xaf, 0xc7, 0xc7, 0x35, 0x7f, 0xbb, 0xee,
];

/// The event that the body looks like.
fn infer(body: &Value) -> Option<String> {
    let legacy = has(body, "/refs").then(|| "repo:post-update".to_owned());
    owned(body, &["/data/webhook/event"]).or(legacy)
}

/// Full name, `~user/repo`, as far as the subscription's query asked for it.
fn repo(body: &Value) -> Option<String> {
    ["/data/webhook/repository", "/repository"].into_iter().find_map(|at| {
        let repo = body.pointer(at)?;
        let owner = first_text(repo, &["/owner/canonicalName", "/owner/canonical_name"])?;
        Some(format!("{owner}/{}", text(repo, "/name")?))
    })
}

/// The events of one delivery. The header names GraphQL events in capitals and hyphens vary, so the body's shape counts.
/// Source: git.sr.ht `update-hook/webhooks.go`, `api/graph/schema.graphqls`.
fn read(event: &str, body: &Value) -> Result<Vec<Event>, ParseError> {
    let plain = |text: &str| text.to_ascii_lowercase().replace(['-', ':', '_'], "");
    let is_push = matches!(plain(event).as_str(), "repopostupdate" | "gitpostreceive");
    let at = ["/refs", "/data/webhook/updates"].into_iter().find(|at| has(body, at));
    let pusher = owned(
        body,
        &[
            "/pusher/canonical_name",
            "/pusher/name",
            "/data/webhook/pusher/canonicalName",
        ],
    );
    let events = match at {
        Some(at) if is_push => each(list(body, at), update)?,
        None if is_push => return Err(ParseError::MissingField("/refs".into())),
        // `GIT_PRE_RECEIVE` has them, too, and says so in the body.
        Some(_) if text(body, "/data/webhook/event") != Some(event) => return Err(ParseError::ShapeMismatch),
        _ => vec![Event::new(EventKind::Other, event, Action::Other(event.to_owned()))],
    };
    Ok(all_by(events, repo(body).as_deref(), pusher.as_deref()))
}

/// `old` is null for a new ref, `new` for one that is gone; the subscription's query did not request what is missing.
fn update(update: &Value) -> Result<Event, ParseError> {
    let name = first_text(update, &["/ref/name", "/name"]).ok_or(ParseError::MissingField("/refs/*/name".into()))?;
    let end = |side: &str| commit(update, &format!("/{side}/id")).or_else(|| commit(update, &format!("/{side}")));
    let is_null = |side: &str| update.get(side).is_some_and(Value::is_null);
    let (mut before, mut after) = (end("old"), end("new"));
    if is_null("old") {
        before = Some(zero_like(after.as_ref()));
    }
    if is_null("new") {
        after = Some(zero_like(before.as_ref()));
    }
    Ok(Event {
        head_message: owned(update, &["/new/message"]),
        ..ref_change("push", branch_ref(name), before, after)
    })
}

/// Ed25519 by the service's own key: it proves the service, not the repo, so it counts only where it is configured.
fn check(request: &Request<'_>) -> Result<(), Rejection> {
    let tag = base64_bytes(request.single("x-payload-signature")?).ok_or(Rejection::Wrong)?;
    let nonce = header(request.headers, "x-payload-nonce").unwrap_or_default();
    let key = request.public_key.unwrap_or(PUBLIC_KEY);
    let genuine = scheme::ed25519(&key, &[request.raw, nonce.as_bytes()], &tag);
    if !request.is_named && request.public_key.is_none() {
        return Err(Rejection::NoKey);
    }
    fits(genuine)
}

fn sample(push: &Sample<'_>) -> Value {
    let end = |id: &CommitId| {
        if id.is_zero() {
            Value::Null
        } else {
            json!({"id": id.as_str(), "message": MESSAGE})
        }
    };
    let (owner, name) = push.parts();
    json!({
        "push": push.id.as_str(), "push-options": {}, "pusher": {"canonical_name": format!("~{WHO}"), "name": WHO},
        "repository": {"name": name, "owner": {"canonicalName": owner}},
        "refs": [{"name": push.git_ref.as_str(), "old": end(push.before), "new": end(push.after)}],
    })
}
