//! The same load on Celery: RabbitMQ hands the tasks out, Redis keeps the results, two worker processes do
//! nothing. Brokers and workers are this benchmark's own, on ports of their own, and end with it.

#![expect(
    clippy::disallowed_methods,
    reason = "where the peers are is told by the environment, as for the tests"
)]

use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use muster_bench::Side;
use muster_testkit::{ports, wait};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// How long a broker may take to come up.
const UP: Duration = Duration::from_secs(120);
/// How long brokers and workers may take to leave before they are killed.
const LEAVE: Duration = Duration::from_secs(10);
/// Tasks that go first, so that nothing is measured that happens once.
const WARM: u32 = 200;

/// What the tasks took.
pub(crate) struct Took {
    /// From the first send to the last stored result.
    pub(crate) wall: Duration,
    /// Of client, workers and both brokers.
    pub(crate) cpu: Duration,
}

/// Where the programs are.
struct Programs {
    redis: PathBuf,
    rabbitmq: PathBuf,
    epmd: PathBuf,
    /// The folder of `celery` and of its `python`.
    celery: PathBuf,
}

impl Programs {
    fn find() -> Result<Self, String> {
        let mut folders: Vec<PathBuf> = std::env::var_os("PATH")
            .map(|path| std::env::split_paths(&path).collect())
            .unwrap_or_default();
        // The wrapper on the path would run the broker as another user.
        folders.insert(0, "/usr/lib/rabbitmq/bin".into());
        let peers = peers();
        for folder in peers
            .iter()
            .flat_map(|peers| [peers.join("mq/bin"), peers.join("bin")])
        {
            folders.push(folder);
        }
        let find = |name: &str, how: &str| {
            let place = folders.iter().find(|folder| folder.join(name).is_file());
            place
                .map(|folder| folder.join(name))
                .ok_or_else(|| format!("`{name}` is missing: {how}"))
        };
        let venv =
            "python3 -m venv ${MUSTER_PEERS:-~/.cache/muster-peers}/mq, then its pip install celery redis";
        Ok(Self {
            redis: find("redis-server", "apt-get install redis-server")?,
            rabbitmq: find("rabbitmq-server", "apt-get install rabbitmq-server")?,
            epmd: find("epmd", "apt-get install rabbitmq-server")?,
            celery: find("celery", venv)?
                .parent()
                .map(Path::to_owned)
                .unwrap_or_default(),
        })
    }
}

fn peers() -> Option<PathBuf> {
    let given = std::env::var_os("MUSTER_PEERS").map(PathBuf::from);
    given.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache/muster-peers")))
}

/// A process group that is ended when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let group = Pid::from_raw(i32::try_from(self.0.id()).unwrap_or(i32::MAX));
        let _ = killpg(group, Signal::SIGTERM);
        let _ = wait::blocking(LEAVE, "the process to leave", || self.0.try_wait().ok().flatten());
        let _ = killpg(group, Signal::SIGKILL);
        let _ = self.0.wait();
    }
}

fn start(side: &Side, command: &mut Command, log: &Path) -> Result<Running, String> {
    let out = std::fs::File::create(log).map_err(|error| format!("{}: {error}", log.display()))?;
    let err = out.try_clone().map_err(|error| error.to_string())?;
    command
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .process_group(0);
    let program = command.get_program().to_owned();
    let child = side.spawn(command);
    child
        .map(Running)
        .map_err(|error| format!("{}: {error}", program.display()))
}

fn free_port() -> Result<u16, String> {
    ports::free().map_err(|error| error.to_string())
}

fn wait_for_port(port: u16, log: &Path) -> Result<(), String> {
    let answer = || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok();
    let answered = wait::blocking(UP, "an answer", answer).map(drop);
    answered.map_err(|error| {
        let said = std::fs::read_to_string(log).unwrap_or_default();
        format!("port {port}: {error}: {said}")
    })
}

/// Starts the node with everything that it keeps in `home`.
fn rabbitmq(side: &Side, programs: &Programs, home: &Path) -> Result<(Vec<Running>, u16), String> {
    let (amqp, dist, mapper) = (free_port()?, free_port()?, free_port()?);
    let conf = format!("listeners.tcp.1 = 127.0.0.1:{amqp}\nlog.console.level = error\n");
    for (name, text) in [
        ("rabbitmq.conf", conf.as_str()),
        ("enabled_plugins", "[].\n"),
        ("env.conf", ""),
    ] {
        std::fs::write(home.join(name), text).map_err(|error| error.to_string())?;
    }
    let epmd = start(
        side,
        Command::new(&programs.epmd).args(["-address", "127.0.0.1", "-port", &mapper.to_string()]),
        &home.join("epmd.log"),
    )?;
    wait_for_port(mapper, &home.join("epmd.log"))?;
    let log = home.join("rabbitmq.log");
    let node = start(
        side,
        Command::new(&programs.rabbitmq)
            .env("HOME", home)
            .env(
                "RABBITMQ_NODENAME",
                format!("bench{}@localhost", std::process::id()),
            )
            .env("RABBITMQ_CONFIG_FILE", home.join("rabbitmq.conf"))
            .env("RABBITMQ_CONF_ENV_FILE", home.join("env.conf"))
            .env("RABBITMQ_MNESIA_BASE", home.join("mnesia"))
            .env("RABBITMQ_LOG_BASE", home.join("log"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", home.join("enabled_plugins"))
            .env("RABBITMQ_PID_FILE", home.join("pid"))
            .env("RABBITMQ_DIST_PORT", dist.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("ERL_EPMD_PORT", mapper.to_string())
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-kernel inet_dist_use_interface {127,0,0,1}",
            ),
        &log,
    )?;
    // Dropped in this order: the node before the mapper that it is known to.
    let both = vec![node, epmd];
    wait_for_port(amqp, &log)?;
    Ok((both, amqp))
}

/// Sends `count` tasks and waits for all results.
///
/// # Errors
///
/// What is missing and how to install it, or what went wrong.
pub(crate) fn measure(count: u32) -> Result<Took, String> {
    let programs = Programs::find()?;
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let home = folder.path();
    let side = Side::new("celery");
    let port = free_port()?;
    let dir = home.display().to_string();
    let redis_log = home.join("redis.log");
    let _redis = start(
        &side,
        Command::new(&programs.redis)
            .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
            .args(["--save", "", "--appendonly", "no", "--dir", &dir]),
        &redis_log,
    )?;
    wait_for_port(port, &redis_log)?;
    let (_brokers, amqp) = rabbitmq(&side, &programs, home)?;
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/../../benches/engine");
    let told = |command: &mut Command| {
        command
            .current_dir(home)
            .env("BENCH_BROKER", format!("amqp://guest:guest@127.0.0.1:{amqp}//"))
            .env("BENCH_RESULTS", format!("redis://127.0.0.1:{port}/1"))
            .env("PYTHONPATH", here)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("C_FORCE_ROOT", "1");
    };
    let mut worker = Command::new(programs.celery.join("celery"));
    worker
        .args(["-A", "celery_tasks", "worker", "-P", "prefork", "-c", "2"])
        .args([
            "--loglevel=ERROR",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
        ]);
    told(&mut worker);
    let _worker = start(&side, &mut worker, &home.join("worker.log"))?;
    let send = |count: u32| -> Result<Duration, String> {
        let mut client = Command::new(programs.celery.join("python"));
        client
            .arg(format!("{here}/celery_client.py"))
            .arg(count.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        told(&mut client);
        let child = side.spawn(&mut client).map_err(|error| error.to_string())?;
        let output = child.wait_with_output().map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let seconds = said
            .lines()
            .find_map(|line| line.strip_prefix("seconds ")?.parse().ok())
            .ok_or_else(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
        Ok(Duration::from_secs_f64(seconds))
    };
    send(WARM)?;
    let before = side.cpu();
    let wall = send(count)?;
    Ok(Took {
        wall,
        cpu: side.cpu() - before,
    })
}
