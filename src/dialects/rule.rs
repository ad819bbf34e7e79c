//! How a sender of one's own signs and writes its JSON, as the configuration says it.

use crate::model::spelled;

/// `[repo.NAME.generic]`: how the `generic` forge signs and what its JSON looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generic {
    /// Header of the signature (default `X-Signature`).
    pub header: String,
    /// HMAC over the raw body (default sha256).
    pub algorithm: HashAlgorithm,
    /// How the header writes it (default hex).
    pub encoding: Encoding,
    /// What stands before it (default none), `sha256=`.
    pub prefix: String,
    /// JSON pointer to the full name (default `/repository/full_name`).
    pub repo: String,
    /// JSON pointer to the full ref or the branch name (default `/ref`).
    pub git_ref: String,
    /// JSON pointer to the commit (default `/after`).
    pub commit: String,
    /// Header of the delivery id (default `X-Delivery`).
    pub delivery_header: String,
}

spelled! {
    /// Hash below an HMAC.
    pub HashAlgorithm "hash algorithm" {
        /// SHA-1
        Sha1 = "sha1",
        /// SHA-256
        Sha256 = "sha256",
        /// SHA-512
        Sha512 = "sha512",
    }
}

spelled! {
    /// How bytes are written in a header.
    pub Encoding "encoding" {
        /// Hexadecimal
        Hex = "hex",
        /// Base64, standard alphabet
        Base64 = "base64",
    }
}
