//! What a host prints is a stranger's data: a terminal gets nothing of it that it would obey, files and JSON
//! get every byte.

use std::io::Read;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use muster_testkit::home::Home;

use crate::support::{MUSTER, World};

/// Clears the screen, sets the title and the clipboard, asks for an answer, changes colours by a C1 control
/// (raw and as UTF-8), reorders text, goes back, and begins sequences that never end.
const HOSTILE: &[u8] =
    b"a\x1b[2J\x1b]0;title\x07\x1b]52;c;eA==\x07\x1b[c\x9b31m\xc2\x9b31m\xe2\x80\xaeb\x08\x08\rc\x05\x0e\n\
    \x1bP$q\x1b_x\x1b^y\xff\x7f\xc2\x9d0;t\xc2\x9c\xe2\x80\x8bz\x1b]8;;http://a/";

/// A command that prints [`HOSTILE`] on both streams, written without any of its bytes.
fn command() -> String {
    let octal: String = HOSTILE.iter().map(|byte| format!("\\{byte:03o}")).collect();
    format!("printf '{octal}'; printf '{octal}' >&2")
}

/// Runs a program on a terminal of its own, and returns every byte that the terminal got.
fn on_terminal(home: &Home, program: &str, args: &[&str]) -> Vec<u8> {
    let (pty, pts) = pty_process::blocking::open().expect("a pseudo-terminal");
    pty.resize(pty_process::Size::new(50, 160)).expect("a size");
    let mut command = pty_process::blocking::Command::new(program)
        .args(args)
        .env_clear();
    for (name, value) in home.env() {
        command = command.env(name, value);
    }
    let command = command.env("TERM", "xterm").env("NO_COLOR", "1");
    let mut child = command.current_dir(home.path()).spawn(pts).expect("it starts");
    let mut got = Vec::new();
    let master = std::os::fd::AsFd::as_fd(&pty)
        .try_clone_to_owned()
        .expect("a descriptor");
    let mut master = std::fs::File::from(master);
    let mut buffer = [0; 4096];
    // Once nobody holds the other end, reading fails.
    while let Ok(count @ 1..) = master.read(&mut buffer) {
        got.extend_from_slice(&buffer[..count]);
    }
    child.wait().expect("it ends");
    got
}

/// Panics where a terminal would obey anything but line feeds; what Muster draws for its progress line is its
/// own.
#[track_caller]
fn harmless(got: &[u8]) -> String {
    let mut text = String::from_utf8(got.to_vec()).expect("UTF-8 alone");
    for own in ["\r\x1b[?7l", "\x1b[K\x1b[?7h", "\r\x1b[K"] {
        text = text.replace(own, "");
    }
    let text = text.replace("\r\n", "\n");
    let obeyed = |c: char| c.is_control() && c != '\n' || matches!(c, '\u{200b}' | '\u{202e}');
    assert!(!text.contains(obeyed), "{text:?}");
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_gets_nothing_that_it_would_obey() {
    let Some(world) = World::new().await else { return };
    let (one, two, command) = (world.hosts(1), world.hosts(2), command());
    for (hosts, output) in [
        (&one, "live"),
        (&two, "live"),
        (&one, "grouped"),
        (&two, "grouped"),
    ] {
        let args = ["run", &command, "--output", output, "--hosts", hosts];
        let shown = harmless(&on_terminal(&world.home, MUSTER, &args));
        for part in [
            "a␛[2J␛]0;title␇␛]52;c;eA==␇␛[c",
            "<U+009B>31m<U+202E>b␈␈␍c␅␎",
            "␛]8;;",
        ] {
            assert!(shown.matches(part).count() >= 2, "{output}: {part} in {shown}");
        }
    }
    // Of a single host whose stdout goes elsewhere, stderr alone comes to the terminal.
    let line = format!(
        "{MUSTER} run \"{}\" --hosts {one} > out",
        command.replace('\\', "\\\\")
    );
    let shown = harmless(&on_terminal(&world.home, "/bin/sh", &["-c", &line]));
    assert!(shown.contains("a␛[2J"), "{shown}");
    assert_eq!(
        std::fs::read(world.home.path().join("out")).expect("the file"),
        HOSTILE
    );
}

/// Valid JSON may hold C1 controls and characters that reorder text: on a terminal they are escaped.
#[tokio::test(flavor = "multi_thread")]
async fn json_on_a_terminal_is_harmless_and_says_the_same() {
    let Some(world) = World::new().await else { return };
    // Mostly ordinary text: what is not comes as base64.
    let text = "a line that is long enough to be taken for text, in spite of what follows: \u{9b}31m\u{202e}x\u{7f}\u{200b}\u{1b}[2J";
    let octal: String = text.bytes().map(|byte| format!("\\\\{byte:03o}")).collect();
    for output in ["json", "jsonl"] {
        let hosts = world.hosts(1);
        let line = format!("{MUSTER} run \"printf '{octal}'\" --hosts {hosts} --output {output} 2>/dev/null");
        let shown = harmless(&on_terminal(&world.home, "/bin/sh", &["-c", &line]));
        if output == "json" {
            let report: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
            assert_eq!(report["runs"][0]["stdout"], text, "{shown}");
        } else {
            let events = shown.lines().map(serde_json::from_str::<serde_json::Value>);
            let data = events.filter_map(|event| Some(event.expect("JSON")["data"].as_str()?.to_owned()));
            assert_eq!(data.collect::<String>(), text, "{shown}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_json_get_every_byte() {
    let Some(world) = World::new().await else { return };
    let (hosts, command) = (world.hosts(1), command());
    let done = world
        .command(&["run", &command, "--hosts", &hosts])
        .output()
        .expect("muster");
    assert_eq!(done.stdout, HOSTILE);
    assert_eq!(
        done.stderr
            .windows(HOSTILE.len())
            .filter(|part| *part == HOSTILE)
            .count(),
        1
    );
    let report = world
        .muster(&["run", &command, "--hosts", &hosts, "--json"])
        .succeeded()
        .json();
    for stream in ["stdout_base64", "stderr_base64"] {
        let bytes = report["runs"][0][stream]
            .as_str()
            .and_then(|text| STANDARD.decode(text).ok());
        assert_eq!(bytes.as_deref(), Some(HOSTILE), "{stream}");
    }
}
