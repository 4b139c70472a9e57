//! Output: large, and with slow readers.

use std::process::Stdio;

use crate::support::{MUSTER, World, server};

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
    let report = world.muster(&["tasks", "--json"]).succeeded();
    assert!(report.stdout.contains("\"succeeded\""), "{report:#?}");
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
