//! Launches, carried by every login shell that is on this machine.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use muster_testkit::require::everything_is_required;

use super::*;

/// Login shells of all kinds, and how each is called.
const SHELLS: [&[&str]; 10] = [
    &["sh"],
    &["bash"],
    &["dash"],
    &["busybox", "ash"],
    &["ksh"],
    &["mksh"],
    &["zsh"],
    &["fish"],
    &["csh"],
    &["tcsh"],
];

/// Those that are tried where they are installed, and nowhere required.
const BESIDES: [&str; 3] = ["ksh", "mksh", "csh"];

fn exec(what: What) -> Exec {
    Exec {
        what,
        mark: "7.1.1-a".to_owned(),
        env: Vec::new(),
        cwd: None,
        sudo: None,
        stdin: None,
    }
}

fn script(body: &[u8], args: &[&str]) -> Exec {
    exec(What::Script {
        name: "x".to_owned(),
        body: Bytes::copy_from_slice(body),
        args: args.iter().map(|&arg| arg.to_owned()).collect(),
    })
}

/// Runs a line as an SSH server does: by the login shell, which `$SHELL` names.
fn carried(shell: &[&str], launch: &Launch) -> Option<Output> {
    let child = Command::new(shell[0])
        .args(&shell[1..])
        .args(["-c", &launch.line()])
        .env("SHELL", "/bin/sh")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(_) if !everything_is_required() || BESIDES.contains(&shell[0]) => {
            eprintln!("ignored: {} is missing", shell[0]);
            return None;
        }
        Err(error) => panic!("{}: {error}", shell[0]),
    };
    let mut stdin = child.stdin.take().expect("is piped");
    for piece in &launch.input.pieces {
        stdin.write_all(piece).expect("is read");
    }
    drop(stdin);
    Some(child.wait_with_output().expect("ends"))
}

fn prepared(exec: &Exec) -> Launch {
    launch(exec, Shell::OfTheUser).expect("is allowed")
}

const AWKWARD: &str =
    "a  'b' \"c\" \\d \\\\e\\ !f !! $HOME ${x} `id` $(id) * ~ # % ; & | < > ( ) { } [ ] ^ = é\ttab";

#[test]
fn every_login_shell_carries_a_command_byte_for_byte() {
    for text in [AWKWARD.to_owned(), format!("{AWKWARD}\n\n{AWKWARD}\n")] {
        let command = format!("printf '%s|%s' '{}' \"$MUSTER_RUN\"", text.replace('\'', "'\\''"));
        for shell in SHELLS {
            let Some(output) = carried(shell, &prepared(&exec(What::Command(command.clone())))) else {
                continue;
            };
            let out = String::from_utf8(output.stdout).expect("is text");
            assert_eq!(out, format!("{text}|7.1.1-a"), "{shell:?}: {:?}", output.stderr);
        }
    }
}

#[test]
fn every_login_shell_carries_scripts_environment_folder_and_input() {
    let mut exec = script(
        b"#!/bin/sh -u\nprintf '[%s]' \"$@\" \"$A\" \"$MUSTER_RUN\" \"$(pwd)\"; cat\n",
        &[AWKWARD, "", "two\nlines"],
    );
    exec.env = vec![("A".to_owned(), format!("{AWKWARD}\nb"))];
    exec.cwd = Some("/usr".to_owned());
    exec.stdin = Some("the input".into());
    for shell in SHELLS {
        let Some(output) = carried(shell, &prepared(&exec)) else {
            continue;
        };
        let out = String::from_utf8(output.stdout).expect("is text");
        let expected = format!("[{AWKWARD}][][two\nlines][{AWKWARD}\nb][7.1.1-a][/usr]the input");
        assert_eq!(out, expected, "{shell:?}: {:?}", output.stderr);
    }
}

#[test]
fn a_command_too_long_for_a_line_goes_through_input() {
    let text = format!("# {}\nprintf '%s ' end; cat\n\n", AWKWARD.repeat(1000));
    let mut exec = exec(What::Command(text));
    exec.stdin = Some("and input".into());
    let launch = prepared(&exec);
    assert!(launch.line().len() < 1000, "{} bytes", launch.line().len());
    for shell in SHELLS {
        let Some(output) = carried(shell, &launch) else {
            continue;
        };
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "end and input",
            "{shell:?}: {:?}",
            output.stderr
        );
    }
}

#[test]
fn a_plain_command_is_run_by_the_login_shell_where_that_is_no_fish() {
    let launch = prepared(&exec(What::Command("uptime".to_owned())));
    let program = "set -- uptime; export MUSTER_RUN=7.1.1-a; exec \"${SHELL:-/bin/sh}\" -c \"$1\"";
    assert_eq!(launch.program, program);
    assert!(launch.input.is_empty());
    assert_eq!(
        launch.line(),
        format!(
            r#"test "\" ; setenv MUSTER_RUN 7.1.1-a; uptime #"'\' ; export MUSTER_RUN=7.1.1-a; uptime #' ; exec /bin/sh -c '{program}'"#
        )
    );
    // Fish before 3.0 reads no line that has it.
    assert!(!launch.line().contains("&&"));
    for shell in SHELLS {
        let launch = prepared(&exec(What::Command(
            "/usr/bin/printenv  MUSTER_RUN SHELL".to_owned(),
        )));
        let Some(output) = carried(shell, &launch) else {
            continue;
        };
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "7.1.1-a\n/bin/sh\n",
            "{shell:?}"
        );
        assert!(output.stderr.is_empty(), "{shell:?}: {output:?}");
        let failing = prepared(&exec(What::Command("exit 7".to_owned())));
        assert_eq!(
            carried(shell, &failing).expect("starts").status.code(),
            Some(7),
            "{shell:?}"
        );
    }
}

#[test]
fn a_tcsh_to_which_a_backslash_quotes_runs_plain_commands_too() {
    let home = tempfile::tempdir().expect("is made");
    std::fs::write(home.path().join(".tcshrc"), "set backslash_quote\n").expect("is written");
    let home = format!("HOME={}", home.path().display());
    let launch = prepared(&exec(What::Command("/usr/bin/printenv MUSTER_RUN".to_owned())));
    if let Some(output) = carried(&["tcsh"], &launch).and(carried(&["env", &home, "tcsh"], &launch)) {
        assert_eq!(String::from_utf8_lossy(&output.stdout), "7.1.1-a\n", "{output:?}");
    }
}

#[test]
fn what_login_shells_read_differently_goes_to_a_posix_shell() {
    let mut with_env = exec(What::Command("uptime".to_owned()));
    with_env.env = vec![("A".to_owned(), "b".to_owned())];
    let mut with_cwd = exec(What::Command("uptime".to_owned()));
    with_cwd.cwd = Some("/".to_owned());
    let others = [
        "echo 'a'", "a; b", "a=b c", "ls ~", "ls *", "a\nb", "a\tb", "a\\b", "# a", "",
    ]
    .map(|text| exec(What::Command(text.to_owned())));
    for exec in others.into_iter().chain([with_env, with_cwd]) {
        let line = prepared(&exec).line();
        assert!(line.starts_with("exec /bin/sh -c "), "{line}");
    }
}

#[test]
fn what_comes_cut_off_is_not_run() {
    let mut launch = prepared(&script(b"echo ran\necho more\n", &[]));
    launch.input.pieces = vec!["echo ran\n".into()];
    let output = carried(&["sh"], &launch).expect("sh is there");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"");
    assert!(String::from_utf8_lossy(&output.stderr).contains("did not arrive whole"));
}

#[test]
fn the_interpreter_line_is_read_as_the_kernel_reads_it() {
    for (body, words) in [
        ("#!/bin/sh\n", "/bin/sh"),
        ("#! /bin/sh \r\nx", "/bin/sh"),
        ("#!/usr/bin/env  python3 -u x\n", "/usr/bin/env 'python3 -u x'"),
        ("#!\t/bin/awk -f", "/bin/awk -f"),
        ("#!\n", "/bin/sh"),
        ("echo\n#!/bin/bash", "/bin/sh"),
        ("", "/bin/sh"),
        ("#!/opt/it's\n", "'/opt/it'\\''s'"),
    ] {
        assert_eq!(interpreter(body.as_bytes()), words, "{body:?}");
    }
}

#[test]
fn no_secret_is_in_the_line_or_in_debug_output() {
    let mut exec = exec(What::Command("id".to_owned()));
    exec.sudo = Some(Sudo {
        user: "root".to_owned(),
        password: Some(Secret::new("hunter2".to_owned())),
    });
    exec.stdin = Some("input".into());
    let launch = prepared(&exec);
    assert!(!launch.line().contains("hunter2"));
    assert!(!format!("{launch:?} {exec:?}").contains("hunter2"));
    let password = launch.input.password.expect("there is one");
    assert_eq!(password.line().expose(), "hunter2\n");
}

#[test]
fn sudo_gets_neither_an_option_nor_nobody_as_its_user() {
    for user in ["", "-s", "a\nb", "a\0"] {
        let mut exec = exec(What::Command("id".to_owned()));
        exec.sudo = Some(Sudo {
            user: user.to_owned(),
            password: None,
        });
        let error = launch(&exec, Shell::OfTheUser).expect_err("is refused");
        assert_eq!(error.kind, ErrorKind::Invalid, "{user:?}");
    }
}
