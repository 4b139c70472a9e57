//! Output of runs.

use bytes::{Bytes, BytesMut};
use muster_model::output::{FRAME_BODY, decode, encode};
use muster_model::run::Change;
use muster_model::{ErrorKind, Outcome, RunKey, RunState, Stream, Transition};

use super::World;
use super::world::{again, frames, key, must, start, submit, transition};
use crate::open::Opened;

/// Reads a whole log in pieces of at most `most` bytes.
async fn read_all(opened: &Opened, run: RunKey, attempt: u32, most: usize) -> Bytes {
    let mut log = BytesMut::new();
    loop {
        let piece = opened
            .outputs
            .read(run, attempt, log.len() as u64, most)
            .await
            .unwrap();
        if piece.is_empty() {
            return log.freeze();
        }
        let mut rest = piece.clone();
        decode(&mut rest).expect("frames");
        assert!(rest.is_empty(), "a frame was split");
        log.extend_from_slice(&piece);
    }
}

fn ended_with(run: RunKey, attempt: u32, log: Bytes) -> Transition {
    let change = Change::Settle {
        outcome: Outcome::plain(RunState::Succeeded, None),
        output: Some(log),
    };
    transition(run, attempt, 9, change)
}

pub(super) async fn what_is_appended_is_read_in_whole_frames(world: World) {
    let opened = world.open().await;
    let run = key(submit(&opened, "r", 1).await, 0);
    assert_eq!(opened.outputs.read(run, 1, 0, 1000).await.unwrap(), Bytes::new());
    let mut whole = BytesMut::new();
    for number in 0..40_u32 {
        let piece = frames(&["x".repeat(1 + number as usize * 7).as_str(), "y"]);
        let end = opened
            .outputs
            .append(run, 1, whole.len() as u64, piece.clone())
            .await
            .unwrap();
        whole.extend_from_slice(&piece);
        assert_eq!(end, whole.len() as u64);
    }
    for most in [0, 1, 6, 7, 100, 1 << 20, usize::MAX] {
        assert_eq!(read_all(&opened, run, 1, most).await, whole, "{most} at a time");
    }
    for past in [whole.len() as u64, whole.len() as u64 + 1, u64::MAX] {
        assert_eq!(
            opened.outputs.read(run, 1, past, 100).await.unwrap(),
            Bytes::new()
        );
    }
}

pub(super) async fn an_append_that_is_not_at_the_end_is_a_conflict(world: World) {
    let opened = world.open().await;
    let run = key(submit(&opened, "r", 1).await, 0);
    let log = frames(&["first"]);
    let end = opened.outputs.append(run, 1, 0, log.clone()).await.unwrap();
    for wrong in [0, 1, end - 1, end + 1, u64::MAX] {
        let error = opened
            .outputs
            .append(run, 1, wrong, log.clone())
            .await
            .unwrap_err();
        assert_eq!(error.kind, ErrorKind::Conflict, "at {wrong}");
    }
    assert_eq!(read_all(&opened, run, 1, 100).await, log);
}

pub(super) async fn what_is_not_made_of_frames_is_refused(world: World) {
    let opened = world.open().await;
    let run = key(submit(&opened, "r", 1).await, 0);
    let whole = frames(&["one", "two"]);
    for wrong in [
        Bytes::from_static(b"just text"),
        whole.slice(..whole.len() - 1),
        whole.slice(1..),
        Bytes::from_static(&[1, 0, 0, 0, 0]),
    ] {
        let error = opened.outputs.append(run, 1, 0, wrong).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid);
    }
    assert_eq!(read_all(&opened, run, 1, 100).await, Bytes::new());
}

pub(super) async fn more_than_an_append_takes_is_refused(world: World) {
    let opened = world.open().await;
    let run = key(submit(&opened, "r", 1).await, 0);
    let mut log = BytesMut::new();
    encode(&mut log, Stream::Stdout, &vec![b'x'; 7 << 20]);
    let most = log.split().freeze();
    let end = opened.outputs.append(run, 1, 0, most.clone()).await.unwrap();
    encode(&mut log, Stream::Stdout, &vec![b'y'; 8 << 20]);
    let error = opened
        .outputs
        .append(run, 1, end, log.freeze())
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooLarge);
    assert_eq!(read_all(&opened, run, 1, usize::MAX).await, most);
}

pub(super) async fn a_log_that_is_discarded_while_it_grows_may_begin_anew(world: World) {
    let opened = world.open().await;
    let run = key(submit(&opened, "r", 1).await, 0);
    let log = frames(&["x"]);
    for _ in 0..15 {
        let (grown, piece) = (opened.clone(), log.clone());
        let grow = async move {
            let mut end = 0;
            while let Ok(next) = grown.outputs.append(run, 1, end, piece.clone()).await {
                end = next;
                if end > 20 * piece.len() as u64 {
                    break;
                }
            }
        };
        let discarding = opened.clone();
        let discard = async move {
            for _ in 0..5 {
                discarding.outputs.discard(run, 1).await.unwrap();
            }
        };
        world
            .at_once([
                Box::pin(grow) as futures_util::future::BoxFuture<'static, ()>,
                Box::pin(discard),
            ])
            .await;
        opened.outputs.discard(run, 1).await.unwrap();
        assert_eq!(read_all(&opened, run, 1, 100).await, Bytes::new());
    }
    opened.outputs.append(run, 1, 0, log.clone()).await.unwrap();
    assert_eq!(read_all(&opened, run, 1, 100).await, log);
}

pub(super) async fn a_long_frame_is_read_whole_however_little_was_asked_for(world: World) {
    let opened = world.open().await;
    let run = key(submit(&opened, "r", 1).await, 0);
    let mut log = BytesMut::new();
    encode(&mut log, Stream::Stderr, &vec![7; 3 * FRAME_BODY + 1]);
    let log = log.freeze();
    opened.outputs.append(run, 1, 0, log.clone()).await.unwrap();
    let first = opened.outputs.read(run, 1, 0, 1).await.unwrap();
    assert_eq!(first, log.slice(..first.len()));
    assert!(first.len() > FRAME_BODY);
    assert_eq!(read_all(&opened, run, 1, 1).await, log);
    assert_eq!(read_all(&opened, run, 1, 2 * FRAME_BODY).await, log);
}

pub(super) async fn output_that_came_with_the_end_is_read_from_the_same_port(world: World) {
    let opened = world.open().await;
    let run = key(submit(&opened, "r", 2).await, 0);
    let log = frames(&["out", "err", "\0\u{fffd}", "last"]);
    must(&opened, vec![start(run, "me"), ended_with(run, 1, log.clone())]).await;
    for most in [1, 20, 1000] {
        assert_eq!(read_all(&opened, run, 1, most).await, log);
    }
    assert_eq!(read_all(&opened, run, 2, 1000).await, Bytes::new());
    assert_eq!(read_all(&opened, key(run.task, 1), 1, 1000).await, Bytes::new());
}

pub(super) async fn output_of_many_runs_comes_at_once_and_of_last_attempts_alone(world: World) {
    let opened = world.open().await;
    let id = submit(&opened, "r", 6).await;
    let log = |text: &str| frames(&[text]);
    let mut changes: Vec<Transition> = [0, 1, 2, 4].map(|index| start(key(id, index), "me")).to_vec();
    changes.push(ended_with(key(id, 0), 1, log("zero")));
    changes.push(ended_with(key(id, 2), 1, log("two")));
    changes.push(transition(key(id, 4), 1, 5, again(RunState::Failed)));
    changes.push(transition(key(id, 4), 2, 6, start(key(id, 4), "me").change));
    changes.push(ended_with(key(id, 4), 2, log("four again")));
    must(&opened, changes).await;
    opened
        .outputs
        .append(key(id, 1), 1, 0, log("in a file"))
        .await
        .unwrap();
    let all = opened.outputs.read_inline(id, 0, u32::MAX).await.unwrap();
    assert_eq!(all, [(0, log("zero")), (2, log("two")), (4, log("four again"))]);
    let some = opened.outputs.read_inline(id, 1, 4).await.unwrap();
    assert_eq!(some, [(2, log("two"))]);
    assert_eq!(opened.outputs.read_inline(id, 4, 4).await.unwrap(), []);
}

pub(super) async fn discarded_output_is_gone_and_may_be_discarded_again(world: World) {
    let opened = world.open().await;
    let id = submit(&opened, "r", 2).await;
    let (inline, large) = (key(id, 0), key(id, 1));
    let log = frames(&["something"]);
    must(
        &opened,
        vec![start(inline, "me"), ended_with(inline, 1, log.clone())],
    )
    .await;
    opened.outputs.append(large, 1, 0, log.clone()).await.unwrap();
    for run in [inline, large] {
        for _ in 0..2 {
            opened.outputs.discard(run, 1).await.unwrap();
            assert_eq!(read_all(&opened, run, 1, 100).await, Bytes::new());
        }
    }
    assert_eq!(opened.outputs.read_inline(id, 0, 9).await.unwrap(), []);
    let end = opened.outputs.append(large, 1, 0, log.clone()).await.unwrap();
    assert_eq!(end, log.len() as u64, "a discarded log begins anew");
    assert_eq!(read_all(&opened, large, 1, 100).await, log);
}

pub(super) async fn attempts_have_logs_of_their_own(world: World) {
    let opened = world.open().await;
    let run = key(submit(&opened, "r", 1).await, 0);
    for attempt in [1, 2, u32::MAX] {
        let log = frames(&[&format!("attempt {attempt}")]);
        opened.outputs.append(run, attempt, 0, log).await.unwrap();
    }
    opened.outputs.discard(run, 2).await.unwrap();
    assert_eq!(read_all(&opened, run, 1, 100).await, frames(&["attempt 1"]));
    assert_eq!(read_all(&opened, run, 2, 100).await, Bytes::new());
    let last = frames(&[&format!("attempt {}", u32::MAX)]);
    assert_eq!(read_all(&opened, run, u32::MAX, 100).await, last);
}

pub(super) async fn five_hundred_runs_stream_at_once(world: World) {
    let opened = world.open().await;
    let id = submit(&opened, "r", 500).await;
    let writers = (0..500).map(|index| {
        let opened = opened.clone();
        async move {
            let mut end = 0;
            for line in 0..8 {
                let log = frames(&[&format!("host {index} line {line}")]);
                end = opened.outputs.append(key(id, index), 1, end, log).await.unwrap();
            }
        }
    });
    world.at_once(writers).await;
    for index in 0..500 {
        let lines: Vec<String> = (0..8).map(|line| format!("host {index} line {line}")).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert_eq!(read_all(&opened, key(id, index), 1, 64).await, frames(&lines));
    }
}

pub(super) async fn of_two_that_append_at_the_same_place_one_wins(world: World) {
    let opened = world.open().await;
    let run = key(submit(&opened, "r", 1).await, 0);
    let log = frames(&["x"]);
    for round in 0..20 {
        let at = round * log.len() as u64;
        let racers = (0..8).map(|_| {
            let (opened, log) = (opened.clone(), log.clone());
            async move {
                opened
                    .outputs
                    .append(run, 1, at, log)
                    .await
                    .map_err(|error| error.kind)
            }
        });
        let answers = world.at_once(racers).await;
        let won = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(won, 1);
        assert!(
            answers
                .iter()
                .all(|answer| !matches!(answer, Err(kind) if *kind != ErrorKind::Conflict))
        );
    }
    assert_eq!(read_all(&opened, run, 1, 1000).await.len(), 20 * log.len());
}
