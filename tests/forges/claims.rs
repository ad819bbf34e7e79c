//! What a delivery proves of its sender, and what it claims before anybody has checked it.

use ed25519_dalek::{Signer, SigningKey};
use hookd::config::{ForgeKind, Generic, Repo, SecretSource};
use hookd::forge::{Delivery, Parsed, Trust, claims, full_name, may_stand_for_push, parse, parse_unverified, verify};
use hookd::rules::is_about;
use http::HeaderMap;
use serde_json::json;

use crate::sending::signed;
use crate::support::{NOW, generic, headers, payload, repo, secret};

/// Whether the delivery is believed on the ground of a signature, and whether that shows a secret of the repo.
fn proof(repo: &Repo, keys: &[&str], pairs: &[(String, String)]) -> (bool, bool) {
    let keys: Vec<_> = keys.iter().map(|key| secret(key)).collect();
    let headers = headers(pairs);
    let delivery = Delivery {
        headers: &headers,
        body: b"{}",
    };
    let verified = verify(&delivery, &Trust::of(repo, &keys, NOW)).unwrap();
    (verified.is_signed(), verified.proves_a_secret())
}

#[test]
fn a_secret_is_proved_by_its_signature_and_not_by_the_key_of_a_service() {
    let plain = repo("blog", "alice/blog");
    let of_github = signed(ForgeKind::GitHub, "s3cret", b"{}");
    assert_eq!(proof(&plain, &["s3cret"], &of_github), (true, true));
    let open = Repo {
        secret: vec![SecretSource::InsecureNone],
        ..plain.clone()
    };
    assert_eq!(proof(&open, &[], &of_github), (false, false));
    let signer = SigningKey::from_bytes(&[7; 32]);
    let tag = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        signer.sign(b"{}a1b2").to_bytes(),
    );
    let of_sourcehut = [("X-Payload-Nonce", "a1b2"), ("X-Payload-Signature", &tag)];
    let of_sourcehut = of_sourcehut.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let hosted = Repo {
        forge: Some(ForgeKind::SourceHut),
        public_key: Some(signer.verifying_key().to_bytes()),
        ..plain
    };
    assert_eq!(proof(&hosted, &["unused"], &of_sourcehut), (true, false));
}

#[test]
fn the_pointers_of_a_self_made_sender_hold_for_it_alone_whatever_headers_it_sends() {
    let own = Repo {
        forge: Some(ForgeKind::Generic),
        generic: Generic {
            repo: "/project".into(),
            git_ref: "/change/branch".into(),
            commit: "/change/rev".into(),
            ..generic()
        },
        ..repo("blog", "alice/blog")
    };
    let body = json!({"project": "alice/blog", "change": {"branch": "main", "rev": "2".repeat(40)}}).to_string();
    let mut pairs = signed(ForgeKind::Generic, "s3cret", body.as_bytes());
    pairs.push(("X-GitHub-Event".to_owned(), "release".to_owned()));
    let headers = headers(&pairs);
    let delivery = Delivery {
        headers: &headers,
        body: body.as_bytes(),
    };
    let keys = [secret("s3cret")];
    let parsed = parse(&verify(&delivery, &Trust::of(&own, &keys, NOW)).unwrap()).unwrap();
    let said = |parsed: &Parsed| (parsed.forge, parsed.repo.clone(), parsed.events[0].git_ref.clone());
    let expected = (
        ForgeKind::Generic,
        Some("alice/blog".to_owned()),
        Some("refs/heads/main".to_owned()),
    );
    assert_eq!(said(&parsed), expected);
    let pairs = [("X-GitHub-Event", "push"), ("X-GitHub-Delivery", "7")];
    let body = json!({"ref": "refs/heads/main", "after": "2".repeat(40), "repository": {"full_name": "alice/blog"}});
    let headers = crate::support::headers(&pairs);
    let parsed = parse_unverified(&headers, body.to_string().as_bytes(), None, Some(&own.generic)).unwrap();
    assert_eq!(said(&parsed), (ForgeKind::GitHub, expected.1, expected.2));
    assert_eq!(parsed.to_string(), "github push");
}

#[test]
fn a_delivery_that_is_not_believed_is_told_of_by_its_headers() {
    let claimed = |pairs: &[(&str, &str)]| {
        let headers = headers(pairs);
        let claims = claims(&headers);
        let owned = |text: Option<&str>| text.map(str::to_owned);
        (claims.forge, owned(claims.event), owned(claims.delivery))
    };
    let of_gitea = [("X-Gitea-Event", "push"), ("X-Gitea-Delivery", "7")];
    assert_eq!(
        claimed(&of_gitea),
        (Some(ForgeKind::Gitea), Some("push".to_owned()), Some("7".to_owned()))
    );
    assert_eq!(claimed(&[("User-Agent", "curl")]), (None, None, None));
}

#[test]
fn what_may_be_all_that_is_said_of_a_push_depends_on_the_forge() {
    let created = json!({"topic": "git.branch.creation", "msg": {"branch": "new", "rev": "1".repeat(40), "project_fullname": "ns/site"}});
    let created = created.to_string().into_bytes();
    let pushed = payload("pagure/receive.branch-create.lab.json");
    let minimal = json!({"id": "1", "eventType": "git.push", "publisherId": "tfs", "resource": {}});
    for (body, may) in [
        (created, true),
        (pushed, false),
        (minimal.to_string().into_bytes(), true),
    ] {
        let parsed = parse_unverified(&HeaderMap::new(), &body, None, None).unwrap();
        let hints = may_stand_for_push(&parsed, &parsed.events[0]);
        assert_eq!(hints, may, "{parsed} {:?}", parsed.events);
    }
}

#[test]
fn the_full_name_is_found_beside_lists_and_below_any_depth_that_a_sender_makes_up() {
    let found = |before: &str| {
        let body = format!("{{{before}\"repository\":{{\"full_name\":\"alice/blog\"}}}}");
        full_name(&headers(&[("X-GitHub-Event", "push")]), body.as_bytes()).map(|(_, name)| name)
    };
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(300), close.repeat(300));
    for before in [
        String::new(),
        "\"data\":[1,{\"name\":\"x\"},[]],".to_owned(),
        format!("\"data\":{},", deep("[", "]")),
        format!("\"data\":{},", deep("{\"data\":", "}")),
        "\"new\":null,\"type\":true,\"key\":-1,\"run\":1,\"msg\":0.5,".to_owned(),
    ] {
        assert_eq!(found(&before).as_deref(), Some("alice/blog"), "{before}");
    }
}

#[test]
fn a_repo_whose_full_name_is_set_goes_by_no_other() {
    let plain = repo("blog", "alice/blog");
    let set = Repo {
        full_name: "moved/weblog".to_owned(),
        ..plain.clone()
    };
    let address = ["https://git.example/alice/blog.git".to_owned()];
    let is = |repo: &Repo, claimed: Option<&str>| is_about(repo, ForgeKind::GitHub, claimed, &address);
    assert!(is(&plain, Some("Alice/Blog")) && is(&plain, None));
    assert!(is(&set, Some("moved/weblog")));
    assert!(!is(&set, Some("alice/blog")) && !is(&set, None));
}
