//! What a task's options make of an attempt that ended, and when a task starts no more runs.

use bytes::Bytes;

use crate::id::Timestamp;
use crate::run::{Change, Outcome, RunState, Unreachable};
use crate::task::{Counts, Options};

/// Why a task starts no more runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Somebody cancelled it.
    Cancelled,
    /// Its time is over.
    Expired,
    /// More hosts have failed than it allows.
    TooManyFailures,
}

impl Stop {
    /// Returns the state that it gives to a run that has not started.
    #[must_use]
    pub fn state(self) -> RunState {
        match self {
            Self::Cancelled => RunState::Cancelled,
            Self::Expired => RunState::Expired,
            Self::TooManyFailures => RunState::Skipped,
        }
    }
}

/// Returns why a task of these options, with runs that stand so, starts no more, where that is so.
#[must_use]
pub fn stopped(options: &Options, counts: Counts, cancelled: bool, now: Timestamp) -> Option<Stop> {
    if cancelled {
        return Some(Stop::Cancelled);
    }
    if options.expires_at.is_some_and(|at| at <= now) {
        return Some(Stop::Expired);
    }
    let most = options.max_failures?;
    (counts.failures() > most.of(counts.total)).then_some(Stop::TooManyFailures)
}

/// Decides whether a run that did not succeed is tried again, and returns the change.
///
/// It is tried again while the task has retries left; and, where the task has an expiry, a host that may
/// come back is tried until then. A task that was cancelled tries nothing again.
#[must_use]
pub fn again_or_settle(
    options: &Options,
    attempt: u32,
    cancelled: bool,
    outcome: Outcome,
    output: Option<Bytes>,
) -> Change {
    let failed = !matches!(outcome.state, RunState::Succeeded | RunState::Cancelled);
    let in_retries = failed && outcome.state != RunState::Expired && attempt <= options.retries;
    let waits_for_host = outcome.state == RunState::Unreachable
        && options.expires_at.is_some()
        && outcome.reason.is_some_and(Unreachable::may_pass);
    if !cancelled && (in_retries || waits_for_host) {
        Change::Again { outcome }
    } else {
        Change::Settle { outcome, output }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_again(change: &Change) -> bool {
        matches!(change, Change::Again { .. })
    }

    #[test]
    fn a_failed_run_is_tried_again_while_retries_are_left() {
        let options = Options {
            retries: 2,
            ..Options::default()
        };
        let failed = || Outcome::plain(RunState::Failed, None);
        assert!(is_again(&again_or_settle(&options, 1, false, failed(), None)));
        assert!(is_again(&again_or_settle(&options, 2, false, failed(), None)));
        assert!(!is_again(&again_or_settle(&options, 3, false, failed(), None)));
        assert!(!is_again(&again_or_settle(
            &Options::default(),
            1,
            false,
            failed(),
            None
        )));
    }

    #[test]
    fn a_cancelled_task_tries_nothing_again() {
        let options = Options {
            retries: 9,
            ..Options::default()
        };
        let lost = Outcome::plain(RunState::Lost, None);
        assert!(!is_again(&again_or_settle(&options, 1, true, lost, None)));
    }

    #[test]
    fn success_and_cancel_are_never_tried_again() {
        let options = Options {
            retries: 9,
            expires_at: Some(Timestamp(1)),
            ..Options::default()
        };
        for state in [RunState::Succeeded, RunState::Cancelled, RunState::Expired] {
            assert!(
                !is_again(&again_or_settle(
                    &options,
                    1,
                    false,
                    Outcome::plain(state, None),
                    None
                )),
                "{state}"
            );
        }
    }

    #[test]
    fn a_host_that_may_come_back_is_tried_until_the_task_expires() {
        let options = Options {
            expires_at: Some(Timestamp(1)),
            ..Options::default()
        };
        let refused = Outcome::unreachable(Unreachable::Refused, String::new());
        let changed = Outcome::unreachable(Unreachable::HostKeyChanged, String::new());
        assert!(is_again(&again_or_settle(&options, 7, false, refused, None)));
        assert!(!is_again(&again_or_settle(&options, 7, false, changed, None)));
    }
}
