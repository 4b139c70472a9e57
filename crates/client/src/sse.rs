//! Server-sent events: the parser, on bytes alone.
//!
//! It follows the HTML standard's rules for event streams: lines end with LF, CR or CRLF; a colon starts a
//! comment; one space after the field's colon is dropped; several `data` lines are joined with LF; an
//! empty line ends an event, which counts only where it has data; an `id` holding NUL is ignored, and an
//! id stays until another one replaces it. An event that the end of the stream cuts off is dropped.

/// An event as it came over the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Raw {
    /// The last id that the stream has named so far; empty: none.
    pub id: String,
    /// The event's name; empty: none.
    pub event: String,
    /// Its data.
    pub data: String,
}

/// A stream that is not one of events.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Invalid {
    /// An event or its id is longer than anything the server sends.
    #[error("an event is longer than {EVENT_BYTES} bytes, or its id than {ID_BYTES}")]
    TooLong,
    /// A line is not UTF-8.
    #[error("an event is not UTF-8")]
    NotText,
}

/// The longest event that is read: output comes in frames of at most 256 KiB, which JSON can make six
/// times longer.
pub const EVENT_BYTES: usize = 8 * 1024 * 1024;

/// The longest id that is read. It is given with every event that follows it, so that a long one would fill
/// memory; the server's are a few numbers.
pub const ID_BYTES: usize = 256;

/// Cuts a stream of bytes into events. The bytes may come in pieces of any size.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    /// The last byte ended a line and was a CR: an LF that follows belongs to it.
    after_carriage_return: bool,
    /// Whether the first line is behind us (a byte order mark may open it).
    begun: bool,
    last_id: String,
    event: String,
    data: String,
    has_data: bool,
}

impl Parser {
    /// Returns a parser at the start of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes and appends the events that they complete to `events`.
    ///
    /// # Errors
    ///
    /// [`Invalid`]; the stream is of no use from then on.
    pub fn feed(&mut self, bytes: &[u8], events: &mut Vec<Raw>) -> Result<(), Invalid> {
        let mut rest = bytes;
        if self.after_carriage_return && !rest.is_empty() {
            self.after_carriage_return = false;
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        while let Some(end) = memchr::memchr2(b'\n', b'\r', rest) {
            let line = &rest[..end];
            let was_return = rest[end] == b'\r';
            rest = &rest[end + 1..];
            if was_return {
                match rest.strip_prefix(b"\n") {
                    Some(after) => rest = after,
                    None => self.after_carriage_return = rest.is_empty(),
                }
            }
            self.bounded(line)?;
            if self.line.is_empty() {
                self.line_is(line, events)?;
            } else {
                self.line.extend_from_slice(line);
                self.end_of_line(events)?;
            }
        }
        self.bounded(rest)?;
        self.line.extend_from_slice(rest);
        Ok(())
    }

    fn bounded(&self, part: &[u8]) -> Result<(), Invalid> {
        if self.line.len() + self.data.len() + part.len() > EVENT_BYTES {
            return Err(Invalid::TooLong);
        }
        Ok(())
    }

    fn end_of_line(&mut self, events: &mut Vec<Raw>) -> Result<(), Invalid> {
        let mut taken = std::mem::take(&mut self.line);
        let outcome = self.line_is(&taken, events);
        // The buffer is kept for the next line.
        taken.clear();
        self.line = taken;
        outcome
    }

    fn line_is(&mut self, bytes: &[u8], events: &mut Vec<Raw>) -> Result<(), Invalid> {
        let mut line = std::str::from_utf8(bytes).map_err(|_| Invalid::NotText)?;
        if !std::mem::replace(&mut self.begun, true) {
            line = line.strip_prefix('\u{feff}').unwrap_or(line);
        }
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            let data = std::mem::take(&mut self.data);
            if std::mem::take(&mut self.has_data) {
                events.push(Raw {
                    id: self.last_id.clone(),
                    event,
                    data,
                });
            }
            return Ok(());
        }
        let (field, value) = match line.split_once(':') {
            Some((field, value)) => (field, value.strip_prefix(' ').unwrap_or(value)),
            None => (line, ""),
        };
        match field {
            "data" => {
                if self.has_data {
                    self.data.push('\n');
                }
                self.has_data = true;
                self.data.push_str(value);
            }
            "event" => value.clone_into(&mut self.event),
            "id" if value.len() > ID_BYTES => return Err(Invalid::TooLong),
            "id" if !value.contains('\0') => value.clone_into(&mut self.last_id),
            // A comment (no field name), `retry`, or a field from the future.
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(pieces: &[&[u8]]) -> Vec<Raw> {
        let mut parser = Parser::new();
        let mut events = Vec::new();
        for piece in pieces {
            parser.feed(piece, &mut events).expect("a stream of events");
        }
        events
    }

    fn raw(id: &str, event: &str, data: &str) -> Raw {
        Raw {
            id: id.into(),
            event: event.into(),
            data: data.into(),
        }
    }

    const STREAM: &str = "\u{feff}: a comment\r\nid: 1\revent:task\ndata: {\"a\":1}\r\n\r\n\
        data:  two\ndata\ndata: lines \u{1F600}\n\n:ping\n\nid\ndata: x\n\nevent: only\n\nid: 7\0\ndata: y\n\n\
        data: cut off\n";

    fn expected() -> Vec<Raw> {
        vec![
            raw("1", "task", "{\"a\":1}"),
            raw("1", "", " two\n\nlines \u{1F600}"),
            raw("", "", "x"),
            raw("", "", "y"),
        ]
    }

    #[test]
    fn a_stream_gives_its_events_wherever_it_is_split() {
        let bytes = STREAM.as_bytes();
        assert_eq!(parse(&[bytes]), expected());
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                assert_eq!(parse(&pieces), expected(), "split at {first} and {second}");
            }
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(parse(&single), expected(), "byte by byte");
    }

    #[test]
    fn an_endless_event_is_refused_before_it_fills_memory() {
        let mut parser = Parser::new();
        let mut events = Vec::new();
        let piece = vec![b'x'; 1024 * 1024];
        let outcome = (0..9).try_for_each(|_| parser.feed(&piece, &mut events));
        assert_eq!(outcome, Err(Invalid::TooLong));
    }

    #[test]
    fn a_long_id_is_refused_before_it_is_given_with_every_event() {
        let stream = |length| format!("id: {}\ndata: x\n\n", "1".repeat(length));
        let feed = |text: &str| Parser::new().feed(text.as_bytes(), &mut Vec::new());
        assert_eq!(feed(&stream(ID_BYTES)), Ok(()));
        assert_eq!(feed(&stream(ID_BYTES + 1)), Err(Invalid::TooLong));
    }

    #[test]
    fn bytes_that_are_no_text_are_refused() {
        assert_eq!(
            Parser::new().feed(b"data: \xff\n\n", &mut Vec::new()),
            Err(Invalid::NotText)
        );
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_give_what_they_give_at_once(
            bytes in proptest::collection::vec(
                prop_oneof![Just(b'\n'), Just(b'\r'), Just(b':'), Just(b' '), Just(b'd'), any::<u8>()], 0..200),
            cut in 0usize..200,
        ) {
            let cut = cut.min(bytes.len());
            let mut whole = (Parser::new(), Vec::new());
            let outcome = whole.0.feed(&bytes, &mut whole.1);
            let mut parts = (Parser::new(), Vec::new());
            let halves = parts.0.feed(&bytes[..cut], &mut parts.1)
                .and_then(|()| parts.0.feed(&bytes[cut..], &mut parts.1));
            prop_assert_eq!(outcome, halves);
            prop_assert_eq!(whole.1, parts.1);
        }
    }
}
