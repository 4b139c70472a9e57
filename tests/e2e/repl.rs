//! The prompt, in a pseudo-terminal.

use std::io::{Read, Write};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use muster_testkit::home::Home;

use crate::support::{MUSTER, PATIENCE, World};

/// A person at a terminal.
struct Terminal {
    pty: pty_process::blocking::Pty,
    child: std::process::Child,
    screen: mpsc::Receiver<Vec<u8>>,
    seen: String,
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
        let (tx, screen) = mpsc::sync_channel(10_000);
        let master = std::os::fd::AsFd::as_fd(&pty)
            .try_clone_to_owned()
            .expect("a descriptor");
        let mut reader = std::fs::File::from(master);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                if tx.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self {
            pty,
            child,
            screen,
            seen: String::new(),
        }
    }

    /// Types a line.
    fn enter(&mut self, line: &str) {
        self.seen.clear();
        self.pty.write_all(format!("{line}\r").as_bytes()).expect("typed");
    }

    /// Waits until the screen shows a text; answers what the terminal is asked on the way.
    #[track_caller]
    fn expect(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if plain(&self.seen).contains(text) {
                return plain(&self.seen);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.screen.recv_timeout(left.min(Duration::from_secs(5))) {
                Ok(bytes) => {
                    let bytes = String::from_utf8_lossy(&bytes).into_owned();
                    // The line editor asks where the cursor is.
                    for _ in bytes.matches("\x1b[6n") {
                        self.pty.write_all(b"\x1b[1;1R").expect("answered");
                    }
                    self.seen.push_str(&bytes);
                }
                Err(mpsc::RecvTimeoutError::Timeout) if Instant::now() < deadline => {}
                Err(_) => panic!("'{text}' did not come; the screen: {}", plain(&self.seen)),
            }
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

/// The number behind `task id: ` on the screen.
fn task_id(screen: &str) -> String {
    let (_, rest) = screen.rsplit_once("task id: ").expect("a task id");
    rest.chars().take_while(char::is_ascii_digit).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_session_that_started_it_all() {
    let Some(world) = World::new().await else { return };
    let mut terminal = Terminal::open(&world.home, &[]);
    terminal.expect(">>: ");
    let (one, two) = (world.sshd.host(1), world.sshd.host(2));
    terminal.enter(&format!("run \"df -h\" --hosts {one} {two}"));
    terminal.expect("task id: ");
    let screen = terminal.expect(">>: ");
    let id = task_id(&screen);
    world.until_done(&id).await;
    terminal.enter(&format!("check_task {id}"));
    let screen = terminal.expect("Filesystem");
    assert!(
        screen.contains("127.0.1.[1-2]: 2 hosts") || screen.contains(&one),
        "{screen}"
    );
    terminal.expect(">>: ");
    terminal.enter("check_task 4711");
    terminal.expect("4711");
    terminal.expect(">>: ");
    terminal.enter("run \"true\" --hosts web[1-");
    terminal.expect("web[1-");
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
    let screen = terminal.expect("task id: ");
    terminal.expect(">>: ");
    let id = task_id(&screen);
    world
        .until_counts(&id, "it has started", |counts| counts["started"] == 1)
        .await;
    terminal.seen.clear();
    terminal.pty.write_all(b"\x03").expect("typed");
    terminal.expect(">>: ");
    terminal.enter(&format!("check_task {id}"));
    terminal.expect("started");
    terminal.expect(">>: ");
    terminal.seen.clear();
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
    let screen = terminal.expect("2 succeeded");
    let id = task_id(&screen);
    terminal.enter(&format!("check_task {id} --output grouped"));
    terminal.expect("demo3: 1 host, succeeded");
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
