//! Output: large, and with slow readers.

use std::io::Read;
use std::process::Stdio;

use muster_testkit::wait;

use crate::support::{MUSTER, PATIENCE, World, server};

/// A gibibyte from one host, through a pipe, whole, while the server stays small.
#[tokio::test(flavor = "multi_thread")]
async fn a_gibibyte_arrives_whole_and_the_server_stays_small() {
    let Some(world) = World::new().await else { return };
    let size: u64 = 1 << 30;
    let make = format!("head -c {size} /dev/zero | tr '\\0' 'm'");
    let line = format!(
        "{MUSTER} run \"{make}\" --max-output 2GiB --hosts {} | sha256sum",
        world.hosts(1)
    );
    let mut shell = world.home.command("/bin/sh");
    let piped = shell
        .args(["-c", &line])
        .stdin(Stdio::null())
        .output()
        .expect("a shell");
    let expected = world
        .home
        .command("/bin/sh")
        .args(["-c", &format!("{make} | sha256sum")])
        .output()
        .expect("a shell");
    assert_eq!(
        String::from_utf8_lossy(&piped.stdout),
        String::from_utf8_lossy(&expected.stdout),
        "{}",
        String::from_utf8_lossy(&piped.stderr)
    );
    let peak = muster_testkit::proc::peak_resident_bytes(server(&world.home)).expect("the server's memory");
    println!("the server's peak memory: {} MiB", peak >> 20);
    assert!(peak < 200 << 20, "the server took {} MiB", peak >> 20);
    let counts = counts(&world, 1);
    assert_eq!(
        (&counts["total"], &counts["succeeded"]),
        (&1.into(), &1.into()),
        "{counts}"
    );
}

/// The counts of a task, without its output.
fn counts(world: &World, id: u64) -> serde_json::Value {
    let tasks = world.muster(&["tasks", "--json"]).succeeded().json();
    let task = tasks
        .as_array()
        .and_then(|tasks| tasks.iter().find(|task| task["id"] == id));
    task.unwrap_or_else(|| panic!("no task {id}: {tasks:#}"))["counts"].clone()
}

/// Somebody who follows and does not read holds up neither the commands nor anybody else, and misses nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_does_not_read_slows_nobody() {
    let Some(world) = World::new().await else { return };
    let hosts = world.hosts(2);
    // Much more than the pipe, the socket and the client hold.
    let lines = 400_000;
    let mut follower = world.command(&["run", &format!("seq 1 {lines}"), "--hosts", &hosts]);
    let mut follower = follower
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut pipe = follower.stdout.take().expect("a pipe");
    let mut first = [0; 1];
    pipe.read_exact(&mut first).expect("output");
    wait::until(PATIENCE, "the commands to end", || {
        counts(&world, 1)["succeeded"] == 2
    })
    .await
    .expect("they end");
    let other = world.muster(&["run", "echo quick", "--hosts", &world.hosts(1)]);
    assert_eq!(other.succeeded().stdout, "quick\n");
    let ended = follower.try_wait().expect("it is asked");
    assert!(ended.is_none(), "everything was read by nobody: {ended:?}");
    let mut rest = String::new();
    pipe.read_to_string(&mut rest).expect("text");
    let seen = rest.lines().count();
    assert!(rest.ends_with('\n') && seen == 2 * lines, "{seen} lines");
    assert!(follower.wait().expect("it ends").success());
}

/// Past the limit the run says so, succeeds all the same, and keeps the first bytes.
#[tokio::test(flavor = "multi_thread")]
async fn output_past_the_limit_is_truncated_and_says_so() {
    let Some(world) = World::new().await else { return };
    let hosts = world.hosts(1);
    let args = [
        "run",
        "seq 1 100000",
        "--max-output",
        "1000",
        "--hosts",
        &hosts,
        "--json",
    ];
    let run = &world.muster(&args).succeeded().json()["runs"][0];
    assert_eq!(
        (run["truncated"].as_bool(), run["stdout_bytes"].as_u64()),
        (Some(true), Some(588_895))
    );
    assert_eq!(run["stdout"].as_str().map(str::len), Some(1000));
}
