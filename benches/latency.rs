//! How long a person waits for the first byte of an answer: of commands against a server that runs, and from
//! nothing, with the server started and its database made; beside the start of other tools.
//!
//! ```text
//! cargo bench -p muster --bench latency
//! ```

#![expect(
    clippy::expect_used,
    reason = "a benchmark that cannot go on stops and says where"
)]

use std::io::Read;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use muster_bench::{Flag, Options, Plot, Results, Row, Unit, busy};
use muster_testkit::home::Home;

const MUSTER: &str = env!("CARGO_BIN_EXE_muster");

const FLAGS: &[Flag] = &[Flag::value(
    "repeat",
    "N",
    "starts of each (default 100; a tenth for slow ones)",
)];

/// Returns the milliseconds from the start of a program to the first byte that it writes.
fn first_byte(command: &mut Command) -> f64 {
    let (mut from, into) = std::io::pipe().expect("a pipe");
    command
        .stdin(Stdio::null())
        .stdout(into.try_clone().expect("a descriptor"))
        .stderr(into);
    let started = Instant::now();
    let mut child = command.spawn().expect("it starts");
    // The pipe's end in this process would keep it from ending.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut byte = [0];
    from.read_exact(&mut byte).expect("it answers");
    let waited = started.elapsed();
    let mut rest = Vec::new();
    from.read_to_end(&mut rest).expect("it ends");
    child.wait().expect("it ends");
    waited.as_secs_f64() * 1000.0
}

fn muster(home: &Home, args: &[&str]) -> Command {
    let mut command = home.command(MUSTER);
    command.args(args);
    command
}

/// Ends the server of a home.
fn stop(home: &Home) {
    let stopped = muster(home, &["server", "stop"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(stopped.is_ok_and(|status| status.success()), "the server stops");
}

/// Measures `count` starts and adds their row.
fn measure(results: &mut Results, table: &str, label: &str, count: usize, mut start: impl FnMut() -> f64) {
    // The first one reads the program from the disk.
    start();
    let busy_before = busy();
    let begun = Instant::now();
    let mut samples: Vec<f64> = (0..count).map(|_| start()).collect();
    let busy_share = (busy() - busy_before).as_secs_f64() / begun.elapsed().as_secs_f64();
    samples.sort_by(f64::total_cmp);
    let late = samples[(samples.len() * 95 / 100).min(samples.len() - 1)];
    println!("{label}: {:.1} ms, {late:.1} ms", muster_bench::median(&samples));
    results.add(
        Row::new(table, label)
            .command("cargo bench -p muster --bench latency")
            .note(&format!("{busy_share:.1} cores busy meanwhile"))
            .figure("first byte", Unit::Milliseconds, &samples)
            .figure("95 % within", Unit::Milliseconds, &[late]),
    );
}

fn main() -> ExitCode {
    let options = match Options::from_args("How long the first byte of an answer takes.", FLAGS) {
        Ok(options) => options,
        Err(code) => return code,
    };
    let mut results = Results::new("latency", &options);
    if !options.only_saved() {
        let repeat = options.number("repeat").unwrap_or(100).max(1);
        running(&mut results, repeat);
        from_nothing(&mut results, repeat.div_ceil(5));
        others(&mut results, repeat.div_ceil(10));
    }
    results.plot(Plot::bars(
        "start",
        "first byte",
        "Milliseconds to the first byte of an answer (shorter is better)",
    ));
    results.finish()
}

/// Commands against a server that runs.
fn running(results: &mut Results, repeat: usize) {
    let home = Home::new().expect("a home");
    first_byte(&mut muster(&home, &["run", "echo x", "--hosts", "localhost"]));
    for args in [
        &["tasks"][..],
        &["run", "echo x", "--hosts", "localhost"],
        &["run", "true", "--hosts", "localhost", "--json"],
        &["run", "true", "--hosts", "localhost", "--detach"],
    ] {
        let label = format!("Muster: muster {}", args.join(" "));
        measure(results, "start", &label, repeat, || {
            first_byte(&mut muster(&home, args))
        });
    }
}

/// The same where no server runs.
fn from_nothing(results: &mut Results, repeat: usize) {
    let run = ["run", "echo x", "--hosts", "localhost"];
    let label = "Muster: muster run, the server started too";
    let home = Home::new().expect("a home");
    measure(results, "start", label, repeat, || {
        let waited = first_byte(&mut muster(&home, &run));
        stop(&home);
        waited
    });
    let label = "Muster: muster run, the server started and its database made too";
    measure(results, "start", label, repeat, || {
        let home = Home::new().expect("a home");
        first_byte(&mut muster(&home, &run))
    });
}

/// What other tools take to say their version, which is the least that they do.
fn others(results: &mut Results, repeat: usize) {
    for (program, arg) in [
        ("ssh", "-V"),
        ("parallel-ssh", "--version"),
        ("clush", "--version"),
        ("ansible", "--version"),
        ("salt", "--version"),
    ] {
        let found = Command::new(program)
            .arg(arg)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok();
        if !found {
            println!("{program}: not installed");
            continue;
        }
        measure(results, "start", &format!("{program} {arg}"), repeat, || {
            first_byte(Command::new(program).arg(arg))
        });
    }
}
