//! SQLite, the engine inside: from a file (or memory) to an open [`Database`].

mod file;
mod identity;

pub(crate) use file::kind_of;
pub(crate) use identity::look;

use std::path::{Path, PathBuf};
use std::time::Duration;

use muster_model::ErrorKind;
use muster_runtime::{Backoff, Tasks, clock, crash_point};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, SqlxSqliteConnector, Statement};
use sea_orm_migration::MigratorTrait;
use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteSynchronous};

use super::sql::translate::{Phase, translate};
use super::sql::writer::{Keep, Writer};
use super::sql::{Database, migration};
use crate::error::Error;
use crate::schema::Schema;

/// How long a statement waits for another process that writes. A submit of the largest task takes seconds.
const BUSY: Duration = Duration::from_secs(30);
/// Readers: enough that a long page of runs does not hold up the short reads.
const READERS: u32 = 4;

/// Opens the database file at `path`, made and brought to the current schema where needed.
pub(crate) async fn open_file(path: PathBuf, tasks: &Tasks) -> Result<Database, Error> {
    let place = path.display().to_string();
    let operation = format!("open {place}");
    let claim = claim(&path, &operation).await?;
    crash_point!(DatabaseClaimed);
    let writer = connect(options(&path), 1, &operation).await?;
    let prepared = match identity::migrate(&writer, &place).await {
        Ok(()) => write_ahead(&writer, &operation).await,
        Err(error) => Err(error),
    };
    crash_point!(DatabaseMigrated);
    let readers = match prepared {
        // No reader may ever write, whatever is asked of it.
        Ok(()) => connect(options(&path).pragma("query_only", "ON"), READERS, &operation).await,
        Err(error) => Err(error),
    };
    match readers {
        Ok(readers) => Ok(database(tasks, writer, readers, place, Box::new(claim))),
        Err(error) => {
            // Close before the claim on the file ends.
            let _ = writer.close_by_ref().await;
            drop(claim);
            Err(error)
        }
    }
}

/// Opens a database in memory, which is gone when it is closed.
pub(crate) async fn open_memory(tasks: &Tasks) -> Result<Database, Error> {
    let place = "in memory".to_owned();
    // One connection is one database, so readers and the writer take turns on it.
    let connection = fresh_memory(None).await?;
    Ok(database(
        tasks,
        connection.clone(),
        connection,
        place,
        Box::new(()),
    ))
}

/// Returns the version of the schema of the file at `path`, which is not made where it is missing.
pub(crate) async fn schema(path: PathBuf) -> Result<Schema, Error> {
    if !path.exists() {
        return Ok(Schema {
            applied: Vec::new(),
            known: migration::known(),
            mark: None,
        });
    }
    work_on(path, |db, place| async move { identity::look(&db, &place).await }).await
}

/// Brings the file at `path` to the current schema, made where it is missing.
pub(crate) async fn migrate(path: PathBuf) -> Result<Schema, Error> {
    work_on(path, |db, place| async move {
        identity::migrate(&db, &place).await?;
        identity::look(&db, &place).await
    })
    .await
}

/// Returns the version of a database in memory: always the current one.
pub(crate) fn schema_of_memory() -> Schema {
    Schema {
        applied: migration::known(),
        known: migration::known(),
        mark: None,
    }
}

/// Returns one connection to the file at `path`, made where it is missing, and what is to be dropped after it.
pub(crate) async fn alone(path: &Path) -> Result<(DatabaseConnection, Keep), Error> {
    let operation = format!("open {}", path.display());
    let claim = claim(path, &operation).await?;
    match connect(options(path), 1, &operation).await {
        Ok(db) => Ok((db, Box::new(claim))),
        Err(error) => {
            drop(claim);
            Err(error)
        }
    }
}

/// Returns one connection to a new database in memory with the current schema, or that after so many migrations.
pub(crate) async fn fresh_memory(migrations: Option<u32>) -> Result<DatabaseConnection, Error> {
    let options = SqliteConnectOptions::new()
        .in_memory(true)
        .disable_statement_logging();
    let connection = connect(options, 1, "open a database in memory").await?;
    migration::Migrator::up(&connection, migrations)
        .await
        .map_err(|error| translate("make a database in memory", Phase::Work, error))?;
    Ok(connection)
}

/// Returns the statement that says whose a file is.
pub(crate) fn claim_as_ours() -> String {
    format!("PRAGMA application_id = {}", file::APPLICATION_ID)
}

/// Does something with the file at `path` on a connection that is closed then.
async fn work_on<F: Future<Output = Result<Schema, Error>>>(
    path: PathBuf,
    work: impl FnOnce(DatabaseConnection, String) -> F,
) -> Result<Schema, Error> {
    let place = path.display().to_string();
    let operation = format!("open {place}");
    let claim = claim(&path, &operation).await?;
    let db = connect(options(&path), 1, &operation).await?;
    let result = work(db.clone(), place).await;
    // Close before the claim on the file ends.
    let _ = db.close_by_ref().await;
    drop(claim);
    result
}

async fn claim(path: &Path, operation: &str) -> Result<file::Claim, Error> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || file::claim(&path))
        .await
        .map_err(|error| Error::new(ErrorKind::Internal, operation).caused_by(error))?
}

fn database(
    tasks: &Tasks,
    writer: DatabaseConnection,
    readers: DatabaseConnection,
    place: String,
    keep: Keep,
) -> Database {
    Database {
        writer: Writer::start(tasks, tasks.meters(), writer, vec![readers.clone()], keep),
        signs: None,
        largest_statement: None,
        readers,
        place,
    }
}

/// The settings of every connection. `busy_timeout` is in force before any pragma runs; the journal's mode
/// is not among them, since it is set once, on a file that is known to be ours.
fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .busy_timeout(BUSY)
        // A commit that was answered survives a power cut, not just the death of the process.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .statement_cache_capacity(256)
        // The rows of a whole group come over without the two threads waiting for each other.
        .row_buffer_size(1024)
        .pragma("cache_size", "-16384")
        .pragma("temp_store", "MEMORY")
        .pragma("journal_size_limit", "67108864")
        .disable_statement_logging()
}

async fn connect(
    options: SqliteConnectOptions,
    most: u32,
    operation: &str,
) -> Result<DatabaseConnection, Error> {
    let pool = SqlitePoolOptions::new()
        .max_connections(most)
        .min_connections(u32::from(most == 1))
        .acquire_timeout(BUSY + Duration::from_secs(5))
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(options)
        .await
        .map_err(|error| {
            let error = DbErr::Conn(sea_orm::RuntimeErr::SqlxError(error.into()));
            translate(operation, Phase::Work, error)
        })?;
    Ok(SqlxSqliteConnector::from_sqlx_sqlite_pool(pool))
}

/// Turns on the write-ahead log, so that readers and the writer do not wait for each other. It stays on in
/// the file. The change needs the file for itself for a moment, and SQLite does not wait for that.
async fn write_ahead(db: &DatabaseConnection, operation: &str) -> Result<(), Error> {
    let mut backoff = Backoff::new(Duration::from_millis(5), Duration::from_millis(200));
    let give_up = clock::monotonic() + BUSY;
    loop {
        let statement = Statement::from_string(db.get_database_backend(), "PRAGMA journal_mode = WAL");
        let error = match db.query_one_raw(statement).await {
            Ok(_) => return Ok(()),
            Err(error) => translate(operation, Phase::Work, error),
        };
        if error.kind != ErrorKind::Unavailable || clock::monotonic() > give_up {
            return Err(error);
        }
        clock::sleep(backoff.step()).await;
    }
}
