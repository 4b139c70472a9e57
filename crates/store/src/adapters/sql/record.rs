//! Rows as records of the model, and back. What cannot be read is `Corrupt` and names its row.

use muster_model::compact;
use muster_model::host::HostRecord;
use muster_model::inventory::{CredentialName, GroupName};
use muster_model::run::PastAttempt;
use muster_model::{
    Counts, Endpoint, ErrorKind, ExecutorId, HostName, Reach, RunKey, RunRecord, RunState, TaskId,
    TaskRecord, Timestamp, Unreachable,
};
use serde::de::IntoDeserializer;
use serde::de::value::{Error as NameError, StrDeserializer};
use serde::{Deserialize, Serialize};

use super::entity::{attempt, facts, host, run, task};
use super::inventory::lines::{BETWEEN, NOTHING};
use crate::error::Error;
use crate::types::{HostFacts, KnownFacts};

/// Returns the error of a row that cannot be read.
fn corrupt(
    what: impl std::fmt::Display,
    cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    Error::new(ErrorKind::Corrupt, format!("read {what}")).caused_by(cause)
}

/// Returns the number of a task as the database has it; None for one that no task can have.
pub(crate) fn row_id(id: TaskId) -> Option<i64> {
    i64::try_from(id.0).ok().filter(|id| *id > 0)
}

/// Returns bytes counted as the database has them; past 63 bits they stay at the most.
pub(crate) fn bytes_counted(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// What is wrong with an id that [`is_executor`] refuses.
pub(crate) const EXECUTOR: &str = "an executor's id has 1 to 255 bytes, none of them zero";

/// Tells whether the tables have room for an executor's id.
pub(crate) fn is_executor(executor: &ExecutorId) -> bool {
    let id = &executor.0;
    !id.is_empty() && id.len() <= 255 && !id.contains('\0')
}

/// Returns a text that every engine keeps: PostgreSQL has none with a zero byte.
pub(crate) fn text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Returns at most `most` characters of a text that every engine keeps.
pub(crate) fn short_text(text: &str, most: usize) -> String {
    self::text(text).chars().take(most).collect()
}

fn unsigned(what: &str, number: i64) -> Result<u32, Error> {
    u32::try_from(number).map_err(|error| corrupt(what, error))
}

/// Returns the name of a plain variant, as JSON has it.
pub(crate) fn name_of<T: Serialize>(variant: T) -> Result<String, Error> {
    match serde_json::to_value(variant) {
        Ok(serde_json::Value::String(name)) => Ok(name),
        _ => Err(Error::new(ErrorKind::Internal, "name a variant")),
    }
}

fn named<'a, T: Deserialize<'a>>(what: &str, name: &'a str) -> Result<T, Error> {
    let name: StrDeserializer<'a, NameError> = name.into_deserializer();
    T::deserialize(name).map_err(|error| corrupt(what, error))
}

/// Returns a structure as JSON text.
pub(crate) fn to_json<T: Serialize>(what: &str, value: &T) -> Result<String, Error> {
    serde_json::to_string(value)
        .map_err(|error| Error::new(ErrorKind::Internal, format!("write {what}")).caused_by(error))
}

fn from_json<'a, T: Deserialize<'a>>(what: &str, text: &'a str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|error| corrupt(what, error))
}

/// Returns a task's row as its record.
pub(crate) fn task(row: task::Model) -> Result<TaskRecord, Error> {
    let what = format!("task {}", row.id);
    let count = |number| unsigned(&what, number);
    Ok(TaskRecord {
        id: task_id(row.id)?,
        kind: from_json(&what, &row.spec)?,
        options: from_json(&what, &row.options)?,
        owner: row.owner,
        retry_of: row.retry_of.map(task_id).transpose()?,
        created_at: Timestamp(row.created_at),
        finished_at: row.finished_at.map(Timestamp),
        cancelled_at: row.cancelled_at.map(Timestamp),
        outputs_removed_at: row.outputs_removed_at.map(Timestamp),
        counts: Counts {
            total: count(row.runs_total)?,
            queued: count(row.runs_queued)?,
            started: count(row.runs_started)?,
            succeeded: count(row.runs_succeeded)?,
            failed: count(row.runs_failed)?,
            timed_out: count(row.runs_timed_out)?,
            unreachable: count(row.runs_unreachable)?,
            cancelled: count(row.runs_cancelled)?,
            expired: count(row.runs_expired)?,
            lost: count(row.runs_lost)?,
            skipped: count(row.runs_skipped)?,
        },
    })
}

/// Returns a row's number as a task's.
pub(crate) fn task_id(id: i64) -> Result<TaskId, Error> {
    u64::try_from(id)
        .map(TaskId)
        .map_err(|error| corrupt(format_args!("task {id}"), error))
}

/// Returns the key of a run's row.
pub(crate) fn run_key(task: i64, idx: i64) -> Result<RunKey, Error> {
    Ok(RunKey {
        task: task_id(task)?,
        index: unsigned("the index of a run", idx)?,
    })
}

/// Returns the state that a text names.
pub(crate) fn run_state(text: &str) -> Result<RunState, Error> {
    text.parse().map_err(|error| corrupt("the state of a run", error))
}

/// Returns an attempt's number.
pub(crate) fn attempt_number(number: i64) -> Result<u32, Error> {
    unsigned("the attempt of a run", number)
}

/// Returns a run's row as its record; `history` are the rows of its earlier attempts in order.
pub(crate) fn run(row: run::Model, queued_at: i64, history: Vec<attempt::Model>) -> Result<RunRecord, Error> {
    let what = format!("run {}.{}", row.task_id, row.idx);
    let port = row
        .port
        .map(u16::try_from)
        .transpose()
        .map_err(|error| corrupt(&what, error))?;
    Ok(RunRecord {
        key: run_key(row.task_id, row.idx)?,
        endpoint: Endpoint {
            reach: named(&what, &row.reach)?,
            host: row.target.unwrap_or_else(|| row.host.clone()),
            address: row.address,
            user: row.login,
            port,
            credential: credential(&what, row.credential)?,
        },
        host: row.host,
        state: run_state(&row.state)?,
        attempt: attempt_number(row.attempt)?,
        exit_code: exit_code(&what, row.exit_code)?,
        signal: row.exit_signal,
        error: row.error,
        reason: row
            .reason
            .as_deref()
            .map(|reason| named::<Unreachable>(&what, reason))
            .transpose()?,
        stdout_bytes: u64::try_from(row.stdout_bytes).map_err(|error| corrupt(&what, error))?,
        stderr_bytes: u64::try_from(row.stderr_bytes).map_err(|error| corrupt(&what, error))?,
        truncated: row.truncated,
        queued_at: Timestamp(queued_at),
        started_at: row.started_at.map(Timestamp),
        finished_at: row.finished_at.map(Timestamp),
        executor: row.executor.map(ExecutorId),
        history: history.into_iter().map(past).collect::<Result<_, _>>()?,
    })
}

fn past(row: attempt::Model) -> Result<PastAttempt, Error> {
    let what = format!("attempt {} of run {}.{}", row.attempt, row.task_id, row.idx);
    Ok(PastAttempt {
        attempt: attempt_number(row.attempt)?,
        state: run_state(&row.state)?,
        exit_code: exit_code(&what, row.exit_code)?,
        error: row.error,
        finished_at: Timestamp(row.finished_at),
    })
}

fn exit_code(what: &str, code: Option<i64>) -> Result<Option<i32>, Error> {
    code.map(i32::try_from)
        .transpose()
        .map_err(|error| corrupt(what, error))
}

/// Returns a host's row as its record.
pub(crate) fn host(row: host::Model) -> Result<HostRecord, Error> {
    let what = format!("host {}", row.name);
    Ok(HostRecord {
        name: HostName::try_from(row.name).map_err(|error| corrupt(&what, error))?,
        address: row.address,
        user: row.login,
        port: row
            .port
            .map(u16::try_from)
            .transpose()
            .map_err(|error| corrupt(&what, error))?,
        reach: row
            .reach
            .as_deref()
            .map(|reach| named::<Reach>(&what, reach))
            .transpose()?,
        labels: from_json(&what, &row.labels)?,
        credential: credential(&what, row.credential)?,
    })
}

fn credential(what: &str, name: Option<String>) -> Result<Option<CredentialName>, Error> {
    name.map(CredentialName::try_from)
        .transpose()
        .map_err(|error| corrupt(what, error))
}

/// Returns a row of facts as its record.
pub(crate) fn facts(row: facts::Model) -> Result<HostFacts, Error> {
    let what = format!("the facts of host {}", row.host);
    Ok(HostFacts {
        facts: from_json(&what, &row.facts)?,
        gathered_at: Timestamp(row.gathered_at),
        host: host_name(row.host)?,
    })
}

/// Cuts a line into its fields.
fn fields<'a, const COUNT: usize>(what: &str, line: &'a str) -> Result<[&'a str; COUNT], Error> {
    let mut fields = [""; COUNT];
    let mut found = line.splitn(COUNT, BETWEEN);
    for field in &mut fields {
        *field = found
            .next()
            .ok_or_else(|| corrupt(what, "a row has too few fields"))?;
    }
    Ok(fields)
}

fn integer(what: impl std::fmt::Display, text: &str) -> Result<i64, Error> {
    text.parse().map_err(|error| corrupt(what, error))
}

/// Returns a line of hosts as a host.
pub(crate) fn host_line(line: &str) -> Result<compact::Host, Error> {
    let [name, address, user, port, reach, credential, labels] = fields("a host", line)?;
    let broken =
        |cause: Box<dyn std::error::Error + Send + Sync>| corrupt(format_args!("host {name}"), cause);
    let some = |text| (text != NOTHING).then_some(text);
    let port = port.parse().map_err(|error| broken(Box::new(error)))?;
    let parts = compact::Parts {
        name,
        address: some(address),
        user: some(user),
        port: (port != NO_PORT).then_some(port),
        reach: match some(reach) {
            Some(reach) => Some(named(&format!("host {name}"), reach)?),
            None => None,
        },
        credential: some(credential),
        labels: serde_json::from_str(labels).map_err(|error| broken(Box::new(error)))?,
    };
    compact::Host::new(&parts).map_err(|error| broken(Box::new(error)))
}

/// What a line has where a host has no port.
const NO_PORT: u16 = 0;

/// Returns a line of hosts as a record.
pub(crate) fn whole_host_line(line: &str) -> Result<HostRecord, Error> {
    let host = host_line(line)?;
    host.record().map_err(|error| corrupt("a host", error))
}

/// Returns a line of facts as facts.
pub(crate) fn facts_line(line: &str) -> Result<KnownFacts, Error> {
    let [host, gathered_at, facts] = fields("the facts of a host", line)?;
    let what = format_args!("the facts of host {host}");
    Ok(KnownFacts {
        host: host_name(host.to_owned())?,
        facts: serde_json::from_str(facts).map_err(|error| corrupt(what, error))?,
        gathered_at: Timestamp(integer(what, gathered_at)?),
    })
}

/// Returns a line of members as the number of a group and a host in it.
pub(crate) fn member_line(line: &str) -> Result<(i64, HostName), Error> {
    let [group, host] = fields("a host of a group", line)?;
    Ok((
        integer("the number of a group", group)?,
        host_name(host.to_owned())?,
    ))
}

/// Returns a text of the database as a host's name.
pub(crate) fn host_name(text: String) -> Result<HostName, Error> {
    HostName::try_from(text).map_err(|error| corrupt("the name of a host", error))
}

/// Returns a text of the database as a group's name.
pub(crate) fn group_name(text: String) -> Result<GroupName, Error> {
    GroupName::try_from(text).map_err(|error| corrupt("the name of a group", error))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use muster_model::quantity::Amount;
    use muster_model::task::Priority;
    use muster_model::{Kind, Options};

    use super::*;

    /// What stands in databases of release 0.1. Never edit it: it must be read for ever.
    const SPEC: &str = r#"{"kind":"script","name":"a.sh","args":["x","y z"]}"#;
    const OPTIONS: &str = r#"{"timeout":{"secs":30,"nanos":5000000},"connect_timeout":{"secs":10,"nanos":0},"concurrency":5,"batch":"10%","max_failures":"3","retries":2,"expires_at":"2026-11-21T10:00:00.000000Z","priority":"high","user":"root","sudo":"admin","sudo_password":true,"login_secret":false,"env":[["A","1"]],"cwd":"/tmp","max_output":1024,"kill_grace":{"secs":5,"nanos":0},"accept_new":true,"ssh_config":"/etc/c","identities":["/k"],"agent_socket":"/s"}"#;

    #[test]
    fn what_an_earlier_release_stored_is_read() {
        let kind: Kind = from_json("a task", SPEC).unwrap();
        assert_eq!(
            kind,
            Kind::Script {
                name: "a.sh".into(),
                args: vec!["x".into(), "y z".into()]
            }
        );
        let options: Options = from_json("a task", OPTIONS).unwrap();
        assert_eq!(options.timeout, Some(Duration::from_millis(30_005)));
        assert_eq!(options.batch, Some(Amount::Percent(10)));
        assert_eq!(options.priority, Priority::High);
        assert_eq!(options.env, [("A".to_owned(), "1".to_owned())]);
    }

    #[test]
    fn every_name_in_the_database_is_read_back() {
        for reach in [Reach::Local, Reach::Ssh, Reach::Agent] {
            assert_eq!(named::<Reach>("a run", &name_of(reach).unwrap()).unwrap(), reach);
        }
        assert_eq!(name_of(Unreachable::HostKeyChanged).unwrap(), "host_key_changed");
        let strange = named::<Unreachable>("run 1.2", "eaten_by_a_bear").unwrap_err();
        assert_eq!(strange.kind, ErrorKind::Corrupt);
        assert_eq!(strange.to_string(), "store: read run 1.2: corrupt");
    }

    #[test]
    fn numbers_past_the_edge_stay_at_the_edge() {
        assert_eq!(bytes_counted(u64::MAX), i64::MAX);
        assert_eq!(row_id(TaskId(u64::MAX)), None);
        assert_eq!(row_id(TaskId(0)), None);
        assert_eq!(row_id(TaskId(1 << 40)), Some(1 << 40));
    }
}
