//! Values: whole ones, counters, and ones that grow.

use bytes::{Bytes, BytesMut};

/// Pieces from this size on are kept as they come, without copying.
const PIECE: usize = 16 << 10;
/// Smaller pieces are gathered up to this size.
const SEGMENT: usize = 64 << 10;
/// What a segment costs beside its bytes.
const SEGMENT_COST: usize = 64;
/// Values below this are copied when they are set: a few bytes must not keep a large buffer of their
/// sender alive.
const SMALL: usize = 4 << 10;

/// A value.
#[derive(Debug)]
pub(super) enum Value {
    Whole(Bytes),
    Counter(i64),
    Rope(Rope),
    /// One whose bits are set here and there.
    Bits(Vec<u8>),
}

impl Value {
    pub(super) fn whole(bytes: Bytes) -> Self {
        if bytes.len() < SMALL {
            return Self::Whole(Bytes::copy_from_slice(&bytes));
        }
        Self::Whole(bytes)
    }

    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Whole(bytes) => bytes.len() as u64,
            Self::Counter(count) => digits(*count).len() as u64,
            Self::Rope(rope) => rope.len,
            Self::Bits(bytes) => bytes.len() as u64,
        }
    }

    /// Returns what it costs in memory.
    pub(super) fn cost(&self) -> u64 {
        match self {
            Self::Whole(bytes) => bytes.len() as u64,
            Self::Counter(_) => 0,
            Self::Rope(rope) => rope.cost(),
            Self::Bits(bytes) => bytes.capacity() as u64,
        }
    }

    /// Reads at most `most` bytes from `from`.
    pub(super) fn read(&self, from: u64, most: usize) -> Pieces {
        match self {
            Self::Whole(bytes) => Pieces::One(slice(bytes, from, most)),
            Self::Counter(count) => Pieces::One(slice(&digits(*count), from, most)),
            Self::Rope(rope) => rope.read(from, most),
            Self::Bits(bytes) => {
                let from = usize::try_from(from).unwrap_or(usize::MAX).min(bytes.len());
                let to = from.saturating_add(most).min(bytes.len());
                Pieces::One(Bytes::copy_from_slice(&bytes[from..to]))
            }
        }
    }

    /// Reads it as a counter: decimal digits as a counter itself would print them.
    pub(super) fn count(&self) -> Option<i64> {
        match self {
            Self::Counter(count) => Some(*count),
            Self::Whole(_) | Self::Rope(_) | Self::Bits(_) => {
                if self.len() > 20 {
                    return None;
                }
                let bytes = self.read(0, 20).join();
                let count = std::str::from_utf8(&bytes).ok()?.parse().ok()?;
                (digits(count) == bytes).then_some(count)
            }
        }
    }

    /// Adds bytes to the end.
    pub(super) fn append(&mut self, bytes: Bytes) {
        if let Self::Rope(rope) = self {
            return rope.push(bytes);
        }
        let mut rope = Rope::default();
        rope.push(self.read(0, usize::MAX).join());
        rope.push(bytes);
        *self = Self::Rope(rope);
    }

    /// Sets a bit of the byte at `place` and returns what it was; what lies before a byte that is new is zero.
    pub(super) fn set_bit(&mut self, place: usize, mask: u8, bit: bool) -> bool {
        if !matches!(self, Self::Bits(_)) {
            *self = Self::Bits(self.read(0, usize::MAX).join().into());
        }
        let Self::Bits(bytes) = self else { return false };
        if place >= bytes.len() {
            // Exactly: doubling would cost more than is counted when a value grows bit by bit to its limit.
            bytes.reserve_exact(place + 1 - bytes.len());
            bytes.resize(place + 1, 0);
        }
        let before = bytes[place] & mask != 0;
        if bit {
            bytes[place] |= mask;
        } else {
            bytes[place] &= !mask;
        }
        before
    }
}

fn digits(count: i64) -> Bytes {
    Bytes::from(count.to_string())
}

/// Returns a part without copying.
fn slice(bytes: &Bytes, from: u64, most: usize) -> Bytes {
    let from = usize::try_from(from).unwrap_or(usize::MAX).min(bytes.len());
    bytes.slice(from..from.saturating_add(most).min(bytes.len()))
}

/// What was read, still in pieces: joining them is left for when the lock is released.
#[derive(Debug)]
pub(super) enum Pieces {
    One(Bytes),
    Many(Vec<Bytes>),
}

impl Pieces {
    pub(super) fn join(self) -> Bytes {
        match self {
            Self::One(bytes) => bytes,
            Self::Many(pieces) => {
                let mut joined = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
                for piece in pieces {
                    joined.extend_from_slice(&piece);
                }
                joined.freeze()
            }
        }
    }
}

/// A value that grows: appending copies no byte twice, reading within a segment none at all.
#[derive(Debug, Default)]
pub(super) struct Rope {
    /// Sealed segments, each with where it ends.
    segments: Vec<(u64, Bytes)>,
    /// Small pieces, until they fill a segment.
    tail: Vec<u8>,
    len: u64,
    segment_bytes: u64,
}

impl Rope {
    fn push(&mut self, bytes: Bytes) {
        if bytes.len() >= PIECE {
            self.seal();
            self.len += bytes.len() as u64;
            self.segment_bytes += bytes.len() as u64;
            self.segments.push((self.len, bytes));
            return;
        }
        if self.tail.len() + bytes.len() > SEGMENT {
            self.seal();
        }
        self.tail.extend_from_slice(&bytes);
        self.len += bytes.len() as u64;
    }

    fn seal(&mut self) {
        if self.tail.is_empty() {
            return;
        }
        let mut tail = std::mem::take(&mut self.tail);
        tail.shrink_to_fit();
        self.segment_bytes += tail.len() as u64;
        self.segments.push((self.len, Bytes::from(tail)));
    }

    fn cost(&self) -> u64 {
        let places = self.segments.capacity() * SEGMENT_COST;
        self.segment_bytes + (places + self.tail.capacity()) as u64
    }

    fn read(&self, from: u64, most: usize) -> Pieces {
        let to = from.saturating_add(most as u64).min(self.len);
        let mut pieces = Vec::new();
        let mut at = from;
        let first = self.segments.partition_point(|(end, _)| *end <= from);
        for (end, bytes) in &self.segments[first..] {
            if at >= to {
                break;
            }
            let start = end - bytes.len() as u64;
            let piece = slice(bytes, at - start, usize::try_from(to - at).unwrap_or(usize::MAX));
            at += piece.len() as u64;
            pieces.push(piece);
        }
        if at < to {
            let start = self.len - self.tail.len() as u64;
            let within = |place: u64| usize::try_from(place - start).unwrap_or(self.tail.len());
            pieces.push(Bytes::copy_from_slice(&self.tail[within(at)..within(to)]));
        }
        if pieces.len() > 1 {
            return Pieces::Many(pieces);
        }
        Pieces::One(pieces.pop().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_read_within_a_segment_is_not_copied() {
        let mut value = Value::whole(Bytes::new());
        let piece = Bytes::from(vec![7; 100_000]);
        value.append(piece.clone());
        value.append(piece.clone());
        let read = value.read(100_010, 50).join();
        assert_eq!(read.as_ptr(), piece[10..].as_ptr());
    }

    #[test]
    fn many_small_pieces_cost_little_more_than_their_bytes() {
        let mut value = Value::whole(Bytes::new());
        for _ in 0..100_000 {
            value.append(Bytes::from_static(b"0123456789"));
        }
        assert_eq!(value.len(), 1_000_000);
        assert!(value.cost() < 1_100_000, "{}", value.cost());
    }

    #[test]
    fn a_counter_is_read_as_strictly_as_it_is_printed() {
        for (text, expected) in [
            ("0", Some(0)),
            ("-12", Some(-12)),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", None),
            ("+1", None),
            ("01", None),
            ("-0", None),
            (" 1", None),
            ("", None),
            ("one", None),
        ] {
            assert_eq!(Value::whole(text.into()).count(), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_rope_reads_as_the_bytes_that_were_appended(
            sizes in prop::collection::vec(prop_oneof![0..100usize, 10_000..40_000usize], 0..20),
            reads in prop::collection::vec((0..400_000u64, 0..100_000usize), 1..20),
        ) {
            let mut value = Value::whole(Bytes::new());
            let mut model = Vec::new();
            for (number, size) in sizes.into_iter().enumerate() {
                let piece: Vec<u8> = (0..size).map(|at| (at * 31 + number) as u8).collect();
                model.extend_from_slice(&piece);
                value.append(piece.into());
                prop_assert_eq!(value.len(), model.len() as u64);
            }
            prop_assert_eq!(value.read(0, usize::MAX).join(), &model);
            for (from, most) in reads {
                let start = (from as usize).min(model.len());
                let end = (start + most).min(model.len());
                prop_assert_eq!(value.read(from, most).join(), &model[start..end]);
            }
        }
    }
}
