//! What those who watch a server see: probes and metrics, over a real socket with a real engine behind it.

use std::time::Duration;

use muster_client::Address;
use muster_model::wire::{Readiness, Submit, Targets, Work};
use muster_testkit::openmetrics::{Kind, Scrape};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout};

use super::super::Connected;
use super::super::in_process::InProcess;
use super::home;

const PATIENCE: Duration = Duration::from_secs(30);

struct Watched {
    connected: Connected,
    _home: super::Home,
}

async fn watched() -> Watched {
    let home = home();
    let inside = InProcess::start(home.settings.clone(), Some(&home.folder.path().join("inside")))
        .await
        .expect("a server");
    Watched {
        connected: inside.connected(),
        _home: home,
    }
}

fn task(command: &str, hosts: &str) -> Submit {
    Submit {
        request_id: muster_client::request_id().expect("random"),
        work: Work::Command {
            command: command.to_owned(),
        },
        targets: Targets {
            hosts: vec![hosts.to_owned()],
            exclude: Vec::new(),
            selector: None,
        },
        options: Default::default(),
        stdin_base64: None,
        secrets: Default::default(),
        dry_run: false,
    }
}

impl Watched {
    async fn stream(&self) -> UnixStream {
        let Address::Unix(path) = self.connected.client.address() else {
            panic!("no socket");
        };
        UnixStream::connect(path).await.expect("a server")
    }

    /// Returns the head and the body of an answer.
    async fn get(&self, path: &str) -> (String, String) {
        let mut stream = self.stream().await;
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("a server");
        let mut answer = String::new();
        let heard = stream.read_to_string(&mut answer);
        timeout(PATIENCE, heard)
            .await
            .expect("in time")
            .expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        (head.to_owned(), body.to_owned())
    }

    async fn scrape(&self) -> Scrape {
        let (head, body) = self.get("/metrics").await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(
            head.contains("content-type: application/openmetrics-text; version=1.0.0"),
            "{head}"
        );
        Scrape::parse(&body).unwrap_or_else(|why| panic!("{why}\n{body}"))
    }

    async fn until(&self, what: &str, holds: impl Fn(&Scrape) -> bool) -> Scrape {
        let begin = Instant::now();
        loop {
            let scrape = self.scrape().await;
            if holds(&scrape) {
                return scrape;
            }
            assert!(begin.elapsed() < PATIENCE, "{what}: {scrape:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn ready(&self) -> (String, Readiness) {
        let (head, body) = self.get("/readyz").await;
        let status = head.lines().next().unwrap_or_default().to_owned();
        (status, serde_json::from_str(&body).expect("JSON"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_counted_is_what_was_done() {
    let watched = watched().await;
    let client = watched.connected.client.clone();
    let state = |scrape: &Scrape, state| scrape.value("muster_runs_total", &[("state", state)]);
    let before = watched.scrape().await;
    for (name, value) in [
        ("muster_slots", 1000.0),
        ("muster_runs_active", 0.0),
        ("muster_tasks_open", 0.0),
        ("muster_draining", 0.0),
        ("muster_store_away", 0.0),
        ("muster_store_outages_total", 0.0),
        ("muster_lease_age_seconds", 0.0),
        ("muster_event_followers", 0.0),
        ("muster_ssh_connections", 0.0),
        ("muster_ssh_logins_active", 0.0),
        ("muster_retries_total", 0.0),
        ("muster_run_seconds_count", 0.0),
    ] {
        assert_eq!(before.value(name, &[]), Some(value), "{name}");
    }
    for ended in ["succeeded", "failed", "lost", "unreachable"] {
        assert_eq!(state(&before, ended), Some(0.0), "{ended}");
    }
    assert_eq!(
        before.value("muster_queue_depth", &[("queue", "muster.work")]),
        Some(0.0)
    );
    assert_eq!(
        before.value("muster_build_info", &[("version", super::super::version())]),
        Some(1.0)
    );

    // Two hosts that succeed, one that fails; a request that comes again, and one that is wrong.
    let good = task("printf 12345; printf 123 >&2", "local://web[1-2]");
    let id = client.submit(&good).await.expect("a task").id;
    assert_eq!(client.submit(&good).await.expect("the same task").id, id);
    client.submit(&task("exit 3", "localhost")).await.expect("a task");
    client
        .submit(&task("true", "web[1-"))
        .await
        .expect_err("a wrong pattern");
    let after = watched
        .until("the runs' end", |scrape| {
            state(scrape, "succeeded") == Some(2.0) && state(scrape, "failed") == Some(1.0)
        })
        .await;
    for (name, labels, value) in [
        ("muster_submits_total", ("outcome", "accepted"), 2.0),
        ("muster_submits_total", ("outcome", "repeated"), 1.0),
        ("muster_submits_total", ("outcome", "refused"), 1.0),
        ("muster_submits_total", ("outcome", "failed"), 0.0),
        ("muster_output_bytes_total", ("stream", "stdout"), 10.0),
        ("muster_output_bytes_total", ("stream", "stderr"), 6.0),
    ] {
        assert_eq!(after.value(name, &[labels]), Some(value), "{name} {labels:?}");
    }
    assert_eq!(after.value("muster_run_seconds_count", &[]), Some(3.0));
    // Each run has started and ended: two changes, in however many groups.
    assert_eq!(after.value("muster_store_group_size_sum", &[]), Some(6.0));
    let posts = [("route", "/api/v1/tasks"), ("method", "POST")];
    let with = |status| [posts[0], posts[1], ("status", status)];
    assert_eq!(after.value("muster_http_requests_total", &with("201")), Some(3.0));
    assert_eq!(after.value("muster_http_requests_total", &with("422")), Some(1.0));
    assert_eq!(
        after.value("muster_http_request_seconds_count", &posts),
        Some(4.0)
    );
    watched
        .until("the end of everything", |scrape| {
            ["muster_runs_active", "muster_tasks_open"]
                .iter()
                .all(|name| scrape.value(name, &[]) == Some(0.0))
        })
        .await;

    // What the system says of the process.
    for name in [
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_max_fds",
        "process_start_time_seconds",
    ] {
        assert!(after.value(name, &[]) > Some(0.0), "{name}");
    }
    assert_eq!(after.kind("muster_runs"), Some(Kind::Counter));
    watched.connected.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_on_is_seen_while_it_goes_on() {
    let watched = watched().await;
    let client = watched.connected.client.clone();
    let gate = watched._home.folder.path().join("gate");
    let command = format!("until test -e '{}'; do sleep 0.02; done", gate.display());
    let id = client
        .submit(&task(&command, "localhost"))
        .await
        .expect("a task")
        .id;
    let mut follower = watched.stream().await;
    let request = format!("GET /api/v1/tasks/{id}/events HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    follower.write_all(request.as_bytes()).await.expect("a server");
    let during = watched
        .until("a run and who follows it", |scrape| {
            let is_one = |name: &&str| scrape.value(name, &[]) == Some(1.0);
            [
                "muster_runs_active",
                "muster_tasks_open",
                "muster_event_followers",
            ]
            .iter()
            .all(is_one)
        })
        .await;
    assert!(
        during.value("muster_http_connections", &[]) >= Some(2.0),
        "{during:#?}"
    );
    std::fs::write(gate, "").expect("a file");
    let mut told = String::new();
    timeout(PATIENCE, follower.read_to_string(&mut told))
        .await
        .expect("in time")
        .expect("a stream");
    drop(follower);
    watched
        .until("nobody follows", |scrape| {
            scrape.value("muster_event_followers", &[]) == Some(0.0)
        })
        .await;
    watched.connected.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_label_says_whose_it_was_or_what_a_stranger_wrote() {
    let watched = watched().await;
    let client = watched.connected.client.clone();
    let user = watched._home.settings.user.clone();
    let id = client
        .submit(&task("echo velociraptor", "local://stegosaurus"))
        .await
        .expect("a task")
        .id;
    watched.get("/diplodocus").await;
    watched.get(&format!("/api/v1/tasks/{id}?wait=5s")).await;
    let scrape = watched
        .until("the run's end", |scrape| {
            scrape.value("muster_runs_total", &[("state", "succeeded")]) == Some(1.0)
        })
        .await;
    let nowhere = [("route", "(none)"), ("method", "GET"), ("status", "404")];
    assert_eq!(scrape.value("muster_http_requests_total", &nowhere), Some(1.0));
    for value in scrape.label_values() {
        for word in ["saurus", "raptor", "docus"] {
            assert!(!value.contains(word), "{value}");
        }
        assert_ne!(value, user);
    }
    watched.connected.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_looks_at_everything_and_leaves_nothing_behind() {
    let watched = watched().await;
    let checks = watched.connected.client.doctor().await.expect("checks");
    let names: Vec<&str> = checks.iter().map(|check| check.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "database",
            "database write",
            "queue",
            "cache",
            "transport",
            "vault",
            "disk",
            "open files"
        ]
    );
    let said = |name: &str, words: &[&str]| {
        let check = checks.iter().find(|check| check.name == name).expect(name);
        assert!(check.ok && check.hint.is_none(), "{check:?}");
        for word in words {
            assert!(check.detail.contains(word), "{word} in {check:?}");
        }
    };
    said(
        "database",
        &["SQLite 3.", "schema ", "muster.db", "answers in ", " ms"],
    );
    said("database write", &["a write is durable in "]);
    said("queue", &["embedded in this server: answers in ", "0 runs wait"]);
    said(
        "cache",
        &[
            "embedded in this server: answers in ",
            "written, read and deleted",
        ],
    );
    said("transport", &["0 warm connections"]);
    said("vault", &["no credentials yet"]);
    said("disk", &["MiB free, and takes a file"]);
    said("open files", &[" of "]);
    watched.connected.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_alive_and_ready_until_it_leaves() {
    let watched = watched().await;
    let (head, body) = watched.get("/healthz").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(body, "ok\n");
    let (status, readiness) = watched.ready().await;
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(readiness.ready && readiness.failing.is_empty(), "{readiness:?}");

    let begin = muster_runtime::now();
    watched.connected.stop_intake();
    let (status, readiness) = watched.ready().await;
    assert_eq!(status, "HTTP/1.1 503 Service Unavailable");
    assert!(!readiness.ready, "{readiness:?}");
    let [server] = readiness.failing.as_slice() else {
        panic!("{readiness:?}");
    };
    assert_eq!(server.part, "server");
    assert!(server.since >= begin, "{readiness:?}");
    // It is the same one later.
    assert_eq!(watched.ready().await.1, readiness);
    assert!(watched.get("/healthz").await.0.starts_with("HTTP/1.1 200"));
    assert_eq!(watched.scrape().await.value("muster_draining", &[]), Some(1.0));
    watched.connected.close().await;
}
