//! See `muster_fuzzing::pattern`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| muster_fuzzing::pattern::check(bytes));
