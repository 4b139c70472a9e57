//! What stands under a key. Memcached takes items of a megabyte at most and cannot say where one ends, so that a value
//! is a head, which alone is changed, and by compare-and-set; it holds the end of the value, and names the pieces
//! before it. A piece has a random name of its own, is written before a head names it and never changed.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The largest piece, and the largest value that its head holds whole when it is set.
pub(super) const ITEM: usize = 512 << 10;
/// The longest end that a head holds when a value grows: it is written anew with each append.
const TAIL: usize = 64 << 10;
/// How a head begins: a mark and the version of its form.
const MARK: [u8; 2] = [b'M', 1];

/// A piece: its name and how long it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) id: u64,
    pub(super) len: u32,
}

/// A head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) pieces: Vec<Piece>,
    /// Until when all pieces live, in seconds of the wall clock.
    pub(super) until: u64,
    pub(super) tail: Bytes,
}

impl Head {
    /// Returns how long the value is.
    pub(super) fn len(&self) -> u64 {
        let before: u64 = self.pieces.iter().map(|piece| u64::from(piece.len)).sum();
        before + self.tail.len() as u64
    }

    /// Returns the head of a value that is set, and the new pieces with their bytes.
    pub(super) fn of(value: Bytes) -> (Self, Vec<(Piece, Bytes)>) {
        Self::default().grown(value, ITEM)
    }

    /// Returns the head of the value with more bytes at its end, and the new pieces with their bytes.
    pub(super) fn appended(&self, bytes: &Bytes) -> (Self, Vec<(Piece, Bytes)>) {
        let mut end = BytesMut::with_capacity(self.tail.len() + bytes.len());
        end.extend_from_slice(&self.tail);
        end.extend_from_slice(bytes);
        let begin = Self {
            pieces: self.pieces.clone(),
            until: self.until,
            tail: Bytes::new(),
        };
        begin.grown(end.freeze(), TAIL)
    }

    fn grown(mut self, mut end: Bytes, most: usize) -> (Self, Vec<(Piece, Bytes)>) {
        let mut new = Vec::new();
        if end.len() > most {
            while !end.is_empty() {
                let bytes = end.split_to(end.len().min(ITEM));
                let piece = Piece {
                    id: rand::random(),
                    len: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
                };
                self.pieces.push(piece);
                new.push((piece, bytes));
            }
        }
        self.tail = end;
        (self, new)
    }

    /// Returns the pieces in which a part lies: which they are, and where the first of them begins.
    pub(super) fn within(&self, from: u64, to: u64) -> (Vec<Piece>, u64) {
        let (mut found, mut begin, mut at) = (Vec::new(), None, 0);
        for piece in &self.pieces {
            let end = at + u64::from(piece.len);
            if at < to && end > from {
                begin.get_or_insert(at);
                found.push(*piece);
            }
            at = end;
        }
        (found, begin.unwrap_or(at))
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(14 + self.pieces.len() * 12 + self.tail.len());
        bytes.put_slice(&MARK);
        bytes.put_u64(self.until);
        bytes.put_u32(u32::try_from(self.pieces.len()).unwrap_or(u32::MAX));
        for piece in &self.pieces {
            bytes.put_u64(piece.id);
            bytes.put_u32(piece.len);
        }
        bytes.put_slice(&self.tail);
        bytes
    }

    /// Reads a head; None where it is none.
    pub(super) fn decode(bytes: Vec<u8>) -> Option<Self> {
        let mut bytes = Bytes::from(bytes);
        if !bytes.starts_with(&MARK) || bytes.len() < 14 {
            return None;
        }
        bytes.advance(MARK.len());
        let until = bytes.get_u64();
        let count = usize::try_from(bytes.get_u32()).ok()?;
        if count > bytes.len() / 12 {
            return None;
        }
        let pieces = (0..count)
            .map(|_| Piece {
                id: bytes.get_u64(),
                len: bytes.get_u32(),
            })
            .collect();
        Some(Self {
            pieces,
            until,
            tail: bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_head_is_none() {
        for bytes in [
            &b""[..],
            b"M",
            b"text that somebody else has set",
            b"M\x01\0\0\0\0\0\0\0\0\xff\xff\xff\xff",
            b"M\x02\0\0\0\0\0\0\0\0\0\0\0\0",
        ] {
            assert_eq!(Head::decode(bytes.to_vec()), None, "{bytes:?}");
        }
    }

    proptest! {
        // Each carries megabytes.
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn a_value_is_its_pieces_and_the_end_in_its_head(
            set in 0..2_000_000usize,
            sizes in prop::collection::vec(prop_oneof![0..100usize, 10_000..700_000usize], 0..8),
            parts in prop::collection::vec((0..4_000_000u64, 0..600_000u64), 1..10),
        ) {
            let mut model: Vec<u8> = (0..set).map(|at| (at * 31) as u8).collect();
            let mut kept = std::collections::HashMap::new();
            let (mut head, new) = Head::of(model.clone().into());
            kept.extend(new.into_iter().map(|(piece, bytes)| (piece.id, bytes)));
            for (number, size) in sizes.into_iter().enumerate() {
                let more: Bytes = (0..size).map(|at| (at * 7 + number) as u8).collect();
                model.extend_from_slice(&more);
                let (grown, new) = head.appended(&more);
                kept.extend(new.into_iter().map(|(piece, bytes)| (piece.id, bytes)));
                head = grown;
            }
            prop_assert_eq!(head.len(), model.len() as u64);
            prop_assert!(head.encode().len() <= ITEM + 16 * 1024);
            prop_assert_eq!(Head::decode(head.encode()), Some(head.clone()));
            for (from, most) in parts {
                let (pieces, begin) = head.within(from, from + most);
                let mut bytes: Vec<u8> = pieces.iter().flat_map(|piece| kept[&piece.id].to_vec()).collect();
                bytes.extend_from_slice(&head.tail);
                let len = model.len() as u64;
                let (from, to) = (from.min(len), (from + most).min(len));
                if from < to {
                    let wanted = &model[from as usize..to as usize];
                    // What lies between the pieces that were asked for and the tail is past the part.
                    let found = &bytes[(from - begin) as usize..];
                    prop_assert_eq!(&found[..wanted.len()], wanted);
                }
            }
        }
    }
}
