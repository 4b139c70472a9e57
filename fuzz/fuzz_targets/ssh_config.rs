//! See `muster_fuzzing::ssh_config`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| muster_fuzzing::ssh_config::check(bytes));
