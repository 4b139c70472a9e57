//! Connections that are kept: the second and later commands.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use muster_bench::Meter;
use muster_testkit::home::Home;

use crate::cold::{ask, run_measured, sample_of, start_server};
use crate::command::{self, Kept};
use crate::fleet::{Exchange, Fleet};
use crate::sample::{Cell, Sample};
use crate::tools::{Kind, Tool};

/// A tool with what keeps its connections.
struct Keeper<'a> {
    tools: Vec<(&'a Tool, String)>,
    home: Home,
    meter: Meter,
    config: PathBuf,
    process: Option<Kept>,
}

impl Keeper<'_> {
    fn run(&mut self, which: usize, fleet: &Fleet, count: usize, memory: bool) -> io::Result<Sample> {
        if let Some(kept) = &mut self.process {
            return Ok(ask(kept, &self.meter, memory));
        }
        let tool = self.tools[which].0;
        let mut command = command::of(tool, fleet, &self.home, &self.config, count)?;
        Ok(sample_of(
            tool.kind,
            run_measured(&self.meter, &mut command, memory)?,
            count,
        ))
    }
}

/// Opens the connections of all tools, then runs them by turns over what they keep. The tools that run ssh share
/// one set of ControlMaster connections.
pub(crate) fn table(
    tools: &[Tool],
    fleet: &Fleet,
    count: usize,
    (repeat, budget): (usize, Duration),
) -> io::Result<Vec<Cell>> {
    let mut keepers = keepers(tools, fleet, count)?;
    let mut cells: Vec<Vec<Cell>> = keepers
        .iter()
        .map(|keeper| {
            keeper
                .tools
                .iter()
                .map(|(_, label)| Cell::new(label, count))
                .collect()
        })
        .collect();
    for round in 0..=repeat {
        for (keeper, cells) in keepers.iter_mut().zip(&mut cells) {
            for (which, cell) in cells.iter_mut().enumerate() {
                let memory = round == 0;
                if memory || cell.has_time(budget) {
                    cell.take(keeper.run(which, fleet, count, memory), memory);
                }
            }
        }
    }
    Ok(cells.into_iter().flatten().collect())
}

/// Starts what keeps connections, and has it connect to every host.
fn keepers<'a>(tools: &'a [Tool], fleet: &Fleet, count: usize) -> io::Result<Vec<Keeper<'a>>> {
    let mut keepers = Vec::new();
    let mut masters: Vec<(&Tool, String)> = Vec::new();
    for tool in tools {
        let label = tool.kind.label();
        if tool.kind.runs_ssh() {
            masters.push((tool, format!("{label}, ControlMaster")));
            continue;
        }
        let config = fleet.config(Exchange::Curve);
        let home = home()?.with_env("MUSTER_SSH_CONFIG", &config);
        let meter = Meter::beside(tool.kind.word(), Arc::clone(&fleet.far));
        let process = if tool.kind == Kind::Muster {
            start_server(tool, &home, &meter)?;
            None
        } else {
            Some(Kept::start(tool, fleet, &home, &meter, count)?)
        };
        let label = if process.is_some() {
            format!("{label}, connections kept")
        } else {
            label.to_owned()
        };
        keepers.push(Keeper {
            tools: vec![(tool, label)],
            home,
            meter,
            config,
            process,
        });
    }
    if !masters.is_empty() {
        let home = home()?;
        let config = fleet.config_with_masters(&home)?;
        keepers.push(Keeper {
            tools: masters,
            home,
            meter: Meter::beside("masters", Arc::clone(&fleet.far)),
            config,
            process: None,
        });
    }
    for keeper in &mut keepers {
        let opened = keeper.run(0, fleet, count, false)?;
        eprintln!(
            "    {:<34} opened {:>7.3} s",
            keeper.tools[0].1,
            opened.taken.wall.as_secs_f64()
        );
    }
    Ok(keepers)
}

fn home() -> io::Result<Home> {
    Home::new().map_err(io::Error::other)
}
