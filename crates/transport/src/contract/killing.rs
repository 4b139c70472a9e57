//! Ending a command with everything that it started.

use std::time::{Duration, Instant};

use muster_runtime::clock;

use super::fixture::{Fixture, command, to_the_end, within};
use super::{Case, case};
use crate::types::{ExecEvent, Exit, KillReport};

pub(super) const CASES: &[Case] = &[
    case!(a_kill_ends_a_plain_command_by_term),
    case!(a_command_that_ends_on_term_is_not_killed),
    case!(a_kill_leaves_nothing_of_a_tree_that_ignores_term_forks_and_calls_setsid),
    case!(a_kill_finds_children_with_an_empty_environment),
    case!(a_kill_wins_against_a_command_that_keeps_forking),
    case!(a_kill_ends_what_is_stopped),
    case!(a_kill_right_after_the_start_leaves_nothing),
    case!(a_kill_is_idempotent),
    case!(kills_at_the_same_time_agree),
    case!(a_kill_of_a_command_that_has_ended_does_nothing),
    case!(a_kill_ends_what_a_command_left_behind_whose_end_nobody_has_read),
    case!(a_kill_does_not_touch_a_run_with_a_longer_number),
    case!(a_kill_works_while_nobody_reads_the_output),
    case!(a_kill_works_while_next_is_awaited),
];

const GRACE: Duration = Duration::from_millis(500);

async fn a_kill_ends_a_plain_command_by_term(fixture: Fixture) {
    let exec = command("exec sleep 300");
    let mark = exec.mark.clone();
    let mut running = fixture.start(exec).await;
    let marked = fixture.marked;
    fixture
        .until("the command to run", || !marked(&mark).is_empty())
        .await;
    let started = Instant::now();
    let grace = Duration::from_secs(60);
    let report = running.killer().kill(grace).await.expect("kills");
    assert_eq!((report.terminated, report.killed), (1, 0));
    assert!(
        started.elapsed() < grace,
        "the time of grace is not waited for in vain"
    );
    let ended = to_the_end(running.as_mut()).await;
    assert_eq!(
        ended.last,
        Some(ExecEvent::Exited(Exit::Signal("TERM".to_owned())))
    );
    assert!(marked(&mark).is_empty());
}

async fn a_command_that_ends_on_term_is_not_killed(fixture: Fixture) {
    // It cleans up with programs of its own, which must not be hit by the TERM meant for it.
    let text = format!(
        "trap 'sleep 0.3; echo clean >{}; exit 3' TERM; echo ready; while :; do sleep 0.05; done",
        fixture.scratch.join("said").display()
    );
    let mut running = fixture.start(command(&text)).await;
    let first = within("the first line", running.next()).await;
    assert!(matches!(first, Some(ExecEvent::Output { .. })));
    let report = running
        .killer()
        .kill(Duration::from_secs(60))
        .await
        .expect("kills");
    assert_eq!(report.killed, 0);
    assert_eq!(to_the_end(running.as_mut()).await.code(), 3);
    assert_eq!(fixture.lines("said", 1).await, ["clean"]);
}

/// Starts a command that writes the numbers of `count` processes to a file, and gives its mark.
async fn tree(fixture: &Fixture, text: &str, count: usize) -> (Box<dyn crate::Running>, Vec<u32>) {
    let (running, pids) = tree_of(fixture, text, count).await;
    for pid in &pids {
        assert!((fixture.is_alive)(*pid), "{pid} of {pids:?}");
    }
    (running, pids)
}

/// The same, where some may have ended by then.
async fn tree_of(fixture: &Fixture, text: &str, count: usize) -> (Box<dyn crate::Running>, Vec<u32>) {
    let file = fixture.scratch.join("pids");
    let text = text.replace("PIDS", file.to_str().expect("is text"));
    let running = fixture.start(command(&text)).await;
    let pids = fixture.pids("pids", count).await;
    (running, pids)
}

fn living(fixture: &Fixture, pids: &[u32]) -> Vec<u32> {
    pids.iter()
        .copied()
        .filter(|pid| (fixture.is_alive)(*pid))
        .collect()
}

async fn a_kill_leaves_nothing_of_a_tree_that_ignores_term_forks_and_calls_setsid(fixture: Fixture) {
    // The command itself, a child, a child in a session of its own, a daemon that was forked twice and called
    // setsid, and one that ignores the hangup: all deaf to TERM.
    let text = "trap '' TERM HUP INT
        deaf() { trap '' TERM HUP; echo $(exec sh -c 'echo $PPID') >>PIDS; while :; do sleep 0.1; done; }
        echo $$ >>PIDS
        deaf & 
        setsid sh -c \"trap '' TERM; echo \\$\\$ >>PIDS; while :; do sleep 0.1; done\" &
        (setsid sh -c \"trap '' TERM; (echo \\$(exec sh -c 'echo \\$PPID') >>PIDS; while :; do sleep 0.1; done) & exit\" &)
        nohup sh -c \"trap '' TERM; echo \\$\\$ >>PIDS; while :; do sleep 0.1; done\" >/dev/null 2>&1 &
        while :; do sleep 0.1; done";
    let (mut running, pids) = tree(&fixture, text, 5).await;
    let started = Instant::now();
    let report = running.killer().kill(GRACE).await.expect("kills");
    assert!(started.elapsed() >= GRACE);
    assert!(report.terminated >= 5 && report.killed >= 5, "{report:?}");
    assert_eq!(living(&fixture, &pids), [] as [u32; 0]);
    let ended = to_the_end(running.as_mut()).await;
    assert_eq!(
        ended.last,
        Some(ExecEvent::Exited(Exit::Signal("KILL".to_owned())))
    );
}

async fn a_kill_finds_children_with_an_empty_environment(fixture: Fixture) {
    let text = "echo $$ >>PIDS
        env -i /bin/sh -c 'echo $$ >>PIDS; while :; do sleep 0.1; done' &
        env -i /bin/sh -c '/bin/sh -c \"echo \\$\\$ >>PIDS; while :; do sleep 0.1; done\" & wait' &
        env -i setsid /bin/sh -c 'echo $$ >>PIDS; while :; do sleep 0.1; done' &
        wait";
    let (mut running, pids) = tree(&fixture, text, 4).await;
    running.killer().kill(GRACE).await.expect("kills");
    assert_eq!(living(&fixture, &pids), [] as [u32; 0]);
    assert!(to_the_end(running.as_mut()).await.last.is_some());
}

async fn a_kill_wins_against_a_command_that_keeps_forking(fixture: Fixture) {
    // Each one starts the next and leaves, deaf to TERM: a chase.
    let text =
        "echo $$ >>PIDS; next() { trap '' TERM; (sleep 0.01; next) & exit; }; next & next & wait; sleep 300";
    let exec = command(&text.replace("PIDS", fixture.scratch.join("pids").to_str().expect("is text")));
    let mark = exec.mark.clone();
    let mut running = fixture.start(exec).await;
    fixture.pids("pids", 1).await;
    let report = running.killer().kill(GRACE).await.expect("kills");
    assert!(report.terminated > 0);
    assert_eq!((fixture.marked)(&mark), [] as [u32; 0]);
    assert!(to_the_end(running.as_mut()).await.last.is_some());
}

async fn a_kill_ends_what_is_stopped(fixture: Fixture) {
    let (mut running, pids) = tree(&fixture, "echo $$ >>PIDS; kill -s STOP $$; sleep 300", 1).await;
    running
        .killer()
        .kill(Duration::from_secs(5))
        .await
        .expect("kills");
    assert_eq!(living(&fixture, &pids), [] as [u32; 0]);
    let ended = to_the_end(running.as_mut()).await;
    assert_eq!(
        ended.last,
        Some(ExecEvent::Exited(Exit::Signal("TERM".to_owned())))
    );
}

async fn a_kill_right_after_the_start_leaves_nothing(fixture: Fixture) {
    for _ in 0..10 {
        let exec = command("trap '' TERM; sleep 300; sleep 300");
        let mark = exec.mark.clone();
        let mut running = fixture.start(exec).await;
        let report = running
            .killer()
            .kill(Duration::from_millis(100))
            .await
            .expect("kills");
        let ended = to_the_end(running.as_mut()).await;
        assert!(
            matches!(ended.last, Some(ExecEvent::Exited(_))),
            "{report:?} {:?}",
            ended.last
        );
        assert_eq!((fixture.marked)(&mark), [] as [u32; 0]);
    }
}

async fn a_kill_is_idempotent(fixture: Fixture) {
    let (mut running, pids) = tree(&fixture, "echo $$ >>PIDS; sleep 300", 1).await;
    let killer = running.killer();
    assert!(killer.kill(GRACE).await.expect("kills").terminated > 0);
    for _ in 0..2 {
        assert_eq!(killer.kill(GRACE).await.expect("kills"), KillReport::default());
    }
    assert_eq!(living(&fixture, &pids), [] as [u32; 0]);
    assert!(to_the_end(running.as_mut()).await.last.is_some());
    assert_eq!(killer.kill(GRACE).await.expect("kills"), KillReport::default());
}

async fn kills_at_the_same_time_agree(fixture: Fixture) {
    let (mut running, pids) = tree(
        &fixture,
        "trap '' TERM; echo $$ >>PIDS; while :; do sleep 0.1; done",
        1,
    )
    .await;
    let (one, two) = (running.killer(), running.killer());
    let (one, two) = tokio::join!(one.kill(GRACE), two.kill(GRACE));
    let killed = one.expect("kills").killed + two.expect("kills").killed;
    assert!(killed >= 1, "one of them did it");
    assert_eq!(living(&fixture, &pids), [] as [u32; 0]);
    assert!(to_the_end(running.as_mut()).await.last.is_some());
}

async fn a_kill_of_a_command_that_has_ended_does_nothing(fixture: Fixture) {
    let mut running = fixture
        .start(command("sleep 300 >/dev/null 2>&1 & echo $!"))
        .await;
    let ended = to_the_end(running.as_mut()).await;
    let pid: u32 = ended.out().trim().parse().expect("is a pid");
    let report = running.killer().kill(GRACE).await.expect("nothing to do");
    assert_eq!(report, KillReport::default());
    assert!((fixture.is_alive)(pid), "what it left behind on purpose stays");
    let mark = fixture.run(command(&format!("kill -s KILL {pid}"))).await;
    assert_eq!(mark.code(), 0);
}

async fn a_kill_ends_what_a_command_left_behind_whose_end_nobody_has_read(fixture: Fixture) {
    // Every file is let go of, so the command ends with its first process.
    let text = "sleep 300 </dev/null >/dev/null 2>&1 & echo $$ $! | tr ' ' '\n' >>PIDS; echo unread";
    let (mut running, pids) = tree_of(&fixture, text, 2).await;
    let (shell, daemon) = (pids[0], pids[1]);
    fixture
        .until("the command to exit", || !(fixture.is_alive)(shell))
        .await;
    // Its end is on its way to us, and nobody takes it. Whether it has come by then changes nothing of what must be.
    clock::sleep(Duration::from_millis(500)).await;
    assert!((fixture.is_alive)(daemon));
    let report = running.killer().kill(GRACE).await.expect("kills");
    assert_eq!(report.terminated, 1);
    assert!(!(fixture.is_alive)(daemon));
    let ended = to_the_end(running.as_mut()).await;
    assert_eq!((ended.out(), ended.code()), ("unread\n".to_owned(), 0));
}

async fn a_kill_does_not_touch_a_run_with_a_longer_number(fixture: Fixture) {
    let mut short = command("sleep 300");
    let mut long = command("sleep 300");
    let base = short.mark.clone();
    short.mark = format!("{base}.1");
    long.mark = format!("{base}.10");
    let other = format!("x{base}.1");
    let mut front = command("sleep 300");
    front.mark.clone_from(&other);
    let marks = [short.mark.clone(), long.mark.clone(), other.clone()];
    let mut one = fixture.start(short).await;
    let mut ten = fixture.start(long).await;
    let mut before = fixture.start(front).await;
    let marked = fixture.marked;
    fixture
        .until("all three to run", || {
            marks.iter().all(|mark| !marked(mark).is_empty())
        })
        .await;
    one.killer().kill(GRACE).await.expect("kills");
    assert!(marked(&marks[0]).is_empty());
    assert!(!marked(&marks[1]).is_empty() && !marked(&marks[2]).is_empty());
    for running in [&mut ten, &mut before] {
        running.killer().kill(GRACE).await.expect("kills");
        assert!(to_the_end(running.as_mut()).await.last.is_some());
    }
    assert!(to_the_end(one.as_mut()).await.last.is_some());
}

async fn a_kill_works_while_nobody_reads_the_output(fixture: Fixture) {
    let exec = command(&format!(
        "trap '' TERM; while :; do head -c 1048576 /dev/zero; echo >>{}; done",
        fixture.scratch.join("progress").display()
    ));
    let mark = exec.mark.clone();
    let marked = fixture.marked;
    // Everything on the way is full.
    let (mut running, _) = fixture.stands_still(exec).await;
    within("the kill", running.killer().kill(GRACE))
        .await
        .expect("kills");
    assert_eq!(marked(&mark), [] as [u32; 0]);
    let ended = to_the_end(running.as_mut()).await;
    assert!(ended.last.is_some());
}

async fn a_kill_works_while_next_is_awaited(fixture: Fixture) {
    let exec = command("sleep 300");
    let mark = exec.mark.clone();
    let mut running = fixture.start(exec).await;
    let killer = running.killer();
    let marked = fixture.marked;
    fixture
        .until("the command to run", || !marked(&mark).is_empty())
        .await;
    let (ended, report) = tokio::join!(to_the_end(running.as_mut()), killer.kill(GRACE));
    assert!(report.expect("kills").terminated >= 1);
    assert_eq!(
        ended.last,
        Some(ExecEvent::Exited(Exit::Signal("TERM".to_owned())))
    );
}
