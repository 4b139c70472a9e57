//! What a database is and holds, read without changing it.

use std::fs;
use std::path::Path;

use muster_model::{ErrorKind, Timestamp};
use sea_orm::DbBackend;

use super::plan::{self, number, query, quoted};
use super::side::{Side, outputs_of};
use super::stats::bytes_of_files;
use crate::adapters::sql::read;
use crate::adapters::sql::translate::during;
use crate::error::Error;
use crate::open::{Place, parse};
use crate::schema::{Schema, schema};
use crate::types::ExecutorRecord;

/// What a database is and holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The engine and its version; None where there is no database yet.
    pub engine: Option<String>,
    /// The version of its schema.
    pub schema: Schema,
    /// What it takes on the disk, in bytes.
    pub bytes: u64,
    /// What the output logs beside it take, in bytes.
    pub outputs_bytes: u64,
    /// How many rows each table has.
    pub tables: Vec<(String, u64)>,
    /// The servers whose leases are not over.
    pub servers: Vec<ExecutorRecord>,
}

/// Returns what the database that `url` names is and holds. Changes nothing, and makes no file.
///
/// # Errors
///
/// As [`crate::schema()`].
pub async fn status(url: &str) -> Result<Status, Error> {
    let place = parse(url)?;
    if let Place::File(path) = &place
        && !path.exists()
    {
        return Ok(Status {
            engine: None,
            schema: schema(url).await?,
            bytes: 0,
            outputs_bytes: 0,
            tables: Vec::new(),
            servers: Vec::new(),
        });
    }
    let side = Side::connect(url).await?;
    let result = of(&side).await;
    side.close().await;
    let mut status = result?;
    if let Place::File(path) = place {
        let sizes =
            tokio::task::spawn_blocking(move || (size_of_file(&path), bytes_of_files(&outputs_of(&path))));
        (status.bytes, status.outputs_bytes) = sizes
            .await
            .map_err(|error| Error::new(ErrorKind::Internal, "measure the database").caused_by(error))?;
    }
    Ok(status)
}

async fn of(side: &Side) -> Result<Status, Error> {
    let operation = format!("read {}", side.place);
    let db = &side.db;
    let backend = db.get_database_backend();
    let schema = side.look(db).await?;
    let live = plan::live(db).await.map_err(during(&operation))?;
    let mut tables = Vec::new();
    // An older schema has fewer tables.
    for table in plan::plan()
        .await?
        .iter()
        .filter(|table| live.contains_key(&table.name))
    {
        let sql = format!("SELECT COUNT(*) FROM {}", quoted(backend, &table.name));
        let rows = number(db, &sql).await.map_err(during(&operation))?.unwrap_or(0);
        tables.push((table.name.clone(), u64::try_from(rows).unwrap_or(0)));
    }
    let servers = match live.contains_key("executors") {
        true => servers(side).await?,
        false => Vec::new(),
    };
    let bytes = match backend {
        DbBackend::Sqlite => None,
        DbBackend::Postgres => number(db, "SELECT pg_database_size(current_database())")
            .await
            .map_err(during(&operation))?,
        _ => {
            let sql = "SELECT CAST(SUM(data_length + index_length) AS SIGNED) FROM information_schema.tables \
                       WHERE table_schema = DATABASE()";
            number(db, sql).await.map_err(during(&operation))?
        }
    };
    Ok(Status {
        engine: Some(read::engine(db).await?),
        schema,
        bytes: bytes.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0),
        outputs_bytes: 0,
        tables,
        servers,
    })
}

async fn servers(side: &Side) -> Result<Vec<ExecutorRecord>, Error> {
    let operation = format!("read the servers of {}", side.place);
    let failed = during(&operation);
    let sql = format!(
        "SELECT id, home, pid, lease_until FROM executors WHERE lease_until > {} ORDER BY id",
        muster_runtime::now().0
    );
    let mut servers = Vec::new();
    for row in query(&side.db, &sql).await.map_err(&failed)? {
        let (id, home, pid, until): (String, String, i64, i64) =
            row.try_get_many_by_index().map_err(&failed)?;
        servers.push(ExecutorRecord {
            id: muster_model::ExecutorId(id),
            home,
            pid: u32::try_from(pid).unwrap_or(0),
            until: Timestamp(until),
        });
    }
    Ok(servers)
}

/// Returns the size of a file with its write-ahead log.
fn size_of_file(path: &Path) -> u64 {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    [path, Path::new(&log)]
        .iter()
        .filter_map(|path| fs::metadata(path).ok())
        .map(|about| about.len())
        .sum()
}
