//! Files of allowed signers, and signatures: nobody signs for somebody else.

use std::path::Path;
use std::sync::LazyLock;

use hookd::model::Timestamp;
use hookd::signature::{Kind, Signers};
use sha2::{Digest, Sha256};

use super::request::NOW;

/// Somebody whose key signed nothing.
const ALICE: &str = "alice@example.org ssh-ed25519 \
     AAAAC3NzaC1lZDI1NTE5AAAAIOOEgfvCVHmwdCaWbpkp2rKM0Qo7k6h9rVsIybwTbFC8\n";

static SIGNERS: LazyLock<Signers> = LazyLock::new(|| Signers::parse(Path::new("/signers"), ALICE).unwrap());

/// A file of allowed signers, or an armoured signature.
pub fn run(data: &[u8]) {
    let _ = Kind::of(data);
    // The payload changes with the signature, so that none can fit.
    let payload = Sha256::digest(data);
    let claimed = Timestamp(NOW.0 - 1000);
    assert!(SIGNERS.check_ssh(data, &payload, claimed, NOW).is_err());
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Err(error) = Signers::parse(Path::new("/signers"), text) {
        assert!(!error.to_string().is_empty());
    }
}
