//! Why a command ends before its time, and how the exit code follows from it.

use muster_client::exit;
use muster_model::{Problem, TaskId};

use crate::render::Closed;

/// Why a command ends before its time.
#[derive(Debug)]
pub enum Stop {
    /// Something is wrong; told to the person.
    Problem(Problem),
    /// Whoever read standard output has gone; ends without a word.
    PipeClosed,
    /// Ctrl-C; the task, if there is one, goes on.
    Interrupted(Option<TaskId>),
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
            Self::Interrupted(None) => "muster: interrupted: nothing was started\n".to_owned(),
            Self::Interrupted(Some(id)) => format!(
                "muster: interrupted: task {id} goes on\n  hint: `muster follow {id}` follows it, \
                 `muster cancel {id}` ends it\n"
            ),
        }
    }
}
