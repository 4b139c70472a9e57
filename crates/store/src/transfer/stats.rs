//! What takes the space in a database: by table, by kind of output, and by task. Read without changing it.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use muster_model::{ErrorKind, TaskId, Timestamp};
use sea_orm::{ConnectionTrait, DbBackend};

use super::plan::{self, number, query, quoted};
use super::side::{Side, outputs_of};
use crate::adapters::logs::equal;
use crate::adapters::sql::record;
use crate::adapters::sql::translate::during;
use crate::error::Error;
use crate::open::{Place, parse};

/// What takes the space.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// What the database takes on its disk, in bytes; of a file, with what is free within it.
    pub bytes: u64,
    /// What of that is free, and will be used again.
    pub free_bytes: u64,
    /// Each table with its indexes, the largest first.
    pub tables: Vec<TableStats>,
    /// Output that is kept with its run, each for itself.
    pub alone: OutputStats,
    /// Output that runs share.
    pub shared: SharedStats,
    /// Output that lies by itself: in pieces in the database, or in files beside it.
    pub logs: OutputStats,
    /// What of those logs is kept once for several runs, in bytes: so much more they would take.
    pub logs_saved_bytes: u64,
    /// The finished tasks of which most is kept, the largest first.
    pub largest: Vec<TaskStats>,
    /// When the oldest task that is there has ended.
    pub oldest: Option<Timestamp>,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableStats {
    /// Its name.
    pub name: String,
    /// How many rows it has.
    pub rows: u64,
    /// What it takes with its indexes, in bytes.
    pub bytes: u64,
}

/// Output of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputStats {
    /// How many logs.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Output that runs share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SharedStats {
    /// How many different ones.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many runs have them.
    pub runs: u64,
    /// What they would take if each run had its own.
    pub would_be_bytes: u64,
}

/// A task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskStats {
    /// Its number.
    pub id: TaskId,
    /// What it did, in lower case, at most 80 characters.
    pub title: String,
    /// How many runs it has.
    pub runs: u64,
    /// What its output takes; what it shares with earlier output is left out.
    pub bytes: u64,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// Returns what takes the space in the database that `url` names. Changes nothing, and makes no file.
///
/// # Errors
///
/// As [`crate::open()`]; `NotFound` for a file that is not there, `Conflict` for an older schema.
pub async fn stats(url: &str) -> Result<Stats, Error> {
    let place = parse(url)?;
    let side = Side::existing(url).await?;
    let result = of(&side).await;
    side.close().await;
    let mut stats = result?;
    if let Place::File(path) = place {
        let folder = outputs_of(&path);
        let walked = tokio::task::spawn_blocking(move || files(&folder));
        let files = walked.await.map_err(|error| {
            Error::new(ErrorKind::Internal, "measure the output in files").caused_by(error)
        })?;
        stats.logs.count += files.count;
        stats.logs.bytes += files.bytes;
        stats.logs_saved_bytes = files.saved_bytes;
    }
    Ok(stats)
}

async fn of(side: &Side) -> Result<Stats, Error> {
    let operation = format!("read {}", side.place);
    let failed = during(&operation);
    let db = &side.db;
    let schema = side.look(db).await?;
    if !schema.is_current() {
        return Err(side.refused(
            ErrorKind::Conflict,
            "its schema is an older one: muster db migrate",
        ));
    }
    let mut tables = Vec::new();
    for table in plan::plan().await? {
        let sql = format!(
            "SELECT COUNT(*) FROM {}",
            quoted(db.get_database_backend(), &table.name)
        );
        tables.push(TableStats {
            rows: unsigned(number(db, &sql).await.map_err(&failed)?),
            bytes: table_bytes(db, &table.name).await.map_err(&failed)?,
            name: table.name,
        });
    }
    tables.sort_by(|one, other| {
        other
            .bytes
            .cmp(&one.bytes)
            .then_with(|| one.name.cmp(&other.name))
    });
    let (bytes, free_bytes) = whole(db).await.map_err(&failed)?;
    let [alone_count, alone_bytes] = pair(db, "LENGTH(frames)", "outputs WHERE shared IS NULL")
        .await
        .map_err(&failed)?;
    let [count, shared_bytes] = pair(db, "bytes", "output_blobs").await.map_err(&failed)?;
    let pointing = "outputs o JOIN output_blobs b ON b.hash = o.shared";
    let [runs, would_be_bytes] = pair(db, "b.bytes", pointing).await.map_err(&failed)?;
    let pieces = "(SELECT MAX(ends) AS log_end FROM output_chunks GROUP BY task_id, idx, attempt) l";
    let [log_count, log_bytes] = pair(db, "log_end", pieces).await.map_err(&failed)?;
    let oldest = number(db, "SELECT MIN(finished_at) FROM tasks")
        .await
        .map_err(&failed)?;
    Ok(Stats {
        bytes,
        free_bytes,
        tables,
        alone: OutputStats {
            count: alone_count,
            bytes: alone_bytes,
        },
        shared: SharedStats {
            count,
            bytes: shared_bytes,
            runs,
            would_be_bytes,
        },
        logs: OutputStats {
            count: log_count,
            bytes: log_bytes,
        },
        logs_saved_bytes: 0,
        largest: largest(db, &operation).await?,
        oldest: oldest.map(Timestamp),
    })
}

fn unsigned(number: Option<i64>) -> u64 {
    number.and_then(|number| u64::try_from(number).ok()).unwrap_or(0)
}

/// Runs a query of a count and of a sum, `SUM(of)`; `from` is what stands behind them.
async fn pair<C: ConnectionTrait>(db: &C, of: &str, from: &str) -> Result<[u64; 2], sea_orm::DbErr> {
    // A sum is a decimal number with the servers.
    let whole = match db.get_database_backend() {
        DbBackend::MySql => "SIGNED",
        _ => "BIGINT",
    };
    let sql = format!("SELECT COUNT(*), CAST(SUM({of}) AS {whole}) FROM {from}");
    let rows = query(db, &sql).await?;
    let Some(row) = rows.first() else {
        return Ok([0, 0]);
    };
    let (count, sum): (i64, Option<i64>) = row.try_get_many_by_index()?;
    Ok([unsigned(Some(count)), unsigned(sum)])
}

/// Returns what a table takes with its indexes.
async fn table_bytes<C: ConnectionTrait>(db: &C, table: &str) -> Result<u64, sea_orm::DbErr> {
    let sql = match db.get_database_backend() {
        DbBackend::Postgres => format!("SELECT pg_total_relation_size('{table}'::regclass)"),
        DbBackend::MySql => format!(
            "SELECT CAST(data_length + index_length AS SIGNED) FROM information_schema.tables \
             WHERE table_schema = DATABASE() AND table_name = '{table}'"
        ),
        _ => format!(
            "SELECT SUM(pgsize) FROM dbstat WHERE aggregate = TRUE AND name IN \
             (SELECT name FROM sqlite_schema WHERE tbl_name = '{table}')"
        ),
    };
    Ok(unsigned(number(db, &sql).await?))
}

/// Returns what the database takes, and what of it is free.
async fn whole<C: ConnectionTrait>(db: &C) -> Result<(u64, u64), sea_orm::DbErr> {
    let (all, free) = match db.get_database_backend() {
        DbBackend::Postgres => ("SELECT pg_database_size(current_database())", None),
        DbBackend::MySql => (
            "SELECT CAST(SUM(data_length + index_length + data_free) AS SIGNED) FROM information_schema.tables \
             WHERE table_schema = DATABASE()",
            Some(
                "SELECT CAST(SUM(data_free) AS SIGNED) FROM information_schema.tables \
                 WHERE table_schema = DATABASE()",
            ),
        ),
        _ => (
            "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
            Some("SELECT freelist_count * page_size FROM pragma_freelist_count, pragma_page_size"),
        ),
    };
    let free = match free {
        Some(free) => unsigned(number(db, free).await?),
        None => 0,
    };
    Ok((unsigned(number(db, all).await?), free))
}

async fn largest<C: ConnectionTrait>(db: &C, operation: &str) -> Result<Vec<TaskStats>, Error> {
    let failed = during(operation);
    let sql = "SELECT id, search, runs_total, kept_bytes, finished_at FROM tasks \
               WHERE finished_at IS NOT NULL AND kept_bytes > 0 AND removing_since IS NULL \
               ORDER BY kept_bytes DESC, id DESC LIMIT 10";
    let mut largest = Vec::new();
    for row in query(db, sql).await.map_err(&failed)? {
        let (id, title, runs, bytes, finished_at): (i64, String, i64, i64, Option<i64>) =
            row.try_get_many_by_index().map_err(&failed)?;
        largest.push(TaskStats {
            id: record::task_id(id)?,
            title: title.chars().take(80).collect(),
            runs: unsigned(Some(runs)),
            bytes: unsigned(Some(bytes)),
            finished_at: finished_at.map(Timestamp),
        });
    }
    Ok(largest)
}

/// Logs in files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Files {
    count: u64,
    /// What they take, equal ones once.
    bytes: u64,
    saved_bytes: u64,
}

/// Walks through a folder of logs.
fn files(root: &Path) -> Files {
    let mut found = Files::default();
    let mut seen = HashSet::new();
    for task in fs::read_dir(root).into_iter().flatten().flatten() {
        if task.file_name() == equal::FOLDER {
            continue;
        }
        for log in fs::read_dir(task.path()).into_iter().flatten().flatten() {
            let Ok(about) = log.metadata() else { continue };
            found.count += 1;
            match about.nlink() < 2 || seen.insert((about.dev(), about.ino())) {
                true => found.bytes += about.len(),
                false => found.saved_bytes += about.len(),
            }
        }
    }
    found
}

/// Returns what logs in files take on the disk, equal ones once.
pub(super) fn bytes_of_files(root: &Path) -> u64 {
    files(root).bytes
}
