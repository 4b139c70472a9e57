//! Whose database it is: ours to bring to the current schema, or somebody else's, which is left as it is.

use muster_model::ErrorKind;
use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, Statement};
use sea_orm_migration::MigratorTrait;

use super::file::{APPLICATION_ID, not_ours};
use crate::adapters::sql::migration::{self, Migrator};
use crate::adapters::sql::translate::{Phase, translate};
use crate::adapters::sql::writer::{Work, transact};
use crate::error::Error;
use crate::schema::Schema;
use crate::transfer::mark;

/// Brings the database to the current schema. Whether it is ours is asked under the lock under which it is
/// changed, so two processes that open a new file at once make one schema.
pub(crate) async fn migrate(db: &DatabaseConnection, place: &str) -> Result<(), Error> {
    let operation = format!("open {place}");
    let work: Work<()> = {
        let place = place.to_owned();
        Box::new(move |transaction| Box::pin(async move { migrate_in(transaction, &place).await }))
    };
    transact(db, &operation, work).await
}

async fn migrate_in(transaction: &DatabaseTransaction, place: &str) -> Result<(), Error> {
    let engine = |error: DbErr| translate(format!("open {place}"), Phase::Work, error);
    let state = look(transaction, place).await?;
    if let Some(mark) = &state.mark {
        let what = format!("open {place}: {}", mark.refusal());
        return Err(Error::new(ErrorKind::Conflict, what));
    }
    if state.is_current() {
        return Ok(());
    }
    Migrator::up(transaction, None).await.map_err(engine)?;
    transaction
        .execute_unprepared(&format!("PRAGMA application_id = {APPLICATION_ID}"))
        .await
        .map_err(engine)?;
    Ok(())
}

/// Reads whose database it is and at which version.
pub(crate) async fn look<C: ConnectionTrait>(db: &C, place: &str) -> Result<Schema, Error> {
    let engine = |error: DbErr| translate(format!("open {place}"), Phase::Work, error);
    let known = migration::known();
    let objects = number(db, "SELECT COUNT(*) FROM sqlite_schema")
        .await
        .map_err(engine)?;
    let owner = number(db, "PRAGMA application_id").await.map_err(engine)?;
    if objects == 0 && (owner == 0 || owner == i64::from(APPLICATION_ID)) {
        return Ok(Schema {
            applied: Vec::new(),
            known,
            mark: None,
        });
    }
    let has = async |table: &str| {
        let sql = format!("SELECT COUNT(*) FROM sqlite_schema WHERE type = 'table' AND name = '{table}'");
        number(db, &sql).await.map(|count| count == 1)
    };
    let marked = has(mark::TABLE).await.map_err(engine)?;
    let migrated = has(migration::TABLE).await.map_err(engine)?;
    if owner != i64::from(APPLICATION_ID) || !(migrated || marked) {
        return Err(not_ours(place));
    }
    let mark = match marked {
        true => Some(mark::read(db).await.map_err(engine)?),
        false => None,
    };
    let applied = match migrated {
        true => migration::applied(db).await.map_err(engine)?,
        false => Vec::new(),
    };
    if let Some(newer) = applied.iter().find(|name| !known.contains(name)) {
        return Err(Error::new(
            ErrorKind::Corrupt,
            format!(
                "open {place}: it was written by a newer Muster (its schema has '{newer}', this \
                 program knows schemas up to {}); use the newer program, or name another file",
                known.len()
            ),
        ));
    }
    Ok(Schema { applied, known, mark })
}

async fn number<C: ConnectionTrait>(db: &C, sql: &str) -> Result<i64, DbErr> {
    let statement = Statement::from_string(db.get_database_backend(), sql);
    match db.query_one_raw(statement).await? {
        Some(row) => row.try_get_by_index(0),
        None => Err(DbErr::RecordNotFound(sql.to_owned())),
    }
}
