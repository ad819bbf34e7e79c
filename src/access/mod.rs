//! Who may use the page and the API: users who log in, tokens for programs, and what each may. It knows no HTTP.

mod attempts;
mod logins;
mod password;
mod scope;
mod users;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

pub use logins::{LoginError, Logins, SESSION_TIME, Signed};
pub use password::{PASSWORD_MAX, PasswordError, hash as hash_password};
pub use scope::{Scope, ScopeError};
pub use users::{User, Users, UsersError, check_name};

/// Random bytes of a token and of a session: nobody guesses 256 bits.
const SECRET_BYTES: usize = 32;

/// The prefix of every token, so that scanners for leaked secrets, and people, recognise one.
const TOKEN_PREFIX: &str = "hookd_";

/// A new token.
pub fn new_token() -> Result<String, getrandom::Error> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
}

/// The hash under which a token or a session is stored. Both are random, so that a fast hash will do.
pub fn hash(token: &str) -> String {
    hex::encode(Sha256::digest(token))
}
