//! Cases as data, and how one is run.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::bench::{Bench, Fixture};

/// Pairs of an adapter and a case that it cannot pass.
pub const UNSUPPORTED: &[(&str, &str)] = &[
    // It lives and dies with its process.
    ("memory", "two_processes_see_the_same_values"),
    (
        "memory",
        "what_was_kept_is_gone_after_a_restart_and_calls_work_again",
    ),
    ("memory", "after_a_flush_everything_is_missing_and_calls_work"),
    ("memory", "while_it_is_gone_calls_fail_at_once"),
    (
        "memory",
        "it_is_said_once_that_it_is_gone_and_once_that_it_is_back",
    ),
    (
        "memory",
        "a_listener_hears_that_it_has_missed_something_and_listens_on",
    ),
    // It looks at a few values and lets the one go that seems oldest, by a clock of seconds.
    ("redis", "what_does_not_fit_pushes_the_oldest_out"),
    ("redis", "what_is_used_stays_longer"),
    ("redis-cluster", "what_does_not_fit_pushes_the_oldest_out"),
    ("redis-cluster", "what_is_used_stays_longer"),
    // It lets go by size, and moves what is used only once a minute.
    ("memcached", "what_does_not_fit_pushes_the_oldest_out"),
    ("memcached", "what_is_used_stays_longer"),
    // Each bit would carry the whole value there and back.
    ("memcached", "a_bit_is_set_and_tells_what_it_was"),
    ("memcached", "ones_are_counted"),
    ("memcached", "bits_are_bytes_from_the_highest_on"),
    ("memcached", "a_bit_past_64_mib_is_refused"),
    ("memcached", "setting_a_bit_counts_the_lifetime_anew"),
    ("memcached", "no_bit_is_lost"),
    // It has nothing of the kind.
    ("memcached", "who_listens_gets_what_is_published_afterwards"),
    ("memcached", "messages_arrive_in_their_order"),
    ("memcached", "a_channel_is_heard_by_everybody_and_no_other_is"),
    ("memcached", "a_message_over_1_mib_is_refused"),
    (
        "memcached",
        "a_listener_hears_that_it_has_missed_something_and_listens_on",
    ),
];

/// How a case ended.
pub type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// What a case needs beyond the port's least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing.
    Nothing,
    /// The fixture can open it with little memory.
    Small,
    /// The fixture can open it with little memory, and it knows which value was used last to the call.
    Recency,
    /// Several processes can share it.
    Shared,
    /// It can go away: the fixture opens one that nobody else uses.
    Outages,
    /// It has bits.
    Bits,
    /// It has channels.
    Channels,
    /// It has channels, and can go away.
    ChannelOutages,
}

impl Need {
    /// Tells whether the fixture opens one that nobody else uses.
    pub(super) fn is_of_outages(self) -> bool {
        matches!(self, Self::Outages | Self::ChannelOutages)
    }

    /// Tells whether the fixture opens one with little memory.
    pub(super) fn is_small(self) -> bool {
        matches!(self, Self::Small | Self::Recency)
    }
}

/// A case.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The promise, as a name.
    pub name: &'static str,
    /// What it needs.
    pub need: Need,
    /// It is about threads: it runs on several, in real time.
    pub threads: bool,
    run: fn(Bench) -> Pin<Box<dyn Future<Output = Outcome> + Send>>,
}

/// Lists the cases of a module; a function that is forgotten is one that the compiler calls unused.
macro_rules! list {
    ($list:ident, $need:ident, $threads:literal: $($name:ident),* $(,)?) => {
        pub(super) const $list: &[$crate::contract::Case] = &[$(
            $crate::contract::case::case(
                stringify!($name),
                $crate::contract::Need::$need,
                $threads,
                |bench| Box::pin($name(bench)),
            )
        ),*];
    };
}
pub(super) use list;

/// Builds a case.
pub(super) const fn case(
    name: &'static str,
    need: Need,
    threads: bool,
    run: fn(Bench) -> Pin<Box<dyn Future<Output = Outcome> + Send>>,
) -> Case {
    Case {
        name,
        need,
        threads,
        run,
    }
}

/// Returns every case.
#[must_use]
pub fn cases() -> Vec<Case> {
    [
        super::values::CASES,
        super::values::SHARED,
        super::keys::CASES,
        super::counters::CASES,
        super::growing::CASES,
        super::lifetimes::CASES,
        super::racing::CASES,
        super::pressure::CASES,
        super::pressure::RECENCY,
        super::outages::CASES,
        super::bits::CASES,
        super::bits::RACING,
        super::channels::CASES,
        super::channels::OUTAGES,
    ]
    .concat()
}

impl Case {
    /// Runs the case on an adapter and compares how it ended with [`UNSUPPORTED`].
    ///
    /// # Errors
    ///
    /// Why the promise is not kept, or why the table is wrong.
    pub fn check(&self, fixture: &Arc<dyn Fixture>) -> Result<(), String> {
        let is_listed = UNSUPPORTED.contains(&(fixture.name(), self.name));
        if is_listed && self.need == Need::Recency && !fixture.offers(self.need) {
            // It passes by luck now and then.
            return Ok(());
        }
        let outcome = self.run(fixture)?;
        match (is_listed, fixture.offers(self.need), outcome) {
            (false, true, outcome) => outcome,
            (true, false, Err(_)) => Ok(()),
            (true, false, Ok(())) => Err("it passes, but is listed as unsupported".to_owned()),
            (true, true, _) => Err("it is listed as unsupported, but the adapter offers it".to_owned()),
            (false, false, _) => Err("the adapter does not offer it: list it as unsupported".to_owned()),
        }
    }

    /// Runs the case in a runtime of its own: where the adapter is in process, time is virtual.
    fn run(&self, fixture: &Arc<dyn Fixture>) -> Result<Result<(), String>, String> {
        let mut builder = if self.threads {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(4);
            builder
        } else {
            tokio::runtime::Builder::new_current_thread()
        };
        if fixture.is_in_process() && !self.threads {
            builder.start_paused(true);
        }
        let runtime = builder.enable_all().build().map_err(|error| error.to_string())?;
        let fixture = Arc::clone(fixture);
        let case = *self;
        runtime.block_on(async move {
            let bench = match Bench::open(fixture, &case).await {
                Ok(bench) => bench,
                Err(error) => return Ok(Err(error.to_string())),
            };
            let tasks = bench.tasks.clone();
            let outcome = muster_runtime::clock::deadline(Duration::from_secs(120), (case.run)(bench)).await;
            let left = tasks.close(Duration::from_secs(10)).await;
            Ok(match outcome {
                Err(_) => Err("it did not end within two minutes".to_owned()),
                Ok(Err(error)) => Err(error.to_string()),
                Ok(Ok(())) if tasks.panics() > 0 => Err(format!("{} of its tasks panicked", tasks.panics())),
                Ok(Ok(())) if left > 0 => Err(format!("{left} of its tasks never ended")),
                Ok(Ok(())) => Ok(()),
            })
        })
    }
}
