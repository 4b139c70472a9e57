//! What it costs to run a command on many hosts at once: wall time, CPU and memory of everything that is
//! Muster's (the command and its server), for hosts that are one sshd on many loopback addresses.
//!
//!     cargo bench -p muster --bench fanout            # 500 hosts
//!     cargo bench -p muster --bench fanout -- 50 200  # other numbers of hosts
//!
//! sshd shares the machine with Muster: the wall time holds the cost of both.

#![expect(
    clippy::expect_used,
    reason = "a benchmark that cannot go on stops and says where"
)]

use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use muster_testkit::home::Home;
use muster_testkit::proc;
use muster_testkit::sshd::Sshd;

const MUSTER: &str = env!("CARGO_BIN_EXE_muster");

/// What one run took.
struct Cost {
    wall: Duration,
    /// CPU of the command and of the server.
    cpu: Duration,
}

/// Returns the CPU that a process has used.
fn cpu_of(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks: u64 = [11, 12]
        .iter()
        .filter_map(|place| fields.get(*place)?.parse::<u64>().ok())
        .sum();
    // Linux counts in hundredths of a second, whatever the kernel's own clock.
    Duration::from_millis(ticks * 10)
}

/// Returns the CPU of the children that this process has waited for.
fn cpu_of_children() -> Duration {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_CHILDREN).expect("rusage");
    let of = |time: nix::sys::time::TimeVal| {
        Duration::from_micros(u64::try_from(time.tv_sec() * 1_000_000 + time.tv_usec()).unwrap_or(0))
    };
    of(usage.user_time()) + of(usage.system_time())
}

fn server(home: &Home) -> u32 {
    let is_server = |process: &proc::Process| process.argv.get(1).is_some_and(|word| word == "server");
    home.processes()
        .into_iter()
        .find(is_server)
        .expect("the server")
        .pid
}

fn muster(home: &Home, args: &[&str]) -> Command {
    let mut command = home.command(MUSTER);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Runs `true` on all hosts once.
fn run(home: &Home, hosts: &str, server: u32) -> Result<Cost, String> {
    let (children, before) = (cpu_of_children(), cpu_of(server));
    let started = Instant::now();
    let args = [
        "run",
        "true",
        "--hosts",
        hosts,
        "--output",
        "quiet",
        "--connect-timeout",
        "120s",
    ];
    let status = muster(home, &args).status().map_err(|error| error.to_string())?;
    let wall = started.elapsed();
    if !status.success() {
        return Err(format!("not every run succeeded: {status}"));
    }
    Ok(Cost {
        wall,
        cpu: cpu_of_children() - children + (cpu_of(server) - before),
    })
}

/// The pattern of `count` loopback addresses.
fn pattern(count: u32) -> String {
    let mut parts = Vec::new();
    let mut left = count;
    let mut third = 1;
    while left > 0 {
        let some = left.min(250);
        parts.push(format!("127.0.{third}.[1-{some}]"));
        left -= some;
        third += 1;
    }
    parts.join(",")
}

fn main() -> ExitCode {
    let counts: Vec<u32> = std::env::args()
        .skip(1)
        .filter_map(|word| word.parse().ok())
        .collect();
    let counts = if counts.is_empty() { vec![500] } else { counts };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let started = runtime.block_on(Sshd::builder().listen_all_loopback().max_startups("2000").start());
    let sshd = match started {
        Ok(sshd) => sshd,
        Err(error) => {
            eprintln!("no figures: {error}");
            return ExitCode::FAILURE;
        }
    };
    println!(
        "{:>6} {:>5} {:>9} {:>14} {:>16}",
        "hosts", "", "wall", "CPU a host", "peak memory"
    );
    for count in counts {
        let mut home = Home::new().expect("a home");
        home.set_env("MUSTER_SSH_CONFIG", sshd.ssh_config());
        let hosts = pattern(count);
        // The server is started by a command that reaches no host.
        let warmed = muster(&home, &["tasks"]).status();
        assert!(warmed.is_ok_and(|status| status.success()), "the server starts");
        let server = server(&home);
        for which in ["cold", "warm"] {
            match run(&home, &hosts, server) {
                Ok(cost) => println!(
                    "{count:>6} {which:>5} {:>7.2} s {:>11.2} ms {:>12.1} MiB",
                    cost.wall.as_secs_f64(),
                    cost.cpu.as_secs_f64() * 1000.0 / f64::from(count),
                    proc::peak_resident_bytes(server).unwrap_or(0) as f64 / f64::from(1 << 20),
                ),
                Err(why) => {
                    eprintln!("{count} hosts, {which}: {why}");
                    return ExitCode::FAILURE;
                }
            }
        }
    }
    ExitCode::SUCCESS
}
