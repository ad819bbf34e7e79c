//! Why a delivery is rejected, cannot be parsed, or cannot be signed.

use std::borrow::Cow;

/// Why a delivery is not believed. Never holds a secret, nor what the signature should have been.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// No signature where one belongs.
    #[error("the delivery has no signature")]
    Missing,
    /// A signature header without a signature, as forges send that know no secret.
    #[error("the signature is empty: the forge does not know the secret")]
    Empty,
    /// Not made with any of the secrets, or not over these bytes.
    #[error("the signature does not match: the secret differs, or the body was modified")]
    Wrong,
    /// Rightly signed, but not now.
    #[error("the signed time stamp is too old or lies in the future")]
    Stale,
    /// The same signature header more than once.
    #[error("the signature header is there more than once")]
    Repeated,
    /// An algorithm that hookd does not know.
    #[error("the signature algorithm {0:?} is not supported")]
    Unsupported(String),
    /// Only SHA-1, and the configuration does not allow that.
    #[error("the only signature is SHA-1, and `allow_sha1` is off")]
    Sha1,
    /// The configuration names one forge, the headers another.
    #[error("the delivery does not come from the forge that the configuration names")]
    OtherForge,
    /// There is no secret or key to check with.
    #[error("no secret or public key is configured for this kind of signature")]
    NoKey,
}

impl Rejection {
    /// One word for journal and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing => "signature-missing",
            Self::Empty => "signature-empty",
            Self::Wrong => "signature-wrong",
            Self::Stale => "signature-stale",
            Self::Repeated => "signature-repeated",
            Self::Unsupported(_) => "signature-unsupported",
            Self::Sha1 => "signature-sha1",
            Self::OtherForge => "forge-mismatch",
            Self::NoKey => "no-key",
        }
    }
}

/// Why a delivery cannot be understood. Says where, never what stands there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// There is nothing in the body, or no `payload` in the form.
    #[error("the body is empty: no JSON, and no form field `payload`")]
    Empty,
    /// The body is not JSON.
    #[error("the body is not valid JSON: an error at line {line}, column {column}")]
    MalformedJson {
        /// Line of the error, from 1.
        line: usize,
        /// Column of the error, from 1.
        column: usize,
    },
    /// JSON, but a list, text or number.
    #[error("the body is JSON, but not an object")]
    NotAnObject,
    /// Neither headers nor body look like a forge that hookd knows.
    #[error("cannot tell which forge sent the delivery; set `forge` in the configuration")]
    UnknownForge,
    /// The header that names the event is missing or empty.
    #[error("the header {0} is missing: it names the event")]
    MissingEventHeader(&'static str),
    /// The body lacks something without which it says nothing.
    #[error("the body has no usable value at {0}")]
    MissingField(Cow<'static, str>),
    /// The event header names one event, the body is another's.
    #[error("the event header does not fit the body: this is not the body of such an event")]
    ShapeMismatch,
}

/// Why nothing can be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotSign {
    /// `SourceHut` and some senders of Standard Webhooks sign with a private key.
    #[error("such deliveries are signed with the sender's private key, which nobody else has")]
    PrivateKey,
    /// The secret cannot stand in a header.
    #[error("the secret has characters that a header cannot hold (line breaks, or what is no UTF-8)")]
    HeaderText,
    /// The secret is empty.
    #[error("the secret is empty")]
    NoKey,
    /// Nothing says how the generic forge signs.
    #[error("the generic forge needs its [repo.NAME.generic] to sign")]
    NoRule,
}
