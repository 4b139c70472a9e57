//! How many runs a second the engine takes from the submit to the announced end, on a transport that does
//! nothing: what is left is the engine, its queue and its database on disk. Beside it, where it is installed,
//! Celery with as many tasks that do nothing.
//!
//!     cargo bench -p muster-engine --bench engine                       # 1,000, 10,000 and 100,000 runs
//!     cargo bench -p muster-engine --bench engine -- --runs 10000 --only muster
//!
//!     cargo bench -p muster-engine --bench engine -- --only databases   # SQLite, PostgreSQL and MariaDB side by side
//!     cargo bench -p muster-engine --bench engine -- --only servers     # one and three, on RabbitMQ, Redis and PostgreSQL;
//!                                                                       # and how long one run takes there
//!
//! Each run is written with its task, published, taken, started by compare-and-set and settled, both durable
//! (SQLite, WAL, `synchronous = FULL`), announced, and seen by a follower that reads every event.

#![expect(
    clippy::expect_used,
    reason = "a benchmark that cannot go on stops and says where"
)]

mod celery;
mod muster;
mod nothing;

use std::process::ExitCode;
use std::time::Duration;

use muster_bench::{Flag, Options, Plot, Results, Row, Unit};
use muster_testkit::{Disk, MariaDb, Postgres, RabbitMq, Redis};

use muster::{Rooms, Took};

const COMMAND: &str = "cargo bench -p muster-engine --bench engine";
/// So many runs, each submitted when the one before has ended, tell how long one takes.
const ONE_BY_ONE: u32 = 200;
const FLAGS: &[Flag] = &[
    Flag::value("runs", "N,...", "runs of a task (1000,10000,100000)"),
    Flag::value("repeat", "N", "tasks of each size, one after the other (3)"),
    Flag::value("only", "NAME", "muster, databases, servers or celery"),
    Flag::value("celery-tasks", "N", "tasks for Celery (10000)"),
];

/// With thousands set apart.
fn told(count: u32) -> String {
    match (count / 1000, count % 1000) {
        (0, rest) => rest.to_string(),
        (thousands, rest) => format!("{thousands},{rest:03}"),
    }
}

fn row_of(table: &str, label: &str, runs: u32, took: &[Took]) -> Row {
    let of = |figure: fn(&Took, f64) -> f64| -> Vec<f64> {
        took.iter().map(|took| figure(took, f64::from(runs))).collect()
    };
    Row::new(table, label)
        .series("Muster")
        .command(COMMAND)
        .figure("runs", Unit::Count, &of(|_, runs| runs))
        .figure(
            "runs a second",
            Unit::Count,
            &of(|took, runs| runs / took.wall.as_secs_f64()),
        )
        .figure("wall", Unit::Seconds, &of(|took, _| took.wall.as_secs_f64()))
        .figure(
            "CPU a run",
            Unit::Microseconds,
            &of(|took, runs| took.cpu.as_secs_f64() * 1e6 / runs),
        )
        .figure(
            "peak memory",
            Unit::MiB,
            &of(|took, _| took.peak_memory as f64 / f64::from(1 << 20)),
        )
        .figure(
            "bytes written a run",
            Unit::Count,
            &of(|took, runs| took.written as f64 / runs),
        )
}

/// What one run takes on servers that have nothing else to do, and what of it is the transport's own.
fn row_of_one_run(label: &str, took: &[muster::OneRun]) -> Row {
    let millis = |of: fn(&muster::OneRun) -> Duration| -> Vec<f64> {
        took.iter().map(|one| of(one).as_secs_f64() * 1000.0).collect()
    };
    let whole = millis(|one| one.whole);
    let above = millis(|one| one.whole.saturating_sub(one.transport));
    let late = within(&whole, 95);
    let median = muster_bench::median(&above);
    println!("one run, {label}: {median:.1} ms above the transport's own, {late:.1} ms within 95 %");
    Row::new("one-run", label)
        .series("Muster")
        .command(COMMAND)
        .figure("accepted", Unit::Milliseconds, &millis(|one| one.accepted))
        .figure("to its end", Unit::Milliseconds, &whole)
        .figure("95 % within", Unit::Milliseconds, &[late])
        .figure(
            "transport's own",
            Unit::Milliseconds,
            &millis(|one| one.transport),
        )
        .figure("above it", Unit::Milliseconds, &above)
}

/// Returns what so many hundredths of the samples do not exceed.
fn within(samples: &[f64], percent: usize) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied().unwrap_or(f64::NAN)
}

fn beside(options: &Options, results: &mut Results) {
    let count = options
        .number("celery-tasks")
        .and_then(|count| u32::try_from(count).ok())
        .unwrap_or(10_000);
    let took = match celery::measure(count) {
        Ok(took) => took,
        Err(missing) => {
            eprintln!("Celery is not beside it: {missing}");
            return;
        }
    };
    let each = f64::from(count);
    results.add(
        Row::new("peers", "Celery on RabbitMQ, results in Redis")
            .command(COMMAND)
            .figure("runs", Unit::Count, &[each])
            .figure("runs a second", Unit::Count, &[each / took.wall.as_secs_f64()])
            .figure(
                "CPU a run",
                Unit::Microseconds,
                &[took.cpu.as_secs_f64() * 1e6 / each],
            ),
    );
}

/// The same task on each database: real servers with their defaults, every commit forced onto the disk.
fn databases(results: &mut Results, repeat: u32) {
    const RUNS: u32 = 10_000;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let mut one = |label: &str, url: Option<String>| {
        let took = runtime.block_on(muster::measure(RUNS, repeat, &Rooms::embedded(url)));
        results.add(row_of("databases", label, RUNS, &took));
    };
    one("SQLite", None);
    match Postgres::start(Disk::Forced) {
        Ok(server) => one("PostgreSQL", Some(server.fresh_database().expect("a database"))),
        Err(missing) => eprintln!("PostgreSQL is left out: {missing}"),
    }
    match MariaDb::start(Disk::Forced) {
        Ok(server) => one("MariaDB", Some(server.fresh_database().expect("a database"))),
        Err(missing) => eprintln!("MariaDB is left out: {missing}"),
    }
}

/// One server and three, over engines that they share: a RabbitMQ (quorum queues, confirms), a Redis and a PostgreSQL
/// with their defaults, every commit forced onto the disk. All of it on this one machine.
fn servers(results: &mut Results, repeat: u32) {
    const RUNS: u32 = 10_000;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let started = (|| {
        Ok::<_, muster_testkit::Error>((
            Postgres::start(Disk::Forced)?,
            RabbitMq::start()?,
            Redis::start()?,
        ))
    })();
    let (database, queue, cache) = match started {
        Ok(engines) => engines,
        Err(missing) => {
            eprintln!("several servers are left out: {missing}");
            return;
        }
    };
    for (servers, label) in [(1, "1 server"), (3, "3 servers")] {
        let rooms = || Rooms {
            database: Some(database.fresh_database().expect("a database")),
            queue: queue.fresh_vhost().expect("a virtual host"),
            cache: cache.url(),
            servers,
        };
        let took = runtime.block_on(muster::measure(RUNS, repeat, &rooms()));
        results.add(row_of("servers", label, RUNS, &took));
        let one_run = runtime.block_on(muster::one_by_one(ONE_BY_ONE, &rooms()));
        results.add(row_of_one_run(label, &one_run));
    }
}

fn main() -> ExitCode {
    let options = match Options::from_args("Durable runs a second.", FLAGS) {
        Ok(options) => options,
        Err(code) => return code,
    };
    let mut results = Results::new("engine", &options);
    let wanted = |name: &str| options.value("only").is_none_or(|only| only == name) && !options.only_saved();
    let sizes: Vec<u32> = options.list("runs").map_or_else(
        || vec![1_000, 10_000, 100_000],
        |sizes| sizes.iter().filter_map(|size| size.parse().ok()).collect(),
    );
    let repeat = options.number("repeat").unwrap_or(3);
    if wanted("muster") {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        for runs in sizes {
            let repeat = u32::try_from(repeat).unwrap_or(3);
            let took = runtime.block_on(muster::measure(runs, repeat, &Rooms::embedded(None)));
            results.add(row_of("sizes", &format!("{} runs", told(runs)), runs, &took));
            if runs == 10_000 {
                results.add(row_of("peers", "Muster", runs, &took));
            }
        }
    }
    if wanted("databases") {
        databases(&mut results, u32::try_from(repeat).unwrap_or(3));
    }
    if wanted("servers") {
        servers(&mut results, u32::try_from(repeat).unwrap_or(3));
    }
    if wanted("celery") {
        beside(&options, &mut results);
    }
    results.plot(Plot::bars(
        "peers",
        "runs a second",
        "Durable runs a second (longer is better)",
    ));
    results.plot(Plot::bars(
        "databases",
        "runs a second",
        "Durable runs a second on each database (longer is better)",
    ));
    results.plot(Plot::bars(
        "servers",
        "runs a second",
        "Durable runs a second on RabbitMQ, Redis and PostgreSQL (longer is better)",
    ));
    results.plot(Plot::bars(
        "one-run",
        "to its end",
        "Milliseconds from the submit of one run to its end, as a follower sees it (shorter is better)",
    ));
    results.plot(Plot::lines(
        "sizes",
        "runs",
        "runs a second",
        "Durable runs a second by the size of a task",
        true,
    ));
    results.finish()
}
