//! The runs of one tool in one table, and the row that they become.

use std::io;
use std::time::Duration;

use muster_bench::{Row, Taken, Unit};

/// One run.
pub(crate) struct Sample {
    pub(crate) taken: Taken,
    /// How many hosts succeeded, as far as the tool tells.
    pub(crate) succeeded: Option<usize>,
    /// The end of what it printed, where it did not succeed everywhere.
    pub(crate) said: String,
}

/// All runs of one row.
pub(crate) struct Cell {
    pub(crate) label: String,
    hosts: usize,
    samples: Vec<Sample>,
    memory: Vec<f64>,
    spent: Duration,
    troubles: Vec<String>,
}

impl Cell {
    pub(crate) fn new(label: &str, hosts: usize) -> Self {
        Self {
            label: label.to_owned(),
            hosts,
            samples: Vec::new(),
            memory: Vec::new(),
            spent: Duration::ZERO,
            troubles: Vec::new(),
        }
    }

    /// Whether another run as long as those before fits into the budget; the first always does.
    pub(crate) fn has_time(&self, budget: Duration) -> bool {
        let runs = u32::try_from(self.samples.len()).unwrap_or(u32::MAX);
        runs == 0 || (self.troubles.is_empty() && self.spent + self.spent / runs <= budget)
    }

    /// Whether it has a run.
    pub(crate) fn has_runs(&self) -> bool {
        !self.samples.is_empty()
    }

    /// Takes a run: its memory alone, or everything else.
    pub(crate) fn take(&mut self, run: io::Result<Sample>, memory: bool) {
        let sample = match run {
            Ok(sample) => sample,
            Err(error) => {
                eprintln!("{}: {error}", self.label);
                self.troubles.push(error.to_string());
                return;
            }
        };
        let mut trouble = None;
        if sample.taken.late {
            trouble = Some("killed: it took too long".to_owned());
        } else if sample.succeeded != Some(self.hosts) {
            let number = sample
                .succeeded
                .map_or("an unknown number".to_owned(), |number| number.to_string());
            trouble = Some(format!("{number} of {} hosts succeeded", self.hosts));
        }
        if let Some(trouble) = trouble {
            eprintln!("{}: {trouble}\n{}", self.label, sample.said);
            self.troubles.push(trouble);
        }
        let what = if memory { "memory" } else { "run" };
        eprintln!(
            "    {:<34} {what:<6} {:>7.3} s, CPU {:>6.2} s, sshd's {:>6.2} s, other {:>5.2} s",
            self.label,
            sample.taken.wall.as_secs_f64(),
            sample.taken.near_cpu.as_secs_f64(),
            sample.taken.far_cpu.as_secs_f64(),
            sample.taken.other_cpu.as_secs_f64(),
        );
        if memory {
            self.memory
                .push(sample.taken.peak_memory as f64 / f64::from(1 << 20));
        } else {
            self.spent += sample.taken.wall;
            self.samples.push(sample);
        }
    }

    /// The row of its figures.
    pub(crate) fn row(&self, table: &str, command: &str) -> Row {
        let all = |of: &dyn Fn(&Sample) -> f64| self.samples.iter().map(of).collect::<Vec<f64>>();
        let a_host = 1000.0 / self.hosts as f64;
        let told: Vec<f64> = self
            .samples
            .iter()
            .filter_map(|sample| Some(sample.succeeded? as f64))
            .collect();
        let mut troubles = self.troubles.clone();
        troubles.dedup();
        Row::new(table, &self.label)
            .command(command)
            .note(&troubles.join("; "))
            .figure(
                "wall",
                Unit::Seconds,
                &all(&|sample| sample.taken.wall.as_secs_f64()),
            )
            .figure(
                "CPU a host",
                Unit::Milliseconds,
                &all(&|sample| sample.taken.near_cpu.as_secs_f64() * a_host),
            )
            .figure("peak memory", Unit::MiB, &self.memory)
            .figure(
                "sshd's CPU a host",
                Unit::Milliseconds,
                &all(&|sample| sample.taken.far_cpu.as_secs_f64() * a_host),
            )
            .figure(
                "CPU of others",
                Unit::Seconds,
                &all(&|sample| sample.taken.other_cpu.as_secs_f64()),
            )
            .figure("hosts", Unit::Count, &[self.hosts as f64])
            .figure("hosts that succeeded", Unit::Count, &told)
    }
}

/// The last lines of what a tool printed.
pub(crate) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join("\n")
}
