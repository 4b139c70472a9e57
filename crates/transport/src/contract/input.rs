//! Standard input.

use bytes::Bytes;

use super::fixture::{Fixture, command};
use super::{Case, case};

pub(super) const CASES: &[Case] = &[
    case!(input_arrives_whole_and_ends),
    case!(without_input_a_command_reads_the_end_at_once),
    case!(a_command_that_does_not_read_its_input_ends_all_the_same),
    case!(input_and_output_of_any_size_do_not_block_each_other),
];

async fn input_arrives_whole_and_ends(fixture: Fixture) {
    let input: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
    let mut exec = command("cat");
    exec.stdin = Some(Bytes::from(input.clone()));
    let ended = fixture.run(exec).await;
    assert!(ended.stdout == input, "{} bytes came back", ended.stdout.len());
    assert_eq!(ended.code(), 0);
}

async fn without_input_a_command_reads_the_end_at_once(fixture: Fixture) {
    for stdin in [None, Some(Bytes::new())] {
        let mut exec = command("cat; echo end");
        exec.stdin = stdin;
        assert_eq!(fixture.run(exec).await.out(), "end\n");
    }
}

async fn a_command_that_does_not_read_its_input_ends_all_the_same(fixture: Fixture) {
    let mut exec = command("echo deaf; exit 6");
    exec.stdin = Some(Bytes::from(vec![b'x'; 8 * 1024 * 1024]));
    let ended = fixture.run(exec).await;
    assert_eq!(ended.out(), "deaf\n");
    assert_eq!(ended.code(), 6);
}

async fn input_and_output_of_any_size_do_not_block_each_other(fixture: Fixture) {
    let input = vec![b'y'; 16 * 1024 * 1024];
    let mut exec = command("tee /dev/stderr");
    exec.stdin = Some(Bytes::from(input.clone()));
    let ended = fixture.run(exec).await;
    assert!(ended.stdout == input && ended.stderr == input);
}
