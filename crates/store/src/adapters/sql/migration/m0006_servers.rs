//! What several servers on one database know of each other, and the secrets that they share of a task.

use sea_orm_migration::prelude::*;

use super::tables::{add_column, create_table};
use super::{long_bytes, maybe_number, maybe_short, number, short};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in [
            short("machine", 255).default("").take(),
            short("roles", 255).default("").take(),
            short("version", 64).default("").take(),
            number("since").default(0).take(),
            // What servers of earlier releases hold.
            number("lease_ms").default(60_000).take(),
            number("slots").default(0).take(),
            number("runs").default(0).take(),
            number("tasks").default(0).take(),
            short("vault_key", 64).default("").take(),
            number("leaving").default(0).take(),
            maybe_number("gone_at"),
        ] {
            add_column(manager, "executors", column).await?;
        }

        let mut terms = Table::create();
        terms
            .table(Alias::new("terms"))
            .col(short("work", 32).primary_key())
            .col(maybe_short("holder", 255))
            .col(number("term"));
        create_table(manager, "terms", terms).await?;

        add_column(manager, "tasks", number("sealed").default(0).take()).await?;
        let mut secrets = Table::create();
        secrets
            .table(Alias::new("task_secrets"))
            .col(number("task_id").primary_key())
            .col(short("key_id", 64))
            .col(long_bytes(manager, "sealed").not_null());
        create_table(manager, "task_secrets", secrets).await
    }
}
