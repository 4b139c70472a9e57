//! The net under the queue: runs that were handed out, and are neither in the queue nor in anybody's hands.
//!
//! A broker may lose work though no connection breaks (somebody purges the queue, or deletes it and declares it anew).
//! Nobody is told then. So whoever dispatches a task looks now and then at those of its runs that wait: where the queue
//! is empty and they still wait at the next looks, they are published again. What is there twice starts once all the
//! same; but it costs a login, so it must be seldom, and what merely waits for a slot is left alone.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use muster_model::{ErrorKind, ExecutorId, Role, Roles, RunKey};
use muster_runtime::clock;
use muster_store::Member;
use tokio::sync::Mutex;

use super::release::stopped;
use crate::core::{Core, WORK};
use crate::follow::{LOOK_AGAIN, LiveTask};

/// After so long without a sign of them, runs are published again that may be in somebody's hands: longer than a login
/// takes.
const UNSURE: Duration = Duration::from_secs(60);
/// The waits double with each time of a task, up to this.
const AT_MOST: Duration = Duration::from_secs(600);
/// The depth of the queue is asked for no more often, whatever the number of tasks.
const FRESH: Duration = Duration::from_secs(1);
/// How long the queue has for its answer: whoever dispatches has other things to do.
const ANSWER: Duration = Duration::from_secs(1);

/// What is known of those who take work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hands {
    /// There are some, and none of them has a free slot.
    all_full: bool,
    /// So many runs of any task may have been taken from the queue without having started, this process's apart.
    may_hold: u64,
}

/// What is known of the others who take work, and of the queue.
#[derive(Default)]
pub(crate) struct Others {
    takers: std::sync::Mutex<Takers>,
    /// When it was asked for, and what the answer was.
    depth: Mutex<Option<(Duration, Option<u64>)>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Takers {
    count: usize,
    full: usize,
    may_hold: u64,
}

impl Others {
    /// Takes note of the servers that share the database; `me` is this one.
    pub(crate) fn note(&self, members: &[Member], me: &ExecutorId) {
        let mut takers = Takers::default();
        for member in members
            .iter()
            .filter(|member| member.gone_at.is_none() && member.id != *me)
        {
            let roles = member.roles.parse::<Roles>().unwrap_or(Roles::ALL);
            if roles.has(Role::Executor) {
                takers.add(member.slots, member.beat.runs, member.beat.leaving);
            }
        }
        *self.takers.lock().unwrap_or_else(PoisonError::into_inner) = takers;
    }
}

impl Takers {
    /// One that has all its slots in use may have as many runs again that wait for one. One that leaves takes none.
    fn add(&mut self, slots: u32, in_hand: u32, leaves: bool) {
        let full = in_hand >= slots;
        self.may_hold += u64::from(in_hand) + if full { u64::from(slots) } else { 0 };
        self.count += usize::from(!leaves);
        self.full += usize::from(full && !leaves);
    }
}

/// The runs of a task that were found waiting while the queue was empty.
#[derive(Default)]
pub(super) struct Net {
    /// Since when, on the process's own clock.
    since: HashMap<(u32, u32), Duration>,
    /// How often runs of the task were published again.
    times: u32,
}

impl Net {
    /// Looks at the runs (index and attempt) that wait at the moment `now`, with the queue empty; returns those that
    /// are to be published again. One that is lost for certain was seen waiting for `quiet` by then.
    fn look(
        &mut self,
        now: Duration,
        waiting: &[(u32, u32)],
        hands: Hands,
        quiet: Duration,
    ) -> Vec<(u32, u32)> {
        if hands.all_full {
            self.clear();
            return Vec::new();
        }
        let seen = std::mem::take(&mut self.since);
        let since = |run: &(u32, u32)| seen.get(run).copied().unwrap_or(now);
        self.since = waiting.iter().map(|run| (*run, since(run))).collect();
        let longer = 2_u32.saturating_pow(self.times);
        let waited = |run: &(u32, u32), least: Duration| {
            // A next attempt is published only after a while, which is drawn from between this and half of it.
            let its_turn = crate::execute::wait_before(run.1) * 2;
            let least = least.saturating_mul(longer).min(AT_MOST) + its_turn;
            now.saturating_sub(since(run)) >= least
        };
        let mut lost: Vec<_> = waiting.iter().filter(|run| waited(run, quiet)).copied().collect();
        if lost.len() as u64 <= hands.may_hold {
            lost.retain(|run| waited(run, UNSURE));
        }
        for run in &lost {
            self.since.insert(*run, now);
        }
        self.times += u32::from(!lost.is_empty());
        lost
    }

    /// Begins anew: what waits is where it should be, or nobody can tell.
    fn clear(&mut self) {
        self.since.clear();
    }

    /// Tells whether no run is missing.
    pub(super) fn is_empty(&self) -> bool {
        self.since.is_empty()
    }
}

impl Core {
    /// Publishes again what was handed out of a task and is in no queue any more. `released` are the hosts that were
    /// handed out and may be waiting.
    pub(super) async fn publish_lost(
        self: &Arc<Self>,
        live: &LiveTask,
        released: std::ops::Range<usize>,
        net: &mut Net,
    ) {
        // What is in this process alone is lost with it alone.
        if !self.rooms.queue.capabilities().shared {
            return;
        }
        let mut waiting = live.queued_in(released);
        waiting.retain(|&(index, attempt)| {
            let task = live.id();
            !self.is_in_hand(RunKey { task, index }, attempt)
        });
        let away = self.outage.is_on() || self.queue_outage.is_on();
        if waiting.is_empty() || away || stopped(live, clock::now()).is_some() {
            return net.clear();
        }
        if self.work_in_queue().await != Some(0) {
            return net.clear();
        }
        // Whoever takes work renews its lease twice in this time, and says what it has in hand.
        let quiet = self.lease.shared().unwrap_or(crate::engine::LEASE) / 2;
        let lost = net.look(clock::monotonic(), &waiting, self.hands(), quiet.max(LOOK_AGAIN));
        if lost.is_empty() || !self.lease.standing().secured(self.tasks.intake()).await {
            return;
        }
        tracing::warn!(
            task = %live.id(),
            runs = lost.len(),
            "runs were handed out, and are in no queue any more: they are published again"
        );
        self.publish_work(live, &lost).await;
    }

    fn hands(&self) -> Hands {
        let mut takers = *self.others.takers.lock().unwrap_or_else(PoisonError::into_inner);
        if self.settings.roles.has(Role::Executor) {
            let full = self.slots.available_permits() == 0;
            takers.count += 1;
            takers.full += usize::from(full);
            // What is in hand here is known; what waits for a slot here is not.
            takers.may_hold += if full { self.settings.slots as u64 } else { 0 };
        }
        // Processes of one machine that share a file alone do not say what they have in hand.
        let unknown = self.lease.shared().is_none() && !self.lease.alone();
        Hands {
            all_full: takers.count > 0 && takers.full == takers.count,
            may_hold: if unknown { u64::MAX } else { takers.may_hold },
        }
    }

    /// Returns how many runs wait in the queue; None where nobody knows.
    async fn work_in_queue(self: &Arc<Self>) -> Option<u64> {
        let mut last = self.others.depth.lock().await;
        if let Some((at, depth)) = *last
            && clock::monotonic().saturating_sub(at) < FRESH
        {
            return depth;
        }
        let depth = clock::deadline(ANSWER, self.ask_for_depth()).await;
        let depth = depth.ok().flatten();
        *last = Some((clock::monotonic(), depth));
        depth
    }

    async fn ask_for_depth(self: &Arc<Self>) -> Option<u64> {
        match self.rooms.queue.depth(WORK).await {
            Ok(depth) => Some(depth),
            // What is published is kept only where the queue is there.
            Err(error) if error.kind == ErrorKind::NotFound => self.declare().await.map(|()| 0).ok(),
            Err(error) => {
                if !self.found_queue_away(&error) {
                    tracing::debug!(%error, "the queue of work could not be looked at");
                }
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Duration = Duration::from_secs(5);
    const FREE: Hands = Hands {
        all_full: false,
        may_hold: 0,
    };

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Looks every two seconds from `from` until `to`; returns when what was published again.
    fn looks(
        net: &mut Net,
        from: u64,
        to: u64,
        waiting: &[(u32, u32)],
        hands: Hands,
    ) -> Vec<(u64, Vec<(u32, u32)>)> {
        let looks = (from..to).step_by(2);
        let found = looks.map(|second| (second, net.look(at(second), waiting, hands, QUIET)));
        found.filter(|(_, lost)| !lost.is_empty()).collect()
    }

    #[test]
    fn what_is_nowhere_is_published_again_after_a_few_looks_and_ever_more_seldom() {
        let waiting = [(3, 1), (7, 1)];
        let found = looks(&mut Net::default(), 0, 2000, &waiting, FREE);
        let times: Vec<u64> = found.iter().map(|(second, _)| *second).collect();
        assert_eq!(times[..5], [6, 16, 36, 76, 156]);
        assert_eq!(times.last(), Some(&1836), "ten minutes at most: {times:?}");
        assert!(found.iter().all(|(_, lost)| lost == &waiting));
    }

    #[test]
    fn a_run_that_is_new_at_a_look_is_given_its_time() {
        let mut net = Net::default();
        assert_eq!(looks(&mut net, 0, 6, &[(3, 1)], FREE), []);
        assert_eq!(
            looks(&mut net, 6, 7, &[(3, 1), (7, 1)], FREE),
            [(6, vec![(3, 1)])]
        );
        // Each of these looks finds others: they go through somebody's hands.
        let mut net = Net::default();
        for second in 0..100 {
            assert_eq!(net.look(at(second), &[(second as u32 / 4, 1)], FREE, QUIET), []);
        }
    }

    #[test]
    fn what_merely_waits_for_a_slot_is_left_alone() {
        let full = Hands {
            all_full: true,
            may_hold: 0,
        };
        let mut net = Net::default();
        assert_eq!(looks(&mut net, 0, 5000, &[(3, 1)], full), []);
        // Nor does that time count when a slot is free.
        assert_eq!(looks(&mut net, 5000, 5006, &[(3, 1)], FREE), []);
    }

    #[test]
    fn what_may_be_in_somebodys_hands_is_given_the_time_of_a_login() {
        let held = Hands {
            all_full: false,
            may_hold: 2,
        };
        let few = [(3, 1), (7, 1)];
        assert_eq!(
            looks(&mut Net::default(), 0, 180, &few, held),
            [(60, few.to_vec())]
        );
        // More than anybody holds.
        let many = [(3, 1), (7, 1), (8, 1)];
        assert_eq!(
            looks(&mut Net::default(), 0, 10, &many, held),
            [(6, many.to_vec())]
        );
    }

    #[test]
    fn a_next_attempt_has_the_time_that_it_is_to_wait() {
        let mut net = Net::default();
        // It is published within four seconds.
        assert_eq!(looks(&mut net, 0, 9, &[(3, 4)], FREE), []);
        assert_eq!(looks(&mut net, 10, 15, &[(3, 4)], FREE).len(), 1);
        // Another attempt is another thing.
        assert_eq!(looks(&mut net, 16, 26, &[(3, 5)], FREE), []);
    }

    #[test]
    fn of_the_others_it_counts_what_they_may_hold() {
        let mut takers = Takers::default();
        takers.add(50, 3, false);
        takers.add(20, 20, false);
        takers.add(10, 1, true);
        let expected = Takers {
            count: 2,
            full: 1,
            may_hold: 3 + 40 + 1,
        };
        assert_eq!(takers, expected);
    }
}
