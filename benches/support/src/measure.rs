//! What one run of a program took, on both sides and beside them.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
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
    /// What it talks to: adopted servers.
    pub far: Side,
}

/// What one run took.
#[derive(Debug)]
pub struct Run {
    /// From start to end of the program.
    pub wall: Duration,
    /// Processor time of the near side.
    pub near_cpu: Duration,
    /// Processor time of the far side.
    pub far_cpu: Duration,
    /// Processor time that everybody else on the machine used meanwhile: where it is not small, the wall time
    /// was contended for. In steps of ten milliseconds a core.
    pub other_cpu: Duration,
    /// How the program ended; None where it had to be killed at the limit.
    pub status: Option<ExitStatus>,
    /// What it wrote to stdout and stderr.
    pub output: String,
    /// The largest memory of the near side in bytes; only from [`Meter::run_for_memory`].
    pub peak_memory: u64,
}

impl Run {
    /// Whether the program ended by itself and without an error.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.status.is_some_and(|status| status.success())
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
        Self {
            near: Side::new("near"),
            far: Side::new("far"),
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
        let adopted = memory && self.near.misses_children();
        if adopted {
            self.near.adopt(child.id());
        }
        let (status, wall, peak_memory) = self.wait(&mut child, started, limit, memory)?;
        self.settle();
        let after = self.reading();
        let mine = after.own.saturating_sub(before.own);
        let near_cpu = after.near.saturating_sub(before.near);
        let far_cpu = after.far.saturating_sub(before.far);
        let busy = after.busy.saturating_sub(before.busy);
        Ok(Run {
            wall,
            near_cpu,
            far_cpu,
            other_cpu: busy.saturating_sub(near_cpu + far_cpu + mine),
            status,
            output: String::from_utf8_lossy(&std::fs::read(output.path())?).into_owned(),
            peak_memory,
        })
    }

    fn wait(
        &self,
        child: &mut Child,
        started: Instant,
        limit: Duration,
        memory: bool,
    ) -> io::Result<(Option<ExitStatus>, Duration, u64)> {
        let group = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
        let (ended, has_ended) = mpsc::sync_channel::<()>(1);
        std::thread::scope(|scope| {
            let watcher = scope.spawn(move || {
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
            });
            let status = child.wait();
            let wall = started.elapsed();
            let _ = ended.send(());
            let (peak, late) = watcher.join().unwrap_or((0, false));
            Ok(((!late).then_some(status?), wall, peak))
        })
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
