//! Log-ins with a password, and the sessions that they begin.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::attempts::{Attempts, Most};
use super::password::{PASSWORD_MAX, Verifier};
use super::users::{User, UsersFile, check_name};
use super::{SECRET_BYTES, hash};
use crate::clock;
use crate::config::{Limits, Login};
use crate::model::Role;
use crate::store::{SessionRow, Store, StoreError};

/// How long a session lasts: a working week, so that nobody who works with the page every day types a password every day.
pub const SESSION_TIME: Duration = Duration::from_hours(7 * 24);

/// The hash of a random password that nobody knows, for comparing with where there are no users at all.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$aG9va2Qgbm9ib2R5IQ$6Jm0E1mUu1zYw0p3Q2wJm2d0mN0m8l1b1Qk3l3b0q5k";

/// Who is logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The name.
    pub user: String,
    /// What the user may.
    pub role: Role,
    /// What forms of this session carry, so that no other page can send them.
    pub form_token: String,
}

/// Why nobody is logged in.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// No such user, or another password: which of them is not told.
    #[error("the name or the password is wrong")]
    Wrong,
    /// Too many failed, from this address or with this name.
    #[error("too many log-ins failed; wait a minute, then try again")]
    TooMany(Duration),
    /// Too many are being compared.
    #[error("too many people log in at the moment; try again in a few seconds")]
    Busy,
    /// The session could not be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There are no random numbers.
    #[error("no random numbers: {0}")]
    Random(#[from] getrandom::Error),
}

/// Lets users in.
pub struct Logins {
    store: Store,
    users: UsersFile,
    verifier: Verifier,
    attempts: Attempts,
    /// For the forms of those who have no session, since a proxy names them; of this process only.
    key: [u8; SECRET_BYTES],
}

impl Logins {
    /// Lets in those whom a file names, with sessions in the store.
    pub fn new(store: Store) -> Self {
        let mut key = [0; SECRET_BYTES];
        if let Err(error) = getrandom::fill(&mut key) {
            tracing::error!(%error, "no random numbers");
        }
        Self {
            store,
            users: UsersFile::default(),
            verifier: Verifier::default(),
            attempts: Attempts::default(),
            key,
        }
    }

    /// Begins a session; gives the secret that the browser keeps, of which only the hash is stored. `from` is the address that failures
    /// are counted with. Of unknown users a password is compared, too, with the hash of another one: the time tells nobody who is a
    /// user.
    pub async fn log_in(
        &self,
        file: &Path,
        limits: &Limits,
        from: IpAddr,
        name: &str,
        password: Zeroizing<String>,
    ) -> Result<Zeroizing<String>, LoginError> {
        let name = if check_name(name).is_ok() { name } else { "" };
        let most = Most {
            of_address: limits.login_failures,
            of_name: limits.login_failures_per_user,
        };
        self.attempts.begin(from, name, most).map_err(LoginError::TooMany)?;
        let users = self.users.current(file);
        let user = users.find(name);
        let compared = user.or(users.all().first()).map_or(NOBODY, |user| &user.hash);
        let fits = password.len() <= PASSWORD_MAX;
        let verified = self.verifier.verify(compared.to_owned(), password).await;
        if verified.is_none() || (verified == Some(true) && fits && user.is_some()) {
            self.attempts.succeeded(from, name);
        }
        let verified = verified.ok_or(LoginError::Busy)?;
        let user = user.filter(|_| verified && fits).ok_or(LoginError::Wrong)?;
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        getrandom::fill(&mut *bytes)?;
        let cookie = Zeroizing::new(URL_SAFE_NO_PAD.encode(*bytes));
        let row = SessionRow {
            user: user.name.clone(),
            password: hash(&user.hash),
            expires_at: clock::now().after(SESSION_TIME),
        };
        self.store.begin_session(hash(&cookie), row).await?;
        Ok(cookie)
    }

    /// Whose session that is; `None` if it is over, or the user is gone or has another password by now.
    pub async fn of_cookie(&self, file: &Path, cookie: &str) -> Result<Option<Signed>, StoreError> {
        let session = self.store.session(hash(cookie), clock::now()).await?;
        let users = self.users.current(file);
        let signed = session.and_then(|session| {
            let user: &User = users.find(&session.user)?;
            (hash(&user.hash) == session.password).then(|| Signed {
                user: user.name.clone(),
                role: user.role,
                form_token: hash(&format!("form {cookie}")),
            })
        });
        Ok(signed)
    }

    /// A user whom a trusted proxy names, with the role that the configuration or the file of users has; `None` if neither has one.
    pub fn of_proxy(&self, login: &Login, user: &str) -> Option<Signed> {
        let of_file = || Some(self.users.current(login.users.as_ref()?).find(user)?.role);
        Some(self.named(user, login.role_of(user).or_else(of_file)?))
    }

    fn named(&self, user: &str, role: Role) -> Signed {
        Signed {
            user: user.to_owned(),
            role,
            form_token: hash(&format!("form {} {user}", hex::encode(self.key))),
        }
    }

    /// Ends a session.
    pub async fn log_out(&self, cookie: &str) -> Result<(), StoreError> {
        self.store.end_session(hash(cookie)).await
    }

    /// Whether one more failed log-in may go into the audit.
    pub fn may_note(&self) -> bool {
        self.attempts.may_note()
    }

    /// Whether a name is that of a user: who mistypes may have typed a password in the place of the name.
    pub fn is_user(&self, file: &Path, name: &str) -> bool {
        self.users.current(file).find(name).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::password::check_hash;

    #[test]
    fn nobody_has_a_hash_that_takes_the_usual_work() {
        assert_eq!(check_hash(NOBODY), Ok(()));
        assert!(NOBODY.contains("$m=19456,t=2,p=1$"));
    }

    #[test]
    fn the_users_of_a_proxy_have_forms_of_their_own() {
        let directory = tempfile::tempdir().unwrap();
        let (store, _writer) = Store::open(&directory.path().join("hookd.db"), 10).unwrap();
        let logins = Logins::new(store.clone());
        let alice = logins.named("alice", Role::Act);
        assert_eq!(alice, logins.named("alice", Role::Act));
        assert_ne!(alice.form_token, logins.named("bob", Role::Act).form_token);
        assert_ne!(
            alice.form_token,
            Logins::new(store).named("alice", Role::Act).form_token
        );
    }
}
