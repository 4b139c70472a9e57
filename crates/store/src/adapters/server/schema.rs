//! The schema of a database on a server: made in an empty database, checked in one of ours, and never touched in
//! somebody else's.
//!
//! Whose database it is, and at which version, is asked under a lock, so that of several that come at the same
//! moment one makes the tables. PostgreSQL makes them in one transaction. MariaDB and MySQL commit each statement by
//! itself: what was interrupted there is taken up where it stopped, since every step may be done again.

use muster_model::ErrorKind;
use muster_runtime::crash_point;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, Statement, TransactionTrait,
};
use sea_orm_migration::MigratorTrait;

use super::address::Address;
use crate::adapters::sql::migration::{self, Migrator};
use crate::adapters::sql::translate::{Phase, translate};
use crate::error::Error;
use crate::schema::Schema;
use crate::transfer::mark;

/// How long to wait for another process that makes the schema.
const PATIENCE_SECONDS: u32 = 120;
/// The key of PostgreSQL's lock: any number that no other program is likely to use.
const LOCK: i64 = 0x6d75_7374_6572;

/// What may be done to a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Nothing at all.
    Look,
    /// Make the schema in an empty database; one of ours must be current.
    Open,
    /// Make it, or bring it up to date.
    Migrate,
}

/// Looks at the schema, and does what `mode` allows. Returns how it stands then.
pub(crate) async fn bring(db: &DatabaseConnection, address: &Address, mode: Mode) -> Result<Schema, Error> {
    let state = look(db, address).await?;
    if mode == Mode::Look {
        return Ok(state);
    }
    refuse_marked(&state, address)?;
    if state.is_current() {
        return Ok(state);
    }
    let engine = |error: DbErr| translate(address.operation(), Phase::Work, error);
    let transaction = db.begin().await.map_err(engine)?;
    lock(&transaction, address).await?;
    // Another process may have made it meanwhile.
    let state = look(&transaction, address).await?;
    refuse_marked(&state, address)?;
    if state.is_current() {
        return Ok(state);
    }
    if !state.applied.is_empty() && mode == Mode::Open {
        return Err(address.refused(
            ErrorKind::Conflict,
            format_args!(
                "its schema is at version {} of {}: an older Muster made it, or its making was interrupted; run \
                 muster db migrate",
                state.applied.len(),
                state.known.len()
            ),
        ));
    }
    Migrator::up(&transaction, None).await.map_err(engine)?;
    let state = look(&transaction, address).await?;
    transaction
        .commit()
        .await
        .map_err(|error| translate(address.operation(), Phase::Commit, error))?;
    crash_point!(DatabaseMigrated);
    Ok(state)
}

/// Refuses a database into which a copy was begun.
fn refuse_marked(state: &Schema, address: &Address) -> Result<(), Error> {
    match &state.mark {
        Some(mark) => Err(address.refused(ErrorKind::Conflict, mark.refusal())),
        None => Ok(()),
    }
}

/// Reads whose database it is and at which version. A lock is not needed: what it says may be old, never wrong.
pub(crate) async fn look<C: ConnectionTrait>(db: &C, address: &Address) -> Result<Schema, Error> {
    let engine = |error: DbErr| translate(address.operation(), Phase::Work, error);
    let known = migration::known();
    let tables = tables(db).await.map_err(engine)?;
    let has = |name: &str| tables.iter().any(|table| table == name);
    let mark = match has(mark::TABLE) {
        true => Some(mark::read(db).await.map_err(engine)?),
        false => None,
    };
    if !has(migration::TABLE) {
        let applied = Vec::new();
        return match tables.iter().find(|_| mark.is_none()) {
            None => Ok(Schema { applied, known, mark }),
            Some(table) => Err(address.refused(
                ErrorKind::Corrupt,
                format_args!(
                    "it holds '{}', which is not Muster's, and was left as it is; name an empty database",
                    table.chars().take(80).collect::<String>().escape_debug()
                ),
            )),
        };
    }
    let applied = migration::applied(db).await.map_err(engine)?;
    if let Some(newer) = applied.iter().find(|name| !known.contains(name)) {
        return Err(address.refused(
            ErrorKind::Corrupt,
            format_args!(
                "it was written by a newer Muster (its schema has '{}', this program knows schemas up to {}); use \
                 the newer program, or name another database",
                newer.chars().take(80).collect::<String>().escape_debug(),
                known.len()
            ),
        ));
    }
    Ok(Schema { applied, known, mark })
}

/// Returns the names of all tables and views of the database (of its schema, where it has several).
async fn tables<C: ConnectionTrait>(db: &C) -> Result<Vec<String>, DbErr> {
    let sql = match db.get_database_backend() {
        DbBackend::Postgres => {
            "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY 1"
        }
        _ => {
            "SELECT CAST(table_name AS CHAR) FROM information_schema.tables WHERE table_schema = DATABASE() \
             ORDER BY 1"
        }
    };
    db.query_all_raw(Statement::from_string(db.get_database_backend(), sql))
        .await?
        .iter()
        .map(|row| row.try_get_by_index(0))
        .collect()
}

/// Waits until nobody else makes the schema. The lock ends with the transaction, or with its connection.
pub(crate) async fn lock(transaction: &DatabaseTransaction, address: &Address) -> Result<(), Error> {
    let engine = |error: DbErr| translate(address.operation(), Phase::Work, error);
    let backend = transaction.get_database_backend();
    if backend == DbBackend::Postgres {
        for sql in [
            format!("SET LOCAL lock_timeout = '{PATIENCE_SECONDS}s'"),
            "SET LOCAL statement_timeout = 0".to_owned(),
            format!("SELECT pg_advisory_xact_lock({LOCK})"),
        ] {
            transaction.execute_unprepared(&sql).await.map_err(engine)?;
        }
        return Ok(());
    }
    let sql = format!("SELECT GET_LOCK(CONCAT('muster_', MD5(DATABASE())), {PATIENCE_SECONDS})");
    let row = transaction
        .query_one_raw(Statement::from_string(backend, sql))
        .await
        .map_err(engine)?;
    let got: Option<i64> = match row {
        Some(row) => row.try_get_by_index(0).map_err(engine)?,
        None => None,
    };
    match got {
        Some(1) => Ok(()),
        _ => Err(address.refused(
            ErrorKind::Timeout,
            "another process has been making its schema for too long",
        )),
    }
}
