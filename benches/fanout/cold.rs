//! A connection for each host: nothing is kept from one run to the next.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use muster_bench::{Meter, Run};
use muster_testkit::home::Home;
use muster_testkit::{proc, wait};

use crate::command::{self, Kept};
use crate::fleet::Fleet;
use crate::sample::{Cell, Sample, tail};
use crate::tools::{Kind, Tool};

/// A run may take so long.
pub(crate) const LIMIT: Duration = Duration::from_secs(240);

/// What runs before the clock does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Before {
    /// Nothing: the whole program is measured.
    Nothing,
    /// A process that has not connected to any host: Muster's server, a program that has imported its library.
    Process,
}

/// A row of a cold table.
pub(crate) struct Case<'a> {
    pub(crate) tool: &'a Tool,
    pub(crate) before: Before,
}

impl Case<'_> {
    pub(crate) fn label(&self) -> String {
        let label = self.tool.kind.label();
        match (self.tool.kind, self.before) {
            (Kind::Muster, Before::Nothing) => format!("{label}, its server started too"),
            (Kind::Muster, Before::Process) | (_, Before::Nothing) => label.to_owned(),
            (_, Before::Process) => format!("{label}, imported before"),
        }
    }
}

/// The rows that a tool has in a cold table.
pub(crate) fn cases(tool: &Tool) -> Vec<Case<'_>> {
    let also_running = tool.kind == Kind::Muster || tool.kind.script().is_some();
    let before = if also_running {
        vec![Before::Process, Before::Nothing]
    } else {
        vec![Before::Nothing]
    };
    before.into_iter().map(|before| Case { tool, before }).collect()
}

/// Runs a case once; `memory` looks at memory instead of time.
pub(crate) fn run(
    case: &Case<'_>,
    fleet: &Fleet,
    config: &Path,
    count: usize,
    memory: bool,
) -> io::Result<Sample> {
    wait_for_calm(fleet)?;
    let logins = fleet.sshd.logins();
    let home = Home::new()
        .map_err(io::Error::other)?
        .with_env("MUSTER_SSH_CONFIG", config);
    let meter = Meter::beside("cold", Arc::clone(&fleet.far));
    let mut sample = if case.before == Before::Process && case.tool.kind.script().is_some() {
        let mut kept = Kept::start(case.tool, fleet, &home, &meter, count)?;
        ask(&mut kept, &meter, memory)
    } else {
        if case.before == Before::Process {
            start_server(case.tool, &home, &meter)?;
        }
        let mut command = command::of(case.tool, fleet, &home, config, count)?;
        sample_of(case.tool.kind, run_measured(&meter, &mut command, memory)?, count)
    };
    let logins = fleet.sshd.logins() - logins;
    if sample.succeeded == Some(count) && logins != count {
        sample.said = format!("sshd let in {logins} and not {count}");
        sample.succeeded = None;
    }
    Ok(sample)
}

/// Has a kept program run the command, and measures it.
pub(crate) fn ask(kept: &mut Kept, meter: &Meter, memory: bool) -> Sample {
    let (succeeded, taken) = meter.over(kept.group(), LIMIT, memory, || kept.run());
    Sample {
        taken,
        succeeded,
        said: String::new(),
    }
}

/// Runs a command with its time or its memory measured.
pub(crate) fn run_measured(
    meter: &Meter,
    command: &mut std::process::Command,
    memory: bool,
) -> io::Result<Run> {
    if memory {
        meter.run_for_memory(command, LIMIT)
    } else {
        meter.run(command, LIMIT)
    }
}

/// What became of a run on `count` hosts.
pub(crate) fn sample_of(kind: Kind, run: Run, count: usize) -> Sample {
    let succeeded = command::succeeded(kind, &run, count);
    Sample {
        taken: run.taken,
        succeeded,
        said: tail(&run.output),
    }
}

/// Starts Muster's server by a command that reaches no host.
pub(crate) fn start_server(muster: &Tool, home: &Home, meter: &Meter) -> io::Result<()> {
    let run = meter.run(home.command(&muster.program).arg("tasks"), LIMIT)?;
    if run.succeeded() {
        Ok(())
    } else {
        Err(io::Error::other(format!(
            "the server does not start: {}",
            run.output
        )))
    }
}

/// Waits until sshd serves nobody, so that what it does for a run is counted with that run alone.
fn wait_for_calm(fleet: &Fleet) -> io::Result<()> {
    wait::blocking(Duration::from_secs(60), "sshd to serve nobody", || {
        let pid = fleet.sshd.pid()?;
        proc::descendants(pid).is_empty().then_some(())
    })
    .map_err(io::Error::other)
}

/// Runs all cases by turns: noise of the machine hits all alike.
pub(crate) fn table(
    cases: &[Case<'_>],
    fleet: &Fleet,
    config: &Path,
    count: usize,
    (repeat, budget): (usize, Duration),
) -> Vec<Cell> {
    let mut cells: Vec<Cell> = cases.iter().map(|case| Cell::new(&case.label(), count)).collect();
    for round in 0..=repeat {
        for (case, cell) in cases.iter().zip(&mut cells) {
            // The first round warms the caches of the machine, and looks at memory.
            let memory = round == 0;
            if memory || cell.has_time(budget) {
                cell.take(run(case, fleet, config, count, memory), memory);
            }
        }
    }
    cells
}
