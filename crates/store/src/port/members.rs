//! The port of the servers that share a database: who is there, who leads, and what nobody may miss.

use async_trait::async_trait;
use muster_model::{ExecutorId, TaskId, Timestamp};

use crate::error::Error;
use crate::types::{Beat, Leadership, Member};

/// The servers that share a database. Each has a row with a lease that it renews; one that was buried can never renew
/// it again, so that nobody who was given up goes on as if nothing had happened.
///
/// Every method that changes something is durable when it returns `Ok`, and does all or nothing where its future is
/// dropped.
#[async_trait]
pub trait Members: Send + Sync + 'static {
    /// Writes a server's row. Its id must be new: ids are never used again.
    async fn enter(&self, member: Member) -> Result<(), Error>;

    /// Renews a lease; false where the row is gone or was buried. Then the id is dead for ever.
    async fn renew(&self, id: &ExecutorId, beat: Beat) -> Result<bool, Error>;

    /// Returns all servers that have a row, by id: those that are there, and those that are gone and not yet
    /// forgotten.
    async fn members(&self) -> Result<Vec<Member>, Error>;

    /// Buries a server, if its lease still ends at `seen` (any, where that is None); tells whether it is gone now.
    /// Compare-and-set: either this is done, or the server renews its lease, and the other of the two is refused.
    async fn bury(&self, id: &ExecutorId, seen: Option<Timestamp>, at: Timestamp) -> Result<bool, Error>;

    /// Forgets servers that have been gone since before `before`.
    async fn forget_gone(&self, before: Timestamp) -> Result<(), Error>;

    /// Returns who leads the work of this name; None where nobody ever did.
    async fn leadership(&self, work: &str) -> Result<Option<Leadership>, Error>;

    /// Makes `holder` the leader, if the term is `seen` still (0: nobody ever led). Each leader has a greater term than
    /// the one before it. Tells whether it leads now.
    async fn lead(&self, work: &str, holder: &ExecutorId, seen: i64) -> Result<bool, Error>;

    /// Leaves the lead to others, if `holder` leads in this term still.
    async fn resign(&self, work: &str, holder: &ExecutorId, term: i64) -> Result<(), Error>;

    /// Returns the tasks that somebody cancelled and that are not done.
    async fn cancelled(&self) -> Result<Vec<TaskId>, Error>;
}
