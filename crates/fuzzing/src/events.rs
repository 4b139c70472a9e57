//! The parser of server-sent events: the same events however the stream is cut, in bounded memory.
//!
//! The first byte is the size of the pieces; the rest is the stream.

use muster_client::sse::{ID_BYTES, Invalid, Parser, Raw};

/// Checks one input.
pub fn check(input: &[u8]) {
    let Some((size, stream)) = input.split_first() else {
        return;
    };
    let (outcome, events) = parsed(&[stream]);
    let pieces: Vec<&[u8]> = stream.chunks(usize::from(*size) + 1).collect();
    let (in_pieces, same) = parsed(&pieces);
    assert_eq!((&outcome, &events), (&in_pieces, &same), "cut into pieces");

    let mut bytes = 0;
    for event in &events {
        assert!(
            event.id.len() <= ID_BYTES && !event.id.contains('\0'),
            "{:?}",
            event.id
        );
        assert!(!event.event.contains(['\n', '\r']));
        assert!(!event.data.contains('\r'));
        bytes += event.event.len() + event.data.len();
    }
    // Nothing is given twice but the id, which is short.
    assert!(bytes <= stream.len(), "{bytes} bytes from {}", stream.len());
    if outcome.is_ok() {
        written_again(&events);
    }
}

/// What was parsed, written plainly, is parsed to the same.
fn written_again(events: &[Raw]) {
    let mut stream = String::new();
    for event in events {
        stream.push_str(&format!("id: {}\nevent: {}\n", event.id, event.event));
        for line in event.data.split('\n') {
            stream.push_str(&format!("data: {line}\n"));
        }
        stream.push('\n');
    }
    assert_eq!(
        parsed(&[stream.as_bytes()]),
        (Ok(()), events.to_vec()),
        "written again"
    );
}

fn parsed(pieces: &[&[u8]]) -> (Result<(), Invalid>, Vec<Raw>) {
    let mut parser = Parser::new();
    let mut events = Vec::new();
    let outcome = pieces
        .iter()
        .try_for_each(|piece| parser.feed(piece, &mut events));
    (outcome, events)
}
