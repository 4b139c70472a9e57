//! Tasks and runs in the database.

use std::sync::Arc;

use async_trait::async_trait;
use muster_model::{ErrorKind, ExecutorId, RunKey, RunRecord, TaskId, TaskRecord, Timestamp, Transition};
use sea_orm::EntityTrait;

use super::entity::executor;
use super::statement::{Fat, or_update};
use super::translate::during;
use super::writer::Repeatable;
use super::{Database, apply, migration, read, record, submit};
use crate::error::Error;
use crate::port::Store;
use crate::types::{ExecutorRecord, NewTask, OpenRun, RunFilter, Submitted, TaskFilter, TaskInput};
use muster_model::run::Applied;

fn check_executor(executor: &ExecutorId, operation: &str) -> Result<(), Error> {
    match record::is_executor(executor) {
        true => Ok(()),
        false => Err(Error::new(ErrorKind::Invalid, operation).caused_by(record::EXECUTOR)),
    }
}

#[async_trait]
impl Store for Database {
    async fn submit(&self, task: NewTask) -> Result<Submitted, Error> {
        submit::check(&task, self.largest_statement)?;
        let task = Arc::new(task);
        let write = || {
            let task = Arc::clone(&task);
            let work: Repeatable<Submitted> = Box::new(move |transaction| {
                let task = Arc::clone(&task);
                Box::pin(async move { submit::submit(transaction, &task).await })
            });
            self.writer.repeat("submit", work)
        };
        match write().await {
            // Another process wrote the same request between our look and our write: now it is found.
            Err(error) if error.kind == ErrorKind::AlreadyExists => write().await,
            result => result,
        }
    }

    async fn task(&self, id: TaskId) -> Result<Option<TaskRecord>, Error> {
        read::task(&self.readers, id).await
    }

    async fn input(&self, id: TaskId) -> Result<TaskInput, Error> {
        read::input(&self.readers, id).await
    }

    async fn tasks(&self, filter: TaskFilter) -> Result<Vec<TaskRecord>, Error> {
        read::tasks(&self.readers, filter).await
    }

    async fn runs(&self, task: TaskId, filter: RunFilter) -> Result<Vec<RunRecord>, Error> {
        read::runs(&self.readers, task, filter).await
    }

    async fn run(&self, run: RunKey) -> Result<Option<RunRecord>, Error> {
        read::run(&self.readers, run).await
    }

    async fn apply(&self, changes: Vec<Transition>) -> Result<Vec<Applied>, Error> {
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        changes.iter().try_for_each(apply::check)?;
        self.writer.apply(changes).await
    }

    async fn request_cancel(&self, task: TaskId, at: Timestamp) -> Result<bool, Error> {
        self.writer
            .repeat(
                format!("cancel task {task}"),
                Box::new(move |transaction| Box::pin(submit::request_cancel(transaction, task, at.0))),
            )
            .await
    }

    async fn open_tasks(&self) -> Result<Vec<(TaskId, ExecutorId)>, Error> {
        read::open_tasks(&self.readers).await
    }

    async fn adopt(&self, task: TaskId, from: &ExecutorId, to: &ExecutorId) -> Result<bool, Error> {
        let operation = format!("adopt task {task}");
        check_executor(to, &operation)?;
        let (from, to) = (from.clone(), to.clone());
        self.writer
            .repeat(
                operation,
                Box::new(move |transaction| {
                    let (from, to) = (from.clone(), to.clone());
                    Box::pin(async move { submit::adopt(transaction, task, &from, &to).await })
                }),
            )
            .await
    }

    async fn open_runs(&self, task: TaskId, from: u32, limit: u32) -> Result<Vec<OpenRun>, Error> {
        read::open_runs(&self.readers, task, from, limit).await
    }

    async fn heartbeat(
        &self,
        executor: &ExecutorId,
        home: &str,
        pid: u32,
        until: Timestamp,
    ) -> Result<(), Error> {
        let operation = format!("note that executor '{executor}' is alive");
        check_executor(executor, &operation)?;
        if home.len() > 255 || home.contains('\0') {
            return Err(Error::new(ErrorKind::Invalid, operation)
                .caused_by("an executor's home has at most 255 bytes, none of them zero"));
        }
        let row: Vec<sea_orm::Value> = vec![
            executor.0.clone().into(),
            home.into(),
            i64::from(pid).into(),
            until.0.into(),
        ];
        self.writer
            .repeat(
                operation,
                Box::new(move |transaction| {
                    let row = row.clone();
                    Box::pin(async move {
                        let backend = sea_orm::ConnectionTrait::get_database_backend(transaction);
                        Fat {
                            head: "INSERT INTO executors (id, home, pid, lease_until) VALUES",
                            width: 4,
                            fixed: "",
                            tail: &or_update(backend, "id", &["home", "pid", "lease_until"]),
                        }
                        .execute(transaction, row)
                        .await
                        .map_err(during("heartbeat"))
                    })
                }),
            )
            .await
    }

    async fn executors(&self) -> Result<Vec<ExecutorRecord>, Error> {
        read::executors(&self.readers).await
    }

    async fn forget_executor(&self, executor: &ExecutorId) -> Result<(), Error> {
        let id = executor.0.clone();
        self.writer
            .repeat(
                format!("forget executor '{executor}'"),
                Box::new(move |transaction| {
                    let id = id.clone();
                    Box::pin(async move {
                        executor::Entity::delete_by_id(id)
                            .exec(transaction)
                            .await
                            .map_err(during("forget an executor"))?;
                        Ok(())
                    })
                }),
            )
            .await
    }

    async fn ping(&self) -> Result<String, Error> {
        let engine = read::engine(&self.readers).await?;
        let applied = migration::applied(&self.readers).await.map_err(during("ping"))?;
        let known = migration::known();
        if applied != known {
            return Err(Error::new(ErrorKind::Conflict, "ping").caused_by(format!(
                "the schema is at version {}, this program expects {}",
                applied.len(),
                known.len()
            )));
        }
        Ok(format!("{engine}, schema {}, {}", known.len(), self.place))
    }

    async fn clock(&self) -> Result<Option<Timestamp>, Error> {
        read::clock(&self.readers).await
    }

    async fn close(&self) {
        if let Some(signs) = &self.signs {
            signs.close().await;
        }
        self.writer.close().await;
    }
}
