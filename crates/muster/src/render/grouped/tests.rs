//! Tests of grouped output.

use muster_model::Timestamp;

use super::*;

fn run(host: &str, state: RunState, exit_code: Option<i32>, stdout: &str, stderr: &str) -> RunView {
    RunView {
        host: host.into(),
        state,
        attempt: 1,
        exit_code,
        signal: None,
        error: None,
        stdout: stdout.into(),
        stdout_base64: None,
        stderr: stderr.into(),
        stderr_base64: None,
        stdout_bytes: stdout.len() as u64,
        stderr_bytes: stderr.len() as u64,
        truncated: false,
        queued_at: Timestamp(0),
        started_at: None,
        finished_at: None,
    }
}

fn fingerprint(run: &RunView) -> Fingerprint {
    let mut print = Fingerprinter::new(run);
    print.feed(run.stdout.as_bytes());
    print.end_of_part();
    print.feed(run.stderr.as_bytes());
    print.end_of_part();
    print.finish()
}

fn show(runs: &[RunView], terminal: bool) -> String {
    let mut blocks = Blocks::default();
    for (place, run) in runs.iter().enumerate() {
        if run.state == RunState::Queued {
            blocks.still_to_come(run);
        } else {
            blocks.add(run, fingerprint(run), place);
        }
    }
    let mut text = Vec::new();
    for block in blocks.blocks() {
        heading(&block.hosts, &block.ending, false, &mut text);
        let mut body = Body::new(terminal);
        body.feed(Stream::Stdout, runs[block.first].stdout.as_bytes(), &mut text);
        body.feed(Stream::Stderr, runs[block.first].stderr.as_bytes(), &mut text);
        body.end_of_stream(&mut text);
    }
    let mut text = String::from_utf8(text).expect("text");
    if let Some(rest) = blocks.rest() {
        text.push_str(&rest);
        text.push('\n');
    }
    text
}

#[test]
fn identical_outcomes_are_one_block_in_host_order() {
    let mut runs: Vec<RunView> = (1..=20)
        .map(|number| {
            run(
                &format!("web{number:02}"),
                RunState::Succeeded,
                Some(0),
                "12% used\n",
                "",
            )
        })
        .collect();
    runs[18] = run("web19", RunState::Failed, Some(2), "half", "df: no such\x1b[2J");
    let mut unreachable = run("db1", RunState::Unreachable, None, "", "");
    unreachable.error = Some("connection refused".into());
    runs.push(unreachable);
    runs.push(run("slow1", RunState::Queued, None, "", ""));
    runs.push(run("slow2", RunState::Queued, None, "", ""));
    insta::assert_snapshot!(show(&runs, true));
}

#[test]
fn what_differs_in_anything_is_another_block() {
    let base = run("a", RunState::Failed, Some(1), "x", "y");
    let mut others = vec![
        run("a", RunState::Failed, Some(2), "x", "y"),
        run("a", RunState::TimedOut, Some(1), "x", "y"),
        run("a", RunState::Failed, Some(1), "xy", ""),
        run("a", RunState::Failed, Some(1), "", "xy"),
        run("a", RunState::Failed, None, "x", "y"),
    ];
    let mut signal = base.clone();
    signal.signal = Some("KILL".into());
    let mut error = base.clone();
    error.error = Some("KILL".into());
    let mut truncated = base.clone();
    truncated.truncated = true;
    others.extend([signal, error, truncated]);
    for other in &others {
        assert_ne!(fingerprint(&base), fingerprint(other), "{other:?}");
    }
    let mut elsewhere = base.clone();
    elsewhere.host = "b".into();
    elsewhere.started_at = Some(Timestamp(5));
    assert_eq!(fingerprint(&base), fingerprint(&elsewhere));
}

#[test]
fn files_and_pipes_get_the_bytes_as_they_are() {
    let text = show(
        &[run("a", RunState::Succeeded, Some(0), "\x1b[1mbold\r\n", "")],
        false,
    );
    assert!(text.contains("\x1b[1mbold\r\n"), "{text:?}");
}

#[test]
fn hosts_that_failed_alike_are_one_block_whatever_their_names() {
    let unreachable = |host: &str, error: &str| {
        let mut run = run(host, RunState::Unreachable, None, "", "");
        run.error = Some(error.into());
        run
    };
    let shown = show(
        &[
            unreachable("web1", "me@web1:22: connection refused by web1:22"),
            unreachable("root@web2:22", "me@web2:22: connection refused by web2:22"),
            unreachable("web3", "me@web3:22: timed out"),
        ],
        false,
    );
    assert!(
        shown.contains("2 hosts, unreachable: me@HOST:22: connection refused by HOST:22\n"),
        "{shown}"
    );
    assert!(
        shown.contains("web3: 1 host, unreachable: me@web3:22: timed out\n"),
        "{shown}"
    );
}

#[test]
fn only_whole_names_are_taken_out_of_an_error() {
    assert_eq!(
        nameless("web1: web10 and a-web1 and web1.", "web1"),
        "HOST: web10 and a-web1 and HOST."
    );
    assert_eq!(nameless("a name", "a"), "HOST name");
    assert_eq!(nameless("", "a"), "");
}
