//! What a server costs that has nothing to do: memory, processor time, and how often it wakes up. After a first
//! task, with or without SSH connections that are kept for the next one.
//!
//! ```text
//! cargo bench -p muster --bench idle
//! cargo bench -p muster --bench idle -- --connections 0,200 --seconds 30
//! ```

#![expect(
    clippy::expect_used,
    reason = "a benchmark that cannot go on stops and says where"
)]

use std::collections::BTreeMap;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use muster_bench::{Flag, Options, Results, Row, Unit};
use muster_testkit::home::Home;
use muster_testkit::proc;
use muster_testkit::sshd::Sshd;

const MUSTER: &str = env!("CARGO_BIN_EXE_muster");

const FLAGS: &[Flag] = &[
    Flag::value("connections", "N,...", "kept SSH connections (default 0,200)"),
    Flag::value("seconds", "N", "how long to watch (default 30)"),
];

fn muster(home: &Home, args: &[&str]) {
    let status = home
        .command(MUSTER)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status();
    assert!(status.is_ok_and(|status| status.success()), "muster {args:?}");
}

/// What the threads of a process have done so far.
struct Threads {
    /// Their processor time.
    cpu: Duration,
    /// How often each thread woke up, by its number.
    wakes: BTreeMap<u32, u64>,
}

impl Threads {
    fn of(pid: u32) -> Self {
        let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("its threads");
        let wakes = threads.filter_map(|entry| {
            let entry = entry.ok()?;
            let status = std::fs::read_to_string(entry.path().join("status")).ok()?;
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
            Some((
                entry.file_name().to_str()?.parse().ok()?,
                line.trim().parse().ok()?,
            ))
        });
        Self {
            cpu: proc::cpu(pid),
            wakes: wakes.collect(),
        }
    }

    /// Returns how often all threads woke up since `before`.
    fn wakes_since(&self, before: &Self) -> u64 {
        let wakes = self.wakes.iter();
        wakes
            .map(|(thread, wakes)| wakes.saturating_sub(before.wakes.get(thread).copied().unwrap_or(0)))
            .sum()
    }
}

fn main() -> ExitCode {
    let options = match Options::from_args("What a server costs that has nothing to do.", FLAGS) {
        Ok(options) => options,
        Err(code) => return code,
    };
    let mut results = Results::new("idle", &options);
    if !options.only_saved() {
        let seconds = options.number("seconds").unwrap_or(30).max(1);
        let counts = options
            .list("connections")
            .unwrap_or(vec!["0".into(), "200".into()]);
        for count in counts.iter().filter_map(|count| count.parse().ok()) {
            if let Err(why) = watch(&mut results, count, seconds) {
                eprintln!("no figures with {count} connections: {why}");
            }
        }
    }
    results.finish()
}

fn watch(results: &mut Results, connections: u32, seconds: usize) -> Result<(), String> {
    let mut home = Home::new().expect("a home");
    let _sshd = if connections == 0 {
        muster(
            &home,
            &["run", "true", "--hosts", "localhost", "--output", "quiet"],
        );
        None
    } else {
        let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
        let sshd = Sshd::builder().listen_all_loopback().max_startups("2000").start();
        let sshd = runtime.block_on(sshd).map_err(|error| error.to_string())?;
        home.set_env("MUSTER_SSH_CONFIG", sshd.ssh_config());
        let hosts = format!("127.0.1.[1-{connections}]");
        muster(&home, &["run", "true", "--hosts", &hosts, "--output", "quiet"]);
        Some((sshd, runtime))
    };
    let server = home.servers().first().expect("the server").pid;
    // What a task leaves to be done right after it is not idleness.
    std::thread::sleep(Duration::from_secs(3));
    let before = Threads::of(server);
    std::thread::sleep(Duration::from_secs(u64::try_from(seconds).unwrap_or(30)));
    let after = Threads::of(server);
    let resident = proc::resident_bytes(server).unwrap_or(0);
    results.add(
        Row::new("idle", &format!("{connections} kept SSH connections"))
            .command("cargo bench -p muster --bench idle")
            .note(&format!("watched for {seconds} s"))
            .figure("memory", Unit::MiB, &[resident as f64 / f64::from(1 << 20)])
            .figure(
                "CPU",
                Unit::Milliseconds,
                &[after.cpu.saturating_sub(before.cpu).as_secs_f64() * 1000.0],
            )
            .figure("wakes", Unit::Count, &[after.wakes_since(&before) as f64])
            .figure("threads", Unit::Count, &[after.wakes.len() as f64]),
    );
    Ok(())
}
