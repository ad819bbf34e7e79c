//! One changed bit, in the body or in a header that counts, and nobody believes a delivery any more: for every way of signing.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer, SigningKey};
use hookd::config::{ForgeKind, Repo};
use hookd::forge::{Delivery, Trust, stored_headers, verify};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::sending::signed;
use crate::support::{ALL, NOW, headers, repo, secret};

const BODY: &[u8] = br#"{"ref":"refs/heads/main","after":"1111111111111111111111111111111111111111"}"#;
const KEY: &str = "It's a Secret to Everybody";

/// A genuine delivery of `BODY`, what it is checked with, and which of its headers count.
struct Sample {
    repo: Repo,
    headers: HeaderMap,
    signed: Vec<String>,
    covers_body: bool,
}

impl Sample {
    /// Whether it is believed with this body and these headers.
    fn believed(&self, body: &[u8], headers: &HeaderMap) -> bool {
        let keys = [secret(KEY)];
        verify(&Delivery { headers, body }, &Trust::of(&self.repo, &keys, NOW)).is_ok()
    }

    fn check_every_bit(&self, what: &str) {
        assert!(self.believed(BODY, &self.headers), "{what}");
        if self.covers_body {
            for bit in 0..BODY.len() * 8 {
                assert!(
                    !self.believed(&flipped(BODY, bit), &self.headers),
                    "{what}: body, bit {bit}"
                );
            }
        }
        for name in &self.signed {
            let value = self.headers[name].as_bytes();
            for bit in 0..value.len() * 8 {
                let other = flipped(value, bit);
                // Some bits make it something that no header can be.
                let Ok(changed) = HeaderValue::from_bytes(&other) else {
                    continue;
                };
                // Hexadecimal digits and the algorithm's name may be capitals.
                if name.contains("signature") && other.eq_ignore_ascii_case(value) && !name.starts_with("webhook") {
                    continue;
                }
                let mut headers = self.headers.clone();
                headers.insert(name.parse::<HeaderName>().unwrap(), changed);
                assert!(
                    !self.believed(BODY, &headers),
                    "{what}: {name}: {}",
                    String::from_utf8_lossy(&other)
                );
            }
            let mut headers = self.headers.clone();
            headers.remove(name);
            assert!(!self.believed(BODY, &headers), "{what}: without {name}");
        }
    }
}

fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    changed[bit / 8] ^= 1 << (bit % 8);
    changed
}

/// The headers that count, as each forge sends them: those that may not be stored. None for a forge that signs otherwise.
fn signed_headers(forge: ForgeKind, sent: &HeaderMap) -> Vec<String> {
    let names = match forge {
        // The SHA-1 beside it is never looked at.
        ForgeKind::GitHub => vec!["x-hub-signature-256"],
        ForgeKind::Standard => vec!["webhook-id", "webhook-timestamp", "webhook-signature"],
        ForgeKind::Generic => vec!["x-signature"],
        ForgeKind::AzureDevOps | ForgeKind::SourceHut => Vec::new(),
        _ => {
            let stored = stored_headers(sent);
            let is_stored = |name: &str| stored.iter().any(|(stored, _)| stored == name);
            let names: Vec<_> = sent
                .keys()
                .map(HeaderName::as_str)
                .filter(|name| !is_stored(name))
                .collect();
            assert!(!names.is_empty(), "{forge}");
            names
        }
    };
    names.into_iter().map(str::to_owned).collect()
}

#[test]
fn of_a_forge_with_a_secret() {
    for forge in ALL.iter().copied().filter(|forge| *forge != ForgeKind::SourceHut) {
        let sent = headers(&signed(forge, KEY, BODY));
        let signed = signed_headers(forge, &sent);
        if signed.is_empty() {
            continue;
        }
        let sample = Sample {
            repo: Repo {
                forge: Some(forge),
                ..repo("blog", "alice/blog")
            },
            headers: sent,
            signed,
            covers_body: forge.dialect().covers_body,
        };
        sample.check_every_bit(&format!("{forge:?}"));
    }
}

#[test]
fn of_azures_password() {
    let azure = Repo {
        forge: Some(ForgeKind::AzureDevOps),
        ..repo("blog", "alice/blog")
    };
    let of = |pair: &[u8]| headers(&[("authorization", format!("Basic {}", STANDARD.encode(pair)))]);
    let sample = Sample {
        repo: azure,
        headers: of(format!("hookd:{KEY}").as_bytes()),
        signed: Vec::new(),
        covers_body: false,
    };
    sample.check_every_bit("azure");
    // Who the user is means nothing; the password is all that counts.
    for bit in 0..KEY.len() * 8 {
        let pair = [b"hookd:".as_slice(), &flipped(KEY.as_bytes(), bit)].concat();
        assert!(!sample.believed(BODY, &of(&pair)), "bit {bit}");
    }
}

#[test]
fn of_gitlabs_signing_token() {
    let made = signed(ForgeKind::Standard, KEY, BODY);
    let mut with_event = headers(&made);
    with_event.insert("x-gitlab-event", HeaderValue::from_static("Push Hook"));
    let sample = Sample {
        repo: Repo {
            forge: Some(ForgeKind::GitLab),
            ..repo("blog", "alice/blog")
        },
        headers: with_event,
        signed: ["webhook-id", "webhook-timestamp", "webhook-signature"]
            .map(str::to_owned)
            .into(),
        covers_body: true,
    };
    sample.check_every_bit("gitlab");
}

#[test]
fn of_a_public_key() {
    let signer = SigningKey::from_bytes(&[7; 32]);
    let with_key = |forge| Repo {
        forge: Some(forge),
        public_key: Some(signer.verifying_key().to_bytes()),
        ..repo("blog", "alice/blog")
    };
    let tag = |parts: &[&[u8]]| STANDARD.encode(signer.sign(&parts.concat()).to_bytes());
    let sourcehut = Sample {
        repo: with_key(ForgeKind::SourceHut),
        headers: headers(&[
            ("x-payload-nonce", "a1b2".to_owned()),
            ("x-payload-signature", tag(&[BODY, b"a1b2"])),
        ]),
        signed: ["x-payload-nonce", "x-payload-signature"].map(str::to_owned).into(),
        covers_body: true,
    };
    sourcehut.check_every_bit("sourcehut");
    let standard = Sample {
        repo: with_key(ForgeKind::Standard),
        headers: headers(&[
            ("webhook-id", "id".to_owned()),
            ("webhook-timestamp", "1614265330".to_owned()),
            ("webhook-signature", format!("v1a,{}", tag(&[b"id.1614265330.", BODY]))),
        ]),
        signed: ["webhook-id", "webhook-timestamp", "webhook-signature"]
            .map(str::to_owned)
            .into(),
        covers_body: true,
    };
    standard.check_every_bit("standard");
}
