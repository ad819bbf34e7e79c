//! Push payloads as each forge would write them, for `hookd send` and for tests.

use serde_json::{Value, json};

use crate::config::{ForgeKind, Generic};
use crate::model::{CommitId, DeliveryId, GitRef, RefKind};

/// Who pushes in a sample.
const WHO: &str = "hookd";
/// What the head commit of a sample says.
const MESSAGE: &str = "Sample push made by hookd";
/// Id of what has one in a sample and need not be told apart.
const ID: &str = "00000000-0000-4000-8000-686f6f6b6430";

/// A push that did not happen, or that hookd tells of in the forge's place.
#[derive(Clone, Copy)]
pub struct Sample<'a> {
    /// The repo, as the forge calls it.
    pub full_name: &'a str,
    /// The ref that moved.
    pub git_ref: &'a GitRef,
    /// Where it was; zeros for a new one.
    pub before: &'a CommitId,
    /// Where it is; zeros for one that is gone.
    pub after: &'a CommitId,
    /// The delivery's id, for forges that have it in the body.
    pub id: &'a DeliveryId,
    /// Where the `generic` forge has things.
    pub generic: Option<&'a Generic>,
}

/// The body as that forge would send it: JSON, with the fields that tell what happened.
pub fn sample_push(kind: ForgeKind, push: &Sample<'_>) -> Vec<u8> {
    let mut body = match kind {
        ForgeKind::GitHub => push.github(),
        ForgeKind::Gitea | ForgeKind::Forgejo => push.gitea(),
        ForgeKind::Gogs => push.gogs(),
        ForgeKind::Gitee => push.gitee(),
        ForgeKind::GitLab => push.gitlab(),
        ForgeKind::Bitbucket => push.bitbucket(),
        ForgeKind::BitbucketServer => push.bitbucket_server(),
        ForgeKind::AzureDevOps => push.azure(),
        ForgeKind::SourceHut => push.sourcehut(),
        ForgeKind::Pagure => push.pagure(),
        ForgeKind::Standard => json!({"type": "push", "timestamp": "2026-01-01T00:00:00Z", "data": push.plain()}),
        ForgeKind::Generic => push.generic(),
    };
    // Two samples are two deliveries: most forges tell theirs apart by a time of the push, which is in the body.
    put(&mut body, "/sample", push.id.as_str());
    body.to_string().into_bytes()
}

/// Puts a text where a JSON pointer will find it.
fn put(body: &mut Value, pointer: &str, text: &str) {
    let mut place = body;
    for token in pointer.split('/').skip(1) {
        if !place.is_object() {
            *place = json!({});
        }
        // In a pointer `/` is `~1` and `~` is `~0` (RFC 6901).
        place = &mut place[token.replace("~1", "/").replace("~0", "~")];
    }
    *place = text.into();
}

impl Sample<'_> {
    fn is_tag(&self) -> bool {
        self.git_ref.kind() == RefKind::Tag
    }

    fn ref_type(&self) -> &'static str {
        if self.is_tag() { "tag" } else { "branch" }
    }

    /// Owner and name: the last segment and what is before it.
    fn parts(&self) -> (&str, &str) {
        self.full_name.rsplit_once('/').unwrap_or(("", self.full_name))
    }

    fn ends(&self) -> (&str, &str) {
        (self.before.as_str(), self.after.as_str())
    }

    /// Null for a deleted ref.
    fn head(&self) -> Value {
        if self.after.is_zero() {
            Value::Null
        } else {
            json!({"id": self.after.as_str(), "message": MESSAGE})
        }
    }

    fn commits(&self) -> Value {
        if self.after.is_zero() {
            json!([])
        } else {
            json!([self.head()])
        }
    }

    fn plain(&self) -> Value {
        let (before, after) = self.ends();
        json!({
            "ref": self.git_ref.as_str(), "before": before, "after": after,
            "repository": {"full_name": self.full_name, "name": self.parts().1}, "pusher": {"name": WHO},
        })
    }

    fn generic(&self) -> Value {
        let mut body = self.plain();
        if let Some(pointers) = self.generic {
            put(&mut body, &pointers.repo, self.full_name);
            put(&mut body, &pointers.git_ref, self.git_ref.as_str());
            put(&mut body, &pointers.commit, self.after.as_str());
        }
        body
    }

    fn github(&self) -> Value {
        let (owner, name) = self.parts();
        let (before, after) = self.ends();
        json!({
            "ref": self.git_ref.as_str(), "before": before, "after": after, "base_ref": null,
            "created": self.before.is_zero(), "deleted": self.after.is_zero(), "forced": false,
            "head_commit": self.head(), "commits": self.commits(),
            "repository": {
                "name": name, "full_name": self.full_name, "owner": {"login": owner, "name": owner},
                "url": format!("https://api.github.com/repos/{}", self.full_name),
            },
            "pusher": {"name": WHO, "email": null}, "sender": {"login": WHO},
        })
    }

    /// What Gitee adds to it: the hook's own name.
    fn gitee(&self) -> Value {
        let mut body = self.github();
        body["hook_name"] = if self.is_tag() { "tag_push_hooks" } else { "push_hooks" }.into();
        body["repository"]["path_with_namespace"] = self.full_name.into();
        body["repository"]["url"] = format!("https://gitee.com/{}", self.full_name).into();
        body
    }

    fn gitea_repo(&self) -> Value {
        let (owner, name) = self.parts();
        let owner = json!({"login": owner, "username": owner});
        json!({"name": name, "full_name": self.full_name, "owner": owner, "permissions": {"pull": true}})
    }

    fn gitea(&self) -> Value {
        let user = json!({"login": WHO, "username": WHO});
        if self.after.is_zero() && !self.is_tag() {
            return self.typed(&user);
        }
        let (before, after) = self.ends();
        json!({
            "ref": self.git_ref.as_str(), "before": before, "after": after, "compare_url": "", "head_commit": self.head(),
            "commits": self.commits(), "total_commits": self.commits().as_array().map(Vec::len),
            "repository": self.gitea_repo(), "pusher": user, "sender": user,
        })
    }

    /// `create` or `delete`, which is all that Gogs sends for tags and that both send for deleted branches.
    fn typed(&self, user: &Value) -> Value {
        let mut body = json!({
            "ref": self.git_ref.short(), "ref_type": self.ref_type(), "repository": self.gitea_repo(), "sender": user,
        });
        if self.after.is_zero() {
            body["pusher_type"] = "user".into();
        } else {
            body["sha"] = self.after.as_str().into();
        }
        body
    }

    fn gogs(&self) -> Value {
        let user = json!({"login": WHO, "username": WHO});
        if self.is_tag() || self.after.is_zero() {
            return self.typed(&user);
        }
        let (before, after) = self.ends();
        json!({
            "ref": self.git_ref.as_str(), "before": before, "after": after, "compare_url": "", "commits": self.commits(),
            "repository": self.gitea_repo(), "pusher": user, "sender": user,
        })
    }

    fn gitlab(&self) -> Value {
        let kind = if self.is_tag() { "tag_push" } else { "push" };
        let (before, after) = self.ends();
        json!({
            "object_kind": kind, "event_name": kind, "before": before, "after": after, "ref": self.git_ref.as_str(),
            "checkout_sha": self.head().get("id"), "user_username": WHO, "user_name": WHO, "project_id": 1,
            "project": {"name": self.parts().1, "path_with_namespace": self.full_name},
            "commits": self.commits(), "total_commits_count": self.commits().as_array().map(Vec::len),
        })
    }

    fn bitbucket(&self) -> Value {
        let end = |id: &CommitId| {
            let target = json!({"type": "commit", "hash": id.as_str(), "message": MESSAGE});
            let end = json!({"type": self.ref_type(), "name": self.git_ref.short(), "target": target});
            if id.is_zero() { Value::Null } else { end }
        };
        json!({
            "push": {"changes": [{
                "old": end(self.before), "new": end(self.after), "created": self.before.is_zero(), "closed": self.after.is_zero(),
                "forced": false, "truncated": false, "commits": [],
            }]},
            "repository": {"type": "repository", "full_name": self.full_name, "name": self.parts().1, "uuid": ID},
            "actor": {"nickname": WHO, "display_name": WHO},
        })
    }

    fn bitbucket_server(&self) -> Value {
        let (project, slug) = self.parts();
        let (before, after) = self.ends();
        let kind = match (self.before.is_zero(), self.after.is_zero()) {
            (_, true) => "DELETE",
            (true, false) => "ADD",
            (false, false) => "UPDATE",
        };
        let git_ref = json!({
            "id": self.git_ref.as_str(), "displayId": self.git_ref.short(), "type": self.ref_type().to_ascii_uppercase(),
        });
        json!({
            "eventKey": "repo:refs_changed", "actor": {"name": WHO, "slug": WHO},
            "repository": {"slug": slug, "name": slug, "project": {"key": project}},
            "changes": [{"ref": git_ref, "refId": self.git_ref.as_str(), "fromHash": before, "toHash": after, "type": kind}],
        })
    }

    fn azure(&self) -> Value {
        let (project, name) = self.parts();
        let (before, after) = self.ends();
        json!({
            "id": self.id.as_str(), "eventType": "git.push", "publisherId": "tfs",
            "resource": {
                "refUpdates": [{"name": self.git_ref.as_str(), "oldObjectId": before, "newObjectId": after}],
                "commits": [], "repository": {"name": name, "project": {"name": project}},
                "pushedBy": {"displayName": WHO, "uniqueName": WHO},
            },
            "resourceVersion": "1.0",
        })
    }

    fn sourcehut(&self) -> Value {
        let end = |id: &CommitId| {
            if id.is_zero() {
                Value::Null
            } else {
                json!({"id": id.as_str(), "message": MESSAGE})
            }
        };
        let (owner, name) = self.parts();
        json!({
            "push": self.id.as_str(), "push-options": {}, "pusher": {"canonical_name": format!("~{WHO}"), "name": WHO},
            "repository": {"name": name, "owner": {"canonicalName": owner}},
            "refs": [{"name": self.git_ref.as_str(), "old": end(self.before), "new": end(self.after)}],
        })
    }

    fn pagure(&self) -> Value {
        let short = self.git_ref.short();
        let (before, after) = self.ends();
        let deleted = self.after.is_zero();
        let rev = if deleted { before } else { after };
        let (topic, msg) = match (self.is_tag(), deleted) {
            (true, true) => ("git.tag.deletion", json!({"tag": short, "rev": rev})),
            (true, false) => ("git.tag.creation", json!({"tag": short, "rev": rev})),
            (false, true) => ("git.branch.deletion", json!({"branch": short, "rev": rev})),
            (false, false) => {
                let old = if self.before.is_zero() {
                    format!("^{before}")
                } else {
                    before.to_owned()
                };
                let msg = json!({"branch": short, "old_commit": old, "end_commit": after, "forced": false});
                ("git.receive", msg)
            }
        };
        let mut body = json!({"topic": topic, "msg": msg, "msg_id": self.id.as_str(), "i": 1, "timestamp": 0});
        body["msg"]["project_fullname"] = self.full_name.into();
        body["msg"]["agent"] = WHO.into();
        body
    }
}
