//! Nothing is believed that was not signed, whatever the headers say; and what was signed not with any bit changed.

use hookd::config::ForgeKind;
use hookd::forge::{self, Delivery, Signing, Trust, verify};
use hookd::model::Secret;
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

use super::request::{self, NOW};

/// Headers whose text counts bit by bit: here neither hexadecimal digits in capitals nor spaces around them mean the same.
const EXACT: &[&str] = &[
    "webhook-signature",
    "webhook-id",
    "webhook-timestamp",
    "x-gitlab-token",
    "authorization",
];

/// A byte for the repo, two for the bit to change, then a request.
pub fn run(data: &[u8]) {
    let [choice, high, low, rest @ ..] = data else { return };
    let (headers, body) = request::parse(rest);
    let repo = request::chosen_repo(*choice);
    // A secret that changes with every input can't be learnt.
    let secret = hex::encode(Sha256::digest(data));
    let keys = [
        Secret::new(secret.clone().into_bytes()),
        Secret::new(format!("whsec_{secret}").into_bytes()),
    ];
    let delivery = Delivery {
        headers: &headers,
        body,
    };
    assert!(verify(&delivery, &Trust::of(repo, &keys, NOW)).is_err(), "believed");
    assert!(
        verify(&delivery, &Trust::of(repo, &[], NOW)).is_err(),
        "believed without a secret"
    );
    assert!(
        verify(&delivery, &Trust::nobody(NOW)).is_err(),
        "believed for a repo that does not exist"
    );
    if let Some(forge) = repo.forge.filter(|forge| *forge != ForgeKind::SourceHut) {
        changed(
            forge,
            *choice,
            &keys[..1],
            body,
            usize::from(u16::from_be_bytes([*high, *low])),
        );
    }
}

/// Signs the body, and changes one bit of it or of a signed header.
fn changed(forge: ForgeKind, choice: u8, keys: &[Secret], body: &[u8], bit: usize) {
    let repo = request::chosen_repo(choice);
    let id = "0000-1".parse().unwrap();
    let with = Signing {
        id: &id,
        now: NOW,
        generic: Some(&repo.generic),
        auth_header: None,
    };
    let signed = forge::sign(forge, keys.first(), body, &with).unwrap();
    let mut headers = HeaderMap::new();
    for (name, value) in &signed {
        // An event that is no text can't be in a header, and then there is none to name.
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    }
    let trust = Trust::of(repo, keys, NOW);
    // Of an empty or form-like body the senders of this family sign what is in it.
    let plain = body.first() == Some(&b'{');
    if !plain {
        return;
    }
    let believed = |headers: &HeaderMap, body: &[u8]| verify(&Delivery { headers, body }, &trust).is_ok();
    assert!(
        believed(&headers, body),
        "{forge:?} does not believe what was signed for it"
    );

    // GitLab's signing token is another matter than its secret token.
    let covers_body = forge.dialect().covers_body || headers.contains_key("webhook-signature");
    let mut other = body.to_vec();
    let at = bit / 8 % other.len();
    other[at] ^= 1 << (bit % 8);
    if covers_body && other.first() == Some(&b'{') {
        assert!(
            !believed(&headers, &other),
            "{forge:?} believes another body, bit {bit}"
        );
    }
    for name in EXACT.iter().filter(|name| headers.contains_key(**name)) {
        let mut value = headers[*name].as_bytes().to_vec();
        let at = bit / 8 % value.len();
        value[at] ^= 1 << (bit % 8);
        let Ok(value) = HeaderValue::from_bytes(&value) else {
            continue;
        };
        let user = *name == "authorization" && same_password(&headers[*name], &value);
        let mut others = headers.clone();
        others.insert(HeaderName::from_static(name), value);
        assert!(
            user || !believed(&others, body),
            "{forge:?} believes another {name}, bit {bit}"
        );
    }
}

/// Whether only the user before the password differs, which means nothing.
fn same_password(one: &HeaderValue, other: &HeaderValue) -> bool {
    use base64::Engine;
    let password = |value: &HeaderValue| {
        let text = value.to_str().ok()?.strip_prefix("Basic ")?.trim().to_owned();
        let pair = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
        let colon = pair.iter().position(|b| *b == b':')?;
        Some(pair[colon + 1..].to_vec())
    };
    password(one) == password(other)
}
