//! Many who follow one task: that each sees every event, once and in order, and what it costs the server.
//!
//! ```text
//! cargo bench -p muster --bench followers
//! cargo bench -p muster --bench followers -- --followers 100 --hosts 100
//! ```

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark that cannot go on stops and says where"
)]

use std::process::{ExitCode, Stdio};
use std::time::Instant;

use futures_util::StreamExt;
use futures_util::future::join_all;
use muster_bench::{Flag, Options, Results, Row, Unit};
use muster_client::{Address, Client};
use muster_model::wire::Event;
use muster_model::{RunState, Stream, TaskId};
use muster_testkit::home::Home;
use muster_testkit::proc;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

const MUSTER: &str = env!("CARGO_BIN_EXE_muster");

const FLAGS: &[Flag] = &[
    Flag::value("followers", "N", "how many follow (default 1000)"),
    Flag::value("hosts", "N", "hosts of the task (default 1000)"),
];

fn main() -> ExitCode {
    let options = match Options::from_args("Many who follow one task.", FLAGS) {
        Ok(options) => options,
        Err(code) => return code,
    };
    let mut results = Results::new("followers", &options);
    if !options.only_saved() {
        let followers = options.number("followers").unwrap_or(1000).max(1);
        let hosts = options.number("hosts").unwrap_or(1000).max(1);
        results.add(measure(followers, hosts));
    }
    results.finish()
}

/// What one follower has seen of a run.
#[derive(Clone, Copy, Default)]
struct Seen {
    /// 1: it has started; 2: it has ended.
    step: u8,
    /// Where its output has come to.
    output: u64,
}

/// Follows a task to its end, and checks every event; returns how many there were.
async fn follow(client: Client, task: TaskId, hosts: usize) -> u64 {
    let mut seen = vec![Seen::default(); hosts];
    let mut events = client.events(task);
    let mut count = 0;
    while let Some(event) = events.next().await {
        let (_, event) = event.expect("an event");
        count += 1;
        match event {
            Event::Reset => panic!("the stream began anew"),
            Event::Task(_) => {}
            Event::Run(run) => {
                let step = match run.state {
                    RunState::Queued => 0,
                    RunState::Started => 1,
                    _ => 2,
                };
                let seen = &mut seen[run.index as usize];
                assert!(
                    step > seen.step || step == 0,
                    "run {} went back to {:?}",
                    run.index,
                    run.state
                );
                seen.step = step;
            }
            Event::Output(output) => {
                assert_eq!(output.stream, Stream::Stdout);
                let seen = &mut seen[output.index as usize];
                assert!(
                    output.offset >= seen.output,
                    "output of run {} came twice",
                    output.index
                );
                seen.output = output.offset + output.bytes.len() as u64;
            }
        }
    }
    assert!(
        seen.iter().all(|seen| seen.step == 2 && seen.output > 0),
        "something was not told"
    );
    count
}

fn measure(followers: usize, hosts: usize) -> Row {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("the limit of open files");
    setrlimit(Resource::RLIMIT_NOFILE, most.min(65_536), most).expect("as many files as followers");
    let home = Home::new().expect("a home");
    let go = home.path().join("go");
    let folder = home.path().display();
    // They begin when everybody listens, and each prints before and after that.
    let command = format!(
        "echo first; while test -d {folder} -a ! -e {}; do sleep 0.2; done; echo second",
        go.display()
    );
    let targets = format!("local://h[1-{hosts}]");
    let started = home
        .command(MUSTER)
        .args([
            "run",
            &command,
            "--hosts",
            &targets,
            "--detach",
            "--concurrency",
            "100",
        ])
        .stdin(Stdio::null())
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&started.stdout);
    let id = said.trim().rsplit(' ').next().and_then(|id| id.parse().ok());
    let task = TaskId(id.unwrap_or_else(|| panic!("{started:?}")));
    let server = home.servers().first().expect("the server").pid;
    let socket = home.runtime_dir().join("muster/server.sock");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (cpu, begun) = (proc::cpu(server), Instant::now());
    let all = (0..followers).map(|_| {
        let client = Client::new(Address::Unix(socket.clone()), env!("CARGO_PKG_VERSION"));
        follow(client, task, hosts)
    });
    let counts = runtime.block_on(async {
        let open = async {
            muster_runtime::clock::sleep(std::time::Duration::from_secs(3)).await;
            std::fs::write(&go, "").expect("the flag");
        };
        tokio::join!(join_all(all), open).0
    });
    let took = begun.elapsed();
    let spent = proc::cpu(server).saturating_sub(cpu);
    let peak = proc::peak_resident_bytes(server).unwrap_or(0);
    let told: u64 = counts.iter().sum();
    Row::new("followers", &format!("{followers} followers of {hosts} hosts"))
        .command("cargo bench -p muster --bench followers")
        .figure("events", Unit::Count, &[told as f64])
        .figure("wall", Unit::Seconds, &[took.as_secs_f64()])
        .figure(
            "server's CPU an event",
            Unit::Microseconds,
            &[spent.as_secs_f64() * 1e6 / told as f64],
        )
        .figure(
            "server's memory, peak",
            Unit::MiB,
            &[peak as f64 / f64::from(1 << 20)],
        )
}
