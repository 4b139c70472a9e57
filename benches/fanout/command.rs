//! How each tool is told to run `true` on many hosts, and how many it says have done it.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use muster_bench::{Meter, Run};
use muster_testkit::home::Home;

use crate::fleet::{Fleet, pattern};
use crate::tools::{Kind, Tool};

/// The command of a tool for the first `count` hosts; `config` is the `ssh_config` to use.
pub(crate) fn of(
    tool: &Tool,
    fleet: &Fleet,
    home: &Home,
    config: &Path,
    count: usize,
) -> io::Result<Command> {
    let hosts = fleet.hosts_file(count)?;
    let mut command = home.command(&tool.program);
    match tool.kind {
        Kind::Muster => {
            command
                .env("MUSTER_SSH_CONFIG", config)
                .args(["run", "true", "--output", "quiet", "--connect-timeout", "120s"])
                .args(["--hosts", &pattern(count)]);
        }
        Kind::Pssh => {
            command
                .arg("-h")
                .arg(&hosts)
                .args(["-p", "200", "-t", "120", "-x"])
                .arg(format!("-F {}", config.display()))
                .args(["-i", "true"]);
        }
        Kind::Clush => {
            command
                .args(["-S", "-f", "200", "-o"])
                .arg(format!("-F {}", config.display()))
                .arg(format!("--hostfile={}", hosts.display()))
                .arg("true");
        }
        Kind::Xargs => {
            command
                .arg("-a")
                .arg(&hosts)
                .args(["-P", "200", "-I{}", "ssh", "-F"])
                .arg(config)
                .args(["{}", "true"]);
        }
        Kind::Ansible => {
            command
                .env("ANSIBLE_CONFIG", fleet.ansible_config(home, config)?)
                .args(["all", "-i"])
                .arg(&hosts)
                .args(["-m", "raw", "-a", "true"]);
        }
        Kind::Asyncssh | Kind::ParallelSsh => {
            library(&mut command, tool.kind, fleet, &hosts, "once");
        }
    }
    Ok(command)
}

fn library(command: &mut Command, kind: Kind, fleet: &Fleet, hosts: &Path, mode: &str) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../benches/fanout");
    command
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(here.join(kind.script().unwrap_or_default()))
        .arg(mode)
        .arg(hosts)
        .arg(fleet.sshd.port().to_string())
        .arg(fleet.sshd.user())
        .arg(fleet.sshd.key());
}

/// How many of `count` hosts a run says have succeeded; None where it does not say.
pub(crate) fn succeeded(kind: Kind, run: &Run, count: usize) -> Option<usize> {
    let text = &run.output;
    match kind {
        Kind::Pssh => Some(text.matches("[SUCCESS]").count()),
        Kind::Ansible => Some(
            text.lines()
                .filter(|line| line.contains("| CHANGED") || line.contains("| SUCCESS"))
                .count(),
        ),
        Kind::Asyncssh | Kind::ParallelSsh => {
            let line = text.lines().find_map(|line| line.strip_prefix("ok "));
            line.and_then(|number| number.trim().parse().ok())
        }
        Kind::Muster if !run.succeeded() => before_word(text, "succeeded"),
        // These are silent about success; the exit status tells that all did.
        Kind::Muster | Kind::Clush | Kind::Xargs => run.succeeded().then_some(count),
    }
}

/// The number that stands before a word.
fn before_word(text: &str, word: &str) -> Option<usize> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let pair = words
        .windows(2)
        .rev()
        .find(|pair| pair[1].trim_end_matches([',', ';']) == word)?;
    pair[0].parse().ok()
}

/// A program that uses a library and keeps its connections, driven by lines.
pub(crate) struct Kept {
    child: Child,
    ask: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Kept {
    /// Starts it on the near side and waits until it is ready. It has connected to nothing yet.
    pub(crate) fn start(
        tool: &Tool,
        fleet: &Fleet,
        home: &Home,
        meter: &Meter,
        count: usize,
    ) -> io::Result<Self> {
        let hosts: PathBuf = fleet.hosts_file(count)?;
        let mut command = home.command(&tool.program);
        library(&mut command, tool.kind, fleet, &hosts, "serve");
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0);
        let mut child = meter.near.spawn(&mut command)?;
        let (ask, answers) = (child.stdin.take(), child.stdout.take());
        let answers = answers.ok_or_else(|| io::Error::other("no pipe"))?;
        let mut kept = Self {
            child,
            ask,
            answers: BufReader::new(answers),
        };
        match kept.line()?.as_str() {
            "ready" => Ok(kept),
            other => Err(io::Error::other(format!("not ready but {other:?}"))),
        }
    }

    /// Its process group.
    pub(crate) fn group(&self) -> u32 {
        self.child.id()
    }

    /// Has it run the command once. Returns how many hosts succeeded; None where it does not answer.
    pub(crate) fn run(&mut self) -> Option<usize> {
        let ask = self.ask.as_mut()?;
        ask.write_all(b"run\n").and_then(|()| ask.flush()).ok()?;
        self.line().ok()?.strip_prefix("ok ")?.parse().ok()
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // What its end would take is no part of any figure.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
