//! An engine in a folder of its own.

pub mod cluster;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use muster_cache::Cache;
use muster_engine::{Accepted, Database, Engine, HostKeys, Keep, KeySource, Rooms, Settings};
use muster_model::wire::{Event, RunEntry, Secrets, Submit, Targets, Work, WorkOptions};
use muster_model::{Roles, RunState, TaskId, TaskRecord};
use muster_queue::Queue;
use muster_runtime::Tasks;

/// Longer than anything here takes, on a machine that does something else as well.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// An engine and the folder that it lives in.
pub struct Bench {
    pub engine: Engine,
    pub tasks: Tasks,
    folder: Arc<tempfile::TempDir>,
}

impl Bench {
    pub async fn new() -> Self {
        Self::wrapped(|database| database).await
    }

    /// Starts an engine on a database that something stands before.
    pub async fn wrapped(wrap: impl FnOnce(Database) -> Database) -> Self {
        let folder = Arc::new(tempfile::tempdir().expect("a temporary folder"));
        Self::in_folder(folder, wrap).await
    }

    async fn in_folder(folder: Arc<tempfile::TempDir>, wrap: impl FnOnce(Database) -> Database) -> Self {
        let settings = Settings {
            slots: 200,
            home: "here".into(),
            machine: "here".into(),
            version: "0.0.0".into(),
            roles: Roles::ALL,
            lease: None,
            executors: folder.path().join("executors"),
            database: "sqlite::memory:".to_owned(),
            vault: KeySource::File(folder.path().join("vault.key")),
            keep: Keep {
                tasks: Some(Duration::from_secs(90 * 86_400)),
                output: Some(Duration::from_secs(30 * 86_400)),
                output_bytes: None,
            },
        };
        let tasks = Tasks::new();
        let queue = muster_queue::open("memory:", &tasks).await.expect("a queue");
        let cache = muster_cache::open("memory:").await.expect("a cache");
        Self::start_in(tasks, folder, settings, queue, cache, wrap).await
    }

    /// Starts an engine on a queue and a cache that others may share.
    pub async fn start(
        folder: Arc<tempfile::TempDir>,
        settings: Settings,
        queue: Arc<dyn Queue>,
        cache: Arc<dyn Cache>,
        wrap: impl FnOnce(Database) -> Database,
    ) -> Self {
        Self::start_in(Tasks::new(), folder, settings, queue, cache, wrap).await
    }

    async fn start_in(
        tasks: Tasks,
        folder: Arc<tempfile::TempDir>,
        settings: Settings,
        queue: Arc<dyn Queue>,
        cache: Arc<dyn Cache>,
        wrap: impl FnOnce(Database) -> Database,
    ) -> Self {
        let database = format!("sqlite://{}/muster.db", folder.path().display());
        let database = muster_store::open(&database, &tasks).await.expect("a database");
        let host_keys = HostKeys::new(Arc::clone(&database.host_keys), tasks.clone());
        let transport = transport_settings(folder.path(), &host_keys);
        let rooms = Rooms {
            transport: muster_transport::open(transport, tasks.clone()),
            database: wrap(database),
            host_keys,
            queue,
            cache,
        };
        let engine = Engine::start(rooms, settings, tasks.clone())
            .await
            .expect("an engine");
        Self {
            engine,
            tasks,
            folder,
        }
    }

    /// Ends this engine as a crash would: no drain, no settling; then starts another in its folder.
    pub async fn crash_and_restart(self) -> Self {
        let folder = Arc::clone(&self.folder);
        self.abandon();
        Self::in_folder(folder, |database| database).await
    }

    /// Lets go of the locks and forgets everything else: what a dead process leaves.
    pub fn abandon(self) {
        let Self {
            engine,
            tasks,
            folder,
        } = self;
        engine.abandon();
        std::mem::forget(engine);
        std::mem::forget(tasks);
        drop(folder);
    }

    /// Starts another engine beside this one, as a hand-over does.
    pub async fn beside(&self) -> Self {
        self.beside_wrapped(|database| database).await
    }

    /// [`Bench::beside`], on a database that something stands before.
    pub async fn beside_wrapped(&self, wrap: impl FnOnce(Database) -> Database) -> Self {
        Self::in_folder(Arc::clone(&self.folder), wrap).await
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub async fn submit(&self, submit: Submit) -> TaskRecord {
        match self.engine.submit("me", submit).await.expect("an accepted task") {
            Accepted::Task(task) => task,
            Accepted::Planned(_) => panic!("planned, not submitted"),
        }
    }

    /// Submits a command for `local://` hosts and returns the task's number.
    pub async fn run(&self, command: &str, hosts: &str, options: WorkOptions) -> TaskId {
        self.submit(submit(command, hosts, options)).await.id
    }

    /// Follows a task to its end; returns what was said.
    pub async fn events(&self, id: TaskId) -> Vec<(String, Event)> {
        let mut watcher = self.engine.watch(id, None).await.expect("a watcher");
        let mut events = Vec::new();
        let all = async {
            while let Some(event) = watcher.next().await.expect("an event") {
                events.push(event);
            }
        };
        tokio::time::timeout(PATIENCE, all).await.expect("the task's end");
        events
    }

    /// Waits for a task's end; returns its runs.
    pub async fn finish(&self, id: TaskId) -> Vec<RunEntry> {
        self.events(id).await;
        self.runs(id).await
    }

    pub async fn runs(&self, id: TaskId) -> Vec<RunEntry> {
        self.engine
            .runs(id, 0, 5000, Vec::new(), 1 << 20)
            .await
            .expect("runs")
            .runs
    }

    pub async fn until(&self, id: TaskId, what: &str, holds: impl Fn(&TaskRecord) -> bool) {
        let wait = async {
            while !holds(&self.engine.task(id).await.expect("the task")) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait)
            .await
            .unwrap_or_else(|_| panic!("{what}"));
    }

    /// Ends it in good order, and sees that no task was left behind or has panicked.
    pub async fn close(self) {
        self.engine.drain(PATIENCE).await;
        self.engine.close().await;
        let left = self.tasks.close(PATIENCE).await;
        assert_eq!((left, self.tasks.panics()), (0, 0), "tasks left, tasks panicked");
    }
}

fn transport_settings(home: &Path, host_keys: &HostKeys) -> muster_transport::Settings {
    muster_transport::Settings {
        home: home.to_owned(),
        user: "me".into(),
        idle: Duration::from_secs(60),
        keepalive: Duration::from_secs(30),
        answer: Duration::from_secs(30),
        host_keys: Arc::new(host_keys.clone()),
        logins: 16,
    }
}

pub fn request_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("request-{:016}", NEXT.fetch_add(1, Ordering::Relaxed))
}

pub fn submit(command: &str, hosts: &str, options: WorkOptions) -> Submit {
    Submit {
        request_id: request_id(),
        work: Work::Command {
            command: command.into(),
        },
        targets: Targets {
            hosts: vec![hosts.into()],
            exclude: Vec::new(),
            selector: None,
        },
        options,
        stdin_base64: None,
        secrets: Secrets::default(),
        dry_run: false,
    }
}

pub fn states(runs: &[RunEntry]) -> Vec<RunState> {
    runs.iter().map(|run| run.run.state).collect()
}
