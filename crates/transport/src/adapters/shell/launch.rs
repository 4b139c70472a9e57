//! From an [`Exec`] to a program for `/bin/sh` and what it is fed on standard input.
//!
//! The program never holds a secret: passwords, scripts and input go through standard input alone. It has no
//! line break, so that every login shell can carry it (see [`quote::login`]).

use std::fmt::Write as _;

use bytes::Bytes;
use muster_model::{ErrorKind, Secret};

use super::quote;
use crate::error::Error;
use crate::types::{Exec, Sudo, What};

/// Longer lines than this are not sent as such: the command goes through standard input. Linux takes 128 KiB
/// as one argument, SSH servers for small machines less.
const LINE_BYTES: usize = 60 * 1024;

/// Which shell a command line is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shell<'a> {
    /// The one that `$SHELL` names: SSH servers set it to the user's login shell.
    OfTheUser,
    /// This one.
    Path(&'a str),
}

/// The password for sudo, with the words that are agreed on for one command.
#[derive(Clone, Debug)]
pub(crate) struct Password {
    secret: Secret,
    nonce: String,
}

impl Password {
    /// Returns a password; `nonce` must be unlike anything that could be on the host's stderr.
    pub(crate) fn new(secret: Secret, nonce: String) -> Self {
        Self { secret, nonce }
    }

    /// What sudo asks with.
    pub(crate) fn ask(&self) -> String {
        format!("[muster {} asks]", self.nonce)
    }

    /// What the program behind sudo says when it runs.
    pub(crate) fn go(&self) -> String {
        format!("[muster {} goes]", self.nonce)
    }

    /// The line that ends what sudo may not have read.
    pub(crate) fn end(&self) -> String {
        format!("[muster {} ends]", self.nonce)
    }

    /// Returns the password as sudo reads it.
    pub(crate) fn line(&self) -> Secret {
        Secret::new(format!("{}\n", self.secret.expose()))
    }
}

/// What goes to standard input: first the talk with sudo, where there is one, then the pieces, then its end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Input {
    /// The password that sudo may ask for.
    pub(crate) password: Option<Password>,
    /// What follows.
    pub(crate) pieces: Vec<Bytes>,
}

impl Input {
    /// Tells whether there is nothing at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.password.is_none() && self.pieces.iter().all(Bytes::is_empty)
    }
}

/// A program for `/bin/sh`, ready to be started.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    /// The program, in one line.
    pub(crate) program: String,
    /// What the login shell does as well without becoming another shell first.
    direct: Option<Direct>,
    /// Its standard input.
    pub(crate) input: Input,
}

/// A command for the login shell itself.
#[derive(Clone, Debug)]
struct Direct {
    posix: String,
    csh: String,
}

impl Launch {
    /// Returns the line by which any login shell does what the program does.
    pub(crate) fn line(&self) -> String {
        let whole = format!("exec /bin/sh -c {}", quote::login(&self.program));
        match &self.direct {
            Some(direct) => quote::by_family(&direct.posix, &direct.csh, &whole),
            None => whole,
        }
    }
}

/// Returns the launch of a command or a script.
///
/// # Errors
///
/// `Invalid` names what cannot be put into a command line.
pub(crate) fn launch(exec: &Exec, shell: Shell<'_>) -> Result<Launch, Error> {
    if exec.mark.is_empty() {
        return Err(Error::new(ErrorKind::Invalid, "a command needs a mark"));
    }
    prepare(exec, shell)
}

fn prepare(exec: &Exec, shell: Shell<'_>) -> Result<Launch, Error> {
    check(exec)?;
    let nonce = nonce()?;
    let direct = assemble(exec, shell, &nonce, false);
    if matches!(exec.what, What::Command(_)) && direct.line().len() > LINE_BYTES {
        return Ok(assemble(exec, shell, &nonce, true));
    }
    Ok(direct)
}

/// Returns the launch of a program of our own for `/bin/sh`, without a mark.
///
/// # Errors
///
/// `Invalid` where sudo's user cannot be.
pub(crate) fn own(program: &str, sudo: Option<&Sudo>) -> Result<Launch, Error> {
    prepare(
        &Exec {
            what: What::Command(program.to_owned()),
            mark: String::new(),
            env: Vec::new(),
            cwd: None,
            sudo: sudo.cloned(),
            stdin: None,
        },
        Shell::Path("/bin/sh"),
    )
}

fn check(exec: &Exec) -> Result<(), Error> {
    let invalid = |what: String| Err(Error::new(ErrorKind::Invalid, what));
    let marked = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    if !exec.mark.chars().all(marked) {
        return invalid(format!(
            "the mark '{}' may hold letters, digits, . and - only",
            exec.mark.escape_default()
        ));
    }
    for (name, value) in &exec.env {
        let first = name.chars().next().is_some_and(|c| !c.is_ascii_digit());
        if !first || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return invalid(format!(
                "'{}' is no name of an environment variable: letters, digits and _ only, not starting with a digit",
                name.escape_default()
            ));
        }
        if value.contains('\0') {
            return invalid(format!("the value of {name} holds a NUL byte"));
        }
    }
    let sudo = exec.sudo.as_ref().map_or("root", |sudo| sudo.user.as_str());
    if sudo.is_empty() || sudo.starts_with('-') || sudo.contains(['\0', '\n']) {
        return invalid(format!("sudo cannot become '{}'", sudo.escape_default()));
    }
    if let Some(password) = exec.sudo.as_ref().and_then(|sudo| sudo.password.as_ref())
        && password.expose().contains(['\n', '\0'])
    {
        return invalid("a password of sudo is one line".to_owned());
    }
    if exec.cwd.as_ref().is_some_and(|cwd| cwd.contains('\0')) {
        return invalid("the folder's name holds a NUL byte".to_owned());
    }
    match &exec.what {
        What::Command(command) if command.contains('\0') => {
            invalid("the command holds a NUL byte".to_owned())
        }
        What::Script { args, .. } if args.iter().any(|arg| arg.contains('\0')) => {
            invalid("an argument of the script holds a NUL byte".to_owned())
        }
        _ => Ok(()),
    }
}

fn nonce() -> Result<String, Error> {
    let mut bytes = [0u8; 12];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::new(ErrorKind::Internal, "reading random bytes").caused_by(error))?;
    Ok(bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

/// Puts the program together. `fed`: the command's text comes through standard input.
fn assemble(exec: &Exec, shell: Shell<'_>, nonce: &str, fed: bool) -> Launch {
    let password = exec
        .sudo
        .as_ref()
        .and_then(|sudo| sudo.password.clone())
        .map(|secret| Password::new(secret, nonce.to_owned()));
    let mut pieces = Vec::new();
    let mut args: Vec<&str> = Vec::new();
    // The command or the script knows its arguments as "$@".
    let inner = match &exec.what {
        What::Command(command) if fed => {
            pieces.extend(framed(Bytes::copy_from_slice(command.as_bytes()), nonce));
            format!(
                "{}{}{}",
                enter(exec),
                take_command(command.len(), nonce),
                become_shell(exec, shell, "\"$MUSTER_C\"")
            )
        }
        What::Command(command) => {
            args.push(command);
            format!("{}{}", enter(exec), become_shell(exec, shell, "\"$1\""))
        }
        What::Script { body, args: own, .. } => {
            pieces.extend(framed(body.clone(), nonce));
            args.extend(own.iter().map(String::as_str));
            format!(
                "exec /bin/sh -c {} sh \"$@\"",
                quote::posix(&with_newline(stage(exec, body, nonce)))
            )
        }
    };
    pieces.extend(exec.stdin.clone());
    let direct = direct(exec, shell, fed);
    let core = format!("{}{inner}", environment(exec));
    let mut program = String::new();
    if !args.is_empty() {
        program.push_str("set --");
        for arg in &args {
            program.push(' ');
            program.push_str(&quote::posix(arg));
        }
        program.push_str("; ");
    }
    match &exec.sudo {
        None => program.push_str(&core),
        Some(sudo) => program.push_str(&behind_sudo(exec, sudo, password.as_ref(), &core)),
    }
    Launch {
        program: with_newline(program),
        direct,
        input: Input { password, pieces },
    }
}

/// Returns a command as the login shell itself can run it, where every login shell reads it alike: most commands
/// are a name and a few plain words. Two shells that start only to become the next cost a host more than all else
/// that it does for such a command. The shell that runs it has the mark in its command line alone, not in its
/// environment: that is where the killer looks too.
fn direct(exec: &Exec, shell: Shell<'_>, fed: bool) -> Option<Direct> {
    let What::Command(command) = &exec.what else {
        return None;
    };
    let simple = matches!(shell, Shell::OfTheUser)
        && !fed
        && exec.sudo.is_none()
        && exec.env.is_empty()
        && exec.cwd.is_none()
        && !exec.mark.is_empty();
    let plain = |word: &str| quote::is_plain(word);
    (simple && !command.is_empty() && command.split(' ').all(|word| word.is_empty() || plain(word))).then(
        || Direct {
            posix: format!("{}{command}", environment(exec)),
            csh: format!("setenv MUSTER_RUN {}; {command}", exec.mark),
        },
    )
}

/// Each `/bin/sh` on the way has to know what [`quote::posix`] refers to.
fn with_newline(mut program: String) -> String {
    if program.contains("$MUSTER_NL") {
        program.insert_str(0, quote::NEWLINE);
    }
    program
}

/// `export NAME=… MUSTER_RUN=…; `, with the mark last: the killer knows it in a command line by what follows.
fn environment(exec: &Exec) -> String {
    let mut text = String::new();
    for (name, value) in &exec.env {
        let _ = write!(text, " {name}={}", quote::posix(value));
    }
    if !exec.mark.is_empty() {
        let _ = write!(text, " MUSTER_RUN={}", exec.mark);
    }
    if text.is_empty() {
        return text;
    }
    format!("export{text}; ")
}

/// `cd … || exit 1; `
fn enter(exec: &Exec) -> String {
    let Some(cwd) = &exec.cwd else {
        return String::new();
    };
    let folder = match cwd.strip_prefix('~') {
        Some("") => "\"$HOME\"".to_owned(),
        Some(rest) if rest.starts_with('/') => format!("\"$HOME\"{}", quote::posix(rest)),
        // `cd -` would go to the folder before.
        _ if cwd.starts_with('-') => quote::posix(&format!("./{cwd}")),
        _ => quote::posix(cwd),
    };
    // A CDPATH of the user would send relative names elsewhere and print where to.
    format!("CDPATH= cd {folder} || exit 1; ")
}

fn become_shell(exec: &Exec, shell: Shell<'_>, command: &str) -> String {
    let shell = match shell {
        _ if exec.sudo.is_some() => "/bin/sh".to_owned(),
        Shell::OfTheUser => "\"${SHELL:-/bin/sh}\"".to_owned(),
        Shell::Path(path) => quote::posix(path),
    };
    format!("exec {shell} -c {command}")
}

/// A piece of a known length, with a line behind it by which the host knows that it came whole.
fn framed(body: Bytes, nonce: &str) -> [Bytes; 2] {
    [body, Bytes::from(format!("\n{}\n", frame_end(nonce)))]
}

fn frame_end(nonce: &str) -> String {
    format!("[muster {nonce} whole]")
}

/// Reads exactly `length` bytes: `head` may read further than it says (busybox), and what follows is the
/// command's input.
fn read_exactly(length: usize) -> String {
    if length == 0 {
        return ":".to_owned();
    }
    format!("dd bs={length} count=1 iflag=fullblock 2>/dev/null || dd bs=1 count={length} 2>/dev/null")
}

fn came_whole(what: &str, nonce: &str) -> String {
    format!(
        "IFS= read -r MUSTER_L; IFS= read -r MUSTER_L; [ \"$MUSTER_L\" = {} ] || \
         {{ echo \"muster: {what} did not arrive whole\" >&2; exit 1; }}; ",
        quote::posix(&frame_end(nonce))
    )
}

fn take_command(length: usize, nonce: &str) -> String {
    // The dot keeps line breaks at the end, which a command substitution drops.
    format!(
        "MUSTER_C=$({}; echo .); MUSTER_C=${{MUSTER_C%.}}; {}",
        read_exactly(length),
        came_whole("the command", nonce)
    )
}

/// The program that receives a script, runs it and takes it away again.
fn stage(exec: &Exec, body: &[u8], nonce: &str) -> String {
    let template = format!("muster.{}.XXXXXX", exec.mark);
    let signals = ["HUP", "INT", "TERM"]
        .iter()
        .fold(String::new(), |mut text, signal| {
            let _ = write!(
                text,
                "trap 'rm -f \"$MUSTER_F\"; trap - {signal}; kill -s {signal} $$' {signal}; "
            );
            text
        });
    format!(
        "MUSTER_F=$(mktemp \"${{TMPDIR:-/tmp}}/{template}\") || \
         {{ echo \"muster: no temporary file for the script\" >&2; exit 1; }}; \
         trap 'rm -f \"$MUSTER_F\"' EXIT; {signals}\
         {{ {}; }} >\"$MUSTER_F\"; {}{}{} \"$MUSTER_F\" \"$@\"",
        read_exactly(body.len()),
        came_whole("the script", nonce),
        enter(exec),
        interpreter(body),
    )
}

/// The words before a script's name, as the kernel reads them from its `#!` line: an interpreter and at most one
/// argument. Read here, not there, so that a folder for temporary files that nothing may be executed in does not
/// matter.
fn interpreter(body: &[u8]) -> String {
    let line = body
        .strip_prefix(b"#!")
        .and_then(|rest| rest.split(|byte| *byte == b'\n').next())
        .unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let line = line.trim_matches([' ', '\t', '\r']).replace('\0', "");
    match line.split_once([' ', '\t']) {
        _ if line.is_empty() => "/bin/sh".to_owned(),
        None => quote::posix(&line),
        Some((program, arg)) => format!(
            "{} {}",
            quote::posix(program),
            quote::posix(arg.trim_start_matches([' ', '\t']))
        ),
    }
}

/// Puts `core`, which knows its arguments as "$@", behind sudo.
fn behind_sudo(exec: &Exec, sudo: &Sudo, password: Option<&Password>, core: &str) -> String {
    // Sudo itself carries the mark too, so that one that hangs is found.
    let mark = if exec.mark.is_empty() {
        String::new()
    } else {
        format!("export MUSTER_RUN={}; ", exec.mark)
    };
    let user = quote::posix(&sudo.user);
    match password {
        None => format!(
            "{mark}exec sudo -n -u {user} -- /bin/sh -c {} sh \"$@\"",
            quote::posix(&with_newline(core.to_owned()))
        ),
        Some(password) => {
            let gate = format!(
                "printf %s {} >&2; while :; do IFS= read -r MUSTER_L || exit 1; [ \"$MUSTER_L\" = {} ] && break; \
                 done; ",
                quote::posix(&password.go()),
                quote::posix(&password.end())
            );
            format!(
                "{mark}exec sudo -S -p {} -u {user} -- /bin/sh -c {} sh \"$@\"",
                quote::posix(&password.ask()),
                quote::posix(&with_newline(format!("{gate}{core}")))
            )
        }
    }
}

#[cfg(test)]
mod tests;
