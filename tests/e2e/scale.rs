//! Five hundred hosts at once. (What it costs is measured by `benches/fanout.rs`.)

use muster_testkit::sshd::Sshd;

use crate::support::World;

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_hosts_at_once_all_succeed() {
    let builder = Sshd::builder().listen_all_loopback().max_startups("1000");
    let Some(world) = World::with(builder).await else {
        return;
    };
    let hosts = "127.0.1.[1-250],127.0.2.[1-250]";
    let args = [
        "run",
        "echo $SSH_CONNECTION",
        "--hosts",
        hosts,
        "--json",
        "--connect-timeout",
        "120s",
    ];
    let report = world.muster(&args).succeeded().json();
    assert_eq!(report["task"]["counts"]["succeeded"], 500, "{:#}", report["task"]);
    for run in report["runs"].as_array().expect("runs") {
        let to = run["stdout"].as_str().and_then(|line| line.split(' ').nth(2));
        assert_eq!(to, run["host"].as_str(), "each host ran its own");
    }
}

/// At sshd's own default, which drops logins at random when more than ten are on their way.
#[tokio::test(flavor = "multi_thread")]
async fn at_the_default_of_max_startups_nobody_is_turned_away() {
    let builder = Sshd::builder().listen_all_loopback().max_startups("10:30:100");
    let Some(world) = World::with(builder).await else {
        return;
    };
    let args = [
        "run",
        "true",
        "--hosts",
        "127.0.1.[1-120]",
        "--json",
        "--connect-timeout",
        "120s",
    ];
    let report = world.muster(&args).succeeded().json();
    assert_eq!(report["task"]["counts"]["succeeded"], 120, "{:#}", report["task"]);
}
