//! The token of servers that are not on a socket, which every user of the machine, or of others, can reach: who can read
//! the file may come in.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use muster_model::problem::Code;
use muster_model::{Problem, Secret};
use nix::fcntl::OFlag;
use nix::unistd::geteuid;

use super::paths::{cannot, look};

/// The length of a token: 256 random bits, in hexadecimal digits.
const DIGITS: usize = 64;

/// Returns the token that is kept; None where there is none.
///
/// # Errors
///
/// `not-yours` where others can read or write it.
pub(super) fn kept(path: &Path) -> Result<Option<Secret>, Problem> {
    if look(path)?.is_none() {
        return Ok(None);
    }
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(path)
        .map_err(|error| cannot(path, "read", &error))?;
    let found = file.metadata().map_err(|error| cannot(path, "read", &error))?;
    if found.uid() != geteuid().as_raw() || found.mode() & 0o077 != 0 {
        return Err(Problem::new(
            Code::NotYours,
            format!("the token {} is open to others", path.display()),
        )
        .hint(format!(
            "remove it, and the server makes a new one: rm {}",
            path.display()
        )));
    }
    let mut text = String::new();
    file.take(DIGITS as u64 + 1)
        .read_to_string(&mut text)
        .map_err(|error| cannot(path, "read", &error))?;
    let token = text.trim();
    let is_token = token.len() == DIGITS && token.bytes().all(|digit| digit.is_ascii_hexdigit());
    Ok(is_token.then(|| Secret::new(token.to_owned())))
}

/// Returns the token that is kept, making one where there is none: it outlives the server, so that clients
/// need not ask for it after every restart.
///
/// # Errors
///
/// Those of [`kept`]; `unavailable` where it cannot be written.
pub(super) fn kept_or_new(path: &Path) -> Result<Secret, Problem> {
    if let Some(token) = kept(path)? {
        return Ok(token);
    }
    let mut bytes = [0_u8; DIGITS / 2];
    getrandom::fill(&mut bytes).map_err(|error| {
        Problem::new(
            Code::Unavailable,
            format!("this machine gives no random bytes: {error}"),
        )
    })?;
    let mut text = String::with_capacity(DIGITS);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    let beside = path.with_extension("new");
    let written = write_private(&beside, &text).and_then(|()| std::fs::rename(&beside, path));
    written.map_err(|error| cannot(path, "written", &error))?;
    Ok(Secret::new(text))
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    // One that is left over may be open in somebody's hands: never write into it.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file: File = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "{text}")
}
