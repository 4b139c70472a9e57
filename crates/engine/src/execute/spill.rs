//! What of a run's output is on its way to the database's output log.
//!
//! Where the database is away it stays here and is written later. An append whose outcome is not known is read back
//! before the next one: nobody else writes to the log of an attempt that is in this process's hands.

use std::sync::Arc;

use bytes::{Buf, BytesMut};
use muster_model::{ErrorKind, RunKey};
use muster_store::Error;

use crate::core::Core;

/// Where so much waits, no more output is read.
const MOST_WAITING: usize = 1024 * 1024;
/// The most that is read back at a time.
const READ_BACK: usize = 4 * 1024 * 1024;

/// The output log of an attempt, and what waits for it.
pub(super) struct Spill {
    run: RunKey,
    attempt: u32,
    /// Where the log in the database ends.
    written: u64,
    waiting: BytesMut,
    /// Whether an append may have happened without an answer.
    unsure: bool,
}

impl Spill {
    pub(super) fn new(run: RunKey, attempt: u32, waiting: BytesMut) -> Self {
        Self {
            run,
            attempt,
            written: 0,
            waiting,
            unsure: false,
        }
    }

    pub(super) fn add(&mut self, log: &[u8]) {
        self.waiting.extend_from_slice(log);
    }

    pub(super) fn written(&self) -> u64 {
        self.written
    }

    pub(super) fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < MOST_WAITING
    }

    /// Writes what waits, unless the database is away: then it goes on waiting.
    pub(super) async fn flush(&mut self, core: &Arc<Core>) -> Result<(), Error> {
        if core.outage.is_on() {
            return Ok(());
        }
        match self.try_flush(core).await {
            Err(error) if core.found_away(&error) => {
                self.unsure |= error.kind == ErrorKind::OutcomeUnknown;
                Ok(())
            }
            result => result,
        }
    }

    async fn try_flush(&mut self, core: &Core) -> Result<(), Error> {
        let outputs = &core.rooms.database.outputs;
        if self.unsure {
            let there = outputs
                .read(self.run, self.attempt, self.written, READ_BACK)
                .await?;
            if self.waiting.starts_with(&there) {
                self.waiting.advance(there.len());
                self.written += there.len() as u64;
            }
            self.unsure = false;
        }
        if self.waiting.is_empty() {
            return Ok(());
        }
        let log = self.waiting.clone().freeze();
        self.written = outputs.append(self.run, self.attempt, self.written, log).await?;
        self.waiting.clear();
        Ok(())
    }
}
