//! Every hostile host of the testkit, through the port: how it ends, within which time, with how much memory, and
//! that nothing of it is left and nobody else is disturbed.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use libtest_mimic::{Arguments, Failed, Trial};
use muster_model::{Endpoint, ErrorKind, Reach, Secret};
use muster_runtime::Tasks;
use muster_testkit::hostile::{Case, Ends, Host, cases, honest};
use muster_testkit::{proc, wait};
use muster_transport::{Access, Error, Exec, ExecEvent, Exit, Running, Settings, Transport, What, open};

/// How long a hostile host has to let us in: enough to come to any step on a busy machine.
const CONNECT: Duration = Duration::from_secs(4);
/// A connect that has not ended by then did not keep to [`CONNECT`].
const CONNECT_ENDS: Duration = Duration::from_secs(10);
/// How long a host has to answer afterwards.
const ANSWER: Duration = Duration::from_secs(3);
/// A keepalive is sent after this much silence.
const KEEPALIVE: Duration = Duration::from_millis(500);
/// The longest that anything here may take on a busy machine: a kill has its 15 seconds.
const LIMIT: Duration = Duration::from_secs(45);
/// A command that has not ended by then goes on until it is killed.
const GOES_ON: Duration = Duration::from_secs(15);
/// An honest host in the same process is done by then, with two cores for everything; or, where this machine is
/// slow, in [`TIMES`] as long as one took that had it to itself. Whoever had to wait for a hostile host would wait
/// until that is given up or killed.
const HONEST: Duration = Duration::from_secs(8);
const TIMES: u32 = 20;
/// What one hostile host may cost: the windows and packets of one connection, and of the one that kills.
const MEMORY: u64 = 40 << 20;

static PANICS: AtomicUsize = AtomicUsize::new(0);

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::AcqRel);
        before(info);
    }));
    let trial = |case: Case| Trial::test(case.name.clone(), move || run(&case));
    libtest_mimic::run(&arguments, cases().into_iter().map(trial).collect()).exit_code()
}

fn run(case: &Case) -> Result<(), Failed> {
    let panics = PANICS.load(Ordering::Acquire);
    let builder = || {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
    };
    // The first runtime of a process opens files that stay.
    drop(builder()?);
    let files = open_files();
    let runtime = builder()?;
    runtime.block_on(tried(case))?;
    drop(runtime);
    let wanted = format!("{files} open files as before");
    wait::blocking(LIMIT, &wanted, || (open_files() <= files).then_some(()))?;
    if PANICS.load(Ordering::Acquire) > panics {
        return Err("something panicked on the way".into());
    }
    Ok(())
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

async fn tried(case: &Case) -> Result<(), Failed> {
    let world = World::new(case)?;
    // Whoever lives before is not counted.
    let began = Instant::now();
    let base = world.once(&world.neighbour, 0).await;
    let in_time = HONEST.max(TIMES * began.elapsed());
    expect(
        matches!(base, Met::Ended(ExecEvent::Exited(Exit::Code(0)), ref output) if output == b"honest\n"),
        &base,
    )?;
    let memory = proc::resident_bytes(std::process::id()).ok_or("no memory is told")?;
    let (met, honest) = tokio::join!(
        tokio::time::timeout(LIMIT, world.meet(case)),
        tokio::time::timeout(in_time, world.once(&world.other, 0)),
    );
    let met = met.map_err(|_| format!("it took longer than {LIMIT:?}"))?;
    judge(case, &met, &world.label())?;
    let honest = honest.map_err(|_| format!("another host took longer than {in_time:?}"))?;
    expect(
        matches!(honest, Met::Ended(ExecEvent::Exited(Exit::Code(0)), _)),
        &honest,
    )?;
    world.transport.close().await;
    let left = |what: &str| format!("nothing is left: {what}");
    wait::until(LIMIT, &left("connections"), || {
        world.hostile.open() == 0 && world.transport.connections() == 0
    })
    .await?;
    let tasks = world.tasks.close(LIMIT).await;
    expect(tasks == 0, &format!("{tasks} tasks are left"))?;
    expect(world.tasks.panics() == 0, &"a task panicked")?;
    // Those of the SSH library too.
    let metrics = tokio::runtime::Handle::current().metrics();
    wait::until(LIMIT, &left("tasks"), || metrics.num_alive_tasks() == 0).await?;
    let peak = proc::peak_resident_bytes(std::process::id()).ok_or("no memory is told")?;
    let cost = peak.saturating_sub(memory);
    println!("{}: {} MiB at most", case.name, cost >> 20);
    expect(cost < MEMORY, &format!("it cost {} MiB", cost >> 20))
}

fn expect(holds: bool, seen: &(impl std::fmt::Debug + ?Sized)) -> Result<(), Failed> {
    if holds {
        Ok(())
    } else {
        Err(format!("{seen:?}").into())
    }
}

/// What came of a host.
#[derive(Debug)]
enum Met {
    /// It was not reached.
    NotReached(String),
    /// It was not reached, and that took too long.
    TooLate(Duration, String),
    /// The command was not started, as far as is known.
    NotStarted(ErrorKind, String),
    /// The command ended, after this output.
    Ended(ExecEvent, Vec<u8>),
    /// It went on, and was killed.
    Killed,
    /// It went on, and could not be killed.
    NotKilled(String),
}

fn judge(case: &Case, met: &Met, label: &str) -> Result<(), Failed> {
    let said = |words: &str, message: &str| {
        let harmless = !message.chars().any(char::is_control) && !message.contains('\u{202e}');
        harmless && message.len() < 4000 && message.contains(words) && message.contains(label)
    };
    if let Met::TooLate(after, message) = met {
        return Err(format!("not reached, and that was known after {after:?} only: {message}").into());
    }
    let right = match (case.ends, met) {
        (Ends::Unreachable(words), Met::NotReached(message)) => said(words, message),
        (Ends::Refused, Met::NotStarted(ErrorKind::Denied, message)) => {
            said("does not run commands", message)
        }
        (Ends::Lost(words), Met::NotStarted(ErrorKind::OutcomeUnknown, message)) => said(words, message),
        (Ends::Lost(words), Met::Ended(ExecEvent::Broken { why }, _)) => {
            // What the engine says before it.
            said(words, &format!("how it ended is not known: {why}"))
        }
        (Ends::Exits(code), Met::Ended(ExecEvent::Exited(Exit::Code(seen)), _)) => {
            i32::try_from(code).unwrap_or(-1) == *seen
        }
        (Ends::Prints(text), Met::Ended(ExecEvent::Exited(Exit::Code(0)), output)) => {
            output == text.as_bytes()
        }
        (Ends::Signal(name), Met::Ended(ExecEvent::Exited(Exit::Signal(seen)), _)) => seen == name,
        (Ends::Killed, Met::Killed) => true,
        (Ends::Unkillable, Met::NotKilled(message)) => said("", &format!("{label}: {message}")),
        _ => false,
    };
    expect(right, &format!("expected {:?}, and not {met:?}", case.ends))
}

/// A hostile host, two honest ones, and a transport that knows their keys.
struct World {
    hostile: Host,
    neighbour: Host,
    other: Host,
    transport: Arc<dyn Transport>,
    tasks: Tasks,
    access: Access,
    _home: tempfile::TempDir,
}

impl World {
    fn new(case: &Case) -> Result<Self, Failed> {
        let hostile = Host::start("127.0.0.1", Arc::clone(&case.conduct))?;
        let (neighbour, other) = (
            Host::start("127.0.0.1", honest())?,
            Host::start("127.0.0.1", honest())?,
        );
        let home = tempfile::tempdir()?;
        let config = configuration(home.path(), &[&hostile, &neighbour, &other])?;
        let tasks = Tasks::new();
        let settings = Settings {
            home: home.path().to_owned(),
            user: "tester".to_owned(),
            idle: Duration::from_secs(60),
            keepalive: KEEPALIVE,
            answer: ANSWER,
            host_keys: Arc::new(muster_transport::host_keys::InMemory::default()),
            logins: 16,
        };
        Ok(Self {
            hostile,
            neighbour,
            other,
            transport: open(settings, tasks.clone()),
            tasks,
            access: Access {
                connect_timeout: CONNECT,
                password: Some(Secret::new("a password".to_owned())),
                ssh_config: Some(config),
                ..Access::default()
            },
            _home: home,
        })
    }

    fn label(&self) -> String {
        format!("127.0.0.1:{}", self.hostile.port())
    }

    /// Runs a command on an honest host.
    async fn once(&self, host: &Host, input: usize) -> Met {
        let access = Access {
            connect_timeout: LIMIT,
            ..self.access.clone()
        };
        match self.start(host, &access, input).await {
            Ok(mut running) => follow(running.as_mut()).await,
            Err(met) => met,
        }
    }

    async fn start(&self, host: &Host, access: &Access, input: usize) -> Result<Box<dyn Running>, Met> {
        let endpoint = Endpoint {
            reach: Reach::Ssh,
            host: "127.0.0.1".to_owned(),
            address: None,
            user: None,
            port: Some(host.port()),
            credential: None,
        };
        let connected = self.transport.connect(&endpoint, access).await;
        let mut session = connected.map_err(|error| Met::NotReached(error.message))?;
        let exec = Exec {
            what: What::Command("true".to_owned()),
            mark: "hostile.1".to_owned(),
            env: Vec::new(),
            cwd: None,
            sudo: None,
            stdin: (input > 0).then(|| Bytes::from(vec![b'i'; input])),
        };
        let started = session.start(exec).await;
        started.map_err(|error| Met::NotStarted(error.kind, chain(&error)))
    }

    /// Runs a command on the hostile host; one that goes on is killed.
    async fn meet(&self, case: &Case) -> Met {
        let began = Instant::now();
        let started = self.start(&self.hostile, &self.access, case.input).await;
        let mut running = match started {
            Ok(running) => running,
            Err(Met::NotReached(message)) if began.elapsed() > CONNECT_ENDS => {
                return Met::TooLate(began.elapsed(), message);
            }
            Err(met) => return met,
        };
        let waits = match case.ends {
            Ends::Killed | Ends::Unkillable => Duration::from_millis(300),
            _ => GOES_ON,
        };
        if let Ok(met) = tokio::time::timeout(waits, follow(running.as_mut())).await {
            return met;
        }
        let killer = running.killer();
        let (killed, _) = tokio::join!(
            killer.kill(Duration::from_millis(100)),
            // Whoever kills reads on.
            tokio::time::timeout(Duration::from_secs(5), follow(running.as_mut()))
        );
        match killed {
            Ok(_) => Met::Killed,
            Err(error) => Met::NotKilled(chain(&error)),
        }
    }
}

/// Reads what a command does up to its end; only the beginning of its output is kept.
async fn follow(running: &mut dyn Running) -> Met {
    let mut output = Vec::new();
    while let Some(event) = running.next().await {
        match event {
            ExecEvent::Output { bytes, .. } if output.len() < 4096 => output.extend_from_slice(&bytes),
            ExecEvent::Output { .. } => {}
            end => return Met::Ended(end, output),
        }
    }
    Met::Ended(
        ExecEvent::Broken {
            why: "no event at all".to_owned(),
        },
        output,
    )
}

fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        let _ = write!(text, ": {error}");
        source = error.source();
    }
    text
}

fn configuration(home: &Path, hosts: &[&Host]) -> std::io::Result<std::path::PathBuf> {
    let known: String = hosts.iter().map(|host| host.known_hosts_line()).collect();
    let (known_hosts, config) = (home.join("known_hosts"), home.join("config"));
    std::fs::write(&known_hosts, known)?;
    let text = format!(
        "UserKnownHostsFile {}\nGlobalKnownHostsFile /dev/null\n",
        known_hosts.display()
    );
    std::fs::write(&config, text)?;
    Ok(config)
}
