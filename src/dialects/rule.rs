//! How a sender of one's own signs and writes its JSON, as the configuration says it.

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

/// Hash below an HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashAlgorithm {
    /// SHA-1
    Sha1,
    /// SHA-256
    Sha256,
    /// SHA-512
    Sha512,
}

/// How bytes are written in a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Hexadecimal
    Hex,
    /// Base64, standard alphabet
    Base64,
}
