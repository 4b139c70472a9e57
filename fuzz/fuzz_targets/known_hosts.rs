//! See `muster_fuzzing::known_hosts`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| muster_fuzzing::known_hosts::check(bytes));
