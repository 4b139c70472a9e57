//! Hosts that are a stranger's and break the protocol, as the command line meets them: what a person is told and
//! when, the exit code, and that the server stays small, keeps nothing of them, and serves honest hosts meanwhile.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use muster_testkit::hostile::{Host, cases};
use muster_testkit::{proc, wait};
use serde_json::Value;

use crate::support::{Done, PATIENCE, World, server};

/// `--connect-timeout` of every command.
const CONNECT: Duration = Duration::from_secs(2);
/// `--timeout`, where there is one.
const TIMEOUT: Duration = Duration::from_secs(1);
const TIMED: &[&str] = &["--timeout", "1s"];
/// More standard input than any window holds.
const FED: &[&str] = &["--stdin", "input"];
const TIMED_AND_FED: &[&str] = &["--timeout", "1s", "--stdin", "input"];
/// A host that does not answer may hold up the end of a command for so long: until it has started, and until it
/// is killed.
const KILL: Duration = Duration::from_secs(5 + 15);
/// What two cores with all these hosts on them may take beyond that.
const MARGIN: Duration = Duration::from_secs(10);
/// What the server may have had at most; it has some 40 MiB before it meets anybody.
const MEMORY: u64 = 200 << 20;
/// Honest hosts in each task of theirs.
const HONEST: u32 = 5;
/// `--max-output` in bytes.
const KEPT: u64 = 1 << 20;

/// What has to come of a hostile host.
#[derive(Clone, Copy)]
struct Row {
    /// The case of the testkit.
    case: &'static str,
    /// More options.
    options: &'static [&'static str],
    /// The run's state.
    state: &'static str,
    /// Words of what a person is told; nothing is told of a run that succeeded.
    words: &'static str,
}

const fn row(
    case: &'static str,
    options: &'static [&'static str],
    state: &'static str,
    words: &'static str,
) -> Row {
    Row {
        case,
        options,
        state,
        words,
    }
}

impl Row {
    fn exit_code(&self) -> i32 {
        i32::from(self.state != "succeeded")
    }

    /// How long the command may take.
    fn limit(&self) -> Duration {
        let bound = match self.state {
            "unreachable" => CONNECT,
            "cancelled" => KILL,
            _ if self.options.starts_with(TIMED) => TIMEOUT + KILL,
            _ => Duration::ZERO,
        };
        bound + MARGIN
    }
}

/// One server, a hostile host for each row, and honest ones.
struct Scene {
    world: World,
    rows: &'static [Row],
    hosts: Vec<Host>,
    /// Open sockets of the server that has been used and is idle.
    sockets: usize,
}

/// A command that goes on.
struct Visit {
    child: Child,
    begun: Instant,
    ended: Option<(ExitStatus, Duration)>,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Scene {
    async fn new(rows: &'static [Row]) -> Option<Self> {
        let mut world = World::new().await?;
        let all = cases();
        let start = |(place, row): (usize, &Row)| {
            let case = all.iter().find(|case| case.name == row.case);
            let case = case.unwrap_or_else(|| panic!("there is no case {}", row.case));
            Host::start(&format!("127.0.9.{}", place + 1), case.conduct.clone()).expect("a hostile host")
        };
        let hosts: Vec<Host> = rows.iter().enumerate().map(start).collect();
        let known: String = hosts.iter().map(Host::known_hosts_line).collect();
        let known = world.home.write("hostile_hosts", known).expect("known hosts");
        let honest = fs::read_to_string(world.sshd.ssh_config()).expect("a config");
        let text = format!(
            "Host 127.0.9.*\n    UserKnownHostsFile {}\n{honest}",
            known.display()
        );
        let config = world.home.write("ssh_config", text).expect("a config");
        world.home.set_env("MUSTER_SSH_CONFIG", config);
        // Connections without a command are gone soon: what is left then is too much.
        world.home.set_env("MUSTER_SSH_IDLE", "500ms");
        world.home.set_env("MUSTER_SSH_KEEPALIVE", "1s");
        world.home.write("input", vec![b'i'; 1 << 20]).expect("an input");
        let mut scene = Self {
            world,
            rows,
            hosts,
            sockets: 0,
        };
        scene.honest();
        scene.until_idle().await;
        scene.sockets = scene.open_sockets();
        Some(scene)
    }

    /// The name of a hostile host.
    fn name(&self, place: usize) -> String {
        format!("127.0.9.{}:{}", place + 1, self.hosts[place].port())
    }

    /// The command line for a hostile host.
    fn args(&self, place: usize) -> Vec<String> {
        let (name, connect) = (self.name(place), format!("{}s", CONNECT.as_secs()));
        let kept = KEPT.to_string();
        let usual = [
            "run",
            "echo fine",
            "--hosts",
            &name,
            "--connect-timeout",
            &connect,
            "--kill-grace",
            "300ms",
            "--max-output",
            &kept,
        ];
        let all = usual.iter().chain(self.rows[place].options);
        all.map(|word| (*word).to_owned()).collect()
    }

    /// Types the command for a hostile host, and does not wait for its end.
    fn visit(&self, place: usize) -> Visit {
        let args = self.args(place);
        let path = |name: &str| self.world.home.path().join(format!("{name}-{place}"));
        let (stdout, stderr) = (path("stdout"), path("stderr"));
        let mut command = self
            .world
            .command(&args.iter().map(String::as_str).collect::<Vec<_>>());
        command
            .stdout(File::create(&stdout).expect("a file"))
            .stderr(File::create(&stderr).expect("a file"));
        Visit {
            begun: Instant::now(),
            child: command.spawn().expect("the binary starts"),
            ended: None,
            stdout,
            stderr,
        }
    }

    /// Visits every hostile host at the same time, and honest ones meanwhile and afterwards.
    async fn meet(&self) {
        let mut visits: Vec<Visit> = (0..self.rows.len()).map(|place| self.visit(place)).collect();
        let visited = || self.hosts.iter().all(|host| host.visits() > 0);
        wait::until(PATIENCE, "a visit to every hostile host", visited)
            .await
            .expect("they are visited");
        self.honest();
        let ended = || visits.iter_mut().map(Visit::look).filter(|ended| !ended).count() == 0;
        let all = wait::until(PATIENCE, "the end of every command", ended).await;
        for (place, visit) in visits.iter().enumerate() {
            self.judge(place, visit);
        }
        all.expect("they end");
        self.honest();
        self.judge_server().await;
    }

    /// What a person sees of a hostile host, and what programs do.
    #[track_caller]
    fn judge(&self, place: usize, visit: &Visit) {
        let (row, name) = (&self.rows[place], self.name(place));
        let done = visit.done();
        let Some((_, took)) = visit.ended else {
            panic!("{}: it goes on, and said {done:#?}", row.case);
        };
        println!(
            "{}: exit code {:?} in {took:.1?}\n{}",
            row.case, done.code, done.stderr
        );
        assert_eq!(done.code, Some(row.exit_code()), "{}: {done:#?}", row.case);
        assert!(took < row.limit(), "{}: {took:?} {done:#?}", row.case);
        assert!(is_harmless(&done.stderr), "{}: {done:#?}", row.case);
        let shown = row.state.replace('_', " ");
        let beginning = format!("muster: {name}: {shown}");
        let told = done.stderr.lines().find(|line| line.starts_with(&beginning));
        assert_eq!(told.is_some(), row.exit_code() != 0, "{}: {done:#?}", row.case);
        assert!(
            told.unwrap_or_default().contains(row.words),
            "{}: not '{}': {done:#?}",
            row.case,
            row.words
        );
        let number = done.stderr.lines().find_map(|line| {
            let (_, rest) = line.split_once("task ")?;
            rest.split_once(" done in ")
        });
        let (number, _) = number.unwrap_or_else(|| panic!("{}: no summary: {done:#?}", row.case));
        let run = &self.world.report(number)["runs"][0];
        assert_eq!(run["state"], row.state, "{}: {run:#}", row.case);
        let error = run["error"].as_str().unwrap_or_default();
        assert!(!error.chars().any(char::is_control), "{}: {error:?}", row.case);
        let shown = [&visit.stdout, &visit.stderr].map(|path| fs::metadata(path).expect("a file").len());
        assert!(
            shown.iter().sum::<u64>() <= KEPT + 2000,
            "{}: {shown:?}",
            row.case
        );
        // All that was written is counted, and the run says where not all of it was kept.
        let cut = written(run) > KEPT;
        assert_eq!(run["truncated"], cut, "{}: {} bytes", row.case, written(run));
    }

    /// Honest hosts do their job, and wait for nobody.
    #[track_caller]
    fn honest(&self) {
        let begun = Instant::now();
        let hosts = self.world.hosts(HONEST);
        let done = self
            .world
            .muster(&["run", "echo fine", "--hosts", &hosts])
            .succeeded();
        let took = begun.elapsed();
        let fine = done.stdout.lines().filter(|line| line.ends_with("fine")).count();
        assert_eq!(fine, HONEST as usize, "{done:#?}");
        assert!(took < MARGIN, "honest hosts took {took:?}");
    }

    /// The server is as it was before, has stayed small, and leaves when it is told to, with nothing in its way.
    async fn judge_server(&self) {
        self.until_idle().await;
        let as_before = || self.open_sockets() <= self.sockets;
        let waited = wait::until(PATIENCE, "as many open sockets as before", as_before).await;
        waited.unwrap_or_else(|error| panic!("{error}: {} and {}", self.open_sockets(), self.sockets));
        let status = self.world.muster(&["server", "status", "--json"]).json();
        for nothing in ["active_runs", "open_tasks"] {
            assert_eq!(status[nothing], 0, "{status:#}");
        }
        let peak = proc::peak_resident_bytes(server(&self.world.home)).expect("the server's memory");
        println!("the server's peak memory: {} MiB", peak >> 20);
        assert!(peak < MEMORY, "the server took {} MiB", peak >> 20);
        self.world.muster(&["server", "stop"]).succeeded();
        let gone = || self.world.home.servers().is_empty();
        wait::until(PATIENCE, "the server's end", gone)
            .await
            .expect("it ends");
        let log = self.world.home.runtime_dir().join("muster/server.log");
        let log = fs::read_to_string(log).expect("the log");
        for trouble in ["panicked", "did not end in time"] {
            assert!(!log.contains(trouble), "{log}");
        }
    }

    fn open_sockets(&self) -> usize {
        let folder = format!("/proc/{}/fd", server(&self.world.home));
        let files = fs::read_dir(folder).into_iter().flatten().flatten();
        // The database opens more files as it needs them.
        let is_socket = |file: &fs::DirEntry| {
            fs::read_link(file.path()).is_ok_and(|to| to.to_string_lossy().starts_with("socket:"))
        };
        files.filter(is_socket).count()
    }

    async fn until_idle(&self) {
        let idle = || self.world.sshd.connections() == 0 && self.hosts.iter().all(|host| host.open() == 0);
        wait::until(PATIENCE, "the end of all connections", idle)
            .await
            .unwrap_or_else(|error| {
                let open = (0..self.hosts.len()).filter(|place| self.hosts[*place].open() > 0);
                let open: Vec<&str> = open.map(|place| self.rows[place].case).collect();
                panic!("{error}: {} honest, {open:?}", self.world.sshd.connections())
            });
    }
}

impl Visit {
    /// Looks whether it has ended.
    fn look(&mut self) -> bool {
        if self.ended.is_none() {
            let status = self.child.try_wait().expect("a child");
            self.ended = status.map(|status| (status, self.begun.elapsed()));
        }
        self.ended.is_some()
    }

    /// What it has printed up to now.
    fn done(&self) -> Done {
        // Of a flood's line the beginning says enough.
        let shortened = |line: &str| line.chars().take(1000).chain(['\n']).collect::<String>();
        let text = |path| {
            let bytes = fs::read(path).expect("a file");
            String::from_utf8_lossy(&bytes)
                .split_terminator('\n')
                .map(shortened)
                .collect()
        };
        Done {
            code: self.ended.and_then(|(status, _)| status.code()),
            stdout: text(&self.stdout),
            stderr: text(&self.stderr),
        }
    }
}

/// How much a run has written, both streams together.
fn written(run: &Value) -> u64 {
    let bytes = |stream: &str| run[stream].as_u64().expect("a number");
    bytes("stdout_bytes") + bytes("stderr_bytes")
}

/// Nothing in it that a terminal obeys.
fn is_harmless(text: &str) -> bool {
    !text.contains(|c: char| c.is_control() && c != '\n' || c == '\u{202e}')
}

/// One test a block: hostile hosts that one server meets at the same time. One host a line: its case, more options,
/// the run's state, and words of what a person is told; nothing is told of a run that succeeded.
macro_rules! meets {
    ($($(#[$meta:meta])* $name:ident { $($case:ident $options:expr => $state:literal $words:literal;)* })*) => {
        $(
            $(#[$meta])*
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                const ROWS: &[Row] = &[$(row(stringify!($case), $options, $state, $words)),*];
                if let Some(scene) = Scene::new(ROWS).await {
                    scene.meet().await;
                }
            }
        )*
    };
}

meets! {
    it_closes_at_any_step {
        closes_at_once &[] => "unreachable" "before the host said anything";
        closes_after_its_version &[] => "unreachable" "in the key exchange";
        closes_after_kexinit &[] => "unreachable" "in the key exchange";
        closes_after_newkeys &[] => "unreachable" "while logging in";
        closes_at_the_login &[] => "unreachable" "while logging in";
        closes_at_the_channel &[] => "unreachable" "opening a session";
        closes_at_the_command &[] => "lost" "the connection broke";
        closes_while_it_runs &[] => "lost" "how it ended is not known";
        resets_while_it_runs &[] => "lost" "how it ended is not known";
        a_close_in_the_middle_of_its_output &[] => "lost" "how it ended is not known";
    }

    it_never_answers_at_any_step {
        is_silent_at_once &[] => "unreachable" "waiting for its first line";
        is_silent_after_its_version &[] => "unreachable" "in the key exchange";
        is_silent_after_kexinit &[] => "unreachable" "in the key exchange";
        is_silent_after_newkeys &[] => "unreachable" "while logging in";
        drips_after_newkeys &[] => "unreachable" "while logging in";
        is_silent_at_the_login &[] => "unreachable" "while logging in";
        is_silent_at_the_channel &[] => "unreachable" "opening a session";
        is_silent_at_the_command TIMED => "lost" "started";
        is_silent_while_it_runs TIMED => "lost" "processes of it may be left";
    }

    it_does_not_speak_ssh_or_not_well {
        noise_instead_of_ssh &[] => "unreachable" "does not speak SSH";
        a_first_line_of_zeros &[] => "unreachable" "does not speak SSH";
        an_answer_of_another_protocol &[] => "unreachable" "does not speak SSH (it says 'HTTP/1.1 400";
        endless_lines_before_its_version &[] => "unreachable" "does not speak SSH";
        a_version_of_a_megabyte &[] => "unreachable" "does not speak SSH";
        banners_without_end &[] => "unreachable" "more than 1 MiB before it let anybody in";
        good_bye_with_escapes &[] => "unreachable" "the host ended the login";
        a_packet_of_four_gibibytes &[] => "unreachable" "the key exchange failed";
        a_packet_over_the_limit &[] => "unreachable" "the key exchange failed";
        four_gibibytes_under_the_new_keys &[] => "unreachable" "while logging in";
        a_forged_proof_of_its_key &[] => "unreachable" "could not prove that its key is its own";
        four_gibibytes_while_it_runs &[] => "lost" "how it ended is not known";
        noise_while_it_runs &[] => "lost" "how it ended is not known";
    }

    it_ends_a_command_wrongly {
        the_command_is_refused &[] => "failed" "does not run commands for this user";
        no_exit_code &[] => "lost" "without saying how the command ended";
        an_exit_code_that_is_cut_off &[] => "lost" "how it ended is not known";
        an_exit_code_after_the_close &[] => "lost" "how it ended is not known";
        an_exit_code_and_then_silence &[] => "lost" "how it ended is not known";
        two_exit_codes &[] => "failed" "exit code 7";
        exit_codes_without_end TIMED => "timed_out" "longer than 1s";
        a_signal_with_a_strange_name &[] => "failed" "signal 2J";
        a_signal_that_is_no_text &[] => "lost" "how it ended is not known";
        a_close_without_an_end_of_output &[] => "succeeded" "";
        a_channel_from_the_server_x11 &[] => "succeeded" "";
    }

    its_windows_lie {
        a_window_of_zero TIMED_AND_FED => "timed_out" "longer than 1s";
        a_window_of_zero_and_silence TIMED_AND_FED => "lost" "processes of it may be left";
        a_window_of_zero_and_an_exit FED => "succeeded" "";
        a_window_that_shrinks TIMED_AND_FED => "timed_out" "longer than 1s";
        packets_of_nothing FED => "unreachable" "opening a session";
        packets_of_four_gibibytes FED => "succeeded" "";
        output_beyond_our_window &[] => "succeeded" "";
    }

    it_talks_without_end {
        output_without_end TIMED => "timed_out" "longer than 1s";
        errors_without_end TIMED => "timed_out" "longer than 1s";
        output_in_packets_beyond_ours TIMED => "timed_out" "longer than 1s";
        output_without_end_or_reading TIMED => "lost" "processes of it may be left";
        channels_without_end_or_reading TIMED => "lost" "processes of it may be left";
    }
}

/// Past the limit of its output a command goes on, and can be cancelled while it prints at full speed.
#[tokio::test(flavor = "multi_thread")]
async fn its_flood_can_be_cancelled() {
    const ROWS: [Row; 2] = [
        row("output_without_end", &[], "cancelled", ""),
        row("errors_without_end", &[], "cancelled", ""),
    ];
    let Some(scene) = Scene::new(&ROWS).await else {
        return;
    };
    let mut visits: Vec<Visit> = (0..ROWS.len()).map(|place| scene.visit(place)).collect();
    let visited = || scene.hosts.iter().all(|host| host.visits() > 0);
    wait::until(PATIENCE, "a visit to every hostile host", visited)
        .await
        .expect("they are visited");
    // The honest task of the beginning was the first.
    let tasks = ["2", "3"];
    let flooded = |id: &&str| written(&scene.world.report(id)["runs"][0]) >= KEPT;
    wait::until(PATIENCE, "as much output as is kept", || {
        tasks.iter().all(flooded)
    })
    .await
    .expect("it comes");
    scene.honest();
    let asked = Instant::now();
    for id in tasks {
        scene.world.muster(&["cancel", id]).succeeded();
    }
    let ended = || visits.iter_mut().map(Visit::look).filter(|ended| !ended).count() == 0;
    let all = wait::until(PATIENCE, "the end of every command", ended).await;
    let took = asked.elapsed();
    for (place, visit) in visits.iter_mut().enumerate() {
        // Its time is that of the cancel.
        visit.ended = visit.ended.map(|(status, _)| (status, took));
        scene.judge(place, visit);
    }
    all.expect("they end");
    for id in tasks {
        let run = &scene.world.report(id)["runs"][0];
        assert_eq!(run["truncated"], true, "{}", run["stdout_bytes"]);
    }
    scene.honest();
    scene.judge_server().await;
}

/// In one task, honest hosts are done before a hostile one has used up its time, and the person is told which is which.
#[tokio::test(flavor = "multi_thread")]
async fn it_holds_up_nobody_in_its_task() {
    const ROWS: [Row; 4] = [
        row("is_silent_at_once", &[], "unreachable", ""),
        row("is_silent_at_the_channel", &[], "unreachable", ""),
        row("banners_without_end", &[], "unreachable", ""),
        row("no_exit_code", &[], "lost", ""),
    ];
    let Some(scene) = Scene::new(&ROWS).await else {
        return;
    };
    let strangers: Vec<String> = (0..ROWS.len()).map(|place| scene.name(place)).collect();
    let hosts = format!("{},{}", strangers.join(","), scene.world.hosts(HONEST));
    let args = ["run", "echo fine", "--hosts", &hosts, "--connect-timeout", "8s"];
    let done = scene.world.muster(&args);
    assert_eq!(done.code, Some(1), "{done:#?}");
    assert!(is_harmless(&done.stdout), "{done:#?}");
    assert!(is_harmless(&done.stderr), "{done:#?}");
    for (row, stranger) in ROWS.iter().zip(&strangers) {
        let beginning = format!("muster: {stranger}: {}: ", row.state);
        assert!(
            done.stderr.lines().any(|line| line.starts_with(&beginning)),
            "{done:#?}"
        );
    }
    // The honest task of the beginning was the first.
    let report = scene.world.report("2");
    let runs = report["runs"].as_array().expect("runs");
    let ended = |of: &str| {
        let run = runs.iter().find(|run| run["host"] == *of).expect("a run");
        run["finished_at"].as_str().expect("an end").to_owned()
    };
    for place in 1..=HONEST {
        let host = scene.world.sshd.host(place);
        assert!(
            done.stdout.lines().any(|line| line == format!("{host}: fine")),
            "{done:#?}"
        );
        for silent in &strangers[..2] {
            assert!(ended(&host) < ended(silent), "{report:#}");
        }
    }
    scene.judge_server().await;
}
