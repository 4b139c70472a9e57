//! The processor time and memory of one side of a measurement: a group of processes with all that they start.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::machine;

/// A side of a measurement. Processes are put into it at their start ([`Side::spawn`]) or later
/// ([`Side::adopt`]); their children are in it by themselves.
///
/// Dropping it lets its processes go and removes its group; it ends none of them.
#[derive(Debug)]
pub struct Side {
    group: Group,
    /// The processes that were put in by number, and the processor time that they had used then.
    adopted: Mutex<Vec<(u32, Duration)>>,
}

/// How the processes are counted.
#[derive(Debug)]
enum Group {
    /// cgroup version 1: the controller `cpuacct` counts in nanoseconds, and one thread can move alone.
    Cpuacct(Folder),
    /// cgroup version 2: `cpu.stat` counts in microseconds in every group, whatever its controllers.
    CpuStat(Folder),
    /// Neither may be used: the children that were waited for, and the adopted ones by `/proc`.
    Usage,
}

#[derive(Debug)]
struct Folder {
    own: PathBuf,
    parent: PathBuf,
    /// The file that moves the writer: `tasks` or `cgroup.procs`.
    door: &'static str,
}

impl Folder {
    fn make(parent: PathBuf, name: &str, door: &'static str, counter: &str) -> Option<Self> {
        // A group with a dead process that nobody has waited for cannot be removed: no two share a name.
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let own = parent.join(format!("muster-bench-{}-{number}-{name}", std::process::id()));
        fs::create_dir(&own).ok()?;
        let folder = Self { own, parent, door };
        let usable =
            folder.own.join(counter).exists() && folder.enter().and_then(|()| folder.leave()).is_ok();
        usable.then_some(folder)
    }

    fn enter(&self) -> io::Result<()> {
        fs::write(self.own.join(self.door), "0")
    }

    fn leave(&self) -> io::Result<()> {
        fs::write(self.parent.join(self.door), "0")
    }

    fn processes(&self) -> Vec<u32> {
        let text = fs::read_to_string(self.own.join("cgroup.procs")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        for pid in self.processes() {
            let _ = fs::write(self.parent.join("cgroup.procs"), pid.to_string());
        }
        let _ = fs::remove_dir(&self.own);
    }
}

impl Side {
    /// Makes a side; `name` is for the group's folder.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let version_1 = || {
            let parent = group_of_this_process("cgroup", "cpuacct")?;
            Folder::make(parent, name, "tasks", "cpuacct.usage").map(Group::Cpuacct)
        };
        let version_2 = || {
            let parent = group_of_this_process("cgroup2", "")?;
            Folder::make(parent, name, "cgroup.procs", "cpu.stat").map(Group::CpuStat)
        };
        Self {
            group: version_1().or_else(version_2).unwrap_or(Group::Usage),
            adopted: Mutex::new(Vec::new()),
        }
    }

    /// Says how the processor time is counted.
    #[must_use]
    pub fn accounting(&self) -> &'static str {
        match self.group {
            Group::Cpuacct(_) => "cgroup cpuacct",
            Group::CpuStat(_) => "cgroup cpu.stat",
            Group::Usage => "getrusage and /proc (daemons that nobody adopted are missed)",
        }
    }

    /// Starts a process on this side: it and all that it starts are counted from their first instruction.
    ///
    /// # Errors
    ///
    /// Where the program does not start.
    pub fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        let (Group::Cpuacct(folder) | Group::CpuStat(folder)) = &self.group else {
            return command.spawn();
        };
        folder.enter()?;
        let child = command.spawn();
        folder.leave()?;
        child
    }

    /// Puts a running process with its descendants on this side.
    pub fn adopt(&self, pid: u32) {
        let mut all = machine::descendants(pid);
        all.push(pid);
        if let Group::Cpuacct(folder) | Group::CpuStat(folder) = &self.group {
            for pid in &all {
                // One that has ended meanwhile is not to be counted.
                let _ = fs::write(folder.own.join("cgroup.procs"), pid.to_string());
            }
        }
        if let Ok(mut adopted) = self.adopted.lock() {
            adopted.extend(all.into_iter().map(|pid| (pid, machine::cpu_of(pid))));
        }
    }

    /// Returns the processor time that this side has used since it was made.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        match &self.group {
            Group::Cpuacct(folder) => {
                let text = fs::read_to_string(folder.own.join("cpuacct.usage")).unwrap_or_default();
                Duration::from_nanos(text.trim().parse().unwrap_or(0))
            }
            Group::CpuStat(folder) => {
                let text = fs::read_to_string(folder.own.join("cpu.stat")).unwrap_or_default();
                let usage = text.lines().find_map(|line| line.strip_prefix("usage_usec "));
                Duration::from_micros(usage.and_then(|number| number.trim().parse().ok()).unwrap_or(0))
            }
            Group::Usage => self.cpu_of_adopted(),
        }
    }

    /// Whether the children that the benchmark waits for must be added to [`Side::cpu`] by the caller.
    pub(crate) fn misses_children(&self) -> bool {
        matches!(self.group, Group::Usage)
    }

    fn cpu_of_adopted(&self) -> Duration {
        let Ok(adopted) = self.adopted.lock() else {
            return Duration::ZERO;
        };
        adopted
            .iter()
            .map(|(pid, before)| machine::cpu_of(*pid).saturating_sub(*before))
            .sum()
    }

    /// Returns the processes that are on this side now.
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        match &self.group {
            Group::Cpuacct(folder) | Group::CpuStat(folder) => folder.processes(),
            Group::Usage => {
                let adopted = self
                    .adopted
                    .lock()
                    .map(|adopted| adopted.clone())
                    .unwrap_or_default();
                let mut all: Vec<u32> = adopted
                    .into_iter()
                    .flat_map(|(pid, _)| machine::descendants(pid).into_iter().chain([pid]))
                    .collect();
                all.sort_unstable();
                all.dedup();
                all
            }
        }
    }

    /// Returns the memory of its processes in bytes: the sum of their proportional shares (PSS), so that what
    /// they share is counted once.
    #[must_use]
    pub fn memory(&self) -> u64 {
        self.processes().into_iter().map(machine::memory_of).sum()
    }
}

/// The folder of the group that this process is in, in the hierarchy of `controller` (version 1) or in the one
/// of version 2.
fn group_of_this_process(file_system: &str, controller: &str) -> Option<PathBuf> {
    let has = |list: &str| controller.is_empty() || list.split(',').any(|word| word == controller);
    let mounts = fs::read_to_string("/proc/mounts").ok()?;
    let mount = mounts.lines().find_map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        let (place, kind, options) = (words.get(1)?, words.get(2)?, words.get(3)?);
        (*kind == file_system && has(options)).then(|| (*place).to_owned())
    })?;
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = groups.lines().find_map(|line| {
        let mut words = line.splitn(3, ':');
        let (_, controllers, path) = (words.next()?, words.next()?, words.next()?);
        let ours = if controller.is_empty() {
            controllers.is_empty()
        } else {
            has(controllers)
        };
        ours.then(|| path.trim_start_matches('/').to_owned())
    })?;
    Some(Path::new(&mount).join(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_child_and_its_children_use_is_counted_on_its_side_alone() {
        let (near, far) = (Side::new("test-near"), Side::new("test-far"));
        let script = "(i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done) & wait";
        let mut child = near
            .spawn(Command::new("/bin/sh").args(["-c", script]))
            .expect("sh starts");
        assert!(child.wait().expect("sh ends").success());
        assert_eq!(far.cpu(), Duration::ZERO);
        if !near.misses_children() {
            assert!(near.cpu() > Duration::from_millis(5), "{:?}", near.cpu());
        }
    }

    #[test]
    fn an_adopted_process_is_on_the_side_with_its_memory() {
        let side = Side::new("test-adopt");
        let mut child = Command::new("sleep").arg("86397").spawn().expect("sleep starts");
        assert_eq!(side.memory(), 0);
        side.adopt(child.id());
        assert_eq!(side.processes(), [child.id()]);
        assert!(side.memory() > 10_000);
        child.kill().expect("kills");
        child.wait().expect("waits");
    }
}
