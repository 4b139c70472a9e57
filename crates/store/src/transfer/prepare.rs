//! Making a target ready: marked first, then emptied of what an interrupted copy left, then given the schema.

use std::fs;
use std::io;
use std::path::Path;

use muster_model::ErrorKind;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr};
use sea_orm_migration::MigratorTrait;

use super::mark::{self, Mark};
use super::plan::{self, Table, number, quoted};
use super::side::Side;
use crate::adapters::sql::migration::{self, Migrator};
use crate::adapters::sql::translate::{Phase, translate};
use crate::adapters::sql::writer::begin;
use crate::adapters::sqlite::{self, kind_of};
use crate::error::Error;

/// Takes an empty database, or one in which a copy was begun, for the copy `id` of `source`.
///
/// What another copy had written there goes away as a whole: nothing of it can be half right.
pub(crate) async fn prepare(side: &Side, plan: &[Table], id: &str, source: &str) -> Result<(), Error> {
    let operation = format!("prepare {}", side.place);
    let engine = |error: DbErr| translate(&operation, Phase::Work, error);
    let at_commit = |error: DbErr| translate(&operation, Phase::Commit, error);
    let transaction = begin(&side.db, &operation).await?;
    side.lock(&transaction).await?;
    let is_interrupted = take(side, plan, &transaction).await?;
    mark::set(&transaction, id, source).await.map_err(engine)?;
    if transaction.get_database_backend() == DbBackend::Sqlite {
        transaction
            .execute_unprepared(&sqlite::claim_as_ours())
            .await
            .map_err(engine)?;
    }
    transaction.commit().await.map_err(at_commit)?;
    if let Some(folder) = side.folder.clone().filter(|_| is_interrupted) {
        clear(folder).await?;
    }
    let transaction = begin(&side.db, &operation).await?;
    let foreign = renew(plan, &transaction).await.map_err(engine)?;
    if let Some(table) = foreign {
        let table: String = table.chars().take(80).collect();
        let what = format!("it holds '{}', which is not Muster's", table.escape_debug());
        return Err(side.refused(ErrorKind::Corrupt, what));
    }
    transaction.commit().await.map_err(at_commit)?;
    if side.db.get_database_backend() == DbBackend::MySql {
        // Locks there belong to the connection, which goes on.
        side.db
            .execute_unprepared("DO RELEASE_ALL_LOCKS()")
            .await
            .map_err(engine)?;
    }
    Ok(())
}

/// Refuses a database that is neither empty nor an interrupted copy; tells whether it is the latter.
async fn take(side: &Side, plan: &[Table], transaction: &DatabaseTransaction) -> Result<bool, Error> {
    let schema = side.look(transaction).await?;
    match &schema.mark {
        Some(Mark::Unfinished { .. }) => return Ok(true),
        Some(mark) => return Err(side.refused(ErrorKind::Conflict, mark.refusal())),
        None => {}
    }
    let not_empty = |what: String| {
        Err(side.refused(
            ErrorKind::Conflict,
            format!("it is not empty ({what}), and was left as it is; name an empty database"),
        ))
    };
    if let Some(folder) = &side.folder
        && is_filled(folder)
    {
        return not_empty(format!("there is output in {}", folder.display()));
    }
    if schema.applied.is_empty() {
        return Ok(false);
    }
    if !schema.is_current() {
        return not_empty(format!(
            "its schema is at version {} of {}",
            schema.applied.len(),
            schema.known.len()
        ));
    }
    plan::check(transaction, plan, &side.place).await?;
    let backend = transaction.get_database_backend();
    for table in plan.iter().filter(|table| !table.seeded) {
        let mut sql = format!("SELECT COUNT(*) FROM {}", quoted(backend, &table.name));
        if table.name == "executors" {
            // A server that has gone is nothing that could be lost.
            sql.push_str(&format!(" WHERE lease_until > {}", muster_runtime::now().0));
        }
        let rows = number(transaction, &sql)
            .await
            .map_err(|error| translate(format!("read {}", side.place), Phase::Work, error))?;
        if rows != Some(0) {
            return not_empty(format!("{} has rows", table.name));
        }
    }
    Ok(false)
}

/// Drops our tables.
pub(crate) async fn drop_all<C: ConnectionTrait>(plan: &[Table], db: &C) -> Result<(), DbErr> {
    let tables = plan.iter().rev().map(|table| table.name.as_str());
    for name in tables.chain([migration::TABLE]) {
        let sql = format!("DROP TABLE IF EXISTS {}", quoted(db.get_database_backend(), name));
        db.execute_unprepared(&sql).await?;
    }
    Ok(())
}

/// Drops our tables and makes them again, without the rows that they begin with. Returns a table that is not ours.
async fn renew(plan: &[Table], transaction: &DatabaseTransaction) -> Result<Option<String>, DbErr> {
    let backend = transaction.get_database_backend();
    drop_all(plan, transaction).await?;
    if let Some(name) = plan::live(transaction).await?.into_keys().next() {
        return Ok(Some(name));
    }
    Migrator::up(transaction, None).await?;
    for table in plan.iter().filter(|table| table.seeded) {
        let sql = format!("DELETE FROM {}", quoted(backend, &table.name));
        transaction.execute_unprepared(&sql).await?;
    }
    Ok(None)
}

/// Tells whether a folder has anything in it.
fn is_filled(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}

/// Removes the logs that an interrupted copy has written.
async fn clear(folder: std::path::PathBuf) -> Result<(), Error> {
    let operation = format!("empty {}", folder.display());
    let failed = |error: io::Error| Error::new(kind_of(error.kind()), operation.clone()).caused_by(error);
    let removed = tokio::task::spawn_blocking(move || match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    });
    match removed.await {
        Ok(removed) => removed.map_err(failed),
        Err(error) => Err(Error::new(ErrorKind::Internal, operation.clone()).caused_by(error)),
    }
}
