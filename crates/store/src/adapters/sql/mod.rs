//! The one code base behind every SQL engine: entities, migrations, the writer, queries.
//!
//! An engine's own folder knows how to open it; everything after that is here, and where the engines differ
//! in their words, in [`statement`].

mod apply;
pub(crate) mod blobs;
pub(crate) mod entity;
mod group;
mod host_keys;
mod inventory;
mod members;
pub(crate) mod migration;
pub(crate) mod read;
pub(crate) mod record;
pub(crate) mod retention;
pub(crate) mod statement;
mod store;
mod submit;
mod task_secrets;
pub(crate) mod translate;
mod vault;
pub(crate) mod writer;

use bytes::Bytes;
use muster_model::{RunKey, TaskId};
use sea_orm::{ColumnTrait, DatabaseConnection, EntityTrait, QueryFilter};

use crate::error::Error;

/// An open database: one writer, a few readers.
pub(crate) struct Database {
    pub(crate) writer: writer::Writer,
    /// Writes signs of life, where servers of other machines look for them: they never wait behind large changes. None
    /// where one file has one writer.
    pub(crate) signs: Option<writer::Writer>,
    pub(crate) readers: DatabaseConnection,
    /// The most bytes that a statement may have, where the server sets a limit that a task could pass.
    pub(crate) largest_statement: Option<usize>,
    /// What it is and where, for people.
    pub(crate) place: String,
}

impl Database {
    /// What is written about servers goes this way.
    pub(crate) fn signs(&self) -> &writer::Writer {
        self.signs.as_ref().unwrap_or(&self.writer)
    }

    /// Returns the log that is kept with a run's attempt.
    pub(crate) async fn inline_log(&self, run: RunKey, attempt: u32) -> Result<Option<Bytes>, Error> {
        blobs::log(&self.readers, run, attempt).await
    }

    /// Tells whether a log is kept with a run's attempt.
    pub(crate) async fn has_inline_log(&self, run: RunKey, attempt: u32) -> Result<bool, Error> {
        blobs::has_log(&self.readers, run, attempt).await
    }

    /// Returns the logs that are kept with a task's runs.
    pub(crate) async fn inline_logs(
        &self,
        task: TaskId,
        from: u32,
        to: u32,
    ) -> Result<Vec<(u32, Bytes)>, Error> {
        blobs::logs(&self.readers, task, from, to).await
    }

    /// Deletes the log that is kept with a run's attempt.
    pub(crate) async fn discard_inline(&self, run: RunKey, attempt: u32) -> Result<(), Error> {
        use entity::output;
        if !self.has_inline_log(run, attempt).await? {
            return Ok(());
        }
        let operation = format!("discard the output of run {run}");
        let work: writer::Repeatable<()> = Box::new(move |transaction| {
            Box::pin(async move {
                output::Entity::delete_many()
                    .filter(output::Column::TaskId.eq(record::row_id(run.task)))
                    .filter(output::Column::Idx.eq(i64::from(run.index)))
                    .filter(output::Column::Attempt.eq(i64::from(attempt)))
                    .exec(transaction)
                    .await
                    .map_err(translate::during("discard output"))?;
                Ok(())
            })
        });
        self.writer.repeat(operation, work).await
    }
}
