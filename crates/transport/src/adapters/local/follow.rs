//! Following a process: its output as it comes, then how it ended.

use std::os::fd::AsFd;
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
                // What was written in this moment counts.
                Seen::Quiet if !released => match self.last_look() {
                    Some((stream, bytes)) => {
                        let _ = delivery.output(stream, bytes);
                        until = Some(Instant::now() + QUIET);
                    }
                    None => break,
                },
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

    /// Reads what waits in either pipe, whatever the runtime has heard of it.
    fn last_look(&mut self) -> Option<(Stream, Bytes)> {
        let stdout = self.stdout.read_now().map(|bytes| (Stream::Stdout, bytes));
        stdout.or_else(|| self.stderr.read_now().map(|bytes| (Stream::Stderr, bytes)))
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

impl<R: AsyncRead + AsFd + Unpin> Source<R> {
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

    /// Reads what is there without waiting for any.
    fn read_now(&mut self) -> Option<Bytes> {
        let pipe = self.pipe.as_ref()?;
        let mut bytes = vec![0; CHUNK];
        // The runtime has put the pipe into its mode without waiting.
        let read = nix::unistd::read(pipe.as_fd(), &mut bytes).unwrap_or(0);
        bytes.truncate(read);
        (read > 0).then(|| bytes.into())
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

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Stdio;

    use muster_runtime::clock;
    use process_wrap::tokio::CommandWrap;

    use super::*;
    use crate::adapters::command::{End, Gate};
    use crate::adapters::shell::Input;
    use crate::types::ExecEvent;

    fn child(text: &str, folder: &Path) -> Box<dyn ChildWrapper> {
        let mut command = CommandWrap::with_new("/bin/sh", |command| {
            command
                .args(["-c", text])
                .current_dir(folder)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
        });
        command.spawn().expect("sh starts")
    }

    /// Keeps the runtime from everything until a file is there, and for two seconds in all.
    fn hold(file: &Path) {
        let began = std::time::Instant::now();
        while !file.exists() || began.elapsed() < 2 * QUIET {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    // One thread: what comes while it is held up is found at once, the output together with the end of the wait for it.
    #[tokio::test]
    async fn output_that_comes_as_the_wait_for_it_ends_is_kept() {
        let folder = tempfile::tempdir().expect("is made");
        let text = "{ while [ ! -e go ]; do sleep 0.01; done; echo late; : >said; exec sleep 5; } & exit 3";
        let child = child(text, folder.path());
        let (gate, _said) = Gate::new();
        let end = End::default();
        let (delivery, mut reader) = Delivery::new(&Input::default(), gate, end.clone());
        let (closing, let_go) = (CancellationToken::new(), CancellationToken::new());
        let held = async {
            clock::sleep(QUIET / 2).await;
            std::fs::write(folder.path().join("go"), "").expect("is written");
            hold(&folder.path().join("said"));
        };
        tokio::join!(Follow::new(child, closing, let_go).run(delivery), held);
        let mut seen = Vec::new();
        while let Some(event) = reader.next().await {
            seen.push(event);
        }
        let late = ExecEvent::Output {
            stream: Stream::Stdout,
            bytes: Bytes::from_static(b"late\n"),
        };
        assert_eq!(seen, [late, ExecEvent::Exited(Exit::Code(3))]);
    }
}
