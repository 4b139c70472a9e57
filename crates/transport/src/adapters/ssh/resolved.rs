//! What decides a connection, worked out by [`super::resolve`].

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use muster_model::Secret;

use super::algorithms::Lists;
use super::config::AddressFamily;
use super::known_hosts::Names;
use crate::stored::Stored;

/// Everything that decides a connection: two endpoints with the same one may share it. It holds secrets, so
/// it has no `Debug`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Resolved {
    /// The host's name, as it was asked for.
    pub(crate) alias: String,
    /// The name or address to connect to.
    pub(crate) host: String,
    /// The port.
    pub(crate) port: u16,
    /// The user to log in as.
    pub(crate) user: String,
    /// Which addresses may be used.
    pub(crate) family: AddressFamily,
    /// Which host key is trusted.
    pub(crate) trust: Trust,
    /// Keys and certificates.
    pub(crate) identities: Identities,
    /// The ways to log in, in order.
    pub(crate) methods: Vec<Method>,
    /// For password and keyboard-interactive.
    pub(crate) password: Option<Secret>,
    /// A stored credential, for what is not given otherwise.
    pub(crate) stored: Option<Stored>,
    /// Whether it is on the way to others: then it is told no stored password.
    pub(crate) is_jump: bool,
    /// Which algorithms to offer.
    pub(crate) algorithms: Lists,
    /// How long connecting to the host itself may take, from `ssh_config`.
    pub(crate) connect_timeout: Option<Duration>,
    /// A keepalive is sent after this much silence.
    pub(crate) alive_interval: Duration,
    /// The connection is given up after so many keepalives without an answer.
    pub(crate) alive_count: u32,
    /// The jump host to go through, with its own way.
    pub(crate) jump: Option<Arc<Resolved>>,
}

/// Which host key is trusted.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Trust {
    /// The names under which the host may be known.
    pub(crate) names: Names,
    /// The user's `known_hosts` files.
    pub(crate) user_files: Vec<PathBuf>,
    /// The system's.
    pub(crate) global_files: Vec<PathBuf>,
    /// Keys that must not be taken.
    pub(crate) revoked: Option<PathBuf>,
    /// Whether a new host's key is pinned.
    pub(crate) accept_new: bool,
}

/// Keys and certificates.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Identities {
    /// Keys that the task names.
    pub(crate) explicit: Vec<PathBuf>,
    /// Keys that `ssh_config` names, or the usual ones.
    pub(crate) files: Vec<PathBuf>,
    /// Whether `files` are the usual ones, which need not exist.
    pub(crate) usual: bool,
    /// Certificates that `ssh_config` names.
    pub(crate) certificates: Vec<PathBuf>,
    /// Whether the agent's keys are used only where a file names them.
    pub(crate) only: bool,
    /// The agent's socket.
    pub(crate) agent: Option<PathBuf>,
    /// For encrypted keys.
    pub(crate) passphrase: Option<Secret>,
}

/// A way to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Method {
    /// With a key or a certificate.
    PublicKey,
    /// By answering what the host asks.
    KeyboardInteractive,
    /// With a password.
    Password,
}

impl Resolved {
    /// Returns `user@host:port`, with the name as it was asked for.
    pub(crate) fn label(&self) -> String {
        let Self {
            user, alias, port, ..
        } = self;
        if alias.contains(':') {
            format!("{user}@[{alias}]:{port}")
        } else {
            format!("{user}@{alias}:{port}")
        }
    }
}
