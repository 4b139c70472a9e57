//! The cache servers: private, empty each time, ended with the test, and there again after an outage.

use muster_testkit::{Certificates, Memcached, Redis, RedisCluster, RedisSentinel, proc, require};

#[test]
fn redis_keeps_its_port_and_nothing_else() {
    let mut redis = require!(Redis::with(&[
        "requirepass sesame",
        "user tester on >hunter2 ~* +@all"
    ]));
    assert!(
        proc::with_arg("sesame").is_empty(),
        "the password stands on no command line"
    );
    let port = redis.port();
    for round in 0..2 {
        let ask = |words: &[&str]| {
            let login = ["--user", "tester", "--pass", "hunter2", "--no-auth-warning"];
            redis.ask(&[&login, words].concat()).expect("an answer")
        };
        assert_eq!(ask(&["get", "key"]), "\n", "it begins empty");
        assert_eq!(ask(&["set", "key", "value"]), "OK\n");
        if round == 0 {
            redis.stop().expect("it stops");
        } else {
            redis.kill();
        }
        assert!(redis.pid().is_none() && redis.ask(&["ping"]).is_err());
        redis.start_again().expect("it starts");
        assert_eq!(redis.port(), port);
    }
}

#[test]
fn memcached_keeps_its_port_and_nothing_else() {
    let mut memcached = require!(Memcached::start(8));
    let port = memcached.port();
    for _ in 0..2 {
        assert_eq!(memcached.ask("get key").expect("an answer"), "END\r\n");
        assert_eq!(
            memcached.ask("set key 0 0 1\r\nx").expect("an answer"),
            "STORED\r\n"
        );
        memcached.kill();
        assert!(memcached.ask("version").is_err());
        memcached.start_again().expect("it starts");
        assert_eq!(memcached.port(), port);
    }
    memcached.stop().expect("it stops");
}

#[test]
fn a_redis_with_tls_takes_no_plain_word() {
    let certificates = require!(Certificates::make());
    let redis = require!(Redis::with_tls(&certificates, true));
    assert!(redis.ask(&["ping"]).is_err());
    let path = |name| certificates.path(name).display().to_string();
    let (ca, cert, key) = (path("ca.crt"), path("client.crt"), path("client.key"));
    let words = ["--tls", "--cacert", &ca, "--cert", &cert, "--key", &key, "ping"];
    assert_eq!(redis.ask(&words).expect("an answer"), "PONG\n");
}

#[test]
fn a_cluster_serves_on_three_servers() {
    let cluster = require!(RedisCluster::start());
    let said: Vec<String> = cluster
        .nodes
        .iter()
        .map(|node| node.ask(&["set", "key", "value"]).expect("an answer"))
        .collect();
    assert_eq!(said.iter().filter(|said| *said == "OK\n").count(), 1, "{said:?}");
}

#[test]
fn behind_sentinel_a_replica_takes_the_place_of_a_primary_that_is_killed() {
    let mut set = require!(RedisSentinel::start(3));
    let before = set.primary().expect("a primary");
    set.fail_over().expect("another one");
    assert_ne!(set.primary().expect("a primary"), before);
}
