//! See `muster_fuzzing::facts`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| muster_fuzzing::facts::check(bytes));
