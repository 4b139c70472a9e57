//! Output of a run as a log of frames: stdout and stderr apart, in the order in which they came.
//!
//! A frame on disk, in the cache and in the database is `stream: u8 | length: u32 LE | bytes`. Offsets
//! into the log always stand at the start of a frame. The format is stored: it only ever grows.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

/// Which of the two output streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A piece of output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The stream that it came on.
    pub stream: Stream,
    /// The bytes, never empty in a log.
    pub bytes: Bytes,
}

/// Length of a frame's head, in bytes.
pub const FRAME_HEAD: usize = 5;
/// The longest frame body; longer pieces are split.
pub const FRAME_BODY: usize = 256 * 1024;

/// A log that is not made of whole frames.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the output log is damaged at byte {offset}")]
pub struct Damaged {
    /// Where the first frame that is not one stands.
    pub offset: usize,
}

/// Appends `bytes` to `log` as one or more frames.
pub fn encode(log: &mut BytesMut, stream: Stream, bytes: &[u8]) {
    for piece in bytes.chunks(FRAME_BODY) {
        log.reserve(FRAME_HEAD + piece.len());
        log.put_u8(match stream {
            Stream::Stdout => 1,
            Stream::Stderr => 2,
        });
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a piece is at most FRAME_BODY long"
        )]
        log.put_u32_le(piece.len() as u32);
        log.put_slice(piece);
    }
}

/// Takes the whole frames off the front of `log`; an incomplete last frame stays in it.
///
/// # Errors
///
/// [`Damaged`] where a head names no stream or a body longer than [`FRAME_BODY`].
pub fn decode(log: &mut Bytes) -> Result<Vec<Frame>, Damaged> {
    let whole = log.len();
    let mut frames = Vec::new();
    while log.len() >= FRAME_HEAD {
        let stream = match log[0] {
            1 => Stream::Stdout,
            2 => Stream::Stderr,
            _ => {
                return Err(Damaged {
                    offset: whole - log.len(),
                });
            }
        };
        let length = u32::from_le_bytes([log[1], log[2], log[3], log[4]]) as usize;
        if length == 0 || length > FRAME_BODY {
            return Err(Damaged {
                offset: whole - log.len(),
            });
        }
        if log.len() < FRAME_HEAD + length {
            break;
        }
        log.advance(FRAME_HEAD);
        frames.push(Frame {
            stream,
            bytes: log.split_to(length),
        });
    }
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn decoding_gives_back_what_was_encoded(
            pieces in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 1..700)), 0..20)
        ) {
            let mut log = BytesMut::new();
            for (out, bytes) in &pieces {
                encode(&mut log, if *out { Stream::Stdout } else { Stream::Stderr }, bytes);
            }
            let mut log = log.freeze();
            let frames = decode(&mut log).map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert!(log.is_empty());
            prop_assert_eq!(frames.len(), pieces.len());
            for (frame, (out, bytes)) in frames.iter().zip(&pieces) {
                prop_assert_eq!(frame.stream == Stream::Stdout, *out);
                prop_assert_eq!(&frame.bytes[..], &bytes[..]);
            }
        }

        #[test]
        fn any_bytes_decode_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut log = Bytes::from(bytes);
            let _ = decode(&mut log);
        }
    }
}
