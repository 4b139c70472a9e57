//! Finding the user's server, and starting it where there is none. However many commands look for it in
//! the same instant, one starts it and the others wait.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use muster_client::trust::Trust;
use muster_client::{Address, Client};
use muster_model::problem::Code;
use muster_model::wire::{PROTOCOL, ServerInfo};
use muster_model::{Problem, Secret};
use muster_runtime::{clock, crash_point};
use tokio::process::Command;

use super::lock::{self, Lock};
use super::paths::{Paths, cannot, socket_of_ours};
use super::version::is_newer;
use super::{ready, token, version};
use crate::settings::{Settings, masked};

/// How long a server may take to say who it is.
const ANSWER: Duration = Duration::from_secs(10);
/// How long a server may take to start: an old database is brought up to date first.
const READY: Duration = Duration::from_secs(10);
/// How long to wait for another command that starts the server.
const TURN: Duration = Duration::from_secs(20);
/// How often to look again: a server may leave, or be replaced, between two looks.
const LOOKS: u32 = 4;

/// Where a server is, and where else one is that does as well.
type Found = (Address, Vec<Address>);

/// Returns where the server is.
pub(super) async fn find(settings: &Settings) -> Result<Found, Problem> {
    match named(settings)? {
        Some(found) => Ok(found),
        None => own(settings).await.map(|address| (address, Vec::new())),
    }
}

/// Returns where this user's server is, without starting one; None where there is none.
pub(super) async fn find_running(settings: &Settings) -> Result<Option<Found>, Problem> {
    if let Some(found) = named(settings)? {
        return Ok(Some(found));
    }
    let paths = Paths::of(settings);
    if super::paths::look(&paths.folder)?.is_none() {
        return Ok(None);
    }
    paths.prepare()?;
    match knock(&paths).await? {
        Some(_) => Ok(Some((Address::Unix(paths.socket), Vec::new()))),
        None if held_by_another(&paths)? => Err(unheard(&paths, "a server of yours is running")),
        None => Ok(None),
    }
}

/// Tells whether a server runs. The lock is free again when this returns.
fn held_by_another(paths: &Paths) -> Result<bool, Problem> {
    match super::paths::look(&paths.server_lock)? {
        Some(_) => Lock::try_take(&paths.server_lock).map(|lock| lock.is_none()),
        None => Ok(false),
    }
}

/// Says that there is a server that cannot be spoken to: somebody removed its socket, or it is just coming or going.
fn unheard(paths: &Paths, what: &str) -> Problem {
    let problem = Problem::new(
        Code::Unavailable,
        format!("{what}, but nothing answers at {}", paths.socket.display()),
    );
    match lock::holder(&paths.server_lock) {
        Some(pid) => problem.hint(format!("where that lasts, end it: kill {pid}")),
        None => problem,
    }
}

/// Returns the servers that the settings name, with the token for them; None where they name none.
fn named(settings: &Settings) -> Result<Option<Found>, Problem> {
    let mut servers = Vec::with_capacity(settings.servers.len());
    let trust = Arc::new(Trust::new(settings.trust.clone()));
    for address in &settings.servers {
        servers.push(match address {
            Address::Unix(path) => {
                socket_of_ours(path)?;
                address.clone()
            }
            Address::Tcp { .. } => address.clone().with_token(token_for(settings)?),
            // What stands in this machine's files is for this machine's server, and for nobody else's.
            Address::Tls { .. } => match &settings.token {
                Some(token) => address.clone().trusting(&trust).with_token(Some(token.clone())),
                None => {
                    return Err(
                        Problem::new(Code::InvalidConfig, format!("{address} wants a token, and none is set"))
                            .hint("set MUSTER_TOKEN to what stands in the file 'token' of the server's state folder"),
                    );
                }
            },
        });
    }
    let mut servers = servers.into_iter();
    Ok(servers.next().map(|first| (first, servers.collect())))
}

fn token_for(settings: &Settings) -> Result<Option<Secret>, Problem> {
    match &settings.token {
        Some(token) => Ok(Some(token.clone())),
        None => token::kept(&Paths::of(settings).token),
    }
}

async fn own(settings: &Settings) -> Result<Address, Problem> {
    let paths = Paths::of(settings);
    paths.prepare()?;
    for _ in 0..LOOKS {
        match knock(&paths).await? {
            Some(info) if is_newer(version(), &info.version) => replace(&paths, &info).await?,
            Some(info) => {
                fits(&info)?;
                works_with(settings, &info)?;
                return Ok(Address::Unix(paths.socket));
            }
            None => start(settings, &paths).await?,
        }
    }
    Err(Problem::new(
        Code::Unavailable,
        format!("the server started {LOOKS} times and left each time"),
    )
    .hint(format!("its log may say why: {}", paths.log.display())))
}

/// Asks whoever listens at the socket who it is; None where nobody does.
async fn knock(paths: &Paths) -> Result<Option<ServerInfo>, Problem> {
    if !socket_of_ours(&paths.socket)? {
        return Ok(None);
    }
    let client = Client::new(Address::Unix(paths.socket.clone()), version());
    match clock::deadline(ANSWER, client.server()).await {
        Ok(Ok(info)) => Ok(Some(info)),
        // Refused: its process is gone. Broken: it is going.
        Ok(Err(problem)) if problem.code == Code::Unavailable => Ok(None),
        Ok(Err(problem)) => Err(problem),
        Err(clock::Elapsed) => Err(stuck(paths)),
    }
}

fn stuck(paths: &Paths) -> Problem {
    let problem = Problem::new(
        Code::Unavailable,
        format!(
            "the server at {} did not answer within {} s",
            paths.socket.display(),
            ANSWER.as_secs()
        ),
    );
    match lock::holder(&paths.server_lock) {
        Some(pid) => problem.hint(format!("see what it does, or end it: kill {pid}")),
        None => problem,
    }
}

fn fits(info: &ServerInfo) -> Result<(), Problem> {
    if info.protocol == PROTOCOL {
        return Ok(());
    }
    Err(Problem::new(
        Code::VersionMismatch,
        format!(
            "your server is of release {} (protocol {}), newer than this muster, {} (protocol {PROTOCOL})",
            info.version,
            info.protocol,
            version()
        ),
    )
    .hint("use the newer muster, or end the server with it: muster server stop"))
}

/// Makes sure that the server has the back ends that the settings name: a task in another database than the
/// one that was asked for would be lost to who looks for it.
fn works_with(settings: &Settings, info: &ServerInfo) -> Result<(), Problem> {
    for (room, here, there) in [
        ("database", &settings.database, &info.database),
        ("queue", &settings.queue, &info.queue),
        ("cache", &settings.cache, &info.cache),
    ] {
        let here = masked(here);
        if here != *there {
            return Err(Problem::new(
                Code::InvalidConfig,
                format!("your server works with the {room} {there}, and your settings say {here}"),
            )
            .hint("end it, and the next command starts one with these settings: muster server stop"));
        }
    }
    Ok(())
}

/// Has an older server hand over: when it answers, its place is free.
async fn replace(paths: &Paths, info: &ServerInfo) -> Result<(), Problem> {
    tracing::debug!(
        old = info.version,
        new = version(),
        "the server is older: it hands over"
    );
    let client = Client::new(Address::Unix(paths.socket.clone()), version());
    match clock::deadline(ANSWER, client.handover()).await {
        Ok(Ok(())) => {
            crash_point!(HandoverDone);
            Ok(())
        }
        // Another command was faster, and the old server is gone.
        Ok(Err(problem)) if problem.code == Code::Unavailable => Ok(()),
        Ok(Err(problem)) => Err(problem),
        Err(clock::Elapsed) => Err(stuck(paths)),
    }
}

/// Starts the server, unless somebody else has by the time it is our turn.
async fn start(settings: &Settings, paths: &Paths) -> Result<(), Problem> {
    let _turn = Lock::take(&paths.start_lock, TURN).await?;
    crash_point!(StartTurnTaken);
    if knock(paths).await?.is_some() {
        return Ok(());
    }
    match spawn(settings, paths).await {
        Err(problem) if problem.code == Code::Conflict => another(paths, &problem).await,
        outcome => outcome,
    }
}

/// There is another server. One whose starter died before it was ready answers by now; one that does not has
/// lost its socket to somebody who removed it, or was stopped.
async fn another(paths: &Paths, problem: &Problem) -> Result<(), Problem> {
    if knock(paths).await?.is_some() {
        return Ok(());
    }
    Err(unheard(paths, &problem.to_string()))
}

async fn spawn(settings: &Settings, paths: &Paths) -> Result<(), Problem> {
    let binary = std::env::current_exe()
        .ok()
        .filter(|path| path.exists())
        // The file was replaced or removed since this process started; the process still has it.
        .unwrap_or_else(|| Path::new("/proc/self/exe").to_owned());
    let mut server = Command::new(&binary)
        .arg0("muster")
        .args(["server", "--daemon"])
        .envs(settings.environment_of_server())
        .env_remove("MUSTER_SERVER")
        .env_remove("MUSTER_NO_DAEMON")
        .env_remove("MUSTER_TOKEN")
        // It lives longer than what it was started in.
        .env_remove("TRACEPARENT")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| cannot(&binary, "started", &error))?;
    crash_point!(ServerSpawned);
    let Some(word) = server.stdout.take() else {
        return Err(Problem::new(
            Code::Internal,
            "the server was started without a pipe",
        ));
    };
    match clock::deadline(READY, ready::hear(word, &paths.log)).await {
        Ok(outcome) => outcome,
        Err(clock::Elapsed) => Err(Problem::new(
            Code::Unavailable,
            format!("the server was not ready within {} s", READY.as_secs()),
        )
        .hint(format!("its log may say why: {}", paths.log.display()))),
    }
}
