//! Options of a connection: read or refused, and no password shown. `cargo +nightly fuzz run connection_options`

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| postroad_address::fuzz::connection_options(bytes));
