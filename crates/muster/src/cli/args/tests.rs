//! Tests of what can be typed.

use std::time::Duration;

use clap::CommandFactory;
use muster_model::quantity::Amount;
use muster_model::task::Priority;

use super::*;

fn parse(words: &[&str]) -> Command {
    Line::try_parse_from(std::iter::once("muster").chain(words.iter().copied()))
        .unwrap_or_else(|error| panic!("{words:?}: {error}"))
        .command
        .expect("a command")
}

fn refused(words: &[&str]) -> String {
    let error = Line::try_parse_from(std::iter::once("muster").chain(words.iter().copied()))
        .err()
        .unwrap_or_else(|| panic!("{words:?} was taken"));
    assert!(error.use_stderr(), "{words:?}");
    error.to_string()
}

fn run(words: &[&str]) -> Run {
    match parse(words) {
        Command::Run(run) => *run,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_definition_holds_together() {
    Line::command().debug_assert();
    PromptLine::command().debug_assert();
}

#[test]
fn a_command_that_is_one_slip_away_is_proposed() {
    let told = |line: &str| {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let all = std::iter::once("muster".to_owned()).chain(words.iter().cloned());
        let mut error = Line::try_parse_from(all).expect_err("no such command");
        propose(&mut error, words.into_iter(), &Line::command());
        error.to_string()
    };
    for (line, meant) in [
        ("rnu uptime --hosts a", "'run'"),
        ("server stpo", "'stop'"),
        // The parser's own proposal stays.
        ("cancle 7", "'cancel'"),
    ] {
        assert!(told(line).contains(meant), "{line}: {}", told(line));
    }
    assert!(!told("frobnicate").contains("similar"), "{}", told("frobnicate"));
}

#[test]
fn a_command_stands_before_the_hosts_or_after_two_dashes() {
    let expected = vec!["192.168.3.55".to_owned(), "10.4.3.4".to_owned()];
    let one = run(&["run", "df -h", "--hosts", "192.168.3.55", "10.4.3.4"]);
    assert_eq!(one.command, ["df -h"]);
    assert_eq!(one.task.targets.hosts, expected);
    let other = run(&["run", "--hosts", "192.168.3.55", "10.4.3.4", "--", "df", "-h"]);
    assert_eq!(other.command, ["df", "-h"]);
    assert_eq!(other.task.targets.hosts, expected);
    let twice = run(&[
        "run",
        "x",
        "--hosts",
        "a",
        "--timeout",
        "5s",
        "--hosts",
        "b",
        "-x",
        "c",
        "d",
    ]);
    assert_eq!(twice.task.targets.hosts, ["a", "b"]);
    assert_eq!(twice.task.targets.narrowed.exclude, ["c", "d"]);
    assert_eq!(run(&["run", "x", "--hosts", "-"]).task.targets.hosts, ["-"]);
}

#[test]
fn every_option_of_a_task_is_read() {
    let words = "run x --hosts a --timeout 1h30m --connect-timeout 5s --concurrency 20 --batch 25% \
                 --max-failures 3 --retries 2 --expires 1d --priority high --user deploy --sudo --env A=b=c \
                 --env E= --cwd /tmp --stdin - --dry-run --detach --output grouped --max-output 2GiB \
                 --accept-new -i key --ssh-config cfg --ask-password --ask-passphrase --ask-sudo-password \
                 --kill-grace 1s --sudo-user www";
    let words: Vec<&str> = words.split_whitespace().collect();
    let task = run(&words).task;
    assert_eq!(task.course.timeout, Some(Duration::from_secs(5400)));
    assert_eq!(task.login.connect_timeout, Some(Duration::from_secs(5)));
    assert_eq!(task.course.concurrency, Some(20));
    assert_eq!(task.course.batch, Some(Amount::Percent(25)));
    assert_eq!(task.course.max_failures, Some(Amount::Hosts(3)));
    assert_eq!(task.course.retries, 2);
    assert_eq!(task.course.expires, Some(Duration::from_secs(86400)));
    assert_eq!(Priority::from(task.course.priority), Priority::High);
    assert_eq!(task.login.user.as_deref(), Some("deploy"));
    assert!(task.surroundings.sudo && task.dry_run && task.detach && task.login.accept_new);
    assert_eq!(task.surroundings.sudo_user.as_deref(), Some("www"));
    assert_eq!(
        task.surroundings.env,
        [("A".into(), "b=c".into()), ("E".into(), String::new())]
    );
    assert_eq!(task.surroundings.max_output, Some(2 << 30));
    assert_eq!(task.output.mode(), Mode::Grouped);
    let secrets = task.login.secrets;
    assert!(secrets.ask_password && secrets.ask_passphrase && secrets.ask_sudo_password);
}

#[test]
fn the_last_one_of_an_option_wins_and_lists_add_up() {
    let run = run(&[
        "run",
        "x",
        "--hosts",
        "a",
        "--timeout",
        "5s",
        "--env",
        "A=1",
        "--timeout",
        "7s",
        "--env",
        "B=2",
    ]);
    assert_eq!(run.task.course.timeout, Some(Duration::from_secs(7)));
    assert_eq!(run.task.surroundings.env.len(), 2);
}

#[test]
fn sudo_swallows_nothing() {
    let run = run(&["run", "--sudo", "id", "--hosts", "a"]);
    assert_eq!(run.command, ["id"]);
    assert!(run.task.surroundings.sudo);
}

#[test]
fn what_is_wrong_is_named_with_what_would_be_right() {
    for (words, part) in [
        (
            &["run", "x", "--hosts", "a", "--timeout", "-5s"][..],
            "'-5s' is negative",
        ),
        (
            &["run", "x", "--hosts", "a", "--timeout", "soon"],
            "'soon' is not a duration",
        ),
        (
            &["run", "x", "--hosts", "a", "--batch", "101%"],
            "'101%' is not an amount",
        ),
        (
            &["run", "x", "--hosts", "a", "--max-output", "-1"],
            "'-1' is not a size",
        ),
        (
            &["run", "x", "--hosts", "a", "--env", "1X=y"],
            "'1X' is not the name of a variable",
        ),
        (
            &["run", "x", "--hosts", "a", "--concurrency", "0"],
            "0 is not in 1..",
        ),
        (&["run", "x"], "--hosts <HOST>"),
        (&["check_task", "abc"], "'abc' is not a task number"),
        (&["check_task"], "<ID>"),
        (&["tasks", "--state", "odd"], "possible values: running, done"),
        (
            &["run", "x", "--hosts", "a", "--json", "-o", "live"],
            "cannot be used with",
        ),
        (&["nothing"], "unrecognized subcommand 'nothing'"),
    ] {
        let error = refused(words);
        assert!(error.contains(part), "{words:?}: {error}");
    }
}

#[test]
fn check_is_check_task() {
    for name in ["check_task", "check"] {
        let Command::CheckTask(check) = parse(&[name, "45334", "--json"]) else {
            panic!("{name}");
        };
        assert_eq!((check.id, check.json), (TaskId(45334), true));
    }
}

#[test]
fn arguments_of_a_script_may_begin_with_a_dash_after_two_of_them() {
    let Command::Script(script) = parse(&["script", "--hosts", "a", "--", "go.sh", "-v", "x"]) else {
        panic!("no script");
    };
    assert_eq!(script.words, ["go.sh", "-v", "x"]);
}

#[test]
fn the_help_of_run_shows_two_ways_to_write_it() {
    let error = Line::command()
        .term_width(100)
        .try_get_matches_from(["muster", "run", "-h"])
        .expect_err("help");
    assert!(!error.use_stderr());
    insta::assert_snapshot!(error.to_string());
}

#[test]
fn a_call_for_help_among_the_words_of_a_command_is_not_taken_for_ours() {
    let told = |words: &str| meant_for_the_hosts(words.split(' ').map(str::to_owned));
    let run = told("run df -h --hosts web1").expect("refused");
    assert!(run.contains("muster run \"df -h\" --hosts"), "{run}");
    let script = told("script go.sh now --version --hosts web1").expect("refused");
    assert!(
        script.contains("muster script --hosts HOST... -- go.sh now --version"),
        "{script}"
    );
    for ours in [
        "run -h",
        "run --hosts web1 -h",
        "run df --hosts web1 -h",
        "hosts rm -h",
        "-V",
        "run",
    ] {
        assert_eq!(told(ours), None, "{ours}");
    }
}
