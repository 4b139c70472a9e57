//! The program as text, and as it runs in the shells and on the tools that hosts have.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use muster_testkit::require::everything_is_required;
use muster_testkit::{proc, wait};

use super::*;

#[test]
fn the_program_is_short_and_does_not_look_like_one_of_the_run() {
    let program = program("12.3.1-a", Duration::from_millis(2500));
    assert!(program.len() < 4608, "{} bytes", program.len());
    assert!(program.contains("RUN=12.3.1-a\n"));
    assert!(program.contains("grace=250\n"));
    assert!(!program.contains('@') && !program.contains("MUSTER_RUN=12"));
}

#[test]
fn its_last_word_is_read() {
    let done = outcome(b"hello from .bashrc\nmuster-kill 1 3 2 \n").expect("is read");
    assert!(done.seen && done.left.is_empty());
    assert_eq!((done.report.terminated, done.report.killed), (3, 2));
    assert_eq!(
        outcome(b"muster-kill 1 1 1 77 78\n").expect("is read").left,
        [77, 78]
    );
    for bad in [
        "",
        "muster-kill",
        "muster-kill 1 x 1",
        "sudo: a password is required\n",
    ] {
        assert_eq!(outcome(bad.as_bytes()), None, "{bad}");
    }
}

/// A run of four processes that stay and one that comes and goes: itself, a child with a child, both deaf to TERM,
/// and one with an empty environment.
fn tree(mark: &str) -> Child {
    use std::os::unix::process::CommandExt;
    let deaf = "sh -c \"trap '' TERM; sleep 300 & while :; do sleep 0.1; done\"";
    let text = format!("{deaf} & env -i sleep 301 & wait");
    let child = Command::new("sh")
        .args(["-c", &text])
        .env("MUSTER_RUN", mark)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("sh starts");
    wait::blocking(Duration::from_secs(60), "all that stay", || {
        let below = proc::descendants(child.id());
        let runs = |argv: [&str; 2]| {
            below
                .iter()
                .any(|process| process.argv.starts_with(&argv.map(str::to_owned)))
        };
        (runs(["sleep", "300"]) && runs(["sleep", "301"])).then_some(())
    })
    .expect("they run");
    child
}

/// Kills two runs of three that look alike with a variant of the program.
fn kills(shell: &[&str], path: Option<&Path>, vary: fn(String) -> String) {
    let base = format!("{}.{:08x}", std::process::id(), rand::random::<u32>());
    let marks = [format!("{base}.1"), format!("{base}.10"), format!("x{base}.1")];
    let mut trees = marks.clone().map(|mark| tree(&mark));
    let text = vary(program(&marks[0], Duration::from_millis(200)));
    let mut command = Command::new(shell[0]);
    command.args(&shell[1..]).args(["-c", &text]);
    if let Some(path) = path {
        command.env("PATH", path);
    }
    let output = command.output().expect("the shell starts");
    let said = outcome(&output.stdout).unwrap_or_else(|| panic!("{shell:?}: {output:?}"));
    assert!(said.seen && said.left.is_empty(), "{shell:?}: {said:?}");
    // Those that stay: what the deaf one sleeps with is there or not, as it happens.
    assert!(
        said.report.terminated >= 3 && said.report.killed >= 1,
        "{shell:?}: {said:?}"
    );
    assert!(output.stderr.is_empty(), "{shell:?}: {output:?}");
    trees[0].wait().expect("has ended");
    for (tree, mark) in trees.iter_mut().zip(&marks).skip(1) {
        assert!(
            proc::with_env("MUSTER_RUN", mark).len() >= 2,
            "another run was hit"
        );
        let group = nix::unistd::Pid::from_raw(i32::try_from(tree.id()).expect("is a pid"));
        nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL).expect("is ended");
        tree.wait().expect("has ended");
    }
    wait::blocking(Duration::from_secs(60), "the groups to end", || {
        marks
            .iter()
            .all(|mark| proc::with_env("MUSTER_RUN", mark).is_empty())
            .then_some(())
    })
    .expect("nothing is left");
}

/// A command that a login shell runs by itself: it has the mark in its command line and nothing of it has it in
/// its environment.
fn login_shell(mark: &str) -> Child {
    Command::new("bash")
        .args([
            "-c",
            &format!("export MUSTER_RUN={mark}; while read -t 300 line; do :; done"),
        ])
        .env_remove("MUSTER_RUN")
        .stdin(Stdio::piped())
        .spawn()
        .expect("bash starts")
}

/// Kills a command of a login shell among others whose marks look alike.
fn kills_by_command_line(vary: fn(String) -> String) {
    let base = format!("{}.{:08x}", std::process::id(), rand::random::<u32>());
    let [mut own, mut longer, mut prefixed] =
        [format!("{base}.1"), format!("{base}.10"), format!("x{base}.1")].map(|mark| login_shell(&mark));
    let text = vary(program(&format!("{base}.1"), Duration::from_secs(2)));
    let output = Command::new("sh")
        .args(["-c", &text])
        .output()
        .expect("sh starts");
    let said = outcome(&output.stdout).unwrap_or_else(|| panic!("{output:?}"));
    assert!(said.seen && said.left.is_empty(), "{said:?}");
    assert!(!own.wait().expect("has ended").success());
    for other in [&mut longer, &mut prefixed] {
        assert!(
            other.try_wait().expect("is asked").is_none(),
            "another run was hit"
        );
        other.kill().expect("is ended");
        other.wait().expect("has ended");
    }
}

#[test]
fn it_finds_what_a_login_shell_runs_by_itself() {
    kills_by_command_line(|text| text);
    kills_by_command_line(without_z);
    kills_by_command_line(without_proc);
}

/// As on a host whose grep does not know -z.
fn without_z(text: String) -> String {
    text.replace("grep -z .", "grep --muster-no-such-option .")
}

/// As on a host without /proc.
fn without_proc(text: String) -> String {
    text.replace("/proc/self/environ", "/nonexistent")
}

/// Runs the program on tables of processes that are made up, the last one again and again; returns the signals that
/// it sent.
fn signals(tables: &[&str], grace: Duration) -> Vec<String> {
    let folder = tempfile::tempdir().expect("is made");
    let path = folder.path();
    for (number, table) in tables.iter().enumerate() {
        let table = table.replace("MARK", "MUSTER_RUN=7.1");
        std::fs::write(path.join(number.to_string()), table).expect("is written");
    }
    let ps = format!(
        "#!/bin/sh\ncd {0} || exit\nread -r n <turn\n[ -e $((n + 1)) ] && echo $((n + 1)) >turn\ncat $n\n",
        path.display()
    );
    std::fs::write(path.join("turn"), "0\n").expect("is written");
    std::fs::write(path.join("ps"), ps).expect("is written");
    std::fs::set_permissions(
        path.join("ps"),
        std::os::unix::fs::PermissionsExt::from_mode(0o700),
    )
    .expect("is made a program");
    // No group lives but in the tables.
    let kill = format!(
        "kill() {{ [ \"$1\" = -0 ] || echo \"$*\" >>{}/sent; [ \"$1\" != -0 ]; }}\n",
        path.display()
    );
    let output = Command::new("sh")
        .args(["-c", &format!("{kill}{}", without_proc(program("7.1", grace)))])
        .env("PATH", format!("{}:/usr/bin:/bin", path.display()))
        .output()
        .expect("sh starts");
    assert!(outcome(&output.stdout).is_some(), "{output:?}");
    let sent = std::fs::read_to_string(path.join("sent")).unwrap_or_default();
    sent.lines().map(str::to_owned).collect()
}

#[test]
fn a_number_that_another_process_got_is_not_the_runs_any_more() {
    // Both first processes of the run end at once. One leaves a process in its group, which is still the run's; the
    // number of the other goes to somebody else, while a third process makes use of its grace.
    let begin = "91 1 91 S MARK\n92 1 92 S MARK\n93 1 92 S cat\n94 1 94 S MARK\n";
    let alone = "93 1 92 S cat\n94 1 94 S MARK\n";
    let reused = "91 1 91 S innocent\n95 91 91 S child\n93 1 92 S cat\n94 1 94 S MARK\n";
    let over = "91 1 91 S innocent\n95 91 91 S child\n";
    let tables = [
        begin, begin, alone, alone, alone, reused, reused, reused, reused, reused, reused, over,
    ];
    let sent = signals(&tables, Duration::from_millis(400));
    let hits = |signal: &str, number: &str| {
        sent.iter().filter(|line| line.starts_with(signal)).any(|line| {
            line.split(' ')
                .skip(1)
                .any(|word| word.trim_start_matches('-') == number)
        })
    };
    for number in ["91", "92", "93", "94"] {
        assert!(hits("-TERM", number), "{number}: {sent:?}");
    }
    assert!(hits("-KILL", "93") && hits("-KILL", "94"), "{sent:?}");
    assert!(!hits("-KILL", "91") && !hits("-", "95"), "{sent:?}");
}

#[test]
fn it_ends_one_run_alone_in_every_shell() {
    for shell in ["dash", "bash"] {
        kills(&[shell], None, |text| text);
    }
}

#[test]
fn it_needs_no_grep_that_knows_nul() {
    kills(&["sh"], None, without_z);
}

#[test]
fn it_needs_no_proc() {
    kills(&["sh"], None, without_proc);
}

#[test]
fn it_runs_on_busybox_alone() {
    let folder = tempfile::tempdir().expect("is made");
    let installed = Command::new("busybox")
        .arg("--install")
        .arg("-s")
        .arg(folder.path())
        .status();
    if !installed.is_ok_and(|status| status.success()) {
        assert!(
            !everything_is_required(),
            "busybox is missing: install the package busybox"
        );
        eprintln!("ignored: busybox is missing");
        return;
    }
    let shell = folder.path().join("sh");
    let shell = shell.to_str().expect("is text");
    kills(&[shell], Some(folder.path()), |text| text);
    kills(&[shell], Some(folder.path()), without_z);
}
