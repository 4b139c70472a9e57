//! This machine, without SSH: commands are processes of ours, in sessions of their own.
//!
//! What a command sees is what it would see over SSH: the user's shell, the home folder, no terminal.

mod follow;

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use async_trait::async_trait;
use muster_model::{Endpoint, ErrorKind, HostKey, Unreachable};
use muster_runtime::{CancellationToken, Tasks};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, Uid, User};
use process_wrap::tokio::{ChildWrapper, CommandWrap, ProcessSession};

use super::command::pipe::Reader;
use super::command::{Delivery, End, Gate, Running, Side, TreeKiller, feed};
use super::shell::{Launch, Shell, launch};
use crate::error::{ConnectError, Error};
use crate::open::Settings;
use crate::port;
use crate::types::{Access, Exec};

/// The local transport.
pub(crate) struct Local {
    here: Arc<Here>,
}

/// What all commands on this machine share.
struct Here {
    tasks: Tasks,
    home: PathBuf,
    user: String,
    shell: String,
    closing: CancellationToken,
}

impl Local {
    /// Returns the local transport; the shell is the one that the password database has for this user.
    pub(crate) fn new(settings: &Settings, tasks: Tasks) -> Self {
        let shell = User::from_uid(Uid::effective())
            .ok()
            .flatten()
            .map(|user| user.shell.to_string_lossy().into_owned())
            .filter(|shell| !shell.is_empty())
            .unwrap_or_else(|| "/bin/sh".to_owned());
        Self {
            here: Arc::new(Here {
                tasks,
                home: settings.home.clone(),
                user: settings.user.clone(),
                shell,
                closing: CancellationToken::new(),
            }),
        }
    }
}

#[async_trait]
impl port::KeyScan for Local {
    fn key_names(&self, _: &Endpoint, _: &Access) -> Result<Vec<String>, ConnectError> {
        Ok(Vec::new())
    }

    async fn host_keys(&self, endpoint: &Endpoint, _: &Access) -> Result<Vec<HostKey>, ConnectError> {
        let what = format!(
            "{}: this machine is reached without SSH: it has no key",
            endpoint.host
        );
        Err(ConnectError::new(Unreachable::Unsupported, what))
    }
}

#[async_trait]
impl port::Transport for Local {
    async fn connect(
        &self,
        endpoint: &Endpoint,
        access: &Access,
    ) -> Result<Box<dyn port::Session>, ConnectError> {
        let user = endpoint.user.as_ref().or(access.user.as_ref());
        if let Some(user) = user.filter(|user| **user != self.here.user) {
            return Err(ConnectError::new(
                Unreachable::Settings,
                format!(
                    "{}: commands on this machine run as {}: use --sudo to become {user}, or ssh://{user}@{} to log in",
                    endpoint.host, self.here.user, endpoint.host
                ),
            ));
        }
        Ok(Box::new(Session {
            here: Arc::clone(&self.here),
            used: false,
        }))
    }

    fn connections(&self) -> usize {
        0
    }

    async fn close(&self) {
        self.here.closing.cancel();
    }
}

/// Room for one command on this machine.
struct Session {
    here: Arc<Here>,
    used: bool,
}

#[async_trait]
impl port::Session for Session {
    async fn start(&mut self, exec: Exec) -> Result<Box<dyn port::Running>, Error> {
        if self.used {
            return Err(Error::new(
                ErrorKind::Conflict,
                "a session starts one command only",
            ));
        }
        let launch = launch::launch(&exec, Shell::Path(&self.here.shell))?;
        let end = End::default();
        let let_go = CancellationToken::new();
        let (pid, reader) = self.here.start(launch, end.clone(), let_go.clone())?;
        self.used = true;
        let beside = Beside {
            here: Arc::clone(&self.here),
            pid,
            end: end.clone(),
            let_go,
        };
        let killer = TreeKiller::new(beside, exec.mark, exec.sudo, end.clone());
        Ok(Box::new(Running::new(reader, Arc::new(killer), end)))
    }
}

impl Here {
    /// Starts a program and whoever feeds and follows it; returns the number of its first process.
    fn start(
        &self,
        launch: Launch,
        end: End,
        let_go: CancellationToken,
    ) -> Result<(Option<u32>, Reader), Error> {
        let mut child = self.spawn(&launch).map_err(|error| {
            Error::new(ErrorKind::Denied, "starting /bin/sh on this machine").caused_by(error)
        })?;
        let stdin = child.stdin().take();
        let pid = child.id();
        let (gate, said) = Gate::new();
        let (delivery, reader) = Delivery::new(&launch.input, gate, end.clone());
        if let Some(stdin) = stdin {
            let over = end;
            self.tasks.spawn("local input", async move {
                tokio::select! {
                    () = feed::feed(launch.input, said, stdin) => {}
                    () = over.over() => {}
                }
            });
        }
        let follow = follow::Follow::new(child, self.closing.clone(), let_go);
        self.tasks.spawn("local command", follow.run(delivery));
        Ok((pid, reader))
    }

    fn spawn(&self, launch: &Launch) -> std::io::Result<Box<dyn ChildWrapper>> {
        let mut command = CommandWrap::with_new("/bin/sh", |command| {
            command
                .arg("-c")
                .arg(&launch.program)
                .env("SHELL", &self.shell)
                // A server that was itself started by a run must not lend its mark to what it runs.
                .env_remove("MUSTER_RUN")
                // Nor the trace that it was started in, nor what its collector asks for.
                .env_remove("TRACEPARENT")
                .env_remove("OTEL_EXPORTER_OTLP_HEADERS")
                .env_remove("OTEL_EXPORTER_OTLP_TRACES_HEADERS")
                .stdin(if launch.input.is_empty() {
                    Stdio::null()
                } else {
                    Stdio::piped()
                })
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
            if self.home.is_dir() {
                command.current_dir(&self.home);
            }
        });
        command.wrap(ProcessSession);
        // The wrapper would wait for the whole group, and a command ends with its first process.
        command.spawn().map(ChildWrapper::into_inner)
    }
}

/// The way to run a program beside a command on this machine.
struct Beside {
    here: Arc<Here>,
    pid: Option<u32>,
    end: End,
    let_go: CancellationToken,
}

#[async_trait]
impl Side for Beside {
    async fn run(&self, launch: Launch) -> Result<Reader, Error> {
        let (_, reader) = self
            .here
            .start(launch, End::default(), CancellationToken::new())?;
        Ok(reader)
    }

    async fn signal(&self, hard: bool) {
        // Once it has ended, its number may be somebody else's.
        if let Some(pid) = self.pid.filter(|_| !self.end.is_over())
            && let Ok(pid) = i32::try_from(pid)
        {
            let _ = killpg(
                Pid::from_raw(pid),
                if hard { Signal::SIGKILL } else { Signal::SIGTERM },
            );
        }
    }

    fn let_go(&self) {
        self.let_go.cancel();
    }
}
