//! Several servers on one database, when one of them, or the queue between them, fails.

use std::time::{Duration, Instant};

use muster_model::wire::{Event, WorkOptions};
use muster_model::{RunState, TaskId};

use crate::support::cluster::{Cluster, LEASE, Server};
use crate::support::{PATIENCE, states};

fn command(cluster: &Cluster, stop: &str) -> String {
    format!(
        "echo $MUSTER_RUN >> {}; echo begun; while test -d {} -a ! -e {}; do sleep 0.02; done; echo ended",
        cluster.path("ran").display(),
        cluster.path("").display(),
        cluster.path(stop).display()
    )
}

fn let_go(cluster: &Cluster, name: &str) {
    std::fs::write(cluster.path(name), "").expect("the flag");
}

/// The marks of what ran: who, and which attempt of which run.
fn marks(cluster: &Cluster) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(cluster.path("ran")).unwrap_or_default();
    let halves = text.lines().filter_map(|mark| mark.split_once('.'));
    halves
        .map(|(who, run)| (who.to_owned(), run.to_owned()))
        .collect()
}

/// Sees that no attempt of a run ran twice.
fn each_ran_once(cluster: &Cluster) {
    let mut runs: Vec<String> = marks(cluster).into_iter().map(|(_, run)| run).collect();
    let all = runs.len();
    runs.sort_unstable();
    runs.dedup();
    assert_eq!(runs.len(), all, "an attempt ran twice");
}

async fn wait_until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .unwrap_or_else(|_| panic!("{what}"));
}

async fn started(server: &Server, id: TaskId, count: u32) {
    server
        .bench
        .until(id, "they have started", |task| task.counts.started == count)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_server_of_another_machine_had_is_taken_over_in_one_and_a_half_leases() {
    let cluster = Cluster::new().await;
    let one = cluster.server("one", "api,executor").await;
    let options = WorkOptions {
        concurrency: Some(3),
        ..WorkOptions::default()
    };
    let id = one
        .bench
        .run(&command(&cluster, "stop"), "local://h[1-8]", options)
        .await;
    started(&one, id, 3).await;
    wait_until("three have written", async || marks(&cluster).len() == 3).await;
    let two = cluster.server("two", "api,executor").await;
    let three = cluster.server("three", "api,executor").await;
    let lead = async |database: &muster_engine::Database| {
        let lead = database.members.leadership("sweep").await.expect("an answer");
        lead.expect("a leader")
    };
    let database = cluster.database().await;
    let before = lead(&database).await;
    let died = Instant::now();
    one.bench.abandon();
    three
        .bench
        .until(id, "its runs are lost", |task| task.counts.lost == 3)
        .await;
    let took = died.elapsed();
    assert!(
        took > LEASE / 2,
        "nobody is given up before its lease is over: {took:?}"
    );
    assert!(took < LEASE * 2, "{took:?}");
    let after = lead(&database).await;
    assert!(
        after.term > before.term && after.holder != before.holder,
        "{after:?}"
    );
    let_go(&cluster, "stop");
    let runs = two.bench.finish(id).await;
    let lost = runs.iter().filter(|run| run.run.state == RunState::Lost).count();
    let succeeded = runs
        .iter()
        .filter(|run| run.run.state == RunState::Succeeded)
        .count();
    assert_eq!((lost, succeeded), (3, 5), "{:?}", states(&runs));
    assert_eq!(marks(&cluster).len(), 8);
    each_ran_once(&cluster);
    database.store.close().await;
    cluster.close([two, three]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_slow_to_say_that_it_lives_keeps_what_it_has() {
    let cluster = Cluster::new().await;
    let one = cluster.server("one", "api,executor").await;
    let id = one
        .bench
        .run(
            &command(&cluster, "stop"),
            "local://h[1-3]",
            WorkOptions::default(),
        )
        .await;
    started(&one, id, 3).await;
    let two = cluster.server("two", "api").await;
    for _ in 0..4 {
        one.beats.cut();
        tokio::time::sleep(LEASE / 3).await;
        one.beats.mend();
        tokio::time::sleep(LEASE / 3).await;
    }
    let_go(&cluster, "stop");
    let runs = two.bench.finish(id).await;
    assert_eq!(states(&runs), vec![RunState::Succeeded; 3]);
    cluster.close([one, two]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_given_up_ends_what_it_had_starts_nothing_and_goes_on_under_a_new_id() {
    let cluster = Cluster::new().await;
    let one = cluster.server("one", "api,executor").await;
    let options = WorkOptions {
        retries: 1,
        ..WorkOptions::default()
    };
    let id = one
        .bench
        .run(&command(&cluster, "stop"), "local://h[1-2]", options)
        .await;
    started(&one, id, 2).await;
    wait_until("two have written", async || marks(&cluster).len() == 2).await;
    let two = cluster.server("two", "api,executor").await;
    one.beats.cut();
    // Its runs are another attempt elsewhere by now: who was given up takes none of them.
    wait_until("the next attempts have begun", async || {
        marks(&cluster).len() == 4
    })
    .await;
    let by = marks(&cluster);
    assert!(
        by[0].0 == by[1].0 && by[2].0 == by[3].0 && by[0].0 != by[2].0,
        "{by:?}"
    );
    let_go(&cluster, "stop");
    let runs = two.bench.finish(id).await;
    for run in &runs {
        // What the first attempt says at its end, long after it was given up, changes nothing.
        assert_eq!((run.run.state, run.run.attempt), (RunState::Succeeded, 2));
        assert_eq!(run.history[0].state, RunState::Lost);
    }
    one.beats.mend();
    let database = cluster.database().await;
    let mut names = Vec::new();
    wait_until("it is there again", async || {
        let members = database.members.members().await.expect("servers");
        names = members
            .into_iter()
            .filter(|member| member.machine == "one" && member.gone_at.is_none())
            .map(|member| member.id.0)
            .collect();
        names.len() == 1
    })
    .await;
    assert_ne!(names[0], by[0].0);
    // And works as before.
    let id = one
        .bench
        .run(
            &command(&cluster, "stop"),
            "local://h[1-40]",
            WorkOptions::default(),
        )
        .await;
    assert_eq!(states(&one.bench.finish(id).await), vec![RunState::Succeeded; 40]);
    each_ran_once(&cluster);
    database.store.close().await;
    cluster.close([one, two]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_queue_watchers_and_cancels_go_by_the_database() {
    let cluster = Cluster::new().await;
    let servers = [
        cluster.server("one", "api,executor").await,
        cluster.server("two", "api").await,
    ];
    let id = servers[0]
        .bench
        .run(
            &command(&cluster, "stop"),
            "local://h[1-3]",
            WorkOptions::default(),
        )
        .await;
    started(&servers[0], id, 3).await;
    let long = servers[0]
        .bench
        .run("sleep 600", "local://h[1-3]", WorkOptions::default())
        .await;
    started(&servers[0], long, 3).await;
    let follow = servers[1].bench.events(id);
    let fail = async {
        for server in &servers {
            server.queue.cut();
        }
        let_go(&cluster, "stop");
        servers[1].bench.engine.cancel(long).await.expect("a cancel");
    };
    let (story, ()) = tokio::join!(follow, fail);
    let mut text = String::new();
    let mut ended = 0;
    for (_, event) in &story {
        match event {
            Event::Output(output) => text.push_str(&String::from_utf8_lossy(&output.bytes)),
            Event::Run(run) if run.state.is_terminal() => ended += 1,
            _ => {}
        }
    }
    let said = |word: &str| text.matches(word).count();
    assert_eq!((ended, said("begun\n"), said("ended\n")), (3, 3, 3), "{text}");
    let task = servers[1].bench.engine.task_when_done(long, PATIENCE).await;
    assert_eq!(task.expect("the task").counts.cancelled, 3);
    for server in &servers {
        server.queue.mend();
    }
    cluster.close(servers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_came_while_the_queue_was_away_runs_once_when_it_is_back() {
    let cluster = Cluster::new().await;
    let servers = [
        cluster.server("one", "api,executor").await,
        cluster.server("two", "api,executor").await,
    ];
    let_go(&cluster, "stop");
    for server in &servers {
        server.queue.cut();
    }
    let ids = [
        servers[0]
            .bench
            .run(
                &command(&cluster, "stop"),
                "local://h[1-20]",
                WorkOptions::default(),
            )
            .await,
        servers[1]
            .bench
            .run(
                &command(&cluster, "stop"),
                "local://h[1-20]",
                WorkOptions::default(),
            )
            .await,
    ];
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(marks(&cluster).is_empty());
    for server in &servers {
        server.queue.mend();
    }
    for id in ids {
        let runs = servers[1].bench.finish(id).await;
        assert_eq!(states(&runs), vec![RunState::Succeeded; 20]);
    }
    assert_eq!(marks(&cluster).len(), 40);
    each_ran_once(&cluster);
    cluster.close(servers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_broker_lost_is_handed_out_again_and_runs_once() {
    let cluster = Cluster::new().await;
    let door = cluster.server("door", "api").await;
    let_go(&cluster, "stop");
    let id = door
        .bench
        .run(
            &command(&cluster, "stop"),
            "local://h[1-20]",
            WorkOptions::default(),
        )
        .await;
    wait_until("the work is in the queue", async || cluster.waiting().await == 20).await;
    // A broker that was made anew: away, and back without what was in it.
    door.queue.cut();
    door.bench
        .engine
        .cancel(TaskId(9_999))
        .await
        .expect_err("no such task");
    cluster.lose_work().await;
    let worker = cluster.server("worker", "executor").await;
    door.queue.mend();
    let runs = door.bench.finish(id).await;
    assert_eq!(states(&runs), vec![RunState::Succeeded; 20]);
    assert_eq!(marks(&cluster).len(), 20);
    each_ran_once(&cluster);
    cluster.close([door, worker]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_queue_who_takes_tasks_is_ready_and_who_only_executes_is_not() {
    let cluster = Cluster::new().await;
    let servers = [
        cluster.server("door", "api").await,
        cluster.server("both", "api,executor").await,
        cluster.server("worker", "executor").await,
    ];
    for server in &servers {
        let readiness = server.bench.engine.readiness().await;
        assert!(readiness.ready && readiness.failing.is_empty(), "{readiness:?}");
        server.queue.cut();
    }
    for (server, ready) in servers.iter().zip([true, true, false]) {
        let mut readiness = server.bench.engine.readiness().await;
        // What was found is good for a second.
        wait_until("it has found out", async || {
            readiness = server.bench.engine.readiness().await;
            !readiness.failing.is_empty()
        })
        .await;
        let parts: Vec<&str> = readiness.failing.iter().map(|part| part.part.as_str()).collect();
        assert_eq!(parts, ["queue"]);
        assert_eq!(readiness.ready, ready, "{readiness:?}");
    }
    // As it says: it takes tasks.
    let id = servers[0]
        .bench
        .run("true", "local://h[1-3]", WorkOptions::default())
        .await;
    for server in &servers {
        server.queue.mend();
    }
    for server in &servers {
        wait_until("it is ready again", async || {
            let readiness = server.bench.engine.readiness().await;
            readiness.ready && readiness.failing.is_empty()
        })
        .await;
    }
    let runs = servers[0].bench.finish(id).await;
    assert_eq!(states(&runs), vec![RunState::Succeeded; 3]);
    cluster.close(servers).await;
}
