//! Reading the output log of a run: from the cache while it is fresh, else from the database.

use bytes::Bytes;
use muster_model::problem::Code;
use muster_model::{Problem, RunKey, Stream, output};

use crate::core::Core;
use crate::fault;
use crate::keep::Held;

/// Returns the cache key of a log.
pub(crate) fn log_key(run: RunKey, attempt: u32) -> String {
    format!("output.{}.{}.{attempt}", run.task, run.index)
}

/// Returns whole frames of a log from `from`, `most` bytes or one frame; empty where there is no more.
///
/// # Errors
///
/// Where the log cannot be read. The cache is never the reason.
pub(crate) async fn read_log(
    core: &Core,
    run: RunKey,
    attempt: u32,
    from: u64,
    most: usize,
) -> Result<Bytes, Problem> {
    let least = output::FRAME_HEAD + output::FRAME_BODY;
    let cached = core
        .rooms
        .cache
        .range(&log_key(run, attempt), from, most.max(least))
        .await;
    if let Ok(Some(bytes)) = cached
        && !bytes.is_empty()
    {
        return Ok(bytes);
    }
    let stored = core.rooms.database.outputs.read(run, attempt, from, most).await;
    stored.map_err(|error| fault::of_store(&error))
}

/// Reads the output of one stream of a run, as far as it is there.
pub struct OutputReader {
    held: Held,
    core: std::sync::Arc<Core>,
    run: RunKey,
    attempt: u32,
    stream: Stream,
    offset: u64,
    ready: std::collections::VecDeque<Bytes>,
}

impl OutputReader {
    pub(crate) fn new(
        held: Held,
        core: std::sync::Arc<Core>,
        run: RunKey,
        attempt: u32,
        stream: Stream,
    ) -> Self {
        Self {
            held,
            core,
            run,
            attempt,
            stream,
            offset: 0,
            ready: std::collections::VecDeque::new(),
        }
    }

    /// Returns the next bytes, at most 256 KiB; None at the end of what is there. Cancel-safe.
    ///
    /// # Errors
    ///
    /// Where the output cannot be read.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Ok(Some(bytes));
            }
            self.held.renew().await?;
            let mut log = read_log(&self.core, self.run, self.attempt, self.offset, 512 * 1024).await?;
            let before = log.len();
            let frames = decode(&mut log, self.run)?;
            if frames.is_empty() {
                return Ok(None);
            }
            self.offset += (before - log.len()) as u64;
            let wanted = frames.into_iter().filter(|frame| frame.stream == self.stream);
            self.ready.extend(wanted.map(|frame| frame.bytes));
        }
    }
}

/// Takes the frames off a log.
///
/// # Errors
///
/// Where the log is damaged.
pub(crate) fn decode(log: &mut Bytes, run: RunKey) -> Result<Vec<muster_model::Frame>, Problem> {
    output::decode(log).map_err(|error| {
        Problem::new(Code::InvalidDatabase, format!("run {run}: {error}"))
            .hint("the file was changed or the disk is failing: check the disk, then `muster retry`")
    })
}
