//! Which tables there are and what is in them: read from a schema that the migrations have just made.

use std::collections::{BTreeMap, BTreeSet};

use muster_model::ErrorKind;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};

use super::mark;
use crate::adapters::sql::migration;
use crate::adapters::sql::translate::during;
use crate::adapters::sqlite;
use crate::error::Error;

/// The table of output logs in pieces. Logs may lie in files, so they are copied as logs and not as rows.
pub(crate) const LOGS: &str = "output_chunks";

/// What a column holds, whatever an engine calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Number,
    Text,
    Bytes,
    Flag,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// Whether a value may be of any length.
    pub(crate) long: bool,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) columns: Vec<Column>,
    /// The places of the key's columns, in the key's order.
    pub(crate) key: Vec<usize>,
    /// The column whose numbers the database gives.
    pub(crate) counted: Option<String>,
    /// Whether it has rows from the beginning.
    pub(crate) seeded: bool,
}

/// Returns every table, each behind those that it refers to.
pub(crate) async fn plan() -> Result<Vec<Table>, Error> {
    plan_after(migration::known().len()).await
}

/// Returns every table that is there after the first `migrations`.
pub(crate) async fn plan_after(migrations: usize) -> Result<Vec<Table>, Error> {
    let db = sqlite::fresh_memory(Some(u32::try_from(migrations).unwrap_or(u32::MAX))).await?;
    let result = tables(&db).await;
    // Nothing is lost with it.
    let _ = db.close_by_ref().await;
    result
}

async fn tables<C: ConnectionTrait>(db: &C) -> Result<Vec<Table>, Error> {
    const OPERATION: &str = "read what tables there are";
    let failed = during(OPERATION);
    let sql =
        "SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!'";
    let mut waiting = BTreeMap::new();
    for row in query(db, sql).await.map_err(&failed)? {
        let (name, sql): (String, String) = row.try_get_many_by_index().map_err(&failed)?;
        if name == migration::TABLE {
            continue;
        }
        let counted = sql.to_ascii_uppercase().contains("AUTOINCREMENT");
        let table = table(db, &name, counted).await?;
        let sql = format!("SELECT DISTINCT \"table\" FROM pragma_foreign_key_list('{name}')");
        let mut parents = BTreeSet::new();
        for row in query(db, &sql).await.map_err(&failed)? {
            parents.insert(row.try_get_by_index::<String>(0).map_err(&failed)?);
        }
        parents.remove(&name);
        waiting.insert(name, (table, parents));
    }
    let mut ordered: Vec<Table> = Vec::new();
    while !waiting.is_empty() {
        let free = |(_, parents): &(Table, BTreeSet<String>)| {
            parents
                .iter()
                .all(|parent| ordered.iter().any(|table| table.name == *parent))
        };
        let Some(name) = waiting
            .iter()
            .find(|(_, entry)| free(entry))
            .map(|(name, _)| name.clone())
        else {
            return Err(Error::new(ErrorKind::Internal, OPERATION)
                .caused_by("tables refer to each other in a circle"));
        };
        ordered.extend(waiting.remove(&name).map(|(table, _)| table));
    }
    Ok(ordered)
}

async fn table<C: ConnectionTrait>(db: &C, name: &str, counted: bool) -> Result<Table, Error> {
    let operation = format!("read what is in the table {name}");
    let failed = during(&operation);
    let refuse = |what: String| Err(Error::new(ErrorKind::Internal, operation.clone()).caused_by(what));
    let sql = format!("SELECT name, type, pk FROM pragma_table_info('{name}') ORDER BY cid");
    let mut columns = Vec::new();
    let mut key = Vec::new();
    for row in query(db, &sql).await.map_err(&failed)? {
        let (column, declared, in_key): (String, String, i64) =
            row.try_get_many_by_index().map_err(&failed)?;
        let declared = declared.to_ascii_lowercase();
        let kind = match declared.split(['(', ' ']).next().unwrap_or_default() {
            "bigint" | "integer" => Kind::Number,
            "varchar" | "text" => Kind::Text,
            "blob" => Kind::Bytes,
            "boolean" => Kind::Flag,
            _ => return refuse(format!("the column {column} is of the unknown type '{declared}'")),
        };
        if in_key > 0 {
            key.push((in_key, columns.len()));
        }
        columns.push(Column {
            name: column,
            kind,
            long: matches!(declared.as_str(), "text" | "blob"),
        });
    }
    if key.is_empty() {
        return refuse("it has no primary key".to_owned());
    }
    key.sort_unstable();
    let key: Vec<usize> = key.into_iter().map(|(_, place)| place).collect();
    let counted = match key.as_slice() {
        [place] if counted => Some(columns[*place].name.clone()),
        _ => None,
    };
    let rows = number(db, &format!("SELECT COUNT(*) FROM \"{name}\""))
        .await
        .map_err(&failed)?;
    Ok(Table {
        name: name.to_owned(),
        columns,
        key,
        counted,
        seeded: rows.is_some_and(|rows| rows > 0),
    })
}

/// Refuses a database whose tables and columns are not those of the plan.
pub(crate) async fn check<C: ConnectionTrait>(db: &C, plan: &[Table], place: &str) -> Result<(), Error> {
    let operation = format!("look at the tables of {place}");
    let live = live(db).await.map_err(during(&operation))?;
    let known: BTreeMap<String, BTreeSet<String>> = plan
        .iter()
        .map(|table| {
            let columns = table.columns.iter().map(|column| column.name.clone());
            (table.name.clone(), columns.collect())
        })
        .collect();
    if live == known {
        return Ok(());
    }
    let differs = live
        .keys()
        .chain(known.keys())
        .find(|name| live.get(*name) != known.get(*name));
    let name: String = differs.map_or("", String::as_str).chars().take(80).collect();
    Err(Error::new(
        ErrorKind::Corrupt,
        format!(
            "{operation}: '{}' is not as this program knows it",
            name.escape_debug()
        ),
    ))
}

/// Returns the tables that are there, with their columns. Those of the book-keeping are left out.
pub(crate) async fn live<C: ConnectionTrait>(db: &C) -> Result<BTreeMap<String, BTreeSet<String>>, DbErr> {
    let sql = match db.get_database_backend() {
        DbBackend::Postgres => {
            "SELECT table_name::text, column_name::text FROM information_schema.columns \
             WHERE table_schema = current_schema()"
        }
        DbBackend::Sqlite => {
            "SELECT m.name, c.name FROM sqlite_schema m, pragma_table_info(m.name) c \
             WHERE m.type IN ('table', 'view') AND m.name NOT LIKE 'sqlite!_%' ESCAPE '!'"
        }
        _ => {
            "SELECT CAST(table_name AS CHAR), CAST(column_name AS CHAR) FROM information_schema.columns \
             WHERE table_schema = DATABASE()"
        }
    };
    let mut tables: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in query(db, sql).await? {
        let (table, column): (String, String) = row.try_get_many_by_index()?;
        if table != migration::TABLE && table != mark::TABLE {
            tables.entry(table).or_default().insert(column);
        }
    }
    Ok(tables)
}

/// Runs a query that takes no values.
pub(crate) async fn query<C: ConnectionTrait>(db: &C, sql: &str) -> Result<Vec<sea_orm::QueryResult>, DbErr> {
    db.query_all_raw(Statement::from_string(db.get_database_backend(), sql))
        .await
}

/// Runs a query that gives one number; None where it gives nothing or NULL.
pub(crate) async fn number<C: ConnectionTrait>(db: &C, sql: &str) -> Result<Option<i64>, DbErr> {
    match query(db, sql).await?.first() {
        Some(row) => row.try_get_by_index(0),
        None => Ok(None),
    }
}

/// Returns a name of a table or column as a statement of the engine has it.
pub(crate) fn quoted(backend: DbBackend, name: &str) -> String {
    match backend {
        DbBackend::MySql => format!("`{name}`"),
        _ => format!("\"{name}\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_table_stands_behind_those_that_it_refers_to() {
        let plan = plan().await.unwrap();
        let place = |name: &str| plan.iter().position(|table| table.name == name).unwrap();
        assert!(place("host_groups") < place("host_group_members"));
        assert!(place("host_groups") < place("host_group_children"));
        assert!(plan.iter().all(|table| table.name != migration::TABLE));
        let counted: Vec<&str> = plan
            .iter()
            .filter(|table| table.counted.is_some())
            .map(|table| table.name.as_str())
            .collect();
        assert!(
            counted.contains(&"tasks") && counted.contains(&"host_groups"),
            "{counted:?}"
        );
        assert!(!counted.contains(&"runs"), "{counted:?}");
    }

    #[tokio::test]
    async fn logs_in_pieces_are_as_they_are_copied() {
        let plan = plan().await.unwrap();
        let logs = plan.iter().find(|table| table.name == LOGS).unwrap();
        let columns: Vec<&str> = logs.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(columns, ["task_id", "idx", "attempt", "begins", "ends", "frames"]);
        assert_eq!(logs.key, [0, 1, 2, 3]);
    }
}
