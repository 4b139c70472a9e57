//! Making tables, columns and indexes so that every engine treats texts alike, and so that it may be done again.
//!
//! Names are compared byte by byte, upper and lower case and spaces at the end apart, whatever the database that
//! somebody made for us has as its default.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{DbBackend, Statement};

/// Makes a table where it is not there.
pub(super) async fn create_table(
    manager: &SchemaManager<'_>,
    name: &str,
    mut table: TableCreateStatement,
) -> Result<(), DbErr> {
    if manager.get_database_backend() == DbBackend::MySql {
        table
            .if_not_exists()
            .engine("InnoDB")
            .character_set("utf8mb4")
            .collate(collation(manager).await?);
    }
    manager.create_table(table).await?;
    compare_bytes(manager, name).await
}

/// Adds a column to a table where it is not there.
pub(super) async fn add_column(
    manager: &SchemaManager<'_>,
    table: &str,
    column: ColumnDef,
) -> Result<(), DbErr> {
    let name = column.get_column_name();
    if manager.get_database_backend() == DbBackend::MySql && manager.has_column(table, &name).await? {
        return Ok(());
    }
    let mut alter = Table::alter();
    alter.table(Alias::new(table)).add_column(column);
    manager.alter_table(alter).await?;
    compare_bytes(manager, table).await
}

/// Makes an index where it is not there.
pub(super) async fn create_index(
    manager: &SchemaManager<'_>,
    table: &str,
    name: &str,
    mut index: IndexCreateStatement,
) -> Result<(), DbErr> {
    if manager.get_database_backend() == DbBackend::MySql && manager.has_index(table, name).await? {
        return Ok(());
    }
    manager
        .create_index(index.name(name).table(Alias::new(table)).take())
        .await
}

/// Returns the collation of MariaDB or MySQL that compares bytes and does not take `a` and `a ` for the same.
async fn collation(manager: &SchemaManager<'_>) -> Result<&'static str, DbErr> {
    let db = manager.get_connection();
    let statement = Statement::from_string(db.get_database_backend(), "SELECT VERSION()");
    let version: String = match db.query_one_raw(statement).await? {
        Some(row) => row.try_get_by_index(0)?,
        None => return Err(DbErr::RecordNotFound("the server's version".to_owned())),
    };
    Ok(match version.contains("MariaDB") {
        true => "utf8mb4_nopad_bin",
        false => "utf8mb4_0900_bin",
    })
}

/// Has PostgreSQL sort the texts of a table byte by byte. A sort order of a language may change with the system's
/// next update, and indexes that rest on it are wrong then.
async fn compare_bytes(manager: &SchemaManager<'_>, table: &str) -> Result<(), DbErr> {
    if manager.get_database_backend() != DbBackend::Postgres {
        return Ok(());
    }
    let db = manager.get_connection();
    let find = Statement::from_sql_and_values(
        DbBackend::Postgres,
        "SELECT column_name::text, \
         CASE data_type WHEN 'text' THEN 'text' ELSE format('varchar(%s)', character_maximum_length) END \
         FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = $1 \
         AND data_type IN ('text', 'character varying') AND collation_name IS NULL",
        [table.into()],
    );
    for column in db.query_all_raw(find).await? {
        let (name, kind): (String, String) = column.try_get_many_by_index()?;
        let sql = format!("ALTER TABLE {table} ALTER COLUMN {name} TYPE {kind} COLLATE \"C\"");
        db.execute_unprepared(&sql).await?;
    }
    Ok(())
}
