//! Following a process: its output as it comes, then how it ended.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use muster_model::Stream;
use muster_runtime::CancellationToken;
use nix::sys::signal::Signal;
use process_wrap::tokio::ChildWrapper;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{ChildStderr, ChildStdout};
use tokio::time::Instant;

use crate::adapters::command::Delivery;
use crate::types::Exit;

/// How much is read at a time.
const CHUNK: usize = 64 * 1024;

/// Something that a command left behind may hold its output open: so long after the command has ended without a
/// word, nobody waits for it any more.
const QUIET: Duration = Duration::from_secs(1);

/// How long a command that was killed may take to show how it ended.
const LET_GO: Duration = Duration::from_secs(5);

/// A process with the ends of its output.
pub(super) struct Follow {
    child: Box<dyn ChildWrapper>,
    stdout: Source<ChildStdout>,
    stderr: Source<ChildStderr>,
    closing: CancellationToken,
    let_go: CancellationToken,
}

enum Seen {
    Output(Stream, Option<Bytes>),
    Ended(std::io::Result<ExitStatus>),
    Room,
    Quiet,
    Abandoned,
    LetGo,
    Closing,
}

impl Follow {
    /// Takes the ends of a process's output.
    pub(super) fn new(
        mut child: Box<dyn ChildWrapper>,
        closing: CancellationToken,
        let_go: CancellationToken,
    ) -> Self {
        Self {
            stdout: Source::new(child.stdout().take()),
            stderr: Source::new(child.stderr().take()),
            child,
            closing,
            let_go,
        }
    }

    /// Delivers what the process does until it has ended. Its end is waited for in any case: no zombie is left.
    pub(super) async fn run(mut self, mut delivery: Delivery) {
        let mut exit = None;
        let mut until: Option<Instant> = None;
        let mut released = false;
        while exit.is_none() || self.stdout.is_open() || self.stderr.is_open() {
            match self.wait(&delivery, exit.is_none(), until, released).await {
                Seen::Output(stream, Some(bytes)) => {
                    // After a kill nobody may be reading: what does not fit is let go.
                    if !released || delivery.writer().has_room() {
                        let _ = delivery.output(stream, bytes);
                    }
                    until = exit.as_ref().map(|_| Instant::now() + QUIET);
                }
                Seen::Output(Stream::Stdout, None) => self.stdout.close(),
                Seen::Output(Stream::Stderr, None) => self.stderr.close(),
                Seen::Ended(status) => {
                    exit = Some(status);
                    until = Some(Instant::now() + QUIET);
                }
                Seen::Room => until = until.map(|_| Instant::now() + QUIET),
                Seen::Quiet => break,
                Seen::LetGo => {
                    released = true;
                    until = Some(Instant::now() + LET_GO);
                }
                Seen::Abandoned => {
                    self.stdout.close();
                    self.stderr.close();
                    tokio::select! {
                        _ = self.child.wait() => {}
                        () = self.closing.cancelled() => {}
                    }
                    return;
                }
                Seen::Closing => return delivery.broken("muster closed its connections"),
            }
        }
        match exit {
            Some(Ok(status)) => delivery.exited(exit_of(status)),
            Some(Err(error)) => delivery.broken(format!("waiting for the command: {error}")),
            None => delivery.broken("the command was killed, and how it ended is not known"),
        }
    }

    async fn wait(
        &mut self,
        delivery: &Delivery,
        alive: bool,
        until: Option<Instant>,
        released: bool,
    ) -> Seen {
        let writer = delivery.writer();
        let readable = released || writer.has_room();
        tokio::select! {
            bytes = self.stdout.read(), if readable && self.stdout.is_open() => Seen::Output(Stream::Stdout, bytes),
            bytes = self.stderr.read(), if readable && self.stderr.is_open() => Seen::Output(Stream::Stderr, bytes),
            status = self.child.wait(), if alive => Seen::Ended(status),
            () = writer.room(), if !readable => Seen::Room,
            () = writer.abandoned() => Seen::Abandoned,
            () = self.let_go.cancelled(), if !released => Seen::LetGo,
            () = self.closing.cancelled() => Seen::Closing,
            () = sleep_until(until), if readable => Seen::Quiet,
        }
    }
}

/// One stream of output.
struct Source<R> {
    pipe: Option<R>,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> Source<R> {
    fn new(pipe: Option<R>) -> Self {
        Self {
            pipe,
            buffer: BytesMut::new(),
        }
    }

    fn is_open(&self) -> bool {
        self.pipe.is_some()
    }

    fn close(&mut self) {
        self.pipe = None;
    }

    /// Reads what is there; None at the end. Cancel-safe.
    async fn read(&mut self) -> Option<Bytes> {
        let Some(pipe) = &mut self.pipe else {
            return std::future::pending().await;
        };
        // Many small reads share one piece of memory.
        if self.buffer.capacity() < CHUNK / 16 {
            self.buffer.reserve(CHUNK);
        }
        match pipe.read_buf(&mut self.buffer).await {
            Ok(read) if read > 0 => Some(self.buffer.split().freeze()),
            _ => None,
        }
    }
}

async fn sleep_until(until: Option<Instant>) {
    match until {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn exit_of(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(number)) => Exit::Signal(name_of(number)),
        (None, None) => Exit::Code(-1),
    }
}

fn name_of(number: i32) -> String {
    match Signal::try_from(number) {
        Ok(signal) => signal.as_str().trim_start_matches("SIG").to_owned(),
        Err(_) => number.to_string(),
    }
}
