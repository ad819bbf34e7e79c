//! What is told of a delivery by its headers alone.

use hookd::forge::{Delivery, is_unsigned_ping, unsupported_algorithm};

use super::support::headers;

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
