//! What `hookd send` makes is believed, and says what it was told to say.

use hookd::config::{ForgeKind, Repo};
use hookd::forge::{Delivery, Sample, Signing, Trust, sample_push, sign, verify};
use hookd::model::CommitId;

use crate::support::{ALL, NOW, generic, headers, repo, secret};

pub fn signed(kind: ForgeKind, key: &str, body: &[u8]) -> Vec<(String, String)> {
    let id = "0000-1".parse().unwrap();
    let generic = crate::support::generic();
    sign(
        kind,
        Some(&secret(key)),
        body,
        &Signing {
            id: &id,
            now: NOW,
            generic: Some(&generic),
            auth_header: None,
        },
    )
    .unwrap()
}

#[test]
fn what_hookd_sends_is_believed_for_every_forge() {
    let after: CommitId = "1".repeat(40).parse().unwrap();
    for kind in ALL.iter().copied().filter(|kind| *kind != ForgeKind::SourceHut) {
        for (git_ref, before, after) in [
            ("refs/heads/main", CommitId::zero(), after.clone()),
            ("refs/heads/a/b", after.clone(), after.clone()),
            ("refs/heads/a/b", after.clone(), CommitId::zero()),
            ("refs/tags/v1", CommitId::zero(), after.clone()),
            ("refs/tags/v1", after.clone(), CommitId::zero()),
        ] {
            let push = Sample {
                full_name: "alice/blog",
                git_ref: &git_ref.parse().unwrap(),
                before: &before,
                after: &after,
                id: &"sample-1".parse().unwrap(),
                generic: None,
            };
            let body = sample_push(kind, &push);
            let headers = headers(&signed(kind, "s3cret", &body));
            for forge in [Some(kind), None] {
                if forge.is_none() && kind == ForgeKind::Generic {
                    continue;
                }
                let repo = Repo {
                    forge,
                    ..repo("blog", "alice/blog")
                };
                let keys = [secret("s3cret")];
                let delivery = Delivery {
                    headers: &headers,
                    body: &body,
                };
                let verified =
                    verify(&delivery, &Trust::of(&repo, &keys, NOW)).unwrap_or_else(|e| panic!("{kind:?}: {e}"));
                let parsed = hookd::forge::parse(&verified).unwrap_or_else(|e| panic!("{kind:?}: {e}"));
                let event = &parsed.events[0];
                assert_eq!(event.git_ref.as_deref(), Some(git_ref), "{kind:?}");
                assert_eq!(event.repo.as_deref(), Some("alice/blog"), "{kind:?}");
                assert_eq!(event.after.as_ref(), Some(&after), "{kind:?} {git_ref}");
                assert_eq!(parsed.forge, kind);
                assert_eq!(
                    hookd::forge::full_name(&headers, &body)
                        .map(|(_, name)| name)
                        .as_deref(),
                    Some("alice/blog"),
                    "{kind:?}"
                );
            }
        }
    }
}

#[test]
fn a_sample_for_the_generic_forge_is_found_by_its_pointers() {
    let pointers = hookd::config::Generic {
        repo: "/project/path".into(),
        git_ref: "/change/a~1b".into(),
        commit: "/change/rev".into(),
        ..generic()
    };
    let after: CommitId = "1".repeat(40).parse().unwrap();
    let push = Sample {
        full_name: "alice/blog",
        git_ref: &"refs/tags/v1".parse().unwrap(),
        before: &CommitId::zero(),
        after: &after,
        id: &"sample-1".parse().unwrap(),
        generic: Some(&pointers),
    };
    let body = sample_push(ForgeKind::Generic, &push);
    let none = http::HeaderMap::new();
    let parsed = hookd::forge::parse_unverified(&none, &body, Some(ForgeKind::Generic), Some(&pointers)).unwrap();
    let event = &parsed.events[0];
    assert_eq!(
        (event.repo.as_deref(), event.git_ref.as_deref(), event.after.as_ref()),
        (Some("alice/blog"), Some("refs/tags/v1"), Some(&after))
    );
}
