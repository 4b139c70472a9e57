//! Following a task: events in order, each with the id to resume from, at the reader's own pace.
//!
//! A watcher reads the task's feed, and the output itself from the log, so that a slow reader costs
//! nobody else anything. Where there is no feed (the task is done, or belongs to another process) or the
//! feed no longer holds the reader's place, it walks through the runs in host order instead.
//!
//! Event ids: `<epoch>-<entry>-<offset>` in a feed, `d-<index>-<attempt>-<offset>` in a walk through a done task
//! (both resume exactly), `<epoch>-walk` in a walk through an open one (cannot be resumed), `end`.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use muster_model::event::Ending;
use muster_model::wire::{Event, OutputEvent, TaskView};
use muster_model::{Frame, Problem, RunKey, RunRecord, RunState, TaskId, output};
use muster_runtime::clock;
use muster_store::RunFilter;
use tokio::sync::watch;

use super::event::{ending_of, run_event, run_event_of};
use super::feed::Entry;
use super::hub::LOOK_AGAIN;
use super::live::LiveTask;
use super::place::{Place, parse_place};
use super::read::{decode, read_log};
use crate::core::Core;
use crate::fault;
use crate::keep::Held;

/// How much of a log is read at a time.
const STEP: usize = 256 * 1024;
/// How many runs are read at a time in a walk.
const PAGE: u32 = 500;

/// Follows a task.
pub struct Watcher {
    core: Arc<Core>,
    held: Held,
    id: TaskId,
    live: Option<Arc<LiveTask>>,
    changed: Option<watch::Receiver<u64>>,
    phase: Phase,
    /// What the reader has been given of each run.
    given: HashMap<u32, Given>,
    /// It was read from its beginning: an attempt of which nothing was given is given from its beginning, whatever
    /// notices of it were missed.
    from_beginning: bool,
    ready: VecDeque<(String, Event)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Given {
    attempt: u32,
    offset: u64,
    state: Option<RunState>,
    /// Output was announced that could not be read then.
    behind: bool,
}

enum Phase {
    Head {
        reset: bool,
    },
    /// Through the runs in host order; then to the feed at `then`, or to the end.
    Walk {
        next: u32,
        page: VecDeque<RunRecord>,
        then: Option<u64>,
    },
    Tail {
        entry: u64,
        done: bool,
    },
    Last,
    Over,
}

impl Watcher {
    pub(crate) async fn new(core: Arc<Core>, id: TaskId, resume: Option<&str>) -> Result<Self, Problem> {
        let place = resume.map(parse_place).transpose()?;
        let (task, held) = core.held(id).await?;
        let live = match core.hub.find(id) {
            None if task.finished_at.is_none() => Some(core.load(task.clone()).await?),
            known => known,
        };
        let changed = live.as_ref().map(|live| live.subscribe());
        let mut watcher = Self {
            core,
            held,
            id,
            live,
            changed,
            phase: Phase::Head {
                reset: place.is_some(),
            },
            given: HashMap::new(),
            from_beginning: true,
            ready: VecDeque::new(),
        };
        match place {
            Some(Place::End) if task.finished_at.is_some() => watcher.phase = Phase::Last,
            Some(Place::Done {
                index,
                attempt,
                offset,
            }) if task.finished_at.is_some() => {
                watcher.given.insert(
                    index,
                    Given {
                        attempt,
                        offset,
                        ..Given::default()
                    },
                );
                watcher.phase = Phase::Walk {
                    next: index,
                    page: VecDeque::new(),
                    then: None,
                };
            }
            Some(Place::Feed { epoch, entry, offset }) if epoch == watcher.core.me.0 => {
                watcher.resume_feed(entry, offset);
            }
            _ => {}
        }
        Ok(watcher)
    }

    fn resume_feed(&mut self, entry: u64, offset: u64) {
        let Some(live) = &self.live else { return };
        let found = live.with_feed(|feed| match feed.at(entry) {
            Ok(Some(Entry::Output { index, attempt, .. })) => Some(Some((*index, *attempt))),
            Ok(_) => Some(None),
            Err(_) => None,
        });
        match found {
            Some(Some((index, attempt))) if offset > 0 => {
                self.given.insert(
                    index,
                    Given {
                        attempt,
                        offset,
                        ..Given::default()
                    },
                );
            }
            Some(_) => {}
            None => return,
        }
        self.from_beginning = false;
        self.phase = Phase::Tail { entry, done: false };
    }

    /// Returns the next event with its id; None after the last one (an [`Event::Task`] with state `done`).
    /// Cancel-safe. Holds no more than 512 KiB whatever the reader's pace.
    ///
    /// # Errors
    ///
    /// Where the task or its output cannot be read.
    pub async fn next(&mut self) -> Result<Option<(String, Event)>, Problem> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            self.held.renew().await?;
            match &self.phase {
                Phase::Head { .. } => self.head().await?,
                Phase::Walk { .. } => self.walk().await?,
                Phase::Tail { .. } => self.tail().await?,
                Phase::Last => {
                    let task = self.core.task(self.id).await?;
                    self.ready
                        .push_back(("end".to_owned(), Event::Task(TaskView::from(&task))));
                    self.phase = Phase::Over;
                }
                Phase::Over => return Ok(None),
            }
        }
    }

    fn walk_id(&self) -> String {
        format!("{}-walk", self.core.me)
    }

    async fn head(&mut self) -> Result<(), Problem> {
        let task = self.core.task(self.id).await?;
        let done = task.finished_at.is_some();
        let reset = matches!(self.phase, Phase::Head { reset: true });
        let begin = match &self.live {
            Some(live) => live.with_feed(|feed| feed.at(0).is_ok().then_some(0).ok_or(feed.end())),
            None => Err(0),
        };
        // A fresh feed holds everything from the first start on; only then is it the whole story.
        let whole = self.live.as_ref().is_some_and(|live| live.is_whole());
        let (id, phase) = match begin {
            Ok(entry) if whole => (
                format!("{}-{entry}-0", self.core.me),
                Phase::Tail { entry, done: false },
            ),
            _ if done => (
                "d-0-0-0".to_owned(),
                Phase::Walk {
                    next: 0,
                    page: VecDeque::new(),
                    then: None,
                },
            ),
            _ => {
                let then = self
                    .live
                    .as_ref()
                    .map_or(0, |live| live.with_feed(super::Feed::end));
                (
                    self.walk_id(),
                    Phase::Walk {
                        next: 0,
                        page: VecDeque::new(),
                        then: Some(then),
                    },
                )
            }
        };
        if reset {
            self.ready.push_back((id.clone(), Event::Reset));
        }
        self.ready.push_back((id, Event::Task(TaskView::from(&task))));
        self.phase = phase;
        Ok(())
    }

    /// One step of a walk: one run, or one piece of its output.
    async fn walk(&mut self) -> Result<(), Problem> {
        let Phase::Walk { next, page, then } = &mut self.phase else {
            return Ok(());
        };
        if page.is_empty() {
            let filter = RunFilter {
                from: *next,
                limit: PAGE,
                states: Vec::new(),
            };
            let runs = self.core.rooms.database.store.runs(self.id, filter).await;
            let runs = runs.map_err(|error| fault::of_store(&error))?;
            // The phase is borrowed anew: nothing else can have changed it.
            let Phase::Walk { page, then, .. } = &mut self.phase else {
                return Ok(());
            };
            *page = runs.into();
            if page.is_empty() {
                self.phase = match *then {
                    Some(entry) => Phase::Tail { entry, done: false },
                    None => Phase::Last,
                };
            }
            return Ok(());
        }
        let Some(run) = page.front().cloned() else {
            return Ok(());
        };
        let done_walk = then.is_none();
        let given = self.given.get(&run.key.index).copied().unwrap_or_default();
        let from = if given.attempt == run.attempt {
            given.offset
        } else {
            0
        };
        if run.state != RunState::Queued {
            let mut log = read_log(&self.core, run.key, run.attempt, from, STEP).await?;
            let frames = decode(&mut log, run.key)?;
            if !frames.is_empty() {
                let id = if done_walk { None } else { Some(self.walk_id()) };
                self.give_frames(
                    &run.host,
                    run.key.index,
                    run.attempt,
                    from,
                    frames,
                    u64::MAX,
                    |end| {
                        id.clone()
                            .unwrap_or_else(|| format!("d-{}-{}-{end}", run.key.index, run.attempt))
                    },
                );
                return Ok(());
            }
        }
        if let Phase::Walk { next, page, .. } = &mut self.phase {
            page.pop_front();
            *next = run.key.index + 1;
        }
        let entry = self.given.entry(run.key.index).or_default();
        let known = entry.attempt == run.attempt && entry.state == Some(run.state);
        entry.attempt = run.attempt;
        entry.state = Some(run.state);
        if run.state != RunState::Queued && !known {
            let id = if done_walk {
                format!("d-{}-0-0", run.key.index + 1)
            } else {
                self.walk_id()
            };
            self.ready.push_back((id, Event::Run(run_event_of(&run))));
        }
        Ok(())
    }

    async fn tail(&mut self) -> Result<(), Problem> {
        let Phase::Tail { entry: number, done } = self.phase else {
            return Ok(());
        };
        let Some(live) = self.live.clone() else {
            self.phase = Phase::Last;
            return Ok(());
        };
        if let Some(changed) = &mut self.changed {
            changed.borrow_and_update();
        }
        match live.with_feed(|feed| feed.at(number).map(|entry| entry.cloned())) {
            Ok(Some(Entry::Done)) => {
                self.phase = Phase::Tail {
                    entry: number + 1,
                    done: true,
                }
            }
            Ok(Some(Entry::Run {
                index,
                attempt,
                state,
                ending,
            })) => {
                self.tail_run(&live, number, index, attempt, state, ending)
                    .await?;
            }
            Ok(Some(Entry::Output {
                index,
                attempt,
                from,
                to,
            })) => {
                self.tail_output(&live, number, RunKey { task: self.id, index }, attempt, from, to)
                    .await?;
            }
            // Runs that were settled together may announce themselves after the task's end was announced.
            Ok(None) if (done || live.is_done()) && live.counts().open() == 0 => self.phase = Phase::Last,
            Ok(None) => self.look_again(&live).await?,
            Err(_) => {
                let then = live.with_feed(super::Feed::end);
                self.from_beginning = true;
                self.phase = Phase::Walk {
                    next: 0,
                    page: VecDeque::new(),
                    then: Some(then),
                };
            }
        }
        Ok(())
    }

    fn tail_on(&mut self, entry: u64) {
        if let Phase::Tail { entry: place, .. } = &mut self.phase {
            *place = entry;
        }
    }

    async fn tail_run(
        &mut self,
        live: &LiveTask,
        number: u64,
        index: u32,
        attempt: u32,
        state: RunState,
        ending: Option<Box<Ending>>,
    ) -> Result<(), Problem> {
        let given = self.given.get(&index).copied().unwrap_or_default();
        let stale = attempt < given.attempt
            || (attempt == given.attempt
                && given
                    .state
                    .is_some_and(|known| known == state || known.is_terminal()));
        if stale {
            self.tail_on(number + 1);
            return Ok(());
        }
        let run = RunKey { task: self.id, index };
        let host = live
            .hosts
            .get(index as usize)
            .map_or_else(String::new, |host| host.name.clone());
        let ending = match ending {
            // Found in the database and not announced: its output was not announced either.
            ending if state.is_terminal() && (ending.is_none() || given.behind) => {
                let from = if given.attempt == attempt { given.offset } else { 0 };
                let mut log = read_log(&self.core, run, attempt, from, STEP).await?;
                let frames = decode(&mut log, run)?;
                if !frames.is_empty() {
                    let id = format!("{}-{number}-0", self.core.me);
                    self.give_frames(&host, index, attempt, from, frames, u64::MAX, |_| id.clone());
                    // There may be more of it.
                    self.given.entry(index).or_default().behind = true;
                    return Ok(());
                }
                match ending {
                    Some(ending) => Some(*ending),
                    None => {
                        let found = self.core.rooms.database.store.run(run).await;
                        found
                            .map_err(|error| fault::of_store(&error))?
                            .map(|run| ending_of(&run))
                    }
                }
            }
            ending => ending.map(|ending| *ending),
        };
        let given = self.given.entry(index).or_default();
        if given.attempt != attempt {
            given.offset = 0;
        }
        given.attempt = attempt;
        given.state = Some(state);
        let event = run_event(self.id, index, host, state, attempt, ending.unwrap_or_default());
        self.ready
            .push_back((format!("{}-{}-0", self.core.me, number + 1), Event::Run(event)));
        self.tail_on(number + 1);
        Ok(())
    }

    async fn tail_output(
        &mut self,
        live: &LiveTask,
        number: u64,
        run: RunKey,
        attempt: u32,
        from: u64,
        to: u64,
    ) -> Result<(), Problem> {
        let given = self.given.get(&run.index).copied().unwrap_or_default();
        // Nothing of an attempt that was followed from its beginning is left out.
        let start = if given.attempt == attempt {
            given.offset
        } else if self.from_beginning {
            0
        } else {
            from
        };
        if attempt < given.attempt || start >= to {
            self.tail_on(number + 1);
            return Ok(());
        }
        // No more than is wanted now: a reader that lags behind many small steps would read the rest once for each.
        let most = usize::try_from(to - start).map_or(STEP, |wanted| wanted.min(STEP));
        let mut log = read_log(&self.core, run, attempt, start, most).await?;
        let frames = decode(&mut log, run)?;
        if frames.is_empty() {
            // The cache has lost it, or the attempt is over and its log gone: the end of the run tells.
            self.given.insert(
                run.index,
                Given {
                    attempt,
                    offset: start,
                    behind: true,
                    ..given
                },
            );
            self.tail_on(number + 1);
            return Ok(());
        }
        let host = live
            .hosts
            .get(run.index as usize)
            .map_or_else(String::new, |host| host.name.clone());
        let epoch = self.core.me.clone();
        self.give_frames(&host, run.index, attempt, start, frames, to, |end| {
            if end >= to {
                format!("{epoch}-{}-0", number + 1)
            } else {
                format!("{epoch}-{number}-{end}")
            }
        });
        Ok(())
    }

    /// Puts output events in line, one a frame, of those that begin before `to`.
    #[expect(clippy::too_many_arguments, reason = "all of one event")]
    fn give_frames(
        &mut self,
        host: &str,
        index: u32,
        attempt: u32,
        from: u64,
        frames: Vec<Frame>,
        to: u64,
        id: impl Fn(u64) -> String,
    ) {
        let mut offset = from;
        for frame in frames {
            if offset >= to {
                break;
            }
            let end = offset + (output::FRAME_HEAD + frame.bytes.len()) as u64;
            let event = OutputEvent {
                task: self.id,
                index,
                host: host.to_owned(),
                attempt,
                stream: frame.stream,
                offset,
                bytes: frame.bytes,
            };
            self.ready.push_back((id(end), Event::Output(event)));
            offset = end;
        }
        let given = self.given.entry(index).or_default();
        if given.attempt != attempt {
            given.state = None;
        }
        given.attempt = attempt;
        given.offset = offset;
        given.behind = false;
    }

    /// Waits for something to happen; after a while, looks whether it happened unnoticed.
    async fn look_again(&mut self, live: &Arc<LiveTask>) -> Result<(), Problem> {
        let Some(changed) = &mut self.changed else {
            self.phase = Phase::Last;
            return Ok(());
        };
        if clock::deadline(LOOK_AGAIN, changed.changed()).await.is_ok() {
            return Ok(());
        }
        self.core.reconcile(live).await
    }
}
