//! The one writer: everything that changes the database goes through this actor, in the order in which it
//! came, and changes of runs are committed in groups.
//!
//! There is no delay: what waits when the writer is free is the next group, and while it commits the group
//! after that gathers. A caller that goes away (a dropped future) takes nothing back: a job that was handed
//! over is done as a whole, one that was not is not done at all.
//!
//! Where a database server is away, the job at work finds out by waiting for a connection. Those that waited behind
//! it have waited as long, and fail with it; the next one to come asks the server again.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use muster_model::{ErrorKind, Transition};
use muster_runtime::meter::{Histogram, MOMENTS, Meters, SIZES};
use muster_runtime::{Backoff, Tasks, clock, crash_point};
use sea_orm::{
    ConnAcquireErr, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, SqliteTransactionMode,
    TransactionOptions, TransactionTrait,
};
use tokio::sync::{mpsc, oneshot};

use super::apply;
use super::blobs::Recent;
use super::translate::{Phase, connection_died, is_away, lost_to_another, translate};
use crate::error::Error;
use muster_model::run::Applied;

/// Jobs that may wait; then callers wait for room.
const WAITING: usize = 1024;
/// A group takes no further call once it has so many changes.
const GROUP_CHANGES: usize = 1000;
/// A group takes no further call once it carries so many bytes of output.
const GROUP_BYTES: usize = 8 * 1024 * 1024;

/// Work inside a write transaction, done once: where the transaction loses against another one, so does the call.
pub(crate) type Work<T> =
    Box<dyn for<'t> FnOnce(&'t DatabaseTransaction) -> BoxFuture<'t, Result<T, Error>> + Send>;

/// Work inside a write transaction that is done again where the transaction lost against another one.
pub(crate) type Repeatable<T> =
    Box<dyn for<'t> FnMut(&'t DatabaseTransaction) -> BoxFuture<'t, Result<T, Error>> + Send>;

/// How long a database server may take to begin a transaction, on a new connection where it has to be.
const BEGINS_WITHIN: Duration = Duration::from_secs(6);
/// How often a transaction is begun that others make lose.
const TRIES: u32 = 10;
/// After this time it is not begun again.
const TRIES_WITHIN: Duration = Duration::from_secs(30);

/// What ends with the writer: it is dropped once every connection is closed.
pub(crate) type Keep = Box<dyn Send + Sync>;

/// The handle of the actor.
pub(crate) struct Writer {
    jobs: mpsc::Sender<Job>,
}

/// What the writer counts.
struct Meter {
    group_size: Histogram,
    write_seconds: Histogram,
}

impl Meter {
    fn new(meters: &Meters) -> Self {
        Self {
            group_size: meters.histogram(
                "muster_store_group_size",
                "Changes of runs that were committed together",
                SIZES,
            ),
            write_seconds: meters.histogram(
                "muster_store_write_seconds",
                "How long a write took, from its turn to its commit",
                MOMENTS,
            ),
        }
    }
}

enum Job {
    Apply(Call),
    /// With the time at which it was handed over.
    Write(Box<dyn Write>, Duration),
    Close(oneshot::Sender<()>),
}

impl Job {
    /// Returns when it was handed over; closing is never too late.
    fn since(&self) -> Option<Duration> {
        match self {
            Self::Apply(call) => Some(call.since),
            Self::Write(_, since) => Some(*since),
            Self::Close(_) => None,
        }
    }
}

/// How a job ended, for those behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// The server was there, whatever it said.
    There,
    /// The server was away.
    Away,
}

impl Ended {
    fn of<T>(result: &Result<T, Error>) -> Self {
        match result {
            Err(error) if is_away(error) => Self::Away,
            _ => Self::There,
        }
    }
}

/// A call of `apply`.
struct Call {
    changes: Vec<Transition>,
    since: Duration,
    answer: oneshot::Sender<Result<Vec<Applied>, Error>>,
}

#[async_trait::async_trait]
trait Write: Send {
    async fn run(self: Box<Self>, db: &DatabaseConnection) -> Ended;
    fn refuse(self: Box<Self>, why: fn(String) -> Error);
}

struct Single<T> {
    operation: String,
    work: Repeatable<T>,
    answer: oneshot::Sender<Result<T, Error>>,
}

#[async_trait::async_trait]
impl<T: Send + 'static> Write for Single<T> {
    async fn run(self: Box<Self>, db: &DatabaseConnection) -> Ended {
        let result = repeat(db, &self.operation, self.work).await;
        let ended = Ended::of(&result);
        // Nobody may be waiting any more: what was done stays done.
        let _ = self.answer.send(result);
        ended
    }

    fn refuse(self: Box<Self>, why: fn(String) -> Error) {
        let _ = self.answer.send(Err(why(self.operation)));
    }
}

fn closed(operation: String) -> Error {
    Error::new(ErrorKind::Cancelled, operation).caused_by("the database was closed")
}

fn away(operation: String) -> Error {
    Error::new(ErrorKind::Unavailable, operation).caused_by("the database server is away")
}

impl Writer {
    /// Starts the actor. It ends when it is closed or its last handle is gone, and not earlier: what is
    /// settled during a shutdown must still be written.
    pub(crate) fn start(
        tasks: &Tasks,
        meters: &Meters,
        writer: DatabaseConnection,
        others: Vec<DatabaseConnection>,
        keep: Keep,
    ) -> Self {
        let (jobs, waiting) = mpsc::channel(WAITING);
        let meter = Meter::new(meters);
        tasks.spawn("store writer", async move {
            let done = work(&writer, waiting, &meter).await;
            // The others first, so that the writer is the last connection and tidies up the log.
            for connections in others.iter().chain([&writer]) {
                if let Err(error) = connections.close_by_ref().await {
                    tracing::warn!(%error, "closing the database");
                }
            }
            drop(keep);
            if let Some(done) = done {
                let _ = done.send(());
            }
        });
        Self { jobs }
    }

    /// Runs `work` in a transaction of its own, again where that lost against another one.
    pub(crate) async fn repeat<T: Send + 'static>(
        &self,
        operation: impl Into<String>,
        work: Repeatable<T>,
    ) -> Result<T, Error> {
        let operation = operation.into();
        let (answer, result) = oneshot::channel();
        let job = Single {
            operation: operation.clone(),
            work,
            answer,
        };
        match self
            .jobs
            .send(Job::Write(Box::new(job), clock::monotonic()))
            .await
        {
            Ok(()) => result.await.unwrap_or_else(|_| Err(died(operation))),
            Err(_) => Err(closed(operation)),
        }
    }

    /// Applies changes of runs, in a group with those of others.
    pub(crate) async fn apply(&self, changes: Vec<Transition>) -> Result<Vec<Applied>, Error> {
        let (answer, result) = oneshot::channel();
        let since = clock::monotonic();
        let call = Call {
            changes,
            since,
            answer,
        };
        match self.jobs.send(Job::Apply(call)).await {
            Ok(()) => result.await.unwrap_or_else(|_| Err(died("apply"))),
            Err(_) => Err(closed("apply".to_owned())),
        }
    }

    /// Does what waits, then closes every connection.
    pub(crate) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.jobs.send(Job::Close(done)).await.is_ok() {
            let _ = closed.await;
        }
        self.jobs.closed().await;
    }
}

/// The writer ended in the middle of the job (a fault of ours): it may or may not have been committed.
fn died(operation: impl Into<String>) -> Error {
    Error::new(ErrorKind::OutcomeUnknown, operation).caused_by("the writer ended unexpectedly")
}

/// Does jobs until it is told to close or nobody is left to ask; returns whom to tell once all is closed.
async fn work(
    db: &DatabaseConnection,
    mut waiting: mpsc::Receiver<Job>,
    meter: &Meter,
) -> Option<oneshot::Sender<()>> {
    let recent = Recent::default();
    let mut next = waiting.recv().await;
    let mut away_at = None;
    while let Some(job) = next.take() {
        let since = clock::monotonic();
        let ended = match job {
            job if away_at.is_some() && job.since().is_some_and(|since| Some(since) <= away_at) => {
                refuse(job, away);
                Ended::There
            }
            Job::Apply(first) => {
                let (group, after) = gather(first, &mut waiting);
                next = after;
                let changes: usize = group.iter().map(|call| call.changes.len()).sum();
                meter.group_size.observe(changes as f64);
                commit(db, group, &recent).await
            }
            Job::Write(job, _) => job.run(db).await,
            Job::Close(done) => {
                waiting.close();
                while let Some(job) = waiting.recv().await {
                    refuse(job, closed);
                }
                return Some(done);
            }
        };
        meter.write_seconds.took(clock::monotonic().saturating_sub(since));
        if ended == Ended::Away {
            away_at = Some(clock::monotonic());
        }
        if next.is_none() {
            next = waiting.recv().await;
        }
    }
    None
}

fn refuse(job: Job, why: fn(String) -> Error) {
    match job {
        Job::Apply(call) => {
            let _ = call.answer.send(Err(why("apply".to_owned())));
        }
        Job::Write(job, _) => job.refuse(why),
        Job::Close(done) => {
            let _ = done.send(());
        }
    }
}

/// Takes the calls that wait behind `first` into its group; returns the first job that is none, too.
fn gather(first: Call, waiting: &mut mpsc::Receiver<Job>) -> (Vec<Call>, Option<Job>) {
    let mut changes = first.changes.len();
    let mut bytes = output_bytes(&first.changes);
    let mut group = vec![first];
    while changes < GROUP_CHANGES && bytes < GROUP_BYTES {
        match waiting.try_recv() {
            Ok(Job::Apply(call)) => {
                changes += call.changes.len();
                bytes += output_bytes(&call.changes);
                group.push(call);
            }
            Ok(other) => return (group, Some(other)),
            Err(_) => break,
        }
    }
    (group, None)
}

fn output_bytes(changes: &[Transition]) -> usize {
    changes
        .iter()
        .filter_map(apply::inline)
        .map(bytes::Bytes::len)
        .sum()
}

/// Applies a group in one transaction and answers each of its calls.
async fn commit(db: &DatabaseConnection, group: Vec<Call>, recent: &Recent) -> Ended {
    let mut changes = Vec::new();
    let mut callers = Vec::with_capacity(group.len());
    for call in group {
        callers.push((call.changes.len(), call.answer));
        changes.extend(call.changes);
    }
    let changes = Arc::new(changes);
    let recent = recent.clone();
    let work: Repeatable<Vec<Applied>> = Box::new(move |transaction| {
        let (changes, recent) = (Arc::clone(&changes), recent.clone());
        Box::pin(async move { apply::group(transaction, &changes, &recent).await })
    });
    let result = repeat(db, "apply", work).await;
    let ended = Ended::of(&result);
    match result {
        Ok(applied) => {
            let mut applied = applied.into_iter();
            for (count, answer) in callers {
                let _ = answer.send(Ok(applied.by_ref().take(count).collect()));
            }
        }
        Err(error) => {
            let error = Arc::new(error);
            for (_, answer) in callers {
                let _ = answer.send(Err(
                    Error::new(error.kind, "apply").caused_by(Shared(Arc::clone(&error)))
                ));
            }
        }
    }
    ended
}

/// The error of a group, which belongs to each of its calls.
#[derive(Debug, thiserror::Error)]
#[error("the group could not be committed")]
struct Shared(#[source] Arc<Error>);

/// Runs `work` as [`transact`] does, from its beginning again where the transaction lost against another one (it
/// was rolled back then), or could not begin because its connection had died.
async fn repeat<T>(db: &DatabaseConnection, operation: &str, mut work: Repeatable<T>) -> Result<T, Error> {
    let mut backoff = Backoff::new(Duration::from_millis(2), Duration::from_millis(200));
    let give_up = clock::monotonic() + TRIES_WITHIN;
    let mut tries = 1;
    loop {
        let error = match transact(db, operation, &mut work).await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        if !lost_to_another(&error) || tries == TRIES || clock::monotonic() > give_up {
            return Err(error);
        }
        tries += 1;
        clock::sleep(backoff.step()).await;
    }
}

/// Runs `work` in a write transaction: committed where it is `Ok`, else rolled back.
pub(crate) async fn transact<T, W>(db: &DatabaseConnection, operation: &str, work: W) -> Result<T, Error>
where
    W: for<'t> FnOnce(&'t DatabaseTransaction) -> BoxFuture<'t, Result<T, Error>>,
{
    let transaction = begin(db, operation).await?;
    match work(&transaction).await {
        Ok(value) => {
            crash_point!(TransactionReady);
            match transaction.commit().await {
                Ok(()) => {
                    crash_point!(TransactionCommitted);
                    Ok(value)
                }
                Err(error) => Err(translate(operation, Phase::Commit, error)),
            }
        }
        Err(error) => {
            if let Err(second) = transaction.rollback().await {
                tracing::warn!(operation, error = %second, "rolling back");
            }
            Err(error)
        }
    }
}

/// Begins a write transaction, on a new connection where the one that was kept had died: nothing was done on it.
pub(crate) async fn begin(db: &DatabaseConnection, operation: &str) -> Result<DatabaseTransaction, Error> {
    let mut tries = 1;
    loop {
        let options = TransactionOptions {
            // A transaction that begins with a read and then writes would fail at once where another process
            // wrote in between; this one waits its turn at the beginning.
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let begun = match db.get_database_backend() {
            DbBackend::Sqlite => Ok(db.begin_with_options(options).await),
            // A server has nothing to wait for here: one that does not answer is away.
            _ => clock::deadline(BEGINS_WITHIN, db.begin_with_options(options)).await,
        };
        let error = match begun {
            Ok(Ok(transaction)) => return Ok(transaction),
            Ok(Err(error)) => error,
            Err(_) => {
                let error = DbErr::ConnectionAcquire(ConnAcquireErr::Timeout);
                return Err(translate(operation, Phase::Work, error));
            }
        };
        if tries == 2 || !connection_died(&error) {
            return Err(translate(operation, Phase::Work, error));
        }
        tries += 1;
    }
}
