//! Keeps the output of one run: in order, bounded in memory, whole up to the task's limit.
//!
//! What comes is put together to frames and written to the log in steps: while the log is small, to the
//! cache (for followers) and to memory (to be kept with the run's result); from then on to the database's
//! output log alone. A write is announced to followers after it is done.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use muster_model::{ErrorKind, RunKey, Stream, limits, output};
use muster_runtime::{Backoff, clock, crash_point};

use super::spill::Spill;
use crate::core::Core;
use crate::follow::log_key;

/// What comes within this time is written in one step, so that a command that prints many small pieces
/// costs few writes, and a person still sees it as it happens.
const STEP_TIME: Duration = Duration::from_millis(20);
/// A log that is kept with the run's result is saved on its own once the command has gone on for so long after its
/// first output.
const SAVE_AFTER: Duration = Duration::from_secs(1);
/// How soon output is written again that could not be.
const AWAY: Duration = Duration::from_millis(100);
/// A step is written at once when it has this size.
const STEP_BYTES: usize = 256 * 1024;
/// What a frame costs beside its bytes: one for each piece where both streams take turns.
const FRAME_BYTES: usize = 128;
/// How long the cache keeps the output of a run that writes nothing more.
const LIFETIME: Duration = Duration::from_secs(600);

/// The output of one attempt of a run.
pub(super) struct Collector {
    core: Arc<Core>,
    run: RunKey,
    attempt: u32,
    limit: u64,
    pending: Pending,
    /// When (on the process's own clock) what has come is written, however fast more comes.
    step_at: Option<Duration>,
    save_at: Option<Duration>,
    /// The first bytes of a UTF-8 sequence whose rest has not come, for each stream.
    carry: [BytesMut; 2],
    /// The log while it is small.
    small: BytesMut,
    /// Where the log ends, as far as it was announced.
    end: u64,
    /// What is for the output log, once the log is no longer small.
    spill: Option<Spill>,
    cached: bool,
    kept: u64,
    pub(super) stdout_bytes: u64,
    pub(super) stderr_bytes: u64,
    pub(super) truncated: bool,
    /// Why output could not be kept.
    pub(super) failure: Option<String>,
}

impl Collector {
    pub(super) fn new(core: Arc<Core>, run: RunKey, attempt: u32, limit: u64) -> Self {
        Self {
            core,
            run,
            attempt,
            limit,
            pending: Pending::default(),
            step_at: None,
            save_at: None,
            carry: [BytesMut::new(), BytesMut::new()],
            small: BytesMut::new(),
            end: 0,
            spill: None,
            cached: true,
            kept: 0,
            stdout_bytes: 0,
            stderr_bytes: 0,
            truncated: false,
            failure: None,
        }
    }

    /// Takes a piece of output: it is written soon, at once where much waits.
    pub(super) async fn take(&mut self, stream: Stream, bytes: &Bytes) {
        self.keep(stream, bytes);
        if self.pending.is_full() {
            self.step(false).await;
            self.step_at = None;
        } else if self.step_at.is_none() && !self.pending.frames.is_empty() {
            self.step_at = Some(clock::monotonic() + STEP_TIME);
        }
    }

    /// Waits until something is to be done with what came. Cancel-safe.
    pub(super) async fn due(&self) -> Due {
        if self.failure.is_none() && self.spill.as_ref().is_some_and(Spill::waits) {
            clock::sleep(AWAY).await;
            self.core.outage.over().await;
            return Due::Flush;
        }
        let (at, due) = match (self.step_at, self.save_at) {
            (Some(step), Some(save)) if save < step => (save, Due::Save),
            (Some(step), _) => (step, Due::Step),
            (None, Some(save)) => (save, Due::Save),
            (None, None) => return std::future::pending().await,
        };
        clock::sleep(at.saturating_sub(clock::monotonic())).await;
        due
    }

    /// Does what is due.
    pub(super) async fn go_on(&mut self, due: Due) {
        match due {
            Due::Step => {
                self.step(false).await;
                self.step_at = None;
                if self.save_at.is_none() && self.is_volatile() {
                    self.save_at = Some(clock::monotonic() + SAVE_AFTER);
                }
            }
            Due::Save => {
                self.save().await;
                self.save_at = None;
            }
            Due::Flush => {
                // What came in the meantime goes along.
                self.step_at = None;
                let from = self.end;
                self.flush().await;
                if self.end > from {
                    self.core
                        .announce_output(self.run, self.attempt, from, self.end)
                        .await;
                }
                self.step(false).await;
            }
        }
    }

    fn keep(&mut self, stream: Stream, bytes: &Bytes) {
        self.core.meter.output(stream, bytes.len());
        match stream {
            Stream::Stdout => self.stdout_bytes += bytes.len() as u64,
            Stream::Stderr => self.stderr_bytes += bytes.len() as u64,
        }
        let room = usize::try_from(self.limit - self.kept).unwrap_or(usize::MAX);
        let taken = if bytes.len() > room {
            self.truncated = true;
            bytes.slice(..room)
        } else {
            bytes.clone()
        };
        if taken.is_empty() || self.failure.is_some() {
            return;
        }
        self.kept += taken.len() as u64;
        let carried = std::mem::take(&mut self.carry[place(stream)]);
        self.pending.push(stream, carried, &taken);
    }

    /// Writes what waits. `last`: nothing more will come.
    pub(super) async fn step(&mut self, last: bool) {
        let pending = std::mem::take(&mut self.pending);
        let mut log = BytesMut::with_capacity(pending.cost + 64);
        for (stream, frame) in pending.frames {
            // What an earlier frame of this stream left unfinished in this very step goes first.
            let mut whole = std::mem::take(&mut self.carry[place(stream)]);
            whole.extend_from_slice(&frame);
            if !last {
                let end = whole_characters(&whole);
                self.carry[place(stream)] = whole.split_off(end);
            }
            output::encode(&mut log, stream, &whole);
        }
        if last {
            for stream in [Stream::Stdout, Stream::Stderr] {
                let rest = std::mem::take(&mut self.carry[place(stream)]);
                output::encode(&mut log, stream, &rest);
            }
        }
        if !log.is_empty() && self.failure.is_none() {
            let from = self.end;
            self.write(log.freeze()).await;
            if self.end > from {
                crash_point!(OutputWritten);
                self.core
                    .announce_output(self.run, self.attempt, from, self.end)
                    .await;
            }
        }
        if last {
            self.finish().await;
        }
    }

    async fn write(&mut self, log: Bytes) {
        if let Some(spill) = &mut self.spill {
            spill.add(&log);
            return self.flush().await;
        }
        if self.small.len() + log.len() <= limits::INLINE_OUTPUT_BYTES {
            self.small.extend_from_slice(&log);
            if self.cached {
                let key = log_key(self.run, self.attempt);
                let cached = self
                    .core
                    .rooms
                    .cache
                    .append(&key, self.end, log.clone(), LIFETIME)
                    .await;
                // A cache that lost the log cannot go on in its middle; followers wait for the result.
                self.cached = cached.is_ok();
            }
            self.end += log.len() as u64;
            if self.cached {
                return;
            }
        } else {
            self.small.extend_from_slice(&log);
        }
        self.spill().await;
    }

    /// Moves the log from memory to the output log.
    async fn spill(&mut self) {
        let whole = std::mem::take(&mut self.small);
        self.spill = Some(Spill::new(self.run, self.attempt, whole));
        self.flush().await;
    }

    /// Writes to the output log what waits for it. Where the database is away, that goes on waiting.
    async fn flush(&mut self) {
        let Some(spill) = &mut self.spill else { return };
        let first = spill.written() == 0;
        if let Err(error) = spill.flush(&self.core).await {
            tracing::error!(run = %self.run, %error, "output could not be kept");
            self.failure = Some(format!(
                "the output could not be kept: {}",
                crate::fault::chain(&error)
            ));
            return;
        }
        let written = spill.written();
        self.end = self.end.max(written);
        if !first || written == 0 {
            return;
        }
        crash_point!(OutputSpilled);
        let forgotten = self
            .core
            .rooms
            .cache
            .delete(&log_key(self.run, self.attempt))
            .await;
        if let Err(error) = forgotten
            && error.kind != ErrorKind::Unavailable
        {
            tracing::debug!(%error, "the cache still holds the begin of an output");
        }
    }

    /// Writes what still waits, for as long as the database takes: nothing more will come.
    async fn finish(&mut self) {
        let core = Arc::clone(&self.core);
        let from = self.end;
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
        while self.failure.is_none() && self.spill.as_ref().is_some_and(Spill::waits) {
            tokio::select! {
                () = core.pause(&mut backoff) => self.flush().await,
                () = core.tasks.work().cancelled() => {
                    let why = "the output could not be kept: the database was away when the server was stopped";
                    self.failure = Some(why.to_owned());
                }
            }
        }
        if self.end > from {
            core.announce_output(self.run, self.attempt, from, self.end).await;
        }
    }

    /// Tells whether more output can be taken: no end of it is held in memory while the database is away.
    pub(super) fn has_room(&self) -> bool {
        self.failure.is_some() || self.spill.as_ref().is_none_or(Spill::has_room)
    }

    /// Tells whether the log is in memory and in the cache alone.
    fn is_volatile(&self) -> bool {
        self.spill.is_none() && !self.small.is_empty()
    }

    /// Puts a small log where it survives this process: what a person has seen of a command that goes on is
    /// not to be lost with it.
    async fn save(&mut self) {
        if self.is_volatile() {
            self.spill().await;
        }
    }

    /// Tells whether the output log has something of this attempt.
    pub(super) fn has_log(&self) -> bool {
        self.spill.as_ref().is_some_and(|spill| spill.written() > 0)
    }

    /// Takes a log back that is small and lies in the output log: kept with the run's result, it is one of few rows, and
    /// equal ones are kept once. Where it cannot be read now, it stays where it is.
    pub(super) async fn take_back(&mut self) {
        let Some(spill) = &self.spill else { return };
        let is_whole = self.failure.is_none() && !spill.waits() && spill.written() == self.end;
        if !is_whole || self.end > limits::INLINE_OUTPUT_BYTES as u64 {
            return;
        }
        let outputs = &self.core.rooms.database.outputs;
        let read = outputs
            .read(self.run, self.attempt, 0, limits::INLINE_OUTPUT_BYTES)
            .await;
        match read {
            Ok(log) if log.len() as u64 == self.end => {
                self.small = BytesMut::from(log);
                self.spill = None;
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(run = %self.run, %error, "a small log stays where it is"),
        }
    }

    /// Returns the log to be kept with the run's result; None where it is in the output log.
    pub(super) fn inline(&mut self) -> Option<Bytes> {
        self.is_volatile()
            .then(|| std::mem::take(&mut self.small).freeze())
    }
}

/// What is to be done with output that came.
#[derive(Clone, Copy, Debug)]
pub(super) enum Due {
    /// It is written.
    Step,
    /// It is put where it survives this process.
    Save,
    /// The database may be back: what waits for it is written.
    Flush,
}

/// Frames that are not written yet.
#[derive(Default)]
struct Pending {
    frames: Vec<(Stream, BytesMut)>,
    cost: usize,
}

impl Pending {
    /// Adds a piece, behind the bytes that were carried over from the one before.
    fn push(&mut self, stream: Stream, carried: BytesMut, piece: &Bytes) {
        self.cost += carried.len() + piece.len();
        match self.frames.last_mut() {
            Some((last, frame)) if *last == stream => {
                frame.extend_from_slice(&carried);
                frame.extend_from_slice(piece);
            }
            _ => {
                let mut frame = carried;
                frame.extend_from_slice(piece);
                self.frames.push((stream, frame));
                self.cost += FRAME_BYTES;
            }
        }
    }

    /// Tells whether so much waits that it is written at once.
    fn is_full(&self) -> bool {
        self.cost >= STEP_BYTES
    }
}

fn place(stream: Stream) -> usize {
    match stream {
        Stream::Stdout => 0,
        Stream::Stderr => 1,
    }
}

/// Returns how many bytes make whole characters, where an unfinished UTF-8 sequence ends the bytes;
/// otherwise all of them.
fn whole_characters(bytes: &[u8]) -> usize {
    let tail = bytes.len().saturating_sub(3);
    for place in (tail..bytes.len()).rev() {
        let length = match bytes[place] {
            0x00..=0x7f => break,
            0x80..=0xbf => continue,
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => break,
        };
        return if place + length > bytes.len() {
            place
        } else {
            bytes.len()
        };
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_small_pieces_of_both_streams_are_much_as_well() {
        let mut pending = Pending::default();
        let mut pieces = 0;
        while !pending.is_full() {
            for stream in [Stream::Stdout, Stream::Stderr] {
                pending.push(stream, BytesMut::new(), &Bytes::from_static(b"x"));
                pieces += 1;
            }
        }
        assert!(pieces <= STEP_BYTES / FRAME_BYTES, "{pieces} pieces");
        let mut pending = Pending::default();
        pending.push(
            Stream::Stdout,
            BytesMut::new(),
            &vec![b'x'; STEP_BYTES / 2].into(),
        );
        assert!(!pending.is_full());
        pending.push(
            Stream::Stdout,
            BytesMut::new(),
            &vec![b'x'; STEP_BYTES / 2].into(),
        );
        assert!(pending.is_full());
    }

    #[test]
    fn an_unfinished_character_waits_for_its_rest() {
        let text = "grün€😀".as_bytes();
        for cut in 0..=text.len() {
            let whole = whole_characters(&text[..cut]);
            assert!(std::str::from_utf8(&text[..whole]).is_ok(), "cut at {cut}");
            assert!(cut - whole < 4);
        }
        assert_eq!(whole_characters(b"\xff\xfe"), 2);
        assert_eq!(whole_characters(b"\x80\x80\x80\x80"), 4);
        assert_eq!(whole_characters(b""), 0);
    }
}
