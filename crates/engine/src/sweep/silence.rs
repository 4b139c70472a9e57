//! How long others have been silent, as far as this process has seen.
//!
//! Clocks of other machines are not compared with ours: a lease that changes is a sign of life, whatever it says. And
//! only time counts in which this process looked: one that was stopped for a minute has not seen a minute's silence.

use std::collections::HashMap;
use std::time::Duration;

use muster_model::{ExecutorId, Timestamp};

/// What was seen of others.
#[derive(Default)]
pub(crate) struct Silence {
    seen: HashMap<ExecutorId, Seen>,
    /// The outages of the database that there had been by then: nobody can renew a lease while it is away.
    outages: u64,
}

struct Seen {
    lease: Timestamp,
    silent: Duration,
    looked_at: Duration,
}

impl Silence {
    /// Looks at another, whose lease stands at `lease`, at the moment `now` of this process's own clock; returns how
    /// long it has been silent. Of the time since the look before, at most `most` counts.
    pub(super) fn look(
        &mut self,
        other: &ExecutorId,
        lease: Timestamp,
        outages: u64,
        now: Duration,
        most: Duration,
    ) -> Duration {
        if self.outages != outages {
            self.seen.clear();
            self.outages = outages;
        }
        let seen = self.seen.entry(other.clone()).or_insert(Seen {
            lease,
            silent: Duration::ZERO,
            looked_at: now,
        });
        if seen.lease == lease {
            seen.silent += now.saturating_sub(seen.looked_at).min(most);
        } else {
            seen.silent = Duration::ZERO;
            seen.lease = lease;
        }
        seen.looked_at = now;
        seen.silent
    }

    /// Returns how long another has been silent at the last look.
    pub(crate) fn of(&self, other: &ExecutorId) -> Option<Duration> {
        self.seen.get(other).map(|seen| seen.silent)
    }

    /// Forgets those that `keep` does not name.
    pub(super) fn retain(&mut self, keep: impl Fn(&ExecutorId) -> bool) {
        self.seen.retain(|id, _| keep(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Duration = Duration::from_secs(4);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn silent(silence: &mut Silence, lease: i64, outages: u64, now: u64) -> u64 {
        let other = ExecutorId("other".into());
        silence
            .look(&other, Timestamp(lease), outages, at(now), MOST)
            .as_secs()
    }

    #[test]
    fn a_lease_that_changes_is_a_sign_of_life_whatever_it_says() {
        let mut silence = Silence::default();
        assert_eq!(silent(&mut silence, 500, 0, 100), 0);
        assert_eq!(silent(&mut silence, 500, 0, 102), 2);
        // Its clock was set back by far.
        assert_eq!(silent(&mut silence, 3, 0, 104), 0);
        assert_eq!(silent(&mut silence, 3, 0, 107), 3);
        assert_eq!(silent(&mut silence, 3, 0, 110), 6);
        assert_eq!(silence.of(&ExecutorId("other".into())), Some(at(6)));
    }

    #[test]
    fn who_did_not_look_has_seen_no_silence() {
        let mut silence = Silence::default();
        assert_eq!(silent(&mut silence, 500, 0, 100), 0);
        assert_eq!(silent(&mut silence, 500, 0, 1_000), 4);
    }

    #[test]
    fn after_an_outage_of_the_database_everybody_begins_anew() {
        let mut silence = Silence::default();
        assert_eq!(silent(&mut silence, 500, 0, 100), 0);
        assert_eq!(silent(&mut silence, 500, 0, 104), 4);
        assert_eq!(silent(&mut silence, 500, 1, 106), 0);
        assert_eq!(silent(&mut silence, 500, 1, 108), 2);
    }
}
