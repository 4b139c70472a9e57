//! What cases work with: a database of their own, and short words for tasks and changes.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use muster_model::output::encode;
use muster_model::run::Change;
use muster_model::{
    Counts, Endpoint, ExecutorId, Kind, Options, Outcome, Reach, RunKey, RunRecord, RunState, Stream, TaskId,
    TaskRecord, Timestamp, Transition,
};
use muster_runtime::{Tasks, clock};

use crate::open::{Opened, open};
use crate::types::{NewTask, RunFilter, Submitted, TaskInput};
use muster_model::run::Applied;

/// The longest that one case may take.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A database of the case's own.
pub struct World {
    /// Where it is.
    pub url: String,
    /// What runs for it.
    pub tasks: Tasks,
}

impl World {
    /// Returns the world of a database that is not there yet.
    #[must_use]
    pub fn new(url: String) -> Self {
        Self {
            url,
            tasks: Tasks::new(),
        }
    }

    /// Opens the database.
    pub async fn open(&self) -> Opened {
        open(&self.url, &self.tasks).await.expect("the database opens")
    }

    /// Runs all of `work` at the same time and returns what each gave, in order.
    pub async fn at_once<T, W>(&self, work: impl IntoIterator<Item = W>) -> Vec<T>
    where
        T: Send + 'static,
        W: Future<Output = T> + Send + 'static,
    {
        let results = std::sync::Arc::new(Mutex::new(BTreeMap::new()));
        let (done, mut all_done) = tokio::sync::mpsc::channel::<()>(1);
        let mut count = 0;
        for (place, work) in work.into_iter().enumerate() {
            let (results, done) = (std::sync::Arc::clone(&results), done.clone());
            count += 1;
            self.tasks.spawn("a part of a case", async move {
                let result = work.await;
                results.lock().expect("no part panics here").insert(place, result);
                drop(done);
            });
        }
        drop(done);
        clock::deadline(PATIENCE, all_done.recv())
            .await
            .expect("the parts of the case end");
        let results = std::mem::take(&mut *results.lock().expect("no part panics here"));
        assert_eq!(results.len(), count, "a part of the case panicked");
        results.into_values().collect()
    }
}

/// Returns a task that is to be submitted, with `runs` hosts.
#[must_use]
pub fn new_task(request: &str, runs: u32) -> NewTask {
    NewTask {
        request_id: request.to_owned(),
        kind: Kind::Command {
            command: "df -h".to_owned(),
        },
        options: Options::default(),
        input: TaskInput::default(),
        secrets: None,
        owner: "ada".to_owned(),
        retry_of: None,
        created_at: Timestamp(1_000),
        dispatcher: executor("first"),
        hosts: (0..runs).map(|index| host(&format!("node{index:06}"))).collect(),
    }
}

/// Returns a host as a task names it.
#[must_use]
pub fn host(name: &str) -> (String, Endpoint) {
    let endpoint = Endpoint {
        reach: Reach::Ssh,
        host: name.to_owned(),
        address: None,
        user: None,
        port: None,
        credential: None,
    };
    (name.to_owned(), endpoint)
}

/// Submits a task with `runs` hosts and returns its number.
pub async fn submit(opened: &Opened, request: &str, runs: u32) -> TaskId {
    match opened
        .store
        .submit(new_task(request, runs))
        .await
        .expect("a submit")
    {
        Submitted::Now(task) => task.id,
        Submitted::Before(task) => panic!("request {request} made task {} before", task.id),
    }
}

/// Returns the key of a run.
#[must_use]
pub fn key(task: TaskId, index: u32) -> RunKey {
    RunKey { task, index }
}

/// Returns an executor's id.
#[must_use]
pub fn executor(name: &str) -> ExecutorId {
    ExecutorId(name.to_owned())
}

/// Returns a change.
#[must_use]
pub fn transition(run: RunKey, attempt: u32, at: i64, change: Change) -> Transition {
    Transition {
        run,
        attempt,
        at: Timestamp(at),
        change,
    }
}

/// Returns the start of a run's first attempt.
#[must_use]
pub fn start(run: RunKey, by: &str) -> Transition {
    transition(
        run,
        1,
        2_000,
        Change::Start {
            executor: executor(by),
        },
    )
}

/// Returns the end of a run's first attempt.
#[must_use]
pub fn settle(run: RunKey, state: RunState) -> Transition {
    transition(run, 1, 3_000, end(state))
}

/// Returns a plain end.
#[must_use]
pub fn end(state: RunState) -> Change {
    Change::Settle {
        outcome: Outcome::plain(state, None),
        output: None,
    }
}

/// Returns a plain end of an attempt that is not the last.
#[must_use]
pub fn again(state: RunState) -> Change {
    Change::Again {
        outcome: Outcome::plain(state, None),
    }
}

/// Applies one change.
pub async fn apply(opened: &Opened, change: Transition) -> Applied {
    let applied = opened.store.apply(vec![change]).await.expect("an apply");
    assert_eq!(applied.len(), 1);
    applied[0]
}

/// Applies changes, all of which must be allowed.
pub async fn must(opened: &Opened, changes: Vec<Transition>) {
    let applied = opened.store.apply(changes.clone()).await.expect("an apply");
    for (applied, change) in applied.iter().zip(changes) {
        assert!(
            matches!(applied, Applied::Yes { .. }),
            "{applied:?} for {change:?}"
        );
    }
}

/// Returns a task that is there.
pub async fn task(opened: &Opened, id: TaskId) -> TaskRecord {
    opened.store.task(id).await.expect("a read").expect("the task")
}

/// Returns a run that is there.
pub async fn run(opened: &Opened, key: RunKey) -> RunRecord {
    opened.store.run(key).await.expect("a read").expect("the run")
}

/// Returns all runs of a task, page by page.
pub async fn all_runs(opened: &Opened, id: TaskId) -> Vec<RunRecord> {
    let mut runs: Vec<RunRecord> = Vec::new();
    loop {
        let filter = RunFilter {
            from: runs.last().map_or(0, |run| run.key.index + 1),
            limit: 10_000,
            states: Vec::new(),
        };
        let page = opened.store.runs(id, filter).await.expect("a page");
        if page.is_empty() {
            return runs;
        }
        runs.extend(page);
    }
}

/// Checks that a task's counts are those of its runs, and that it is finished exactly when all of them are.
pub async fn check_counts(opened: &Opened, id: TaskId) {
    let runs = all_runs(opened, id).await;
    let mut counts = Counts {
        total: u32::try_from(runs.len()).expect("few runs"),
        ..Counts::default()
    };
    for run in &runs {
        *counts.of_mut(run.state) += 1;
        assert_eq!(run.state.is_terminal(), run.finished_at.is_some(), "{run:?}");
        assert_eq!(
            run.history.len() as u32 + 1,
            run.attempt,
            "history of {}",
            run.key
        );
    }
    let task = task(opened, id).await;
    assert_eq!(task.counts, counts, "counts of task {id}");
    assert_eq!(
        task.finished_at.is_some(),
        counts.open() == 0,
        "the end of task {id}"
    );
}

/// Returns a log of frames, one for each text.
#[must_use]
pub fn frames(texts: &[&str]) -> Bytes {
    let mut log = BytesMut::new();
    for text in texts {
        encode(&mut log, Stream::Stdout, text.as_bytes());
    }
    log.freeze()
}

/// Texts that mean something to a database, a pattern or a terminal.
pub const HOSTILE: [&str; 12] = [
    "'; DROP TABLE runs; --",
    "\"quoted\" `back` [bracket]",
    "100%_sure\\",
    "$1 ?1 :name @name",
    "/* comment */ -- and more",
    "naïve Ünïcödé ЖЯ 漢字 🦀",
    "\u{1b}[31mred\u{7}",
    "line\nbreak\ttab\r",
    " spaces around ",
    "NULL",
    "0x1F",
    "{\"json\": [1, \"two\"]}",
];
