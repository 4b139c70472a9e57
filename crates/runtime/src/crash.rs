//! Places where a test ends this process as a crash would: at once, without a destructor or a flush.
//!
//! The code names such a place by [`crash_point!`](crate::crash_point). Without the feature `crash-points` that is
//! nothing at all, not even a comparison, and a program that is built for use does not have the feature. With it,
//! the variable [`VARIABLE`] says where to end: `<point>:<passing>:<file>`. The process that passes the point for
//! the `<passing>`-th time makes `<file>` and aborts. Where the file is there already nothing happens, so that what
//! is started next, with the same environment, lives.

use std::fmt;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The variable that says where to end.
pub const VARIABLE: &str = "MUSTER_TEST_CRASH";

/// Names a place where a test may end this process. `if` makes only some of the passings count.
///
/// It expands to nothing without the feature `crash-points` of this crate.
#[macro_export]
macro_rules! crash_point {
    ($point:ident) => {
        $crate::crash::pass($crate::crash::Point::$point)
    };
    ($point:ident if $condition:expr) => {
        if $condition {
            $crate::crash::pass($crate::crash::Point::$point)
        }
    };
}

macro_rules! points {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// A place where a test may end the process.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Point {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Point {
            /// Every place: what the crash matrix goes through.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];
        }
    };
}

points! {
    /// The process holds the locks that say that it lives.
    LocksTaken,
    /// The engine begins to look for what dead processes left.
    SweepBegun,
    /// The lock file of a dead process was removed, and nothing of it taken over.
    DeadLockRemoved,
    /// A dead process's task is this one's by the database.
    TaskAdopted,
    /// The runs that a dead process had started have ended or wait for their next attempt.
    LossWritten,
    /// A dead process's task is dispatched here.
    TaskTakenOver,
    /// A dead process was forgotten.
    DeadForgotten,

    /// The database file is there and has no schema yet, where it is a new one.
    DatabaseClaimed,
    /// The database has its schema.
    DatabaseMigrated,
    /// The database is open.
    DatabaseOpened,
    /// A transaction was done and is not committed.
    TransactionReady,
    /// A transaction was committed, and nobody knows.
    TransactionCommitted,
    /// The lease is in the database.
    LeaseWritten,

    /// The server has the right to the user's socket.
    SeatTaken,
    /// The socket is there, and nobody is served.
    SocketBound,
    /// Clients are served; who started the server does not know yet.
    Serving,
    /// Who started the server was told.
    ReadySaid,

    /// A task has come and is not looked at.
    SubmitReceived,
    /// A task is in the database, and nobody knows.
    SubmitWritten,
    /// A request that came a second time has found its task.
    SubmitSeenBefore,
    /// A task is about to be acknowledged to who sent it.
    SubmitDispatched,
    /// Runs may start and are not in the queue.
    WorkReleased,
    /// Runs are in the queue.
    WorkPublished,
    /// An executor has taken a run from the queue.
    WorkTaken,
    /// The host is connected, and nothing written.
    Connected,
    /// It stands in the database that the run has started, and the host was sent nothing.
    StartWritten,
    /// The message is acknowledged, and the host was sent nothing.
    StartAcknowledged,
    /// The host has the command.
    CommandSent,
    /// Output has come and is not kept.
    OutputCame,
    /// Output was kept, and nobody told.
    OutputWritten,
    /// Output was moved to its file.
    OutputSpilled,
    /// The command has ended; its last output is not kept.
    CommandEnded,
    /// All output is kept; how it ended is not written.
    OutputFlushed,
    /// How runs ended is in the database, and nobody was told.
    ResultWritten,
    /// Everybody was told how runs ended.
    ResultAnnounced,
    /// A failed attempt and the next one are in the database, and nobody was told.
    AgainWritten,
    /// The output of a failed attempt is gone; the next one is not in the queue.
    AttemptDiscarded,
    /// A run that could not start is settled, and its message not acknowledged.
    UnreachedSettled,

    /// A cancel has come.
    CancelReceived,
    /// A cancel is in the database, and nobody knows.
    CancelWritten,
    /// Every process was told of a cancel.
    CancelPublished,
    /// The runs of a stopped task that had not started are settled.
    QueuedSettled,
    /// A command is about to be killed.
    KillDue,
    /// A command was killed, and that is not written.
    Killed,

    /// A new key of the vault is kept, and nobody knows of it.
    VaultKeyMade,
    /// The database knows of a new key of the vault; nothing is sealed with it.
    VaultKeyWritten,
    /// A credential is sealed with the new key; others are not.
    CredentialResealed,
    /// The old key of the vault is retired and still there.
    VaultKeyRetired,
    /// The old key of the vault is gone, and nobody was told.
    VaultKeyDropped,

    /// An idle server has put its socket out of sight.
    SocketHidden,
    /// An idle server has given its place up.
    IdleClosed,
    /// A server that leaves has removed its socket.
    SocketVacated,
    /// A server that leaves has given its place up.
    SeatGivenUp,
    /// A server that leaves has said so to who asked for it.
    LeaveAnswered,
    /// A server that leaves lets others hand out its tasks.
    DispatchReleased,
    /// A server that leaves has waited for what runs.
    Drained,
    /// A server that leaves has nothing more that runs.
    RunsEnded,
    /// A server that leaves has let go of the locks that say that it lives.
    LocksReleased,
    /// A server that leaves has closed the database.
    DatabaseClosed,

    /// A command has its turn to start the server.
    StartTurnTaken,
    /// A command has started the server and has not heard from it.
    ServerSpawned,
    /// A command has had an older server hand over, and has not started another.
    HandoverDone,
    /// A command knows the number of its task and has not printed it.
    NumberReceived,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl FromStr for Point {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.iter().find(|point| point.to_string() == text);
        found
            .copied()
            .ok_or_else(|| format!("'{text}' is not a crash point"))
    }
}

/// Where and when to end.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    point: Point,
    passing: u32,
    mark: PathBuf,
}

impl FromStr for Plan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.splitn(3, ':');
        let (Some(point), Some(passing), Some(mark)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(format!("'{text}' is not <point>:<passing>:<file>"));
        };
        Ok(Self {
            point: point.parse()?,
            passing: passing
                .parse()
                .map_err(|_| format!("'{passing}' is not a number"))?,
            mark: mark.into(),
        })
    }
}

/// Passes a point: aborts the process where [`VARIABLE`] says so. Called by [`crash_point!`](crate::crash_point).
///
/// # Panics
///
/// Where the variable says something that makes no sense.
pub fn pass(point: Point) {
    static PLAN: OnceLock<Option<Plan>> = OnceLock::new();
    static PASSED: AtomicU32 = AtomicU32::new(0);
    let plan = PLAN.get_or_init(of_environment);
    if let Some(plan) = plan
        && plan.point == point
        && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == plan.passing
    {
        end(plan);
    }
}

#[expect(
    clippy::disallowed_methods,
    clippy::panic,
    reason = "for tests alone: a setting that users do not have, and one that is wrong must not go unnoticed"
)]
fn of_environment() -> Option<Plan> {
    let text = std::env::var(VARIABLE).ok()?;
    Some(text.parse().unwrap_or_else(|why| panic!("{VARIABLE}: {why}")))
}

fn end(plan: &Plan) {
    let made = OpenOptions::new().write(true).create_new(true).open(&plan.mark);
    // Somebody has ended there already.
    let Ok(mut mark) = made else { return };
    let _ = writeln!(mark, "process {} at {}", std::process::id(), plan.point);
    std::process::abort();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_is_found_by_its_name() {
        for point in Point::ALL {
            assert_eq!(point.to_string().parse(), Ok(*point));
        }
        assert!("Nowhere".parse::<Point>().is_err());
    }

    #[test]
    fn a_plan_names_a_point_a_passing_and_a_file() {
        let plan = Plan {
            point: Point::SubmitWritten,
            passing: 3,
            mark: "/tmp/a:b".into(),
        };
        assert_eq!("SubmitWritten:3:/tmp/a:b".parse(), Ok(plan));
        for wrong in ["", "SubmitWritten", "SubmitWritten:x:/a", "Nowhere:1:/a"] {
            assert!(wrong.parse::<Plan>().is_err(), "{wrong}");
        }
    }
}
