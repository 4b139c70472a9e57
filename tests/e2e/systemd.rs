//! The server as a service: what it tells the service manager, what it logs, and the unit that comes with it.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use muster_testkit::home::Home;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{MUSTER, PATIENCE, World, command, muster};
use crate::watch::Listening;

#[tokio::test(flavor = "multi_thread")]
async fn the_service_manager_hears_that_the_server_is_ready_lives_and_leaves() {
    let mut home = Home::new().expect("a home");
    let path = home.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    home.set_env("NOTIFY_SOCKET", &path);
    home.set_env("WATCHDOG_USEC", "200000");
    let hear = || {
        let mut buffer = [0; 256];
        let size = socket.recv(&mut buffer).expect("a word");
        String::from_utf8_lossy(&buffer[..size]).into_owned()
    };
    let mut server = command(&home, &["server", "--listen", "http://127.0.0.1:0"])
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    assert!(hear().starts_with("READY=1\n"));
    let begin = Instant::now();
    for _ in 0..5 {
        assert_eq!(hear(), "WATCHDOG=1");
    }
    // Twice as often as it has to, and no more often.
    let took = begin.elapsed().as_millis();
    assert!((300..2000).contains(&took), "{took} ms");
    let pid = Pid::from_raw(i32::try_from(server.id()).expect("a pid"));
    kill(pid, Signal::SIGTERM).expect("terminated");
    let mut last = hear();
    while last == "WATCHDOG=1" {
        last = hear();
    }
    assert!(last.starts_with("STOPPING=1\n"), "{last}");
    assert_eq!(server.wait().expect("it ends").code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_that_cannot_be_told_is_named() {
    let mut home = Home::new().expect("a home");
    home.set_env("NOTIFY_SOCKET", home.path().join("nowhere"));
    let done = muster(&home, &["server", "--listen", "http://127.0.0.1:0"]);
    assert_ne!(done.code, Some(0), "{done:#?}");
    assert!(done.stderr.contains("NOTIFY_SOCKET"), "{done:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_the_log_are_objects_and_name_task_and_run() {
    let Some(mut world) = World::new().await else {
        return;
    };
    world.home.set_env("MUSTER_LOG_FORMAT", "json");
    world.home.set_env("MUSTER_LOG", "debug");
    let server = Listening::start(&world.home).await;
    world
        .home
        .set_env("MUSTER_SERVER", format!("http://{}", server.address));
    world
        .muster(&["run", "echo velociraptor", "--hosts", &world.hosts(2)])
        .succeeded();
    drop(server);
    let log = std::fs::read_to_string(world.home.path().join("server.log")).expect("a log");
    let lines: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    for line in &lines {
        for name in ["time", "level", "target", "message"] {
            assert!(line[name].is_string(), "{name}: {line}");
        }
    }
    for run in ["1.0", "1.1"] {
        let ended = lines
            .iter()
            .find(|line| line["run"] == run && line["state"] == "succeeded");
        let ended = ended.unwrap_or_else(|| panic!("{run} in {log}"));
        assert_eq!(
            (&ended["task"], &ended["attempt"]),
            (&"1".into(), &1.into()),
            "{ended}"
        );
    }
    assert!(
        !log.contains("velociraptor"),
        "a command is no matter for the log: {log}"
    );
}

fn packaging() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/systemd")
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit() {
    let unit = std::fs::read_to_string(packaging().join("muster-server.service")).expect("the unit");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("muster-server.service");
    // It looks for the program too.
    std::fs::write(&path, unit.replace("/usr/bin/muster", MUSTER)).expect("a file");
    let verified = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(&path)
        .output();
    match verified {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let about_us: Vec<_> = said.lines().filter(|line| line.contains("muster")).collect();
            assert!(output.status.success() && about_us.is_empty(), "{said}");
        }
        Err(error) => {
            let required = required();
            assert!(!required, "systemd-analyze: {error}");
            println!("ignored: systemd-analyze is not installed: install systemd");
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a setting of the tests alone")]
fn required() -> bool {
    std::env::var("MUSTER_TEST_REQUIRE").is_ok_and(|all| all == "all")
}

#[test]
fn the_unit_gives_a_drain_the_time_that_it_takes() {
    let unit = std::fs::read_to_string(packaging().join("muster-server.service")).expect("the unit");
    let value = |name: &str| {
        let line = unit.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("{name} in {unit}"))
            .trim()
            .to_owned()
    };
    // What `drain` is, and what killing and settling the rest may take (30 s), and the farewell (10 s).
    let drain = 30;
    let stop: u32 = value("TimeoutStopSec=").parse().expect("seconds");
    assert!(stop >= drain + 30 + 10, "{stop}");
    assert_eq!(value("Type="), "notify");
    assert_eq!(value("KillMode="), "mixed");
    for hardened in [
        "ProtectSystem=strict",
        "NoNewPrivileges=yes",
        "StateDirectory=muster",
    ] {
        assert!(unit.lines().any(|line| line == hardened), "{hardened}");
    }
}
