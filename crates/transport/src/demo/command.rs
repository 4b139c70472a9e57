//! A command on a host: a real process in a session of its own, and its channel.
//!
//! Output goes out no faster than the client's window allows, one chunk at a time, so a slow client slows the
//! command and nothing else. Input waits in memory up to a limit, so that a command that does not read cannot
//! hold up the connection, on which the windows of others travel.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};

use bytes::{Bytes, BytesMut};
use muster_runtime::CancellationToken;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use process_wrap::tokio::{ChildWrapper, CommandWrap, KillOnDrop, ProcessSession};
use russh::server::{Handle, Msg};
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::sync::oneshot;

use super::server::Machine;
use super::sweep;

const CHUNK: usize = 32 * 1024;
/// More than Muster ever sends as standard input and script together.
const INPUT: usize = 64 * 1024 * 1024;
const STDERR: u32 = 1;

/// A running command.
pub(super) type Process = Box<dyn ChildWrapper>;

/// Starts a command line in the host's home, or a shell that reads its commands from standard input.
pub(super) fn spawn(
    machine: &Machine,
    route: &str,
    env: Vec<(String, String)>,
    line: Option<&[u8]>,
) -> io::Result<Process> {
    let mut peer = route.split(' ');
    let client = [peer.next(), peer.next(), peer.nth(1)]
        .map(Option::unwrap_or_default)
        .join(" ");
    let path = format!(
        "{}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        machine.bin.display()
    );
    let mut wrap = CommandWrap::with_new("/bin/sh", |command| {
        if let Some(line) = line {
            command.arg("-c").arg(OsStr::from_bytes(line));
        }
        command
            .env_clear()
            .envs(env)
            .env("HOME", &machine.home)
            .env("USER", &machine.user)
            .env("LOGNAME", &machine.user)
            .env("SHELL", "/bin/sh")
            .env("PATH", path)
            .env("HOSTNAME", &machine.name)
            .env("SSH_CLIENT", client)
            .env("SSH_CONNECTION", route)
            .env(sweep::MARK, &machine.mark)
            .current_dir(&machine.home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
    });
    wrap.wrap(ProcessSession).wrap(KillOnDrop).spawn()
}

/// Serves a channel: waits for its command, carries its input, output and signals, and says how it ended.
pub(super) async fn serve(
    channel: Channel<Msg>,
    handle: Handle,
    started: oneshot::Receiver<Process>,
    stop: CancellationToken,
) {
    let (mut incoming, outgoing) = channel.split();
    let Some(mut process) = start_of(&mut incoming, started, &stop).await else {
        let _ = outgoing.close().await;
        return;
    };
    let session = process
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .map(Pid::from_raw);
    let input = process.stdin().take();
    let (stdout, stderr) = (process.stdout().take(), process.stderr().take());
    let run = async {
        pump(stdout, stderr, &outgoing).await?;
        process.wait().await
    };
    let ended = tokio::select! {
        ended = run => Some(ended),
        () = listen(&mut incoming, input, session) => None,
        () = stop.cancelled() => None,
    };
    match ended {
        Some(Ok(status)) => say_end(status, &handle, &outgoing).await,
        // The client went away. As sshd does, what runs is left to its end, without anyone who listens.
        Some(Err(_)) | None => {
            tokio::select! {
                _ = process.wait() => {}
                () = stop.cancelled() => {}
            }
        }
    }
    if stop.is_cancelled() {
        if let Some(session) = session {
            let _ = killpg(session, Signal::SIGKILL);
        }
        let _ = process.wait().await;
    }
}

/// Waits for the command; None where the channel or the host ends before.
async fn start_of(
    incoming: &mut ChannelReadHalf,
    started: oneshot::Receiver<Process>,
    stop: &CancellationToken,
) -> Option<Process> {
    loop {
        let message = tokio::select! {
            () = stop.cancelled() => return None,
            message = incoming.wait() => message?,
        };
        match message {
            // The connection's task starts the process right after it has passed this message on.
            ChannelMsg::Exec { .. } | ChannelMsg::RequestShell { .. } => return started.await.ok(),
            ChannelMsg::Close => return None,
            _ => {}
        }
    }
}

/// Sends both outputs until both have ended.
async fn pump(
    mut stdout: Option<ChildStdout>,
    mut stderr: Option<ChildStderr>,
    outgoing: &ChannelWriteHalf<Msg>,
) -> io::Result<()> {
    let (mut out, mut err) = (BytesMut::with_capacity(CHUNK), BytesMut::with_capacity(CHUNK));
    while stdout.is_some() || stderr.is_some() {
        out.reserve(CHUNK);
        err.reserve(CHUNK);
        let sent = tokio::select! {
            read = read_from(&mut stdout, &mut out), if stdout.is_some() => {
                if read? == 0 {
                    stdout = None;
                    continue;
                }
                outgoing.data_bytes(out.split().freeze()).await
            }
            read = read_from(&mut stderr, &mut err), if stderr.is_some() => {
                if read? == 0 {
                    stderr = None;
                    continue;
                }
                outgoing.extended_data_bytes(STDERR, err.split().freeze()).await
            }
        };
        sent.map_err(|error| io::Error::new(io::ErrorKind::BrokenPipe, error))?;
    }
    Ok(())
}

async fn read_from<R: AsyncReadExt + Unpin>(pipe: &mut Option<R>, into: &mut BytesMut) -> io::Result<usize> {
    match pipe {
        Some(pipe) => pipe.read_buf(into).await,
        None => Ok(0),
    }
}

/// Carries input and signals to the command until the channel closes.
async fn listen(incoming: &mut ChannelReadHalf, mut input: Option<ChildStdin>, session: Option<Pid>) {
    let mut queue: VecDeque<Bytes> = VecDeque::new();
    let (mut queued, mut ended) = (0, false);
    loop {
        if ended && queue.is_empty() {
            input = None;
        }
        tokio::select! {
            written = write_first(&mut input, &mut queue), if input.is_some() && !queue.is_empty() => {
                match written {
                    Ok(bytes) => queued -= bytes,
                    // The command reads no more: what else comes is thrown away, as a closed pipe does.
                    Err(_) => {
                        input = None;
                        queue.clear();
                        queued = 0;
                    }
                }
            }
            message = incoming.wait(), if queued < INPUT => match message {
                Some(ChannelMsg::Data { data }) if input.is_some() && !ended => {
                    queued += data.len();
                    queue.push_back(data);
                }
                Some(ChannelMsg::Eof) => ended = true,
                Some(ChannelMsg::Signal { signal }) => pass_on(&signal, session),
                Some(ChannelMsg::Close) | None => return,
                Some(_) => {}
            },
        }
    }
}

/// Writes some of the first chunk; cancel-safe, because one write is.
async fn write_first(input: &mut Option<ChildStdin>, queue: &mut VecDeque<Bytes>) -> io::Result<usize> {
    let (Some(pipe), Some(first)) = (input.as_mut(), queue.front_mut()) else {
        return Ok(0);
    };
    let written = pipe.write(first).await?;
    let _ = first.split_to(written);
    if first.is_empty() {
        queue.pop_front();
    }
    Ok(written)
}

fn pass_on(signal: &Sig, session: Option<Pid>) {
    let signal = match signal {
        Sig::ABRT => Signal::SIGABRT,
        Sig::ALRM => Signal::SIGALRM,
        Sig::HUP => Signal::SIGHUP,
        Sig::INT => Signal::SIGINT,
        Sig::KILL => Signal::SIGKILL,
        Sig::PIPE => Signal::SIGPIPE,
        Sig::QUIT => Signal::SIGQUIT,
        Sig::TERM => Signal::SIGTERM,
        Sig::USR1 => Signal::SIGUSR1,
        Sig::Custom(name) if name == "USR2" => Signal::SIGUSR2,
        _ => return,
    };
    if let Some(session) = session {
        let _ = killpg(session, signal);
    }
}

/// Says how the command ended, and closes the channel.
async fn say_end(status: ExitStatus, handle: &Handle, outgoing: &ChannelWriteHalf<Msg>) {
    let _ = outgoing.eof().await;
    if let Some(code) = status.code() {
        let _ = outgoing.exit_status(u32::try_from(code).unwrap_or(255)).await;
    } else if let Some(signal) = status.signal() {
        let name =
            Signal::try_from(signal).map_or_else(|_| signal.to_string(), |known| known.as_str().to_owned());
        let name = name.strip_prefix("SIG").unwrap_or(&name).to_owned();
        let text = format!("ended by {name}");
        let _ = handle
            .exit_signal_request(
                outgoing.id(),
                Sig::Custom(name),
                status.core_dumped(),
                text,
                String::new(),
            )
            .await;
    }
    let _ = outgoing.close().await;
}
