//! Output that is too large to be kept with its run, where the database is on a server: pieces of logs.
//!
//! An embedded database keeps it in files beside it, and leaves this table empty.

use sea_orm_migration::prelude::*;

use super::{clustered, long_bytes, number, tables};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut chunks = Table::create();
        chunks
            .table(Alias::new("output_chunks"))
            .col(number("task_id"))
            .col(number("idx"))
            .col(number("attempt"))
            .col(number("begins"))
            .col(number("ends"))
            .col(long_bytes(manager, "frames").not_null())
            .primary_key(
                Index::create()
                    .col(Alias::new("task_id"))
                    .col(Alias::new("idx"))
                    .col(Alias::new("attempt"))
                    .col(Alias::new("begins")),
            );
        clustered(manager, &mut chunks);
        tables::create_table(manager, "output_chunks", chunks).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table(Alias::new("output_chunks")).take())
            .await
    }
}
