//! The arithmetic of signatures: HMACs in hexadecimal or base64, Standard Webhooks, Ed25519. All comparisons in constant time.

use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use ed25519_dalek::{Signature, VerifyingKey};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::rule::HashAlgorithm;
use crate::model::Secret;

/// Versions of Standard Webhooks signatures that are understood: HMAC-SHA256 and Ed25519.
pub const VERSIONS: &[&str] = &["v1", "v1a"];

/// Longest name of an algorithm that is worth being told; what is longer is no name.
const NAME_MAX: usize = 16;

/// Fewest HMACs that any answer costs. A repo in rotation has two secrets and an unknown one has none: so that the time
/// does not tell them apart, each costs as much.
const TRIES_MIN: usize = 2;

/// Standard alphabet; padding as the sender likes it (the reference libraries differ).
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The algorithm of that name.
pub fn algorithm(name: &str) -> Option<HashAlgorithm> {
    name.to_ascii_lowercase().parse().ok()
}

/// The NAME of a value `NAME=…`; `None` if there is nothing that could be a name.
pub fn algorithm_name(value: &str) -> Option<&str> {
    let (name, _) = value.split_once('=')?;
    let name_like = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '/');
    let fits = !name.is_empty() && name.len() <= NAME_MAX && name.chars().all(name_like);
    fits.then_some(name)
}

/// The versions in a `webhook-signature` list, as far as they could be one.
pub fn versions(list: &str) -> impl Iterator<Item = &str> {
    list.split_ascii_whitespace()
        .filter_map(|entry| entry.split_once(','))
        .map(|(version, _)| version)
        .filter(|version| version.len() <= NAME_MAX && version.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// Length of a digest, bytes.
pub(super) fn digest_len(algorithm: HashAlgorithm) -> usize {
    match algorithm {
        HashAlgorithm::Sha1 => 20,
        HashAlgorithm::Sha256 => 32,
        HashAlgorithm::Sha512 => 64,
    }
}

/// Bytes of base64 text, padded or not.
pub(super) fn base64_bytes(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text).ok()
}

/// Base64 text of bytes, padded.
pub(super) fn base64_text(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

fn mac<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> Option<M> {
    let mut mac = <M as KeyInit>::new_from_slice(key).ok()?;
    for part in parts {
        mac.update(part);
    }
    Some(mac)
}

/// The HMAC over the parts, one after the other.
pub(super) fn hmac(algorithm: HashAlgorithm, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    fn digest<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
        // An HMAC takes keys of any length, so there is always one.
        mac::<M>(key, parts).map_or_else(Vec::new, |mac| mac.finalize().into_bytes().to_vec())
    }
    match algorithm {
        HashAlgorithm::Sha1 => digest::<Hmac<Sha1>>(key, parts),
        HashAlgorithm::Sha256 => digest::<Hmac<Sha256>>(key, parts),
        HashAlgorithm::Sha512 => digest::<Hmac<Sha512>>(key, parts),
    }
}

fn hmac_matches(algorithm: HashAlgorithm, key: &[u8], parts: &[&[u8]], tag: &[u8]) -> bool {
    fn matches<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]], tag: &[u8]) -> bool {
        mac::<M>(key, parts).is_some_and(|mac| mac.verify_slice(tag).is_ok())
    }
    match algorithm {
        HashAlgorithm::Sha1 => matches::<Hmac<Sha1>>(key, parts, tag),
        HashAlgorithm::Sha256 => matches::<Hmac<Sha256>>(key, parts, tag),
        HashAlgorithm::Sha512 => matches::<Hmac<Sha512>>(key, parts, tag),
    }
}

/// True if one of the keys made one of the tags. Every key is tried on every tag, at least [`TRIES_MIN`] times in all.
pub(super) fn any_hmac(algorithm: HashAlgorithm, keys: &[&[u8]], parts: &[&[u8]], tags: &[Vec<u8>]) -> bool {
    let mut found = false;
    for key in keys {
        for tag in tags {
            found |= hmac_matches(algorithm, key, parts, tag);
        }
    }
    for _ in keys.len() * tags.len()..TRIES_MIN {
        let _ = hmac_matches(algorithm, b"", parts, &[]);
    }
    found
}

/// As much work as checking a signature: what is refused before that must not be quicker.
pub fn burn(body: &[u8]) {
    any_hmac(HashAlgorithm::Sha256, &[], &[body], &[]);
}

/// The keys to try: each secret as it is, and without blanks at its ends, which people paste without seeing them. An empty one
/// would let anybody in, so it is none.
pub(super) fn keys(secrets: &[Secret]) -> Vec<&[u8]> {
    let mut keys = Vec::new();
    for whole in secrets.iter().map(Secret::expose) {
        let bare = whole.trim_ascii();
        if !bare.is_empty() {
            keys.push(whole);
            keys.extend((bare.len() < whole.len()).then_some(bare));
        }
    }
    keys
}

/// True if the text is one of the secrets. Compares digests, so that not even a secret's length shows in the time.
pub(super) fn any_equal(secrets: &[Secret], text: &[u8]) -> bool {
    let digest = Sha256::digest(text.trim_ascii());
    let mut found = subtle::Choice::from(0);
    for secret in secrets {
        // A header has no blanks at its ends, so nor has a secret in one.
        found |= Sha256::digest(secret.expose().trim_ascii()).ct_eq(&digest);
    }
    bool::from(found) && !text.trim_ascii().is_empty()
}

/// True if the key's owner signed the parts, one after the other. Strict: no weak keys, no malleable signatures.
pub(super) fn ed25519(key: &[u8; 32], parts: &[&[u8]], signature: &[u8]) -> bool {
    let (Ok(key), Ok(signature)) = (VerifyingKey::from_bytes(key), Signature::from_slice(signature)) else {
        return false;
    };
    key.verify_strict(&parts.concat(), &signature).is_ok()
}

/// The key in a secret of Standard Webhooks: base64 behind `whsec_`, with or without that; what is no base64 is the key
/// itself. `None` if there is nothing behind it.
pub(super) fn standard_key(secret: &Secret) -> Option<Zeroizing<Vec<u8>>> {
    // What is shown beside it may have been copied with it: the version of the signature, blanks.
    let text = secret.expose().trim_ascii();
    let text = text.strip_prefix(b"v1,").unwrap_or(text);
    let encoded = text.strip_prefix(b"whsec_").unwrap_or(text);
    let key = BASE64.decode(encoded).unwrap_or_else(|_| text.to_vec());
    (!key.is_empty()).then(|| Zeroizing::new(key))
}
