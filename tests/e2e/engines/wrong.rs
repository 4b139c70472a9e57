//! An engine that is wrong: each fault is said, with whose it is, where that is and what to do, and never with a password;
//! and what was accepted before is done once the engine is well.

use std::process::Stdio;

use muster_testkit::home::Home;
use muster_testkit::require::or_ignored;
use muster_testkit::{Certificates, Memcached, RabbitMq, Redis, Scripted, wait};

use super::{does_the_main_job, muster};
use crate::support::{Done, PATIENCE, command};

const PASSWORD: &str = "hunter2";

/// Takes a task that nobody runs yet: by a server without executors, which is killed then.
fn accepted(home: &Home) -> String {
    let mut server = command(home, &["server", "--roles", "api"]);
    server.stdout(Stdio::null()).stderr(Stdio::null());
    let mut server = server.spawn().expect("the binary starts");
    let answers = || (muster(home, &["server", "status"]).code == Some(0)).then_some(());
    wait::blocking(PATIENCE, "the server to answer", answers).expect("it answers");
    let id = detach(home, "echo kept", "local://h[1-3]");
    server.kill().expect("it is there");
    server.wait().expect("it ends");
    id
}

fn detach(home: &Home, script: &str, hosts: &str) -> String {
    let done = muster(home, &["run", script, "--hosts", hosts, "--detach"]).succeeded();
    let id = done.stdout.trim().strip_prefix("task id: ").map(str::to_owned);
    id.unwrap_or_else(|| panic!("{done:#?}"))
}

#[track_caller]
fn says(done: &Done, words: &[&str]) {
    let said = format!("{}{}", done.stdout, done.stderr);
    for word in words {
        assert!(said.contains(word), "should say '{word}': {done:#?}");
    }
    assert!(!said.contains("panicked"), "{done:#?}");
}

/// Has a task accepted, makes the engine of a setting wrong, and sees that whoever asks is told; and that the task is done
/// when the engine is right again.
fn is_said_and_loses_nothing(setting: &str, right: &str, wrong: &str, words: &[&str]) {
    let mut home = Home::new().expect("a home");
    home.set_env(setting, right);
    let id = accepted(&home);
    home.set_env(setting, wrong);
    let password = wrong.split([':', '@']).nth(2).expect("a password");
    for args in [
        ["run", "true", "--hosts", "local://h"].as_slice(),
        &["check_task", &id],
        &["doctor"],
    ] {
        let refused = muster(&home, args);
        assert_eq!(refused.code, Some(2), "{refused:#?}");
        says(&refused, words);
        says(&refused, &["hint: `muster config` shows"]);
        let said = format!("{refused:?}");
        assert!(!said.contains(password) && !said.contains(PASSWORD), "{said}");
    }
    home.set_env(setting, right);
    muster(&home, &["follow", &id]).succeeded();
    let tasks = muster(&home, &["tasks", "--json"]).succeeded().json();
    let tasks = tasks["tasks"]
        .as_array()
        .or(tasks.as_array())
        .cloned()
        .expect("tasks");
    assert_eq!(tasks.len(), 1, "what was refused has left no task: {tasks:#?}");
    assert_eq!(tasks[0]["counts"]["succeeded"], 3, "{tasks:#?}");
}

fn server_log(home: &Home) -> String {
    let log = home.runtime_dir().join("muster/server.log");
    std::fs::read_to_string(log).expect("the server's log")
}

#[test]
fn who_cannot_be_reached_is_named_without_the_password() {
    let mut home = Home::new().expect("a home");
    home.set_env("MUSTER_QUEUE", "amqp://muster:hunter2@127.0.0.1:1/muster");
    let refused = muster(&home, &["run", "true", "--hosts", "local://h"]);
    assert_eq!(refused.code, Some(3), "{refused:#?}");
    assert!(
        refused
            .stderr
            .contains("the queue amqp://muster:***@127.0.0.1:1/muster"),
        "{refused:#?}"
    );
    assert!(!refused.stderr.contains("hunter2"), "{refused:#?}");
}

#[test]
fn a_broker_s_certificate_that_is_not_trusted_is_said_and_nothing_is_lost() {
    let Some(rabbitmq) = or_ignored(RabbitMq::builder().tls().start()) else {
        return;
    };
    let url = rabbitmq.over_tls(&rabbitmq.fresh_vhost().expect("a virtual host"));
    let certificates = rabbitmq.certificates().expect("certificates");
    let trusting = |file: std::path::PathBuf| format!("{url}?cacertfile={}", file.display());
    let right = trusting(certificates.authority());
    let place = url.split('@').nth(1).expect("a place");
    let shown = format!("the queue amqps://muster_test:***@{place}");
    let words = [shown.as_str(), "certificate is not trusted", "cacertfile="];
    is_said_and_loses_nothing("MUSTER_QUEUE", &right, &url, &words);
    is_said_and_loses_nothing("MUSTER_QUEUE", &right, &trusting(certificates.stranger()), &words);
}

#[test]
fn a_redis_certificate_that_is_not_trusted_is_said_and_nothing_is_lost() {
    let Some(certificates) = or_ignored(Certificates::make()) else {
        return;
    };
    let Some(redis) = or_ignored(Redis::with_tls(&certificates, false)) else {
        return;
    };
    let port = redis.port();
    let right = format!("{}?ca={}", redis.url(), certificates.path("ca.crt").display());
    let with_password = format!("rediss://me:{PASSWORD}@127.0.0.1:{port}");
    let stranger = format!("{with_password}?ca={}", certificates.path("other.crt").display());
    let shown = format!("the cache rediss://me:***@127.0.0.1:{port}");
    let words = [shown.as_str(), "certificate is not trusted", "ca="];
    for wrong in [with_password, stranger] {
        is_said_and_loses_nothing("MUSTER_CACHE", &right, &wrong, &words);
    }
}

#[test]
fn a_version_that_is_too_old_is_said_and_nothing_is_lost() {
    let broker = Scripted::rabbitmq("3.9.29").expect("a script");
    let place = format!("127.0.0.1:{}", broker.port());
    is_said_and_loses_nothing(
        "MUSTER_QUEUE",
        "memory:",
        &format!("amqp://me:{PASSWORD}@{place}/muster"),
        &[
            &format!("the queue amqp://me:***@{place}/muster"),
            "RabbitMQ 3.9.29 is too old: 3.10 or newer is needed",
        ],
    );
    let redis = Scripted::redis("6.0.16").expect("a script");
    let place = format!("127.0.0.1:{}", redis.port());
    is_said_and_loses_nothing(
        "MUSTER_CACHE",
        "memory:",
        &format!("redis://me:{PASSWORD}@{place}"),
        &[
            &format!("the cache redis://me:***@{place}"),
            "is Redis '6.0.16': 6.2 or newer is needed",
        ],
    );
}

#[test]
fn a_memcached_that_is_too_old_is_said_and_one_that_is_not_is_taken() {
    let old = Scripted::memcached("1.5.22").expect("a script");
    let Some(memcached) = or_ignored(Memcached::start(64)) else {
        return;
    };
    let mut home = Home::new().expect("a home");
    let url = format!("memcached://127.0.0.1:{}", old.port());
    home.set_env("MUSTER_CACHE", &url);
    let refused = muster(&home, &["run", "true", "--hosts", "local://h"]);
    assert_eq!(refused.code, Some(2), "{refused:#?}");
    says(
        &refused,
        &[
            &format!("the cache {url}"),
            "is Memcached 1.5.22: 1.6 or newer is needed",
        ],
    );
    home.set_env("MUSTER_CACHE", format!("memcached://{}", memcached.place()));
    muster(&home, &["run", "true", "--hosts", "local://h"]).succeeded();
}

#[test]
fn a_broker_in_alarm_holds_work_up_and_loses_none() {
    let Some(rabbitmq) = or_ignored(RabbitMq::start()) else {
        return;
    };
    let mut home = Home::new().expect("a home");
    let url = rabbitmq.fresh_vhost().expect("a virtual host");
    home.set_env("MUSTER_QUEUE", &url);
    holds_work_up(&home, &url, "disk", 0, |on| {
        rabbitmq.disk_alarm(on).expect("the alarm")
    });
    holds_work_up(&home, &url, "memory", 1, |on| {
        rabbitmq.memory_alarm(on).expect("the alarm")
    });
}

/// Raises an alarm and lifts it; `times` is how often the log has spoken of one before.
fn holds_work_up(home: &Home, url: &str, lacks: &str, times: usize, alarm: impl Fn(bool)) {
    let shown = format!(
        "amqp://muster_test:***@{}",
        url.split('@').nth(1).expect("a place")
    );
    let gate = home.path().join(lacks);
    let before = detach(
        home,
        &format!("while [ ! -e {} ]; do sleep 0.1; done", gate.display()),
        "local://h[1-3]",
    );
    let started = || (counts(home, &before)["started"] == 3).then_some(());
    wait::blocking(PATIENCE, "the commands to start", started).expect("they start");
    alarm(true);

    let doctor = muster(home, &["doctor"]);
    assert_eq!(doctor.code, Some(1), "{doctor:#?}");
    let next = "`rabbitmq-diagnostics alarms` says what it lacks";
    says(
        &doctor,
        &[
            &format!("FAIL  queue: {shown}"),
            "it is in alarm",
            lacks,
            next,
            "has memory and disk left",
        ],
    );
    assert_eq!(doctor.stdout.matches("FAIL").count(), 1, "{doctor:#?}");

    let during = detach(home, "echo kept", "local://h[1-20]");
    let said = "the queue does not answer";
    let is_said = || (server_log(home).matches(said).count() > times).then_some(());
    wait::blocking(PATIENCE, "the log to say so", is_said).expect("it is said");
    assert_eq!(counts(home, &during)["queued"], 20, "accepted, and waiting");
    // What has begun before ends all the same.
    std::fs::write(&gate, "").expect("the gate");
    muster(home, &["follow", &before]).succeeded();
    assert_eq!(muster(home, &["doctor"]).code, Some(1), "it still is in alarm");

    alarm(false);
    muster(home, &["follow", &during]).succeeded();
    let report = muster(home, &["check_task", &during, "--json"]).json();
    let runs = report["runs"].as_array().cloned().expect("runs");
    assert_eq!(runs.len(), 20);
    assert!(
        runs.iter()
            .all(|run| run["state"] == "succeeded" && run["attempt"] == 1),
        "{runs:#?}"
    );
    muster(home, &["doctor"]).succeeded();
    let log = server_log(home);
    assert_eq!(log.matches(said).count(), times + 1, "it is said once: {log}");
    assert!(
        !log.contains(url.split([':', '@']).nth(2).expect("a password")),
        "{log}"
    );
}

fn counts(home: &Home, id: &str) -> serde_json::Value {
    muster(home, &["check_task", id, "--json"]).json()["task"]["counts"].clone()
}

#[test]
fn a_redis_that_is_full_slows_work_down_and_loses_none() {
    let Some(redis) = or_ignored(Redis::start()) else {
        return;
    };
    let mut home = Home::new().expect("a home");
    home.set_env("MUSTER_CACHE", redis.url());
    muster(&home, &["run", "true", "--hosts", "local://h"]).succeeded();
    muster(&home, &["doctor"]).succeeded();
    // Its policy is noeviction where nobody says otherwise; and it holds more than this from its start.
    redis
        .ask(&["config", "set", "maxmemory", "1"])
        .expect("it is full");
    does_the_main_job(&home);
    let doctor = muster(&home, &["doctor"]);
    assert_eq!(doctor.code, Some(1), "{doctor:#?}");
    says(
        &doctor,
        &[
            &format!("FAIL  cache: {}", redis.url()),
            "its memory is full and its policy is noeviction: set maxmemory-policy allkeys-lru",
            "nothing is lost",
        ],
    );
    assert_eq!(doctor.stdout.matches("FAIL").count(), 1, "{doctor:#?}");
    let log = server_log(&home);
    let warnings: Vec<&str> = log.lines().filter(|line| line.contains(" WARN ")).collect();
    assert_eq!(
        warnings.len(),
        1,
        "one warning, however many values were refused: {log}"
    );
    assert!(
        warnings[0].contains("the cache refuses: work goes on without it"),
        "{log}"
    );
    redis
        .ask(&["config", "set", "maxmemory", "0"])
        .expect("it has room");
    muster(&home, &["doctor"]).succeeded();
}
