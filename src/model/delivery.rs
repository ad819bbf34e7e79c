//! The id that a forge gives to a delivery.

use std::fmt;
use std::str::FromStr;

/// Longest id taken from a header, in bytes; the longest seen is 64 (a Pagure `msg_id` is 45).
const ID_MAX: usize = 200;

/// Why a text is not a delivery id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a delivery id: 1 to {ID_MAX} visible ASCII characters are needed")]
pub struct DeliveryIdError;

/// What a forge calls a delivery: `X-GitHub-Delivery` and its like, visible ASCII only.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId(String);

impl DeliveryId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DeliveryId {
    type Err = DeliveryIdError;
    fn from_str(text: &str) -> Result<Self, DeliveryIdError> {
        if text.is_empty() || text.len() > ID_MAX || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(DeliveryIdError);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
