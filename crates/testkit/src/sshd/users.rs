//! Users who exist only for one server: with passwords, PAM rules and sudo rules, in a copy of `/etc` that is
//! laid over the real one in the server's own mount namespace. Nothing on the machine changes.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Builder, Sshd, config, permit};
use crate::error::{Error, Result};
use crate::require;

/// The first uid; far from those of people and of packages.
const FIRST_UID: u32 = 47_100;

/// Checks that this machine has what the settings need.
pub(super) fn check_machine(builder: &Builder) -> Result<()> {
    if !builder.needs_namespace() {
        return Ok(());
    }
    require::root("add users")?;
    if !Path::new("/usr/bin/unshare").exists() {
        return Err(Error::missing("unshare", "install the package util-linux"));
    }
    let unshared = Command::new("unshare")
        .args(["-m", "true"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !unshared.is_ok_and(|status| status.success()) {
        return Err(Error::not_allowed(
            "a private mount namespace (unshare -m)",
            "give the container CAP_SYS_ADMIN",
        ));
    }
    if !builder.sudoers.is_empty() && !Path::new("/usr/bin/sudo").exists() {
        return Err(Error::missing("sudo", "install the package sudo"));
    }
    Ok(())
}

/// Returns the command line that becomes the server.
pub(super) fn command_line(sshd: &Sshd) -> Result<Vec<String>> {
    let conf = sshd.dir().join("sshd_config").to_string_lossy().into_owned();
    let server = [config::SSHD, "-D", "-e", "-f", &conf];
    if !sshd.builder.needs_namespace() {
        return Ok(server.map(str::to_owned).to_vec());
    }
    prepare(sshd)?;
    let etc = sshd.dir().join("etc").to_string_lossy().into_owned();
    let passwords = sshd.dir().join("passwords").to_string_lossy().into_owned();
    let script = "set -e; mount --bind \"$1\" /etc; chpasswd -c SHA512 <\"$2\"; shift 2; exec \"$@\"";
    Ok(
        ["unshare", "-m", "/bin/sh", "-c", script, "sshd", &etc, &passwords]
            .into_iter()
            .chain(server)
            .map(str::to_owned)
            .collect(),
    )
}

/// Copies `/etc` into the server's folder and adds the users and the rules.
fn prepare(sshd: &Sshd) -> Result<()> {
    let dir = sshd.dir();
    let etc = dir.join("etc");
    if etc.exists() {
        return Ok(());
    }
    let copied = Command::new("cp")
        .args(["-a", "/etc"])
        .arg(&etc)
        .output()
        .map_err(Error::io(&etc))?;
    if !copied.status.success() {
        return Err(Error::failed(
            "copying /etc",
            String::from_utf8_lossy(&copied.stderr),
        ));
    }
    let homes = dir.join("home");
    let mut passwords = String::new();
    for (uid, (name, password)) in (FIRST_UID..).zip(&sshd.builder.users) {
        let home = homes.join(name);
        fs::create_dir(&home).map_err(Error::io(&home))?;
        permit(&home, 0o700)?;
        std::os::unix::fs::chown(&home, Some(uid), Some(uid)).map_err(Error::io(&home))?;
        let home = home.display();
        append(
            &etc.join("passwd"),
            &format!("{name}:x:{uid}:{uid}::{home}:/bin/sh\n"),
        )?;
        append(&etc.join("group"), &format!("{name}:x:{uid}:\n"))?;
        append(&etc.join("shadow"), &format!("{name}:*:20000:0:99999:7:::\n"))?;
        passwords.push_str(&format!("{name}:{password}\n"));
    }
    let path = dir.join("passwords");
    fs::write(&path, passwords).map_err(Error::io(&path))?;
    permit(&path, 0o600)?;
    rules(sshd, &etc)
}

fn rules(sshd: &Sshd, etc: &Path) -> Result<()> {
    if sshd.builder.keyboard_interactive {
        let path = etc.join("pam.d/sshd");
        let rules =
            "auth required pam_unix.so\naccount required pam_permit.so\nsession required pam_permit.so\n";
        fs::write(&path, rules).map_err(Error::io(&path))?;
    }
    if !sshd.builder.sudoers.is_empty() {
        let path = etc.join("sudoers.d/muster-test");
        let rules = format!(
            "Defaults lecture=never, timestamp_timeout=0\n{}\n",
            sshd.builder.sudoers.join("\n")
        );
        fs::write(&path, rules).map_err(Error::io(&path))?;
        permit(&path, 0o440)?;
    }
    Ok(())
}

fn append(path: &Path, line: &str) -> Result<()> {
    let mut text = fs::read_to_string(path).map_err(Error::io(path))?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(line);
    fs::write(path, text).map_err(Error::io(path))
}
