//! From the rooms' errors to what a person is told.

use muster_model::problem::Code;
use muster_model::{ErrorKind, Problem, TaskId, Timestamp};

/// How a problem begins that came of a database which is away.
const NO_ANSWER: &str = "the database does not answer";

/// Returns the problem of a database that is known to be away.
pub(crate) fn away() -> Problem {
    Problem::new(Code::Unavailable, format!("{NO_ANSWER} at present"))
        .hint("try again when it is back; `muster doctor` says what is wrong with it")
}

/// Tells whether a problem came of a database that is away.
pub(crate) fn is_of_database(problem: &Problem) -> bool {
    problem.detail.starts_with(NO_ANSWER)
}

/// Names the database, in a problem that came of its being away.
pub(crate) fn naming(database: &str, mut problem: Problem) -> Problem {
    if let Some(rest) = problem.detail.strip_prefix(NO_ANSWER) {
        problem.detail = format!("the database {database} does not answer{rest}");
    }
    problem
}

/// Returns the problem of a task that is not there.
pub(crate) fn no_such_task(id: TaskId) -> Problem {
    Problem::new(Code::UnknownTask, format!("there is no task {id}")).hint(
        "`muster tasks` lists the tasks that there are; finished ones are kept for as long as `keep_tasks` in \
         `muster config` says",
    )
}

/// Returns the problem of output that is not kept any more.
pub(crate) fn output_removed(id: TaskId, at: Timestamp) -> Problem {
    Problem::new(
        Code::OutputRemoved,
        format!("the output of task {id} was removed at {at}"),
    )
    .hint("output is kept for as long, and as much of it, as `keep_output` and `keep_output_size` in `muster config` say")
}

/// Turns a store's error into a problem. The chain of causes is written out once, here.
pub(crate) fn of_store(error: &muster_store::Error) -> Problem {
    let detail = chain(error);
    match error.kind {
        ErrorKind::AlreadyExists => Problem::new(Code::AlreadyExists, detail),
        ErrorKind::NotFound => Problem::new(Code::NotFound, detail),
        ErrorKind::Conflict => Problem::new(Code::Conflict, detail),
        ErrorKind::Invalid => Problem::new(Code::InvalidRequest, detail),
        ErrorKind::TooLarge => Problem::new(Code::TooLarge, detail),
        ErrorKind::Corrupt | ErrorKind::Denied => Problem::new(Code::InvalidDatabase, detail)
            .hint("`muster doctor` says what is wrong with the database"),
        ErrorKind::Cancelled => Problem::new(Code::Draining, "the server is stopping")
            .hint("run the command again: a new server is started for it"),
        ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::OutcomeUnknown => {
            Problem::new(Code::Unavailable, format!("{NO_ANSWER}: {detail}"))
                .hint("try again; `muster doctor` says what is wrong with the database")
        }
        ErrorKind::Unsupported | ErrorKind::Internal => Problem::new(Code::Internal, detail),
    }
}

/// Turns a queue's error into a problem.
pub(crate) fn of_queue(error: &muster_queue::Error) -> Problem {
    Problem::new(Code::Unavailable, chain(error)).hint("`muster doctor` says what is wrong with the queue")
}

/// Writes an error with its causes on one line. Errors of libraries often end with the words of their cause: once will do.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}
