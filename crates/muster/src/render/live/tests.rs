//! Tests of live output.

use muster_model::task::TaskState;
use muster_model::wire::TaskView;
use muster_model::{Counts, TaskId, Timestamp};

use super::*;

fn task(total: u32) -> Event {
    Event::Task(TaskView {
        id: TaskId(7),
        kind: "command".into(),
        command: "x".into(),
        state: TaskState::Running,
        created_at: Timestamp(0),
        finished_at: None,
        output_removed_at: None,
        counts: Counts {
            total,
            queued: total,
            ..Counts::default()
        },
    })
}

fn output(index: u32, host: &str, stream: Stream, bytes: &[u8]) -> Event {
    Event::Output(OutputEvent {
        task: TaskId(7),
        index,
        host: host.into(),
        attempt: 1,
        stream,
        offset: 0,
        bytes: bytes.to_vec().into(),
    })
}

fn end(index: u32, host: &str, state: RunState, exit_code: Option<i32>) -> Event {
    Event::Run(RunEvent {
        task: TaskId(7),
        index,
        host: host.into(),
        state,
        attempt: 1,
        exit_code,
        signal: None,
        error: None,
        stdout_bytes: 0,
        stderr_bytes: 0,
        truncated: false,
    })
}

fn show(terminals: Terminals, events: &[Event]) -> (String, String) {
    let mut live = Live::new(terminals);
    let mut screen = Screen::default();
    for event in events {
        live.event(event, &mut screen);
    }
    live.finish(&mut screen);
    (screen.text(Lane::Out), screen.text(Lane::Err))
}

const TERMINAL: Terminals = Terminals {
    out: true,
    err: true,
    colours: false,
    colours_always: false,
};

#[test]
fn lines_of_hosts_are_whole_and_never_mixed() {
    let events = [
        task(2),
        output(0, "web1", Stream::Stdout, b"one\ntw"),
        output(1, "db", Stream::Stdout, b"other\n"),
        output(0, "web1", Stream::Stdout, b"o\n"),
        output(0, "web1", Stream::Stderr, b"oops\nrest"),
        output(1, "db", Stream::Stdout, b"\nno end"),
        end(0, "web1", RunState::Failed, Some(3)),
        end(1, "db", RunState::Succeeded, Some(0)),
    ];
    let (out, err) = show(Terminals::default(), &events);
    assert_eq!(out, "web1: one\ndb: other\nweb1: two\ndb: \ndb: no end\n");
    assert_eq!(err, "web1: oops\nweb1: rest\nmuster: web1: failed, exit code 3\n");
}

#[test]
fn a_terminal_gets_padded_names_and_harmless_lines() {
    let events = [
        task(2),
        end(1, "long-name", RunState::Started, None),
        output(0, "a", Stream::Stdout, b"\x1b[2Jx\r\n"),
        output(1, "long-name", Stream::Stdout, b"y\n"),
    ];
    let (out, _) = show(TERMINAL, &events);
    assert_eq!(out, "a:         ␛[2Jx\nlong-name: y\n");
}

#[test]
fn colours_come_only_where_they_are_wanted() {
    let events = [task(2), output(0, "a", Stream::Stdout, b"x\n")];
    let coloured = Terminals {
        colours: true,
        ..TERMINAL
    };
    assert!(show(coloured, &events).0.contains('\x1b'));
    let piped = Terminals {
        colours: true,
        ..Terminals::default()
    };
    assert!(!show(piped, &events).0.contains('\x1b'));
}

#[test]
fn a_single_host_into_a_pipe_gives_its_bytes_unchanged() {
    let bytes: Vec<u8> = (0..=255).cycle().take(200_000).collect();
    let mut events = vec![task(1)];
    events.extend(
        bytes
            .chunks(777)
            .map(|piece| output(0, "web1", Stream::Stdout, piece)),
    );
    events.push(end(0, "web1", RunState::Succeeded, Some(0)));
    let mut live = Live::new(Terminals::default());
    let mut screen = Screen::default();
    for event in &events {
        live.event(event, &mut screen);
    }
    live.finish(&mut screen);
    let written: Vec<u8> = screen.take().into_iter().flat_map(|(_, bytes)| bytes).collect();
    assert_eq!(written, bytes);
}

#[test]
fn a_line_without_end_is_cut_between_characters() {
    let long = "é".repeat(LINE_BYTES);
    let events = [task(2), output(0, "a", Stream::Stdout, long.as_bytes())];
    let (out, _) = show(Terminals::default(), &events);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().all(|line| line.len() <= LINE_BYTES + 3));
    assert!(!out.contains('\u{fffd}'));
}

/// Of a single host whose stdout goes to a file, stderr comes to the terminal as it is printed.
#[test]
fn stderr_on_a_terminal_is_harmless_however_it_is_cut() {
    let only_err = Terminals {
        out: false,
        ..TERMINAL
    };
    let events = [
        task(1),
        output(0, "web1", Stream::Stderr, b"a\x1b[2J\xc3"),
        output(0, "web1", Stream::Stderr, b"\xa9\r"),
        output(0, "web1", Stream::Stdout, b"\x1b[2J\xff"),
        output(0, "web1", Stream::Stderr, b"\nb\xe2\x80"),
        end(0, "web1", RunState::Succeeded, Some(0)),
    ];
    let (_, err) = show(only_err, &events);
    assert_eq!(err, "a␛[2Jé\nb\u{fffd}\n");
}

/// A host that ends in the middle of a line does not get Muster's word for its own.
#[test]
fn what_is_told_of_a_single_host_stands_on_a_line_of_its_own() {
    let ends = |stderr: &[u8]| {
        let events = [
            task(1),
            output(0, "web1", Stream::Stderr, stderr),
            output(0, "web1", Stream::Stdout, b"no end"),
            end(0, "web1", RunState::Failed, Some(3)),
        ];
        show(Terminals::default(), &events)
    };
    let told = "muster: web1: failed, exit code 3\n";
    assert_eq!(ends(b"oops"), ("no end".to_owned(), format!("oops\n{told}")));
    assert_eq!(ends(b"oops\n"), ("no end".to_owned(), format!("oops\n{told}")));
    assert_eq!(ends(b""), ("no end".to_owned(), told.to_owned()));
}
