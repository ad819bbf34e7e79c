//! Statements in one go, and the values of the model as columns have them.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, Params, Row};

use super::{Store, StoreError};
use crate::model::{
    CheckState, CommitId, DeliveryId, GitRef, JobState, Outcome, Phase, ReleaseName, ReleaseState, RepoName, Source,
    TargetId, TargetName, Timestamp,
};

/// All rows of a query.
pub(super) fn all<T, All: FromIterator<T>>(
    c: &Connection,
    sql: &str,
    values: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<All, StoreError> {
    let mut statement = c.prepare_cached(sql)?;
    let rows = statement.query_map(values, read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The first row of a query.
pub(super) fn first<T>(
    c: &Connection,
    sql: &str,
    values: impl Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Option<T>, StoreError> {
    Ok(c.prepare_cached(sql)?.query_row(values, read).optional()?)
}

/// The one value that a query gives.
pub(super) fn value<T: FromSql>(c: &Connection, sql: &str, values: impl Params) -> Result<T, StoreError> {
    Ok(c.prepare_cached(sql)?.query_row(values, |row| row.get(0))?)
}

impl Store {
    /// All rows of a query.
    pub(super) async fn list<T, All>(
        &self,
        sql: impl AsRef<str> + Send + 'static,
        values: impl Params + Send + 'static,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<All, StoreError>
    where
        All: FromIterator<T> + Send + 'static,
    {
        self.read(move |c| all(c, sql.as_ref(), values, read)).await
    }

    /// One statement that changes something.
    pub(super) async fn change(
        &self,
        sql: &'static str,
        values: impl Params + Send + 'static,
    ) -> Result<(), StoreError> {
        self.write(move |c| {
            c.prepare_cached(sql)?.execute(values)?;
            Ok(())
        })
        .await
    }
}

/// The target that two columns name, the first of them at `repo`.
pub(super) fn target_of(row: &Row<'_>, repo: usize) -> rusqlite::Result<TargetId> {
    Ok(TargetId {
        repo: row.get(repo)?,
        target: row.get(repo + 1)?,
    })
}

/// Stored as text. A text that is no such value is an error, and never taken for another one.
macro_rules! texts {
    ($($name:ident),+) => {
        $(impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(self.as_str().into())
            }
        }

        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                let text = value.as_str()?;
                text.parse()
                    .map_err(|error| FromSqlError::Other(format!("{text:?} in the database: {error}").into()))
            }
        })+
    };
}

texts!(
    CheckState,
    CommitId,
    DeliveryId,
    GitRef,
    JobState,
    Outcome,
    Phase,
    ReleaseName,
    ReleaseState,
    RepoName,
    Source,
    TargetName
);

/// Stored as milliseconds since the epoch.
impl ToSql for Timestamp {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.into())
    }
}

impl FromSql for Timestamp {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Ok(Self(i64::column_result(value)?))
    }
}
