//! What it costs to run a command on many hosts at once, side by side with the tools that people use for it:
//! wall time, CPU and memory of everything that is the tool's, for hosts that are one sshd on many loopback
//! addresses.
//!
//!     cargo bench -p muster --bench fanout                                  # everything, some 25 minutes
//!     cargo bench -p muster --bench fanout -- --hosts 200 --only muster,pssh --repeat 5
//!     cargo bench -p muster --bench fanout -- --parts one
//!
//! sshd shares the machine with the tool: wall times hold the cost of both.

#![expect(
    clippy::expect_used,
    reason = "a benchmark that cannot go on stops and says where"
)]

mod cold;
mod command;
mod fleet;
mod goals;
mod sample;
mod single;
mod tools;
mod warm;

use std::process::ExitCode;
use std::time::Duration;

use muster_bench::{Flag, Meter, Options, Plot, Results, Row};

use cold::Case;
use fleet::{Exchange, Fleet};
use sample::Cell;
use tools::{Kind, Tool};

const FLAGS: &[Flag] = &[
    Flag::value("hosts", "N,...", "how many hosts (50,200,500)"),
    Flag::value(
        "only",
        "TOOL,...",
        "muster, pssh, clush, xargs, asyncssh, parallel-ssh, ansible",
    ),
    Flag::value("repeat", "N", "runs of each, by turns (3)"),
    Flag::value(
        "budget",
        "SECONDS",
        "no further run of a tool that has used so much in a table (60)",
    ),
    Flag::value("parts", "PART,...", "cold, warm, stock, one, startups"),
];

struct Bench {
    runtime: tokio::runtime::Runtime,
    tools: Vec<Tool>,
    counts: Vec<usize>,
    parts: Option<Vec<String>>,
    repeat: usize,
    budget: Duration,
    command: String,
    results: Results,
}

fn main() -> ExitCode {
    let about = "What it costs to run `true` on many hosts, side by side with other tools.";
    let options = match Options::from_args(about, FLAGS) {
        Ok(options) => options,
        Err(code) => return code,
    };
    let mut results = Results::new("fanout", &options);
    plots(&mut results);
    if options.only_saved() {
        return results.finish();
    }
    let only = options.list("only");
    let wanted = |kind: &Kind| {
        only.as_ref()
            .is_none_or(|only| only.iter().any(|word| word == kind.word()))
    };
    let mut bench = Bench {
        runtime: tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .expect("a runtime"),
        tools: found(&tools::ALL.into_iter().filter(wanted).collect::<Vec<Kind>>()),
        counts: options.list("hosts").map_or_else(
            || vec![50, 200, 500],
            |words| words.iter().filter_map(|word| word.parse().ok()).collect(),
        ),
        parts: options.list("parts"),
        repeat: options.number("repeat").unwrap_or(3),
        budget: Duration::from_secs(options.number("budget").unwrap_or(60) as u64),
        command: command_line(),
        results,
    };
    match bench.run() {
        Ok(()) => bench.results.finish(),
        Err(why) => {
            eprintln!("no further figures: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Finds the tools, and says what is missing.
fn found(kinds: &[Kind]) -> Vec<Tool> {
    let mut found = Vec::new();
    for kind in kinds {
        match tools::find(*kind, env!("CARGO_BIN_EXE_muster")) {
            Ok(tool) => {
                eprintln!(
                    "{:<14} {} ({})",
                    kind.word(),
                    tool.version,
                    tool.program.display()
                );
                found.push(tool);
            }
            Err(how) => eprintln!("{:<14} MISSING; to install it: {how}", kind.word()),
        }
    }
    found
}

fn command_line() -> String {
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !["--bench", "--save"].contains(&word.as_str()))
        .collect();
    let rest = if words.is_empty() {
        String::new()
    } else {
        format!(" -- {}", words.join(" "))
    };
    format!("cargo bench -p muster --bench fanout{rest}")
}

fn plots(results: &mut Results) {
    for count in [50, 200, 500] {
        let cold = format!("`true` on {count} hosts, a new connection to each (less is better)");
        results.plot(Plot::bars(&format!("cold-{count}"), "wall", &cold));
        results.plot(Plot::bars(&format!("cold-{count}"), "CPU a host", &cold));
        results.plot(Plot::bars(&format!("cold-{count}"), "peak memory", &cold));
        let warm = format!("`true` on {count} hosts, connections kept (less is better)");
        results.plot(Plot::bars(&format!("warm-{count}"), "wall", &warm));
        results.plot(Plot::bars(&format!("warm-{count}"), "CPU a host", &warm));
    }
    results.plot(Plot::bars(
        "one-host",
        "wall",
        "`true` on one host (less is better)",
    ));
}

impl Bench {
    fn wants(&self, part: &str) -> bool {
        self.parts
            .as_ref()
            .is_none_or(|parts| parts.iter().any(|word| word == part))
    }

    fn run(&mut self) -> Result<(), String> {
        let fleet = Fleet::start(&self.runtime, "roomy", Some("2000"))?;
        eprintln!("CPU is counted by: {}", Meter::new().accounting());
        for tool in &self.tools {
            let row = Row::new("versions", tool.kind.word()).note(&tool.version);
            self.results.add(row);
        }
        let say = |error: std::io::Error| error.to_string();
        if self.wants("one") {
            let cells = single::table(&self.tools, &fleet, self.repeat.max(11)).map_err(say)?;
            self.add("one-host", &cells);
        }
        for count in self.counts.clone() {
            if self.wants("cold") {
                self.cold(&format!("cold-{count}"), &fleet, Exchange::Curve, count);
            }
            if self.wants("warm") {
                eprintln!("warm-{count}");
                let effort = (self.repeat, self.budget);
                let cells = warm::table(&self.tools, &fleet, count, effort).map_err(say)?;
                self.add(&format!("warm-{count}"), &cells);
            }
        }
        if self.wants("stock") && self.counts.contains(&200) {
            self.cold("stock-200", &fleet, Exchange::Stock, 200);
        }
        drop(fleet);
        if self.wants("startups") && self.counts.contains(&500) {
            self.startups()?;
        }
        goals::add(&mut self.results);
        Ok(())
    }

    fn cold(&mut self, table: &str, fleet: &Fleet, exchange: Exchange, count: usize) {
        eprintln!("{table}");
        // With their own key exchange only those that run ssh are other than before; Muster stands beside them.
        let tools: Vec<&Tool> = self
            .tools
            .iter()
            .filter(|tool| exchange == Exchange::Curve || tool.kind.runs_ssh() || tool.kind == Kind::Muster)
            .collect();
        let mut cases: Vec<Case<'_>> = tools.into_iter().flat_map(cold::cases).collect();
        let mut repeat = self.repeat;
        if exchange == Exchange::Stock {
            cases.retain(|case| case.tool.kind != Kind::Muster || case.before == cold::Before::Process);
            repeat = 1;
        }
        let cells = cold::table(
            &cases,
            fleet,
            &fleet.config(exchange),
            count,
            (repeat, self.budget),
        );
        self.add(table, &cells);
    }

    /// sshd at its default limit of connections that have not logged in: who opens them too fast is dropped.
    fn startups(&mut self) -> Result<(), String> {
        eprintln!("default-maxstartups-500");
        let fleet = Fleet::start(&self.runtime, "default", None)?;
        let tools: Vec<Tool> = self
            .tools
            .iter()
            .filter(|tool| [Kind::Muster, Kind::Pssh, Kind::Asyncssh].contains(&tool.kind))
            .cloned()
            .collect();
        let mut cells = Vec::new();
        for tool in &tools {
            let mut cases = cold::cases(tool);
            cases.truncate(1);
            let repeat = if tool.kind == Kind::Muster { self.repeat } else { 1 };
            let config = fleet.config(Exchange::Curve);
            cells.extend(cold::table(&cases, &fleet, &config, 500, (repeat, self.budget)));
        }
        self.add("default-maxstartups-500", &cells);
        Ok(())
    }

    fn add(&mut self, table: &str, cells: &[Cell]) {
        for cell in cells {
            self.results.add(cell.row(table, &self.command));
        }
    }
}
