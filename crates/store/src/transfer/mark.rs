//! The mark of a database that is not to be opened: an unfinished copy, or a backup.
//!
//! It is a table of its own, made before anything else and dropped after everything else. Whoever began the copy last
//! has its name in it; a copy that finds another name there stops.

use std::hash::{BuildHasher, RandomState};

use muster_model::ErrorKind;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};

use crate::error::Error;

/// The table.
pub(crate) const TABLE: &str = "muster_copy";

const COPYING: &str = "copying";
const BACKUP: &str = "backup";

/// Why a database is not to be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A copy was begun into it and has not come to its end.
    Unfinished {
        /// What was copied.
        source: String,
    },
    /// It is a backup.
    Backup {
        /// What was saved.
        source: String,
    },
}

impl Mark {
    /// Returns what to tell somebody who wants to open the database.
    pub(crate) fn refusal(&self) -> String {
        match self {
            Self::Unfinished { source } => format!(
                "this database is an unfinished copy of {source}: run the copy again (muster db copy, or muster db \
                 restore), or name another database"
            ),
            Self::Backup { source } => format!(
                "this file is a backup of {source}: put it into an empty database with muster db restore"
            ),
        }
    }
}

/// Returns the error of a copy in whose target another one has begun.
pub(crate) fn taken_over(operation: &str) -> Error {
    Error::new(
        ErrorKind::Conflict,
        format!("{operation}: another copy into the same database has begun meanwhile"),
    )
}

/// Returns a name that no other copy has.
pub(crate) fn name() -> String {
    let random = RandomState::new().hash_one(std::process::id());
    format!("{}-{}-{random:016x}", muster_runtime::now().0, std::process::id())
}

/// Reads the mark. The table is there.
pub(crate) async fn read<C: ConnectionTrait>(db: &C) -> Result<Mark, DbErr> {
    let sql = format!("SELECT state, source FROM {TABLE}");
    let rows = db
        .query_all_raw(Statement::from_string(db.get_database_backend(), sql))
        .await?;
    let Some(row) = rows.first() else {
        // Interrupted before there was anything in it.
        let source = "another database".to_owned();
        return Ok(Mark::Unfinished { source });
    };
    let (state, source): (String, String) = row.try_get_many_by_index()?;
    let source = source
        .chars()
        .take(300)
        .collect::<String>()
        .escape_debug()
        .to_string();
    Ok(match state.as_str() {
        BACKUP => Mark::Backup { source },
        _ => Mark::Unfinished { source },
    })
}

/// Makes the mark, or takes it over.
pub(crate) async fn set<C: ConnectionTrait>(db: &C, id: &str, source: &str) -> Result<(), DbErr> {
    let backend = db.get_database_backend();
    let engine = match backend {
        DbBackend::MySql => " ENGINE InnoDB CHARACTER SET utf8mb4",
        _ => "",
    };
    let sql = format!(
        "CREATE TABLE IF NOT EXISTS {TABLE} (id VARCHAR(64) NOT NULL PRIMARY KEY, state VARCHAR(16) NOT NULL, \
         source VARCHAR(2000) NOT NULL, started_at BIGINT NOT NULL, pages BIGINT NOT NULL){engine}"
    );
    db.execute_unprepared(&sql).await?;
    db.execute_unprepared(&format!("DELETE FROM {TABLE}")).await?;
    let marks = match backend {
        DbBackend::Postgres => "$1, $2, $3, $4, 0",
        _ => "?, ?, ?, ?, 0",
    };
    let sql = format!("INSERT INTO {TABLE} (id, state, source, started_at, pages) VALUES ({marks})");
    let source: String = source.chars().take(1000).collect();
    let values = [
        id.into(),
        COPYING.into(),
        source.into(),
        muster_runtime::now().0.into(),
    ];
    db.execute_raw(Statement::from_sql_and_values(backend, sql, values))
        .await?;
    Ok(())
}

/// Says that the copy is whole and a backup; tells whether the mark was still this copy's.
pub(crate) async fn keep_as_backup<C: ConnectionTrait>(db: &C, id: &str) -> Result<bool, DbErr> {
    let sql = format!("UPDATE {TABLE} SET state = '{BACKUP}' WHERE id = '{id}'");
    let statement = Statement::from_string(db.get_database_backend(), sql);
    Ok(db.execute_raw(statement).await?.rows_affected() == 1)
}

/// Says that the copy is whole; tells whether the mark was still this copy's.
pub(crate) async fn remove<C: ConnectionTrait>(db: &C, id: &str) -> Result<bool, DbErr> {
    let sql = format!("UPDATE {TABLE} SET pages = pages + 1 WHERE id = '{id}'");
    let statement = Statement::from_string(db.get_database_backend(), sql);
    if db.execute_raw(statement).await?.rows_affected() != 1 {
        return Ok(false);
    }
    db.execute_unprepared(&format!("DROP TABLE {TABLE}")).await?;
    Ok(true)
}
