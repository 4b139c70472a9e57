//! The database goes away under load and comes back: what was accepted is done, nothing is done twice, and whoever
//! asks in between hears what is wrong.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use muster_testkit::home::Home;
use muster_testkit::openmetrics::Scrape;
use muster_testkit::require::or_ignored;
use muster_testkit::sshd::Sshd;
use muster_testkit::{Disk, MariaDb, Postgres, proc, wait};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Done, PATIENCE, command, muster, server, states};
use crate::watch::over_socket;

/// The longest that a command takes to say that the database is away, with a busy machine in mind.
const SAYS_SO: Duration = Duration::from_secs(20);
/// The most that a server may write into its log about one outage.
const LOG: u64 = 8 * 1024;
const HOSTS: u64 = 20;

#[derive(Clone, Copy, Debug)]
enum Engine {
    Postgres,
    MariaDb,
}

/// A server that ends and starts again.
enum Database {
    Postgres(Postgres),
    MariaDb(MariaDb),
}

impl Database {
    fn start(engine: Engine) -> Option<(Self, String)> {
        match engine {
            Engine::Postgres => {
                let server = or_ignored(Postgres::start(Disk::Forced))?;
                let url = server.fresh_database().expect("a database");
                Some((Self::Postgres(server), url))
            }
            Engine::MariaDb => {
                let server = or_ignored(MariaDb::start(Disk::Forced))?;
                let url = server.fresh_database().expect("a database");
                Some((Self::MariaDb(server), url))
            }
        }
    }

    fn end(&mut self, killed: bool) {
        match (self, killed) {
            (Self::Postgres(server), true) => server.kill(),
            (Self::MariaDb(server), true) => server.kill(),
            (Self::Postgres(server), false) => server.stop().expect("it stops"),
            (Self::MariaDb(server), false) => server.stop().expect("it stops"),
        }
    }

    fn start_again(&mut self) {
        match self {
            Self::Postgres(server) => server.start_again(),
            Self::MariaDb(server) => server.start_again(),
        }
        .expect("it starts again");
    }

    fn sql(&self, name: &str, text: &str) {
        match self {
            Self::Postgres(server) => server.sql(name, text),
            Self::MariaDb(server) => server.sql(name, text),
        }
        .expect("it does");
    }
}

/// A home whose tasks are in a database that can go away.
struct Site {
    home: Home,
    sshd: Sshd,
    database: Database,
    url: String,
}

impl Site {
    async fn new(engine: Engine) -> Option<Self> {
        let sshd = Sshd::builder().listen_all_loopback().max_startups("500");
        let sshd = or_ignored(sshd.start().await)?;
        let (database, url) = Database::start(engine)?;
        let home = home(&sshd, &url);
        std::fs::create_dir(home.path().join("written")).expect("a folder");
        Some(Self {
            home,
            sshd,
            database,
            url,
        })
    }

    fn gate(&self) -> PathBuf {
        self.home.path().join("gate")
    }

    fn open_gate(&self) {
        std::fs::write(self.gate(), "").expect("the gate");
    }

    /// A command that writes down when it begins and ends on which host, and waits in between where it is gated.
    fn script(&self, tag: &str, gated: bool) -> String {
        let wait = match gated {
            true => format!("while [ ! -e {} ]; do sleep 0.2; done; ", self.gate().display()),
            false => String::new(),
        };
        format!(
            "set -- $SSH_CONNECTION; f={}/{tag}.$3; echo begin >> $f; echo before; {wait}echo after; echo end >> $f",
            self.home.path().join("written").display()
        )
    }

    fn run(&self, tag: &str, gated: bool) -> Done {
        let script = self.script(tag, gated);
        let hosts = format!("127.0.1.[1-{HOSTS}]");
        muster(&self.home, &["run", &script, "--hosts", &hosts, "--detach"])
    }

    fn detach(&self, tag: &str, gated: bool) -> String {
        let done = self.run(tag, gated).succeeded();
        let id = done.stdout.trim().strip_prefix("task id: ");
        id.expect("a number").to_owned()
    }

    fn log(&self) -> u64 {
        let log = self.home.runtime_dir().join("muster/server.log");
        std::fs::metadata(log).map_or(0, |log| log.len())
    }

    /// A command that must say that the database is away.
    fn refused(&self, args: &[&str]) -> Done {
        let begun = Instant::now();
        let done = muster(&self.home, args);
        self.says_away(&done, begun);
        done
    }

    fn says_away(&self, done: &Done, begun: Instant) {
        assert!(begun.elapsed() < SAYS_SO, "{:?}: {done:#?}", begun.elapsed());
        assert_eq!(done.code, Some(3), "{done:#?}");
        let (_, place) = self.url.split_once('@').expect("a place");
        assert!(done.stderr.contains(place), "it names the database: {done:#?}");
        assert!(done.stderr.contains("muster"), "and what to do: {done:#?}");
        let password = self.url.split([':', '@']).nth(2).expect("a password");
        assert!(!done.stderr.contains(password) && !done.stdout.contains(password));
    }

    async fn until_done(&self, id: &str) -> serde_json::Value {
        let report = || muster(&self.home, &["check_task", id, "--json"]);
        let done = || {
            let report = report();
            report.code != Some(3) && report.json()["task"]["state"] == "done"
        };
        wait::until(PATIENCE, "the task's end", done)
            .await
            .unwrap_or_else(|error| panic!("{error}: {:#?}", report()));
        report().json()
    }
}

fn home(sshd: &Sshd, url: &str) -> Home {
    let mut home = Home::new().expect("a home");
    home.set_env("MUSTER_SSH_CONFIG", sshd.ssh_config());
    home.set_env("MUSTER_DATABASE", url);
    home
}

/// What commands have written, by task and host.
fn written(folder: &Path) -> HashMap<String, Vec<String>> {
    let entries = std::fs::read_dir(folder).expect("the folder").flatten();
    entries
        .map(|entry| {
            let text = std::fs::read_to_string(entry.path()).expect("the file");
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, text.lines().map(str::to_owned).collect())
        })
        .collect()
}

/// Every run of the task succeeded, ran once and kept its output.
fn is_whole(site: &Site, tag: &str, report: &serde_json::Value) {
    let counts = &report["task"]["counts"];
    assert_eq!(counts["total"], HOSTS, "{counts:#}");
    assert_eq!(counts["succeeded"], HOSTS, "{report:#}");
    let written = written(&site.home.path().join("written"));
    for run in report["runs"].as_array().expect("runs") {
        assert_eq!(run["state"], "succeeded", "{run:#}");
        assert_eq!(run["attempt"], 1, "{run:#}");
        assert_eq!(run["stdout"], "before\nafter\n", "{run:#}");
        let name = format!("{tag}.{}", run["host"].as_str().expect("a host"));
        assert_eq!(
            written.get(&name).map(Vec::as_slice),
            Some(["begin", "end"].map(str::to_owned).as_slice())
        );
    }
}

/// The database ends with one task in the middle, one just accepted and one after the other being submitted; commands
/// end while it is away, and it comes back.
async fn goes_away_and_comes_back(engine: Engine, killed: bool) {
    let Some(mut site) = Site::new(engine).await else {
        return;
    };
    let id = site.detach("held", true);
    let begun = || written(&site.home.path().join("written")).len() as u64 == HOSTS;
    wait::until(PATIENCE, "the commands to begin", begun)
        .await
        .expect("they begin");
    let pid = server(&site.home);
    let queued = site.detach("queued", false);
    let (over, load) = load(&site);
    wait::until(PATIENCE, "the load to begin", || {
        load.lock().expect("the load").len() > 2
    })
    .await
    .expect("it begins");
    site.database.end(killed);
    over.store(true, Ordering::Release);
    let log = site.log();
    let begun = proc::cpu(pid);
    // What ends now has nobody to tell.
    site.open_gate();
    let ended = || {
        let written = written(&site.home.path().join("written"));
        let ended = |name: &str, lines: &[String]| name.starts_with("held") && lines.len() == 2;
        written.iter().filter(|(name, lines)| ended(name, lines)).count() as u64 == HOSTS
    };
    wait::until(PATIENCE, "the commands to end", ended)
        .await
        .expect("they end");
    let hosts = format!("127.0.1.[1-{HOSTS}]");
    site.refused(&[
        "run",
        &site.script("refused", false),
        "--hosts",
        &hosts,
        "--detach",
    ]);
    site.refused(&["check_task", &id]);
    site.refused(&["tasks"]);
    let doctor = muster(&site.home, &["doctor"]);
    assert_ne!(doctor.code, Some(0), "{doctor:#?}");
    assert!(
        doctor.stdout.contains("database") && doctor.stdout.contains("transport"),
        "{doctor:#?}"
    );
    let asked = Instant::now();
    for _ in 0..100 {
        let (status, body) = over_socket(&site.home, "/readyz");
        let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!((status, &body["ready"]), (503, &false.into()), "{body}");
        assert_eq!(body["failing"][0]["part"], "database", "{body}");
        assert!(body["failing"][0]["since"].is_string(), "{body}");
        assert_eq!(over_socket(&site.home, "/healthz").0, 200);
    }
    assert!(asked.elapsed() < Duration::from_secs(10), "a probe costs nothing");
    let (_, metrics) = over_socket(&site.home, "/metrics");
    let scrape = Scrape::parse(&metrics).expect("metrics");
    assert_eq!(scrape.value("muster_store_away", &[]), Some(1.0));
    assert!(
        scrape.value("muster_store_outages_total", &[]) >= Some(1.0),
        "{scrape:#?}"
    );
    let spent = proc::cpu(pid).saturating_sub(begun);
    assert!(
        spent < Duration::from_secs(5),
        "it waits, and does not turn: {spent:?}"
    );
    assert!(
        site.log() - log < LOG,
        "{} bytes more in the log",
        site.log() - log
    );
    site.database.start_again();
    let after = || site.run("after", false);
    let mut again = None;
    let works = || {
        let done = after();
        let works = done.code == Some(0);
        again = Some(done);
        works
    };
    wait::until(PATIENCE, "a task to be taken again", works)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let again = again.expect("an answer").succeeded();
    let again = again
        .stdout
        .trim()
        .strip_prefix("task id: ")
        .expect("a number")
        .to_owned();
    assert_eq!(server(&site.home), pid, "nothing was started anew");
    for (tag, id) in [("held", &id), ("queued", &queued), ("after", &again)] {
        is_whole(&site, tag, &site.until_done(id).await);
    }
    wait::until(PATIENCE, "the load to end", || Arc::strong_count(&load) == 1)
        .await
        .expect("it ends");
    all_at_most_once(&site, &load).await;
    let refused = written(&site.home.path().join("written"));
    assert!(
        !refused.keys().any(|name| name.starts_with("refused")),
        "it was refused: {refused:?}"
    );
    assert!(
        site.log() - log < LOG,
        "{} bytes more in the log",
        site.log() - log
    );
}

/// What was submitted under which tag, and what was answered.
type Load = Arc<Mutex<Vec<(String, Done)>>>;

/// Submits small tasks one after the other, from two sides, until one is told that it is over and has been answered.
fn load(site: &Site) -> (Arc<AtomicBool>, Load) {
    let (over, load) = (Arc::new(AtomicBool::new(false)), Load::default());
    for side in 0..2 {
        let scripts: Vec<(String, Command)> = (0..500)
            .map(|number| {
                let tag = format!("load{side}x{number}");
                let script = format!(": {tag}; {}", site.script(&tag, false));
                let hosts = ["run", &script, "--hosts", "127.0.1.[1-2]", "--detach"];
                (tag, command(&site.home, &hosts))
            })
            .collect();
        let (over, load) = (Arc::clone(&over), Arc::clone(&load));
        std::thread::spawn(move || {
            for (tag, mut command) in scripts {
                let last = over.load(Ordering::Acquire);
                let done = command.output().expect("the binary starts").into();
                load.lock().expect("the load").push((tag, done));
                if last {
                    break;
                }
            }
        });
    }
    (over, load)
}

/// Every submit was answered: with the number of a task that has been done once, or with why not, and then there is
/// one task at most.
async fn all_at_most_once(site: &Site, load: &Load) {
    let load = load.lock().expect("the load").drain(..).collect::<Vec<_>>();
    let mut taken = 0;
    for (tag, done) in &load {
        let text = format!(": {tag};");
        let tasks = muster(&site.home, &["tasks", "--text", &text, "--json"])
            .succeeded()
            .json();
        let tasks = tasks
            .as_array()
            .or(tasks["tasks"].as_array())
            .expect("tasks")
            .len();
        match done.stdout.trim().strip_prefix("task id: ") {
            Some(id) => {
                let report = site.until_done(id).await;
                assert_eq!(
                    (tasks, states(&report)),
                    (1, vec!["succeeded".to_owned(); 2]),
                    "{report:#}"
                );
                taken += 1;
            }
            None => assert!(tasks <= 1 && done.code == Some(3), "{tasks} tasks: {done:#?}"),
        }
    }
    assert!(taken > 2, "{load:#?}");
    for (name, lines) in written(&site.home.path().join("written")) {
        let begun = lines.iter().filter(|line| *line == "begin").count();
        assert!(begun == 1 && lines.len() <= 2, "{name}: {lines:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_is_killed_under_load_and_nothing_is_lost_or_done_twice() {
    goes_away_and_comes_back(Engine::Postgres, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_is_stopped_under_load_and_nothing_is_lost_or_done_twice() {
    goes_away_and_comes_back(Engine::Postgres, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_is_killed_under_load_and_nothing_is_lost_or_done_twice() {
    goes_away_and_comes_back(Engine::MariaDb, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_is_stopped_under_load_and_nothing_is_lost_or_done_twice() {
    goes_away_and_comes_back(Engine::MariaDb, false).await;
}

/// A server that cannot come to its database says so at once and leaves nothing behind.
async fn cannot_start(engine: Engine) {
    let Some(mut site) = Site::new(engine).await else {
        return;
    };
    site.database.end(true);
    site.refused(&["tasks"]);
    // It has said why before it is gone.
    wait::until(PATIENCE, "the server to be gone", || {
        site.home.servers().is_empty()
    })
    .await
    .expect("it leaves");
    let begun = Instant::now();
    let mut alone = command(&site.home, &["run", "true", "--hosts", "127.0.1.1"]);
    let done = alone
        .env("MUSTER_NO_DAEMON", "1")
        .output()
        .expect("it starts")
        .into();
    site.says_away(&done, begun);
    site.database.start_again();
    let id = site.detach("later", false);
    is_whole(&site, "later", &site.until_done(&id).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_postgres_says_so_and_is_not_left_half_started() {
    cannot_start(Engine::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_mariadb_says_so_and_is_not_left_half_started() {
    cannot_start(Engine::MariaDb).await;
}

/// The database was away for longer than a lease, and another server is the first to see it again: it leaves alone
/// what a server has in hand that is alive.
async fn the_first_to_be_back_takes_nothing(engine: Engine) {
    let Some(mut site) = Site::new(engine).await else {
        return;
    };
    let id = site.detach("held", true);
    let begun = || written(&site.home.path().join("written")).len() as u64 == HOSTS;
    wait::until(PATIENCE, "the commands to begin", begun)
        .await
        .expect("they begin");
    let pid = Pid::from_raw(i32::try_from(server(&site.home)).expect("a pid"));
    kill(pid, Signal::SIGSTOP).expect("it is held");
    site.database.end(true);
    site.database.start_again();
    let (_, name) = site.url.rsplit_once('/').expect("a name");
    site.database.sql(name, "UPDATE executors SET lease_until = 1");
    let other = home(&site.sshd, &site.url);
    let seen = muster(&other, &["check_task", &id, "--json"]).succeeded().json();
    assert_eq!(states(&seen), vec!["started"; HOSTS as usize], "{seen:#}");
    kill(pid, Signal::SIGCONT).expect("it goes on");
    site.open_gate();
    is_whole(&site, "held", &site.until_done(&id).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_servers_on_postgres_the_first_to_be_back_takes_nothing_from_the_other() {
    the_first_to_be_back_takes_nothing(Engine::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_servers_on_mariadb_the_first_to_be_back_takes_nothing_from_the_other() {
    the_first_to_be_back_takes_nothing(Engine::MariaDb).await;
}
