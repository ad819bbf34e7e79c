//! A request, and the secrets and keys that it is checked with.

use std::time::Duration;

use http::HeaderMap;

use super::error::Rejection;
use super::rule::{Generic, HashAlgorithm};
use super::scheme::{self, any_hmac};
use crate::model::{Secret, Timestamp};

/// One request, and what counts as proof that it is genuine.
pub struct Request<'a> {
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Its body as it came.
    pub raw: &'a [u8],
    /// The JSON in the body, which some forges sign instead.
    pub json: &'a [u8],
    /// The webhook secrets; each of them is good.
    pub secrets: &'a [Secret],
    /// Whether SHA-1 is good enough where there is nothing better.
    pub allow_sha1: bool,
    /// The Ed25519 key of the sender.
    pub public_key: Option<[u8; 32]>,
    /// Whether the configuration names this forge.
    pub is_named: bool,
    /// The header that holds the secret.
    pub auth_header: Option<&'a str>,
    /// How the `generic` forge signs.
    pub generic: Option<&'a Generic>,
    /// How far a signed time stamp may be from now, either way.
    pub tolerance: Duration,
    /// The time of arrival.
    pub now: Timestamp,
}

impl<'a> Request<'a> {
    /// The one value of a header that must not be there twice.
    pub fn single_bytes(&self, name: &str) -> Result<&'a [u8], Rejection> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next().ok_or(Rejection::Missing)?.as_bytes().trim_ascii();
        match values.next() {
            Some(_) => Err(Rejection::Repeated),
            None if value.is_empty() => Err(Rejection::Empty),
            None => Ok(value),
        }
    }

    /// The same of visible ASCII.
    pub fn single(&self, name: &str) -> Result<&'a str, Rejection> {
        let value = self.single_bytes(name)?;
        let text = std::str::from_utf8(value).ok().filter(|text| text.is_ascii());
        text.ok_or(Rejection::Wrong)
    }

    /// The keys to try. An empty one would let anybody in, so it is none.
    pub fn keys(&self) -> Result<Vec<&'a [u8]>, Rejection> {
        let keys = scheme::keys(self.secrets);
        if keys.is_empty() {
            Err(Rejection::NoKey)
        } else {
            Ok(keys)
        }
    }

    /// Hexadecimal, bare or behind `algorithm=`. The first header that is there decides; there is no falling back.
    pub fn hex(&self, names: &[&str], signed: &[u8]) -> Result<(), Rejection> {
        let name = names
            .iter()
            .find(|name| self.headers.contains_key(**name))
            .ok_or(Rejection::Missing)?;
        let (algorithm, tag) = hex_signature(self.single(name)?)?;
        if algorithm == HashAlgorithm::Sha1 && !self.allow_sha1 {
            return Err(Rejection::Sha1);
        }
        fits(any_hmac(algorithm, &self.keys()?, &[signed], &[tag]))
    }

    /// An error unless the signed time, in milliseconds, is near enough to now.
    pub fn require_recent(&self, sent: Option<i64>) -> Result<(), Rejection> {
        let off = self.now.0.abs_diff(sent.ok_or(Rejection::Stale)?);
        if off / 1000 > self.tolerance.as_secs() {
            Err(Rejection::Stale)
        } else {
            Ok(())
        }
    }
}

/// An error unless the signature is genuine.
pub(super) fn fits(genuine: bool) -> Result<(), Rejection> {
    if genuine { Ok(()) } else { Err(Rejection::Wrong) }
}

/// `sha256=<hex>`, or bare hexadecimal, whose length then tells the algorithm.
fn hex_signature(value: &str) -> Result<(HashAlgorithm, Vec<u8>), Rejection> {
    let (algorithm, digits) = match value.split_once('=') {
        Some((name, digits)) => {
            let unknown =
                || scheme::algorithm_name(value).map_or(Rejection::Wrong, |name| Rejection::Unsupported(name.into()));
            (Some(scheme::algorithm(name).ok_or_else(unknown)?), digits)
        }
        None => (None, value),
    };
    if digits.is_empty() {
        return Err(Rejection::Empty);
    }
    let tag = hex::decode(digits).map_err(|_| Rejection::Wrong)?;
    let of_length = |algorithm: &HashAlgorithm| scheme::digest_len(*algorithm) == tag.len();
    let algorithm = algorithm
        .or_else(|| HashAlgorithm::ALL.iter().copied().find(of_length))
        .filter(of_length);
    Ok((algorithm.ok_or(Rejection::Wrong)?, tag))
}
