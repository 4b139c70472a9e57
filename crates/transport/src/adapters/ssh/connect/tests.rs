//! Logins against a real sshd: what works, and each way in which a login can fail.

mod failures;
mod host_keys;
mod jumps;
mod keys;
mod passwords;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use muster_model::{Endpoint, Reach, Secret, Unreachable};
use muster_testkit::{Sshd, wait};
use tempfile::TempDir;

use super::{Login, login, resolve};
use crate::error::ConnectError;
use crate::host_keys::InMemory;
use crate::open::Settings;
use crate::types::Access;

/// A home of a user, next to an sshd.
pub(super) struct Site {
    pub(super) sshd: Sshd,
    home: TempDir,
    /// What the inventory knows.
    pub(super) pins: Arc<InMemory>,
}

impl Site {
    pub(super) fn new(sshd: Sshd) -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(home.path().join(".ssh")).expect("a folder");
        let site = Self {
            sshd,
            home,
            pins: Arc::default(),
        };
        site.config("");
        site.known_hosts(&std::fs::read_to_string(site.sshd.known_hosts()).expect("known hosts"));
        site
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(super) fn dir(&self) -> &Path {
        self.home.path()
    }

    /// Writes the user's `ssh_config`.
    pub(super) fn config(&self, text: &str) {
        std::fs::write(self.path(".ssh/config"), text).expect("written");
    }

    /// Writes the user's `known_hosts`.
    pub(super) fn known_hosts(&self, text: &str) {
        std::fs::write(self.path(".ssh/known_hosts"), text).expect("written");
    }

    pub(super) fn known(&self) -> String {
        std::fs::read_to_string(self.path(".ssh/known_hosts")).unwrap_or_default()
    }

    /// Waits until sshd has written `words` to its log: it does so a little after we are in.
    pub(super) async fn logged(&self, words: &str) {
        let written = || self.sshd.log().contains(words);
        let waited = wait::until(Duration::from_secs(10), words, written).await;
        assert!(waited.is_ok(), "'{words}' is not in:\n{}", self.sshd.log());
    }

    pub(super) fn settings(&self) -> Settings {
        Settings {
            home: self.home.path().to_owned(),
            user: self.sshd.user(),
            idle: Duration::from_secs(60),
            keepalive: Duration::from_secs(15),
            answer: Duration::from_secs(30),
            host_keys: Arc::clone(&self.pins) as Arc<dyn crate::HostKeys>,
            logins: 8,
        }
    }

    /// The access of a task without anything but the user's own files.
    pub(super) fn plain(&self) -> Access {
        Access {
            connect_timeout: Duration::from_secs(30),
            ssh_config: Some(self.path(".ssh/config")),
            ..Access::default()
        }
    }

    /// The access with the key that is let in.
    pub(super) fn access(&self) -> Access {
        Access {
            identities: vec![self.sshd.key().to_owned()],
            ..self.plain()
        }
    }

    pub(super) fn endpoint(&self, host: &str) -> Endpoint {
        Endpoint {
            reach: Reach::Ssh,
            host: host.into(),
            address: None,
            user: None,
            port: Some(self.sshd.port()),
            credential: None,
        }
    }

    pub(super) async fn reach(&self, endpoint: &Endpoint, access: &Access) -> Result<Login, ConnectError> {
        let settings = self.settings();
        let resolved = resolve(&settings, endpoint, access)?;
        let until = tokio::time::Instant::now() + access.connect_timeout;
        login(&settings, &resolved, access, until, &Arc::default()).await
    }

    pub(super) async fn login(&self, host: &str, access: &Access) -> Result<Login, ConnectError> {
        self.reach(&self.endpoint(host), access).await
    }

    /// Logs in to host 1 and expects it to go well.
    pub(super) async fn works(&self, access: &Access) -> Login {
        match self.login(&self.sshd.host(1), access).await {
            Ok(login) => login,
            Err(error) => panic!("{error:?}\n{}", self.sshd.log()),
        }
    }

    /// Logs in to host 1 and expects it to fail: for this reason, with these words.
    pub(super) async fn fails(&self, access: &Access, reason: Unreachable, words: &[&str]) -> String {
        failed(self.login(&self.sshd.host(1), access).await, reason, words)
    }
}

pub(super) fn failed(result: Result<Login, ConnectError>, reason: Unreachable, words: &[&str]) -> String {
    let error = result.map(|login| login.label).expect_err("it went well");
    assert_eq!(error.reason, reason, "{}", error.message);
    for words in words {
        assert!(
            error.message.contains(words),
            "'{words}' is not in: {}",
            error.message
        );
    }
    error.message
}

pub(super) fn secret(text: &str) -> Option<Secret> {
    Some(Secret::new(text.to_owned()))
}

/// Waits until these servers have written down so many logins.
pub(super) async fn logins<const N: usize>(servers: [&Sshd; N], wanted: [usize; N]) {
    let counted = || servers.map(Sshd::logins);
    let waited = wait::until(Duration::from_secs(10), "the logins", || counted() == wanted).await;
    assert!(waited.is_ok(), "{:?}", counted());
}
