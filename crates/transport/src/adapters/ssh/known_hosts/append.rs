//! Writing a new host's key into `known_hosts`.

use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::entry::{hash_of, wire_name};

/// Appends a line for a host, in one write. The file and its folder are created where they are missing,
/// for the user alone.
///
/// # Errors
///
/// What could not be written, for people.
pub(crate) fn append(path: &Path, name: &str, key: &[u8], hashed: bool) -> Result<(), String> {
    let failed = |what: &str| format!("{}: it cannot be written: {what}", path.display());
    let algorithm = wire_name(key).ok_or_else(|| failed("the host's key has no algorithm"))?;
    let name = if hashed {
        hashed_name(name).map_err(|error| failed(&error))?
    } else {
        name.to_owned()
    };
    if let Some(folder) = path.parent() {
        let built = std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder);
        built.map_err(|error| failed(&error.to_string()))?;
    }
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)?;
        let mut line = format!("{name} {algorithm} {}\n", STANDARD.encode(key));
        // A last line without an end would swallow this one.
        let metadata = file.metadata()?;
        if metadata.is_file() && metadata.len() > 0 {
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                line.insert(0, '\n');
            }
        }
        file.write_all(line.as_bytes())
    };
    write().map_err(|error| failed(&error.to_string()))
}

fn hashed_name(name: &str) -> Result<String, String> {
    let mut salt = [0_u8; 20];
    getrandom::fill(&mut salt).map_err(|error| error.to_string())?;
    Ok(format!(
        "|1|{}|{}",
        STANDARD.encode(salt),
        STANDARD.encode(hash_of(name, &salt))
    ))
}
