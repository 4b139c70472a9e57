//! Checks a request and turns it into a task's words. Nothing is started where anything is wrong, and the
//! message names the input.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use muster_model::problem::Code;
use muster_model::wire::{Secrets, Submit, Work, WorkOptions};
use muster_model::{Kind, Options, Problem, Timestamp, limits};
use muster_store::TaskInput;

fn wrong(detail: impl Into<String>) -> Problem {
    Problem::new(Code::InvalidRequest, detail)
}

fn clip(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .take(60)
        .collect()
}

/// Checks the name of a request.
pub(crate) fn request_id(text: &str) -> Result<(), Problem> {
    let fits = (16..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if fits {
        Ok(())
    } else {
        Err(wrong(format!(
            "request_id '{}' is not 16 to 64 letters, digits or '-'",
            clip(text)
        )))
    }
}

/// Checks what is to be done; returns the kind and what goes with it.
pub(crate) fn work(submit: &Submit) -> Result<(Kind, TaskInput), Problem> {
    let stdin = submit
        .stdin_base64
        .as_deref()
        .map(|text| decode("stdin_base64", text, limits::STDIN_BYTES));
    let stdin = stdin.transpose()?;
    match &submit.work {
        Work::Command { command } => {
            if command.trim().is_empty() {
                return Err(wrong("the command is empty").hint("write a command line, such as \"df -h\""));
            }
            text("command", command, limits::COMMAND_BYTES)?;
            Ok((
                Kind::Command {
                    command: command.clone(),
                },
                TaskInput { script: None, stdin },
            ))
        }
        Work::Script {
            name,
            args,
            body_base64,
        } => {
            text("script name", name, 255)?;
            for arg in args {
                text("script argument", arg, limits::COMMAND_BYTES)?;
            }
            if args.iter().map(String::len).sum::<usize>() > limits::COMMAND_BYTES {
                return Err(wrong("the script's arguments are too long")
                    .hint("pass them by --stdin, or write them into the script"));
            }
            let body = decode("body_base64", body_base64, limits::SCRIPT_BYTES)?;
            if body.is_empty() {
                return Err(wrong(format!("the script '{}' is empty", clip(name))));
            }
            let kind = Kind::Script {
                name: name.clone(),
                args: args.clone(),
            };
            Ok((
                kind,
                TaskInput {
                    script: Some(body),
                    stdin,
                },
            ))
        }
        Work::Facts => {
            if stdin.is_some() {
                return Err(wrong("gathering facts reads no standard input"));
            }
            Ok((Kind::Facts, TaskInput::default()))
        }
    }
}

fn decode(field: &str, text: &str, most: usize) -> Result<Bytes, Problem> {
    if text.len() / 4 * 3 > most + 3 {
        return Err(Problem::new(
            Code::TooLarge,
            format!("{field} is over {} MiB", most >> 20),
        ));
    }
    STANDARD
        .decode(text)
        .map(Bytes::from)
        .map_err(|error| wrong(format!("{field} is not base64: {error}")))
}

fn text(field: &str, value: &str, most: usize) -> Result<(), Problem> {
    if value.is_empty() {
        return Err(wrong(format!("the {field} is empty")));
    }
    if value.len() > most {
        let size = value.len();
        return Err(Problem::new(
            Code::TooLarge,
            format!("the {field} has {size} bytes: at most {most}"),
        ));
    }
    if value.contains('\0') {
        return Err(wrong(format!("the {field} '{}' holds a NUL byte", clip(value))));
    }
    Ok(())
}

fn duration(field: &str, millis: Option<u64>) -> Result<Option<Duration>, Problem> {
    let Some(millis) = millis else { return Ok(None) };
    let duration = Duration::from_millis(millis);
    if millis == 0 || duration > limits::LONGEST {
        return Err(wrong(format!(
            "{field} is {millis} ms: a duration is from 1 ms to 366 days"
        )));
    }
    Ok(Some(duration))
}

/// Checks the name of a user.
pub(crate) fn user(field: &str, name: Option<&String>) -> Result<(), Problem> {
    let Some(name) = name else { return Ok(()) };
    let bad = name.is_empty()
        || name.len() > 255
        || name.starts_with('-')
        || name.chars().any(|c| c.is_control() || c.is_whitespace());
    if bad {
        return Err(wrong(format!("{field} '{}' is not a user name", clip(name))));
    }
    Ok(())
}

/// Checks the options.
pub(crate) fn options(wire: &WorkOptions, secrets: &Secrets, now: Timestamp) -> Result<Options, Problem> {
    if wire.concurrency == Some(0) {
        return Err(wrong("concurrency is 0: at least one host at a time"));
    }
    if wire.batch.is_some_and(|batch| batch.of(100) == 0) {
        return Err(wrong("batch is 0: at least one host, or 1% of them"));
    }
    if wire.retries > 1000 {
        return Err(wrong(format!("retries is {}: at most 1000", wire.retries)));
    }
    for (name, value) in &wire.env {
        let first = name
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
        if !first
            || !name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            return Err(wrong(format!(
                "'{}' is not the name of an environment variable",
                clip(name)
            ))
            .hint("letters, digits and _ only, not starting with a digit: --env KEY=VALUE"));
        }
        if value.contains('\0') || value.len() > limits::COMMAND_BYTES {
            return Err(wrong(format!(
                "the value of the environment variable {name} is too long or holds NUL"
            )));
        }
    }
    user("user", wire.user.as_ref())?;
    user("sudo user", wire.sudo.as_ref())?;
    if let Some(cwd) = &wire.cwd {
        text("cwd", cwd, 4096)?;
    }
    if wire.max_output == Some(0) {
        return Err(wrong("max_output is 0: at least one byte"));
    }
    for path in wire
        .identities
        .iter()
        .chain(&wire.ssh_config)
        .chain(&wire.agent_socket)
    {
        text("path", path, 4096)?;
        if !path.starts_with('/') {
            return Err(wrong(format!("'{}' is not an absolute path", clip(path))));
        }
    }
    if secrets.sudo_password.is_some() && wire.sudo.is_none() {
        return Err(wrong("a password for sudo was given without sudo").hint("add --sudo"));
    }
    Ok(Options {
        timeout: duration("timeout", wire.timeout_ms)?,
        connect_timeout: duration("connect_timeout", wire.connect_timeout_ms)?
            .unwrap_or(limits::CONNECT_TIMEOUT),
        concurrency: wire.concurrency,
        batch: wire.batch,
        max_failures: wire.max_failures,
        retries: wire.retries,
        expires_at: duration("expires", wire.expires_ms)?.map(|after| now.after(after)),
        priority: wire.priority,
        user: wire.user.clone(),
        sudo: wire.sudo.clone(),
        sudo_password: secrets.sudo_password.is_some(),
        login_secret: secrets.password.is_some() || secrets.passphrase.is_some(),
        env: wire.env.clone(),
        cwd: wire.cwd.clone(),
        max_output: wire.max_output.unwrap_or(limits::OUTPUT_BYTES),
        kill_grace: duration("kill_grace", wire.kill_grace_ms)?.unwrap_or(limits::KILL_GRACE),
        accept_new: wire.accept_new,
        ssh_config: wire.ssh_config.clone(),
        identities: wire.identities.clone(),
        agent_socket: wire.agent_socket.clone(),
        credential: wire.credential.clone(),
        // Known when the task is written.
        trace: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut WorkOptions)) -> Result<Options, Problem> {
        let mut wire = WorkOptions::default();
        change(&mut wire);
        options(&wire, &Secrets::default(), Timestamp(0))
    }

    type Case = (Box<dyn FnOnce(&mut WorkOptions)>, &'static str);

    #[test]
    fn options_out_of_range_are_named() {
        assert!(check(|_| {}).is_ok());
        let cases: Vec<Case> = vec![
            (Box::new(|o| o.timeout_ms = Some(0)), "timeout"),
            (Box::new(|o| o.expires_ms = Some(u64::MAX)), "expires"),
            (Box::new(|o| o.concurrency = Some(0)), "concurrency"),
            (
                Box::new(|o| o.batch = Some(muster_model::quantity::Amount::Hosts(0))),
                "batch",
            ),
            (Box::new(|o| o.retries = 5000), "5000"),
            (Box::new(|o| o.env = vec![("1A".into(), String::new())]), "'1A'"),
            (Box::new(|o| o.env = vec![("A B".into(), String::new())]), "'A B'"),
            (Box::new(|o| o.user = Some("-x".into())), "'-x'"),
            (Box::new(|o| o.sudo = Some(String::new())), "sudo user"),
            (Box::new(|o| o.cwd = Some("a\0b".into())), "cwd"),
            (Box::new(|o| o.max_output = Some(0)), "max_output"),
            (Box::new(|o| o.ssh_config = Some("relative".into())), "'relative'"),
        ];
        for (change, named) in cases {
            let problem = check(change).expect_err(named);
            assert_eq!(problem.code, Code::InvalidRequest);
            assert!(
                problem.detail.contains(named),
                "{} should name {named}",
                problem.detail
            );
        }
    }

    #[test]
    fn request_ids_have_a_form() {
        assert!(request_id("0123456789abcdef").is_ok());
        for text in ["", "short", "0123456789abcde_", &"x".repeat(65)] {
            assert!(request_id(text).is_err(), "{text}");
        }
    }
}
