//! What `/proc` says of this machine and its processes.

use std::fs;
use std::time::Duration;

/// Linux counts ticks of a hundredth of a second in `/proc`, whatever the kernel's own clock.
const TICK: Duration = Duration::from_millis(10);

/// Returns the processor time that the whole machine has spent at work since it started, all its cores added.
#[must_use]
pub fn busy() -> Duration {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = line
        .split_whitespace()
        .skip(1)
        .filter_map(|word| word.parse().ok())
        .collect();
    // user nice system idle iowait irq softirq steal; what guests use is in user already.
    let working = [0, 1, 2, 5, 6, 7];
    let sum: u64 = working.iter().filter_map(|place| ticks.get(*place)).sum();
    of_ticks(sum)
}

/// Returns the largest memory that this process ever had resident, in bytes.
#[must_use]
pub fn own_peak_memory() -> u64 {
    kib("/proc/self/status", "VmHWM:").unwrap_or(0)
}

/// Returns what stands beside figures: processor, cores, memory, system.
#[must_use]
pub fn describe() -> String {
    let first = |path: &str, name: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = text
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_default();
        let value = line[name.len().min(line.len())..].trim_start_matches([' ', '\t', ':', '=']);
        value.trim().trim_matches('"').to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = kib("/proc/meminfo", "MemTotal:").unwrap_or(0) as f64 / f64::from(1 << 30);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{cores} cores ({}), {memory:.0} GiB, {}, Linux {}",
        first("/proc/cpuinfo", "model name"),
        first("/etc/os-release", "PRETTY_NAME"),
        kernel.split('-').next().unwrap_or_default().trim(),
    )
}

/// Returns how many connections this machine has turned away because a server's queue of new connections was
/// full; each costs whoever connects a second or more.
#[must_use]
pub fn listen_overflows() -> u64 {
    let text = fs::read_to_string("/proc/net/netstat").unwrap_or_default();
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let mut both = names.split(' ').zip(values.split(' '));
    let found = both.find(|(name, _)| *name == "ListenOverflows");
    found.and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
}

/// The processor time of a process and of the children that it has waited for.
pub(crate) fn cpu_of(pid: u32) -> Duration {
    let fields = stat(pid);
    // utime stime cutime cstime, counted after the name.
    let ticks = (11..15)
        .filter_map(|place| fields.get(place)?.parse::<u64>().ok())
        .sum();
    of_ticks(ticks)
}

/// The memory of a process in bytes: its proportional share, or its resident memory where that is not told.
pub(crate) fn memory_of(pid: u32) -> u64 {
    kib(&format!("/proc/{pid}/smaps_rollup"), "Pss:")
        .or_else(|| kib(&format!("/proc/{pid}/status"), "VmRSS:"))
        .unwrap_or(0)
}

/// The processes that descend from one.
pub(crate) fn descendants(root: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let parents: Vec<(u32, u32)> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, stat(pid).get(1)?.parse().ok()?)))
        .collect();
    let mut found = Vec::new();
    let mut from = vec![root];
    while let Some(parent) = from.pop() {
        let children = parents
            .iter()
            .filter(|(_, of)| *of == parent)
            .map(|(pid, _)| *pid);
        for child in children {
            found.push(child);
            from.push(child);
        }
    }
    found
}

/// The fields of `/proc/PID/stat` after the name, which may hold spaces: the first is the state.
fn stat(pid: u32) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    after_name.split_whitespace().map(str::to_owned).collect()
}

fn of_ticks(ticks: u64) -> Duration {
    TICK * u32::try_from(ticks).unwrap_or(u32::MAX)
}

fn kib(path: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    let number: u64 = line[name.len()..].split_whitespace().next()?.parse().ok()?;
    Some(number * 1024)
}
