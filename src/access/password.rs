//! Passwords, and the hashes under which they are stored.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Argon2, Params};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// Bytes of a salt (RFC 9106 recommends 128 bits).
const SALT_BYTES: usize = 16;

/// Longest password, bytes: longer than any that is typed, and little to hash.
pub const PASSWORD_MAX: usize = 1024;

/// Most memory that a stored hash may ask for, KiB: several times what [`hash`] asks for, and no danger to a small machine.
const MEMORY_MAX: u32 = 128 * 1024;

/// Most passes over the memory that a stored hash may ask for: a second or two on a small machine.
const PASSES_MAX: u32 = 16;

/// Hashes that are computed at once. Each takes 19 MiB while it is computed, as OWASP recommends for Argon2id.
const AT_ONCE: usize = 1;

/// Log-ins that may wait for their turn; more are told to come again.
const WAITING_MAX: usize = 32;

/// The hash of a new password: Argon2id with 19 MiB, two passes and one lane, as a PHC string.
pub fn hash(password: &str) -> Result<String, PasswordError> {
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt).map_err(|error| PasswordError(error.to_string()))?;
    let hash: PasswordHash = Argon2::default()
        .hash_password_with_salt(password.as_bytes(), &salt)
        .map_err(|error| PasswordError(error.to_string()))?;
    Ok(hash.to_string())
}

/// A password could not be hashed.
#[derive(Debug, thiserror::Error)]
#[error("the password can't be hashed: {0}")]
pub struct PasswordError(String);

/// Whether a text is the hash of a password that log-ins are compared with; the error says why not.
pub(super) fn check_hash(text: &str) -> Result<(), &'static str> {
    let hash = PasswordHash::new(text).map_err(|_| "the hash is not a PHC string")?;
    if hash.algorithm.as_str() != "argon2id" {
        return Err("the hash is not argon2id");
    }
    let params = Params::try_from(&hash).map_err(|_| "the hash has parameters that argon2id does not take")?;
    if hash.salt.is_none() || hash.hash.is_none() {
        return Err("the hash is not complete");
    }
    if params.m_cost() > MEMORY_MAX || params.t_cost() > PASSES_MAX {
        return Err("the hash requires more than 128 MiB or 16 passes");
    }
    Ok(())
}

/// Compares passwords with hashes, few at once.
#[derive(Clone)]
pub(super) struct Verifier {
    turns: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

impl Default for Verifier {
    fn default() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            places: Arc::new(Semaphore::new(AT_ONCE + WAITING_MAX)),
        }
    }
}

impl Verifier {
    /// Whether it is the password of that hash; `None` if too many wait to be compared already.
    pub(super) async fn verify(&self, hash: String, password: Zeroizing<String>) -> Option<bool> {
        let _place = self.places.try_acquire().ok()?;
        let turn = Arc::clone(&self.turns).acquire_owned().await.ok()?;
        let compared = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let parsed = PasswordHash::new(&hash).ok();
            parsed.is_some_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
        });
        Some(compared.await.unwrap_or(false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_fits_its_own_hash_only() {
        let stored = hash("correct horse").unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert_eq!(check_hash(&stored), Ok(()));
        assert_ne!(stored, hash("correct horse").unwrap());
        let verifier = Verifier::default();
        let verify = |password: &str| verifier.verify(stored.clone(), Zeroizing::new(password.to_owned()));
        assert_eq!(verify("correct horse").await, Some(true));
        for wrong in ["", "correct hors", "Correct horse", "correct horse "] {
            assert_eq!(verify(wrong).await, Some(false), "{wrong:?}");
        }
    }

    #[test]
    fn other_hashes_are_refused() {
        let stored = hash("x").unwrap();
        for (text, why) in [
            (String::new(), "not a PHC string"),
            ("secret".to_owned(), "not a PHC string"),
            (stored.replace("argon2id", "argon2i"), "not argon2id"),
            (stored.replace("m=19456", "m=9000000"), "more than 128 MiB"),
            (stored.replace("t=2", "t=900"), "16 passes"),
            ("$argon2id$v=19$m=19456,t=2,p=1".to_owned(), "not complete"),
        ] {
            let error = check_hash(&text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
