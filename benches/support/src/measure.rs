//! What one run of a program took, on both sides and beside them.

use std::io;
use std::ops::Deref;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, killpg};
use nix::sys::time::{TimeVal, TimeValLike};
use nix::unistd::Pid;

use crate::account::Side;
use crate::machine::busy;

/// How often memory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Servers that clean up after a run are waited for, at most so long.
const SETTLES_WITHIN: Duration = Duration::from_secs(3);

/// Two sides: what is measured and what it talks to.
#[derive(Debug)]
pub struct Meter {
    /// What is measured: the programs of [`Meter::run`] and all that they start.
    pub near: Side,
    /// What it talks to: adopted servers. Several meters may share one.
    pub far: Arc<Side>,
}

/// What work took.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// From start to end.
    pub wall: Duration,
    /// Processor time of the near side.
    pub near_cpu: Duration,
    /// Processor time of the far side.
    pub far_cpu: Duration,
    /// Processor time that everybody else on the machine used meanwhile: where it is not small, the wall time
    /// was contended for. In steps of ten milliseconds a core.
    pub other_cpu: Duration,
    /// The largest memory of the near side in bytes; 0 where nobody looked.
    pub peak_memory: u64,
    /// Whether it had to be killed at its limit.
    pub late: bool,
}

/// What one run of a program took, and what came of it.
#[derive(Debug)]
pub struct Run {
    /// What it took; its fields can be asked for on the run itself.
    pub taken: Taken,
    /// How the program ended; None where it had to be killed at its limit.
    pub status: Option<ExitStatus>,
    /// What it wrote to stdout and stderr.
    pub output: String,
}

impl Run {
    /// Whether the program ended by itself and without an error.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }
}

impl Deref for Run {
    type Target = Taken;

    fn deref(&self) -> &Taken {
        &self.taken
    }
}

impl Default for Meter {
    fn default() -> Self {
        Self::new()
    }
}

impl Meter {
    /// Makes both sides.
    #[must_use]
    pub fn new() -> Self {
        Self::beside("near", Arc::new(Side::new("far")))
    }

    /// Makes a near side, named apart from others of this process, for a far side that is shared.
    #[must_use]
    pub fn beside(name: &str, far: Arc<Side>) -> Self {
        Self {
            near: Side::new(name),
            far,
        }
    }

    /// Says how processor time is counted.
    #[must_use]
    pub fn accounting(&self) -> &'static str {
        self.near.accounting()
    }

    /// Runs a program on the near side to its end, or kills its process group after `limit`.
    ///
    /// # Errors
    ///
    /// Where it does not start.
    pub fn run(&self, command: &mut Command, limit: Duration) -> io::Result<Run> {
        self.run_watched(command, limit, false)
    }

    /// As [`Meter::run`], with the peak of memory: looking at it takes processor time, so the times of such a
    /// run are not to be reported.
    ///
    /// # Errors
    ///
    /// Where it does not start.
    pub fn run_for_memory(&self, command: &mut Command, limit: Duration) -> io::Result<Run> {
        self.run_watched(command, limit, true)
    }

    fn run_watched(&self, command: &mut Command, limit: Duration, memory: bool) -> io::Result<Run> {
        let output = tempfile::NamedTempFile::new()?;
        command
            .stdin(Stdio::null())
            .stdout(output.as_file().try_clone()?)
            .stderr(output.as_file().try_clone()?)
            .process_group(0);
        let before = self.reading();
        let started = Instant::now();
        let mut child = self.near.spawn(command)?;
        if memory && self.near.misses_children() {
            self.near.adopt(child.id());
        }
        let group = child.id();
        let (status, taken) = self.watch(before, started, (group, limit), memory, || child.wait());
        Ok(Run {
            taken,
            status: if taken.late { None } else { Some(status?) },
            output: String::from_utf8_lossy(&std::fs::read(output.path())?).into_owned(),
        })
    }

    /// Measures work that a process of the near side does when it is asked, and kills its process group `group`
    /// after `limit`: `work` asks, and returns when the answer is there or cannot come any more. With `memory`
    /// as [`Meter::run_for_memory`].
    pub fn over<T>(&self, group: u32, limit: Duration, memory: bool, work: impl FnOnce() -> T) -> (T, Taken) {
        self.watch(self.reading(), Instant::now(), (group, limit), memory, work)
    }

    fn watch<T>(
        &self,
        before: Reading,
        started: Instant,
        (group, limit): (u32, Duration),
        memory: bool,
        work: impl FnOnce() -> T,
    ) -> (T, Taken) {
        let group = Pid::from_raw(i32::try_from(group).unwrap_or(i32::MAX));
        let (ended, has_ended) = mpsc::sync_channel::<()>(1);
        let (made, wall, peak_memory, late) = std::thread::scope(|scope| {
            let watcher = scope.spawn(move || self.look_on(group, &has_ended, started, limit, memory));
            let made = work();
            let wall = started.elapsed();
            let _ = ended.send(());
            let (peak, late) = watcher.join().unwrap_or((0, false));
            (made, wall, peak, late)
        });
        self.settle();
        let after = self.reading();
        let near_cpu = after.near.saturating_sub(before.near);
        let far_cpu = after.far.saturating_sub(before.far);
        let mine = after.own.saturating_sub(before.own);
        let busy = after.busy.saturating_sub(before.busy);
        let taken = Taken {
            wall,
            near_cpu,
            far_cpu,
            other_cpu: busy.saturating_sub(near_cpu + far_cpu + mine),
            peak_memory,
            late,
        };
        (made, taken)
    }

    /// Looks at memory until the work has ended, and kills at the limit. Returns the peak and whether it killed.
    fn look_on(
        &self,
        group: Pid,
        has_ended: &mpsc::Receiver<()>,
        started: Instant,
        limit: Duration,
        memory: bool,
    ) -> (u64, bool) {
        let mut peak = 0;
        loop {
            if memory {
                peak = peak.max(self.near.memory());
            }
            let left = limit.saturating_sub(started.elapsed());
            let pause = if memory { left.min(LOOK_EVERY) } else { left };
            match has_ended.recv_timeout(pause) {
                Err(mpsc::RecvTimeoutError::Timeout) if started.elapsed() >= limit => {
                    let _ = killpg(group, Signal::SIGKILL);
                    return (peak, true);
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                _ => return (peak, false),
            }
        }
    }

    /// Waits until both sides have come to rest, so that what they do after a run is counted with it.
    fn settle(&self) {
        let deadline = Instant::now() + SETTLES_WITHIN;
        let mut last = self.near.cpu() + self.far.cpu();
        let mut calm = 0;
        while calm < 4 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(25));
            let now = self.near.cpu() + self.far.cpu();
            calm = if now.saturating_sub(last) < Duration::from_micros(500) {
                calm + 1
            } else {
                0
            };
            last = now;
        }
    }

    fn reading(&self) -> Reading {
        let children = if self.near.misses_children() {
            usage(UsageWho::RUSAGE_CHILDREN)
        } else {
            Duration::ZERO
        };
        Reading {
            near: self.near.cpu() + children,
            far: self.far.cpu(),
            busy: busy(),
            own: usage(UsageWho::RUSAGE_SELF),
        }
    }
}

struct Reading {
    near: Duration,
    far: Duration,
    busy: Duration,
    own: Duration,
}

/// What work in the benchmark's own process took.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// From start to end.
    pub wall: Duration,
    /// Processor time of this process, all its threads added.
    pub cpu: Duration,
    /// Processor time of everybody else on the machine meanwhile.
    pub other_cpu: Duration,
}

/// Measures work in the benchmark's own process.
pub fn own<T>(work: impl FnOnce() -> T) -> (T, Cost) {
    let (cpu, busy_before) = (usage(UsageWho::RUSAGE_SELF), busy());
    let started = Instant::now();
    let made = work();
    let wall = started.elapsed();
    let cpu = usage(UsageWho::RUSAGE_SELF).saturating_sub(cpu);
    let other_cpu = busy().saturating_sub(busy_before).saturating_sub(cpu);
    (made, Cost { wall, cpu, other_cpu })
}

fn usage(who: UsageWho) -> Duration {
    let of = |time: TimeVal| Duration::from_micros(u64::try_from(time.num_microseconds()).unwrap_or(0));
    getrusage(who).map_or(Duration::ZERO, |usage| {
        of(usage.user_time()) + of(usage.system_time())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_told_with_its_output_and_its_time() {
        let meter = Meter::new();
        let run = meter
            .run(
                Command::new("/bin/sh").args(["-c", "echo out; echo err >&2; sleep 0.2; exit 3"]),
                Duration::from_secs(60),
            )
            .expect("sh runs");
        assert_eq!(run.status.and_then(|status| status.code()), Some(3));
        assert!(!run.succeeded());
        assert!(
            run.output.contains("out") && run.output.contains("err"),
            "{}",
            run.output
        );
        assert!(run.wall >= Duration::from_millis(200));
        assert!(run.near_cpu < Duration::from_secs(1));
    }

    #[test]
    fn a_program_that_does_not_end_is_killed_with_its_children() {
        let meter = Meter::new();
        let run = meter
            .run(
                Command::new("/bin/sh").args(["-c", "sleep 86396; true"]),
                Duration::from_millis(300),
            )
            .expect("sh runs");
        assert_eq!(run.status, None);
        assert!(run.wall < Duration::from_secs(30));
    }

    #[test]
    fn memory_of_a_tree_is_seen() {
        let meter = Meter::new();
        // dd holds a block of 64 MiB in a child of the program.
        let script = "dd if=/dev/zero of=/dev/null bs=67108864 count=30; true";
        let run = meter
            .run_for_memory(
                Command::new("/bin/sh").args(["-c", script]),
                Duration::from_secs(60),
            )
            .expect("sh runs");
        assert!(run.succeeded());
        assert!(run.peak_memory > 60 << 20, "{}", run.peak_memory);
    }

    #[test]
    fn own_work_is_measured() {
        let (sum, cost) = own(|| (0..3_000_000u64).map(std::hint::black_box).sum::<u64>());
        assert_eq!(sum, 4_499_998_500_000);
        assert!(cost.cpu > Duration::ZERO && cost.wall > Duration::ZERO);
    }
}
