//! The tools that run side by side: where they are, their versions, and how to get what is missing.

#![expect(
    clippy::disallowed_methods,
    reason = "where the peers are is told by the environment, as for the tests"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

/// A tool of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Muster,
    Pssh,
    Clush,
    Xargs,
    Asyncssh,
    ParallelSsh,
    Ansible,
}

pub(crate) const ALL: [Kind; 7] = [
    Kind::Muster,
    Kind::Pssh,
    Kind::Clush,
    Kind::Xargs,
    Kind::Asyncssh,
    Kind::ParallelSsh,
    Kind::Ansible,
];

impl Kind {
    /// The word of `--only`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Muster => "muster",
            Self::Pssh => "pssh",
            Self::Clush => "clush",
            Self::Xargs => "xargs",
            Self::Asyncssh => "asyncssh",
            Self::ParallelSsh => "parallel-ssh",
            Self::Ansible => "ansible",
        }
    }

    /// The name in tables.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Muster => "Muster",
            Self::Pssh => "pssh -p 200",
            Self::Clush => "clush -f 200",
            Self::Xargs => "xargs -P 200 ssh",
            Self::Asyncssh => "asyncssh, 200 at a time",
            Self::ParallelSsh => "parallel-ssh, pool of 200",
            Self::Ansible => "Ansible raw, 50 forks",
        }
    }

    /// Whether it runs the program ssh, so that its key exchange is set by `ssh_config`.
    pub(crate) fn runs_ssh(self) -> bool {
        matches!(self, Self::Pssh | Self::Clush | Self::Xargs | Self::Ansible)
    }

    /// Whether it is a library, which a small program beside this file drives.
    pub(crate) fn script(self) -> Option<&'static str> {
        match self {
            Self::Asyncssh => Some("asyncssh_fleet.py"),
            Self::ParallelSsh => Some("parallel_ssh_fleet.py"),
            _ => None,
        }
    }

    fn how_to_install(self) -> String {
        match self {
            Self::Muster => String::new(),
            Self::Pssh => "apt-get install pssh".to_owned(),
            Self::Clush => "apt-get install clustershell".to_owned(),
            Self::Xargs => "apt-get install findutils openssh-client".to_owned(),
            Self::Asyncssh => pip("asyncssh"),
            Self::ParallelSsh => pip("parallel-ssh"),
            Self::Ansible => pip("ansible-core"),
        }
    }
}

fn pip(package: &str) -> String {
    let folder = "${MUSTER_PEERS:-$HOME/.cache/muster-peers}";
    format!("python3 -m venv \"{folder}\" && \"{folder}/bin/pip\" install {package}")
}

/// A tool that is there.
#[derive(Clone, Debug)]
pub(crate) struct Tool {
    pub(crate) kind: Kind,
    /// The program; the interpreter for libraries.
    pub(crate) program: PathBuf,
    pub(crate) version: String,
}

/// Finds a tool.
///
/// # Errors
///
/// How to install it.
pub(crate) fn find(kind: Kind, muster: &str) -> Result<Tool, String> {
    let found = match kind {
        Kind::Muster => with_version(Path::new(muster), &["--version"]),
        Kind::Pssh => ["parallel-ssh", "pssh"]
            .iter()
            .find_map(|name| with_version(&on_path(name)?, &["--version"])),
        Kind::Clush => on_path("clush").and_then(|program| with_version(&program, &["--version"])),
        Kind::Xargs => on_path("ssh")
            .and_then(|ssh| with_version(&ssh, &["-V"]))
            .and_then(|(_, version)| Some((on_path("xargs")?, version))),
        Kind::Asyncssh => interpreter_with("asyncssh", "asyncssh"),
        Kind::ParallelSsh => interpreter_with("pssh.clients", "parallel-ssh"),
        Kind::Ansible => peers()
            .into_iter()
            .map(|folder| folder.join("ansible"))
            .chain(on_path("ansible"))
            .find_map(|program| with_version(&program, &["--version"])),
    };
    let (program, version) = found.ok_or_else(|| kind.how_to_install())?;
    Ok(Tool {
        kind,
        program,
        version,
    })
}

/// The folders of programs that were installed for this comparison.
fn peers() -> Vec<PathBuf> {
    let given = std::env::var_os("MUSTER_PEERS").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache/muster-peers"));
    let Some(folder) = given.or_else(home) else {
        return Vec::new();
    };
    vec![folder.join("bin"), folder.join("ssh/bin")]
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

fn with_version(program: &Path, args: &[&str]) -> Option<(PathBuf, String)> {
    let output = Command::new(program).args(args).output().ok()?;
    let mut text = output.stdout;
    text.extend(output.stderr);
    let text = String::from_utf8_lossy(&text).into_owned();
    let first = text.lines().next()?.trim().to_owned();
    output.status.success().then(|| (program.to_owned(), first))
}

/// A Python that has a module.
fn interpreter_with(module: &str, package: &str) -> Option<(PathBuf, String)> {
    let ask =
        format!("import {module}, importlib.metadata as m, sys; print('{package}', m.version('{package}'))");
    peers()
        .into_iter()
        .map(|folder| folder.join("python"))
        .chain(on_path("python3"))
        .find_map(|python| with_version(&python, &["-c", &ask]))
}
