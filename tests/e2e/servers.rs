//! Several servers on one PostgreSQL, RabbitMQ and Redis work as one.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use muster_testkit::home::Home;
use muster_testkit::wait;
use nix::sys::signal::Signal;

use crate::cluster::{Cluster, Server, counts, detach};
use crate::support::{Done, MUSTER, PATIENCE, command, states};

/// The longest that others may take to notice that a server is dead, with a busy machine in mind.
const TAKEN_OVER: Duration = Duration::from_secs(20);

/// How many runs a server says that it has in hand.
fn in_hand(server: &Server) -> u64 {
    let seen = server.muster(&["cluster", "--json"]).succeeded().json();
    let servers = seen["servers"].as_array().cloned().unwrap_or_default();
    let own = servers.iter().find(|server| server["answers"] == true);
    own.and_then(|own| own["active_runs"].as_u64())
        .expect("what it has in hand")
}

#[tokio::test]
async fn any_server_answers_follows_and_cancels() {
    let Some(cluster) = Cluster::new().await else {
        return;
    };
    let [one, two, three] = &cluster.servers;
    let id = detach(one, &["run", &cluster.script(true), "--hosts", "local://h[1-3]"]);
    wait::until(PATIENCE, "they have started", || cluster.ran() == 3)
        .await
        .expect("a start");
    let follow = command(&two.home, &["follow", &id, "--output", "jsonl"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("a follower");
    let cancelled = detach(one, &["run", "sleep 600", "--hosts", "local://h[1-2]"]);
    wait::until(PATIENCE, "they have started", || {
        counts(three, &cancelled)["started"] == 2
    })
    .await
    .expect("a start");
    three.muster(&["cancel", &cancelled]).succeeded();
    wait::until(PATIENCE, "they are cancelled", || {
        counts(two, &cancelled)["cancelled"] == 2
    })
    .await
    .expect("a cancel");
    cluster.open_gate();
    let followed = follow.wait_with_output().expect("the follower's end");
    assert_eq!(followed.status.code(), Some(0));
    let text = String::from_utf8_lossy(&followed.stdout);
    assert_eq!(text.matches("\"state\":\"succeeded\"").count(), 3, "{text}");
    assert!(
        text.matches("begun").count() >= 3 && text.matches("ended").count() >= 3,
        "{text}"
    );

    let seen = three.muster(&["cluster", "--json"]).succeeded().json();
    let servers = seen["servers"].as_array().expect("servers");
    assert_eq!(servers.len(), 3, "{seen:#}");
    assert!(servers.iter().all(|server| server["state"] == "here"), "{seen:#}");
    assert_eq!(
        servers.iter().filter(|server| server["answers"] == true).count(),
        1
    );
    assert!(
        servers.iter().any(|server| server["id"] == seen["leader"]),
        "{seen:#}"
    );
    let shown = one.muster(&["cluster"]).succeeded().stdout;
    assert!(
        shown.contains("api,executor") && shown.contains("leads"),
        "{shown}"
    );
}

#[tokio::test]
async fn what_a_killed_server_had_goes_on_elsewhere_within_seconds() {
    let Some(mut cluster) = Cluster::new().await else {
        return;
    };
    let script = cluster.script(true);
    let args = ["run", &script, "--hosts", "local://h[1-6]", "--concurrency", "2"];
    let id = detach(&cluster.servers[0], &args);
    wait::until(PATIENCE, "two have started", || cluster.ran() == 2)
        .await
        .expect("a start");
    // Any of them may have taken them from the queue: each says what it has with its next sign of life.
    let mut held = [0; 3];
    wait::until(PATIENCE, "two are said to be in hand", || {
        held = [0, 1, 2].map(|number| in_hand(&cluster.servers[number]));
        held.iter().sum::<u64>() == 2
    })
    .await
    .expect("runs in hand");
    let dies = held
        .iter()
        .position(|held| *held > 0)
        .expect("a server with runs");
    let dead_had = held[dies];
    let (one, two) = (&cluster.servers[dies], &cluster.servers[(dies + 1) % 3]);
    one.signal(Signal::SIGKILL);
    let died = Instant::now();
    wait::until(PATIENCE, "they are lost", || counts(two, &id)["lost"] == dead_had)
        .await
        .expect("a take-over");
    let took = died.elapsed();
    assert!(took > Duration::from_secs(5) && took < TAKEN_OVER, "{took:?}");
    let seen = two.muster(&["cluster", "--json"]).succeeded().json();
    let servers = seen["servers"].as_array().expect("servers");
    assert_eq!(
        servers.iter().filter(|server| server["state"] == "gone").count(),
        1,
        "{seen:#}"
    );
    cluster.open_gate();
    let ended = || two.muster(&["check_task", &id, "--json"]).json()["task"]["state"] == "done";
    wait::until(PATIENCE, "the task's end", ended)
        .await
        .expect("an end");
    let report = two.muster(&["check_task", &id, "--json"]).json();
    let lost = states(&report).iter().filter(|state| *state == "lost").count();
    let succeeded = states(&report)
        .iter()
        .filter(|state| *state == "succeeded")
        .count();
    assert_eq!((lost as u64, succeeded as u64), (dead_had, 6 - dead_had));
    assert_eq!(cluster.ran(), 6, "each ran once");
    cluster.servers[dies].ended();
}

#[tokio::test]
async fn replacing_all_servers_one_after_the_other_gives_no_client_an_error() {
    let Some(mut cluster) = Cluster::new().await else {
        return;
    };
    let client = Arc::new(std::mem::replace(
        &mut cluster.client,
        Home::new().expect("a home"),
    ));
    let (stop, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let clients: Vec<_> = (0..3)
        .map(|_| {
            let (client, stop, rounds) = (Arc::clone(&client), Arc::clone(&stop), Arc::clone(&rounds));
            std::thread::spawn(move || {
                let mut failed = Vec::new();
                while !stop.load(Ordering::Acquire) {
                    let args = [
                        "run",
                        "sleep 0.2; echo done",
                        "--hosts",
                        "local://h[1-4]",
                        "--json",
                    ];
                    let done: Done = client
                        .command(MUSTER)
                        .args(args)
                        .stdin(Stdio::null())
                        .output()
                        .expect("the binary starts")
                        .into();
                    rounds.fetch_add(1, Ordering::AcqRel);
                    if done.code != Some(0) || done.stdout.matches("\"succeeded\"").count() < 4 {
                        failed.push(done);
                    }
                }
                failed
            })
        })
        .collect();
    for server in &mut cluster.servers {
        let before = rounds.load(Ordering::Acquire);
        wait::until(PATIENCE, "clients work", || {
            rounds.load(Ordering::Acquire) > before + 3
        })
        .await
        .expect("clients");
        server.signal(Signal::SIGTERM);
        server.ended();
        server.start().await;
    }
    stop.store(true, Ordering::Release);
    for client in clients {
        let failed = client.join().expect("a client");
        assert!(failed.is_empty(), "{failed:#?}");
    }
}
