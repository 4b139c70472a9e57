//! Output logs: with the run where they are small, else in files beside the database, or in pieces in a database
//! that several servers share.

#[cfg(any(feature = "mysql", feature = "postgres"))]
mod chunks;
pub(crate) mod disk;
pub(crate) mod equal;
pub(crate) mod frames;
mod memory;

#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) use chunks::Chunks;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use muster_model::{ErrorKind, RunKey, TaskId};
use tokio::sync::Semaphore;

use super::sql::Database;
use super::sql::retention::Logs as TaskLogs;
use crate::error::Error;
use crate::port::Outputs;

/// Calls that work on files at the same time; more wait their turn. Bounds threads and open files.
const AT_ONCE: usize = 16;
/// The most that one read returns, however much was asked for.
const MOST_READ: usize = 8 * 1024 * 1024;

/// The log of one attempt of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LogKey {
    run: RunKey,
    attempt: u32,
}

/// The most that one append takes: a statement of a database server, with room to spare.
const MOST_APPENDED: usize = 8 * 1024 * 1024;

impl LogKey {
    /// Refuses what is not made of whole frames, or too large.
    fn check(self, frames: &[u8]) -> Result<(), Error> {
        let refuse =
            |kind, what: &'static str| Err(Error::new(kind, format!("append to {self}")).caused_by(what));
        if frames.len() > MOST_APPENDED {
            return refuse(ErrorKind::TooLarge, "one append takes 8 MiB at most");
        }
        match frames::whole(frames) {
            Some(whole) if whole == frames.len() => Ok(()),
            _ => refuse(ErrorKind::Invalid, "what is appended is not made of whole frames"),
        }
    }

    fn not_the_end(self, at: u64, end: u64) -> Error {
        Error::new(
            ErrorKind::Conflict,
            format!("append to {self} at byte {at}, which ends at byte {end}"),
        )
    }
}

impl std::fmt::Display for LogKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the output of run {}, attempt {}", self.run, self.attempt)
    }
}

/// Where logs lie that are not kept with their run. Methods block on the disk.
trait Place: Send + Sync + 'static {
    fn append(&self, key: LogKey, at: u64, frames: &[u8]) -> Result<u64, Error>;

    /// None where there is no such log.
    fn read(&self, key: LogKey, from: u64, most: usize) -> Result<Option<Bytes>, Error>;

    fn discard(&self, key: LogKey) -> Result<(), Error>;

    /// Keeps the log of an attempt that has ended once with all that are equal, where it can.
    fn share(&self, key: LogKey) -> Result<(), Error>;

    /// Deletes what was shared and is no attempt's log any more; returns how many logs that were.
    fn remove_unshared(&self) -> Result<u64, Error>;

    /// Deletes every log of a task.
    fn discard_task(&self, task: TaskId) -> Result<(), Error>;
}

/// The output port.
pub(crate) struct Logs {
    database: Arc<Database>,
    place: Arc<dyn Place>,
    turns: Arc<Semaphore>,
}

impl Logs {
    /// Returns logs in files under `folder`, which is made when the first is written.
    pub(crate) fn on_disk(database: Arc<Database>, folder: PathBuf) -> Self {
        Self::new(database, Arc::new(disk::Folder::new(folder)))
    }

    /// Returns logs in memory.
    pub(crate) fn in_memory(database: Arc<Database>) -> Self {
        Self::new(database, Arc::new(memory::Logs::default()))
    }

    fn new(database: Arc<Database>, place: Arc<dyn Place>) -> Self {
        Self {
            database,
            place,
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        what: impl std::fmt::Display,
        work: impl FnOnce(&dyn Place) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let place = Arc::clone(&self.place);
        let done = tokio::task::spawn_blocking(move || {
            // Held to the end of the work, which goes on when the caller goes away.
            let _turn = turn;
            work(place.as_ref())
        });
        match done.await {
            Ok(result) => result,
            Err(error) => Err(Error::new(ErrorKind::Internal, format!("work on {what}")).caused_by(error)),
        }
    }
}

#[async_trait]
impl Outputs for Logs {
    async fn append(&self, run: RunKey, attempt: u32, at: u64, frames: Bytes) -> Result<u64, Error> {
        let key = LogKey { run, attempt };
        key.check(&frames)?;
        self.blocking(key, move |place| place.append(key, at, &frames))
            .await
    }

    async fn read(&self, run: RunKey, attempt: u32, from: u64, most: usize) -> Result<Bytes, Error> {
        let key = LogKey { run, attempt };
        let most = most.min(MOST_READ);
        let read = self
            .blocking(key, move |place| place.read(key, from, most))
            .await?;
        if let Some(read) = read {
            return Ok(read);
        }
        match self.database.inline_log(run, attempt).await? {
            Some(log) => frames::from(&log, from, most)
                .ok_or_else(|| Error::new(ErrorKind::Corrupt, format!("read {key} at byte {from}"))),
            None => Ok(Bytes::new()),
        }
    }

    async fn read_inline(&self, task: TaskId, from: u32, to: u32) -> Result<Vec<(u32, Bytes)>, Error> {
        self.database.inline_logs(task, from, to).await
    }

    async fn finish(&self, run: RunKey, attempt: u32) -> Result<(), Error> {
        let key = LogKey { run, attempt };
        let is_inline = self.database.has_inline_log(run, attempt).await?;
        self.blocking(key, move |place| match is_inline {
            true => place.discard(key),
            false => place.share(key),
        })
        .await
    }

    async fn discard(&self, run: RunKey, attempt: u32) -> Result<(), Error> {
        let key = LogKey { run, attempt };
        self.blocking(key, move |place| place.discard(key)).await?;
        self.database.discard_inline(run, attempt).await
    }
}

#[async_trait]
impl TaskLogs for Logs {
    async fn discard_task(&self, task: TaskId, _runs: u32) -> Result<(), Error> {
        self.blocking(format!("the output of task {task}"), move |place| {
            place.discard_task(task)
        })
        .await
    }

    async fn remove_unshared(&self) -> Result<u64, Error> {
        self.blocking("equal output", |place| place.remove_unshared())
            .await
    }
}
