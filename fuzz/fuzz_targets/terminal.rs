//! See `muster_fuzzing::terminal`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| muster_fuzzing::terminal::check(bytes));
