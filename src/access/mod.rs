//! Who may use the API: tokens for programs, and what each may. It knows no HTTP.

mod scope;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

pub use scope::{Scope, ScopeError};

/// Random bytes of a token: nobody guesses 256 bits.
const TOKEN_BYTES: usize = 32;

/// What every token begins with, so that scanners for leaked secrets, and people, know what it is.
const TOKEN_PREFIX: &str = "hookd_";

/// A new token.
pub fn new_token() -> Result<String, getrandom::Error> {
    let mut bytes = [0; TOKEN_BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
}

/// The hash under which a token is stored. Tokens are random, so that a fast hash will do.
pub fn hash(token: &str) -> String {
    hex::encode(Sha256::digest(token))
}
