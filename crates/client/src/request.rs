//! How a request is written: its address, its query, its name.

use std::fmt::Write as _;

use muster_model::problem::Code;
use muster_model::{Problem, RunState, TaskId, Timestamp};

/// Which tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TasksQuery {
    /// Only tasks that stand there, or of which a run does: `running`, `done`, or the name of a run's state.
    pub state: Option<String>,
    /// Only tasks submitted at or after this time.
    pub since: Option<Timestamp>,
    /// Only tasks of this user.
    pub user: Option<String>,
    /// Only tasks whose command contains this text.
    pub text: Option<String>,
    /// Only tasks with a smaller number.
    pub before: Option<TaskId>,
    /// At most so many.
    pub limit: Option<u32>,
}

impl TasksQuery {
    pub(crate) fn query(&self) -> String {
        let mut query = Query::default();
        query.add("state", self.state.as_deref());
        query.add("since", self.since);
        query.add("user", self.user.as_deref());
        query.add("text", self.text.as_deref());
        query.add("before", self.before);
        query.add("limit", self.limit);
        query.0
    }
}

/// Which runs of a task, and how much of their output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunsQuery {
    /// From this place on.
    pub from: u32,
    /// At most so many; None: as many as the server likes.
    pub limit: Option<u32>,
    /// Only these states; empty: all.
    pub states: Vec<RunState>,
    /// Output longer than this, both streams together, is left out.
    pub output_limit: Option<u64>,
}

impl RunsQuery {
    pub(crate) fn query(&self) -> String {
        let mut query = Query::default();
        query.add("from", (self.from > 0).then_some(self.from));
        query.add("limit", self.limit);
        if !self.states.is_empty() {
            let names: Vec<_> = self.states.iter().map(|state| state.as_str()).collect();
            query.add("state", Some(names.join(",")));
        }
        query.add("output_limit", self.output_limit);
        query.0
    }
}

/// A query string under construction: empty, or beginning with `?`.
#[derive(Default)]
pub(crate) struct Query(pub(crate) String);

impl Query {
    pub(crate) fn add(&mut self, name: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.0.push(if self.0.is_empty() { '?' } else { '&' });
            self.0.push_str(name);
            self.0.push('=');
            self.0.push_str(&encode(&value.to_string()));
        }
    }
}

/// Encodes text for a query or one segment of a path: everything but unreserved characters.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// Makes up a name for a request: 32 random hexadecimal digits.
///
/// # Errors
///
/// `internal` where the machine gives no random bytes.
pub fn request_id() -> Result<String, Problem> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        Problem::new(
            Code::Internal,
            format!("this machine gives no random bytes: {error}"),
        )
    })?;
    let mut name = String::with_capacity(32);
    for byte in bytes {
        let _ = write!(name, "{byte:02x}");
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_encoded_and_leave_out_what_is_not_asked() {
        assert_eq!(TasksQuery::default().query(), "");
        let query = TasksQuery {
            state: Some("running".into()),
            text: Some("df -h & ü".into()),
            limit: Some(5),
            ..TasksQuery::default()
        };
        assert_eq!(
            query.query(),
            "?state=running&text=df%20-h%20%26%20%C3%BC&limit=5"
        );
        let query = RunsQuery {
            from: 7,
            states: vec![RunState::Failed, RunState::Lost],
            output_limit: Some(0),
            ..RunsQuery::default()
        };
        assert_eq!(query.query(), "?from=7&state=failed%2Clost&output_limit=0");
    }

    #[test]
    fn request_ids_are_of_the_form_that_the_api_takes_and_differ() {
        let (one, two) = (request_id().expect("random"), request_id().expect("random"));
        assert_eq!(one.len(), 32);
        assert!(one.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_ne!(one, two);
    }
}
