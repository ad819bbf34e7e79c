//! What goes into the headers of a signed delivery.

use super::error::CannotSign;
use super::rule::{Generic, HashAlgorithm};
use super::scheme::hmac;
use crate::model::{DeliveryId, Secret, Timestamp};

/// Headers by name.
pub type Headers = Vec<(String, String)>;

/// What else goes into the headers.
pub struct Signing<'a> {
    /// The delivery's id.
    pub id: &'a DeliveryId,
    /// The time, for forges that sign it.
    pub now: Timestamp,
    /// How the `generic` forge signs.
    pub generic: Option<&'a Generic>,
    /// The header that holds the secret (Azure DevOps).
    pub auth_header: Option<&'a str>,
}

/// One header.
pub(super) fn one(name: &str, value: String) -> Headers {
    vec![(name.to_owned(), value)]
}

/// The HMAC over the body, in hexadecimal.
pub(super) fn hex_digest(algorithm: HashAlgorithm, secret: &Secret, body: &[u8]) -> String {
    hex::encode(hmac(algorithm, secret.expose(), &[body]))
}

/// The HMAC-SHA256 over the body, in hexadecimal.
pub(super) fn sha256(secret: &Secret, body: &[u8]) -> String {
    hex_digest(HashAlgorithm::Sha256, secret, body)
}

/// The secret itself, if a header can hold it.
pub(super) fn header_text(secret: &Secret) -> Result<&str, CannotSign> {
    let text = std::str::from_utf8(secret.expose().trim_ascii()).map_err(|_| CannotSign::HeaderText)?;
    let fits = !text.is_empty() && !text.contains(|c: char| c.is_ascii_control());
    if fits { Ok(text) } else { Err(CannotSign::HeaderText) }
}
