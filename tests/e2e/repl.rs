//! The prompt, in a pseudo-terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::sync::mpsc;
use std::time::Instant;

use muster_testkit::home::Home;

use crate::support::{MUSTER, PATIENCE, World};

/// What a program asks a terminal to learn where the cursor is, and an answer.
const WHERE: &[u8] = b"\x1b[6n";
const HERE: &[u8] = b"\x1b[1;1R";

/// A person at a terminal.
struct Terminal {
    pty: File,
    child: std::process::Child,
    screen: mpsc::Receiver<Vec<u8>>,
    seen: Vec<u8>,
    /// How much of what was seen, without control sequences, has been read.
    read: usize,
}

impl Terminal {
    fn open(home: &Home, args: &[&str]) -> Self {
        let (pty, pts) = pty_process::blocking::open().expect("a pseudo-terminal");
        pty.resize(pty_process::Size::new(50, 160)).expect("a size");
        let mut command = pty_process::blocking::Command::new(MUSTER).args(args).env_clear();
        for (name, value) in home.env() {
            command = command.env(name, value);
        }
        let child = command
            .env("TERM", "xterm")
            .current_dir(home.path())
            .spawn(pts)
            .expect("it starts");
        let master = || File::from(pty.as_fd().try_clone_to_owned().expect("a descriptor"));
        let (reader, pty) = (master(), master());
        let answers = pty.try_clone().expect("a descriptor");
        let (tx, screen) = mpsc::sync_channel(10_000);
        std::thread::spawn(move || show(reader, answers, &tx));
        Self {
            pty,
            child,
            screen,
            seen: Vec::new(),
            read: 0,
        }
    }

    /// Types a line. What is on the screen so far answers something else.
    fn enter(&mut self, line: &str) {
        self.press(format!("{line}\r").as_bytes());
    }

    fn press(&mut self, keys: &[u8]) {
        self.seen.extend(self.screen.try_iter().flatten());
        self.read = self.plain().len();
        self.pty.write_all(keys).expect("typed");
    }

    fn plain(&self) -> String {
        plain(&String::from_utf8_lossy(&self.seen))
    }

    /// Waits until the screen shows a text behind what was read, and reads up to its end.
    ///
    /// What is typed is shown as well, with the prompt: a text that tells an answer stands in the answer alone, and
    /// a prompt is the next one only behind it.
    #[track_caller]
    fn expect(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let plain = self.plain();
            let new = &plain[self.read..];
            if let Some(at) = new.find(text) {
                let end = at + text.len();
                self.read += end;
                return new[..end].to_owned();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.screen.recv_timeout(left) {
                Ok(bytes) => self.seen.extend(bytes),
                Err(_) => panic!("'{text}' did not come; the screen: {plain}"),
            }
        }
    }

    /// Waits for a task's number, which is whole once its line is.
    #[track_caller]
    fn task_id(&mut self) -> String {
        self.expect("task id: ");
        let id = self.expect("\n").trim().to_owned();
        assert!(id.parse::<u64>().is_ok(), "'{id}' is no number of a task");
        id
    }
}

/// Passes on what the screen gets, and answers what the terminal is asked, whoever looks or does not.
fn show(mut reader: File, mut answers: File, screen: &mpsc::SyncSender<Vec<u8>>) {
    let mut buffer = [0; 4096];
    // A question may come in two pieces.
    let mut last = Vec::new();
    while let Ok(count @ 1..) = reader.read(&mut buffer) {
        last.extend_from_slice(&buffer[..count]);
        for _ in last.windows(WHERE.len()).filter(|piece| *piece == WHERE) {
            if answers.write_all(HERE).is_err() {
                return;
            }
        }
        last.drain(..last.len().saturating_sub(WHERE.len() - 1));
        if screen.send(buffer[..count].to_vec()).is_err() {
            return;
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Takes the terminal's control sequences out of a text.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\x1b' => match chars.next() {
                Some('[') => while chars.next().is_some_and(|c| !c.is_ascii_alphabetic() && c != '~') {},
                Some(']') => while chars.next().is_some_and(|c| c != '\x07') {},
                _ => {}
            },
            '\r' => {}
            c => plain.push(c),
        }
    }
    plain
}

#[tokio::test(flavor = "multi_thread")]
async fn the_session_that_started_it_all() {
    let Some(world) = World::new().await else { return };
    let mut terminal = Terminal::open(&world.home, &[]);
    terminal.expect(">>: ");
    let (one, two) = (world.sshd.host(1), world.sshd.host(2));
    terminal.enter(&format!("run \"df -h\" --hosts {one} {two}"));
    let id = terminal.task_id();
    terminal.expect(">>: ");
    world.until_done(&id).await;
    terminal.enter(&format!("check_task {id}"));
    let screen = terminal.expect("Filesystem");
    assert!(
        screen.contains("127.0.1.[1-2]: 2 hosts") || screen.contains(&one),
        "{screen}"
    );
    terminal.expect(">>: ");
    terminal.enter("check_task 4711");
    terminal.expect("there is no task 4711");
    terminal.expect(">>: ");
    terminal.enter("run \"true\" --hosts web[1-");
    terminal.expect("has no closing bracket");
    terminal.expect(">>: ");
    terminal.enter("exit");
    assert!(terminal.child.wait().expect("it ends").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_prompt_tells_when_a_task_has_ended_and_ctrl_c_leaves_it_running() {
    let Some(world) = World::new().await else { return };
    let flag = world.home.path().join("flag");
    let mut terminal = Terminal::open(&world.home, &[]);
    terminal.expect(">>: ");
    let command = format!("while ! test -e {}; do sleep 0.05; done", flag.display());
    terminal.enter(&format!("run '{command}' --hosts {}", world.sshd.host(1)));
    let id = terminal.task_id();
    terminal.expect(">>: ");
    world
        .until_counts(&id, "it has started", |counts| counts["started"] == 1)
        .await;
    terminal.press(b"\x03");
    terminal.expect(">>: ");
    terminal.enter(&format!("check_task {id}"));
    terminal.expect("1 started");
    terminal.expect(">>: ");
    std::fs::write(&flag, "").expect("the flag");
    let screen = terminal.expect("1 succeeded");
    assert!(screen.contains(&format!("task {id}")), "{screen}");
}

#[test]
fn the_demo_leaves_the_person_at_the_prompt_with_its_hosts() {
    let home = Home::new().expect("a home");
    let mut terminal = Terminal::open(&home, &["demo"]);
    terminal.expect("hello from demo5");
    terminal.expect(">>: ");
    terminal.enter("run hostname --hosts demo[2-3]");
    let id = terminal.task_id();
    terminal.expect("2 succeeded");
    terminal.enter(&format!("check_task {id} --output grouped"));
    terminal.expect("demo3: 1 host, succeeded");
    terminal.expect(">>: ");
    terminal.enter("exit");
    assert!(terminal.child.wait().expect("it ends").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_prompt_prints_results_in_the_form_that_was_asked_for() {
    let Some(world) = World::new().await else { return };
    let line = format!("run 'echo hi' --hosts {} --json\n", world.sshd.host(1));
    let done = world.feed(&[], line.as_bytes()).succeeded();
    assert_eq!(done.json()["runs"][0]["stdout"], "hi\n");
    let line = format!("run 'echo hi' --hosts {}\n", world.sshd.host(1));
    let done = world.feed(&[], line.as_bytes()).succeeded();
    assert_eq!(done.stdout, "task id: 2\n");
}
