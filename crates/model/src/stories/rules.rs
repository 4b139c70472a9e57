//! What a world goes by: the rules of the product, or others that are to be caught.

use bytes::Bytes;

use crate::id::Timestamp;
use crate::policy::{self, Stop};
use crate::run::{self, Change, Outcome, Refused, RunState, Transition};
use crate::task::{Counts, Options};

/// The form of [`run::decide`].
pub(super) type Decide = fn(RunState, u32, &Transition) -> Result<(RunState, u32), Refused>;

/// The rules of a world.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Which changes of a run are allowed.
    pub decide: Decide,
    /// What follows an attempt that ended.
    pub again_or_settle: fn(&Options, u32, bool, Outcome, Option<Bytes>) -> Change,
    /// When a task starts no more runs.
    pub stopped: fn(&Options, Counts, bool, Timestamp) -> Option<Stop>,
    /// How processes behave.
    pub habits: Habits,
}

/// How processes behave: each is as the engine does it, and a world without it breaks a promise.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// A command is sent only once its start is durable.
    pub waits_for_the_start: bool,
    /// A start that is refused as started already is taken for one's own only after reading who started it.
    pub reads_back: bool,
    /// A run is settled as cancelled or timed out only once its command is gone from the host.
    pub kills_first: bool,
    /// A connection that broke is no end of a command.
    pub doubts: bool,
    /// Executors that live are left alone.
    pub spares_the_living: bool,
    /// What a dead process dispatched is dispatched by another.
    pub takes_over: bool,
    /// What a dead process had started is settled by another.
    pub buries: bool,
    /// A message is acknowledged only once its run's start is durable.
    pub acknowledges_late: bool,
}

impl Habits {
    /// As the engine behaves.
    pub const OURS: Self = Self {
        waits_for_the_start: true,
        reads_back: true,
        kills_first: true,
        doubts: true,
        spares_the_living: true,
        takes_over: true,
        buries: true,
        acknowledges_late: true,
    };
}

impl Rules {
    /// The rules of the product.
    pub const OURS: Self = Self {
        decide: run::decide,
        again_or_settle: policy::again_or_settle,
        stopped: policy::stopped,
        habits: Habits::OURS,
    };
}
