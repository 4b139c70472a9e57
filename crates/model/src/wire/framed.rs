//! Live events as frames: the compact form of the event stream, in which output travels as the bytes that
//! the host wrote. The same events with the same ids as in the server-sent form.
//!
//! A frame is `head length: u32 LE | body length: u32 LE | head | body`. The head is JSON, `{"id": …, "event": …}`
//! with an [`Event`], or `{"problem": …}` with a [`Problem`], which ends a stream that cannot go on. The body of an
//! output event are its bytes (`data` in its head is empty); every other body is empty. A frame whose lengths
//! are both 0 says only that the stream is alive.

use bytes::{Buf, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::Event;
use crate::output::FRAME_BODY;
use crate::problem::Problem;

/// The media type of a stream of frames.
pub const MEDIA_TYPE: &str = "application/vnd.muster.events";
/// Says only that the stream is alive.
pub const ALIVE: &[u8] = &[0; LENGTHS];

const LENGTHS: usize = 8;
/// The longest head: a task's title is a command line of at most 128 KiB, which JSON can make six times longer.
const HEAD: usize = 1024 * 1024;

/// What a frame says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// An event, with the id to resume from.
    Event(String, Event),
    /// Why the stream cannot go on.
    Problem(Problem),
}

/// A stream that is not one of frames.
#[derive(Debug, thiserror::Error)]
pub enum Invalid {
    /// A frame is longer than anything the server sends.
    #[error("a frame is longer than any event")]
    TooLong,
    /// A head is not the JSON that it should be.
    #[error("the head of a frame cannot be read: {0}")]
    Head(#[from] serde_json::Error),
}

#[derive(Serialize)]
struct EventHead<'a> {
    id: &'a str,
    event: &'a Event,
}

#[derive(Serialize)]
struct ProblemHead<'a> {
    problem: &'a Problem,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Head {
    Event { id: String, event: Event },
    Problem { problem: Problem },
}

/// Writes an event as a frame: its lengths and its head, and its body, which is shared and not copied.
///
/// # Errors
///
/// Where the event cannot be written as JSON.
pub fn event(id: &str, mut event: Event) -> serde_json::Result<(Bytes, Bytes)> {
    let body = match &mut event {
        Event::Output(output) => std::mem::take(&mut output.bytes),
        Event::Reset | Event::Task(_) | Event::Run(_) => Bytes::new(),
    };
    let head = frame(&EventHead { id, event: &event }, body.len())?;
    Ok((head, body))
}

/// Writes a problem as a frame.
///
/// # Errors
///
/// Where the problem cannot be written as JSON.
pub fn problem(problem: &Problem) -> serde_json::Result<Bytes> {
    frame(&ProblemHead { problem }, 0)
}

fn frame(head: &impl Serialize, body: usize) -> serde_json::Result<Bytes> {
    let mut frame = vec![0; LENGTHS];
    serde_json::to_writer(&mut frame, head)?;
    let lengths = [frame.len() - LENGTHS, body];
    for (place, length) in frame.chunks_exact_mut(4).zip(lengths) {
        // Longer than any event: the reader refuses it.
        place.copy_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    }
    Ok(frame.into())
}

/// Cuts a stream of bytes into frames. The bytes may come in pieces of any size.
#[derive(Debug, Default)]
pub struct Parser {
    /// The bytes of a frame whose rest has not come.
    begun: BytesMut,
}

impl Parser {
    /// Returns a parser at the start of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes and appends what the frames say that they complete to `told`. The bodies of frames that
    /// are whole in `bytes` are not copied.
    ///
    /// # Errors
    ///
    /// [`Invalid`]; the stream is of no use from then on.
    pub fn feed(&mut self, mut bytes: Bytes, told: &mut Vec<Told>) -> Result<(), Invalid> {
        while !self.begun.is_empty() {
            let needed = match lengths(&self.begun)? {
                Some((head, body)) => LENGTHS + head + body,
                None => LENGTHS,
            };
            let missing = needed.saturating_sub(self.begun.len());
            let part = bytes.split_to(missing.min(bytes.len()));
            self.begun.reserve(missing);
            self.begun.extend_from_slice(&part);
            if self.begun.len() < needed {
                return Ok(());
            }
            if let Some(frame) = whole(&mut self.begun.split().freeze(), &mut self.begun)? {
                told.extend(read(frame)?);
            }
        }
        while let Some(frame) = whole(&mut bytes, &mut self.begun)? {
            told.extend(read(frame)?);
        }
        Ok(())
    }
}

/// Returns the lengths at the front of a frame; None where they have not come.
fn lengths(frame: &[u8]) -> Result<Option<(usize, usize)>, Invalid> {
    let Some(([a, b, c, d, e, f, g, h], _)) = frame.split_first_chunk::<LENGTHS>() else {
        return Ok(None);
    };
    let head = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
    let body = u32::from_le_bytes([*e, *f, *g, *h]) as usize;
    if head > HEAD || body > FRAME_BODY {
        return Err(Invalid::TooLong);
    }
    Ok(Some((head, body)))
}

/// Takes a whole frame off the front of `bytes`; where there is none, moves them all to `begun`.
fn whole(bytes: &mut Bytes, begun: &mut BytesMut) -> Result<Option<(Bytes, Bytes)>, Invalid> {
    match lengths(bytes)? {
        Some((head, body)) if bytes.len() >= LENGTHS + head + body => {
            bytes.advance(LENGTHS);
            Ok(Some((bytes.split_to(head), bytes.split_to(body))))
        }
        _ => {
            begun.extend_from_slice(bytes);
            bytes.clear();
            Ok(None)
        }
    }
}

/// Reads a frame; None for one that says only that the stream is alive.
fn read((head, body): (Bytes, Bytes)) -> Result<Option<Told>, Invalid> {
    if head.is_empty() && body.is_empty() {
        return Ok(None);
    }
    Ok(Some(match serde_json::from_slice(&head)? {
        Head::Event { id, mut event } => {
            if let Event::Output(output) = &mut event {
                output.bytes = body;
            }
            Told::Event(id, event)
        }
        Head::Problem { problem } => Told::Problem(problem),
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::TaskId;
    use crate::output::Stream;
    use crate::problem::Code;
    use crate::wire::OutputEvent;

    fn output(bytes: Vec<u8>) -> Event {
        Event::Output(OutputEvent {
            task: TaskId(7),
            index: 0,
            host: "web1".into(),
            attempt: 1,
            stream: Stream::Stdout,
            offset: 9,
            bytes: bytes.into(),
        })
    }

    /// Writes and tells the same.
    fn story(outputs: &[Vec<u8>]) -> (Vec<u8>, Vec<Told>) {
        let mut written = Vec::new();
        let mut told = Vec::new();
        for bytes in outputs {
            written.extend_from_slice(ALIVE);
            for event_ in [Event::Reset, output(bytes.clone())] {
                let (head, body) = event("e-1-2", event_.clone()).expect("a frame");
                written.extend_from_slice(&head);
                written.extend_from_slice(&body);
                told.push(Told::Event("e-1-2".into(), event_));
            }
        }
        let why = Problem::new(Code::Internal, "the disk is gone");
        written.extend_from_slice(&problem(&why).expect("a frame"));
        told.push(Told::Problem(why));
        (written, told)
    }

    fn parse<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Told>, Invalid> {
        let mut parser = Parser::new();
        let mut told = Vec::new();
        for piece in pieces {
            parser.feed(Bytes::copy_from_slice(piece), &mut told)?;
        }
        Ok(told)
    }

    #[test]
    fn a_stream_gives_its_frames_wherever_it_is_split() {
        let (written, told) = story(&[b"one".to_vec(), b"\xff\0".to_vec(), Vec::new()]);
        assert_eq!(parse([&written[..]]).expect("frames"), told);
        for cut in 0..=written.len() {
            let (left, right) = written.split_at(cut);
            assert_eq!(parse([left, right]).expect("frames"), told, "split at {cut}");
        }
        assert_eq!(parse(written.chunks(1)).expect("frames"), told, "byte by byte");
    }

    #[test]
    fn an_endless_frame_is_refused_before_it_fills_memory() {
        let long = |head: u32, body: u32| [head.to_le_bytes(), body.to_le_bytes()].concat();
        for lengths in [long(u32::MAX, 0), long(2, u32::MAX), long(2, 256 * 1024 + 1)] {
            assert!(matches!(parse([&lengths[..]]), Err(Invalid::TooLong)));
            assert!(matches!(parse(lengths.chunks(3)), Err(Invalid::TooLong)));
        }
    }

    #[test]
    fn a_head_that_is_no_event_is_refused() {
        let mut frame = vec![2, 0, 0, 0, 0, 0, 0, 0];
        frame.extend_from_slice(b"{}");
        assert!(matches!(parse([&frame[..]]), Err(Invalid::Head(_))));
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_back(
            outputs in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..6),
            size in 1_usize..400,
        ) {
            let (written, told) = story(&outputs);
            let read = parse(written.chunks(size)).map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(read, told);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse([&bytes[..]]);
        }
    }
}
