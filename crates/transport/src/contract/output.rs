//! Output: apart, in order, whole, and no faster than it is read.

use muster_model::Stream;

use super::fixture::{Fixture, command, to_the_end, within};
use super::{Case, case};
use crate::types::{ExecEvent, Exit};

pub(super) const CASES: &[Case] = &[
    case!(keeps_stdout_and_stderr_apart_and_in_order),
    case!(bytes_stay_bytes),
    case!(thirty_two_mebibytes_arrive_whole),
    case!(output_comes_while_the_command_runs),
    case!(the_last_bytes_before_the_end_arrive),
    case!(a_slow_reader_slows_the_command_and_memory_stays_bounded),
    case!(the_connection_serves_others_after_a_command_is_dropped_unread),
];

async fn keeps_stdout_and_stderr_apart_and_in_order(fixture: Fixture) {
    // Each piece waits until the one before has come: two pipes have no order between them that anybody could see
    // otherwise.
    let text = format!(
        "cd {} && seen() {{ until [ -e $1 ]; do sleep 0.02; done; }}
        for i in 1 2 3; do echo out$i; seen out$i; echo err$i >&2; seen err$i; done",
        fixture.scratch.display()
    );
    let mut running = fixture.start(command(&text)).await;
    for number in 1..=3 {
        for (stream, name) in [(Stream::Stdout, "out"), (Stream::Stderr, "err")] {
            let name = format!("{name}{number}");
            let piece = ExecEvent::Output {
                stream,
                bytes: format!("{name}\n").into(),
            };
            assert_eq!(within("the next piece", running.next()).await, Some(piece));
            std::fs::write(fixture.scratch.join(name), "").expect("is written");
        }
    }
    let ended = to_the_end(running.as_mut()).await;
    assert_eq!((ended.out(), ended.err()), (String::new(), String::new()));
    assert_eq!(ended.code(), 0);
}

async fn bytes_stay_bytes(fixture: Fixture) {
    let all: Vec<u8> = (0..=255).collect();
    std::fs::write(fixture.scratch.join("bytes"), &all).expect("is written");
    let path = fixture.scratch.join("bytes");
    let ended = fixture
        .run(command(&format!("cat {0}; cat {0} >&2", path.display())))
        .await;
    assert_eq!(ended.stdout, all);
    assert_eq!(ended.stderr, all);
}

async fn thirty_two_mebibytes_arrive_whole(fixture: Fixture) {
    // A line number a line: what is missing, doubled or out of order is seen.
    let ended = fixture.run(command("seq 1 4400000")).await;
    assert!(ended.stdout.len() > 32 * 1024 * 1024);
    let mut next = 1u32;
    for line in ended.out().lines() {
        assert_eq!(line.parse(), Ok(next));
        next += 1;
    }
    assert_eq!(next, 4_400_001);
    assert_eq!(ended.code(), 0);
}

async fn output_comes_while_the_command_runs(fixture: Fixture) {
    let path = fixture.scratch.join("go");
    let exec = command(&format!(
        "echo ready; while [ ! -e {0} ]; do sleep 0.02; done; echo done",
        path.display()
    ));
    let mut running = fixture.start(exec).await;
    let first = within("the first line", running.next()).await;
    assert_eq!(
        first,
        Some(ExecEvent::Output {
            stream: Stream::Stdout,
            bytes: "ready\n".into()
        })
    );
    std::fs::write(path, "").expect("is written");
    assert_eq!(to_the_end(running.as_mut()).await.out(), "done\n");
}

async fn the_last_bytes_before_the_end_arrive(fixture: Fixture) {
    for _ in 0..20 {
        let ended = fixture
            .run(command("head -c 200000 /dev/zero; echo last >&2; exit 9"))
            .await;
        assert_eq!(ended.stdout.len(), 200_000);
        assert_eq!(ended.err(), "last\n");
        assert_eq!(ended.code(), 9);
    }
}

async fn a_slow_reader_slows_the_command_and_memory_stays_bounded(fixture: Fixture) {
    let (mut running, before) = fixture.stalled().await;
    // Sockets and pipes of the machine hold some more than the 4 MiB that are ours.
    assert!(before < 24, "{before} MiB were written and read by nobody");
    let ended = to_the_end(running.as_mut()).await;
    assert_eq!(ended.stdout.len(), 64 * 1024 * 1024);
    assert_eq!(ended.last, Some(ExecEvent::Exited(Exit::Code(0))));
}

async fn the_connection_serves_others_after_a_command_is_dropped_unread(fixture: Fixture) {
    let exec = command("cat /dev/zero");
    let mark = exec.mark.clone();
    let running = fixture.start(exec).await;
    let marked = fixture.marked;
    fixture
        .until("the command to run", || !marked(&mark).is_empty())
        .await;
    drop(running);
    for _ in 0..12 {
        assert_eq!(fixture.run(command("echo next")).await.out(), "next\n");
    }
    // Nobody takes its output any more, so it ends as it would behind a closed pipe.
    fixture
        .until("the command to end", || marked(&mark).is_empty())
        .await;
}
