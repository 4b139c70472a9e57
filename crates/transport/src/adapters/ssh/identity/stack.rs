//! What work on a private key leaves on the stack, and how it goes.
//!
//! Keys are wiped where they are dropped. On their way there they are moved, and each move leaves a copy on the stack
//! that nobody wipes: on a thread that has little else to do, for hours.

use std::hint::black_box;

/// More than reading a key and signing with it take.
const DEPTH: usize = 128 * 1024;

/// Does work and overwrites the stack that it used. What it returns must have the key on the heap.
#[inline(never)]
pub(super) fn scrubbed<T>(work: impl FnOnce() -> T) -> T {
    let result = below(work);
    overwrite();
    result
}

#[inline(never)]
fn below<T>(work: impl FnOnce() -> T) -> T {
    black_box(work())
}

#[inline(never)]
fn overwrite() {
    let mut area = [0_u8; DEPTH];
    black_box(&mut area);
}
