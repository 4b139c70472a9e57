//! Tasks, runs, their attempts and output, executors.

use sea_orm_migration::prelude::*;

use super::tables::{create_index, create_table};
use super::{clustered, long_bytes, long_text, maybe_number, maybe_short, number, short};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        tasks(manager).await?;
        runs(manager).await?;
        outputs(manager).await?;
        let mut executors = Table::create();
        executors
            .table(Alias::new("executors"))
            .col(short("id", 255).primary_key())
            .col(short("home", 255))
            .col(number("pid"))
            .col(number("lease_until"));
        create_table(manager, "executors", executors).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [
            "executors",
            "outputs",
            "run_attempts",
            "runs",
            "task_inputs",
            "tasks",
        ] {
            manager
                .drop_table(Table::drop().table(Alias::new(table)).take())
                .await?;
        }
        Ok(())
    }
}

async fn tasks(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let mut tasks = Table::create();
    tasks
        .table(Alias::new("tasks"))
        .col(number("id").auto_increment().primary_key())
        .col(short("request_id", 255).unique_key())
        .col(long_text(manager, "spec").not_null())
        .col(long_text(manager, "options").not_null())
        .col(long_text(manager, "search").not_null())
        .col(short("owner", 255))
        .col(short("dispatcher", 255))
        .col(maybe_number("retry_of"))
        .col(number("created_at"))
        .col(maybe_number("finished_at"))
        .col(maybe_number("cancelled_at"));
    for count in [
        "runs_total",
        "runs_queued",
        "runs_started",
        "runs_succeeded",
        "runs_failed",
        "runs_timed_out",
        "runs_unreachable",
        "runs_cancelled",
        "runs_expired",
        "runs_lost",
        "runs_skipped",
    ] {
        tasks.col(number(count).default(0));
    }
    create_table(manager, "tasks", tasks).await?;
    // The open tasks stand together under NULL.
    let mut open = Index::create();
    open.col(Alias::new("finished_at")).col(Alias::new("id"));
    create_index(manager, "tasks", "tasks_finished", open).await?;

    let mut inputs = Table::create();
    inputs
        .table(Alias::new("task_inputs"))
        .col(number("task_id").primary_key())
        .col(long_bytes(manager, "script").null())
        .col(long_bytes(manager, "stdin").null());
    create_table(manager, "task_inputs", inputs).await
}

async fn runs(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let mut runs = Table::create();
    runs.table(Alias::new("runs"))
        .col(number("task_id"))
        .col(number("idx"))
        .col(short("host", 512))
        .col(short("reach", 16))
        .col(maybe_short("target", 512))
        .col(maybe_short("address", 512))
        .col(maybe_short("login", 512))
        .col(maybe_number("port"))
        .col(short("state", 16).default("queued"))
        .col(number("attempt").default(1))
        .col(maybe_number("started_at"))
        .col(maybe_number("finished_at"))
        .col(maybe_short("executor", 255))
        .col(maybe_number("exit_code"))
        .col(maybe_short("exit_signal", 64))
        .col(long_text(manager, "error").null())
        .col(maybe_short("reason", 32))
        .col(number("stdout_bytes").default(0))
        .col(number("stderr_bytes").default(0))
        .col(
            ColumnDef::new(Alias::new("truncated"))
                .boolean()
                .not_null()
                .default(false),
        )
        .primary_key(Index::create().col(Alias::new("task_id")).col(Alias::new("idx")));
    clustered(manager, &mut runs);
    create_table(manager, "runs", runs).await?;
    open_runs(manager).await?;

    let mut attempts = Table::create();
    attempts
        .table(Alias::new("run_attempts"))
        .col(number("task_id"))
        .col(number("idx"))
        .col(number("attempt"))
        .col(short("state", 16))
        .col(maybe_number("exit_code"))
        .col(long_text(manager, "error").null())
        .col(number("finished_at"))
        .primary_key(
            Index::create()
                .col(Alias::new("task_id"))
                .col(Alias::new("idx"))
                .col(Alias::new("attempt")),
        );
    clustered(manager, &mut attempts);
    create_table(manager, "run_attempts", attempts).await
}

/// Finding the open runs of a large task that is nearly done, and the runs of one executor, must not cost a
/// walk over all runs. A partial index holds the open ones alone; MySQL has none, and indexes them all.
async fn open_runs(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let mut open = Index::create();
    let mut started = Index::create();
    started.col(Alias::new("executor"));
    if manager.get_database_backend() == sea_orm::DbBackend::MySql {
        open.col(Alias::new("task_id"))
            .col(Alias::new("state"))
            .col(Alias::new("idx"));
        started.col(Alias::new("state"));
    } else {
        open.col(Alias::new("task_id"))
            .col(Alias::new("idx"))
            .cond_where(Expr::cust(super::super::read::OPEN));
        started.cond_where(Expr::cust(super::super::read::STARTED));
    }
    create_index(manager, "runs", "runs_open", open).await?;
    create_index(manager, "runs", "runs_started", started).await
}

async fn outputs(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let mut outputs = Table::create();
    outputs
        .table(Alias::new("outputs"))
        .col(number("task_id"))
        .col(number("idx"))
        .col(number("attempt"))
        .col(long_bytes(manager, "frames").not_null())
        .primary_key(
            Index::create()
                .col(Alias::new("task_id"))
                .col(Alias::new("idx"))
                .col(Alias::new("attempt")),
        );
    create_table(manager, "outputs", outputs).await
}
