//! See `muster_fuzzing::selector`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| muster_fuzzing::selector::check(bytes));
