//! The settings of a test's sshd.

use std::path::{Path, PathBuf};

use super::Sshd;
use crate::error::Result;
use crate::keys::KeyKind;

/// The settings of a test's sshd, before its start.
#[derive(Clone, Debug)]
pub struct Builder {
    pub(super) all_loopback: bool,
    pub(super) names: u32,
    pub(super) max_sessions: u32,
    pub(super) max_startups: String,
    pub(super) lines: Vec<String>,
    pub(super) env: Vec<(String, String)>,
    pub(super) host_key_types: Vec<KeyKind>,
    pub(super) fresh_host_keys: bool,
    pub(super) host_ca: Option<(PathBuf, Vec<String>)>,
    pub(super) user_ca: Option<PathBuf>,
    pub(super) users: Vec<(String, String)>,
    pub(super) keyboard_interactive: bool,
    pub(super) sudoers: Vec<String>,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            all_loopback: false,
            names: 20,
            max_sessions: 10,
            max_startups: "1000".to_owned(),
            lines: Vec::new(),
            env: Vec::new(),
            host_key_types: vec![KeyKind::Ed25519, KeyKind::Ecdsa256, KeyKind::Rsa3072],
            fresh_host_keys: false,
            host_ca: None,
            user_ca: None,
            users: Vec::new(),
            keyboard_interactive: false,
            sudoers: Vec::new(),
        }
    }

    /// Listens on all of 127.0.0.0/8, for as many hosts as wanted. The socket is bound to 0.0.0.0, and logins
    /// from other addresses than loopback ones are refused.
    #[must_use]
    pub fn listen_all_loopback(mut self) -> Self {
        self.all_loopback = true;
        self
    }

    /// How many names `web1`, `web2`, ... the `ssh_config` has (20).
    #[must_use]
    pub fn names(mut self, count: u32) -> Self {
        self.names = count;
        self
    }

    /// `MaxSessions`: channels on a connection (10, as sshd's own default).
    #[must_use]
    pub fn max_sessions(mut self, count: u32) -> Self {
        self.max_sessions = count;
        self
    }

    /// `MaxStartups`: connections that have not logged in yet (1000).
    #[must_use]
    pub fn max_startups(mut self, value: &str) -> Self {
        value.clone_into(&mut self.max_startups);
        self
    }

    /// A line for `sshd_config`. It comes before the others, and sshd takes the first value of an option, so it
    /// wins; a `Match` block is put at the end. Not for `SetEnv`: see [`Builder::env`].
    #[must_use]
    pub fn config_line(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }

    /// A variable in the environment of every session.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The host keys that it has (ed25519, ECDSA with 256 bits, RSA with 3072).
    #[must_use]
    pub fn host_key_types(mut self, kinds: &[KeyKind]) -> Self {
        self.host_key_types = kinds.to_vec();
        self
    }

    /// Generates host keys for this server alone. Without it, servers of one user's tests share them, because an
    /// RSA key takes long to find.
    #[must_use]
    pub fn fresh_host_keys(mut self) -> Self {
        self.fresh_host_keys = true;
        self
    }

    /// Has its ed25519 host key (which it must have) signed by this certificate authority for these names.
    #[must_use]
    pub fn host_certificate(mut self, ca: &Path, principals: &[&str]) -> Self {
        self.host_ca = Some((
            ca.to_owned(),
            principals.iter().map(|&name| name.to_owned()).collect(),
        ));
        self
    }

    /// Lets in users with a certificate of this authority (private or public key) that names them.
    #[must_use]
    pub fn user_ca(mut self, ca: &Path) -> Self {
        self.user_ca = Some(ca.to_owned());
        self
    }

    /// Adds a user who exists only for this server, with a password and a home of its own (`dir/home/NAME`).
    /// Password logins are let in. Needs root and a private mount namespace; else the start is
    /// [`crate::Error::NotAllowed`].
    #[must_use]
    pub fn password_user(mut self, name: &str, password: &str) -> Self {
        self.users.push((name.to_owned(), password.to_owned()));
        self
    }

    /// Asks for passwords by keyboard-interactive (through PAM) and not by the password method.
    #[must_use]
    pub fn keyboard_interactive(mut self) -> Self {
        self.keyboard_interactive = true;
        self
    }

    /// Adds a line to the sudo rules that hold for this server's sessions alone, for example
    /// `muster-test ALL=(ALL:ALL) ALL`. Needs sudo, root and a private mount namespace.
    #[must_use]
    pub fn sudoers(mut self, line: &str) -> Self {
        self.sudoers.push(line.to_owned());
        self
    }

    /// Starts it and waits until it answers.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Missing`] where sshd, or what the settings need, is not on this machine.
    pub async fn start(self) -> Result<Sshd> {
        Sshd::launch(self).await
    }

    /// Whether the server needs users, passwords or rules of its own.
    pub(super) fn needs_namespace(&self) -> bool {
        !self.users.is_empty() || !self.sudoers.is_empty() || self.keyboard_interactive
    }
}
