//! The forge's side: payloads as GitHub makes them, signed here and not by hookd's own code.

use std::sync::atomic::{AtomicU64, Ordering};

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::http;

/// The secret of every repo, unless a story says something else.
pub const SECRET: &str = "Tr0ub4dor&3-not-in-any-log";

/// No commit.
pub const ZEROS: &str = "0000000000000000000000000000000000000000";

static NUMBER: AtomicU64 = AtomicU64::new(1);

/// HMAC-SHA256 in hexadecimal digits.
pub fn hmac_sha256(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

/// One HTTP request of a forge.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Delivery {
    /// An unsigned delivery of GitHub, with an id of its own.
    pub fn github(event: &str, body: impl Into<Vec<u8>>) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let unsigned = Self {
            path: "/hook/site".to_owned(),
            headers: Vec::new(),
            body: body.into(),
        };
        unsigned
            .header("Content-Type", "application/json")
            .header("User-Agent", "GitHub-Hookshot/044aadd")
            .header("X-GitHub-Event", event)
            .header("X-GitHub-Delivery", &format!("72d3162e-cc78-11e3-81ab-{number:012}"))
    }

    /// A push, not yet signed.
    pub fn push(full_name: &str, git_ref: &str, after: &str) -> Self {
        Self::github("push", push(full_name, git_ref, ZEROS, after).to_string())
    }

    /// The same with another path.
    pub fn to(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// The same with a header, instead of what it had of that name.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self = self.without(name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same without a header.
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        self
    }

    /// The same with another delivery id.
    pub fn id(self, id: &str) -> Self {
        self.header("X-GitHub-Delivery", id)
    }

    /// Its delivery id.
    pub fn its_id(&self) -> String {
        let id = self.headers.iter().find(|(name, _)| name == "X-GitHub-Delivery");
        id.map(|(_, id)| id.clone()).unwrap_or_default()
    }

    /// The same as a form, as GitHub sends it unless JSON is asked for. To be signed after this.
    pub fn form(mut self) -> Self {
        let text = String::from_utf8(self.body).unwrap();
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        self.body = form.append_pair("payload", &text).finish().into_bytes();
        self.header("Content-Type", "application/x-www-form-urlencoded")
    }

    /// Signed over the bytes as they are now.
    pub fn signed(self, secret: &str) -> Self {
        let signature = format!("sha256={}", hmac_sha256(secret, &self.body));
        self.header("X-Hub-Signature-256", &signature)
    }

    /// The bytes on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        http::request("POST", &self.path, &self.headers, &self.body)
    }
}

/// The payload of a push, with the fields that GitHub documents as always there.
pub fn push(full_name: &str, git_ref: &str, before: &str, after: &str) -> Value {
    let deleted = after == ZEROS;
    let (owner, name) = full_name.split_once('/').unwrap_or(("", full_name));
    let commit = json!({"id": after, "message": "a commit", "timestamp": "2026-11-22T10:15:00Z", "added": [], "modified": [], "removed": []});
    json!({
        "ref": git_ref,
        "before": before,
        "after": after,
        "base_ref": null,
        "created": before == ZEROS && !deleted,
        "deleted": deleted,
        "forced": false,
        "compare": format!("https://github.com/{full_name}/compare"),
        "commits": if deleted { vec![] } else { vec![commit.clone()] },
        "head_commit": if deleted { Value::Null } else { commit },
        "repository": {
            "id": 1, "name": name, "full_name": full_name, "owner": {"name": owner, "login": owner},
            "clone_url": "https://evil.example/never-fetched.git", "default_branch": "main",
        },
        "pusher": {"name": "alice", "email": "alice@example.org"},
        "sender": {"login": "alice"},
    })
}
