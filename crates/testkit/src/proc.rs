//! What is running on this machine, read from `/proc`: for tests that nothing is left behind.

use std::path::PathBuf;
use std::time::Duration;

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its arguments.
    pub argv: Vec<String>,
}

/// Returns the processes with the variable `name` set to `value` in the environment that they were started
/// with. Zombies, and processes of other users where the test is not root, are not seen.
#[must_use]
pub fn with_env(name: &str, value: &str) -> Vec<Process> {
    let wanted = format!("{name}={value}").into_bytes();
    scan(|pid, _| {
        std::fs::read(entry(pid, "environ"))
            .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|entry| entry == wanted))
    })
}

/// Returns the processes with `text` in one of their arguments, apart from this one and its ancestors (whose
/// command lines may name the test).
#[must_use]
pub fn with_arg(text: &str) -> Vec<Process> {
    let mine = ancestors(std::process::id());
    scan(|pid, argv| !mine.contains(&pid) && argv.iter().any(|arg| arg.contains(text)))
}

/// Returns the processes that descend from `root`, without it and without zombies.
#[must_use]
pub fn descendants(root: u32) -> Vec<Process> {
    scan(|pid, _| pid != root && ancestors(pid).contains(&root) && state(pid) != Some('Z'))
}

/// Returns whether a process with this number exists and is not a zombie.
#[must_use]
pub fn is_alive(pid: u32) -> bool {
    state(pid).is_some_and(|state| state != 'Z')
}

/// Returns the resident memory of a process in bytes.
#[must_use]
pub fn resident_bytes(pid: u32) -> Option<u64> {
    kib(pid, "VmRSS:")
}

/// Returns the largest resident memory that a process ever had, in bytes.
#[must_use]
pub fn peak_resident_bytes(pid: u32) -> Option<u64> {
    kib(pid, "VmHWM:")
}

/// Returns the processor time that a process has used; nothing for one that is gone. Linux counts it in hundredths
/// of a second.
#[must_use]
pub fn cpu(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(entry(pid, "stat")).unwrap_or_default();
    // The name may hold spaces and parentheses: user and system time are the 14th and 15th field of all.
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let times = after_name.split_whitespace().skip(11).take(2);
    let ticks: u64 = times.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// Returns how many connections to a local port the other side has closed and this one has not.
pub(crate) fn half_closed(port: u16) -> usize {
    /// As `/proc/net/tcp` writes it.
    const CLOSE_WAIT: &str = "08";
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let port = format!(":{port:04X}");
    // "sl local_address rem_address st ..."
    let is_it = |line: &&str| {
        let mut words = line.split_whitespace().skip(1);
        words.next().is_some_and(|local| local.ends_with(&port)) && words.nth(1) == Some(CLOSE_WAIT)
    };
    table.lines().filter(is_it).count()
}

/// The parent of a process.
pub(crate) fn parent(pid: u32) -> Option<u32> {
    field(pid, "PPid:")?.parse().ok()
}

/// The state letter of a process.
pub(crate) fn state(pid: u32) -> Option<char> {
    field(pid, "State:")?.chars().next()
}

fn kib(pid: u32, name: &str) -> Option<u64> {
    let number: u64 = field(pid, name)?.split(' ').next()?.parse().ok()?;
    Some(number * 1024)
}

fn ancestors(pid: u32) -> Vec<u32> {
    let mut line = vec![pid];
    let mut at = pid;
    while let Some(parent) = parent(at) {
        if parent == 0 || line.contains(&parent) {
            break;
        }
        line.push(parent);
        at = parent;
    }
    line
}

fn field(pid: u32, name: &str) -> Option<String> {
    let status = std::fs::read_to_string(entry(pid, "status")).ok()?;
    let line = status.lines().find(|line| line.starts_with(name))?;
    Some(line[name.len()..].trim().to_owned())
}

fn entry(pid: u32, file: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{file}"))
}

fn scan(wanted: impl Fn(u32, &[String]) -> bool) -> Vec<Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let mut found: Vec<Process> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| {
            let cmdline = std::fs::read(entry(pid, "cmdline")).ok()?;
            let argv: Vec<String> = cmdline
                .split(|byte| *byte == 0)
                .map(|arg| String::from_utf8_lossy(arg).into_owned())
                .collect();
            wanted(pid, &argv).then_some(Process { pid, argv })
        })
        .collect();
    found.sort_by_key(|process| process.pid);
    found
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::process::Command;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_connection_is_half_closed_from_the_clients_end_to_ours() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let client = TcpStream::connect(address).expect("connects");
        let (ours, _) = listener.accept().expect("a client");
        let until = |count| {
            crate::wait::blocking(Duration::from_secs(20), "the table to follow", || {
                (half_closed(address.port()) == count).then_some(())
            })
            .expect("it follows");
        };
        assert_eq!(half_closed(address.port()), 0);
        drop(client);
        until(1);
        drop(ours);
        until(0);
    }

    #[test]
    fn a_process_is_found_by_environment_argument_and_descent_until_it_ends() {
        // Of this process alone: others may run the same test on this machine.
        let (seconds, needle) = (
            format!("86399.{:010}", std::process::id()),
            format!("needle-in-proc-{:010}", std::process::id()),
        );
        let mut child = Command::new("sleep")
            .arg(&seconds)
            .env("MUSTER_TEST_PROC", &needle)
            .spawn()
            .expect("sleep starts");
        let pid = child.id();
        // Between fork and exec the child still shows this process's own argv.
        crate::wait::blocking(Duration::from_secs(20), "the child's exec", || {
            with_env("MUSTER_TEST_PROC", &needle)
                .iter()
                .find(|p| p.pid == pid)
                .cloned()
        })
        .expect("found by environment");
        assert!(with_env("MUSTER_TEST_PROC", "needle").is_empty());
        assert!(with_arg(&seconds).iter().any(|p| p.pid == pid));
        assert!(descendants(std::process::id()).iter().any(|p| p.pid == pid));
        assert!(is_alive(pid));
        assert!(resident_bytes(std::process::id()).expect("has memory") > 100_000);
        child.kill().expect("kills");
        child.wait().expect("waits");
        assert!(!is_alive(pid));
        assert!(with_env("MUSTER_TEST_PROC", &needle).is_empty());
    }
}
