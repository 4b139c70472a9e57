//! From what was typed to the request that submits a task.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use muster_client::request_id;
use muster_model::problem::Code;
use muster_model::wire::{self, Submit, WorkOptions};
use muster_model::{Problem, limits};

use super::args::{Login, Narrowed, Run, Script, Secrets, Task};
use super::input::{self, Stdin};
use super::stop::Stop;
use crate::settings::Settings;

/// Returns the request of `run`.
///
/// # Errors
///
/// Where something cannot be read, is missing or too long.
pub fn run(args: &Run, settings: &Settings, stdin: Stdin) -> Result<Submit, Stop> {
    let command = args.command.join(" ");
    if command.trim().is_empty() {
        return Err(no_command(args).into());
    }
    if command.len() > limits::COMMAND_BYTES {
        return Err(Problem::new(
            Code::TooLarge,
            format!(
                "the command is {} bytes long, the limit is {}",
                command.len(),
                limits::COMMAND_BYTES
            ),
        )
        .hint("write it into a file and use `muster script`")
        .into());
    }
    task(
        wire::Work::Command { command },
        false,
        &args.task,
        settings,
        stdin,
    )
}

fn no_command(args: &Run) -> Problem {
    let problem = Problem::new(
        Code::InvalidRequest,
        "the command is empty: there is nothing to run",
    );
    match args.task.targets.hosts.split_last() {
        // `--hosts a b "df -h"` has taken the command for a host.
        Some((last, rest)) if !rest.is_empty() => problem.hint(format!(
            "--hosts takes every word after it, '{last}' too: write the command before --hosts, or after --"
        )),
        _ => problem.hint("write it before --hosts, as in: run \"df -h\" --hosts web1 web2"),
    }
}

/// Returns the request of `script`.
///
/// # Errors
///
/// Where something cannot be read, is missing or too long.
pub fn script(args: &Script, settings: &Settings, stdin: Stdin) -> Result<Submit, Stop> {
    let Some((file, rest)) = args.words.split_first() else {
        return Err(Problem::new(Code::InvalidRequest, "there is no script to run").into());
    };
    let path = std::path::Path::new(file);
    let body = input::file(path, "script", limits::SCRIPT_BYTES, stdin)?;
    let name = path
        .file_name()
        .filter(|_| file != "-")
        .map_or_else(|| "script".to_owned(), |name| name.to_string_lossy().into_owned());
    let work = wire::Work::Script {
        name,
        args: rest.to_vec(),
        body_base64: STANDARD.encode(body),
    };
    task(work, file == "-", &args.task, settings, stdin)
}

fn task(
    work: wire::Work,
    work_from_stdin: bool,
    args: &Task,
    settings: &Settings,
    stdin: Stdin,
) -> Result<Submit, Stop> {
    let from_stdin = [
        args.targets.hosts.iter().any(|host| host == "-"),
        args.surroundings
            .stdin
            .as_deref()
            .is_some_and(|path| path == std::path::Path::new("-")),
        work_from_stdin,
    ];
    if from_stdin.iter().filter(|taken| **taken).count() > 1 {
        return Err(Problem::new(
            Code::InvalidRequest,
            "standard input is asked for more than once (--hosts -, --stdin -, a script -)",
        )
        .hint("write one of them into a file")
        .into());
    }
    let hosts = input::hosts(&args.targets.hosts, stdin)?;
    let stdin_base64 = match &args.surroundings.stdin {
        Some(path) => {
            let bytes = input::file(path, "standard input", limits::STDIN_BYTES, stdin)?;
            Some(STANDARD.encode(bytes))
        }
        None => None,
    };
    let options = options(args, settings)?;
    Ok(Submit {
        request_id: request_id()?,
        work,
        targets: targets(hosts, &args.targets.narrowed),
        options,
        stdin_base64,
        // A dry run logs in nowhere.
        secrets: if args.dry_run {
            wire::Secrets::default()
        } else {
            secrets(&args.login.secrets)?
        },
        dry_run: args.dry_run,
    })
}

/// Returns which hosts are meant.
pub fn targets(hosts: Vec<String>, narrowed: &Narrowed) -> wire::Targets {
    wire::Targets {
        hosts,
        exclude: narrowed.exclude.clone(),
        selector: narrowed.selector.clone(),
    }
}

/// Returns a request with nothing to choose but the hosts and how to come in.
///
/// # Errors
///
/// As for [`run`].
pub fn plain(
    work: wire::Work,
    targets: wire::Targets,
    login: &Login,
    settings: &Settings,
) -> Result<Submit, Stop> {
    Ok(Submit {
        request_id: request_id()?,
        work,
        targets,
        options: with_login(WorkOptions::default(), login, settings)?,
        stdin_base64: None,
        secrets: secrets(&login.secrets)?,
        dry_run: false,
    })
}

fn options(args: &Task, settings: &Settings) -> Result<WorkOptions, Problem> {
    let millis = |duration: Option<Duration>| {
        duration.map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    };
    let (around, course) = (&args.surroundings, &args.course);
    let sudo = match (&around.sudo_user, around.sudo) {
        (Some(user), _) => Some(user.clone()),
        (None, true) => Some("root".to_owned()),
        (None, false) if args.login.secrets.ask_sudo_password => {
            return Err(Problem::new(
                Code::InvalidRequest,
                "--ask-sudo-password is of no use without --sudo",
            ));
        }
        (None, false) => None,
    };
    let options = WorkOptions {
        timeout_ms: millis(course.timeout),
        concurrency: course.concurrency,
        batch: course.batch,
        max_failures: course.max_failures,
        retries: course.retries,
        expires_ms: millis(course.expires),
        priority: course.priority.into(),
        sudo,
        env: around.env.clone(),
        cwd: around.cwd.clone(),
        max_output: around.max_output,
        kill_grace_ms: millis(course.kill_grace),
        ..WorkOptions::default()
    };
    with_login(options, &args.login, settings)
}

fn with_login(options: WorkOptions, login: &Login, settings: &Settings) -> Result<WorkOptions, Problem> {
    let ssh_config = match (&login.ssh_config, &settings.ssh_config) {
        (Some(path), _) => Some(input::absolute(path, "ssh_config file")?),
        (None, Some(path)) if !settings.is_elsewhere() => {
            Some(input::absolute(path, "ssh_config file (MUSTER_SSH_CONFIG)")?)
        }
        (None, _) => None,
    };
    let identities = login
        .identities
        .iter()
        .map(|path| input::absolute(path, "identity file"))
        .collect::<Result<Vec<_>, _>>()?;
    let connect_timeout = login.connect_timeout.unwrap_or(settings.connect_timeout);
    Ok(WorkOptions {
        connect_timeout_ms: Some(u64::try_from(connect_timeout.as_millis()).unwrap_or(u64::MAX)),
        user: login.user.clone(),
        credential: login.credential.clone(),
        accept_new: login.accept_new,
        ssh_config,
        identities,
        agent_socket: settings.agent_socket.clone().filter(|_| !settings.is_elsewhere()),
        ..options
    })
}

/// Asks for the secrets that are wanted.
///
/// # Errors
///
/// Without a terminal, or interrupted.
pub fn secrets(wanted: &Secrets) -> Result<wire::Secrets, Stop> {
    let ask =
        |wanted: bool, option: &str, prompt: &str| wanted.then(|| input::secret(option, prompt)).transpose();
    Ok(wire::Secrets {
        password: ask(wanted.ask_password, "--ask-password", "Password: ")?,
        passphrase: ask(
            wanted.ask_passphrase,
            "--ask-passphrase",
            "Passphrase of the private key: ",
        )?,
        sudo_password: ask(
            wanted.ask_sudo_password,
            "--ask-sudo-password",
            "Password for sudo: ",
        )?,
    })
}

#[cfg(test)]
mod tests;
