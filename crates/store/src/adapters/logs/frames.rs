//! Where frames begin and end in a log, without copying what is in them.

use bytes::Bytes;
use muster_model::output::{FRAME_BODY, FRAME_HEAD};

/// Returns the length of the frame whose head `log` begins with, head included; None for what is no head.
///
/// `log` holds at least a head.
fn length(log: &[u8]) -> Option<usize> {
    let head: &[u8; FRAME_HEAD] = log.first_chunk()?;
    let body = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
    (matches!(head[0], 1 | 2) && body > 0 && body <= FRAME_BODY).then_some(FRAME_HEAD + body)
}

/// Returns how many bytes at the front of `log` are whole frames; None where something else stands in it.
pub(crate) fn whole(log: &[u8]) -> Option<usize> {
    let mut at = 0;
    while log.len() - at >= FRAME_HEAD {
        let next = at + length(&log[at..])?;
        if next > log.len() {
            break;
        }
        at = next;
    }
    Some(at)
}

/// Returns how many bytes at the front of `log` to hand out to somebody who takes `most`: whole frames, at
/// least one where there is one. None where something else stands in it.
pub(crate) fn within(log: &[u8], most: usize) -> Option<usize> {
    let fits = whole(&log[..log.len().min(most)])?;
    if fits > 0 || log.len() < FRAME_HEAD {
        return Some(fits);
    }
    let first = length(log)?;
    Some(if first <= log.len() { first } else { 0 })
}

/// Returns frames of a log that is in memory, from `from` on; None where no frame begins there.
pub(crate) fn from(log: &Bytes, from: u64, most: usize) -> Option<Bytes> {
    let Some(from) = usize::try_from(from).ok().filter(|from| *from < log.len()) else {
        return Some(Bytes::new());
    };
    let rest = log.slice(from..);
    within(&rest, most).map(|length| rest.slice(..length))
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use muster_model::Stream;
    use muster_model::output::encode;

    use super::*;

    fn log(bodies: &[usize]) -> Bytes {
        let mut log = BytesMut::new();
        for body in bodies {
            encode(&mut log, Stream::Stdout, &vec![7; *body]);
        }
        log.freeze()
    }

    #[test]
    fn frames_are_never_split() {
        let log = log(&[10, 20, 30]);
        let table = [
            (0, 0, 15),
            (0, 14, 15),
            (0, 15, 15),
            (0, 39, 15),
            (0, 40, 40),
            (0, 1000, 75),
            (15, 1, 25),
            (75, 100, 0),
            (u64::MAX, 100, 0),
        ];
        for (at, most, length) in table {
            assert_eq!(
                from(&log, at, most).map(|frames| frames.len()),
                Some(length),
                "{most} from {at}"
            );
        }
    }

    #[test]
    fn an_incomplete_last_frame_is_left_out() {
        let log = log(&[10, 20]);
        assert_eq!(whole(&log[..39]), Some(15));
        assert_eq!(whole(&log[..17]), Some(15));
        assert_eq!(within(&log[..14], 100), Some(0));
        assert_eq!(within(&log[..3], 100), Some(0));
    }

    #[test]
    fn what_is_no_frame_is_said_so() {
        assert_eq!(whole(b"not a frame"), None);
        assert_eq!(whole(&[1, 0, 0, 0, 0]), None);
        assert_eq!(whole(&[1, 0, 0, 0, 255, 0]), None);
        assert_eq!(within(b"not a frame", 3), None);
        assert_eq!(from(&log(&[10]), 3, 100), None);
    }
}
