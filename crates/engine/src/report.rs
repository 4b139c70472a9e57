//! Reading tasks and runs back, for people and programs.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use muster_model::problem::Code;
use muster_model::wire::{RunEntry, RunPage, RunView};
use muster_model::{Problem, RunKey, RunRecord, RunState, Stream, TaskId, TaskRecord};
use muster_runtime::clock;
use muster_store::RunFilter;

use crate::core::Core;
use crate::fault;
use crate::follow::{Host, LOOK_AGAIN, LiveTask, OutputReader, read_log};

/// How many runs are loaded at a time.
const PAGE: u32 = 5_000;
/// A page of runs ends early once it holds this much output.
const PAGE_BYTES: usize = 8 * 1024 * 1024;

impl Core {
    /// Returns a task, or the problem that there is none.
    pub(crate) async fn task(&self, id: TaskId) -> Result<TaskRecord, Problem> {
        let found = self
            .rooms
            .database
            .store
            .task(id)
            .await
            .map_err(|error| fault::of_store(&error))?;
        found.ok_or_else(|| fault::no_such_task(id))
    }

    /// Returns when a task is done, whoever dispatches it. Cancel-safe.
    pub(crate) async fn until_done(&self, id: TaskId) {
        // Before the first look, so that no end comes between the two.
        let mut ends = self.hub.ends();
        loop {
            if let Some(live) = self.hub.find(id)
                && live.is_dispatched()
            {
                // Its dispatcher looks for what nobody told.
                let _ = live
                    .subscribe()
                    .wait_for(|_| live.is_done() || !live.is_dispatched())
                    .await;
                if live.is_done() {
                    return;
                }
                continue;
            }
            if self.task(id).await.is_ok_and(|task| task.finished_at.is_some()) {
                return;
            }
            // An end that is heard, or that one fell too far behind to hear: the database is asked.
            let heard = async { while ends.recv().await.is_ok_and(|ended| ended != id) {} };
            let _ = clock::deadline(LOOK_AGAIN, heard).await;
        }
    }

    /// Returns the live record of an open task, reading it from the database where it is not known here.
    pub(crate) async fn load(&self, record: TaskRecord) -> Result<Arc<LiveTask>, Problem> {
        if let Some(known) = self.hub.find(record.id) {
            return Ok(known);
        }
        let store = &self.rooms.database.store;
        let input = store
            .input(record.id)
            .await
            .map_err(|error| fault::of_store(&error))?;
        let mut hosts = Vec::new();
        let mut states = Vec::new();
        loop {
            let from = u32::try_from(hosts.len()).unwrap_or(u32::MAX);
            let runs = self.page(record.id, from).await?;
            if runs.is_empty() {
                break;
            }
            for run in runs {
                hosts.push(Host {
                    name: run.host,
                    endpoint: run.endpoint,
                });
                states.push((run.state, run.attempt));
            }
        }
        let live = self.hub.insert(LiveTask::new(record, input, hosts, states));
        // A cancel that came while all this was read found nobody to tell.
        if self.task(live.id()).await?.cancelled_at.is_some() {
            live.cancel.cancel();
        }
        Ok(live)
    }

    /// Corrects the live record of a task by the database, where notices were missed or runs are in
    /// another process's hands.
    pub(crate) async fn reconcile(self: &Arc<Self>, live: &Arc<LiveTask>) -> Result<(), Problem> {
        let task = self.task(live.id()).await?;
        if task.cancelled_at.is_some() {
            live.cancel.cancel();
        }
        // Where runs are tried again, the same counts may stand for a next attempt that nobody told of.
        let repeats = task.options.retries > 0 || task.options.expires_at.is_some();
        let told = !repeats || self.lease.alone();
        if told && task.counts == live.counts() && (task.finished_at.is_none() || live.is_done()) {
            return Ok(());
        }
        self.reconcile_runs(live, task.finished_at.is_some()).await
    }

    /// [`Core::reconcile`], where it is known that notices may have been missed.
    async fn reconcile_whole(self: &Arc<Self>, live: &Arc<LiveTask>) -> Result<(), Problem> {
        let task = self.task(live.id()).await?;
        if task.cancelled_at.is_some() {
            live.cancel.cancel();
        }
        self.reconcile_runs(live, task.finished_at.is_some()).await
    }

    async fn reconcile_runs(self: &Arc<Self>, live: &Arc<LiveTask>, finished: bool) -> Result<(), Problem> {
        let mut from = 0;
        loop {
            let runs = self.page(live.id(), from).await?;
            let Some(last) = runs.last() else { break };
            from = last.key.index + 1;
            for run in &runs {
                self.correct(live, run.key, run.state, run.attempt);
            }
        }
        if finished {
            live.mark_done();
            self.forget_secrets(live.id());
            self.hub.retire(live);
        }
        Ok(())
    }

    /// Corrects everything that is known here by the database.
    pub(crate) async fn reconcile_all(self: &Arc<Self>) {
        for live in self.hub.known() {
            if let Err(problem) = self.reconcile_whole(&live).await
                && !self.met_away(&problem)
            {
                tracing::warn!(task = %live.id(), %problem, "the task could not be read");
            }
        }
    }

    /// Takes note of where a run stands according to the database; one whose next attempt nobody has
    /// handed out is handed out (twice does no harm: one start is refused).
    pub(crate) fn correct(
        self: &Arc<Self>,
        live: &Arc<LiveTask>,
        run: RunKey,
        state: RunState,
        attempt: u32,
    ) {
        if live.correct(run.index, state, attempt) && live.is_dispatched() {
            let wait = crate::execute::wait_before(attempt);
            self.publish_later(Arc::clone(live), run.index, attempt, wait);
        }
    }

    async fn page(&self, task: TaskId, from: u32) -> Result<Vec<RunRecord>, Problem> {
        let filter = RunFilter {
            from,
            limit: PAGE,
            states: Vec::new(),
        };
        self.rooms
            .database
            .store
            .runs(task, filter)
            .await
            .map_err(|error| fault::of_store(&error))
    }

    /// Returns runs with their output, where that is at most `output_limit` bytes.
    pub(crate) async fn run_page(
        self: &Arc<Self>,
        id: TaskId,
        from: u32,
        limit: u32,
        states: Vec<RunState>,
        output_limit: u64,
    ) -> Result<RunPage, Problem> {
        let (task, _held) = self.held(id).await?;
        let is_kept = task.outputs_removed_at.is_none();
        let limit = if limit == 0 { 500 } else { limit.min(5_000) };
        let filter = RunFilter { from, limit, states };
        let runs = self
            .rooms
            .database
            .store
            .runs(id, filter)
            .await
            .map_err(|error| fault::of_store(&error))?;
        let full = runs.len() == limit as usize;
        let mut kept = match is_kept {
            true => self.kept_logs(id, &runs, output_limit).await?,
            false => HashMap::new(),
        };
        let mut entries: Vec<RunEntry> = Vec::with_capacity(runs.len());
        let mut bytes = 0;
        let mut next_from = full.then(|| runs.last().map_or(from, |run| run.key.index + 1));
        for run in runs {
            if bytes > PAGE_BYTES {
                next_from = Some(run.key.index);
                break;
            }
            let log = kept.remove(&run.key.index);
            let output = match is_kept {
                true => self.whole_output(&run, log, output_limit).await?,
                false => Some((Bytes::new(), Bytes::new())),
            };
            bytes += output.as_ref().map_or(0, |(out, err)| out.len() + err.len());
            entries.push(entry_of(run, output));
        }
        Ok(RunPage {
            runs: entries,
            next_from,
        })
    }

    /// Returns the small logs that are kept with these runs, in one query.
    async fn kept_logs(
        &self,
        id: TaskId,
        runs: &[RunRecord],
        output_limit: u64,
    ) -> Result<HashMap<u32, Bytes>, Problem> {
        let ended = runs
            .iter()
            .filter(|run| run.state.is_terminal())
            .map(|run| run.key.index);
        let (Some(first), Some(last)) = (ended.clone().min(), ended.max()) else {
            return Ok(HashMap::new());
        };
        if output_limit == 0 {
            return Ok(HashMap::new());
        }
        let kept = self.rooms.database.outputs.read_inline(id, first, last + 1).await;
        Ok(kept
            .map_err(|error| fault::of_store(&error))?
            .into_iter()
            .collect())
    }

    /// Returns a run's stdout and stderr where both together are at most `limit` bytes.
    async fn whole_output(
        &self,
        run: &RunRecord,
        kept: Option<Bytes>,
        limit: u64,
    ) -> Result<Option<(Bytes, Bytes)>, Problem> {
        let (mut out, mut err) = (BytesMut::new(), BytesMut::new());
        let wrote_nothing = run.state.is_terminal() && run.stdout_bytes + run.stderr_bytes == 0;
        if run.state == RunState::Queued || wrote_nothing {
            return Ok(Some((out.freeze(), err.freeze())));
        }
        let mut offset = 0;
        // What is kept with the run is its whole log.
        let complete = kept.is_some();
        let mut kept = kept;
        loop {
            let mut log = match kept.take() {
                Some(log) => log,
                None if complete => Bytes::new(),
                None => read_log(self, run.key, run.attempt, offset, 512 * 1024).await?,
            };
            let before = log.len();
            for frame in crate::follow::decode(&mut log, run.key)? {
                match frame.stream {
                    Stream::Stdout => out.extend_from_slice(&frame.bytes),
                    Stream::Stderr => err.extend_from_slice(&frame.bytes),
                }
            }
            if log.len() == before {
                return Ok(Some((out.freeze(), err.freeze())));
            }
            if (out.len() + err.len()) as u64 > limit {
                return Ok(None);
            }
            offset += (before - log.len()) as u64;
        }
    }

    /// Opens one stream of a run's output.
    pub(crate) async fn open_output(
        self: &Arc<Self>,
        id: TaskId,
        index: u32,
        stream: Stream,
    ) -> Result<OutputReader, Problem> {
        let (task, held) = self.held(id).await?;
        let key = RunKey { task: id, index };
        let run = self
            .rooms
            .database
            .store
            .run(key)
            .await
            .map_err(|error| fault::of_store(&error))?;
        let run = run.ok_or_else(|| {
            Problem::new(Code::UnknownRun, format!("task {id} has no run {index}"))
                .hint("runs are counted from 0, in the order of the task's hosts")
        })?;
        if let Some(at) = task.outputs_removed_at {
            return Err(fault::output_removed(id, at));
        }
        Ok(OutputReader::new(
            held,
            Arc::clone(self),
            key,
            run.attempt,
            stream,
        ))
    }
}

fn entry_of(run: RunRecord, output: Option<(Bytes, Bytes)>) -> RunEntry {
    let output_omitted = output.is_none();
    let (out, err) = output.unwrap_or_default();
    let (stdout, stdout_base64) = text_of(&out);
    let (stderr, stderr_base64) = text_of(&err);
    // While a command runs, the store does not know how much it wrote; the log does.
    let (stdout_bytes, stderr_bytes) = if run.state.is_terminal() {
        (run.stdout_bytes, run.stderr_bytes)
    } else {
        (out.len() as u64, err.len() as u64)
    };
    RunEntry {
        index: run.key.index,
        run: RunView {
            host: run.host,
            state: run.state,
            attempt: run.attempt,
            exit_code: run.exit_code,
            signal: run.signal,
            error: run.error,
            stdout,
            stdout_base64,
            stderr,
            stderr_base64,
            stdout_bytes,
            stderr_bytes,
            truncated: run.truncated,
            queued_at: run.queued_at,
            started_at: run.started_at,
            finished_at: run.finished_at,
        },
        output_omitted,
        reason: run.reason,
        history: run.history,
    }
}

/// Returns bytes as text, and in base64 where they are not UTF-8.
fn text_of(bytes: &Bytes) -> (String, Option<String>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), None),
        Err(_) => (
            String::from_utf8_lossy(bytes).into_owned(),
            Some(STANDARD.encode(bytes)),
        ),
    }
}
