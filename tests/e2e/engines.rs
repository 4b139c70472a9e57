//! One server on engines that people already run: RabbitMQ as its queue, Redis or Memcached as its cache.

mod wrong;

use std::time::{Duration, Instant};

use muster_testkit::home::Home;
use muster_testkit::require::or_ignored;
use muster_testkit::{Memcached, RabbitMq, Redis};
use serde_json::Value;

use crate::support::{Done, command};

fn muster(home: &Home, args: &[&str]) -> Done {
    command(home, args).output().expect("the binary starts").into()
}

/// The main job, whatever stands behind the URLs.
fn does_the_main_job(home: &Home) {
    let done = muster(
        home,
        &["run", "echo $((6 * 7))", "--hosts", "local://h[1-40]", "--json"],
    )
    .succeeded();
    let runs = done.json()["runs"].as_array().cloned().unwrap_or_default();
    assert_eq!(runs.len(), 40);
    assert!(runs.iter().all(|run| run["stdout"] == "42\n"), "{runs:#?}");

    let failed = muster(
        home,
        &["run", "exit 3", "--hosts", "local://h[1-3]", "--output", "quiet"],
    );
    assert_eq!(failed.code, Some(1), "{failed:#?}");

    let detached = muster(
        home,
        &["run", "sleep 600", "--hosts", "local://h[1-5]", "--detach"],
    )
    .succeeded();
    let id = detached
        .stdout
        .trim()
        .rsplit(' ')
        .next()
        .expect("a number")
        .to_owned();
    muster(home, &["cancel", &id]).succeeded();
    let followed = muster(home, &["follow", &id]);
    assert_eq!(followed.code, Some(1), "{followed:#?}");
    let counts = &muster(home, &["check_task", &id, "--json"]).json()["task"]["counts"];
    assert_eq!(counts["cancelled"], 5, "{counts:#}");

    // More than is kept in a cache.
    let large = muster(
        home,
        &[
            "run",
            "head -c 3000000 /dev/zero",
            "--hosts",
            "local://big",
            "--json",
        ],
    )
    .succeeded();
    assert_eq!(large.json()["runs"][0]["stdout_bytes"], 3_000_000);
}

fn settings_shown(home: &Home) -> String {
    let mut shown = muster(home, &["config"]).succeeded().stdout;
    shown.push_str(&muster(home, &["doctor"]).stdout);
    shown
}

#[test]
fn the_main_job_is_done_over_rabbitmq_and_redis() {
    let Some(rabbitmq) = or_ignored(RabbitMq::start()) else {
        return;
    };
    let Some(redis) = or_ignored(Redis::start()) else {
        return;
    };
    let mut home = Home::new().expect("a home");
    let queue = rabbitmq.fresh_vhost().expect("a virtual host");
    home.set_env("MUSTER_QUEUE", &queue);
    home.set_env("MUSTER_CACHE", redis.url());
    does_the_main_job(&home);
    let shown = settings_shown(&home);
    let password = queue.split([':', '@']).nth(2).expect("a password");
    assert!(!shown.contains(password), "{shown}");
    let doctor: Value = muster(&home, &["doctor", "--json"]).json();
    assert!(doctor.to_string().contains("queue"), "{doctor:#}");
}

#[test]
fn the_main_job_is_done_over_memcached() {
    let Some(memcached) = or_ignored(Memcached::start(64)) else {
        return;
    };
    let mut home = Home::new().expect("a home");
    home.set_env("MUSTER_CACHE", format!("memcached://{}", memcached.place()));
    does_the_main_job(&home);
}

/// RabbitMQ gives a delivery up that is not acknowledged in time (half an hour, unless it is told otherwise), and closes
/// the channel. A run is acknowledged when its start is written down, so a command may take as long as it likes.
#[test]
fn a_command_that_takes_longer_than_a_delivery_may_ends_normally() {
    let limit = Duration::from_secs(60);
    let Some(rabbitmq) = or_ignored(RabbitMq::builder().delivery_timeout(limit).start()) else {
        return;
    };
    let mut home = Home::new().expect("a home");
    home.set_env("MUSTER_QUEUE", rabbitmq.fresh_vhost().expect("a virtual host"));
    let begun = Instant::now();
    let done = muster(
        &home,
        &[
            "run",
            "sleep 80; echo woken",
            "--hosts",
            "local://h[1-2]",
            "--json",
        ],
    )
    .succeeded();
    assert!(begun.elapsed() > limit, "{:?}", begun.elapsed());
    let runs = done.json()["runs"].as_array().cloned().unwrap_or_default();
    assert!(
        runs.iter()
            .all(|run| run["stdout"] == "woken\n" && run["attempt"] == 1),
        "{runs:#?}"
    );
    assert!(
        !rabbitmq.log().contains("delivery acknowledgement"),
        "{}",
        rabbitmq.log()
    );
    // And the same server goes on.
    muster(&home, &["run", "true", "--hosts", "local://h"]).succeeded();
}
