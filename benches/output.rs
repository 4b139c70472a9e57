//! What it costs to follow output: many hosts that print at a steady pace, 100 MB/s in all, with 1 and with 100
//! followers, and with one that never reads; and a gibibyte of one host through a pipe, beside the run alone.
//!
//! ```text
//! cargo bench -p muster --bench output
//! cargo bench -p muster --bench output -- --followers 1,10 --seconds 5 --hosts 50
//! ```
//!
//! The hosts are this machine, many times over: what prints is this benchmark's own binary, which also says whether
//! it could print at its pace. Processor time is that of Muster's processes alone.

#![expect(
    clippy::expect_used,
    reason = "a benchmark that cannot go on stops and says where"
)]

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ExitCode, Stdio};
use std::time::{Duration, Instant};

use muster_bench::{Flag, Options, Results, Row, Unit};
use muster_testkit::home::Home;
use muster_testkit::proc;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

const MUSTER: &str = env!("CARGO_BIN_EXE_muster");
/// What all hosts print together, in bytes a second.
const PACE: u64 = 100_000_000;
const COMMAND: &str = "cargo bench -p muster --bench output";

const FLAGS: &[Flag] = &[
    Flag::value("followers", "N,...", "how many follow (default 0,1,100)"),
    Flag::value("hosts", "N", "how many hosts print (default 50)"),
    Flag::value("seconds", "N", "how long they print (default 5)"),
    Flag::value("only", "NAME", "pace or pipe"),
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [word, pace, seconds, folder] = &words[..]
        && word == "print"
    {
        let number = |text: &str| text.parse().expect("a number");
        print_at_pace(number(pace), number(seconds), Path::new(folder));
        return ExitCode::SUCCESS;
    }
    let options = match Options::from_args("What it costs to follow output.", FLAGS) {
        Ok(options) => options,
        Err(code) => return code,
    };
    let mut results = Results::new("output", &options);
    let wanted = |name| options.value("only").is_none_or(|only| only == name);
    if !options.only_saved() && wanted("pipe") {
        pipe(&mut results);
    }
    if !options.only_saved() && wanted("pace") {
        let hosts = options.number("hosts").unwrap_or(50).max(1) as u64;
        let seconds = options.number("seconds").unwrap_or(5).max(1) as u64;
        let followers = options
            .list("followers")
            .unwrap_or(vec!["0".into(), "1".into(), "100".into()]);
        for count in followers.iter().filter_map(|count| count.parse().ok()) {
            followed(&mut results, hosts, seconds, count, false);
        }
        followed(&mut results, hosts, seconds, 1, true);
    }
    results.finish()
}

/// Prints lines at a pace, and says in a file of `folder` how many milliseconds that took.
fn print_at_pace(bytes_a_second: u64, seconds: u64, folder: &Path) {
    const STEPS: u64 = 50;
    let line = [vec![b'm'; 99], vec![b'\n']].concat();
    let step = line.repeat(usize::try_from(bytes_a_second / STEPS / 100).unwrap_or(1).max(1));
    let mut out = std::io::stdout().lock();
    let started = Instant::now();
    for number in 1..=seconds * STEPS {
        out.write_all(&step).expect("somebody reads");
        let due = Duration::from_millis(number * 1000 / STEPS);
        std::thread::sleep(due.saturating_sub(started.elapsed()));
    }
    let taken = started.elapsed().as_millis().to_string();
    std::fs::write(folder.join(std::process::id().to_string()), taken).expect("a word");
}

/// Processor time of the children that were waited for.
fn cpu_of_children() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("rusage");
    let of = |time: nix::sys::time::TimeVal| {
        Duration::from_micros(u64::try_from(time.num_microseconds()).unwrap_or(0))
    };
    of(usage.user_time()) + of(usage.system_time())
}

/// A home with a server that runs.
struct Place {
    home: Home,
    server: u32,
}

impl Place {
    fn new() -> Self {
        let home = Home::new().expect("a home");
        let warmed = home
            .command(MUSTER)
            .arg("tasks")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(warmed.is_ok_and(|status| status.success()), "the server starts");
        let server = home.servers().first().expect("the server").pid;
        Self { home, server }
    }

    fn muster(&self, args: &[&str], stdout: Stdio) -> Child {
        let mut command = self.home.command(MUSTER);
        command.args(args).stdin(Stdio::null()).stderr(Stdio::null());
        command.stdout(stdout).spawn().expect("muster starts")
    }

    fn peak(&self) -> f64 {
        proc::peak_resident_bytes(self.server).unwrap_or(0) as f64 / f64::from(1 << 20)
    }
}

fn finish(mut child: Child) {
    let status = child.wait().expect("it ends");
    assert!(status.success(), "{status}");
}

/// Reads to the end; returns how many bytes there were.
fn drain(mut from: impl Read) -> u64 {
    let mut room = vec![0; 1 << 20];
    let mut whole = 0;
    loop {
        match from.read(&mut room).expect("it is read") {
            0 => return whole,
            some => whole += some as u64,
        }
    }
}

/// A gibibyte of text from one host: the run alone, then with its output through a pipe.
fn pipe(results: &mut Results) {
    const SIZE: u64 = 1 << 30;
    let make = format!("head -c {SIZE} /dev/zero | tr '\\0' 'm'");
    for (label, mode) in [
        ("Muster: the run alone", "quiet"),
        ("Muster: through a pipe", "live"),
    ] {
        let (mut wall, mut client, mut server) = (Vec::new(), Vec::new(), Vec::new());
        let place = Place::new();
        for _ in 0..3 {
            let before = (cpu_of_children(), proc::cpu(place.server));
            let started = Instant::now();
            let args = [
                "run",
                &make,
                "--max-output",
                "2GiB",
                "--hosts",
                "localhost",
                "--output",
                mode,
            ];
            let mut child = place.muster(&args, Stdio::piped());
            let read = drain(child.stdout.take().expect("a pipe"));
            finish(child);
            assert!(mode == "quiet" || read == SIZE, "{read} bytes came");
            wall.push(started.elapsed().as_secs_f64());
            client.push((cpu_of_children() - before.0).as_secs_f64());
            server.push((proc::cpu(place.server) - before.1).as_secs_f64());
        }
        results.add(
            Row::new("pipe", label)
                .command(COMMAND)
                .figure("wall", Unit::Seconds, &wall)
                .figure("CPU of the command", Unit::Seconds, &client)
                .figure("CPU of the server", Unit::Seconds, &server)
                .figure("peak memory of the server", Unit::MiB, &[place.peak()]),
        );
    }
}

/// Many hosts at a pace, with followers.
fn followed(results: &mut Results, hosts: u64, seconds: u64, followers: usize, with_a_stuck_one: bool) {
    let place = Place::new();
    let words = tempfile::tempdir().expect("a folder");
    let me = std::env::current_exe().expect("this program");
    let command = format!(
        "{} print {} {seconds} {}",
        me.display(),
        PACE / hosts,
        words.path().display()
    );
    let before = proc::cpu(place.server);
    let started = Instant::now();
    let pattern = format!("local://h[1-{hosts}]");
    let args = [
        "run",
        &command,
        "--hosts",
        &pattern,
        "--max-output",
        "2GiB",
        "--detach",
    ];
    let mut submit = place.muster(&args, Stdio::piped());
    let mut said = String::new();
    let mut out = submit.stdout.take().expect("a pipe");
    out.read_to_string(&mut said).expect("text");
    finish(submit);
    let id = said
        .trim()
        .strip_prefix("task id: ")
        .expect("a task's number")
        .to_owned();
    let follow = |stdout| place.muster(&["follow", &id], stdout);
    let stuck = with_a_stuck_one.then(|| follow(Stdio::piped()));
    let children = cpu_of_children();
    let all: Vec<Child> = (0..followers).map(|_| follow(Stdio::null())).collect();
    finish(place.muster(&["follow", &id, "--output", "quiet"], Stdio::null()));
    let run = started.elapsed();
    all.into_iter().for_each(finish);
    let last = started.elapsed();
    let client = cpu_of_children() - children;
    let server = proc::cpu(place.server) - before;
    if let Some(mut stuck) = stuck {
        assert!(
            stuck.try_wait().expect("its state").is_none(),
            "it waits for its reader"
        );
        stuck.kill().expect("it ends");
        stuck.wait().expect("it ends");
    }
    let slowest = std::fs::read_dir(words.path())
        .expect("the folder")
        .filter_map(|entry| {
            std::fs::read_to_string(entry.ok()?.path())
                .ok()?
                .parse::<f64>()
                .ok()
        })
        .fold(0.0, f64::max);
    let delivered = (PACE * seconds) as f64 * followers as f64 / last.as_secs_f64() / 1e6;
    let label = match (followers, with_a_stuck_one) {
        (1, false) => "1 follower".to_owned(),
        (1, true) => "1 follower, and one that never reads".to_owned(),
        (count, _) => format!("{count} followers"),
    };
    results.add(
        Row::new("pace", &label)
            .command(COMMAND)
            .note(&format!("{hosts} hosts, 100 MB/s in all, for {seconds} s"))
            .figure("slowest host", Unit::Seconds, &[slowest / 1000.0])
            .figure("run", Unit::Seconds, &[run.as_secs_f64()])
            .figure("last follower", Unit::Seconds, &[last.as_secs_f64()])
            .figure("delivered", Unit::MegabytesPerSecond, &[delivered])
            .figure("CPU of the server", Unit::Seconds, &[server.as_secs_f64()])
            .figure(
                "CPU of a follower",
                Unit::Seconds,
                &[client.as_secs_f64() / followers.max(1) as f64],
            )
            .figure("peak memory of the server", Unit::MiB, &[place.peak()]),
    );
}
