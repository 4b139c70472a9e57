//! `kill -9` of the server with a hundred runs in its hands: what the hosts have written agrees with what
//! the next server says.

use std::collections::HashMap;

use muster_testkit::{proc, wait};

use crate::support::{PATIENCE, World, kill, server};

/// How often each host has written each word.
fn written(folder: &std::path::Path) -> HashMap<(String, String), usize> {
    let mut counts = HashMap::new();
    for entry in std::fs::read_dir(folder).expect("the folder") {
        let path = entry.expect("an entry").path();
        let host = path.file_name().expect("a name").to_string_lossy().into_owned();
        for word in std::fs::read_to_string(&path).expect("the file").lines() {
            *counts.entry((host.clone(), word.to_owned())).or_default() += 1;
        }
    }
    counts
}

/// Waits until no command that names the folder runs, and none is to come: one that sshd has read and not started
/// yet is on a connection that the dead server has left.
async fn until_quiet(world: &World, folder: &std::path::Path) {
    let folder = folder.to_string_lossy();
    let mut looks = 0;
    let quiet = || {
        let is_quiet = world.sshd.left_alone() == 0 && proc::with_arg(&folder).is_empty();
        looks = if is_quiet { looks + 1 } else { 0 };
        looks == 2
    };
    wait::until(PATIENCE, "the commands to end", quiet)
        .await
        .expect("they end");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_run_has_one_end_and_it_agrees_with_what_was_written() {
    let builder = muster_testkit::sshd::Sshd::builder()
        .listen_all_loopback()
        .max_startups("500");
    let Some(world) = World::with(builder).await else {
        return;
    };
    let folder = world.home.path().join("written");
    std::fs::create_dir(&folder).expect("the folder");
    // The address that the client came to is the host's name here: all hosts are one machine.
    // None ends before the kill, however long it takes to come.
    let stop = world.home.path().join("stop");
    let command = format!(
        "f={0}/$(echo $SSH_CONNECTION | cut -d' ' -f3); echo begin >> $f; \
         while test -d {0} -a ! -e {1}; do sleep 0.5; done; echo end >> $f",
        folder.display(),
        stop.display()
    );
    let hosts = "127.0.1.[1-100]";
    let id = world.detach(&["run", &command, "--hosts", hosts, "--concurrency", "60"]);
    world
        .until_counts(&id, "many have started", |counts| {
            counts["started"].as_u64() >= Some(30)
        })
        .await;
    let pid = server(&world.home);
    kill(pid);
    wait::until(PATIENCE, "the server's end", || !proc::is_alive(pid))
        .await
        .expect("it is killed");
    std::fs::write(&stop, "").expect("the flag");
    // The next command starts a server, which finds what the dead one left.
    let report = world.until_done(&id).await;
    let begun = |count: &HashMap<(String, String), usize>, host: &str| {
        count
            .get(&(host.to_owned(), "begin".to_owned()))
            .copied()
            .unwrap_or(0)
    };
    // Commands whose server died go on or end as their pipes break: wait until none of them runs.
    until_quiet(&world, &folder).await;
    let counts = written(&folder);
    let (mut lost, mut succeeded) = (0, 0);
    for run in report["runs"].as_array().expect("runs") {
        let host = run["host"].as_str().expect("a host");
        let ended = counts
            .get(&(host.to_owned(), "end".to_owned()))
            .copied()
            .unwrap_or(0);
        match run["state"].as_str().expect("a state") {
            "succeeded" => {
                assert_eq!((begun(&counts, host), ended), (1, 1), "{run:#}");
                succeeded += 1;
            }
            "lost" => {
                assert!(begun(&counts, host) <= 1 && ended <= 1, "{run:#}");
                lost += 1;
            }
            other => panic!("{other}: {run:#}"),
        }
    }
    assert_eq!(lost + succeeded, 100);
    assert!(
        lost >= 30 && succeeded >= 40,
        "{lost} lost, {succeeded} succeeded"
    );
    assert!(
        counts.values().all(|count| *count == 1),
        "no command ran twice: {counts:?}"
    );
    // And it stays so.
    assert_eq!(world.report(&id), report);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_whose_number_was_printed_exists_after_a_kill() {
    let Some(world) = World::new().await else { return };
    for _ in 0..5 {
        let id = world.detach(&["run", "true", "--hosts", &world.hosts(2)]);
        kill(server(&world.home));
        let report = world.until_done(&id).await;
        assert_eq!(report["task"]["counts"]["total"], 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_commands_that_run_at_the_kill_are_lost_and_ran_once() {
    let builder = muster_testkit::sshd::Sshd::builder()
        .listen_all_loopback()
        .max_startups("500");
    let Some(world) = World::with(builder).await else {
        return;
    };
    let folder = world.home.path().join("written");
    let stop = world.home.path().join("stop");
    std::fs::create_dir(&folder).expect("the folder");
    let command = format!(
        "f={0}/$(echo $SSH_CONNECTION | cut -d' ' -f3); echo begin >> $f; \
         while test -d {0} -a ! -e {1}; do sleep 0.5; done; echo end >> $f",
        folder.display(),
        stop.display()
    );
    let id = world.detach(&[
        "run",
        &command,
        "--hosts",
        "127.0.1.[1-100]",
        "--connect-timeout",
        "60s",
    ]);
    world
        .until_counts(&id, "all have started", |counts| counts["started"] == 100)
        .await;
    let all_begun = || written(&folder).len() == 100;
    wait::until(PATIENCE, "all have written", all_begun)
        .await
        .expect("they write");
    kill(server(&world.home));
    let report = world.until_done(&id).await;
    assert_eq!(report["task"]["counts"]["lost"], 100, "{:#}", report["task"]);
    std::fs::write(&stop, "").expect("the flag");
    until_quiet(&world, &folder).await;
    assert!(
        written(&folder).values().all(|count| *count == 1),
        "no command ran twice"
    );
    assert_eq!(world.report(&id), report, "and it stays so");
}
