//! Secret bytes, which are never shown.

use subtle::ConstantTimeEq;
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

    /// Compares in time that depends on the lengths alone.
    pub fn equals(&self, other: &[u8]) -> bool {
        self.0.as_slice().ct_eq(other).into()
    }
}
