//! Work that a broker loses while no connection breaks, on a real RabbitMQ.

use std::time::Duration;

use muster_model::RunState;
use muster_model::wire::WorkOptions;
use muster_testkit::{RabbitMq, require};

use crate::support::cluster::{Cluster, LEASE};
use crate::support::{PATIENCE, states};

/// Each run leaves a line, so that one that ran twice is seen.
fn command(cluster: &Cluster) -> String {
    format!(
        "echo $MUSTER_RUN >> {}; while test -d {} -a ! -e {}; do sleep 0.02; done",
        cluster.path("ran").display(),
        cluster.path("").display(),
        cluster.path("stop").display()
    )
}

fn ran(cluster: &Cluster) -> Vec<String> {
    let text = std::fs::read_to_string(cluster.path("ran")).unwrap_or_default();
    let mut runs: Vec<String> = text.lines().map(str::to_owned).collect();
    runs.sort_unstable();
    runs
}

async fn waiting(cluster: &Cluster, count: u64) {
    let wait = async {
        while cluster.waiting().await != count {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let became = tokio::time::timeout(PATIENCE, wait).await;
    became.unwrap_or_else(|_| panic!("{count} wait in the queue"));
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_was_purged_or_deleted_with_its_queue_is_published_again_and_runs_once() {
    let broker = require!(tokio::task::block_in_place(RabbitMq::start));
    let url = broker.fresh_vhost().expect("a virtual host");
    let vhost = url.rsplit('/').next().expect("its name");
    let cluster = Cluster::on(&url).await;
    // Nobody executes yet. With another server there, the database is looked at more often.
    let doors = [
        cluster.server("door", "api").await,
        cluster.server("other", "api").await,
    ];
    let id = doors[0]
        .bench
        .run(&command(&cluster), "local://h[1-20]", WorkOptions::default())
        .await;
    waiting(&cluster, 20).await;
    let purge = || broker.ctl(&["purge_queue", "-p", vhost, "muster.work"]);
    tokio::task::block_in_place(purge).expect("a purged queue");
    waiting(&cluster, 20).await;
    // No consumer of it ends, so nobody is told of this either.
    cluster.lose_work().await;
    let again = async {
        while cluster.published() < 60 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, again)
        .await
        .expect("they are published again");
    waiting(&cluster, 20).await;
    std::fs::write(cluster.path("stop"), "").expect("the flag");
    let worker = cluster.server("worker", "executor").await;
    let runs = doors[0].bench.finish(id).await;
    assert_eq!(states(&runs), vec![RunState::Succeeded; 20]);
    let mut once = ran(&cluster);
    assert_eq!(once.len(), 20);
    once.dedup();
    assert_eq!(once.len(), 20, "a run ran twice");
    let [door, other] = doors;
    cluster.close([door, other, worker]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_slot_or_runs_is_published_once() {
    let broker = require!(tokio::task::block_in_place(RabbitMq::start));
    let url = broker.fresh_vhost().expect("a virtual host");
    let cluster = Cluster::on(&url).await;
    let door = cluster.server("door", "api").await;
    let worker = cluster.server("worker", "executor").await;
    let id = door
        .bench
        .run(&command(&cluster), "local://h[1-80]", WorkOptions::default())
        .await;
    // The worker has fifty slots, and takes as many runs again that wait for one: the queue is empty.
    door.bench
        .until(id, "fifty have started", |task| task.counts.started == 50)
        .await;
    waiting(&cluster, 0).await;
    // Several times as long as what was lost is missing before it is published again.
    tokio::time::sleep(LEASE * 4).await;
    assert_eq!(cluster.published(), 80);
    std::fs::write(cluster.path("stop"), "").expect("the flag");
    let runs = door.bench.finish(id).await;
    assert_eq!(states(&runs), vec![RunState::Succeeded; 80]);
    assert_eq!((cluster.published(), ran(&cluster).len()), (80, 80));
    cluster.close([door, worker]).await;
}
