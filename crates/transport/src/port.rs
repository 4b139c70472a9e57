//! The port of the transport: from an endpoint to a session, from a session to running commands.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use muster_model::{Endpoint, HostKey};

use crate::error::{ConnectError, Error};
use crate::types::{Access, Exec, ExecEvent, KillReport};

/// Asks hosts for their keys, and logs in to none.
#[async_trait]
pub trait KeyScan: Send + Sync + 'static {
    /// Returns the names under which a host's key is looked up, the first that is known decides; none where it has no
    /// key (this machine without SSH). A new host is pinned under the first.
    fn key_names(&self, endpoint: &Endpoint, access: &Access) -> Result<Vec<String>, ConnectError>;

    /// Returns the keys that a host has, by as many key exchanges as there are families of keys; at least one.
    ///
    /// Each is proven: the host has signed with it. Nothing is sent after the key exchange. The keys are not judged;
    /// a jump host on the way is logged in to, and its key is. Bounded by `access.connect_timeout` a key exchange.
    async fn host_keys(&self, endpoint: &Endpoint, access: &Access) -> Result<Vec<HostKey>, ConnectError>;
}

/// A way to reach machines. Cheap to share: `Arc<dyn Transport>`.
#[async_trait]
pub trait Transport: KeyScan + Send + Sync + 'static {
    /// Opens a session on a host: connects and logs in, or takes a place on a warm connection.
    ///
    /// Nothing is started on the host. Bounded by `access.connect_timeout`, counted from this login's turn (at
    /// most `Settings::logins` at a time, fewer at first): waiting for other logins of ours is not the host's
    /// fault. So its time also stands still while a login that the host hung up on waits for another turn. A warm
    /// connection that turns out to be dead is replaced once more within the same bound. A future that is
    /// dropped half-way leaves no connection that nobody owns (it is closed, or goes to the pool).
    ///
    /// A host whose key differs from the pinned one is put into quarantine (`HostKeyChanged`), and one in quarantine is
    /// refused before anything is sent, a warm connection or not. See [`crate::HostKeys`].
    async fn connect(&self, endpoint: &Endpoint, access: &Access) -> Result<Box<dyn Session>, ConnectError>;

    /// Returns how many connections are open.
    fn connections(&self) -> usize;

    /// Closes all connections. Running commands lose theirs.
    async fn close(&self);
}

/// Room for one command on a host.
#[async_trait]
pub trait Session: Send {
    /// Starts a command. When it returns `Ok`, the command may be running. The session stands for one
    /// command: a second start is `Conflict`.
    ///
    /// `Denied`: the host refused to run it, and nothing was started. `OutcomeUnknown`: the connection
    /// broke on the way, and it may have started.
    async fn start(&mut self, exec: Exec) -> Result<Box<dyn Running>, Error>;
}

/// A command that may be running.
#[async_trait]
pub trait Running: Send {
    /// Returns what the command does next: output, in the order in which it came, then exactly one
    /// [`ExecEvent::Exited`] after its last output, or [`ExecEvent::Broken`] where the connection died
    /// first. After either, None. Output is read no faster than this is called: a slow caller slows the
    /// command, and memory is bounded (4 MiB a command). Cancel-safe.
    ///
    /// A command ends with its first process. What it left behind may hold its output open: then the end
    /// comes when nothing has been said for a second.
    ///
    /// Dropping it without a kill lets go of the command: its output goes nowhere, as behind a closed pipe.
    async fn next(&mut self) -> Option<ExecEvent>;

    /// Returns a handle that kills the command from elsewhere, also while `next` is being awaited.
    fn killer(&self) -> Arc<dyn Killer>;
}

/// Ends a command with everything that it started.
#[async_trait]
pub trait Killer: Send + Sync {
    /// Sends TERM to every process of the command (children and their children, those too that called
    /// setsid or ignore signals), after `grace` KILL to what is left, and returns when none is left.
    ///
    /// Idempotent; after [`ExecEvent::Exited`] was taken it gives an empty report, and what the command left behind
    /// stays. Before, it looks for the processes, also where the command has exited and nobody has read that yet: who
    /// asks for a kill may say that nothing is left. After [`ExecEvent::Broken`] it looks too, by a new connection. An
    /// error says that processes may be left, and why. Bounded by `grace` + 15 s.
    async fn kill(&self, grace: Duration) -> Result<KillReport, Error>;
}
