//! See `muster_fuzzing::wire`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| muster_fuzzing::wire::check(bytes));
