//! Ends what the hosts' commands left running: every process with the hosts' mark in its environment.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The variable that carries the mark.
pub(super) const MARK: &str = "MUSTER_DEMO";

/// Kills the marked processes, also those that they start meanwhile, for at most `limit`.
///
/// Where there is no `/proc`, the sessions of running commands are ended by those who serve them, and what left
/// its session stays.
pub(super) fn kill_all(mark: &str, limit: Duration) {
    let started = Instant::now();
    let wanted = format!("{MARK}={mark}").into_bytes();
    loop {
        let found = marked(&wanted);
        if found.is_empty() || started.elapsed() > limit {
            return;
        }
        for pid in found {
            let _ = kill(pid, Signal::SIGKILL);
        }
        std::thread::yield_now();
    }
}

/// The processes whose environment has this entry; zombies have none.
fn marked(wanted: &[u8]) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| {
            fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|entry| entry == wanted))
        })
        .map(Pid::from_raw)
        .collect()
}
