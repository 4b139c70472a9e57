//! Groups as they gather, and one group as it is committed.

use std::time::Duration;

use muster_model::{
    Endpoint, ExecutorId, Kind, Options, Outcome, Reach, RunKey, RunState, TaskId, Timestamp,
};
use muster_runtime::Tasks;
use muster_store::{NewTask, TaskInput};

use super::*;
use crate::core::WORK;
use crate::dispatch::Work;
use crate::engine::{Rooms, Settings};
use crate::sweep::Lease;

fn start(task: TaskId, index: u32) -> Transition {
    Transition {
        run: RunKey { task, index },
        attempt: 1,
        at: Timestamp(1),
        change: Change::Start {
            executor: ExecutorId("me".into()),
        },
    }
}

fn settle(task: TaskId, index: u32, output: usize) -> Transition {
    Transition {
        change: Change::Settle {
            outcome: Outcome::plain(RunState::Cancelled, None),
            output: Some(Bytes::from(vec![b'x'; output])),
        },
        ..start(task, index)
    }
}

fn call(change: Transition) -> (Call, oneshot::Receiver<Answer>) {
    let (answer, answered) = oneshot::channel();
    let caller = Caller {
        receipt: None,
        answer,
    };
    (Call { change, caller }, answered)
}

#[test]
fn a_group_is_bounded_in_number_and_in_bytes() {
    let gathering = Gathering::default();
    for index in 0..2500 {
        let started = gathering.add(call(start(TaskId(1), index)).0);
        assert_eq!(started, index < 2, "two committers, however many calls");
    }
    let sizes: Vec<usize> = std::iter::from_fn(|| gathering.next_group())
        .map(|group| group.len())
        .collect();
    assert_eq!(sizes, [1000, 1000, 500]);
    for index in 0..200 {
        gathering.add(call(settle(TaskId(1), index, 64 * 1024)).0);
    }
    let first = gathering.next_group().expect("a group");
    assert_eq!(first.len() * 64 * 1024, GROUP_BYTES);
}

#[test]
fn a_committer_that_dies_leaves_nobody_waiting() {
    let gathering = Gathering::default();
    let (first, mut answered) = call(start(TaskId(1), 0));
    assert!(gathering.add(first));
    drop(AtWork {
        gathering: &gathering,
        ended: false,
    });
    assert!(
        answered
            .try_recv()
            .is_err_and(|error| error == oneshot::error::TryRecvError::Closed)
    );
    assert!(gathering.add(call(start(TaskId(1), 1)).0), "another is started");
}

async fn core(folder: &tempfile::TempDir, tasks: &Tasks) -> Arc<Core> {
    let database = muster_store::open("sqlite::memory:", tasks)
        .await
        .expect("a database");
    let host_keys = crate::HostKeys::new(Arc::clone(&database.host_keys), tasks.clone());
    let transport = muster_transport::Settings {
        home: folder.path().to_owned(),
        user: "me".into(),
        idle: Duration::from_secs(60),
        keepalive: Duration::from_secs(30),
        answer: Duration::from_secs(30),
        host_keys: Arc::new(host_keys.clone()),
        logins: 16,
    };
    let rooms = Rooms {
        transport: muster_transport::open(transport, tasks.clone()),
        database,
        host_keys,
        queue: muster_queue::open("memory:", tasks).await.expect("a queue"),
        cache: muster_cache::open("memory:").await.expect("a cache"),
    };
    let settings = Settings {
        machine: "here".into(),
        version: "0".into(),
        roles: muster_model::Roles::ALL,
        lease: None,
        slots: 10,
        home: "here".into(),
        executors: folder.path().join("executors"),
        database: "sqlite::memory:".to_owned(),
        vault: crate::KeySource::File(folder.path().join("vault.key")),
        keep: crate::Keep::default(),
    };
    let lease = Lease::take("here", &settings.executors, None).expect("a lease");
    let core = Arc::new(Core::new(rooms, settings, tasks.clone(), lease));
    core.declare().await.expect("the exchanges");
    core
}

async fn task(core: &Core, hosts: u32) -> TaskId {
    let hosts = (0..hosts).map(|number| {
        let host = format!("h{number}");
        let endpoint = Endpoint {
            reach: Reach::Local,
            host: host.clone(),
            address: None,
            user: None,
            port: None,
            credential: None,
        };
        (host, endpoint)
    });
    let task = NewTask {
        request_id: "request".into(),
        kind: Kind::Command {
            command: "true".into(),
        },
        options: Options::default(),
        input: TaskInput::default(),
        owner: "me".into(),
        retry_of: None,
        created_at: Timestamp(0),
        dispatcher: core.lease.executor(),
        secrets: None,
        hosts: hosts.collect(),
    };
    let submitted = core.rooms.database.store.submit(task).await.expect("a task");
    submitted.into_task().id
}

#[tokio::test]
async fn a_change_that_is_wrong_is_refused_alone_and_every_delivery_is_acknowledged() {
    let folder = tempfile::tempdir().expect("a folder");
    let tasks = Tasks::new();
    let core = core(&folder, &tasks).await;
    let id = task(&core, 3).await;
    let queue = Arc::clone(&core.rooms.queue);
    let message = |index| {
        let work = Work {
            run: RunKey { task: id, index },
            attempt: 1,
        };
        muster_queue::Message::new(WORK, work.encode())
    };
    queue
        .publish(WORK, (0..3).map(message).collect())
        .await
        .expect("published");
    let mut consumer = queue.consume(WORK, 3).await.expect("a consumer");
    let mut receipts = Vec::new();
    for _ in 0..3 {
        let delivery = consumer.next().await.expect("a delivery");
        receipts.push(Receipt::new(consumer.settler(), delivery.tag));
    }
    let mut receipts = receipts.into_iter();
    // One thread: all three are handed over before a committer can run.
    let (first, wrong, last) = tokio::join!(
        core.commit_one(start(id, 0), receipts.next()),
        core.commit_one(settle(id, 1, 65 * 1024), receipts.next()),
        core.commit_one(start(id, 2), receipts.next()),
    );
    assert!(matches!(first, Ok(Applied::Yes { .. })), "{first:?}");
    assert!(wrong.is_err_and(|error| error.kind == ErrorKind::TooLarge));
    assert!(matches!(last, Ok(Applied::Yes { .. })), "{last:?}");
    let counts = core.task(id).await.expect("the task").counts;
    assert_eq!((counts.started, counts.queued), (2, 1));
    // What was not acknowledged would be back in the queue now.
    drop(consumer);
    assert_eq!(queue.depth(WORK).await.expect("the queue's depth"), 0);
    core.rooms.database.store.close().await;
    assert_eq!(tasks.close(Duration::from_secs(30)).await, 0);
    assert_eq!(tasks.panics(), 0);
}
