//! The schema's versions. A migration that was released is never edited: the next change is the next file.
//!
//! While one process hands over to a newer one, both have the database open. So a migration only adds
//! (tables, columns with a default, indexes); what is to go away goes one release after the last reader.
//!
//! Tables, columns and indexes are made by the functions of [`tables`] alone: they know what each engine needs, and
//! may be called again, because MariaDB and MySQL cannot take back a migration that was interrupted.

use sea_orm_migration::prelude::*;

mod m0001_tasks;
mod m0002_inventory;
mod m0003_fleet;
mod m0004_output_chunks;
mod m0005_keeping;
mod m0006_servers;
mod tables;

/// Every migration, in order.
pub(crate) struct Migrator;

/// The table in which the applied migrations stand.
pub(crate) const TABLE: &str = "muster_migrations";

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_tasks::Migration),
            Box::new(m0002_inventory::Migration),
            Box::new(m0003_fleet::Migration),
            Box::new(m0004_output_chunks::Migration),
            Box::new(m0005_keeping::Migration),
            Box::new(m0006_servers::Migration),
        ]
    }

    fn migration_table_name() -> sea_orm::DynIden {
        Alias::new(TABLE).into_iden()
    }
}

/// Returns the names of the migrations that this build knows.
pub(crate) fn known() -> Vec<String> {
    Migrator::migrations()
        .iter()
        .map(|migration| migration.name().to_owned())
        .collect()
}

/// Returns the names of the migrations that the database has had, in order. Only reads.
pub(crate) async fn applied<C: sea_orm::ConnectionTrait>(db: &C) -> Result<Vec<String>, DbErr> {
    let sql = format!("SELECT version FROM {TABLE} ORDER BY version");
    db.query_all_raw(sea_orm::Statement::from_string(db.get_database_backend(), sql))
        .await?
        .iter()
        .map(|row| row.try_get_by_index(0))
        .collect()
}

/// Returns a text column without a practical limit (MySQL's TEXT ends at 64 KiB).
fn long_text(manager: &SchemaManager<'_>, name: &'static str) -> ColumnDef {
    let mut column = ColumnDef::new(Alias::new(name));
    match manager.get_database_backend() {
        sea_orm::DbBackend::MySql => column.custom(Alias::new("LONGTEXT")),
        _ => column.text(),
    };
    column
}

/// Returns a column of bytes without a practical limit (MySQL's BLOB ends at 64 KiB).
fn long_bytes(manager: &SchemaManager<'_>, name: &'static str) -> ColumnDef {
    let mut column = ColumnDef::new(Alias::new(name));
    match manager.get_database_backend() {
        sea_orm::DbBackend::MySql => column.custom(Alias::new("LONGBLOB")),
        _ => column.blob(),
    };
    column
}

/// Returns a whole number that is never NULL.
fn number(name: &'static str) -> ColumnDef {
    let mut column = ColumnDef::new(Alias::new(name));
    column.big_integer().not_null();
    column
}

/// Returns a whole number that may be NULL.
fn maybe_number(name: &'static str) -> ColumnDef {
    let mut column = ColumnDef::new(Alias::new(name));
    column.big_integer().null();
    column
}

/// Returns a text of at most `most` characters that is never NULL.
fn short(name: &'static str, most: u32) -> ColumnDef {
    let mut column = ColumnDef::new(Alias::new(name));
    column.string_len(most).not_null();
    column
}

/// Returns a text of at most `most` characters that may be NULL.
fn maybe_short(name: &'static str, most: u32) -> ColumnDef {
    let mut column = ColumnDef::new(Alias::new(name));
    column.string_len(most).null();
    column
}

/// Makes a table whose rows lie in the order of their key, also on SQLite, where that has to be asked for.
fn clustered(manager: &SchemaManager<'_>, table: &mut TableCreateStatement) {
    if manager.get_database_backend() == sea_orm::DbBackend::Sqlite {
        table.extra("WITHOUT ROWID");
    }
}
