//! What is done at a point on a seed: a table from points to courses, and what the seed varies.

use muster_runtime::crash::Point;

/// How a process is led to its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// A server starts.
    Start,
    /// A server starts where another one was killed with open tasks.
    TakeOver,
    /// Tasks run.
    Run,
    /// Tasks run, and each request is sent twice.
    RunTwice,
    /// Tasks run whose first attempt fails.
    Again,
    /// Tasks run, also on a host that nobody can reach.
    Unreached,
    /// A task is ended before its time.
    Cancel,
    /// A server leaves with a task in its hands.
    Leave,
    /// A server leaves since there is nothing to do.
    Idle,
    /// A command has an older server hand over, and is itself the process that dies.
    Replace,
    /// The key of the vault is changed.
    Rekey,
}

/// How often a point is surely passed.
#[derive(Clone, Copy, Debug)]
enum Times {
    AtMost(u32),
    /// For each task.
    Task,
    /// For each run.
    Run,
}

/// What must be so after a death at a point, besides the promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Nothing had started: everything succeeds at the first attempt.
    Untouched,
    /// The run at the point had started and not ended: it was lost.
    OneLost,
    /// As many runs as the passing says had ended.
    Ended,
    /// What the promises allow.
    Anything,
}

#[rustfmt::skip]
fn plan(point: Point) -> (Course, Times, After) {
    use After::{Anything, Ended, OneLost, Untouched};
    use Times::{AtMost, Run, Task};
    let once = AtMost(1);
    match point {
        Point::LocksTaken | Point::SweepBegun | Point::DatabaseClaimed | Point::DatabaseMigrated
        | Point::DatabaseOpened | Point::SeatTaken | Point::SocketBound | Point::Serving | Point::ReadySaid
        | Point::StartTurnTaken | Point::ServerSpawned => (Course::Start, once, Untouched),
        // A dead process has a lock file for what it executed, and one for what it dispatched.
        Point::DeadLockRemoved => (Course::TakeOver, AtMost(2), Anything),
        Point::TaskAdopted | Point::LossWritten | Point::TaskTakenOver => (Course::TakeOver, Task, Anything),
        Point::DeadForgotten => (Course::TakeOver, once, Anything),
        // The schema, the lease, a task, a start and a result at the least.
        Point::TransactionReady | Point::TransactionCommitted => (Course::Run, AtMost(5), Anything),
        Point::LeaseWritten => (Course::Run, once, Untouched),
        Point::SubmitReceived | Point::SubmitWritten => (Course::Run, Task, Untouched),
        Point::SubmitDispatched | Point::WorkPublished => (Course::Run, Task, Anything),
        Point::WorkReleased => (Course::Run, Task, Untouched),
        Point::SubmitSeenBefore => (Course::RunTwice, Task, Anything),
        Point::WorkTaken | Point::Connected => (Course::Run, Run, Anything),
        Point::StartWritten | Point::StartAcknowledged | Point::CommandSent | Point::OutputCame
        | Point::OutputWritten | Point::OutputSpilled | Point::CommandEnded | Point::OutputFlushed
            => (Course::Run, Run, OneLost),
        Point::ResultWritten | Point::ResultAnnounced => (Course::Run, Run, Ended),
        Point::NumberReceived => (Course::Run, once, Anything),
        Point::AgainWritten | Point::AttemptDiscarded => (Course::Again, Run, Anything),
        Point::UnreachedSettled => (Course::Unreached, Task, Anything),
        Point::CancelReceived | Point::CancelWritten | Point::CancelPublished | Point::QueuedSettled
            => (Course::Cancel, Task, Anything),
        Point::KillDue | Point::Killed => (Course::Cancel, Run, OneLost),
        Point::SocketVacated | Point::SeatGivenUp | Point::LeaveAnswered | Point::DispatchReleased
            => (Course::Leave, once, OneLost),
        Point::Drained | Point::RunsEnded | Point::LocksReleased | Point::DatabaseClosed
            => (Course::Leave, once, Anything),
        Point::SocketHidden | Point::IdleClosed => (Course::Idle, once, Untouched),
        Point::VaultKeyMade | Point::VaultKeyWritten | Point::VaultKeyRetired | Point::VaultKeyDropped
            => (Course::Rekey, once, Anything),
        Point::CredentialResealed => (Course::Rekey, AtMost(3), Anything),
        Point::HandoverDone => (Course::Replace, once, Untouched),
    }
}

/// How a server is made to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// `muster server stop`.
    Stop,
    /// A command of a newer binary.
    Handover,
    /// SIGTERM.
    Signal,
}

/// A point on a seed.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub point: Point,
    pub seed: u32,
    pub course: Course,
    pub after: After,
    /// At which passing of the point the process dies.
    pub passing: u32,
    pub tasks: u32,
    /// Hosts over SSH, and this machine as one more.
    pub remote: u32,
    pub local: bool,
    /// Lines of output.
    pub lines: u32,
    pub retries: u32,
    /// How many attempts fail.
    pub fails: u32,
    /// Whether a task's hosts run one after the other.
    pub one_by_one: bool,
    /// Whether tasks are submitted by the command line, else by requests whose names are known.
    pub by_command: bool,
    /// Whether an earlier server was killed with open tasks.
    pub before: bool,
    pub farewell: Farewell,
    /// Whether a task ends by its timeout, else by a cancel.
    pub by_timeout: bool,
    /// Whether the last server is killed, else stopped, before everything is read again.
    pub killed_again: bool,
}

impl Case {
    pub fn new(point: Point, seed: u32) -> Self {
        let place = Point::ALL.iter().position(|known| *known == point).unwrap_or(0);
        let mut dice = Dice(u64::from(seed) << 32 | place as u64);
        let (course, times, after) = plan(point);
        let (mut remote, local) = dice.of(&[(1, true), (2, false), (0, true), (1, false), (2, true)]);
        let is_kill = matches!(point, Point::KillDue | Point::Killed);
        let by_timeout = is_kill && dice.coin();
        let one_by_one = match course {
            Course::Cancel => !is_kill,
            Course::TakeOver | Course::Leave | Course::Replace => dice.coin(),
            _ => false,
        };
        if one_by_one && remote + u32::from(local) < 2 {
            remote += 1;
        }
        let tasks = match course {
            Course::Leave | Course::Replace => 1,
            _ if is_kill => 1,
            _ => dice.of(&[1, 2]),
        };
        let runs = tasks * (remote + u32::from(local));
        let most = match times {
            Times::AtMost(most) => most,
            Times::Task => tasks,
            Times::Run => runs,
        };
        // Beyond 64 KiB output has a file of its own.
        let lines = match point {
            Point::OutputSpilled => 20_000,
            _ => dice.of(&[1, 40, 3_000, 1, 20_000]),
        };
        let fails = u32::from(course == Course::Again);
        let retries = match course {
            Course::Again => dice.of(&[1, 2]),
            Course::Cancel | Course::Leave | Course::Replace => 0,
            _ => dice.of(&[0, 0, 1]),
        };
        let farewell = match point {
            Point::LeaveAnswered => dice.of(&[Farewell::Stop, Farewell::Handover]),
            _ => dice.of(&[Farewell::Stop, Farewell::Handover, Farewell::Signal]),
        };
        let passing = 1 + dice.below(most);
        let after = match after {
            // At a later passing the first task is on its way.
            After::Untouched if passing > 1 => After::Anything,
            after => after,
        };
        Self {
            point,
            seed,
            course,
            after,
            passing,
            tasks,
            remote,
            local,
            lines,
            retries,
            fails,
            one_by_one,
            by_command: point == Point::NumberReceived || dice.coin(),
            before: course == Course::TakeOver || (course == Course::Start && dice.coin()),
            farewell,
            by_timeout,
            killed_again: dice.coin(),
        }
    }

    /// The hosts of each task.
    pub fn hosts(&self) -> Vec<String> {
        let remote = (1..=self.remote).map(|number| format!("127.0.1.{number}"));
        let local = self.local.then(|| "localhost".to_owned());
        let unreached = (self.course == Course::Unreached).then(|| UNREACHED.to_owned());
        remote.chain(local).chain(unreached).collect()
    }
}

/// Nothing listens there.
pub const UNREACHED: &str = "127.0.9.9";

/// Numbers that look random and are the same each time (SplitMix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u32) -> u32 {
        u32::try_from(self.next() % u64::from(limit.max(1))).unwrap_or(0)
    }

    fn coin(&mut self) -> bool {
        self.next().is_multiple_of(2)
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        let count = u32::try_from(choices.len()).unwrap_or(1);
        choices[self.below(count) as usize]
    }
}
