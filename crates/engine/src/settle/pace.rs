//! How long a group of changes waits for company: not at all, or a moment where changes come fast.
//!
//! A commit costs about the same for one change as for ten. Where hundreds of hosts finish one after the other, each
//! change would find a committer free and have a commit of its own. This is what PostgreSQL's `commit_delay` and
//! `commit_siblings` are for: a group waits where other runs are in hand and changes have come fast lately. A command
//! for a few hosts never waits, however many of them come one after the other.

use std::time::Duration;

/// How long a group waits for company at the most.
const WAIT: Duration = Duration::from_millis(20);
/// How far back "lately" goes.
const LATELY: Duration = Duration::from_millis(150);
/// Where fewer changes came lately, hardly one is to be expected while a group waits: `LATELY / WAIT`, rounded up.
const EXPECTED: f64 = 8.0;
/// Where fewer runs are in hand, nobody waits: changes that come fast are of commands that wait for each other.
const SIBLINGS: u64 = 8;
/// A group of so many changes has company enough.
const COMPANY: usize = 16;

/// What came lately.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Changes, each worth less the older it is.
    lately: f64,
    /// When that was so, on the process's own clock.
    at: Duration,
}

impl Pace {
    /// Returns how long `waiting` changes wait for company from `now` on, with so many runs in hand.
    pub(super) fn pause(&self, waiting: usize, in_hand: u64, now: Duration) -> Option<Duration> {
        let wait = (1..COMPANY).contains(&waiting) && in_hand >= SIBLINGS && self.lately_at(now) >= EXPECTED;
        wait.then_some(WAIT)
    }

    /// Takes note of changes that go on their way.
    pub(super) fn note(&mut self, changes: usize, now: Duration) {
        let changes = f64::from(u32::try_from(changes).unwrap_or(u32::MAX));
        self.lately = self.lately_at(now) + changes;
        self.at = now;
    }

    fn lately_at(&self, now: Duration) -> f64 {
        let age = now.saturating_sub(self.at);
        self.lately * (-age.as_secs_f64() / LATELY.as_secs_f64()).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_command_for_a_few_hosts_never_waits() {
        let mut pace = Pace::default();
        assert_eq!(pace.pause(1, 100, at(0)), None);
        for millis in [0, 1, 2, 9, 10, 11] {
            pace.note(1, at(millis));
            assert_eq!(pace.pause(1, 100, at(millis)), None);
        }
    }

    #[test]
    fn changes_that_come_fast_wait_for_each_other_until_there_are_enough() {
        let mut pace = Pace::default();
        for millis in 0..20 {
            pace.note(1, at(millis));
        }
        assert_eq!(pace.pause(1, SIBLINGS, at(20)), Some(WAIT));
        assert_eq!(
            pace.pause(1, SIBLINGS - 1, at(20)),
            None,
            "one command after the other"
        );
        assert_eq!(pace.pause(0, SIBLINGS, at(20)), None, "nobody waits for nothing");
        assert_eq!(pace.pause(COMPANY, SIBLINGS, at(20)), None);
        assert_eq!(pace.pause(1, SIBLINGS, at(500)), None, "that was long ago");
    }

    #[test]
    fn one_large_group_is_a_sign_of_more() {
        let mut pace = Pace::default();
        pace.note(1000, at(5));
        assert_eq!(pace.pause(1, SIBLINGS, at(10)), Some(WAIT));
    }
}
