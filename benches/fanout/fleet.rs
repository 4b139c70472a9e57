//! The hosts: one sshd on many loopback addresses, and the files that tell the tools of them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use muster_bench::Side;
use muster_testkit::home::Home;
use muster_testkit::sshd::Sshd;

/// The key exchange of tools that run ssh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exchange {
    /// curve25519-sha256, which the libraries and Muster use.
    Curve,
    /// What OpenSSH itself prefers.
    Stock,
}

/// A fleet.
pub(crate) struct Fleet {
    pub(crate) sshd: Sshd,
    /// What the hosts use.
    pub(crate) far: Arc<Side>,
    folder: tempfile::TempDir,
}

impl Fleet {
    /// Starts the hosts; `max_startups` is None for sshd's own default.
    pub(crate) fn start(
        runtime: &tokio::runtime::Runtime,
        name: &str,
        max_startups: Option<&str>,
    ) -> Result<Self, String> {
        // OpenSSH's own default, where none is given.
        let builder = Sshd::builder()
            .listen_all_loopback()
            .max_startups(max_startups.unwrap_or("10:30:100"));
        let sshd = runtime
            .block_on(builder.start())
            .map_err(|error| error.to_string())?;
        let far = Side::new(&format!("far-{name}"));
        far.adopt(sshd.pid().ok_or("sshd has no process")?);
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let fleet = Self {
            sshd,
            far: Arc::new(far),
            folder,
        };
        fleet.write_configs().map_err(|error| error.to_string())?;
        Ok(fleet)
    }

    fn write_configs(&self) -> io::Result<()> {
        let plain = fs::read_to_string(self.sshd.ssh_config())?;
        let plain = format!("{plain}\n    BatchMode yes\n    LogLevel ERROR\n");
        let curve = format!("{plain}    KexAlgorithms curve25519-sha256\n");
        fs::write(self.path("stock"), &plain)?;
        fs::write(self.path("curve"), &curve)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The `ssh_config` for new connections.
    pub(crate) fn config(&self, exchange: Exchange) -> PathBuf {
        self.path(match exchange {
            Exchange::Curve => "curve",
            Exchange::Stock => "stock",
        })
    }

    /// An `ssh_config` whose connections are kept in a folder of `home`, shared by all that use it.
    pub(crate) fn config_with_masters(&self, home: &Home) -> io::Result<PathBuf> {
        let curve = fs::read_to_string(self.config(Exchange::Curve))?;
        let masters = format!(
            "{curve}    ControlMaster auto\n    ControlPersist 600\n    ControlPath {}/cm-%h\n",
            home.runtime_dir().display()
        );
        home.write("ssh_config_masters", masters)
            .map_err(io::Error::other)
    }

    /// A file with the addresses of the first `count` hosts, one a line.
    pub(crate) fn hosts_file(&self, count: usize) -> io::Result<PathBuf> {
        let path = self.path(&format!("hosts-{count}"));
        let text: String = (0..count).map(|host| address(host) + "\n").collect();
        fs::write(&path, text)?;
        Ok(path)
    }

    /// The settings of Ansible.
    pub(crate) fn ansible_config(&self, home: &Home, ssh_config: &Path) -> io::Result<PathBuf> {
        let text = format!(
            "[defaults]\nforks = 50\nhost_key_checking = False\ninterpreter_python = /usr/bin/python3\n\
             [connection]\npipelining = True\n\
             [ssh_connection]\npipelining = True\nssh_args = -F {}\n",
            ssh_config.display()
        );
        home.write("ansible.cfg", text).map_err(io::Error::other)
    }
}

/// The address of a host, from 0.
pub(crate) fn address(host: usize) -> String {
    format!("127.0.{}.{}", 1 + host / 250, 1 + host % 250)
}

/// The first `count` hosts as a pattern of Muster's.
pub(crate) fn pattern(count: usize) -> String {
    let mut parts = Vec::new();
    let mut left = count;
    while left > 0 {
        let some = left.min(250);
        parts.push(format!("127.0.{}.[1-{some}]", parts.len() + 1));
        left -= some;
    }
    parts.join(",")
}
