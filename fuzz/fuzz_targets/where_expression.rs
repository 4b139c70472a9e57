//! See `muster_fuzzing::where_expression`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| muster_fuzzing::where_expression::check(bytes));
