//! The engine's door: what the server may ask of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use muster_cache::Cache;
use muster_model::pattern;
use muster_model::problem::Code;
use muster_model::wire::cluster::ClusterView;
use muster_model::wire::host_keys::{HostKeysView, Scan, ScannedHost, Trust};
use muster_model::wire::{Check, Hosts, Plan, Readiness, Retry, RunPage, Submit, Targets};
use muster_model::{Problem, Role, Roles, RunState, Stream, TaskId, TaskRecord};
use muster_queue::Queue;
use muster_runtime::{Tasks, clock, crash_point};
use muster_store::TaskFilter;
use muster_transport::Transport;

use crate::core::Core;
use crate::fault;
use crate::follow::{OutputReader, Watcher};
use crate::host_keys::HostKeys;
use crate::keep::Keep;
use crate::meter::Submission;
use crate::sweep::Lease;
use crate::vault::KeySource;

/// How long killing and settling what still runs may take at the end.
const CLOSE: Duration = Duration::from_secs(30);

/// How long a server may be silent where several machines share a database: it is renewed four times as often, and a
/// server that died is replaced within one and a half times as long.
pub const LEASE: Duration = Duration::from_secs(10);

/// How long telling the others may take for a server that leaves.
const FAREWELL: Duration = Duration::from_secs(3);

/// The four rooms, opened.
#[derive(Clone)]
pub struct Rooms {
    /// Transport.
    pub transport: Arc<dyn Transport>,
    /// Database.
    pub database: muster_store::Opened,
    /// Queue.
    pub queue: Arc<dyn Queue>,
    /// Cache.
    pub cache: Arc<dyn Cache>,
    /// The keys of hosts, of the same database; the transport has them too.
    pub host_keys: HostKeys,
}

/// Settings of the engine.
#[derive(Clone, Debug)]
pub struct Settings {
    /// At most so many runs at a time in this process.
    pub slots: usize,
    /// Names this machine among those that share the database.
    pub home: String,
    /// This machine's name, for people.
    pub machine: String,
    /// The version of this program.
    pub version: String,
    /// What this server does.
    pub roles: Roles,
    /// How long a server may be silent before others take over what it has in hand, where servers of other machines may
    /// share the database ([`LEASE`]); None where all are on this machine, and know of each other by their locks.
    pub lease: Option<Duration>,
    /// The folder where live executors of this machine hold their locks.
    pub executors: PathBuf,
    /// The database, as people may see it: without passwords.
    pub database: String,
    /// Where the key comes from that credentials are sealed with.
    pub vault: KeySource,
    /// How long finished tasks are kept.
    pub keep: Keep,
}

/// The engine. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    pub(crate) core: Arc<Core>,
}

/// The answer to a submit.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one is made for each request, and read at once"
)]
pub enum Accepted {
    /// The task, written down.
    Task(TaskRecord),
    /// With `dry_run`: what would be done.
    Planned(Plan),
}

/// What the engine has in hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Runs that are started or connecting in this process.
    pub active_runs: u64,
    /// Tasks that are not done.
    pub open_tasks: u64,
    /// Whether it takes no new work.
    pub draining: bool,
}

impl Engine {
    /// Starts the engine in this process: takes up what an earlier one left.
    ///
    /// # Errors
    ///
    /// Where a room cannot be used.
    pub async fn start(rooms: Rooms, settings: Settings, tasks: Tasks) -> Result<Self, Problem> {
        let lease = Lease::take(&settings.home, &settings.executors, settings.lease)?;
        let core = Arc::new(Core::new(rooms, settings, tasks, lease));
        core.meter_what_is();
        core.vault.check().await?;
        core.declare().await.map_err(|error| fault::of_queue(&error))?;
        core.listen().await.map_err(|error| fault::of_queue(&error))?;
        if core.lease.shared().is_some() {
            core.enter().await?;
        } else {
            let others = core.lease.standing().locks.others();
            core.lease.set_alone(others.is_empty());
            core.sweep().await?;
            let sweeper = Arc::clone(&core);
            core.tasks.spawn("sweep", sweeper.keep_sweeping(others));
        }
        if core.settings.roles.has(Role::Executor) {
            let taker = Arc::clone(&core);
            core.tasks.spawn("take work", taker.take_work());
        }
        if core.settings.roles.has(Role::Api) {
            let reader = Arc::clone(&core);
            core.tasks.spawn("read inventory", reader.keep_reading_ahead());
        }
        if core.settings.keep != Keep::default() {
            let keeper = Arc::clone(&core);
            core.tasks.spawn("keep", keeper.keep_pruning());
        }
        Ok(Self { core })
    }

    /// Submits a task: when it returns, the task is durable. The same `request_id` gives the same task.
    ///
    /// # Errors
    ///
    /// Where the request is wrong; nothing was written then.
    pub async fn submit(&self, owner: &str, submit: Submit) -> Result<Accepted, Problem> {
        let answer = match self.has_database() {
            Ok(()) => self.named(self.core.submit(owner, submit).await),
            Err(problem) => Err(problem),
        };
        match &answer {
            Ok(Accepted::Planned(_)) => self.core.meter.submit(Submission::Planned),
            // Counted where it is known whether it is a new one.
            Ok(Accepted::Task(_)) => {}
            Err(problem) => self.core.meter.submit(Submission::of(problem)),
        }
        answer
    }

    /// Returns a task.
    ///
    /// # Errors
    ///
    /// `unknown-task`.
    pub async fn task(&self, id: TaskId) -> Result<TaskRecord, Problem> {
        self.has_database()?;
        self.named(self.core.task(id).await)
    }

    /// Names the database where that is why there is no answer.
    fn named<T>(&self, answer: Result<T, Problem>) -> Result<T, Problem> {
        answer.map_err(|problem| {
            if fault::is_of_database(&problem) {
                self.core.met_away(&problem);
            }
            fault::naming(&self.core.settings.database, problem)
        })
    }

    /// Refuses at once where the database is known to be away: to wait for it would tell nothing new.
    fn has_database(&self) -> Result<(), Problem> {
        match self.core.outage.is_on() {
            true => Err(fault::naming(&self.core.settings.database, fault::away())),
            false => Ok(()),
        }
    }

    /// Returns a task when it is done, at the latest after `limit`. Cancel-safe.
    ///
    /// # Errors
    ///
    /// `unknown-task`.
    pub async fn task_when_done(&self, id: TaskId, limit: Duration) -> Result<TaskRecord, Problem> {
        let task = self.task(id).await?;
        if task.finished_at.is_some() || limit.is_zero() {
            return Ok(task);
        }
        let _ = clock::deadline(limit, self.core.until_done(id)).await;
        self.core.task(id).await
    }

    /// Returns tasks, newest first.
    ///
    /// # Errors
    ///
    /// Where the database cannot be read.
    pub async fn tasks(&self, filter: TaskFilter) -> Result<Vec<TaskRecord>, Problem> {
        self.has_database()?;
        let tasks = self.core.rooms.database.store.tasks(filter).await;
        self.named(tasks.map_err(|error| fault::of_store(&error)))
    }

    /// Returns runs with their output, where both streams together are at most `output_limit` bytes.
    ///
    /// # Errors
    ///
    /// `unknown-task`.
    pub async fn runs(
        &self,
        id: TaskId,
        from: u32,
        limit: u32,
        states: Vec<RunState>,
        output_limit: u64,
    ) -> Result<RunPage, Problem> {
        self.has_database()?;
        self.named(self.core.run_page(id, from, limit, states, output_limit).await)
    }

    /// Reads one stream of a run's output in its last attempt.
    ///
    /// # Errors
    ///
    /// `unknown-task`, `unknown-run`.
    pub async fn output(&self, id: TaskId, index: u32, stream: Stream) -> Result<OutputReader, Problem> {
        self.core.open_output(id, index, stream).await
    }

    /// Follows a task from its beginning, or from the event after `resume`.
    ///
    /// # Errors
    ///
    /// `unknown-task`; `invalid-request` where `resume` is no event id.
    pub async fn watch(&self, id: TaskId, resume: Option<&str>) -> Result<Watcher, Problem> {
        self.named(Watcher::new(Arc::clone(&self.core), id, resume).await)
    }

    /// Cancels a task; returns at once, the runs end as their hosts answer. Idempotent.
    ///
    /// # Errors
    ///
    /// `unknown-task`; `conflict` where it is done.
    pub async fn cancel(&self, id: TaskId) -> Result<TaskRecord, Problem> {
        let task = self.task(id).await?;
        if task.finished_at.is_some() {
            return Err(Problem::new(
                Code::Conflict,
                format!("task {id} is done: there is nothing to cancel"),
            )
            .hint(format!("`muster check_task {id}` shows how it ended")));
        }
        self.named(self.core.cancel(id).await)?;
        self.core.task(id).await
    }

    /// Submits a new task for the hosts of a task that did not succeed.
    ///
    /// # Errors
    ///
    /// `unknown-task`; `conflict` where it is not done or everything succeeded.
    pub async fn retry(&self, owner: &str, id: TaskId, retry: Retry) -> Result<TaskRecord, Problem> {
        self.has_database()?;
        self.named(self.core.retry(owner, id, retry).await)
    }

    /// Returns the hosts that targets name.
    ///
    /// # Errors
    ///
    /// `invalid-pattern`, `unknown-group`, `target-too-large`.
    pub async fn expand(&self, targets: &Targets) -> Result<Hosts, Problem> {
        let hosts = self.core.resolve(targets).await?;
        let folded = pattern::fold(&hosts);
        Ok(Hosts { hosts, folded })
    }

    /// Returns what is known of hosts' keys: of those that a pattern names, of all without one. `ssh_config` is the
    /// file by which hosts are named, where it is not the user's.
    ///
    /// # Errors
    ///
    /// Those of [`Engine::expand`].
    pub async fn host_keys(
        &self,
        pattern: Option<&str>,
        ssh_config: Option<&str>,
    ) -> Result<Vec<HostKeysView>, Problem> {
        self.core.host_keys(pattern, ssh_config).await
    }

    /// Asks hosts of which no key is pinned for their keys, without logging in. Nothing is kept.
    ///
    /// # Errors
    ///
    /// Those of [`Engine::expand`]; a host that does not answer says so in its own place.
    pub async fn scan_host_keys(&self, scan: Scan) -> Result<Vec<ScannedHost>, Problem> {
        self.core.scan(scan).await
    }

    /// Does what a person decided about hosts' keys; returns what is known then.
    ///
    /// # Errors
    ///
    /// `conflict` where a key was not offered, or others are pinned; `unknown-host`; nothing was changed then.
    pub async fn trust(&self, trust: Trust) -> Result<Vec<HostKeysView>, Problem> {
        self.core.trust(trust).await
    }

    /// Removes now what of finished tasks is not kept any longer, as the server does every hour.
    ///
    /// # Errors
    ///
    /// Where the database cannot be changed.
    pub async fn prune(&self) -> Result<muster_store::retention::Removed, Problem> {
        self.core.prune().await.map_err(|error| fault::of_store(&error))
    }

    /// Returns the servers that share the database, and what each has in hand.
    ///
    /// # Errors
    ///
    /// Where the database cannot be read.
    pub async fn cluster(&self) -> Result<ClusterView, Problem> {
        self.has_database()?;
        self.named(self.core.cluster().await)
    }

    /// Returns what this server does.
    #[must_use]
    pub fn roles(&self) -> Roles {
        self.core.settings.roles
    }

    /// Checks every back end.
    pub async fn doctor(&self) -> Vec<Check> {
        self.core.doctor().await
    }

    /// Tells whether this server takes work, and what stands against it. Answers within a good second, whatever the
    /// back ends do, and costs next to nothing however often it is asked.
    pub async fn readiness(&self) -> Readiness {
        self.core.readiness().await
    }

    /// Returns everything that this process counts, in the text form of OpenMetrics.
    ///
    /// # Errors
    ///
    /// `internal` where it cannot be written.
    pub async fn metrics(&self) -> Result<String, Problem> {
        let text = self.core.metrics().await;
        text.map_err(|error| Problem::new(Code::Internal, format!("the metrics cannot be written: {error}")))
    }

    /// Returns what the engine has in hand.
    pub async fn load(&self) -> Load {
        Load {
            active_runs: self.core.active.count(),
            open_tasks: self.core.hub.open().len() as u64,
            draining: self.core.tasks.intake().is_cancelled(),
        }
    }

    /// Takes no new work from now on, and returns when what was started has ended, at the latest after
    /// `limit`. Queued runs stay in the database for the next engine.
    pub async fn drain(&self, limit: Duration) {
        self.core.tasks.intake().cancel();
        // The database may be away: then the others find out by themselves.
        if clock::deadline(FAREWELL, self.core.hand_over()).await.is_err() {
            tracing::warn!("the other servers could not be told that this one leaves");
        }
        crash_point!(DispatchReleased);
        if clock::deadline(limit, self.core.active.none()).await.is_err() {
            tracing::warn!(
                runs = self.core.active.count(),
                "commands are still running at the end of the drain"
            );
        }
    }

    /// Ends everything: what still runs is killed and settled, then the rooms close, the database last.
    /// Join the process's tasks after it.
    pub async fn close(&self) {
        self.core.tasks.intake().cancel();
        self.core.tasks.work().cancel();
        if clock::deadline(CLOSE, self.core.active.none()).await.is_err() {
            tracing::error!(
                runs = self.core.active.count(),
                "commands could not be ended in time"
            );
        }
        crash_point!(RunsEnded);
        if clock::deadline(FAREWELL, self.core.sign_off()).await.is_err() {
            tracing::debug!("this server is still on record");
        }
        self.core.lease.release_all();
        crash_point!(LocksReleased);
        self.core.rooms.transport.close().await;
        self.core.rooms.queue.close().await;
        self.core.rooms.database.store.close().await;
        crash_point!(DatabaseClosed);
    }

    /// Lets go of this process's locks and of nothing else, as a crash would: for tests of what comes after.
    #[doc(hidden)]
    pub fn abandon(&self) {
        self.core.lease.release_all();
        self.core.tasks.intake().cancel();
    }
}
