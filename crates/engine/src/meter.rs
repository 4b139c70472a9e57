//! What the engine counts. Labels say a state, an outcome, a stream or a queue of ours, and never whose it was.

use std::sync::{Arc, Weak};
use std::time::Duration;

use muster_model::run::Change;
use muster_model::{Problem, RunState, Stream, Transition};
use muster_runtime::clock;
use muster_runtime::meter::{Counter, Counters, Gauges, Histogram, Meters, SPANS};
use muster_store::Applied;

use crate::core::{Core, WORK};

/// How long the queue may take to say how much waits in it.
const ANSWER: Duration = Duration::from_secs(1);

/// What the engine counts.
pub(crate) struct Meter {
    /// Runs that ended, in the order of [`RunState::ALL`].
    ended: [Counter; RunState::ALL.len()],
    again: Counter,
    /// How long commands ran, from their start to their result.
    pub(crate) run_seconds: Histogram,
    submits: Counters<1>,
    output: [Counter; 2],
    depth: Gauges<1>,
}

/// How a submit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Submission {
    /// There is a new task.
    Accepted,
    /// The same request had made its task before.
    Repeated,
    /// It was a dry run.
    Planned,
    /// The request was wrong.
    Refused,
    /// The server could not do it.
    Failed,
}

impl Submission {
    const ALL: [Self; 5] = [
        Self::Accepted,
        Self::Repeated,
        Self::Planned,
        Self::Refused,
        Self::Failed,
    ];

    /// Returns how a submit ended that came to a problem.
    pub(crate) fn of(problem: &Problem) -> Self {
        if problem.status < 500 {
            Self::Refused
        } else {
            Self::Failed
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Repeated => "repeated",
            Self::Planned => "planned",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

impl Meter {
    pub(crate) fn new(meters: &Meters) -> Self {
        let runs = meters.counters(
            "muster_runs_total",
            "Runs that ended here, by how they ended",
            ["state"],
        );
        // What is never counted has no line: a state that is not there yet is 0, so that its growth shows.
        let ended = RunState::ALL.map(|state| match state.is_terminal() {
            true => runs.of([state.as_str().into()]),
            false => Counter::default(),
        });
        let submits = meters.counters(
            "muster_submits_total",
            "Submits, by how they ended: accepted, repeated (the same request again), planned (a dry run), \
             refused (the request was wrong) or failed",
            ["outcome"],
        );
        for outcome in Submission::ALL {
            submits.of([outcome.word().into()]).add(0);
        }
        let output = meters.counters(
            "muster_output_bytes_total",
            "Bytes that commands wrote, kept or not",
            ["stream"],
        );
        Self {
            ended,
            again: meters.counter(
                "muster_retries_total",
                "Attempts that failed and were followed by another",
            ),
            run_seconds: meters.histogram(
                "muster_run_seconds",
                "How long commands ran, from their start to their result",
                SPANS,
            ),
            submits,
            output: ["stdout", "stderr"].map(|stream| output.of([stream.into()])),
            depth: meters.gauges(
                "muster_queue_depth",
                "Messages that wait in a queue, without those that a server holds",
                ["queue"],
            ),
        }
    }

    /// Counts what came of changes of runs.
    pub(crate) fn applied(&self, changes: &[Transition], applied: &[Applied]) {
        for (change, applied) in changes.iter().zip(applied) {
            let Applied::Yes { state, .. } = applied else {
                continue;
            };
            if matches!(change.change, Change::Again { .. }) {
                self.again.inc();
            } else if let Some(place) = RunState::ALL.iter().position(|one| one == state)
                && state.is_terminal()
            {
                self.ended[place].inc();
            }
        }
    }

    pub(crate) fn submit(&self, outcome: Submission) {
        self.submits.of([outcome.word().into()]).inc();
    }

    pub(crate) fn output(&self, stream: Stream, bytes: usize) {
        let place = match stream {
            Stream::Stdout => 0,
            Stream::Stderr => 1,
        };
        self.output[place].add(bytes as u64);
    }
}

impl Core {
    /// Has what is known at any moment looked up when somebody asks.
    pub(crate) fn meter_what_is(self: &Arc<Self>) {
        let meters = self.tasks.meters();
        let add = |name, help, read: fn(&Core) -> f64| {
            // The meters are the process's, and must not keep an engine that has ended.
            let core: Weak<Self> = Arc::downgrade(self);
            meters.sampled(name, help, move || core.upgrade().map(|core| read(&core)));
        };
        add(
            "muster_runs_active",
            "Runs that are connecting or started here",
            |core| core.active.count() as f64,
        );
        add("muster_slots", "At most so many runs at a time here", |core| {
            core.settings.slots as f64
        });
        add(
            "muster_tasks_open",
            "Tasks that are handed out here and not done",
            |core| core.hub.open().len() as f64,
        );
        add(
            "muster_draining",
            "1 while this server takes no new work",
            |core| f64::from(u8::from(core.tasks.intake().is_cancelled())),
        );
        add(
            "muster_store_away",
            "1 while the database does not answer",
            |core| f64::from(u8::from(core.outage.is_on())),
        );
        add(
            "muster_store_outages_total",
            "How often the database has gone away",
            |core| core.outage.times() as f64,
        );
        add(
            "muster_lease_age_seconds",
            "How long ago this server has last said in the database that it lives; 0 while it has no work and need not",
            |core| core.lease.age().as_secs_f64(),
        );
        add("muster_ssh_connections", "Open connections to hosts", |core| {
            core.rooms.transport.connections() as f64
        });
        add(
            "muster_faults_total",
            "Faults in Muster itself, which ended one piece of work each: the log says more",
            |core| core.tasks.panics() as f64,
        );
    }

    /// Returns everything that this process counts, as text.
    pub(crate) async fn metrics(&self) -> Result<String, std::fmt::Error> {
        match clock::deadline(ANSWER, self.rooms.queue.depth(WORK)).await {
            Ok(Ok(depth)) => self.meter.depth.of([WORK.into()]).set(depth),
            _ => self.meter.depth.forget(),
        }
        self.tasks.meters().text()
    }
}
