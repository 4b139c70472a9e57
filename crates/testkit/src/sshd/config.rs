//! What is written for a server: `sshd_config`, `known_hosts` and `ssh_config`.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use super::{Builder, INSTALL, Sshd, current_user, host_address, host_keys, permit, users};
use crate::error::{Error, Result};
use crate::keys;

/// The server's program: sshd wants its absolute path.
pub(super) const SSHD: &str = "/usr/sbin/sshd";
/// The variable that marks what runs in the sessions of one server.
pub(super) const MARK: &str = "TESTKIT_SSHD";
/// sshd listens on 16 addresses at most; 127.0.0.1 is the first.
const FEW: u32 = 14;

/// Checks that this machine has what the settings need.
pub(super) fn check_machine(builder: &Builder) -> Result<()> {
    if !Path::new(SSHD).exists() {
        return Err(Error::missing("sshd", INSTALL));
    }
    if nix::unistd::geteuid().is_root() {
        // sshd run by root gives up its rights in this folder, which else the init script makes.
        let path = Path::new("/run/sshd");
        fs::create_dir_all(path).map_err(Error::io(path))?;
    }
    users::check_machine(builder)
}

/// Returns on how many addresses the server listens.
pub(super) fn addresses(builder: &Builder) -> usize {
    listen_addresses(builder).len()
}

/// Returns whether the log says that somebody else has the port.
pub(super) fn address_was_taken(log: &str) -> bool {
    log.contains("Address already in use")
}

/// Writes all files.
pub(super) fn write(sshd: &Sshd) -> Result<()> {
    let dir = sshd.dir();
    put(&dir.join("sshd_config"), &server(sshd), 0o600)?;
    let mut known = String::new();
    for kind in &sshd.builder.host_key_types {
        let public = keys::public(&host_keys::path(dir, *kind));
        let line = fs::read_to_string(&public).map_err(Error::io(&public))?;
        let key: Vec<&str> = line.split_whitespace().take(2).collect();
        let _ = writeln!(known, "[127.*]:{} {}", sshd.port, key.join(" "));
    }
    put(&dir.join("known_hosts"), &known, 0o644)?;
    put(&dir.join("ssh_config"), &client(sshd), 0o600)
}

fn put(path: &Path, text: &str, mode: u32) -> Result<()> {
    fs::write(path, text).map_err(Error::io(path))?;
    permit(path, mode)
}

fn listen_addresses(builder: &Builder) -> Vec<String> {
    if builder.all_loopback {
        return vec!["0.0.0.0".to_owned()];
    }
    std::iter::once("127.0.0.1".to_owned())
        .chain((1..=FEW).map(host_address))
        .collect()
}

fn server(sshd: &Sshd) -> String {
    let (builder, dir) = (&sshd.builder, sshd.dir().display());
    let (matches, first): (Vec<&String>, Vec<&String>) = builder
        .lines
        .iter()
        .partition(|line| line.trim_start().starts_with("Match "));
    let mut text = String::new();
    let mut line = |line: &str| {
        text.push_str(line);
        text.push('\n');
    };
    first.iter().for_each(|given| line(given));
    line(&format!("Port {}", sshd.port));
    for address in listen_addresses(builder) {
        line(&format!("ListenAddress {address}"));
    }
    line("AllowUsers *@127.0.0.0/8");
    for kind in &builder.host_key_types {
        line(&format!(
            "HostKey {}",
            host_keys::path(sshd.dir(), *kind).display()
        ));
    }
    if builder.host_ca.is_some() {
        line(&format!("HostCertificate {dir}/host_ed25519-cert.pub"));
    }
    if let Some(ca) = &builder.user_ca {
        line(&format!("TrustedUserCAKeys {}", keys::public(ca).display()));
    }
    line(&format!("PidFile {dir}/sshd.pid"));
    line(&format!("AuthorizedKeysFile {dir}/authorized_keys"));
    line(&format!("MaxSessions {}", builder.max_sessions));
    line(&format!("MaxStartups {}", builder.max_startups));
    let yes = |on: bool| if on { "yes" } else { "no" };
    line(&format!("UsePAM {}", yes(builder.keyboard_interactive)));
    line(&format!(
        "KbdInteractiveAuthentication {}",
        yes(builder.keyboard_interactive)
    ));
    let passwords = !builder.users.is_empty() && !builder.keyboard_interactive;
    line(&format!("PasswordAuthentication {}", yes(passwords)));
    for fixed in [
        "StrictModes no",
        "PermitRootLogin yes",
        "LogLevel VERBOSE",
        "UseDNS no",
        "PrintMotd no",
        "PrintLastLog no",
        "PermitUserRC no",
        "Subsystem sftp internal-sftp",
    ] {
        line(fixed);
    }
    let env: String = builder
        .env
        .iter()
        .map(|(name, value)| format!(" \"{name}={value}\""))
        .collect();
    line(&format!("SetEnv {MARK}={}{env}", sshd.mark));
    // The shell of the one who runs the tests must not read that person's own files.
    let home = sshd.home();
    line(&format!("Match User {}", current_user()));
    line(&format!(
        "    SetEnv {MARK}={} \"HOME={}\"{env}",
        sshd.mark,
        home.display()
    ));
    matches.iter().for_each(|given| line(given));
    text
}

fn client(sshd: &Sshd) -> String {
    let mut text = String::new();
    for i in 1..=sshd.builder.names {
        let _ = writeln!(text, "Host web{i}\n    HostName {}", host_address(i));
    }
    let _ = write!(
        text,
        "Host 127.* web*\n    User {user}\n    Port {port}\n    IdentityFile {key}\n    IdentitiesOnly yes\n    \
         UserKnownHostsFile {known}\n    StrictHostKeyChecking yes\n",
        user = current_user(),
        port = sshd.port,
        key = sshd.key().display(),
        known = sshd.known_hosts().display(),
    );
    text
}
