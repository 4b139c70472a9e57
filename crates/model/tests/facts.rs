//! The facts script for real, on this machine, in each shell that is installed. The crate itself starts no process.
#![expect(clippy::expect_used, reason = "tests")]

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use muster_model::facts::{self, Facts};

/// Shells that the script must run in; those that are not installed are passed over, but `sh` never.
const SHELLS: [&[&str]; 9] = [
    &["sh"],
    &["dash"],
    &["busybox", "sh"],
    &["bash", "--posix"],
    &["ksh"],
    &["ksh93"],
    &["mksh"],
    &["yash"],
    &["zsh", "--emulate", "sh"],
];

/// Runs the script as its standard input; None where the shell is not installed.
fn run(shell: &[&str]) -> Option<Output> {
    let (program, arguments) = shell.split_first().expect("a shell");
    let mut command = Command::new(program);
    command.args(arguments).arg("-s").stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && program != &"sh" => return None,
        child => child.expect("a shell"),
    };
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(facts::GATHER.as_bytes()).expect("the script");
    drop(stdin);
    Some(child.wait_with_output().expect("an answer"))
}

fn facts_of(shell: &[&str], output: &Output) -> Facts {
    assert_eq!(output.status.code(), Some(0), "{shell:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{shell:?}");
    facts::parse(&output.stdout).expect("facts")
}

/// Facts without those that change from second to second.
fn steady(mut facts: Facts) -> Facts {
    facts.uptime_s = None;
    facts.disks.iter_mut().for_each(|disk| disk.free_bytes = 0);
    facts
}

#[test]
fn every_shell_finds_the_same() {
    let mut first: Option<Facts> = None;
    for shell in SHELLS {
        let Some(output) = run(shell) else {
            println!("{shell:?} is not installed");
            continue;
        };
        let facts = steady(facts_of(shell, &output));
        let expected = first.get_or_insert_with(|| facts.clone());
        assert_eq!(&facts, expected, "{shell:?}");
    }
}

#[test]
fn what_this_machine_surely_has_is_found() {
    let output = run(&["sh"]).expect("sh");
    let facts = facts_of(&["sh"], &output);
    assert!(facts.kernel.is_some() && facts.kernel_release.is_some() && facts.arch.is_some());
    assert!(facts.os.id.is_some(), "{facts:?}");
    assert!(facts.cpus.is_some_and(|cpus| cpus > 0));
    assert!(facts.mem_bytes.is_some_and(|bytes| bytes > 1 << 20));
    assert!(facts.uptime_s.is_some());
    assert!(
        facts
            .disks
            .iter()
            .any(|disk| disk.mount == "/" && disk.free_bytes > 0),
        "{:?}",
        facts.disks
    );
}

#[test]
fn a_shell_that_complains_of_nothing_reads_the_whole_script() {
    for shell in SHELLS {
        let (program, arguments) = shell.split_first().expect("a shell");
        if program.starts_with("ksh") {
            // Without running it, it has opinions on which of two standard forms is the faster one.
            continue;
        }
        let mut command = Command::new(program);
        command.args(arguments).args(["-n", "-c", facts::GATHER]);
        let Ok(output) = command.output() else { continue };
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{shell:?}");
    }
}
