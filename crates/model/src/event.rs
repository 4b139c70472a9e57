//! What happens to tasks and runs, as watchers are told.

use serde::{Deserialize, Serialize};

use crate::id::{RunKey, TaskId};
use crate::run::{Outcome, RunState};

/// The most notices that one message carries.
const PACKED: usize = 500;
/// A message takes no further notice once it is so long, in bytes.
const PACKED_BYTES: usize = 256 * 1024;

/// A notice on the queue's topic exchange; see [`pack`] for how it travels. It is small and carries no output: a
/// watcher reads the output itself, at its own pace, from `from` to `to`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Notice {
    /// A run changed its state.
    Run {
        /// The run.
        run: RunKey,
        /// The attempt that it is in now.
        attempt: u32,
        /// The state that it is in now.
        state: RunState,
        /// How it ended, where it did.
        ending: Option<Box<Ending>>,
    },
    /// A run's output log has grown.
    Output {
        /// The run.
        run: RunKey,
        /// The attempt that wrote it.
        attempt: u32,
        /// Where in the log the new frames begin.
        from: u64,
        /// Where they end.
        to: u64,
    },
    /// The last run of a task has become terminal.
    Done {
        /// The task.
        task: TaskId,
    },
}

/// How a run ended, as far as watchers are told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// The exit code, where the command exited.
    pub exit_code: Option<i32>,
    /// The signal's name without `SIG`, where one ended it.
    pub signal: Option<String>,
    /// What went wrong, for people.
    pub error: Option<String>,
    /// Bytes written to stdout.
    pub stdout_bytes: u64,
    /// Bytes written to stderr.
    pub stderr_bytes: u64,
    /// Whether output past the limit was not kept.
    pub truncated: bool,
}

impl From<&Outcome> for Ending {
    fn from(outcome: &Outcome) -> Self {
        Self {
            exit_code: outcome.exit_code,
            signal: outcome.signal.clone(),
            error: outcome.error.clone(),
            stdout_bytes: outcome.stdout_bytes,
            stderr_bytes: outcome.stderr_bytes,
            truncated: outcome.truncated,
        }
    }
}

impl Notice {
    /// Returns the task that the notice speaks of.
    #[must_use]
    pub fn task(&self) -> TaskId {
        match self {
            Self::Run { run, .. } | Self::Output { run, .. } => run.task,
            Self::Done { task } => *task,
        }
    }

    fn routing_key(&self) -> String {
        match self {
            Self::Run { run, state, .. } => format!("task.{}.{}.{state}", run.task, run.index),
            Self::Output { run, .. } => format!("task.{}.{}.output", run.task, run.index),
            Self::Done { task } => format!("task.{task}.all.done"),
        }
    }
}

/// Notices as a message carries them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// The routing key: `task.<id>.<index>.<what>` for one notice, `task.<id>.all.several` for more.
    pub key: String,
    /// A notice as a JSON object, or several of one task as an array, in their order.
    pub body: Vec<u8>,
}

/// Puts notices into messages: those of one task into one, as far as 500 of them and 256 KiB or so go. A broker's work
/// is counted in messages, whatever is in them.
///
/// # Errors
///
/// Where a notice cannot be written as JSON.
pub fn pack(notices: &mut [Notice]) -> Result<Vec<Packed>, serde_json::Error> {
    // The order within a task stays.
    notices.sort_by_key(Notice::task);
    let mut packed = Vec::new();
    for of_task in notices.chunk_by(|one, next| one.task() == next.task()) {
        let mut left = of_task.iter();
        while let Some(first) = left.next() {
            let mut body = b"[".to_vec();
            serde_json::to_writer(&mut body, first)?;
            let mut count = 1;
            while count < PACKED
                && body.len() < PACKED_BYTES
                && let Some(next) = left.next()
            {
                body.push(b',');
                serde_json::to_writer(&mut body, next)?;
                count += 1;
            }
            let key = if count == 1 {
                body.remove(0);
                first.routing_key()
            } else {
                body.push(b']');
                format!("task.{}.all.several", first.task())
            };
            packed.push(Packed { key, body });
        }
    }
    Ok(packed)
}

/// Adds the notices of a message to others.
///
/// # Errors
///
/// Where it is neither a notice nor a list of them; then none is added.
pub fn unpack(body: &[u8], notices: &mut Vec<Notice>) -> Result<(), serde_json::Error> {
    if body.first() == Some(&b'[') {
        notices.append(&mut serde_json::from_slice(body)?);
    } else {
        notices.push(serde_json::from_slice(body)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(task: u64, index: u32) -> Notice {
        Notice::Run {
            run: RunKey {
                task: TaskId(task),
                index,
            },
            attempt: 1,
            state: RunState::Started,
            ending: None,
        }
    }

    fn unpacked(packed: &[Packed]) -> Vec<Notice> {
        let mut notices = Vec::new();
        for one in packed {
            unpack(&one.body, &mut notices).expect("notices");
        }
        notices
    }

    fn keys(packed: &[Packed]) -> Vec<&str> {
        packed.iter().map(|one| one.key.as_str()).collect()
    }

    #[test]
    fn notices_of_a_task_share_a_message_in_their_order() {
        let done = Notice::Done { task: TaskId(7) };
        let packed = pack(&mut [started(9, 4), started(7, 2), started(7, 1), done.clone()]).expect("packed");
        assert_eq!(keys(&packed), ["task.7.all.several", "task.9.4.started"]);
        let all = [started(7, 2), started(7, 1), done, started(9, 4)];
        assert_eq!(unpacked(&packed), all);
    }

    #[test]
    fn a_notice_by_itself_is_an_object_under_a_key_of_its_own() {
        let packed = pack(&mut [started(7, 2)]).expect("packed");
        assert_eq!(keys(&packed), ["task.7.2.started"]);
        let text = r#"{"what":"run","run":{"task":7,"index":2},"attempt":1,"state":"started","ending":null}"#;
        assert_eq!(String::from_utf8_lossy(&packed[0].body), text);
        assert!(pack(&mut []).expect("packed").is_empty());
    }

    #[test]
    fn a_message_is_bounded_in_notices_and_bytes() {
        let many: Vec<Notice> = (0..1001).map(|index| started(7, index)).collect();
        let packed = pack(&mut many.clone()).expect("packed");
        let last = "task.7.1000.started";
        assert_eq!(keys(&packed), ["task.7.all.several", "task.7.all.several", last]);
        assert_eq!(unpacked(&packed), many);
        let long = Notice::Run {
            run: RunKey {
                task: TaskId(7),
                index: 1,
            },
            attempt: 1,
            state: RunState::Failed,
            ending: Some(Box::new(Ending {
                error: Some("x".repeat(100_000)),
                ..Ending::default()
            })),
        };
        let packed = pack(&mut vec![long; 4]).expect("packed");
        assert_eq!(packed.len(), 2, "the third makes the first one full");
        assert!(packed.iter().all(|one| one.body.len() < PACKED_BYTES + 101_000));
    }

    #[test]
    fn what_is_no_notice_adds_none() {
        let mut notices = vec![started(1, 1)];
        for bad in [
            "",
            "[",
            "{}",
            "[{}]",
            r#"[{"what":"done","task":1},{"what":"gone"}]"#,
            "[[]]",
        ] {
            assert!(unpack(bad.as_bytes(), &mut notices).is_err(), "{bad}");
        }
        assert_eq!(notices, [started(1, 1)]);
        unpack(b"[]", &mut notices).expect("no notices");
        assert_eq!(notices.len(), 1);
    }
}
