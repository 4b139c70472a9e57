//! The plain types of the transport's port.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use muster_model::{Secret, Stream};

use crate::stored::Stored;

/// How to log in: settings of the task and of the user. Secrets live only here, in memory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Access {
    /// How long connecting and logging in may take, all together.
    pub connect_timeout: Duration,
    /// The user to log in as where the endpoint names none; None: as `ssh_config` says, else the local one.
    pub user: Option<String>,
    /// For password and keyboard-interactive.
    pub password: Option<Secret>,
    /// For encrypted private keys.
    pub passphrase: Option<Secret>,
    /// A stored credential: for what is not given here, and its key behind those of `identities`. Jump hosts are shown
    /// its key, and are never told its password.
    pub stored: Option<Stored>,
    /// Private keys to offer first.
    pub identities: Vec<PathBuf>,
    /// The `ssh_config` to use; None: the user's `~/.ssh/config`, then `/etc/ssh/ssh_config`.
    pub ssh_config: Option<PathBuf>,
    /// The SSH agent's socket; None: no agent.
    pub agent_socket: Option<PathBuf>,
    /// Take the key of an unknown host and pin it.
    pub accept_new: bool,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            connect_timeout: muster_model::limits::CONNECT_TIMEOUT,
            user: None,
            password: None,
            passphrase: None,
            stored: None,
            identities: Vec::new(),
            ssh_config: None,
            agent_socket: None,
            accept_new: false,
        }
    }
}

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exec {
    /// The command line or the script.
    pub what: What,
    /// Marks every process of the command in its environment (`MUSTER_RUN`), so that all of them can be
    /// found and killed: unique for each attempt of a run; letters, digits, `.` and `-`.
    pub mark: String,
    /// Environment variables; names are letters, digits and `_`, not starting with a digit.
    pub env: Vec<(String, String)>,
    /// The folder to run it in; a missing one fails the command with exit code 1 and a message on stderr.
    pub cwd: Option<String>,
    /// Through sudo.
    pub sudo: Option<Sudo>,
    /// Standard input; None: empty, at its end at once.
    pub stdin: Option<Bytes>,
}

/// A command line or a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A command line for the login shell of the user on the host (with sudo: for `/bin/sh`).
    Command(String),
    /// A script, run with the interpreter of its `#!` line, else `/bin/sh`. It is put into a private
    /// temporary file on the host, which is gone when the script has ended or was killed.
    Script {
        /// Its name.
        name: String,
        /// Its text.
        body: Bytes,
        /// Its arguments.
        args: Vec<String>,
    },
}

/// How to become another user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sudo {
    /// The user to become.
    pub user: String,
    /// The password that sudo asks for; None: sudo must not ask (`sudo -n`).
    pub password: Option<Secret>,
}

/// What a running command does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecEvent {
    /// It wrote output.
    Output {
        /// On which stream.
        stream: Stream,
        /// The bytes, never empty.
        bytes: Bytes,
    },
    /// It ended.
    Exited(Exit),
    /// The connection broke, or the host closed the channel without saying how the command ended: nobody
    /// knows.
    Broken {
        /// What happened, for people.
        why: String,
    },
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With an exit code.
    Code(i32),
    /// By a signal, its name without `SIG`.
    Signal(String),
}

/// What a kill did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KillReport {
    /// How many processes were sent TERM.
    pub terminated: u32,
    /// How many had to be sent KILL.
    pub killed: u32,
}
