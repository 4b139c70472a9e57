//! Why a command ends before its time, and how the exit code follows from it.

use muster_client::exit;
use muster_model::{Problem, TaskId};

use crate::render::Closed;

/// What Ctrl-C leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Nothing: no task was started.
    Nothing,
    /// A submit whose answer was not waited for.
    Unknown,
    /// A task, which goes on.
    Task(TaskId),
}

/// Why a command ends before its time.
#[derive(Debug)]
pub enum Stop {
    /// Something is wrong; told to the person.
    Problem(Problem),
    /// Whoever read standard output has gone; ends without a word.
    PipeClosed,
    /// Ctrl-C.
    Interrupted(Left),
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<Closed> for Stop {
    fn from(closed: Closed) -> Self {
        match closed {
            Closed::Gone => Self::PipeClosed,
            Closed::Broken(error) => Self::Problem(unwritable(&error)),
        }
    }
}

impl From<serde_json::Error> for Stop {
    fn from(error: serde_json::Error) -> Self {
        Self::Problem(Problem::new(
            muster_model::problem::Code::Internal,
            format!("JSON cannot be written: {error}"),
        ))
    }
}

/// Returns the problem of an output that cannot be written.
pub fn unwritable(error: &std::io::Error) -> Problem {
    Problem::new(
        muster_model::problem::Code::Unavailable,
        format!("the output cannot be written: {error}"),
    )
}

impl Stop {
    /// Returns the exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Problem(problem) => exit::of_problem(problem),
            Self::PipeClosed => exit::PIPE_CLOSED,
            Self::Interrupted(_) => exit::INTERRUPTED,
        }
    }

    /// Returns what is told on standard error.
    #[must_use]
    pub fn told(&self) -> String {
        match self {
            Self::Problem(problem) => crate::render::words::problem(problem),
            Self::PipeClosed => String::new(),
            Self::Interrupted(Left::Nothing) => "muster: interrupted: nothing was started\n".to_owned(),
            Self::Interrupted(Left::Unknown) => {
                "muster: interrupted before the server had answered: the task \
                                                 may exist\n  hint: `muster tasks` lists the latest\n"
                    .to_owned()
            }
            Self::Interrupted(Left::Task(id)) => format!(
                "muster: interrupted: task {id} goes on\n  hint: `muster follow {id}` follows it, \
                 `muster cancel {id}` ends it\n"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_interrupts_learns_what_goes_on() {
        let stop = Stop::Interrupted(Left::Task(TaskId(45334)));
        assert_eq!(stop.exit_code(), 130);
        let told = stop.told();
        for part in ["task 45334 goes on", "muster follow 45334", "muster cancel 45334"] {
            assert!(told.contains(part), "{told}");
        }
        assert!(
            Stop::Interrupted(Left::Nothing)
                .told()
                .contains("nothing was started")
        );
        assert!(Stop::Interrupted(Left::Unknown).told().contains("may exist"));
    }

    #[test]
    fn a_reader_that_has_gone_is_told_nothing() {
        assert_eq!(Stop::PipeClosed.told(), "");
        assert_eq!(Stop::PipeClosed.exit_code(), 141);
    }
}
