//! A run, a task on one host, and its state machine: which change is allowed in which state.
//!
//! ```text
//! queued -> started -> succeeded | failed | timed_out | cancelled | lost
//!    |         `-----> queued (the next attempt, where the task allows one)
//!    |-------> unreachable | expired | cancelled | skipped
//!    `-------> queued (the next attempt, where the task allows one)
//! ```

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::host::Endpoint;
use crate::id::{ExecutorId, RunKey, Timestamp};

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Waiting, or connecting to the host; nothing has been started there.
    Queued,
    /// The command may be running on the host.
    Started,
    /// It ran to its end, exited 0, and its output is kept.
    Succeeded,
    /// It ran to its end and exited with another code or by a signal, or the host refused to run it.
    Failed,
    /// It ran longer than the task allows and was killed.
    TimedOut,
    /// The host could not be reached or the login failed; nothing was started.
    Unreachable,
    /// Somebody cancelled it; if it was running, it was killed.
    Cancelled,
    /// The task expired before it could start.
    Expired,
    /// It started, and nobody can know how it ended.
    Lost,
    /// The task stopped (too many failures) before it could start.
    Skipped,
}

impl RunState {
    /// Every state, in the order of the counts.
    pub const ALL: [Self; 10] = [
        Self::Queued,
        Self::Started,
        Self::Succeeded,
        Self::Failed,
        Self::TimedOut,
        Self::Unreachable,
        Self::Cancelled,
        Self::Expired,
        Self::Lost,
        Self::Skipped,
    ];

    /// Returns the name used in JSON, in the database and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Started => "started",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Unreachable => "unreachable",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Lost => "lost",
            Self::Skipped => "skipped",
        }
    }

    /// Tells whether a run in this state never changes again.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        !matches!(self, Self::Queued | Self::Started)
    }

    /// Tells whether a run may settle from this state into `end`.
    #[must_use]
    pub fn may_settle_as(self, end: Self) -> bool {
        match self {
            Self::Queued => {
                matches!(
                    end,
                    Self::Unreachable | Self::Expired | Self::Cancelled | Self::Skipped
                )
            }
            Self::Started => matches!(
                end,
                Self::Succeeded | Self::Failed | Self::TimedOut | Self::Cancelled | Self::Lost
            ),
            _ => false,
        }
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that names no run state.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "'{0}' is not a run state: one of queued, started, succeeded, failed, timed_out, unreachable, \
     cancelled, expired, lost, skipped"
)]
pub struct InvalidRunState(String);

impl FromStr for RunState {
    type Err = InvalidRunState;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| InvalidRunState(text.chars().take(40).collect()))
    }
}

/// Why a host could not be reached. The text that goes with it is in the run's `error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Unreachable {
    /// Nothing listens on that address and port.
    Refused,
    /// No answer within the connect timeout.
    TimedOut,
    /// The name has no address.
    NameNotFound,
    /// The network has no way there.
    NoRoute,
    /// The host's key is neither pinned nor in `known_hosts`.
    HostKeyUnknown,
    /// The host's key differs from the pinned one or the one in `known_hosts`, or has: then it is in quarantine.
    HostKeyChanged,
    /// The host's key is marked revoked in `known_hosts`.
    HostKeyRevoked,
    /// The host takes none of the ways to log in that there are.
    NoMethod,
    /// The host did not take the password.
    WrongPassword,
    /// The host did not take any of the keys.
    KeyRefused,
    /// A key could not be read, or its passphrase is missing or wrong.
    KeyUnusable,
    /// The host has no room for one more session on the connection.
    TooManySessions,
    /// The jump host on the way could not be passed.
    Jump,
    /// The two sides have no algorithm in common, or what answered does not speak SSH.
    Protocol,
    /// The connection broke while it was being set up.
    Broken,
    /// The settings for this host cannot be used (a directive or a file that is wrong).
    Settings,
    /// A secret that was given with the task is gone, since the server was started anew.
    SecretGone,
    /// The credential does not exist, or cannot be opened.
    Credential,
    /// This build or this machine cannot reach hosts of that kind.
    Unsupported,
}

impl Unreachable {
    /// Tells whether trying again later may go better without anybody's doing.
    #[must_use]
    pub fn may_pass(self) -> bool {
        matches!(
            self,
            Self::Refused
                | Self::TimedOut
                | Self::NoRoute
                | Self::NameNotFound
                | Self::TooManySessions
                | Self::Broken
                | Self::Jump
        )
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The terminal state.
    pub state: RunState,
    /// The exit code, where the command exited.
    pub exit_code: Option<i32>,
    /// The signal's name without `SIG`, where one ended it.
    pub signal: Option<String>,
    /// What went wrong, for people; None where the exit code says it all.
    pub error: Option<String>,
    /// Why the host could not be reached, where that is what happened.
    pub reason: Option<Unreachable>,
    /// Bytes that the command wrote to stdout, kept or not.
    pub stdout_bytes: u64,
    /// Bytes that the command wrote to stderr, kept or not.
    pub stderr_bytes: u64,
    /// Whether output past the task's limit was not kept.
    pub truncated: bool,
}

impl Outcome {
    /// Returns an outcome without output.
    #[must_use]
    pub fn plain(state: RunState, error: Option<String>) -> Self {
        Self {
            state,
            exit_code: None,
            signal: None,
            error,
            reason: None,
            stdout_bytes: 0,
            stderr_bytes: 0,
            truncated: false,
        }
    }

    /// Returns the outcome of a host that could not be reached.
    #[must_use]
    pub fn unreachable(reason: Unreachable, error: String) -> Self {
        Self {
            reason: Some(reason),
            ..Self::plain(RunState::Unreachable, Some(error))
        }
    }
}

/// What is to happen to a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// queued -> started: from now on the command may be running.
    Start {
        /// Who runs it.
        executor: ExecutorId,
    },
    /// queued or started -> queued with the next attempt; the outcome goes into the run's history.
    Again {
        /// How the attempt ended.
        outcome: Outcome,
    },
    /// queued -> a terminal state: it is not to start any more. Refused where it has started meanwhile: then
    /// its executor ends the command first, and says how that went.
    Withdraw {
        /// How the run ended.
        outcome: Outcome,
    },
    /// queued or started -> a terminal state, said by whoever carries the run out.
    Settle {
        /// How the run ended.
        outcome: Outcome,
        /// The output log where it is small enough to be kept with the run (see
        /// [`crate::limits::INLINE_OUTPUT_BYTES`]); None leaves what the output port holds.
        output: Option<Bytes>,
    },
}

/// A change of one run, bound to the attempt that it was decided for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The run.
    pub run: RunKey,
    /// The attempt that the change speaks of, from 1; in any other attempt it is refused.
    pub attempt: u32,
    /// When it happened.
    pub at: Timestamp,
    /// What is to happen.
    pub change: Change,
}

/// Why a change was refused. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("refused: the run is {state} in attempt {attempt}")]
pub struct Refused {
    /// The state in which the run is.
    pub state: RunState,
    /// The attempt in which the run is.
    pub attempt: u32,
}

/// The answer to one change of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It was applied.
    Yes {
        /// The state after it.
        state: RunState,
        /// The attempt after it.
        attempt: u32,
        /// It was the last open run: the task is done.
        task_done: bool,
    },
    /// It was refused; nothing was changed.
    No(Refused),
    /// There is no such run.
    NoSuchRun,
}

/// Decides a change: returns the state and the attempt after it.
///
/// This is the whole state machine; every store applies exactly this rule, in its database.
///
/// # Errors
///
/// [`Refused`] where the run is in another attempt, already terminal, or the edge does not exist.
pub fn decide(state: RunState, attempt: u32, transition: &Transition) -> Result<(RunState, u32), Refused> {
    let refused = Err(Refused { state, attempt });
    if attempt != transition.attempt || state.is_terminal() {
        return refused;
    }
    match &transition.change {
        Change::Start { .. } if state == RunState::Queued => Ok((RunState::Started, attempt)),
        Change::Again { outcome } if state.may_settle_as(outcome.state) => {
            Ok((RunState::Queued, attempt.saturating_add(1)))
        }
        Change::Withdraw { outcome } if state == RunState::Queued && state.may_settle_as(outcome.state) => {
            Ok((outcome.state, attempt))
        }
        Change::Settle { outcome, .. } if state.may_settle_as(outcome.state) => Ok((outcome.state, attempt)),
        _ => refused,
    }
}

/// An attempt that was not the last one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PastAttempt {
    /// Its number, from 1.
    pub attempt: u32,
    /// How it ended.
    pub state: RunState,
    /// The exit code, where the command exited.
    pub exit_code: Option<i32>,
    /// What went wrong, for people.
    pub error: Option<String>,
    /// When it ended.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub finished_at: Timestamp,
}

/// A run as the store knows it, without its output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRecord {
    /// Which run.
    pub key: RunKey,
    /// The host's name, as it was asked for.
    pub host: String,
    /// How the host is reached, frozen at submit.
    pub endpoint: Endpoint,
    /// Where it stands.
    pub state: RunState,
    /// The attempt, from 1.
    pub attempt: u32,
    /// The exit code, where the command exited.
    pub exit_code: Option<i32>,
    /// The signal's name without `SIG`, where one ended it.
    pub signal: Option<String>,
    /// What went wrong, for people.
    pub error: Option<String>,
    /// Why the host could not be reached.
    pub reason: Option<Unreachable>,
    /// Bytes written to stdout, kept or not.
    pub stdout_bytes: u64,
    /// Bytes written to stderr, kept or not.
    pub stderr_bytes: u64,
    /// Whether output past the limit was not kept.
    pub truncated: bool,
    /// When the task was submitted.
    pub queued_at: Timestamp,
    /// When the command was started.
    pub started_at: Option<Timestamp>,
    /// When the run became terminal.
    pub finished_at: Option<Timestamp>,
    /// Who runs or ran it.
    pub executor: Option<ExecutorId>,
    /// Earlier attempts.
    pub history: Vec<PastAttempt>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::TaskId;

    fn transition(attempt: u32, change: Change) -> Transition {
        Transition {
            run: RunKey {
                task: TaskId(1),
                index: 0,
            },
            attempt,
            at: Timestamp(0),
            change,
        }
    }

    /// Every pair of state and change: the allowed ones are listed, all others must be refused.
    #[test]
    fn every_edge_of_the_machine_is_as_the_diagram_has_it() {
        use RunState as S;
        let allowed = [
            (S::Queued, S::Unreachable),
            (S::Queued, S::Expired),
            (S::Queued, S::Cancelled),
            (S::Queued, S::Skipped),
            (S::Started, S::Succeeded),
            (S::Started, S::Failed),
            (S::Started, S::TimedOut),
            (S::Started, S::Cancelled),
            (S::Started, S::Lost),
        ];
        for state in S::ALL {
            let start = transition(
                1,
                Change::Start {
                    executor: ExecutorId("e".into()),
                },
            );
            assert_eq!(
                decide(state, 1, &start).is_ok(),
                state == S::Queued,
                "start of {state}"
            );
            for end in S::ALL {
                let settle = transition(
                    1,
                    Change::Settle {
                        outcome: Outcome::plain(end, None),
                        output: None,
                    },
                );
                let again = transition(
                    1,
                    Change::Again {
                        outcome: Outcome::plain(end, None),
                    },
                );
                let withdraw = transition(
                    1,
                    Change::Withdraw {
                        outcome: Outcome::plain(end, None),
                    },
                );
                let expected = allowed.contains(&(state, end));
                assert_eq!(
                    decide(state, 1, &withdraw) == Ok((end, 1)),
                    expected && state == S::Queued,
                    "{state} withdrawn as {end}"
                );
                assert_eq!(
                    decide(state, 1, &settle) == Ok((end, 1)),
                    expected,
                    "{state} to {end}"
                );
                assert_eq!(
                    decide(state, 1, &again) == Ok((S::Queued, 2)),
                    expected,
                    "{state}, {end} again"
                );
                assert!(
                    decide(state, 2, &settle).is_err(),
                    "{state} to {end} of an earlier attempt"
                );
            }
        }
    }

    #[test]
    fn states_survive_their_names() {
        for state in RunState::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
        }
        assert!("done".parse::<RunState>().is_err());
    }
}
