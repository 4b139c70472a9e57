//! One host: what a person waits for.

use std::io;
use std::process::Command;
use std::sync::Arc;

use muster_bench::Meter;
use muster_testkit::home::Home;

use crate::cold::{LIMIT, start_server};
use crate::fleet::{Exchange, Fleet, address};
use crate::sample::{Cell, Sample, tail};
use crate::tools::{Kind, Tool};

/// Runs `true` on one host in every way by turns.
pub(crate) fn table(tools: &[Tool], fleet: &Fleet, repeat: usize) -> io::Result<Vec<Cell>> {
    let has = |kind: Kind| tools.iter().find(|tool| tool.kind == kind);
    let ssh = has(Kind::Xargs);
    let muster = has(Kind::Muster);
    let config = fleet.config(Exchange::Curve);
    let running = Home::new()
        .map_err(io::Error::other)?
        .with_env("MUSTER_SSH_CONFIG", &config);
    let meter = Meter::beside("one", Arc::clone(&fleet.far));
    if let Some(muster) = muster {
        start_server(muster, &running, &meter)?;
    }
    let labels = [
        "Muster, a new connection",
        "Muster, a warm connection",
        "Muster, its server started too",
        "ssh, curve25519-sha256",
        "ssh, its own key exchange",
    ];
    let mut cells: Vec<Cell> = labels.iter().map(|label| Cell::new(label, 1)).collect();
    for round in 0..=repeat {
        // A host that nothing is connected to.
        let host = address(500 + round);
        let fresh = Home::new()
            .map_err(io::Error::other)?
            .with_env("MUSTER_SSH_CONFIG", &config);
        let mut commands: Vec<(usize, Command)> = Vec::new();
        if let Some(muster) = muster {
            for (which, home) in [(0, &running), (1, &running), (2, &fresh)] {
                let mut command = home.command(&muster.program);
                command.args(["run", "true", "--output", "quiet", "--hosts", &host]);
                commands.push((which, command));
            }
        }
        if ssh.is_some() {
            for (which, exchange) in [(3, Exchange::Curve), (4, Exchange::Stock)] {
                let mut command = running.command("ssh");
                command
                    .arg("-F")
                    .arg(fleet.config(exchange))
                    .args([host.as_str(), "true"]);
                commands.push((which, command));
            }
        }
        for (which, mut command) in commands {
            let run = meter.run(&mut command, LIMIT)?;
            // The first round warms the caches of the machine.
            if round > 0 {
                let sample = Sample {
                    succeeded: run.succeeded().then_some(1),
                    said: tail(&run.output),
                    taken: run.taken,
                };
                cells[which].take(Ok(sample), false);
            }
        }
    }
    Ok(cells.into_iter().filter(Cell::has_runs).collect())
}
