//! An open task in this process, with its feed and its progress.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use muster_model::event::Notice;
use muster_model::{Counts, Endpoint, RunState, TaskId, TaskRecord};
use muster_runtime::CancellationToken;
use muster_store::TaskInput;
use tokio::sync::watch;

use super::feed::{Entry, Feed};

/// A host of a task.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) endpoint: Endpoint,
}

/// An open task in this process.
pub(crate) struct LiveTask {
    /// The task as it was submitted; its counts are not kept up here.
    pub(crate) record: TaskRecord,
    pub(crate) input: TaskInput,
    pub(crate) hosts: Vec<Host>,
    /// Cancelled when somebody cancels the task.
    pub(crate) cancel: CancellationToken,
    state: Mutex<State>,
    changed: watch::Sender<u64>,
    done: AtomicBool,
    /// The feed holds everything from the first start on.
    whole: bool,
    /// Odd while this process dispatches the task; grows with each beginning and each end.
    dispatched: AtomicU64,
}

struct State {
    feed: Feed,
    counts: Counts,
    /// The state of each run, to count each change once.
    runs: Vec<(RunState, u32)>,
}

impl LiveTask {
    /// Returns the live record of a task whose runs stand in `runs`, in host order.
    pub(crate) fn new(
        record: TaskRecord,
        input: TaskInput,
        hosts: Vec<Host>,
        runs: Vec<(RunState, u32)>,
    ) -> Self {
        let cancel = CancellationToken::new();
        if record.cancelled_at.is_some() {
            cancel.cancel();
        }
        let counts = recount(&runs);
        let done = counts.open() == 0;
        let whole = runs.iter().all(|run| *run == (RunState::Queued, 1));
        Self {
            record,
            input,
            hosts,
            cancel,
            state: Mutex::new(State {
                feed: Feed::default(),
                counts,
                runs,
            }),
            changed: watch::Sender::new(0),
            done: AtomicBool::new(done),
            whole,
            dispatched: AtomicU64::new(0),
        }
    }

    /// Returns how much memory the record takes, in bytes, roughly.
    pub(super) fn weight(&self) -> usize {
        let input = [&self.input.script, &self.input.stdin];
        let input: usize = input.into_iter().flatten().map(bytes::Bytes::len).sum();
        input + self.hosts.len() * 256 + self.with_feed(Feed::len) * 64
    }

    /// Tells whether the feed, as far as it is kept, is the whole story of the task.
    pub(crate) fn is_whole(&self) -> bool {
        self.whole
    }

    pub(crate) fn id(&self) -> TaskId {
        self.record.id
    }

    pub(crate) fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }

    pub(crate) fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// Returns how many of the runs of these indexes are not terminal.
    pub(crate) fn open_in(&self, range: std::ops::Range<usize>) -> usize {
        let state = self.lock();
        state
            .runs
            .get(range)
            .unwrap_or_default()
            .iter()
            .filter(|(state, _)| !state.is_terminal())
            .count()
    }

    /// Returns the state and the attempt of a run, as far as this process was told.
    pub(crate) fn run(&self, index: u32) -> Option<(RunState, u32)> {
        self.lock().runs.get(index as usize).copied()
    }

    /// Tells whether an attempt is known to have gone on or ended.
    pub(crate) fn is_over(&self, index: u32, attempt: u32) -> bool {
        self.run(index)
            .is_none_or(|(state, known)| known > attempt || (known == attempt && state != RunState::Queued))
    }

    /// Returns the first queued run of a range; its end where there is none.
    pub(crate) fn first_queued(&self, range: std::ops::Range<usize>) -> usize {
        let state = self.lock();
        let runs = state.runs.get(range.clone()).unwrap_or_default();
        let found = runs.iter().position(|(state, _)| *state == RunState::Queued);
        found.map_or(range.end, |place| range.start + place)
    }

    /// Takes the dispatch of the task; returns the turn in which this process has it, None where it has it already.
    pub(crate) fn take_dispatch(&self) -> Option<u64> {
        let turn = self
            .dispatched
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |turn| {
                (turn % 2 == 0).then_some(turn + 1)
            });
        turn.ok().map(|before| before + 1)
    }

    /// Ends this process's dispatch of the task: another has it.
    pub(crate) fn end_dispatch(&self) {
        let ended = self
            .dispatched
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |turn| {
                (turn % 2 == 1).then_some(turn + 1)
            });
        if ended.is_ok() {
            self.wake();
        }
    }

    /// Tells whether this process dispatches the task.
    pub(crate) fn is_dispatched(&self) -> bool {
        self.dispatched.load(Ordering::Acquire) % 2 == 1
    }

    /// Tells whether this process dispatches the task in this turn still.
    pub(crate) fn is_turn(&self, turn: u64) -> bool {
        self.dispatched.load(Ordering::Acquire) == turn
    }

    /// Tells whether this process dispatches the task again, after this turn.
    pub(crate) fn is_dispatched_anew(&self, turn: u64) -> bool {
        self.is_dispatched() && !self.is_turn(turn)
    }

    /// Returns the indexes of the queued runs among these.
    pub(crate) fn queued_in(&self, range: std::ops::Range<usize>) -> Vec<(u32, u32)> {
        let state = self.lock();
        let start = range.start;
        let runs = state.runs.get(range).unwrap_or_default();
        runs.iter()
            .enumerate()
            .filter(|(_, (state, _))| *state == RunState::Queued)
            .filter_map(|(place, (_, attempt))| Some((u32::try_from(start + place).ok()?, *attempt)))
            .collect()
    }

    /// Takes note of where a run stands according to the database, where that was missed; tells whether
    /// it waits for a next attempt that this process has not heard of.
    pub(crate) fn correct(&self, index: u32, now: RunState, attempt: u32) -> bool {
        let mut state = self.lock();
        let Some(known) = state.runs.get(index as usize).copied() else {
            return false;
        };
        // What was read may be older than what was heard.
        let older = known.1 > attempt || (known.1 == attempt && now == RunState::Queued);
        if older || known.0.is_terminal() || known == (now, attempt) {
            return false;
        }
        note(&mut state, index, now, attempt);
        state.feed.push(Entry::Run {
            index,
            attempt,
            state: now,
            ending: None,
        });
        drop(state);
        self.wake();
        now == RunState::Queued
    }

    /// Takes note of what happened, in this order.
    pub(crate) fn push(&self, notices: impl IntoIterator<Item = Notice>) {
        {
            let mut state = self.lock();
            for notice in notices {
                match &notice {
                    Notice::Run {
                        run,
                        attempt,
                        state: now,
                        ..
                    } => note(&mut state, run.index, *now, *attempt),
                    Notice::Done { .. } => self.done.store(true, Ordering::Release),
                    Notice::Output { .. } => {}
                }
                state.feed.push(notice.into());
            }
        }
        self.wake();
    }

    /// Marks the task as done, where the notice was missed.
    pub(crate) fn mark_done(&self) {
        if !self.done.swap(true, Ordering::AcqRel) {
            self.lock().feed.push(Entry::Done);
            self.wake();
        }
    }

    /// Lets `read` look at the feed.
    pub(crate) fn with_feed<T>(&self, read: impl FnOnce(&Feed) -> T) -> T {
        read(&self.lock().feed)
    }

    /// Returns a receiver that changes whenever something happens.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn wake(&self) {
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn note(state: &mut State, index: u32, now: RunState, attempt: u32) {
    let Some(known) = state.runs.get_mut(index as usize) else {
        return;
    };
    // Notices of one run may overtake each other; a later attempt or a terminal state stays.
    if attempt < known.1 || (attempt == known.1 && known.0.is_terminal()) {
        return;
    }
    let before = std::mem::replace(known, (now, attempt)).0;
    let left = state.counts.of_mut(before);
    *left = left.saturating_sub(1);
    *state.counts.of_mut(now) += 1;
}

fn recount(runs: &[(RunState, u32)]) -> Counts {
    let mut counts = Counts {
        total: u32::try_from(runs.len()).unwrap_or(u32::MAX),
        ..Counts::default()
    };
    for (state, _) in runs {
        *counts.of_mut(*state) += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use muster_model::{Kind, Options, Reach, RunKey, Timestamp};

    use super::*;

    impl LiveTask {
        /// Returns a task whose runs stand as given.
        pub(crate) fn standing(options: Options, runs: Vec<(RunState, u32)>) -> Self {
            let record = TaskRecord {
                id: TaskId(1),
                kind: Kind::Command {
                    command: "true".into(),
                },
                options,
                owner: "me".into(),
                retry_of: None,
                created_at: Timestamp(0),
                finished_at: None,
                cancelled_at: None,
                outputs_removed_at: None,
                counts: Counts::default(),
            };
            let host = |index| Host {
                name: format!("h{index}"),
                endpoint: Endpoint {
                    reach: Reach::Local,
                    host: format!("h{index}"),
                    address: None,
                    user: None,
                    port: None,
                    credential: None,
                },
            };
            let hosts = (0..runs.len()).map(host).collect();
            Self::new(record, TaskInput::default(), hosts, runs)
        }
    }

    fn task(runs: usize) -> LiveTask {
        LiveTask::standing(Options::default(), vec![(RunState::Queued, 1); runs])
    }

    fn run(index: u32, attempt: u32, state: RunState) -> Notice {
        Notice::Run {
            run: RunKey {
                task: TaskId(1),
                index,
            },
            attempt,
            state,
            ending: None,
        }
    }

    #[test]
    fn each_change_is_counted_once_whatever_the_order_of_its_notices() {
        let task = task(2);
        task.push([run(0, 1, RunState::Failed)]);
        task.push([run(0, 1, RunState::Started)]);
        task.push([run(1, 1, RunState::Started)]);
        task.push([run(1, 2, RunState::Queued)]);
        task.push([run(1, 1, RunState::Lost)]);
        let counts = task.counts();
        assert_eq!(
            (counts.failed, counts.queued, counts.started, counts.lost),
            (1, 1, 0, 0)
        );
        assert_eq!(task.queued_in(0..2), vec![(1, 2)]);
        let over: Vec<bool> = [(0, 1), (1, 1), (1, 2), (1, 3), (2, 1)]
            .map(|(index, attempt)| task.is_over(index, attempt))
            .into();
        assert_eq!(over, [true, true, false, false, true]);
        assert_eq!(task.open_in(0..2), 1);
    }
}
