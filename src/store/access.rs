//! Tokens and sessions, by the hashes of their secrets.

use rusqlite::{Row, params};

use super::{Store, StoreError, sql};
use crate::model::Timestamp;

/// Most sessions of one user: browsers and devices; the oldest ends when another begins.
const SESSIONS_MAX: i64 = 20;

/// A token for programs.
#[derive(Debug, Clone)]
pub struct TokenRow {
    /// Its name.
    pub name: String,
    /// What it may: `view`, `deploy:shop/*`.
    pub scope: String,
    /// When it was made, milliseconds since the epoch.
    pub created_at: i64,
    /// Who made it.
    pub created_by: String,
}

impl TokenRow {
    const COLUMNS: &'static str = "name, scope, created_at, created_by";

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            name: row.get(0)?,
            scope: row.get(1)?,
            created_at: row.get(2)?,
            created_by: row.get(3)?,
        })
    }
}

/// A session of a user.
#[derive(Debug, Clone)]
pub struct SessionRow {
    /// Whose.
    pub user: String,
    /// SHA-256 of the stored password hash when it began, hexadecimal.
    pub password: String,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl Store {
    /// Stores a token; false if there is one of that name.
    pub async fn add_token(&self, token: TokenRow, hash: String) -> Result<bool, StoreError> {
        self.write(move |c| {
            let added = c.execute(
                "INSERT OR IGNORE INTO tokens (name, scope, hash, created_at, created_by) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![token.name, token.scope, hash, token.created_at, token.created_by],
            )?;
            Ok(added == 1)
        })
        .await
    }

    /// Removes a token; false if there is none of that name.
    pub async fn remove_token(&self, name: String) -> Result<bool, StoreError> {
        self.write(move |c| Ok(c.execute("DELETE FROM tokens WHERE name = ?1", [name])? == 1))
            .await
    }

    /// All tokens, by name.
    pub async fn tokens(&self) -> Result<Vec<TokenRow>, StoreError> {
        let sql = format!("SELECT {} FROM tokens ORDER BY name", TokenRow::COLUMNS);
        self.list(sql, [], TokenRow::read).await
    }

    /// The token with this hash.
    pub async fn token(&self, hash: String) -> Result<Option<TokenRow>, StoreError> {
        let sql = format!("SELECT {} FROM tokens WHERE hash = ?1", TokenRow::COLUMNS);
        self.read(move |c| sql::first(c, &sql, [hash], TokenRow::read)).await
    }

    /// Begins a session.
    pub async fn begin_session(&self, hash: String, session: SessionRow) -> Result<(), StoreError> {
        self.write(move |c| {
            c.execute(
                "INSERT INTO sessions (hash, user, password, expires_at) VALUES (?1, ?2, ?3, ?4)",
                params![hash, session.user, session.password, session.expires_at.0],
            )?;
            c.execute(
                "DELETE FROM sessions WHERE user = ?1 AND hash NOT IN \
                 (SELECT hash FROM sessions WHERE user = ?1 ORDER BY expires_at DESC LIMIT ?2)",
                params![session.user, SESSIONS_MAX],
            )?;
            Ok(())
        })
        .await
    }

    /// The session with this hash, unless it is over.
    pub async fn session(&self, hash: String, now: Timestamp) -> Result<Option<SessionRow>, StoreError> {
        self.read(move |c| {
            let sql = "SELECT user, password, expires_at FROM sessions WHERE hash = ?1 AND expires_at > ?2";
            sql::first(c, sql, params![hash, now], |row| {
                Ok(SessionRow {
                    user: row.get(0)?,
                    password: row.get(1)?,
                    expires_at: row.get(2)?,
                })
            })
        })
        .await
    }

    /// Ends a session.
    pub async fn end_session(&self, hash: String) -> Result<(), StoreError> {
        self.change("DELETE FROM sessions WHERE hash = ?1", [hash]).await
    }
}
