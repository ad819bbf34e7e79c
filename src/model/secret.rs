//! Secret bytes, which are never shown.

use zeroize::Zeroizing;

/// A secret. Has no `Debug`, `Display`, `Serialize` or `PartialEq`, so that it can't slip into a log or a comparison that
/// tells how much of it was right; the memory is wiped when it goes.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for the one place that computes with them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}
