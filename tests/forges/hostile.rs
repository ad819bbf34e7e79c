//! Whatever comes in: nothing panics, and nothing is believed that was not signed.

use hookd::config::{ForgeKind, Repo};
use hookd::explain::explain;
use hookd::forge::{self, Delivery, Trust, verify};
use hookd::rules::judge;
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use serde_json::{Map, Value};

use crate::support::{ALL, NOW, fixtures, repo, secret, target, with_sha1, with_target};

const NAMES: &[&str] = &[
    "content-type",
    "x-github-event",
    "x-gitea-event",
    "x-forgejo-event",
    "x-gogs-event",
    "x-gitlab-event",
    "x-event-key",
    "x-pagure-topic",
    "x-webhook-event",
    "x-hub-signature",
    "x-hub-signature-256",
    "x-gitea-signature",
    "x-forgejo-signature",
    "x-gogs-signature",
    "x-gitlab-token",
    "x-pagure-signature-256",
    "x-payload-signature",
    "x-payload-nonce",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "authorization",
    "x-signature",
    "x-request-id",
];

const VALUES: &[&str] = &[
    "push",
    "ping",
    "create",
    "release",
    "workflow_run",
    "status",
    "action_run_success",
    "Push Hook",
    "System Hook",
    "repo:push",
    "repo:refs_changed",
    "git.receive",
    "application/x-www-form-urlencoded",
    "application/json",
    "sha256=",
    "sha256=00",
    "sha1=00",
    "v1,AAAA",
    "v1a,AAAA",
    "Basic YTpi",
    "Basic ",
    "1614265330",
    "",
];

/// Keys and values that the parsers look for, so that arbitrary JSON gets further than the front door.
const KEYS: &[&str] = &[
    "ref",
    "before",
    "after",
    "ref_type",
    "repository",
    "full_name",
    "push",
    "changes",
    "new",
    "old",
    "target",
    "hash",
    "name",
    "type",
    "object_kind",
    "object_attributes",
    "project",
    "eventType",
    "resource",
    "refUpdates",
    "topic",
    "msg",
    "data",
    "webhook",
    "updates",
    "refs",
    "run",
    "prior_status",
    "action",
    "workflow_run",
    "commits",
    "branches",
    "sha",
    "state",
    "release",
    "zen",
];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[0-9a-f]{40}",
        "\\^?0{40}",
        "refs/(heads|tags)/[a-z-]{0,5}",
        prop::sample::select(VALUES).prop_map(str::to_owned),
    ]
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text().prop_map(Value::from)
    ];
    leaf.prop_recursive(5, 64, 8, |inner| {
        let key = prop::sample::select(KEYS).prop_map(str::to_owned);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..8)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        json().prop_map(|value| value.to_string().into_bytes()),
        json().prop_map(|value| {
            let encoded: String = url::form_urlencoded::byte_serialize(value.to_string().as_bytes()).collect();
            format!("payload={encoded}").into_bytes()
        }),
        prop::collection::vec(any::<u8>(), 0..100).prop_map(|bytes| [b"payload=".to_vec(), bytes].concat()),
    ]
}

fn headers() -> impl Strategy<Value = HeaderMap> {
    let value = prop_oneof![
        prop::sample::select(VALUES).prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(32_u8..=255, 0..60).prop_map(|bytes| bytes.into_iter().filter(|b| *b != 127).collect()),
        "[0-9a-f]{64}".prop_map(String::into_bytes),
        "sha256=[0-9a-f]{64}".prop_map(String::into_bytes),
    ];
    let pair = (prop::sample::select(NAMES), value);
    prop::collection::vec(pair, 0..8).prop_map(|pairs| {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(HeaderName::from_static(name), HeaderValue::from_bytes(&value).unwrap());
        }
        map
    })
}

fn any_forge() -> impl Strategy<Value = Option<ForgeKind>> {
    prop::option::of(prop::sample::select(ALL))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_believed_that_was_not_signed(headers in headers(), body in body(), forge in any_forge(), sha1 in any::<bool>()) {
        let repo = Repo { forge, options: with_sha1(sha1), ..repo("blog", "alice/blog") };
        let keys = [secret("0f4c4b5b-a secret that nobody guesses"), secret("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX")];
        let delivery = Delivery { headers: &headers, body: &body };
        prop_assert!(verify(&delivery, &Trust::of(&repo, &keys, NOW)).is_err());
        prop_assert!(verify(&delivery, &Trust::nobody(NOW)).is_err());
    }

    #[test]
    fn nothing_panics(headers in headers(), body in body(), forge in any_forge()) {
        let _ = forge::unsupported_algorithm(&headers);
        let _ = forge::stored_headers(&headers);
        let _ = forge::full_name(&headers, &body);
        let repo = with_target(repo("blog", "alice/blog"), target());
        if let Ok(parsed) = forge::parse_unverified(&headers, &body, forge, Some(&repo.generic)) {
            for verdict in judge(&repo, &parsed) {
                prop_assert!(!verdict.reason.chars().any(char::is_control));
            }
        }
        let _ = explain(&headers, &body, forge, None, NOW).to_string();
    }
}

#[test]
fn truncated_payloads_are_errors_and_never_panics() {
    for fixture in fixtures() {
        for cut in (0..fixture.body.len()).step_by(fixture.body.len() / 7 + 1) {
            let short = &fixture.body[..cut];
            assert!(
                forge::parse_unverified(&fixture.headers, short, None, None).is_err(),
                "{} at {cut}",
                fixture.path
            );
            let _ = forge::full_name(&fixture.headers, short);
        }
    }
}
