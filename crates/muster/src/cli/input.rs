//! What a command reads before it asks the server: files, standard input, secrets from the terminal.

use std::io::{IsTerminal, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use muster_model::problem::Code;
use muster_model::{Problem, Secret, limits};
use muster_runtime::clock;

use super::stop::{Left, Stop};

/// How often a terminal is looked at for an answer.
const LISTEN: Duration = Duration::from_millis(50);

/// Whose standard input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stdin {
    /// The command's.
    Free,
    /// The prompt's: it holds commands.
    Commands,
}

/// Reads a file of at most `limit` bytes; `-` is standard input. `what` names it in errors.
///
/// # Errors
///
/// `invalid-request` where it cannot be read, `too-large` where it is longer.
pub fn file(path: &Path, what: &str, limit: usize, stdin: Stdin) -> Result<Vec<u8>, Problem> {
    if path == Path::new("-") {
        return standard_input(what, limit, stdin);
    }
    let unreadable = |error: std::io::Error| {
        Problem::new(
            Code::InvalidRequest,
            format!("the {what} '{}' cannot be read: {error}", path.display()),
        )
    };
    let opened = std::fs::File::open(path).map_err(unreadable)?;
    if opened.metadata().is_ok_and(|found| found.is_dir()) {
        return Err(Problem::new(
            Code::InvalidRequest,
            format!("the {what} '{}' is a folder", path.display()),
        ));
    }
    bounded(opened, limit)
        .map_err(unreadable)?
        .ok_or_else(|| too_large(&format!("the {what} '{}'", path.display()), limit))
}

fn standard_input(what: &str, limit: usize, stdin: Stdin) -> Result<Vec<u8>, Problem> {
    if stdin == Stdin::Commands {
        return Err(Problem::new(
            Code::InvalidRequest,
            format!("the {what} cannot come from standard input: the prompt reads its commands from there"),
        )
        .hint("write it into a file, or run `muster …` from the shell"));
    }
    bounded(std::io::stdin().lock(), limit)
        .map_err(|error| {
            Problem::new(
                Code::InvalidRequest,
                format!("standard input cannot be read: {error}"),
            )
        })?
        .ok_or_else(|| too_large("standard input", limit))
}

/// Reads everything; None where it is longer than `limit`.
fn bounded(reader: impl Read, limit: usize) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    reader.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() <= limit).then_some(bytes))
}

fn too_large(what: &str, limit: usize) -> Problem {
    Problem::new(
        Code::TooLarge,
        format!("{what} is longer than {} MiB", limit / 1024 / 1024),
    )
}

/// Returns host patterns with every `-` replaced by the words of standard input.
///
/// # Errors
///
/// Those of [`file()`]; `invalid-request` where standard input is not text.
pub fn hosts(words: &[String], stdin: Stdin) -> Result<Vec<String>, Problem> {
    let mut hosts = Vec::with_capacity(words.len());
    for word in words {
        if word != "-" {
            hosts.push(word.clone());
            continue;
        }
        let bytes = standard_input("list of hosts", limits::PATTERN_BYTES * 4, stdin)?;
        let text = String::from_utf8(bytes).map_err(|_| {
            Problem::new(
                Code::InvalidRequest,
                "the hosts on standard input are not UTF-8 text",
            )
        })?;
        hosts.extend(text.split_whitespace().map(str::to_owned));
    }
    Ok(hosts)
}

/// Returns a path made absolute, since the server works in another folder; it must be a readable file.
///
/// # Errors
///
/// `invalid-request` naming the file.
pub fn absolute(path: &Path, what: &str) -> Result<String, Problem> {
    let wrong = |why: String| {
        Problem::new(
            Code::InvalidRequest,
            format!("the {what} '{}' {why}", path.display()),
        )
    };
    let absolute: PathBuf =
        std::path::absolute(path).map_err(|error| wrong(format!("is no path: {error}")))?;
    std::fs::File::open(&absolute).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    absolute
        .into_os_string()
        .into_string()
        .map_err(|_| wrong("is not UTF-8 text".to_owned()))
}

/// Asks for a secret on the terminal.
///
/// # Errors
///
/// `invalid-request` without a terminal; interrupted by Ctrl-C.
pub fn secret(option: &str, prompt: &str) -> Result<Secret, Stop> {
    let no_terminal = || {
        Problem::new(
            Code::InvalidRequest,
            format!("{option} needs a terminal to ask on, and there is none"),
        )
        .hint("run it on a terminal; for scripts use a key and an SSH agent")
    };
    if std::fs::File::open("/dev/tty").map_or(true, |terminal| !terminal.is_terminal()) {
        return Err(no_terminal().into());
    }
    match rpassword::prompt_password(prompt) {
        Ok(secret) => Ok(Secret::new(secret)),
        Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {
            Err(Stop::Interrupted(Left::Nothing))
        }
        Err(_) => Err(no_terminal().into()),
    }
}

/// Asks a question on the terminal that is answered by yes or no; anything but a yes is a no.
///
/// # Errors
///
/// `invalid-request` without a terminal.
pub async fn yes(question: &str) -> Result<bool, Problem> {
    let nobody = || {
        Problem::new(
            Code::InvalidRequest,
            "this is for a person to decide, and there is no terminal to ask on: nothing was changed",
        )
        .hint("--fingerprint SHA256:... says which key is right; --yes takes what is shown")
    };
    // A handle of our own, which may say that there is nothing yet: Ctrl-C must not wait for a line.
    let mut terminal = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits())
        .open("/dev/tty")
        .map_err(|_| nobody())?;
    write!(terminal, "{question} [y/N] ").map_err(|_| nobody())?;
    let mut answer = [0; 64];
    loop {
        match terminal.read(&mut answer) {
            Ok(length) => {
                let said = String::from_utf8_lossy(answer.get(..length).unwrap_or_default()).to_lowercase();
                return Ok(matches!(said.trim(), "y" | "yes"));
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => clock::sleep(LISTEN).await,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return Err(nobody()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_missing_too_long_or_a_folder_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("script.sh");
        let read = |path: &Path| file(path, "script", 10, Stdin::Free);
        let missing = read(&path).expect_err("missing");
        assert!(missing.detail.contains("script.sh"), "{missing}");
        std::fs::write(&path, b"0123456789").expect("written");
        assert_eq!(read(&path).expect("read"), b"0123456789");
        std::fs::write(&path, b"0123456789a").expect("written");
        assert_eq!(read(&path).expect_err("long").code, Code::TooLarge);
        assert!(
            read(folder.path())
                .expect_err("folder")
                .detail
                .contains("is a folder")
        );
    }

    #[test]
    fn the_prompts_input_is_not_read_by_commands() {
        let error = hosts(&["a".into(), "-".into()], Stdin::Commands).expect_err("refused");
        assert_eq!(error.code, Code::InvalidRequest);
    }
}
