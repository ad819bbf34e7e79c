//! Versions of the store and the way from each to the next.

use rusqlite::{Connection, TransactionBehavior};

use super::StoreError;

/// Each entry leads from the version that is its index to the next. Entries are only ever added.
const MIGRATIONS: &[&str] = &[include_str!("schema_1.sql")];

/// The version that this program writes.
pub const VERSION: i64 = 1;

/// Brings the store to [`VERSION`], or refuses one that a newer hookd has written.
pub fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found > VERSION {
        return Err(StoreError::Newer { found, known: VERSION });
    }
    let done = usize::try_from(found).unwrap_or(0);
    for (index, migration) in MIGRATIONS.iter().enumerate().skip(done) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "user_version", i64::try_from(index + 1).unwrap_or(VERSION))?;
        transaction.commit()?;
    }
    Ok(())
}
