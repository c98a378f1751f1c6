//! Frames of any octets, cut anywhere. `cargo +nightly fuzz run parser`

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| postroad_msrp::fuzz::parser(bytes));
