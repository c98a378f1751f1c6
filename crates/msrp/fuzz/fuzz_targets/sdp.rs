//! Session descriptions: any text, read, written and read again. `cargo +nightly fuzz run sdp`

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| postroad_msrp::fuzz::sdp(bytes));
