//! Tasks of many runs through an engine of its own, with its database on disk.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_engine::{Accepted, Engine, HostKeys, Settings};
use muster_model::TaskId;
use muster_model::wire::{Event, Secrets, Submit, Targets, Work, WorkOptions};
use muster_runtime::Tasks;
use tokio::sync::oneshot;

use crate::nothing::{self, Nowhere};

/// As many as a server has unless it is told otherwise.
const SLOTS: usize = 1000;
/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(600);

/// What one task took, from the submit to the last event that its follower has read.
#[derive(Clone, Copy)]
pub(crate) struct Took {
    pub(crate) wall: Duration,
    /// Of this process.
    pub(crate) cpu: Duration,
    /// The largest memory of this process meanwhile, in bytes.
    pub(crate) peak_memory: u64,
    /// Bytes that were sent to the disk.
    pub(crate) written: u64,
}

/// A counter of this process in a file of `/proc/self`.
fn counter(file: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    number.unwrap_or(0)
}

fn cpu() -> Duration {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF).expect("rusage");
    let of = |time: nix::sys::time::TimeVal| {
        Duration::from_micros(u64::try_from(time.tv_sec() * 1_000_000 + time.tv_usec()).unwrap_or(0))
    };
    of(usage.user_time()) + of(usage.system_time())
}

/// What the engines work over.
pub(crate) struct Rooms {
    /// None: SQLite, a file of its own.
    pub(crate) database: Option<String>,
    pub(crate) queue: String,
    pub(crate) cache: String,
    /// How many engines share the database; each takes runs.
    pub(crate) servers: usize,
}

impl Rooms {
    /// One engine with its queue and cache in itself.
    pub(crate) fn embedded(database: Option<String>) -> Self {
        Self {
            database,
            queue: "memory:".to_owned(),
            cache: "memory:".to_owned(),
            servers: 1,
        }
    }
}

/// An engine, and what it runs in.
struct Server {
    engine: Engine,
    tasks: Tasks,
}

impl Server {
    async fn start(rooms: &Rooms, folder: &Path, number: usize) -> Self {
        let tasks = Tasks::new();
        let embedded = format!("sqlite://{}/muster.db", folder.display());
        let url = rooms.database.as_deref().unwrap_or(&embedded);
        let database = muster_store::open(url, &tasks).await.expect("a database");
        let host_keys = HostKeys::new(Arc::clone(&database.host_keys), tasks.clone());
        let is_shared = rooms.queue != "memory:";
        let settings = Settings {
            slots: SLOTS,
            home: format!("here{number}"),
            machine: format!("here{number}"),
            version: "0".into(),
            roles: muster_model::Roles::ALL,
            lease: is_shared.then_some(muster_engine::LEASE),
            database: "a database".to_owned(),
            executors: folder.join(format!("executors{number}")),
            vault: muster_engine::KeySource::File(folder.join("vault.key")),
            keep: muster_engine::Keep::default(),
        };
        let rooms = muster_engine::Rooms {
            transport: Arc::new(Nowhere),
            database,
            host_keys,
            queue: muster_queue::open(&rooms.queue, &tasks).await.expect("a queue"),
            cache: muster_cache::open(&rooms.cache).await.expect("a cache"),
        };
        let engine = Engine::start(rooms, settings, tasks.clone())
            .await
            .expect("an engine");
        Self { engine, tasks }
    }

    async fn start_all(rooms: &Rooms, folder: &Path) -> Vec<Self> {
        let mut servers = Vec::new();
        for number in 0..rooms.servers {
            servers.push(Self::start(rooms, folder, number).await);
        }
        servers
    }

    async fn end(self) {
        self.engine.drain(PATIENCE).await;
        self.engine.close().await;
        assert_eq!(self.tasks.close(PATIENCE).await, 0, "tasks left behind");
    }
}

/// Runs `repeat` tasks of `runs` runs, one after the other, in engines with a new database.
pub(crate) async fn measure(runs: u32, repeat: u32, rooms: &Rooms) -> Vec<Took> {
    // Beside the build, and so on a disk: a folder for temporary files may be in memory.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let servers = Server::start_all(rooms, folder.path()).await;
    let mut took = Vec::new();
    for number in 0..repeat {
        let (tell, told) = oneshot::channel();
        let engine = servers[0].engine.clone();
        // On a thread of the runtime, where a server answers its clients as well.
        servers[0].tasks.spawn("client", async move {
            let _ = tell.send(one_task(&engine, runs, number).await);
        });
        let end = tokio::time::timeout(PATIENCE, told).await;
        took.push(end.expect("the task's end").expect("a task without a fault"));
    }
    for server in servers {
        server.end().await;
    }
    assert_eq!(
        std::fs::read_dir(folder.path().join("muster.db.outputs")).map_or(0, Iterator::count),
        0,
        "a command that prints nothing makes no file"
    );
    took
}

/// How long one run took.
pub(crate) struct OneRun {
    /// Until the submit was answered.
    pub(crate) accepted: Duration,
    /// Until its follower had read the task's last event.
    pub(crate) whole: Duration,
    /// What the transport takes for as much by itself, measured just before.
    pub(crate) transport: Duration,
}

/// Submits tasks of one run, each when the one before has ended, to servers that have nothing else to do.
pub(crate) async fn one_by_one(count: u32, rooms: &Rooms) -> Vec<OneRun> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let servers = Server::start_all(rooms, folder.path()).await;
    let (tell, told) = oneshot::channel();
    let engine = servers[0].engine.clone();
    servers[0].tasks.spawn("client", async move {
        let mut took = Vec::new();
        // The first one makes connections, and is not counted.
        for number in 0..=count {
            let transport = nothing::own_time().await;
            let started = Instant::now();
            let task = submit(&engine, 1, number).await;
            let accepted = started.elapsed();
            let ended = follow(&engine, task).await;
            let whole = started.elapsed();
            assert_eq!(ended, 1, "its end is told of once");
            took.push(OneRun {
                accepted,
                whole,
                transport,
            });
        }
        let _ = tell.send(took.split_off(1));
    });
    let took = tokio::time::timeout(PATIENCE, told).await;
    let took = took.expect("the last task's end").expect("tasks without a fault");
    for server in servers {
        server.end().await;
    }
    took
}

/// Submits a task of so many runs.
async fn submit(engine: &Engine, runs: u32, number: u32) -> TaskId {
    let submit = Submit {
        request_id: format!("bench-request-{number:08}"),
        work: Work::Command {
            command: "true".into(),
        },
        targets: Targets {
            hosts: vec![format!("node[000001-{runs:06}].example.net")],
            exclude: Vec::new(),
            selector: None,
        },
        options: WorkOptions::default(),
        stdin_base64: None,
        secrets: Secrets::default(),
        dry_run: false,
    };
    match engine.submit("bench", submit).await.expect("an accepted task") {
        Accepted::Task(task) => task.id,
        Accepted::Planned(_) => unreachable!("no dry run was asked for"),
    }
}

/// Submits a task, follows it to its end, and checks that every run was told of once.
async fn one_task(engine: &Engine, runs: u32, number: u32) -> Took {
    // The kernel counts the peak anew from here.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let (cpu_before, written_before) = (cpu(), counter("io", "write_bytes:"));
    let started = Instant::now();
    let task = submit(engine, runs, number).await;
    let ended = follow(engine, task).await;
    let took = Took {
        wall: started.elapsed(),
        cpu: cpu() - cpu_before,
        peak_memory: counter("status", "VmHWM:") * 1024,
        written: counter("io", "write_bytes:") - written_before,
    };
    assert_eq!(ended, runs, "each run's end is told of once");
    let counts = engine.task(task).await.expect("the task").counts;
    assert_eq!((counts.succeeded, counts.open()), (runs, 0));
    took
}

/// Returns how many ends of runs the events of a task tell of.
async fn follow(engine: &Engine, id: TaskId) -> u32 {
    let mut watcher = engine.watch(id, None).await.expect("a watcher");
    let mut ended = 0;
    while let Some((_, event)) = watcher.next().await.expect("an event") {
        ended += u32::from(matches!(event, Event::Run(run) if run.state.is_terminal()));
    }
    ended
}
