//! What a large inventory costs: taking it over, choosing hosts by their facts, counting groups, completing a name;
//! from a thousand hosts to a hundred thousand, on each of the three databases.
//!
//! ```text
//! cargo bench -p muster --bench inventory -- --save
//! ```

#![expect(
    clippy::expect_used,
    reason = "a benchmark that cannot go on stops and says where"
)]

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use muster_bench::{Flag, Options, Results, Row, Unit};
use muster_client::{Address, Client};
use muster_model::facts::{Disk, Facts, Os};
use muster_model::inventory::Document;
use muster_runtime::{Tasks, clock};
use muster_store::HostFacts;
use muster_testkit::database;
use muster_testkit::home::Home;
use muster_testkit::proc;

const MUSTER: &str = env!("CARGO_BIN_EXE_muster");

const FLAGS: &[Flag] = &[
    Flag::value("hosts", "N", "the largest inventory (default 100000)"),
    Flag::value("repeat", "N", "samples of what is asked (default 20)"),
    Flag::value("only", "LIST", "sqlite,postgres,mariadb (default: all)"),
];

/// How long ago a server was started that has read the inventory.
const READS_AHEAD: Duration = Duration::from_secs(3);
/// What is asked of facts and groups: one host in sixteen fits.
const SELECTOR: &str = r#"os.id == "debian" && mem_gb >= 8 && "web" in groups"#;

fn main() -> ExitCode {
    let options = match Options::from_args("What a large inventory costs.", FLAGS) {
        Ok(options) => options,
        Err(code) => return code,
    };
    let mut results = Results::new("inventory", &options);
    if !options.only_saved() {
        let largest = options.number("hosts").unwrap_or(100_000);
        let repeat = options.number("repeat").unwrap_or(20).max(1);
        let only = options
            .value("only")
            .unwrap_or("sqlite,postgres,mariadb")
            .to_owned();
        let sizes: Vec<usize> = [1_000, 10_000, 100_000]
            .into_iter()
            .filter(|size| *size <= largest)
            .collect();
        for engine in only.split(',') {
            measure(&mut results, engine, &sizes, repeat);
        }
    }
    results.finish()
}

/// A database server that lives while it is measured.
enum Engine {
    Sqlite,
    Postgres(database::Postgres),
    Mariadb(database::MariaDb),
}

impl Engine {
    fn start(name: &str) -> Option<Self> {
        // With the disk as it is in production: a commit is on it.
        let disk = database::Disk::Forced;
        match name {
            "sqlite" => Some(Self::Sqlite),
            "postgres" => database::Postgres::start(disk).map(Self::Postgres).ok(),
            "mariadb" => database::MariaDb::start(disk).map(Self::Mariadb).ok(),
            _ => None,
        }
    }

    fn fresh(&self, home: &Home) -> String {
        match self {
            Self::Sqlite => format!("sqlite://{}/inventory.db", home.path().display()),
            Self::Postgres(server) => server.fresh_database().expect("a database"),
            Self::Mariadb(server) => server.fresh_database().expect("a database"),
        }
    }
}

fn measure(results: &mut Results, name: &str, sizes: &[usize], repeat: usize) {
    let Some(engine) = Engine::start(name) else {
        println!("{name}: it is not installed, or no name of a database: left out");
        return;
    };
    for size in sizes {
        let mut home = Home::new().expect("a home");
        let url = engine.fresh(&home);
        home.set_env("MUSTER_DATABASE", &url);
        let row = one(&home, &url, *size, repeat);
        println!("{name}, {size} hosts");
        results.add(row.into_row(name, *size));
    }
}

/// What was measured, in milliseconds but for the import.
struct Figures {
    import: f64,
    again: f64,
    at_once: f64,
    first: f64,
    chosen: Vec<f64>,
    groups: Vec<f64>,
    names: Vec<f64>,
    memory: f64,
}

impl Figures {
    fn into_row(self, engine: &str, size: usize) -> Row {
        Row::new(
            "growth",
            &format!("{engine}, {size} hosts in {} groups", size / 100),
        )
        .command("cargo bench -p muster --bench inventory")
        .figure("import", Unit::Seconds, &[self.import])
        .figure("import again", Unit::Seconds, &[self.again])
        .figure("--where at once", Unit::Milliseconds, &[self.at_once])
        .figure("first --where", Unit::Milliseconds, &[self.first])
        .figure("--where", Unit::Milliseconds, &self.chosen)
        .figure("groups list", Unit::Milliseconds, &self.groups)
        .figure("a name completed", Unit::Milliseconds, &self.names)
        .figure("server's memory", Unit::MiB, &[self.memory])
    }
}

fn one(home: &Home, url: &str, size: usize, repeat: usize) -> Figures {
    let file = home.path().join("fleet.json");
    let document = fleet(size);
    std::fs::write(&file, serde_json::to_vec(&document).expect("JSON")).expect("a file");
    let file = file.to_str().expect("a path of text").to_owned();
    // The server is there before anything is measured.
    let _ = run(home, &["groups", "list"]);
    let import = run(home, &["hosts", "import", &file]).as_secs_f64();
    let again = run(home, &["hosts", "import", &file]).as_secs_f64();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(say(url, &document));
    let expand = ["hosts", "expand", "--where", SELECTOR];
    let start_anew = || {
        stop(home);
        let _ = run(home, &["groups", "list"]);
    };
    start_anew();
    let at_once = millis(run(home, &expand));
    start_anew();
    runtime.block_on(clock::sleep(READS_AHEAD));
    let first = millis(run(home, &expand));
    assert_eq!(chosen(home, &expand), size.div_ceil(16), "others were chosen");
    let times = |args: &[&str]| (0..repeat).map(|_| millis(run(home, args))).collect();
    let (chosen, groups) = (times(&expand), times(&["groups", "list"]));
    let socket = home.runtime_dir().join("muster/server.sock");
    let names = runtime.block_on(complete(&socket, size, repeat));
    let memory = home
        .servers()
        .first()
        .and_then(|server| proc::resident_bytes(server.pid));
    stop(home);
    Figures {
        import,
        again,
        at_once,
        first,
        chosen,
        groups,
        names,
        memory: memory.map_or(0.0, |bytes| bytes as f64 / f64::from(1 << 20)),
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Runs a command of the built binary to its end.
fn run(home: &Home, args: &[&str]) -> Duration {
    let mut command: Command = home.command(MUSTER);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null());
    let begun = Instant::now();
    let done = command.stderr(Stdio::piped()).output().expect("it starts");
    let took = begun.elapsed();
    assert!(
        done.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    took
}

/// How many hosts a command names.
fn chosen(home: &Home, args: &[&str]) -> usize {
    let mut command: Command = home.command(MUSTER);
    let done = command
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("it starts");
    String::from_utf8_lossy(&done.stdout).lines().count()
}

fn stop(home: &Home) {
    run(home, &["server", "stop"]);
}

/// Completes names as the prompt does, each with the last letters open.
async fn complete(socket: &Path, size: usize, repeat: usize) -> Vec<f64> {
    let client = Client::new(Address::Unix(socket.to_owned()), env!("CARGO_PKG_VERSION"));
    client.names("", 1).await.expect("names");
    let mut took = Vec::with_capacity(repeat);
    for turn in 0..repeat {
        let prefix = format!("node{:04}", turn * size / 100 / repeat);
        let begun = Instant::now();
        let names = client.names(&prefix, 500).await.expect("names");
        took.push(millis(begun.elapsed()));
        assert!(!names.is_empty() && names.iter().all(|name| name.starts_with(&prefix)));
    }
    took
}

/// An inventory with groups of a hundred hosts, every fourth host in the group `web` too.
fn fleet(size: usize) -> Document {
    let name = |number: usize| format!("node{number:06}.example.net");
    let hosts: Vec<serde_json::Value> = (0..size)
        .map(|number| {
            serde_json::json!({
                "name": name(number),
                "address": format!("10.{}.{}.{}", number >> 16, number >> 8 & 255, number & 255),
                "user": "deploy",
                "labels": {"rack": format!("r{}", number / 40), "env": if number % 2 == 0 { "prod" } else { "test" }},
            })
        })
        .collect();
    let mut groups: Vec<serde_json::Value> = (0..size / 100 - 1)
        .map(|group| {
            let hosts: Vec<String> = (group * 100..(group + 1) * 100).map(name).collect();
            serde_json::json!({"name": format!("rack{group:04}"), "hosts": hosts})
        })
        .collect();
    let web: Vec<String> = (0..size).step_by(4).map(name).collect();
    groups.push(serde_json::json!({"name": "web", "hosts": web}));
    let document = serde_json::json!({"hosts": hosts, "groups": groups});
    serde_json::from_value(document).expect("a document")
}

/// Keeps facts as if every host had been asked.
async fn say(url: &str, document: &Document) {
    let tasks = Tasks::new();
    let opened = muster_store::open(url, &tasks).await.expect("the database");
    for (piece, hosts) in document.hosts.chunks(5_000).enumerate() {
        let facts = hosts.iter().enumerate().map(|(number, host)| HostFacts {
            host: host.name.clone(),
            facts: said(piece * 5_000 + number),
            gathered_at: clock::now(),
        });
        opened.inventory.put_facts(facts.collect()).await.expect("kept");
    }
    opened.store.close().await;
    tasks.close(Duration::from_secs(20)).await;
}

fn said(number: usize) -> Facts {
    let text = |text: &str| Some(text.to_owned());
    Facts {
        os: Os {
            id: text(["debian", "rhel"][number / 8 % 2]),
            like: Vec::new(),
            version: text("12"),
            name: text("Debian GNU/Linux 12 (bookworm)"),
        },
        kernel: text("Linux"),
        kernel_release: text("6.1.0-28-amd64"),
        arch: text("x86_64"),
        hostname: Some(format!("node{number:06}")),
        cpus: Some(8),
        mem_bytes: Some([4_000_000_000, 16_000_000_000][number % 8 / 4]),
        swap_bytes: Some(0),
        disks: vec![Disk {
            device: "/dev/vda1".to_owned(),
            mount: "/".to_owned(),
            size_bytes: 100 << 30,
            free_bytes: 60 << 30,
        }],
        addresses: vec![std::net::IpAddr::from([10, 0, 0, 1])],
        virt: text("kvm"),
        uptime_s: Some(86_400),
        pkg: text("apt"),
        init: text("systemd"),
    }
}
