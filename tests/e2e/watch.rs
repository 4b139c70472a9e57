//! Those who watch a server: probes without a login, metrics with one, and what is made of them.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Stdio};

use muster_testkit::home::Home;
use muster_testkit::openmetrics::Scrape;
use muster_testkit::wait;

use crate::support::{PATIENCE, World, command};

/// A server on a loopback address.
pub struct Listening {
    child: Child,
    pub address: String,
    pub token: String,
}

impl Listening {
    pub async fn start(home: &Home) -> Self {
        let log = home.path().join("server.log");
        let file = std::fs::File::create(&log).expect("a log");
        let child = command(home, &["server", "--listen", "http://127.0.0.1:0"])
            .stderr(Stdio::from(file))
            .spawn()
            .expect("the binary starts");
        let said = || async {
            let text = std::fs::read_to_string(&log).ok()?;
            let (_, rest) = text.split_once("http://")?;
            Some(rest.split([' ', '"', '\n']).next()?.to_owned()).filter(|_| rest.contains('\n'))
        };
        let address = wait::until_some(PATIENCE, "the server's address", said)
            .await
            .expect("it listens");
        let token = home.runtime_dir().join("muster/token");
        Self {
            child,
            address,
            token: std::fs::read_to_string(token)
                .expect("the token")
                .trim()
                .to_owned(),
        }
    }

    /// Returns the status and the body of an answer.
    pub fn get(&self, path: &str, token: Option<&str>) -> (u16, String) {
        let stream = TcpStream::connect(&self.address).expect("a server");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let login = token.map_or(String::new(), |token| {
            format!("authorization: Bearer {token}\r\n")
        });
        ask(stream, path, &format!("host: {}\r\n{login}", self.address))
    }

    pub fn scrape(&self) -> Scrape {
        let (status, text) = self.get("/metrics", Some(&self.token));
        assert_eq!(status, 200, "{text}");
        Scrape::parse(&text).unwrap_or_else(|why| panic!("{why}\n{text}"))
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks the server on the socket of a home; returns the status and the body of its answer.
pub fn over_socket(home: &Home, path: &str) -> (u16, String) {
    let socket = home.runtime_dir().join("muster/server.sock");
    let stream = UnixStream::connect(socket).expect("a server");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    ask(stream, path, "host: x\r\n")
}

fn ask(mut stream: impl Read + Write, path: &str, headers: &str) -> (u16, String) {
    write!(
        stream,
        "GET {path} HTTP/1.1\r\n{headers}connection: close\r\n\r\n"
    )
    .expect("a server");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.expect("a status"), body.to_owned())
}

/// A world whose commands use a server on a loopback address.
async fn listening() -> Option<(World, Listening)> {
    let mut world = World::new().await?;
    let server = Listening::start(&world.home).await;
    world
        .home
        .set_env("MUSTER_SERVER", format!("http://{}", server.address));
    Some((world, server))
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_need_no_login_and_metrics_do() {
    let Some((world, server)) = listening().await else {
        return;
    };
    assert_eq!(server.get("/healthz", None), (200, "ok\n".to_owned()));
    let (status, body) = server.get("/readyz", None);
    assert_eq!((status, body.as_str()), (200, r#"{"ready":true,"failing":[]}"#));
    assert_eq!(server.get("/metrics", None).0, 401);
    assert_eq!(server.get("/metrics", Some("wrong")).0, 401);
    assert_eq!(server.get("/api/v1/server", None).0, 401);

    // Real logins: three hosts that are there, one port where nobody listens.
    let outcome = |scrape: &Scrape, outcome| scrape.value("muster_ssh_logins_total", &[("outcome", outcome)]);
    let before = server.scrape();
    assert_eq!(outcome(&before, "succeeded"), Some(0.0));
    world
        .muster(&["run", "echo hi", "--hosts", &world.hosts(3)])
        .succeeded();
    let done = world.muster(&["run", "echo hi", "--hosts", "127.0.0.1:1"]);
    assert_eq!(done.code, Some(1), "{done:#?}");
    let after = server.scrape();
    assert_eq!(outcome(&after, "succeeded"), Some(3.0));
    assert_eq!(outcome(&after, "refused"), Some(1.0));
    assert_eq!(after.value("muster_ssh_connections", &[]), Some(3.0));
    assert_eq!(after.value("muster_ssh_logins_active", &[]), Some(0.0));
    assert_eq!(after.value("muster_ssh_login_seconds_count", &[]), Some(4.0));
    let state = |state| after.value("muster_runs_total", &[("state", state)]);
    assert_eq!((state("succeeded"), state("unreachable")), (Some(3.0), Some(1.0)));
    // Each who was not let in was counted too.
    assert_eq!(after.sum("muster_http_requests_total", ("status", "401")), 3.0);
}

/// Returns the words of a query that are names of metrics of ours, or of the process.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c: char| !is_part(c))
        .filter(|word| word.starts_with("muster_") || word.starts_with("process_"))
        .map(str::to_owned)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_dashboards_alerts_and_pages_name_is_what_a_server_exports() {
    let Some((world, server)) = listening().await else {
        return;
    };
    world
        .muster(&["run", "echo hi", "--hosts", &world.hosts(1)])
        .succeeded();
    let scrape = server.scrape();
    let names = scrape.names();
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations");
    let mut used = BTreeSet::new();
    for file in [
        "grafana/muster.json",
        "prometheus/muster.rules.yml",
        "monitoring.md",
    ] {
        let text = std::fs::read_to_string(docs.join(file)).expect(file);
        let metrics = metrics_in(&text);
        assert!(metrics.len() > 10, "{file}: {metrics:?}");
        for metric in &metrics {
            let of_histogram = ["_bucket", "_sum", "_count"]
                .iter()
                .any(|ending| names.contains(format!("{metric}{ending}").as_str()));
            // The page speaks of histograms as a whole, queries of their parts.
            let is_known = names.contains(metric.as_str()) || (file == "monitoring.md" && of_histogram);
            assert!(is_known, "{file} names {metric}, and no server exports it");
        }
        if file == "monitoring.md" {
            used = metrics;
        }
    }
    // And the page leaves none out.
    for name in names {
        let stem = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|ending| name.strip_suffix(ending))
            .unwrap_or(name);
        assert!(used.contains(stem), "monitoring.md says nothing of {name}");
    }

    let rules = std::fs::read_to_string(docs.join("prometheus/muster.rules.yml")).expect("rules");
    let count = |word: &str| {
        rules
            .lines()
            .filter(|line| line.trim_start().starts_with(word))
            .count()
    };
    assert!(count("- alert:") >= 10);
    for word in ["expr:", "severity:", "summary:"] {
        assert_eq!(count(word), count("- alert:"), "{word}");
    }
    let dashboard = std::fs::read_to_string(docs.join("grafana/muster.json")).expect("a dashboard");
    let dashboard: serde_json::Value = serde_json::from_str(&dashboard).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut ids = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{panel}");
        if panel["type"] != "row" {
            assert!(panel["targets"][0]["expr"].is_string(), "{panel}");
        }
    }
}
