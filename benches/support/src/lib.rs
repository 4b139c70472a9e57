//! What the benchmarks share: who used how much processor and memory, a file of results, the tables of
//! `docs/benchmarks.md` and the plots beside them. It measures and writes; it knows nothing of Muster.
//!
//! A benchmark is a target with `harness = false` whose `main` does this:
//!
//! ```no_run
//! use std::process::{Command, ExitCode};
//! use std::time::Duration;
//! use muster_bench::{Flag, Meter, Options, Plot, Results, Row, Unit};
//!
//! const FLAGS: &[Flag] = &[Flag::value("repeat", "N", "runs of each (default 3)")];
//!
//! fn main() -> ExitCode {
//!     let options = match Options::from_args("What an example costs.", FLAGS) {
//!         Ok(options) => options,
//!         Err(code) => return code,
//!     };
//!     let repeat = options.number("repeat").unwrap_or(3);
//!     let meter = Meter::new();
//!     // A server of the far side: everything that it starts from now on is the far side's.
//!     // meter.far.adopt(sshd.pid());
//!     let mut results = Results::new("example", &options);
//!     let (mut wall, mut cpu) = (Vec::new(), Vec::new());
//!     for _ in 0..repeat {
//!         // Starts it on the near side and waits for it; daemons that it leaves are on the near side too.
//!         match meter.run(Command::new("sleep").arg("0.1"), Duration::from_secs(60)) {
//!             Ok(run) => {
//!                 wall.push(run.wall.as_secs_f64());
//!                 cpu.push(run.near_cpu.as_secs_f64() * 1000.0);
//!             }
//!             Err(error) => eprintln!("no figures: {error}"),
//!         }
//!     }
//!     results.add(
//!         Row::new("sleeping", "sleep 0.1")
//!             .command("cargo bench -p muster --bench example")
//!             .figure("wall", Unit::Seconds, &wall)
//!             .figure("CPU", Unit::Milliseconds, &cpu),
//!     );
//!     results.plot(Plot::bars("sleeping", "wall", "How long sleep sleeps"));
//!     results.finish()
//! }
//! ```
//!
//! - Work inside the benchmark's own process is measured with [`own`].
//! - `finish` prints each table and writes `target/benchmarks/NAME.jsonl` and its plots. With `--save` they go to
//!   `docs/benchmarks/` instead, and the tables of `docs/benchmarks.md` that stand between
//!   `<!-- figures NAME/TABLE -->` and `<!-- end of figures -->` are written anew: no figure there is typed by
//!   hand. A row replaces the row with its table and label and leaves the others, so that a part can be
//!   measured again.
//! - `--saved` measures nothing and writes tables and plots from what was saved: ask
//!   [`Options::only_saved`] before measuring.
//! - Each figure is the median of its samples; lowest and highest are kept in the file.
//! - CPU of whole process trees comes from cgroups (version 1 `cpuacct`, else version 2 `cpu.stat`), which need
//!   root or a delegated group; elsewhere from `getrusage` and `/proc`, which miss processes that have left their
//!   parents. [`Meter::accounting`] says which.

mod account;
mod machine;
mod measure;
mod options;
mod page;
mod plot;
mod results;
mod row;

pub use account::Side;
pub use machine::{busy, describe as machine, listen_overflows, own_peak_memory};
pub use measure::{Cost, Meter, Run, Taken, own};
pub use options::{Flag, Options};
pub use page::fill as fill_page;
pub use plot::Plot;
pub use results::{Results, docs};
pub use row::{Figure, Row, Unit, median};
