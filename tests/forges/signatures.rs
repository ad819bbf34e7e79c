//! Published and recorded signatures verify; nothing else does.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer, SigningKey};
use hookd::config::{Encoding, ForgeKind, Generic, HashAlgorithm, Repo, SecretSource};
use hookd::forge::{Delivery, Rejection, Sample, Trust, is_unsigned_ping, sample_push, unsupported_algorithm, verify};
use hookd::model::{CommitId, Timestamp};

use crate::sending::signed;
use crate::support::{ALL, NOW, check, headers, payload, repo, secret, table, verdict_of, with_sha1};

const GITHUB: Option<ForgeKind> = Some(ForgeKind::GitHub);
const EVERYBODY: &str = "It's a Secret to Everybody";
const SHA256: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
const SHA1: &str = "sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59";
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

fn refused(reason: &str) -> Result<(), String> {
    Err(reason.to_owned())
}

#[test]
fn githubs_own_vector() {
    let with = |pairs: &[(&str, &str)]| verdict_of(GITHUB, EVERYBODY, pairs, b"Hello, World!");
    assert_eq!(with(&[("X-Hub-Signature-256", SHA256)]), Ok(()));
    assert_eq!(
        with(&[(
            "X-Hub-Signature-256",
            &SHA256.to_uppercase().replace("SHA256", "sha256")
        )]),
        Ok(())
    );
    assert_eq!(with(&[]), refused("signature-missing"));
    assert_eq!(with(&[("X-Hub-Signature-256", "")]), refused("signature-empty"));
    assert_eq!(with(&[("X-Hub-Signature-256", "sha256=")]), refused("signature-empty"));
    assert_eq!(
        with(&[("X-Hub-Signature-256", &SHA256[..SHA256.len() - 2])]),
        refused("signature-wrong")
    );
    assert_eq!(
        with(&[("X-Hub-Signature-256", "sha256=zz")]),
        refused("signature-wrong")
    );
    assert_eq!(
        with(&[("X-Hub-Signature-256", "md5=00")]),
        refused("signature-unsupported")
    );
    assert_eq!(
        with(&[("X-Hub-Signature-256", SHA256), ("X-Hub-Signature-256", SHA256)]),
        refused("signature-repeated")
    );
    assert_eq!(
        verdict_of(GITHUB, "other", &[("X-Hub-Signature-256", SHA256)], b"Hello, World!"),
        refused("signature-wrong")
    );
}

#[test]
fn sha1_counts_only_where_it_is_allowed_and_never_instead_of_sha256() {
    let plain = repo("blog", "alice/blog");
    let lenient = Repo {
        options: with_sha1(true),
        ..repo("blog", "alice/blog")
    };
    let with = |repo: &Repo, pairs: &[(&str, &str)]| check(repo, EVERYBODY, pairs, b"Hello, World!");
    assert_eq!(with(&plain, &[("X-Hub-Signature", SHA1)]), refused("signature-sha1"));
    assert_eq!(with(&lenient, &[("X-Hub-Signature", SHA1)]), Ok(()));
    let both = [("X-Hub-Signature", SHA1), ("X-Hub-Signature-256", "sha256=")];
    assert_eq!(with(&lenient, &both), refused("signature-empty"));
    let wrong = SHA256.replace('7', "8");
    assert_eq!(
        with(&lenient, &[("X-Hub-Signature", SHA1), ("X-Hub-Signature-256", &wrong)]),
        refused("signature-wrong")
    );
}

#[test]
fn vectors_of_atlassian_and_of_other_receivers() {
    let cloud = "sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9";
    for forge in [ForgeKind::Bitbucket, ForgeKind::BitbucketServer] {
        assert_eq!(
            verdict_of(Some(forge), EVERYBODY, &[("X-Hub-Signature", cloud)], b"Hello World!"),
            Ok(())
        );
    }
    let lenient = Repo {
        options: with_sha1(true),
        ..repo("blog", "alice/blog")
    };
    let body: &[u8] = br#"{"a": "z"}"#;
    let sha512 = "sha512=4ab17cc8ec668ead8bf498f87f8f32848c04d5ca3c9bcfcd3db9363f0deb44e580b329502a7fdff633d4d8fca301cc5c94a55a2fec458c675fb0ff2655898324";
    for (value, body) in [
        ("sha1=b17e04cbb22afa8ffbff8796fc1894ed27badd9e", body),
        ("b17e04cbb22afa8ffbff8796fc1894ed27badd9e", body),
        (
            "sha256=f417af3a21bd70379b5796d5f013915e7029f62c580fb0f500f59a35a6f04c89",
            body,
        ),
        (
            "sha256=f9e66e179b6747ae54108f82f8ade8b3c25d76fd30afde6c395822c530196169",
            b"",
        ),
        (sha512, body),
    ] {
        assert_eq!(
            check(&lenient, "secret", &[("X-Hub-Signature", value)], body),
            Ok(()),
            "{value}"
        );
    }
}

#[test]
fn forms_are_signed_by_two_rules() {
    let form: &[u8] = b"payload=%7B%22ref%22%3A%22refs%2Fheads%2Fmain%22%7D";
    let raw = "sha256=a3ec1fe0bd564ad2a8006d8045549e9afd1b18ef3596f5657aafcd2d7db60c0d";
    let text = "d8f89f0618acd61fe621aa4e64078c0e2bca15d0b578b7f3eb734f55883c5320";
    let github = |value: &str| verdict_of(GITHUB, "secret", &[FORM, ("X-Hub-Signature-256", value)], form);
    assert_eq!(github(raw), Ok(()));
    assert_eq!(github(&format!("sha256={text}")), refused("signature-wrong"));
    for (forge, name) in [
        (ForgeKind::Gitea, "X-Gitea-Signature"),
        (ForgeKind::Forgejo, "X-Forgejo-Signature"),
        (ForgeKind::Gogs, "X-Gogs-Signature"),
        (ForgeKind::Pagure, "X-Pagure-Signature-256"),
    ] {
        assert_eq!(verdict_of(Some(forge), "secret", &[FORM, (name, text)], form), Ok(()));
        // Pagure used to declare its forms as JSON.
        assert_eq!(
            verdict_of(
                Some(forge),
                "secret",
                &[("content-type", "application/json"), (name, text)],
                form
            ),
            Ok(())
        );
        assert_eq!(
            verdict_of(Some(forge), "secret", &[FORM, (name, &raw[7..])], form),
            refused("signature-wrong")
        );
        assert_eq!(
            verdict_of(Some(forge), "secret", &[FORM, (name, "")], form),
            refused("signature-empty")
        );
    }
}

#[test]
fn recorded_signatures_hold_and_every_changed_bit_breaks_them() {
    for row in table("SIGNED.tsv") {
        let [path, name, value, key] = &row[..4] else {
            panic!("{row:?}")
        };
        let forge = if path.starts_with("pagure") {
            ForgeKind::Pagure
        } else {
            ForgeKind::GitHub
        };
        let lenient = Repo {
            forge: Some(forge),
            options: with_sha1(true),
            ..repo("site", "site")
        };
        let mut body = payload(path);
        assert_eq!(check(&lenient, key, &[(name, value)], &body), Ok(()), "{path}");
        for bit in 0..body.len() * 8 {
            body[bit / 8] ^= 1 << (bit % 8);
            assert!(
                check(&lenient, key, &[(name, value)], &body).is_err(),
                "{path} bit {bit}"
            );
            body[bit / 8] ^= 1 << (bit % 8);
        }
        let digest = hex::decode(value).unwrap();
        for bit in 0..digest.len() * 8 {
            let mut changed = digest.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(
                check(&lenient, key, &[(name, &hex::encode(changed))], &body).is_err(),
                "{path} bit {bit}"
            );
        }
    }
}

const STANDARD_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const STANDARD_BODY: &[u8] = br#"{"test": 2432232314}"#;
const STANDARD_VALUE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

fn standard(forge: ForgeKind, key: &str, value: &str, sent: &str, body: &[u8]) -> Result<(), String> {
    let pairs = [
        ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        ("webhook-timestamp", sent),
        ("webhook-signature", value),
    ];
    verdict_of(Some(forge), key, &pairs, body)
}

#[test]
fn standard_webhooks_and_gitlabs_signing_token() {
    for forge in [ForgeKind::Standard, ForgeKind::GitLab] {
        let with = |key: &str, value: &str| standard(forge, key, value, "1614265330", STANDARD_BODY);
        assert_eq!(with(STANDARD_SECRET, STANDARD_VALUE), Ok(()));
        assert_eq!(with(&STANDARD_SECRET[6..], STANDARD_VALUE), Ok(()));
        assert_eq!(with(STANDARD_SECRET, &format!("v1,AAAA v2,x {STANDARD_VALUE}")), Ok(()));
        assert_eq!(with(STANDARD_SECRET, STANDARD_VALUE.trim_end_matches('=')), Ok(()));
        assert_eq!(with(STANDARD_SECRET, "v1,AAAA"), refused("signature-wrong"));
        assert_eq!(with(STANDARD_SECRET, "v1,"), refused("signature-wrong"));
        assert_eq!(with(STANDARD_SECRET, "v2,AAAA"), refused("signature-unsupported"));
        assert_eq!(with("whsec_", STANDARD_VALUE), refused("signature-wrong"));
        assert_eq!(
            standard(forge, STANDARD_SECRET, STANDARD_VALUE, "1614265330", b"{}"),
            refused("signature-wrong")
        );
        assert_eq!(
            standard(forge, STANDARD_SECRET, STANDARD_VALUE, "1614265331", STANDARD_BODY),
            refused("signature-wrong")
        );
    }
}

#[test]
fn old_and_early_time_stamps_are_stale() {
    let keys = [secret(STANDARD_SECRET)];
    let repo = Repo {
        forge: Some(ForgeKind::Standard),
        ..repo("blog", "alice/blog")
    };
    let headers = headers(&[
        ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        ("webhook-timestamp", "1614265330"),
        ("webhook-signature", STANDARD_VALUE),
    ]);
    let delivery = Delivery {
        headers: &headers,
        body: STANDARD_BODY,
    };
    let off = |seconds: i64| {
        let trust = Trust::of(&repo, &keys, Timestamp(NOW.0 + seconds * 1000));
        verify(&delivery, &trust).map(|_| ())
    };
    assert_eq!(off(300), Ok(()));
    assert_eq!(off(-300), Ok(()));
    assert_eq!(off(301), Err(Rejection::Stale));
    assert_eq!(off(-301), Err(Rejection::Stale));
}

#[test]
fn gitlab_takes_the_token_unless_there_is_a_signature() {
    let gitlab = |pairs: &[(&str, &str)]| verdict_of(Some(ForgeKind::GitLab), "s3cret", pairs, b"{}");
    let event = ("X-Gitlab-Event", "Push Hook");
    assert_eq!(gitlab(&[event, ("X-Gitlab-Token", "s3cret")]), Ok(()));
    assert_eq!(
        gitlab(&[event, ("X-Gitlab-Token", "s3cre")]),
        refused("signature-wrong")
    );
    assert_eq!(gitlab(&[event, ("X-Gitlab-Token", "")]), refused("signature-empty"));
    assert_eq!(gitlab(&[event]), refused("signature-missing"));
    // From 19.0 on, id and time come along even if only the token is set.
    assert_eq!(
        gitlab(&[
            event,
            ("X-Gitlab-Token", "s3cret"),
            ("webhook-id", "x"),
            ("webhook-timestamp", "1")
        ]),
        Ok(())
    );
    let wrong = [
        event,
        ("X-Gitlab-Token", "s3cret"),
        ("webhook-id", "x"),
        ("webhook-timestamp", "1"),
        ("webhook-signature", "v1,AAAA"),
    ];
    assert_eq!(gitlab(&wrong), refused("signature-wrong"));
}

#[test]
fn azure_has_a_password_or_a_header() {
    let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
    let azure = |value: &str| {
        verdict_of(
            Some(ForgeKind::AzureDevOps),
            "s3:cret",
            &[("Authorization", value)],
            b"{}",
        )
    };
    assert_eq!(azure(&basic("any:s3:cret")), Ok(()));
    assert_eq!(azure(&basic("any:wrong")), refused("signature-wrong"));
    assert_eq!(azure(&basic("any:")), refused("signature-empty"));
    assert_eq!(azure("Bearer s3:cret"), refused("signature-wrong"));
    assert_eq!(azure("Basic ???"), refused("signature-wrong"));
    let named = Repo {
        forge: Some(ForgeKind::AzureDevOps),
        auth_header: Some("X-Hook-Key".into()),
        ..repo("b", "p/b")
    };
    assert_eq!(check(&named, "key", &[("x-hook-key", "key")], b"{}"), Ok(()));
    assert_eq!(check(&named, "key", &[("x-hook-key", "Bearer key")], b"{}"), Ok(()));
    assert_eq!(
        check(&named, "key", &[("x-hook-key", "kez")], b"{}"),
        refused("signature-wrong")
    );
    assert_eq!(
        check(&named, "key", &[("Authorization", &basic("a:key"))], b"{}"),
        refused("signature-missing")
    );
}

#[test]
fn sourcehut_signs_body_and_nonce() {
    let signer = SigningKey::from_bytes(&[7; 32]);
    let tag = STANDARD.encode(signer.sign(b"{}a1b2").to_bytes());
    let pairs = [
        ("X-Webhook-Event", "repo:post-update"),
        ("X-Payload-Nonce", "a1b2"),
        ("X-Payload-Signature", &tag),
    ];
    let configured = Repo {
        forge: Some(ForgeKind::SourceHut),
        public_key: Some(signer.verifying_key().to_bytes()),
        ..repo("site", "~u/site")
    };
    assert_eq!(check(&configured, "unused", &pairs, b"{}"), Ok(()));
    assert_eq!(check(&configured, "unused", &pairs, b"{} "), refused("signature-wrong"));
    assert_eq!(
        check(&configured, "unused", &pairs[..2], b"{}"),
        refused("signature-missing")
    );
    let other_nonce = [pairs[0], ("X-Payload-Nonce", "a1b3"), pairs[2]];
    assert_eq!(
        check(&configured, "unused", &other_nonce, b"{}"),
        refused("signature-wrong")
    );
    let hosted = Repo {
        public_key: None,
        ..configured
    };
    assert_eq!(check(&hosted, "unused", &pairs, b"{}"), refused("signature-wrong"));
    // The service's key is everybody's: without being configured it proves nothing for this repo.
    assert_eq!(
        check(&repo("site", "~u/site"), "unused", &pairs, b"{}"),
        refused("no-key")
    );
    let elsewhere = Repo {
        forge: GITHUB,
        ..repo("site", "~u/site")
    };
    assert_eq!(check(&elsewhere, "unused", &pairs, b"{}"), refused("no-key"));
    // One old version sent an empty nonce.
    let bare = STANDARD.encode(signer.sign(b"{}").to_bytes());
    let configured = Repo {
        public_key: Some(signer.verifying_key().to_bytes()),
        ..hosted
    };
    assert_eq!(
        check(
            &configured,
            "unused",
            &[("X-Payload-Nonce", ""), ("X-Payload-Signature", &bare)],
            b"{}"
        ),
        Ok(())
    );
}

#[test]
fn standard_webhooks_with_a_public_key() {
    let signer = SigningKey::from_bytes(&[9; 32]);
    let tag = STANDARD.encode(signer.sign(b"id.1614265330.{}").to_bytes());
    let value = format!("v1a,{tag}");
    let pairs = [
        ("webhook-id", "id"),
        ("webhook-timestamp", "1614265330"),
        ("webhook-signature", value.as_str()),
    ];
    let with_key = Repo {
        public_key: Some(signer.verifying_key().to_bytes()),
        ..repo("blog", "alice/blog")
    };
    assert_eq!(check(&with_key, "unused", &pairs, b"{}"), Ok(()));
    let headers = headers(&pairs);
    let delivery = Delivery {
        headers: &headers,
        body: b"{}",
    };
    let keys = [secret("unused")];
    let verified = verify(&delivery, &Trust::of(&with_key, &keys, NOW)).unwrap();
    assert!(verified.is_signed() && verified.secret().is_none());
    assert_eq!(check(&with_key, "unused", &pairs, b"{ }"), refused("signature-wrong"));
    assert_eq!(
        check(&repo("blog", "alice/blog"), "unused", &pairs, b"{}"),
        refused("signature-wrong")
    );
}

#[test]
fn the_generic_forge_signs_as_configured() {
    let generic = |algorithm, encoding, prefix: &str| Repo {
        forge: Some(ForgeKind::Generic),
        generic: Generic {
            algorithm,
            encoding,
            prefix: prefix.into(),
            ..crate::support::generic()
        },
        ..repo("blog", "alice/blog")
    };
    let digest = "f417af3a21bd70379b5796d5f013915e7029f62c580fb0f500f59a35a6f04c89";
    let body = br#"{"a": "z"}"#;
    let hex = generic(HashAlgorithm::Sha256, Encoding::Hex, "v0=");
    assert_eq!(
        check(&hex, "secret", &[("x-signature", &format!("v0={digest}"))], body),
        Ok(())
    );
    assert_eq!(
        check(&hex, "secret", &[("x-signature", digest)], body),
        refused("signature-wrong")
    );
    assert_eq!(
        check(&hex, "secret", &[("x-signature", "v0=")], body),
        refused("signature-empty")
    );
    assert_eq!(
        check(&hex, "secret", &[("X-GitHub-Event", "push")], body),
        refused("signature-missing")
    );
    let base64 = generic(HashAlgorithm::Sha256, Encoding::Base64, "");
    let text = STANDARD.encode(hex::decode(digest).unwrap());
    assert_eq!(check(&base64, "secret", &[("x-signature", &text)], body), Ok(()));
}

#[test]
fn the_headers_must_agree_with_the_configured_forge() {
    let signed = ("X-Hub-Signature-256", SHA256);
    let with = |forge, pairs: &[(&str, &str)]| verdict_of(forge, EVERYBODY, pairs, b"Hello, World!");
    let gitea = [("X-Gitea-Event", "push"), ("X-GitHub-Event", "push"), signed];
    assert_eq!(with(GITHUB, &gitea), refused("forge-mismatch"));
    assert_eq!(with(Some(ForgeKind::Gitea), &gitea), Ok(()));
    assert_eq!(with(Some(ForgeKind::Forgejo), &gitea), Ok(()));
    assert_eq!(with(None, &gitea), Ok(()));
    assert_eq!(with(GITHUB, &[("X-GitHub-Event", "push"), signed]), Ok(()));
    assert_eq!(
        with(Some(ForgeKind::GitLab), &[("X-GitHub-Event", "push"), signed]),
        refused("forge-mismatch")
    );
    assert_eq!(
        with(
            Some(ForgeKind::GitLab),
            &[("X-GitHub-Event", "push"), ("X-Hub-Signature-256", "sha256=00")]
        ),
        refused("signature-wrong")
    );
}

#[test]
fn any_of_several_secrets_is_good_and_none_lets_nobody_in() {
    let repo = repo("blog", "alice/blog");
    let headers = headers(&[("X-Hub-Signature-256", SHA256)]);
    let delivery = Delivery {
        headers: &headers,
        body: b"Hello, World!",
    };
    let with = |keys: &[&str]| {
        let keys: Vec<_> = keys.iter().map(|key| secret(key)).collect();
        verify(&delivery, &Trust::of(&repo, &keys, NOW)).map(|verified| verified.secret())
    };
    assert_eq!(with(&["new", EVERYBODY]), Ok(Some(2)));
    assert_eq!(with(&[EVERYBODY, "old", "older"]), Ok(Some(1)));
    assert_eq!(with(&[EVERYBODY]), Ok(Some(1)));
    assert_eq!(with(&["new", "old"]), Err(Rejection::Wrong));
    assert_eq!(with(&[]), Err(Rejection::NoKey));
    assert_eq!(with(&[""]), Err(Rejection::NoKey));
}

#[test]
fn open_repos_say_so_and_unknown_ones_trust_nothing() {
    let open = Repo {
        secret: vec![SecretSource::InsecureNone],
        ..repo("blog", "alice/blog")
    };
    let headers = headers(&[("X-GitHub-Event", "push")]);
    let delivery = Delivery {
        headers: &headers,
        body: b"{}",
    };
    assert!(!verify(&delivery, &Trust::of(&open, &[], NOW)).unwrap().is_signed());
    // With a secret after all, it is no longer open.
    assert!(verify(&delivery, &Trust::of(&open, &[secret("x")], NOW)).is_err());
    assert_eq!(
        verify(&delivery, &Trust::nobody(NOW)).map(|_| ()),
        Err(Rejection::Missing)
    );
    let body = sample();
    for kind in ALL
        .iter()
        .filter(|kind| !matches!(kind, ForgeKind::SourceHut | ForgeKind::Generic))
    {
        // Even who knows the stand-in for a secret gets nowhere.
        let made = signed(*kind, "no repo has this secret", &body);
        let headers = crate::support::headers(&made);
        let delivery = Delivery {
            headers: &headers,
            body: &body,
        };
        assert_eq!(
            verify(&delivery, &Trust::nobody(NOW)).map(|_| ()),
            Err(Rejection::Wrong),
            "{kind:?}"
        );
    }
}

fn sample() -> Vec<u8> {
    let after: CommitId = "1".repeat(40).parse().unwrap();
    let push = Sample {
        full_name: "alice/blog",
        git_ref: &"refs/heads/main".parse().unwrap(),
        before: &CommitId::zero(),
        after: &after,
        id: &"sample-1".parse().unwrap(),
        generic: None,
    };
    sample_push(ForgeKind::GitHub, &push)
}

#[test]
fn unknown_algorithms_are_told_from_the_headers_alone() {
    let of = |name: &str, value: &str| unsupported_algorithm(&headers(&[(name, value)])).map(str::to_owned);
    assert_eq!(of("X-Hub-Signature-256", "md5=00"), Some("md5".into()));
    assert_eq!(of("X-Hub-Signature", "sha3-256=00"), Some("sha3-256".into()));
    assert_eq!(of("X-Gitea-Signature", "blake3=00"), Some("blake3".into()));
    assert_eq!(of("webhook-signature", "v9,AA== v8,AA=="), Some("v9".into()));
    for (name, value) in [
        ("X-Hub-Signature-256", "sha256=00"),
        ("X-Hub-Signature", "SHA1=00"),
        ("X-Hub-Signature", "sha512=00"),
        ("X-Hub-Signature", "00"),
        ("X-Hub-Signature", ""),
        ("X-Hub-Signature", "<script>=00"),
        ("X-Payload-Signature", "abc="),
        ("webhook-signature", "v9,AA== v1,AA=="),
        ("webhook-signature", "v1a,AA=="),
        ("X-Gitlab-Token", "a=b"),
    ] {
        assert_eq!(of(name, value), None, "{name}: {value}");
    }
}

#[test]
fn only_the_bare_connection_test_may_come_unsigned() {
    let is = |pairs: &[(&str, &str)], body: &[u8]| {
        is_unsigned_ping(&Delivery {
            headers: &headers(pairs),
            body,
        })
    };
    let ping = ("X-Event-Key", "diagnostics:ping");
    assert!(is(&[ping], b"{\"test\": true}\n"));
    assert!(!is(&[ping], b"{\"test\": true, \"changes\": []}"));
    assert!(!is(&[("X-Event-Key", "repo:refs_changed")], b"{\"test\": true}"));
    assert!(!is(&[ping, ("X-Hub-Signature", "sha256=00")], b"{\"test\": true}"));
}
