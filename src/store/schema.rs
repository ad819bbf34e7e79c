//! Versions of the store and the way from each to the next.

use rusqlite::{Connection, TransactionBehavior};

use super::StoreError;

/// Each entry leads from the version that is its index to the next. Entries are only ever added.
const MIGRATIONS: &[&str] = &[
    include_str!("schema_1.sql"),
    include_str!("schema_2.sql"),
    include_str!("schema_3.sql"),
    include_str!("schema_4.sql"),
    include_str!("schema_5.sql"),
    include_str!("schema_6.sql"),
    include_str!("schema_7.sql"),
    include_str!("schema_8.sql"),
    include_str!("schema_9.sql"),
    include_str!("schema_10.sql"),
    include_str!("schema_11.sql"),
    include_str!("schema_12.sql"),
];

/// The version that this program writes.
#[expect(clippy::cast_possible_wrap, reason = "there are a few")]
pub const VERSION: i64 = MIGRATIONS.len() as i64;

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

#[cfg(test)]
mod tests {
    use super::*;

    /// A store as each version left it.
    fn of_version(version: usize) -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        for migration in &MIGRATIONS[..version] {
            connection.execute_batch(migration).unwrap();
        }
        let version = i64::try_from(version).unwrap();
        connection.pragma_update(None, "user_version", version).unwrap();
        connection
    }

    #[test]
    fn every_version_is_brought_to_the_newest_with_its_rows() {
        let job = "INSERT INTO jobs (position, repo, target, git_ref, source, state, requested_at) \
             VALUES (1, 'blog', 'live', 'refs/heads/main', 'webhook', 'waiting', 5)";
        for version in 1..=MIGRATIONS.len() {
            let mut connection = of_version(version);
            connection.execute(job, []).unwrap();
            migrate(&mut connection).unwrap();
            let found: i64 = connection.query_row("PRAGMA user_version", [], |r| r.get(0)).unwrap();
            assert_eq!(found, VERSION);
            let row: (String, Option<String>) = connection
                .query_row("SELECT repo, held_commit FROM jobs", [], |r| Ok((r.get(0)?, r.get(1)?)))
                .unwrap();
            assert_eq!(row, ("blog".to_owned(), None));
            migrate(&mut connection).unwrap();
        }
    }

    #[test]
    fn a_newer_store_is_refused() {
        let mut connection = of_version(MIGRATIONS.len());
        connection.pragma_update(None, "user_version", VERSION + 1).unwrap();
        assert!(matches!(migrate(&mut connection), Err(StoreError::Newer { .. })));
    }
}
