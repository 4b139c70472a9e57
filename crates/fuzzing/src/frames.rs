//! Frames of a run's output log: what is decoded is what was there, and damage is named, not passed over.

use bytes::{Bytes, BytesMut};
use muster_model::output::{self, FRAME_BODY, FRAME_HEAD};

/// Checks one input.
pub fn check(input: &[u8]) {
    let mut log = Bytes::copy_from_slice(input);
    match output::decode(&mut log) {
        Ok(frames) => {
            let read = input.len() - log.len();
            let mut again = BytesMut::new();
            for frame in &frames {
                assert!((1..=FRAME_BODY).contains(&frame.bytes.len()));
                output::encode(&mut again, frame.stream, &frame.bytes);
            }
            assert_eq!(&again[..], &input[..read], "encoded again");
            assert!(log.len() < FRAME_HEAD + FRAME_BODY, "a whole frame was left");
            assert_eq!(output::decode(&mut log), Ok(Vec::new()), "decoded again");
        }
        Err(damaged) => {
            // What stands before the damage is whole, and the damage is where it is said to be.
            let mut before = Bytes::copy_from_slice(&input[..damaged.offset]);
            assert!(output::decode(&mut before).is_ok() && before.is_empty());
            let mut from = Bytes::copy_from_slice(&input[damaged.offset..]);
            assert_eq!(output::decode(&mut from), Err(output::Damaged { offset: 0 }));
        }
    }
}
