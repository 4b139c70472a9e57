//! SSH keys and certificates by `ssh-keygen`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Error, Result};

/// What to do where `ssh-keygen` is missing.
const INSTALL: &str = "install the package openssh-client";

/// A kind of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// `ssh-ed25519`
    Ed25519,
    /// `ecdsa-sha2-nistp256`
    Ecdsa256,
    /// `ecdsa-sha2-nistp384`
    Ecdsa384,
    /// `ecdsa-sha2-nistp521`
    Ecdsa521,
    /// `ssh-rsa` with 2048 bits
    Rsa2048,
    /// `ssh-rsa` with 3072 bits
    Rsa3072,
}

impl KeyKind {
    /// All kinds.
    pub const ALL: [Self; 6] = [
        Self::Ed25519,
        Self::Ecdsa256,
        Self::Ecdsa384,
        Self::Ecdsa521,
        Self::Rsa2048,
        Self::Rsa3072,
    ];

    /// Returns its name in file names.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::Ecdsa256 => "ecdsa256",
            Self::Ecdsa384 => "ecdsa384",
            Self::Ecdsa521 => "ecdsa521",
            Self::Rsa2048 => "rsa2048",
            Self::Rsa3072 => "rsa3072",
        }
    }

    fn arguments(self) -> [&'static str; 4] {
        match self {
            Self::Ed25519 => ["-t", "ed25519", "-b", "256"],
            Self::Ecdsa256 => ["-t", "ecdsa", "-b", "256"],
            Self::Ecdsa384 => ["-t", "ecdsa", "-b", "384"],
            Self::Ecdsa521 => ["-t", "ecdsa", "-b", "521"],
            Self::Rsa2048 => ["-t", "rsa", "-b", "2048"],
            Self::Rsa3072 => ["-t", "rsa", "-b", "3072"],
        }
    }
}

/// Generates a key pair in `dir` and returns the private key's path; the public key stands beside it with
/// `.pub`. The name is new: `id_ed25519`, then `id_ed25519-2`, ...
///
/// # Errors
///
/// [`Error::Missing`] without `ssh-keygen`.
pub fn generate(dir: &Path, kind: KeyKind, passphrase: Option<&str>) -> Result<PathBuf> {
    let base = format!("id_{}", kind.name());
    let path = (1..)
        .map(|n| {
            dir.join(if n == 1 {
                base.clone()
            } else {
                format!("{base}-{n}")
            })
        })
        .find(|path| !path.exists())
        .unwrap_or_else(|| dir.join(base.clone()));
    generate_at(&path, kind, passphrase)?;
    Ok(path)
}

/// Generates a key pair at this very path.
pub(crate) fn generate_at(path: &Path, kind: KeyKind, passphrase: Option<&str>) -> Result<()> {
    keygen(|command| {
        command
            .args(["-q", "-C", "muster-test", "-N", passphrase.unwrap_or_default()])
            .args(kind.arguments())
            .arg("-f")
            .arg(path);
    })?;
    Ok(())
}

/// Returns the path of the public key that belongs to a private key (or the path itself where it is one).
#[must_use]
pub fn public(key: &Path) -> PathBuf {
    if key.extension().is_some_and(|extension| extension == "pub") {
        return key.to_owned();
    }
    let mut name = key.as_os_str().to_owned();
    name.push(".pub");
    PathBuf::from(name)
}

/// Returns the fingerprint of a key as OpenSSH prints it (`SHA256:...`).
///
/// # Errors
///
/// Where the key cannot be read.
pub fn fingerprint(key: &Path) -> Result<String> {
    let line = keygen(|command| {
        command.args(["-l", "-E", "sha256", "-f"]).arg(public(key));
    })?;
    line.split_whitespace()
        .nth(1)
        .map(str::to_owned)
        .ok_or_else(|| Error::failed("ssh-keygen -l", line.clone()))
}

/// Who a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// For users: names them.
    Users,
    /// For hosts: names them.
    Hosts,
}

/// Signs the public key of `key` with the certificate authority's private key `ca`, and returns the path of the
/// certificate (`<key>-cert.pub`).
///
/// `validity` is in ssh-keygen's words, for example `+1h` or `-2d:-1d` (in the past); None: for ever.
///
/// # Errors
///
/// [`Error::Missing`] without `ssh-keygen`.
pub fn sign(
    ca: &Path,
    key: &Path,
    kind: For,
    principals: &[&str],
    validity: Option<&str>,
) -> Result<PathBuf> {
    keygen(|command| {
        command.args(["-q", "-I", "muster-test", "-s"]).arg(ca);
        if kind == For::Hosts {
            command.arg("-h");
        }
        if !principals.is_empty() {
            command.args(["-n", &principals.join(",")]);
        }
        if let Some(validity) = validity {
            command.args(["-V", validity]);
        }
        command.arg(public(key));
    })?;
    let public = public(key);
    let stem = public.with_extension("");
    let mut name = stem.into_os_string();
    name.push("-cert.pub");
    Ok(PathBuf::from(name))
}

/// Hashes the names in a `known_hosts` file, as `ssh-keygen -H` does.
///
/// # Errors
///
/// Where the file cannot be read or written. Names with wildcards stay as they are.
pub fn hash_known_hosts(path: &Path) -> Result<()> {
    keygen(|command| {
        command.arg("-H").arg("-f").arg(path);
    })?;
    let mut old = path.as_os_str().to_owned();
    old.push(".old");
    std::fs::remove_file(&old).map_err(Error::io(Path::new(&old)))
}

fn keygen(arguments: impl FnOnce(&mut Command)) -> Result<String> {
    let mut command = Command::new("ssh-keygen");
    command.stdin(Stdio::null());
    arguments(&mut command);
    let output = command.output().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::missing("ssh-keygen", INSTALL),
        _ => Error::io(Path::new("ssh-keygen"))(error),
    })?;
    if !output.status.success() {
        return Err(Error::failed(
            "ssh-keygen",
            String::from_utf8_lossy(&output.stderr),
        ));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
