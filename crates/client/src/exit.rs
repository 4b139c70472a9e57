//! The exit codes of the command line, a contract with scripts.

use muster_model::{Counts, Problem};

/// Every run succeeded.
pub const SUCCESS: u8 = 0;
/// At least one run did not succeed.
pub const NOT_ALL_SUCCEEDED: u8 = 1;
/// The request was wrong; nothing was started.
pub const WRONG_REQUEST: u8 = 2;
/// The server could not be reached or refused.
pub const SERVER: u8 = 3;
/// It is not allowed.
pub const NOT_ALLOWED: u8 = 4;
/// Interrupted; the task goes on.
pub const INTERRUPTED: u8 = 130;
/// Whoever read standard output has gone, as after `| head`: 128 and the number of SIGPIPE.
pub const PIPE_CLOSED: u8 = 141;

/// Ended by SIGTERM or SIGHUP with a server inside the process, whose tasks were cancelled: 128 and the number of
/// SIGTERM.
pub const TERMINATED: u8 = 143;

/// Returns the exit code of a command that ends with a problem.
#[must_use]
pub fn of_problem(problem: &Problem) -> u8 {
    problem.code.exit_code()
}

/// Returns the exit code that a task's counts stand for: runs that have not ended yet count for nothing.
#[must_use]
pub fn of_counts(counts: &Counts) -> u8 {
    if counts.failures() + counts.cancelled + counts.skipped == 0 {
        SUCCESS
    } else {
        NOT_ALL_SUCCEEDED
    }
}

#[cfg(test)]
mod tests {
    use muster_model::RunState;
    use muster_model::problem::Code;

    use super::*;

    #[test]
    fn only_success_and_what_is_to_come_exit_with_zero() {
        for state in RunState::ALL {
            let mut counts = Counts {
                total: 1,
                ..Counts::default()
            };
            *counts.of_mut(state) += 1;
            let good = matches!(state, RunState::Succeeded | RunState::Queued | RunState::Started);
            assert_eq!(of_counts(&counts) == SUCCESS, good, "{state}");
        }
    }

    #[test]
    fn problems_exit_with_two_three_or_four() {
        for code in Code::ALL {
            let exit = of_problem(&Problem::new(code, "x"));
            assert!([WRONG_REQUEST, SERVER, NOT_ALLOWED].contains(&exit), "{code:?}");
        }
    }
}
