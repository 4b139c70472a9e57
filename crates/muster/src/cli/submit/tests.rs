//! Tests of what is sent for what was typed.

use clap::Parser;

use super::*;
use crate::cli::args::{Command, Line};
use crate::settings::{Environment, Overrides};

fn settings(variables: &[(&str, &str)]) -> Settings {
    let home = [("HOME", "/nonexistent")];
    let variables = home
        .iter()
        .chain(variables)
        .map(|(name, value)| ((*name).into(), (*value).into()))
        .collect();
    let environment = Environment::new(variables, "/".into()).expect("an environment");
    Settings::from_environment(&environment, Overrides::default()).expect("settings")
}

fn sent(words: &[&str]) -> Result<Submit, Problem> {
    let line = Line::try_parse_from(std::iter::once("muster").chain(words.iter().copied())).expect("a line");
    let settings = settings(&[("SSH_AUTH_SOCK", "/agent")]);
    let sent = match line.command {
        Some(Command::Run(args)) => run(&args, &settings, Stdin::Commands),
        Some(Command::Script(args)) => script(&args, &settings, Stdin::Commands),
        _ => panic!("{words:?}"),
    };
    sent.map_err(|stop| match stop {
        Stop::Problem(problem) => problem,
        other => panic!("{other:?}"),
    })
}

#[test]
fn words_are_joined_and_the_agent_is_named() {
    let submit = sent(&["run", "--hosts", "a", "b", "-x", "c", "--", "df", "-h"]).expect("a request");
    assert_eq!(
        submit.work,
        wire::Work::Command {
            command: "df -h".into()
        }
    );
    assert_eq!(submit.targets.hosts, ["a", "b"]);
    assert_eq!(submit.targets.exclude, ["c"]);
    assert_eq!(submit.options.agent_socket.as_deref(), Some("/agent"));
    assert_eq!(submit.options.connect_timeout_ms, Some(10_000));
    assert_eq!(submit.options.sudo, None);
    assert!(submit.request_id.len() >= 16);
}

#[test]
fn sudo_is_root_unless_another_user_is_named() {
    let of = |words: &[&str]| {
        let mut all = vec!["run", "id", "--hosts", "a"];
        all.extend(words);
        sent(&all).map(|submit| submit.options.sudo)
    };
    assert_eq!(of(&["--sudo"]), Ok(Some("root".into())));
    assert_eq!(of(&["--sudo-user", "www"]), Ok(Some("www".into())));
    assert_eq!(of(&["--sudo", "--sudo-user", "www"]), Ok(Some("www".into())));
    assert!(of(&["--ask-sudo-password"]).is_err());
}

#[test]
fn a_command_swallowed_by_hosts_is_pointed_out() {
    let problem = sent(&["run", "--hosts", "a", "df -h"]).expect_err("no command");
    assert!(problem.hint.expect("a hint").contains("'df -h' too"));
}

#[test]
fn files_are_read_here_and_named_absolutely() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    std::fs::write(file("key"), "k").expect("written");
    std::fs::write(file("go.sh"), "#!/bin/sh\n").expect("written");
    let submit = sent(&[
        "script",
        &file("go.sh"),
        "one",
        "--hosts",
        "a",
        "-i",
        &file("key"),
        "--ssh-config",
        &file("key"),
        "--stdin",
        &file("key"),
    ])
    .expect("a request");
    assert_eq!(
        submit.work,
        wire::Work::Script {
            name: "go.sh".into(),
            args: vec!["one".into()],
            body_base64: STANDARD.encode("#!/bin/sh\n"),
        }
    );
    assert_eq!(submit.options.identities, [file("key")]);
    assert_eq!(submit.options.ssh_config, Some(file("key")));
    assert_eq!(submit.stdin_base64, Some(STANDARD.encode("k")));
    for words in [
        &["script", "/nonexistent/go.sh", "--hosts", "a"][..],
        &["run", "x", "--hosts", "a", "-i", "/nonexistent/key"],
        &["run", "x", "--hosts", "a", "--ssh-config", "/nonexistent/config"],
        &["run", "x", "--hosts", "a", "--stdin", "/nonexistent/input"],
    ] {
        let problem = sent(words).expect_err("a missing file");
        assert_eq!(problem.code, Code::InvalidRequest);
        assert!(problem.detail.contains("'/nonexistent/"), "{problem}");
    }
}

#[test]
fn standard_input_is_read_once() {
    let problem = sent(&["run", "x", "--hosts", "-", "--stdin", "-"]).expect_err("twice");
    assert!(problem.detail.contains("more than once"), "{problem}");
}

#[test]
fn a_command_that_no_machine_takes_is_refused() {
    let long = "x".repeat(limits::COMMAND_BYTES + 1);
    let problem = sent(&["run", &long, "--hosts", "a"]).expect_err("too long");
    assert_eq!(problem.code, Code::TooLarge);
}
