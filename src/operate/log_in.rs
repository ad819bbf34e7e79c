//! Log-ins, noted in the audit: all that succeed, and of those that fail as many as a person makes.

use std::net::IpAddr;
use std::path::Path;

use zeroize::Zeroizing;

use super::Operator;
use crate::access::LoginError;
use crate::clock;
use crate::model::Asker;
use crate::store::{NewAct, StoreError};

/// What is logged in to.
const OBJECT: &str = "page";

/// Whose a failed log-in is with a name that no user has. The name is not noted: it may be a password in the wrong field.
const UNKNOWN: &str = "unknown";

impl Operator {
    /// Begins a session of a user of that file; gives its cookie. `counted` is the address that failures are counted with.
    pub async fn log_in(
        &self,
        users: &Path,
        (from, counted): (IpAddr, IpAddr),
        name: &str,
        password: Zeroizing<String>,
    ) -> Result<Zeroizing<String>, LoginError> {
        let limits = self.settings().config.limits.clone();
        let begun = self.logins.log_in(users, &limits, counted, name, password).await;
        let result = match &begun {
            Ok(_) => "logged in".to_owned(),
            Err(error) => format!("refused: {error}"),
        };
        if begun.is_ok() || self.logins.may_note() {
            let who = if self.logins.is_user(users, name) {
                Asker::User(name.to_owned()).to_string()
            } else {
                UNKNOWN.to_owned()
            };
            self.note("log-in", who, from, result).await?;
        }
        begun
    }

    /// Ends a session.
    pub async fn log_out(&self, user: &str, from: IpAddr, cookie: &str) -> Result<(), StoreError> {
        self.logins.log_out(cookie).await?;
        let who = Asker::User(user.to_owned()).to_string();
        self.note("log-out", who, from, "logged out".to_owned()).await
    }

    async fn note(&self, act: &'static str, who: String, from: IpAddr, result: String) -> Result<(), StoreError> {
        let new = NewAct {
            who,
            act,
            object: OBJECT.to_owned(),
            address: Some(from.to_string()),
        };
        let number = self.world.store.note_act(new, clock::now()).await?;
        self.world.store.note_result(number, result, None).await
    }
}
