//! Keeping no more than is wanted: equal outputs once, what a task keeps, and where its removal stands.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{DbBackend, Statement};

use super::super::blobs;
use super::tables::{add_column, create_index, create_table};
use super::{long_bytes, maybe_number, maybe_short, number, short};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut blobs = Table::create();
        blobs
            .table(Alias::new("output_blobs"))
            .col(short("hash", blobs::HASH).primary_key())
            .col(number("bytes"))
            .col(long_bytes(manager, "frames").not_null());
        create_table(manager, "output_blobs", blobs).await?;

        add_column(manager, "outputs", maybe_short("shared", blobs::HASH)).await?;
        // Who points at a blob. Most outputs point at none.
        let mut pointing = Index::create();
        pointing.col(Alias::new("shared"));
        if manager.get_database_backend() != DbBackend::MySql {
            pointing.cond_where(Expr::cust("shared IS NOT NULL"));
        }
        create_index(manager, "outputs", "outputs_shared", pointing).await?;

        for column in [
            number("kept_bytes").default(0).take(),
            maybe_number("held_until"),
            maybe_number("outputs_removed_at"),
            maybe_number("removing_since"),
        ] {
            add_column(manager, "tasks", column).await?;
        }
        count_what_is_kept(manager).await
    }
}

/// What tasks of an earlier release keep is taken from what their runs have written.
async fn count_what_is_kept(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let db = manager.get_connection();
    let sql = "UPDATE tasks SET kept_bytes = COALESCE((SELECT SUM(r.stdout_bytes + r.stderr_bytes) FROM runs r \
               WHERE r.task_id = tasks.id), 0) WHERE kept_bytes = 0";
    db.execute_raw(Statement::from_string(db.get_database_backend(), sql))
        .await?;
    Ok(())
}
